"""Cutting files into rows and lines; Python's csv module is the oracle."""

import csv
import io
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kafka._codec import scan_csv, scan_json, scan_keyed_lines, scan_lines

# Bytes that mean something to CSV, more often than chance would have them.
pieces = st.lists(
    st.sampled_from([",", '"', '""', "\n", "\r\n", "a", "bc", "é", " ", ";", ',"', '",', '"\n']), max_size=40
)


def rows_of_csv(text, delimiter=","):
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]


@given(pieces, st.integers(0, 4))
@settings(max_examples=max(500, settings().max_examples))
@example(['a,"b\n', 'c""d"\r\n', "\r\n", '"",,"x"y,\n'], 1)
@example(['"'], 0)
def test_as_pythons_csv(parts, column):
    text = "".join(parts)
    rows = rows_of_csv(text)
    data = text.encode()
    values, keys, consumed, errors = scan_csv(data, 0, column, final=True)
    assert consumed == len(data)
    assert [None if key is None else key.decode() for key in keys] == [
        row[column] if column < len(row) else None for row in rows
    ]
    missing = [(i, f"has {len(row)} columns, no column {column}") for i, row in enumerate(rows) if column >= len(row)]
    assert [error for error in errors if error[1] != "ends inside quotes"] == missing
    assert [rows_of_csv(value.decode()) for value in values] == [[row] for row in rows]
    unclosed = [index for index, reason in errors if reason == "ends inside quotes"]
    assert unclosed in ([], [len(values) - 1])
    assert scan_csv(data, 0, -1, final=True) == (values, [], consumed, [e for e in errors if e[0] in unclosed][-1:])


@given(pieces, st.integers(1, 30), st.integers(0, 3))
def test_any_chunks_give_the_same(parts, size, column):
    data = "".join(parts).encode()
    whole = scan_csv(data, 0, column, final=True)
    lines = scan_lines(data, 0, final=True)
    values, keys, errors, cut = [], [], [], []
    start = line_start = 0
    for end in range(0, len(data) + size, size):
        more_values, more_keys, start, more_errors = scan_csv(data[:end], start, column, final=end >= len(data))
        errors += [(len(values) + index, reason) for index, reason in more_errors]
        values += more_values
        keys += more_keys
        more_lines, line_start = scan_lines(data[:end], line_start, final=end >= len(data))
        cut += more_lines
    assert (values, keys, start, errors) == whole
    assert (cut, line_start) == lines


@given(pieces)
def test_lines(parts):
    data = "".join(parts).encode()
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    assert scan_lines(data, 0, final=True) == (lines[:-1] if lines[-1] == b"" else lines, len(data))
    values, consumed = scan_lines(data, 0)
    assert values == lines[:-1]
    assert consumed == data.rfind(b"\n") + 1


def test_without_quotes_and_with_other_marks():
    data = b"a\t'x\ty'\t\"z\r\n1\t2\t3\n"
    assert scan_csv(data, 0, 1, b"\t", None) == ([b"a\t'x\ty'\t\"z", b"1\t2\t3"], [b"'x", b"2"], len(data), [])
    assert scan_csv(data, 0, 1, b"\t", b"'") == ([b"a\t'x\ty'\t\"z", b"1\t2\t3"], [b"x\ty", b"2"], len(data), [])


def test_where_it_starts_and_what_stays():
    data = b'skipped\nk,1\n\n"k\n2",3\r\nk3,incomplete'
    values, keys, consumed, errors = scan_csv(memoryview(data), 8, 0)
    assert (values, keys, errors) == ([b"k,1", b'"k\n2",3'], [b"k", b"k\n2"], [])
    assert data[consumed:] == b"k3,incomplete"
    assert scan_csv(data, consumed, 0) == ([], [], consumed, [])
    assert scan_csv(data, consumed, 0, final=True) == ([b"k3,incomplete"], [b"k3"], len(data), [])
    assert scan_csv(b"", 0, 0, final=True) == ([], [], 0, [])
    assert scan_lines(b"", 0, final=True) == ([], 0)


