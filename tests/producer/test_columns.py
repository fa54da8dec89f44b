"""Columns in: Arrow's C data interface by hand, and memory of Python's; right, wrong, and let go of."""

from __future__ import annotations

import gc
import struct
from collections import Counter
from typing import Any

import pytest

from kafka._codec import UnsentRecords
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from kafka.producer.waiting import WaitingProducer
from tests.arrow_capsules import Column, Stream, binary
from tests.producer.test_accumulator import KIB, Setup, records_of
from tests.trying import try_send_many

SOME = [b"", b"short", b"of twelve by", b"more than twelve bytes", b"x" * 300, b"\0\xff\0"]


def sent(values: Any, keys: Any = None, **options: Any) -> list[tuple[bytes | None, bytes | None]]:
    """What arrives in partition 0, as keys and values."""
    it = Setup(linger=0)
    it.accumulator.set_partition_count("t", 1)
    future = it.producer.send_many("t", values, keys, **options)
    records = [record for batch in it.pull_all() for record in records_of(batch)]
    assert len(future) == len(records)
    return [(record.key, record.value) for record in records]


@pytest.mark.parametrize("format", [b"z", b"u", b"Z", b"U", b"vz", b"vu"])
@pytest.mark.parametrize("nulls", [False, True])
def test_each_layout_gives_its_bytes_and_is_released_once(format: bytes, nulls: bool) -> None:
    items: list[bytes | None] = [*SOME, None, *SOME, None] if nulls else [*SOME, *SOME]
    values, keys = binary(items, format), binary([b"k%d" % i for i in range(len(items))], format)
    assert sent(values, keys) == [(b"k%d" % i, item) for i, item in enumerate(items)]
    gc.collect()
    assert (values.released, keys.released) == (1, 1)


@pytest.mark.parametrize("format", [b"z", b"Z", b"vz"])
def test_a_slice_begins_where_its_offset_says(format: bytes) -> None:
    items = [*SOME[:3], None, *SOME[3:], None, b"last"] * 3
    column = binary(items, format, offset=5)
    column.array.length = 9
    column.array.null_count = -1  # not counted
    keys = binary([b"k"] * 9)
    assert sent(column, keys) == [(b"k", item) for item in items[5:14]]


def test_fixed_sizes_dictionaries_and_nothing_at_all() -> None:
    fixed = Column(b"w:3", [b"\x05", b"abcdefghi"], 3, nulls=1)
    assert sent(fixed, [b"k"] * 3) == [(b"k", b"abc"), (b"k", None), (b"k", b"ghi")]
    assert sent(Column(b"w:0", [None, None], 2)) == [(None, b"")] * 2
    words = binary([b"zero", None, b"two"], b"vu")
    for format, code in [(b"c", "b"), (b"C", "B"), (b"s", "h"), (b"S", "H"), (b"i", "i"), (b"I", "I"), (b"l", "q")]:
        numbers = struct.pack(f"<4{code}", 2, 1, 0, 2)
        column = Column(format, [b"\x0f", numbers], 3, offset=1, nulls=-1, dictionary=words)
        assert sent(column, [b"k"] * 3) == [(b"k", None), (b"k", b"zero"), (b"k", b"two")]
    assert sent(Column(b"n", [], 2, nulls=2), [b"a", b"b"]) == [(b"a", None), (b"b", None)]
    for empty in (binary([]), Column(b"z", [None, None, None], 0), Column(b"vz", [None, None, None], 0), Stream()):
        assert sent(empty, []) == []


def test_a_stream_is_read_to_its_end_and_each_part_released_once() -> None:
    parts = [binary([b"1", None, b"3"]), binary([]), binary([b"4"] * 1000)]
    stream = Stream(*parts)
    assert [value for _, value in sent(stream, [b"k"] * 1003)] == [b"1", None, b"3"] + [b"4"] * 1000
    gc.collect()
    assert [part.released for part in parts] == [1, 1, 1] and stream.released == 1


