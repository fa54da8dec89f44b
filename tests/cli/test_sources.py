"""Files cut into records, whatever the size of the pieces they are read in."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka.cli import Failure, sources
from kafka.cli.sources import Format, read


class Dribble:
    """A file that gives what it has in pieces of these sizes, over and over."""

    def __init__(self, data, sizes=(1 << 20,)):
        self.file = io.BytesIO(data)
        self.sizes = sizes
        self.turn = 0

    def read(self, size):
        self.turn += 1
        return self.file.read(self.sizes[self.turn % len(self.sizes)])


LINES = Format()


def records(data, format=LINES, sizes=(1 << 20,)):
    """[(key, value)], and the message of the failure that ended it."""
    found = []
    problem = None
    try:
        for piece in read(Dribble(data, sizes), "the file", format):
            found += zip(piece.keys or [None] * len(piece.values), piece.values, strict=True)
    except Failure as failure:
        problem = str(failure)
    return found, problem


@pytest.mark.parametrize("sizes", [(1 << 20,), (1,), (7, 2)])
def test_lines(sizes):
    assert records(b"a\r\n\nb\xff\0\nlast", sizes=sizes) == (
        [(None, b"a"), (None, b""), (None, b"b\xff\0"), (None, b"last")],
        None,
    )
    assert records(b"", sizes=sizes) == ([], None)


@pytest.mark.parametrize("sizes", [(1 << 20,), (1,), (5, 3)])
def test_csv_keys_by_name_by_index_and_none(sizes):
    data = b'name,"the, key",x\r\n1,"k ""q"" 1",2\n"a\nb",k2,3\n'
    rows = [b'1,"k ""q"" 1",2', b'"a\nb",k2,3']
    keys = [b'k "q" 1', b"k2"]
    for key in ("the, key", "1"):
        assert records(data, Format("csv", key), sizes) == (list(zip(keys, rows, strict=True)), None)
    assert records(data, Format("csv"), sizes) == ([(None, row) for row in rows], None)
    found = records(data, Format("csv", "1", has_header=False), sizes)
    assert found == ([(b"the, key", b'name,"the, key",x'), *zip(keys, rows, strict=True)], None)
    assert records(b"name\tkey\nv\tk\n", Format("csv", "key", b"\t"), sizes) == ([(b"k", b"v\tk")], None)
    assert records(b"\xef\xbb\xbfname,key\nv,k\n", Format("csv", "name"), sizes) == ([(b"v", b"v,k")], None)


@given(
    st.lists(st.lists(st.text(st.sampled_from('ab,"\n\r é')), min_size=2, max_size=3), min_size=1),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_csv_as_pythons_module_writes_it(rows, sizes):
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["first", "key"], *rows])
    found, problem = records(text.getvalue().encode(), Format("csv", "key"), sizes)
    assert problem is None
    assert [key.decode() for key, _ in found] == [row[1] for row in rows]
    values = "".join(value.decode() + "\n" for _, value in found)
    assert list(csv.reader(io.StringIO(values, newline=""))) == rows


@pytest.mark.parametrize("sizes", [(1 << 20,), (1,)])
def test_a_row_without_the_column_ends_it_behind_the_rows_before(sizes):
    found, problem = records(b"a,b\n1,2\n3,4\n5\n6,7\n", Format("csv", "b"), sizes)
    assert found == [(b"2", b"1,2"), (b"4", b"3,4")]
    assert problem.startswith("the file, row 4: ")


def test_what_is_wrong_with_csv_is_said():
    assert records(b"a,b\n1,2\n", Format("csv", "c"))[1] == "the file: there is no column 'c' among a, b"
    assert "not text" in records(b"\xff\xfe\n1\n", Format("csv", "c"))[1]
    assert "index from 0" in records(b"1,2\n", Format("csv", "c", has_header=False))[1]
    assert "row 2: " in records(b'a,b\n1,"2\n', Format("csv", "b"))[1]
    assert "lines have no columns" in records(b"1", Format("lines", "a"))[1]


def test_json_lines():
    lines = [{"k": "é", "n": 1}, {"k": 7}, {"k": None}, {"k": [1]}]
    data = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode() + b"\n\n  \n"
    keys = ["é".encode(), b"7", None, b"[1]"]
    found, problem = records(data, Format("json", "k"), (3,))
    assert [key for key, _ in found] == keys and problem is None
    assert [json.loads(value) for _, value in found] == lines
    assert [key for key, _ in records(data, Format("json"))[0]] == [None] * 4


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "line 2: is no JSON"),
        (b"\xff\xfe", "line 2: is no JSON"),
        (b'{"x": 1}', "line 2: there is no field 'k'"),
        (b"[1]", "line 2: there is no field 'k'"),
        (b"[" * 100_000, "line 2: is no JSON"),
    ],
)
def test_a_line_that_is_no_json_ends_it_behind_the_lines_before(line, reason):
    found, problem = records(b'{"k": "a"}\n' + line + b"\n" + b'{"k": "b"}\n', Format("json", "k"))
    assert found == [(b"a", b'{"k": "a"}')]
    assert reason in problem


def test_a_record_without_an_end_is_not_gathered_for_ever():
    class Endless:
        asked = 0

        def read(self, size):
            Endless.asked += 1
            assert Endless.asked < 20
            return b"x" * sources.CHUNK

    for format in (Format("lines"), Format("csv"), Format("json")):
        Endless.asked = 0
        with pytest.raises(Failure, match="without the end of a record"):
            list(read(Endless(), "noise", format))


@pytest.mark.parametrize("sizes", [(1 << 20,), (1,), (2, 5)])
def test_keys_that_lines_begin_with(sizes):
    found, problem = records(b"a::1\nb::\n::2\n", Format(key_delimiter=b"::"), sizes)
    assert found == [(b"a", b"1"), (b"b", b""), (b"", b"2")] and problem is None
    found, problem = records(b"a:1\nb:\nnone\nc:3\n", Format(key_delimiter=b":", tombstones=True), sizes)
    assert found == [(b"a", b"1"), (b"b", None)]
    assert problem == "the file, line 3: has no ':' between key and value"


@pytest.mark.parametrize("sizes", [(1 << 20,), (1,), (2, 5)])
def test_a_byte_order_mark_is_no_json(sizes):
    assert records(b'\xef\xbb\xbf{"k": "v"}\n[\n', Format("json", "k"), sizes) == (
        [(b"v", b'{"k": "v"}')],
        "the file, line 2: is no JSON: it ends too early, at byte 1",
    )
    assert records(b"\xef\xbb\xbf", Format("json"), sizes) == ([], None)


@pytest.mark.parametrize("sizes", [(1 << 20,), (1,), (9, 4)])
@pytest.mark.parametrize(
    ("format", "data", "places"),
    [
        (Format(), b"a\n\nb\n", ["line 1", "line 2", "line 3"]),
        (Format("csv", "x"), b'x\na\n\n"b\n"\nc\n', ["row 2", "row 3", "row 4"]),
        (Format("csv", "0", has_header=False), b"a\nb\n", ["row 1", "row 2"]),
        (Format("json"), b"1\n\n \n2\n3\n", ["line 1", "line 4", "line 5"]),
    ],
)
def test_records_are_found_again(sizes, format, data, places):
    found = []
    for piece in read(Dribble(data, sizes), "the file", format):
        found += [piece.place(index) for index in range(len(piece.values))]
    assert found == [f"the file, {place}" for place in places]


@pytest.mark.parametrize("data", [b"ok\n" + b"x" * 200, b"ok\n" + b"x" * 200 + b"\n"])
def test_the_line_that_does_not_end_is_named(data):
    found, problem = records(data, Format(limit=100), (50,))
    assert found == [(None, b"ok")] and problem.startswith("the file, line 2: ") and "limit is 100" in problem


def test_a_file_that_cannot_be_read_is_named():
    class Broken:
        def read(self, size):
            raise OSError(5, "Input/output error")

    with pytest.raises(Failure, match="the file: Input/output error"):
        list(read(Broken(), "the file", LINES))