def test_a_quote_that_is_never_closed():
    data = b'a\n"b""\nc,d\n'
    assert scan_csv(data, 0, 0) == ([b"a"], [b"a"], 2, [])
    assert scan_csv(data, 0, 0, final=True) == (
        [b"a", b'"b""\nc,d\n'],
        [b"a", b'b"\nc,d\n'],
        len(data),
        [(1, "ends inside quotes")],
    )


def test_rows_without_the_column():
    data = b'a,b,c\na\n,,\n"a,b,c"\n1,2,"3"\n'
    values, keys, consumed, errors = scan_csv(data, 0, 2)
    assert len(values) == 5
    assert consumed == len(data)
    assert keys == [b"c", None, b"", None, b"3"]
    assert errors == [(1, "has 1 columns, no column 2"), (3, "has 1 columns, no column 2")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((b"x", 2, 0), "start must be within the 1 bytes, not 2"),
        ((b"x", -1, 0), "start must be within the 1 bytes, not -1"),
        ((b"x", 0, -2), "column must be an index or -1, not -2"),
        ((b"x", 0, 0, b",,"), "delimiter must be one byte"),
        ((b"x", 0, 0, ","), "delimiter must be one byte"),
        ((b"x", 0, 0, b"\n"), "delimiter must be one byte"),
        ((b"x", 0, 0, b",", b""), "quote must be None or one byte"),
        ((b"x", 0, 0, b",", b","), "quote must be None or one byte"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        scan_csv(*arguments)
    if message.startswith("start"):
        with pytest.raises(ValueError, match=message):
            scan_lines(*arguments[:2])


@given(pieces, st.sampled_from([b",", b'""', b"aa", b"\r"]), st.integers(1, 9))
def test_lines_with_keys(parts, delimiter, size):
    data = "".join(parts).encode()
    split = [line.partition(delimiter) for line in scan_lines(data, 0, final=True)[0]]
    good = next((index for index, (_, found, _) in enumerate(split) if not found), len(split))
    expected = [value for _, _, value in split[:good]], [key for key, _, _ in split[:good]], good == len(split)
    values, keys, start, whole = [], [], 0, True
    for end in range(0, len(data) + size, size):
        final = end >= len(data)
        more, more_keys, start, whole = scan_keyed_lines(data[:end], start, delimiter, final=final)
        values += more
        keys += more_keys
        if not whole:
            break
    assert (values, keys, whole) == expected
    with pytest.raises(ValueError):
        scan_keyed_lines(b"a", 0, b"")
    with pytest.raises(ValueError):
        scan_keyed_lines(b"a", 2, b":")


# -- JSON --------------------------------------------------------------------------------------------------------------


def is_json(line):
    """What Python's json takes for JSON, without what RFC 8259 does not know."""

    def refuse(name):
        raise ValueError(name)

    try:
        json.loads(line.decode(), parse_constant=refuse)
    except ValueError:
        return False
    return True


# Bytes that mean something to JSON, or nearly.
words = rb'{ } [ ] , : " "a" \ \u d83d \ude00 "\n" \x 1 0 - . e E + 12.5e-3 true false null nul NaN Infinity a'
broken_utf8 = [b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"\x80", b"\xf0\x9f\x98"]
json_pieces = st.lists(
    st.sampled_from([*words.split(), b" ", b"\t", b"\0", b"\x1f", b"\x7f", "é".encode(), "😀".encode(), *broken_utf8]),
    max_size=12,
)


@given(json_pieces)
@settings(max_examples=max(1000, settings().max_examples))
@example([b"[", b"1", b"]", b"]"])
@example([b'"', b"\\u", b"d83d", b'"'])
def test_what_is_json_as_python_sees_it(parts):
    line = b"".join(parts)
    values, keys, consumed, lines, problem = scan_json(line, 0, final=True)
    if not line.strip(b" \t"):
        assert (values, consumed, problem) == ([], len(line), None)
    elif is_json(line):
        assert (values, keys, consumed, lines, problem) == ([line], [], len(line), 1, None)
    else:
        assert (values, consumed, lines) == ([], 0, 0)
        assert problem[0] == 0 and problem[1].startswith("is no JSON: ")


texts = st.sampled_from(["k", "a", "é", "k\n", "", "\\k", "😀", '"', "\x7f", "kk"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")])


@given(json_values | st.dictionaries(texts, json_values, min_size=1), texts, separators, st.booleans())
def test_the_field_of_a_line(value, name, separators, escaped):
    line = json.dumps(value, separators=separators, ensure_ascii=escaped).encode()
    values, keys, consumed, lines, problem = scan_json(line, 0, name.encode(), final=True)
    if not isinstance(value, dict) or name not in value:
        assert (values, keys, consumed, lines) == ([], [], 0, 0) and problem == (0, f"there is no field {name!r}")
        return
    assert (values, consumed, lines, problem) == ([line], len(line), 1, None)
    (key,) = keys
    if value[name] is None:
        assert key is None
    elif isinstance(value[name], str):
        assert key == value[name].encode()
    else:
        assert json.loads(key) == value[name] and key.strip() == key and key in line


def test_fields_that_are_less_than_simple():
    def key(line, name=b"k"):
        values, (found,), consumed, lines, problem = scan_json(line, 0, name, final=True)
        assert problem is None
        return found

    assert key(b'{"k": 1, "k": 2}') == b"2" and key(b'{"k": 1, "k": {"k": 3}}') == b'{"k": 3}'
    assert key(b'{"a": {"k": 1}, "k": [ {"k": 2} ] , "b": 0}') == b'[ {"k": 2} ]'
    assert key(rb'{"\u006b": "\ud83d\ude00\/\t"}') == "😀/\t".encode()
    assert key(rb'{"\\u006b": 1}', rb"\u006b") == b"1" and key(b'{"k": 1E5 }') == b"1E5"
    for line in (b'{"a": {"k": 1}}', b'["k", 1]', b'"k"', b"null", rb'{"\u006B0": 1}'):
        assert scan_json(line, 0, b"k", final=True)[4] == (0, "there is no field 'k'")
    for line in (rb'{"k": "\ud83d"}', rb'{"k": "\ude00\ud83d"}', rb'{"k": "\ud83d\u0041"}'):
        assert scan_json(line, 0, b"k", final=True)[4] == (0, "field 'k' has half a surrogate pair")


json_lines = st.sampled_from([b'{"k": 1}\n', b'{"k":"\\n"}\r\n', b"\n", b" \r\n", b'{"k": null}', b"[\n"])


@given(st.lists(json_lines, max_size=9))
def test_lines_of_json_in_any_chunks(parts):
    data = b"".join(parts)
    whole = scan_json(data, 0, b"k", final=True)
    for size in (1, 3, 7):
        values, keys, lines, start, problem = [], [], 0, 0, None
        for end in range(0, len(data) + size, size):
            more, more_keys, start, more_lines, wrong = scan_json(data[:end], start, b"k", end >= len(data))
            values += more
            keys += more_keys
            if wrong is not None:
                problem = (lines + wrong[0], wrong[1])
            lines += more_lines
            if problem:
                break
        assert (values, keys, start, lines, problem) == whole


def test_deep_and_wrong_json():
    deep = b"[" * 1024 + b"]" * 1024
    assert scan_json(deep, 0, final=True)[4] is None
    for line, reason in [
        (b"[" + deep + b"]", "more than 1024 objects and arrays inside one another, at byte 1024"),
        (b'{"a": 1,}', "'}' is not what can stand there, at byte 8"),
        (b'"\xff"', "bytes that are no UTF-8, at byte 1"),
        (b'"a\tb"', "a control character inside a string, at byte 2"),
        (rb'"\x41"', "an escape that is none, at byte 1"),
        (b'{"a"', "it ends too early, at byte 4"),
        (b"01", "'1' is not what can stand there, at byte 1"),
        (b"\xef\xbb\xbf1", r"'\xef' is not what can stand there, at byte 0"),
    ]:
        assert scan_json(b"1\n\n" + line + b"\n2\n", 0) == ([b"1"], [], 3, 2, (2, f"is no JSON: {reason}"))
    for arguments in ((b"1", 2), (b"1", -1)):
        with pytest.raises(ValueError):
            scan_json(*arguments)
    for arguments in ((None, 0), (b"1", 0, "k")):
        with pytest.raises(TypeError):
            scan_json(*arguments)