def test_columns_beside_lists_headers_and_times() -> None:
    it = Setup(linger=0)
    it.accumulator.set_partition_count("t", 1)
    values, keys = binary([b"v1", b"v2", None]), binary([None, b"k2", b"k3"], b"vz")
    headers = [None, [("h", b"1")], []]
    it.producer.send_many("t", values, [None, b"k2", b"k3"], headers, [1, 2, 3])
    it.producer.send_many("t", [b"v1", b"v2", None], keys, headers, [1, 2, 3])
    records = [record for batch in it.pull_all() for record in records_of(batch)]
    found = [(r.key, r.value, r.headers, r.timestamp) for r in records]
    assert Counter(found) == {
        (None, b"v1", (), 1): 2, (b"k2", b"v2", (("h", b"1"),), 2): 2, (b"k3", None, (), 3): 2,
    }  # fmt: skip
    with pytest.raises(ValueError, match="keys has 1 items, values has 3"):
        it.producer.send_many("t", binary([b"v"] * 3), binary([b"k"]))
    with pytest.raises(ValueError, match="keys has 3 items, values has 1"):
        it.producer.send_many("t", [b"v"], binary([b"k"] * 3))
    with pytest.raises(ValueError, match="record 1 needs a key or a value"):
        it.producer.send_many("t", binary([b"v", None]), binary([b"k", None]))


def test_keys_choose_the_partition_that_they_choose_as_bytes() -> None:
    keys: list[bytes | None] = [b"key %d" % i for i in range(100)] + [b"", None]
    for placing in ("murmur2", "crc32", "round_robin"):
        places = []
        for column in (keys, binary(keys), binary(keys, b"vz")):
            it = Setup(linger=0, partitioner=placing)
            it.accumulator.set_partition_count("t", 7)
            it.producer.send_many("t", [b"v"] * len(keys), column)
            places.append({(b.partition, r.key) for b in it.pull_all() for r in records_of(b)})
        assert places[0] == places[1] == places[2] and len(places[0]) == 102


class Upper:
    def serialize(self, topic: str, headers: Any, data: Any) -> Any:
        return None if data is None else bytes(data).upper()

    def close(self) -> None:
        pass


class Last:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def partition(self, topic: str, key: Any, key_bytes: Any, value: Any, value_bytes: Any, cluster: Any) -> int:
        self.seen.append((key, value))
        return 2


def test_whoever_looks_at_each_is_given_objects() -> None:
    from kafka.producer.waiting import WaitingProducer

    class Placed(WaitingProducer):
        def _cluster(self) -> None:
            return None

    partitioner = Last()
    for options in ({"value_serializer": Upper()}, {"partitioner": partitioner}):
        it = Setup(linger=0)
        it.accumulator.set_partition_count("t", 3)
        producer = Placed(it.accumulator, **options)
        values = binary([b"a", None])
        producer.send_many("t", values, binary([b"k", b"k"]))
        found = [(r.key, r.value) for batch in it.pull_all() for r in records_of(batch)]
        assert found == [(b"k", b"A" if "value_serializer" in options else b"a"), (b"k", None)]
        gc.collect()
        assert values.released == 1
    assert partitioner.seen == [(b"k", b"a"), (b"k", None)]


# -- what does not hold together ---------------------------------------------------------------------------------------


def views(*fields: int) -> bytes:
    return struct.pack("<iiii", *fields)


