"""Cutting files into rows and lines; Python's csv module is the oracle."""

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kafka._codec import scan_csv, scan_lines

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