WRONG = {
    "released": (lambda: Column(b"z", [None, b"\0" * 8, b""], 1, gone=True), "it has been released"),
    "length": (lambda: Column(b"z", [None, b"\0" * 8, b""], -1), "it has -1 items from 0 on"),
    "huge": (lambda: Column(b"z", [None, b"\0" * 8, b""], 1 << 40), "it has 1099511627776 items"),
    "offset": (lambda: Column(b"z", [None, b"\0" * 8, b""], 1, offset=-1), "from -1 on"),
    "buffers": (lambda: Column(b"z", [None, b"\0" * 8], 1), "it has 2 buffers where its type has 3"),
    "fixed": (lambda: Column(b"w:4", [None], 1), "it has 1 buffers where its type has 2"),
    "none": (lambda: Column(b"z", [None, None, None], 1), "it has 1 items, and no memory of them"),
    "ends": (lambda: Column(b"z", [None, struct.pack("<iii", 0, 5, 3), b"12345"], 2), "item 1 lies outside"),
    "begins": (lambda: Column(b"Z", [None, struct.pack("<qq", -5, 3), b"12345"], 1), "item 0 lies outside"),
    "no data": (lambda: Column(b"z", [None, struct.pack("<ii", 0, 5), None], 1), "item 0 lies outside"),
    "validity": (lambda: Column(b"z", [None, b"\0" * 8, b""], 1, nulls=1), "1 items are null, and it does not tell"),
    "view": (lambda: Column(b"vz", [None, views(20, 0, 0, 5), b"x" * 20, struct.pack("<q", 20)], 1), "item 0"),
    "view's buffer": (lambda: Column(b"vz", [None, views(20, 0, 1, 0), b"x" * 20, struct.pack("<q", 20)], 1), "item 0"),
    "view's size": (lambda: Column(b"vz", [None, views(-1, 0, 0, 0), b"x" * 20, struct.pack("<q", 20)], 1), "item 0"),
    "views": (lambda: Column(b"vz", [None, views(1, 0, 0, 0)], 1), "it has 2 buffers"),
    "index": (
        lambda: Column(b"c", [None, b"\1"], 1, dictionary=binary([b"x"])),
        "item 0 is none of its dictionary's 1",
    ),
    "negative": (lambda: Column(b"c", [None, b"\xff"], 1, dictionary=binary([b"x"])), "item 0 is none"),
    "indices": (lambda: Column(b"g", [None, b"\0" * 8], 1, dictionary=binary([b"x"])), "float64 for indices"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("as_keys", [False, True])
def test_what_does_not_hold_together_is_refused_and_let_go(name: str, as_keys: bool) -> None:
    make, text = WRONG[name]
    column = make()
    it = Setup()
    with pytest.raises(ValueError, match=text) as caught:
        it.producer.send_many("t", [b"v"] if as_keys else column, column if as_keys else None)
    assert str(caught.value).startswith("keys is an Arrow array" if as_keys else "values is an Arrow array")
    assert caught.value.accepted == 0 and it.accumulator.used == 0  # type: ignore[attr-defined]
    del caught
    gc.collect()
    assert column.released == (name != "released")


@pytest.mark.parametrize(
    ("format", "name"),
    [(b"l", "int64"), (b"g", "float64"), (b"b", "bool"), (b"tsu:UTC", "timestamp"), (b"d:10,2", "decimal"),
     (b"+l", "list"), (b"?\xff", "the format"), (b"+r", "run_end_encoded")],
)  # fmt: skip
def test_a_type_that_is_not_bytes_is_named(format: bytes, name: str) -> None:
    column = Column(format, [None, b"\0" * 16], 1, name=b"id")
    with pytest.raises(TypeError, match=rf"keys \(column 'id'\) is an Arrow array of {name}.*cast it to binary"):
        sent([b"v"], column)
    stream = Stream(column)
    with pytest.raises(TypeError, match=f"an Arrow array of {name}"):
        sent(stream)
    gc.collect()
    assert stream.released == 1


def test_a_table_is_no_column() -> None:
    with pytest.raises(TypeError, match=r"values is a table .*one of its columns"):
        sent(Column(b"+s", [None], 1))


def test_a_stream_that_fails_in_the_middle_tells_what_it_says() -> None:
    parts = [binary([b"1"] * 5), binary([b"2"] * 5)]
    stream = Stream(*parts, failure="disk gone, naïve".encode())
    with pytest.raises(ValueError, match="values: its Arrow stream failed after 10 rows: disk gone, naïve"):
        sent(stream)
    gc.collect()
    assert [part.released for part in parts] == [1, 1] and stream.released == 1
    with pytest.raises(ValueError, match="values: its Arrow stream failed after 0 rows: error 5"):
        sent(Stream(failure=b""))


def test_a_stream_is_not_read_twice() -> None:
    stream = Stream(binary([b"1"]))
    sent(stream)
    gc.collect()
    with pytest.raises(ValueError, match="read to its end before"):
        sent(stream)


# -- Python's own memory -----------------------------------------------------------------------------------------------


def test_a_memoryview_of_rows() -> None:
    rows = memoryview(b"abcdefghijkl").cast("B", (4, 3))
    assert sent(rows) == [(None, value) for value in (b"abc", b"def", b"ghi", b"jkl")]
    assert sent(rows[1:3], rows[2:]) == [(b"ghi", b"def"), (b"jkl", b"ghi")]
    assert sent(rows[::-2]) == [(None, b"jkl"), (None, b"def")]
    with pytest.raises(TypeError, match="single memoryview"):
        sent(memoryview(b"abc"))
    with pytest.raises(TypeError, match="3 dimensions"):
        sent(memoryview(bytes(8)).cast("B", (2, 2, 2)))
    with pytest.raises(TypeError, match="single memoryview"):
        sent(memoryview(bytes(8)).cast("i"))


# -- waiting, and what is over -----------------------------------------------------------------------------------------


def test_a_memoryview_that_its_owner_lets_go_of() -> None:
    memory = bytearray(b"abcdef" * 1000)
    view = memoryview(memory).cast("B", (2000, 3))

    class LetsGo:
        def serialize(self, topic: str, headers: Any, data: Any) -> Any:
            view.release()
            with pytest.raises(BufferError):
                memory.clear()
            return data

    sender = Setup(linger=0)
    sender.accumulator.set_partition_count("t", 1)
    producer = WaitingProducer(sender.accumulator, key_serializer=LetsGo())
    producer.send_many("t", view, [b"k"] * 2000)
    read = [bytes(record.value) for batch in sender.pull_all() for record in records_of(batch)]
    assert read == [b"abc", b"def"] * 1000
    with pytest.raises(ValueError, match="released"):
        sent(view)
    memory.clear()


class Listed:
    """For NumPy an array, for Python a sequence; and it has no __iter__."""

    def __array__(self, *more: Any) -> Any:
        raise AssertionError

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> int:
        return range(3)[index]


def test_with_a_serializer_what_is_no_column_of_bytes_is_a_sequence() -> None:
    def numbers(values: Any) -> list[bytes]:
        it = Setup(linger=0)
        it.accumulator.set_partition_count("t", 1)
        WaitingProducer(it.accumulator, value_serializer=AsText()).send_many("t", values)
        return [bytes(record.value) for batch in it.pull_all() for record in records_of(batch)]

    assert numbers(Listed()) == [b"0", b"1", b"2"]
    assert numbers(memoryview(b"abcdef").cast("B", (2, 3))) == [b"b'abc'", b"b'def'"]
    with pytest.raises(TypeError, match="single memoryview"):
        numbers(memoryview(b"abc"))


class AsText:
    def serialize(self, topic: str, headers: Any, data: Any) -> bytes:
        return str(data).encode()


def test_what_waits_for_memory_goes_on_and_lets_go_at_its_end() -> None:
    it = Setup(memory=100 * KIB, linger=0)
    it.accumulator.set_partition_count("t", 1)
    items = [b"%050d" % i * 100 for i in range(200)]  # 1 MB
    column = binary(items)
    found = try_send_many(it.producer, "t", column, partition=0)
    records = []
    waits = 0
    while isinstance(found, UnsentRecords):
        assert column.released == 0
        records += [record.value for batch in it.pull_all() for record in records_of(batch)]
        waits += 1
        found = found.try_again()
    records += [record.value for batch in it.pull_all() for record in records_of(batch)]
    assert records == items and waits > 5 and len(found) == 200
    gc.collect()
    assert column.released == 1


def test_what_waits_in_vain_tells_how_many_were_taken_and_lets_go() -> None:
    it = Setup(memory=100 * KIB, linger=0, max_block=0.0)
    column = binary([bytes(5000)] * 200)
    with pytest.raises(KafkaTimeoutError) as caught:
        it.producer.send_many("t", column)
    assert 10 < caught.value.accepted < 25  # type: ignore[attr-defined]
    del caught
    gc.collect()
    assert column.released == 1


def test_one_that_is_too_large_is_found_before_the_first_is_taken() -> None:
    it = Setup(max_request_size=10 * KIB)
    column = binary([b"x", bytes(20 * KIB)])
    with pytest.raises(MessageSizeTooLargeError, match=r"values\[1\]"):
        it.producer.send_many("t", column)
    assert it.accumulator.used == 0
