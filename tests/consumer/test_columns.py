"""Records as columns: the same as records one by one, whatever the batches; and in the hands of Arrow."""

from __future__ import annotations

import gc
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pyarrow
import pytest

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka._codec import Fetched, RecordColumns, take_columns
from kafka.errors import IllegalStateError
from kafka.records.errors import CorruptBatchError
from kafka.testing import EmbeddedCluster
from tests.consumer.batches import batch, fetched, values
from tests.consumer.test_fetched import control, remade
from tests.records.test_batches import message

ALL = 1 << 40


def rows(columns: RecordColumns) -> list[tuple[Any, ...]]:
    assert len(columns) == len(columns.offsets) == len(columns.timestamps) == len(columns.keys) == len(columns.values)
    return list(
        zip(
            columns.offsets.tolist(), columns.timestamps.tolist(), columns.keys, columns.values, columns.headers,
            strict=True,
        )
    )  # fmt: skip


def one_by_one(source: Fetched) -> list[tuple[Any, ...]]:
    found = []
    while taken := source.take(50):
        found += [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in taken]
    return found


def in_columns(source: Fetched, most: int = ALL, enough: int = ALL) -> list[tuple[Any, ...]]:
    found = []
    while (columns := take_columns(source, most, enough)) is not None:
        assert 0 < len(columns) <= most
        found += rows(columns)
    return found


def some_batches(rng: random.Random) -> bytes:
    def some(*choices: Any) -> Any:
        return rng.choice(choices)

    data, base = b"", 0
    for _ in range(rng.randrange(1, 6)):
        if rng.random() < 0.1:
            data += message(rng.randrange(2), base, some(None, b"k"), some(None, b"old"))
            base += 1
            continue
        records = [
            (
                some(None, b"", b"key", rng.randbytes(rng.randrange(90))),
                some(None, b"", b"value", rng.randbytes(rng.randrange(3000))),
                [
                    (some("", "a", "ключ"), some(None, b"", b"x"))
                    for _ in range(some(0, 0, 1, 3))
                ],
            )
            for _ in range(rng.randrange(1, 40))
        ]  # fmt: skip
        data += batch(records, base=base, codec=some("none", "lz4", "zstd"))
        base += len(records) + rng.randrange(3)
    return data


@pytest.mark.parametrize("seed", range(60))
def test_the_same_as_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    data = some_batches(rng)
    at = rng.choice([0, 0, rng.randrange(60)])
    records, columns = fetched(data, at=at), fetched(data, at=at)
    assert in_columns(columns, rng.choice([ALL, 1, 7, 100]), rng.choice([ALL, 1, 5000])) == one_by_one(records)
    assert columns.position.offset == records.position.offset
    assert columns.position.leader_epoch == records.position.leader_epoch


def test_sizes_and_places() -> None:
    columns = take_columns(fetched(batch([(b"k", None, []), (None, b"vw", [("h", b"1")])], base=5)), ALL, ALL)
    assert columns is not None and (columns.topic, columns.partition) == ("t", 0)
    assert columns.keys.starts.tolist() == [0, 1, 1] and bytes(columns.keys.data) == b"k"
    assert columns.values.starts.tolist() == [0, 0, 2] and bytes(columns.values.data) == b"vw"
    assert columns.headers.starts.tolist() == [0, 0, 1] and columns.headers[1] == [("h", b"1")]
    assert (columns.keys[-1], columns.values[0], columns.values[1:], columns.headers[:1]) == (None, None, [b"vw"], [[]])
    assert columns.offsets.format == "q" and columns.offsets.readonly and columns.values.data.readonly
    assert repr(columns) == "<2 records of t[0], offsets 5 to 6>"
    assert columns.nbytes == 2 * 16 + 3 * 4 + 1 + 3 * 4 + 2 + 3 * 4 + 2 * 4 + 1 + 2 * 4 + 1
    for at in (2, -3, 1 << 70):
        for column in (columns.keys, columns.values, columns.headers):
            with pytest.raises(IndexError):
                column[at]
    with pytest.raises(TypeError):
        columns.values["0"]  # type: ignore[call-overload]


def test_a_view_outlives_the_columns() -> None:
    columns = take_columns(fetched(values(b"abc", b"def")), ALL, ALL)
    assert columns is not None
    view, offsets = columns.values.data, columns.offsets
    del columns
    gc.collect()
    assert bytes(view) == b"abcdef" and offsets.tolist() == [0, 1]


def test_what_was_aborted_and_markers() -> None:
    def written(base: int, pid: int, value: bytes) -> bytes:
        return values(value, base=base, transactional=True, producer_id=pid, producer_epoch=0, base_sequence=0)

    data = values(b"a") + written(1, 7, b"gone") + control(2, 7, False) + written(3, 7, b"b") + control(4, 7, True)
    source = fetched(data, aborted=[(7, 1)], read_committed=True)
    assert [row[3] for row in in_columns(source)] == [b"a", b"b"] and source.position.offset == 5


def test_the_good_ones_come_before_what_is_wrong() -> None:
    good, bad = values(b"a", b"b"), bytearray(values(b"c", base=2))
    bad[-1] ^= 1
    source = fetched(good + bytes(bad) + values(b"d", base=3))
    assert [row[3] for row in rows(take_columns(source, ALL, ALL))] == [b"a", b"b"]
    for _ in range(2):
        with pytest.raises(CorruptBatchError, match=r"t\[0\].* offset 2"):
            take_columns(source, ALL, ALL)
    # Within a batch: the second record's length reaches past the end.
    inside = bytearray(values(b"a", b"b"))
    inside[-len(b"b") - 7] = 0x7E
    source = fetched(remade(inside))
    assert [row[3] for row in rows(take_columns(source, ALL, ALL))] == [b"a"]
    with pytest.raises(CorruptBatchError, match="a record, 1 before its end, that has a length"):
        take_columns(source, ALL, ALL)


@pytest.mark.parametrize("seed", range(40))
def test_bytes_that_lie(seed: int) -> None:
    """The same records and the same error as one by one, whatever a byte is turned into."""
    rng = random.Random(seed)
    data = bytearray(batch([(b"k", b"value", [("h", b"x")]), (None, b"w" * 40, [])] * 3))
    for _ in range(60):
        changed = bytearray(data)
        changed[rng.randrange(61, len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del changed[rng.randrange(61, len(changed)) :]
            changed[8:12] = (len(changed) - 12).to_bytes(4, "big")
        told: list[Any] = []
        for read in (one_by_one, in_columns):
            source = fetched(remade(changed))
            found: list[Any] = []
            try:
                while True:
                    some = read_some(source) if read is one_by_one else take_columns(source, 2, ALL)
                    if not some:
                        break
                    found += some if read is one_by_one else rows(some)
            except CorruptBatchError as error:
                found.append(str(error))
            told.append(found)
        assert told[0] == told[1]


def read_some(source: Fetched) -> list[tuple[Any, ...]]:
    return [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in source.take(2)]


def test_keys_of_headers_that_are_no_utf8() -> None:
    data = bytearray(batch([(None, b"v", [("ab", b"x"), ("é", b"y")])]))
    data[data.index(b"ab")] = 0xFF
    columns = take_columns(fetched(remade(data)), ALL, ALL)
    assert columns is not None
    assert columns.headers[0] == fetched(remade(data)).take(1)[0].headers == [("\ufffdb", b"x"), ("é", b"y")]
    table = pyarrow.record_batch(columns)
    table.validate(full=True)
    assert table.column("headers").to_pylist() == [[{"key": "\ufffdb", "value": b"x"}, {"key": "é", "value": b"y"}]]


@pytest.mark.parametrize("seed", range(20))
def test_arrow(seed: int) -> None:
    data = some_batches(random.Random(1000 + seed))
    columns = take_columns(fetched(data), ALL, ALL)
    assert columns is not None
    expected = rows(columns)
    table = pyarrow.record_batch(columns)
    table.validate(full=True)
    assert str(table.schema) == (
        "topic: dictionary<values=string, indices=int8, ordered=0> not null\npartition: int32 not null\n"
        "offset: int64 not null\ntimestamp: timestamp[ms, tz=UTC] not null\nkey: binary\nvalue: binary\n"
        "headers: list<item: struct<key: string not null, value: binary> not null> not null\n"
        "  child 0, item: struct<key: string not null, value: binary> not null\n"
        "      child 0, key: string not null\n      child 1, value: binary"
    )
    assert table.column("value").null_count == sum(row[3] is None for row in expected)
    found = table.set_column(3, "timestamp", table.column("timestamp").cast("int64")).to_pylist()
    assert [
        (row["offset"], row["timestamp"], row["key"], row["value"], [tuple(h.values()) for h in row["headers"]])
        for row in found
    ] == expected
    assert {(row["topic"], row["partition"]) for row in found} == {("t", 0)}


def test_arrow_keeps_what_it_took_and_nothing_else() -> None:
    columns = take_columns(fetched(values(b"abc", b"def")), ALL, ALL)
    assert columns is not None
    values_of_columns = columns.values
    alone = sys.getrefcount(values_of_columns)
    columns.__arrow_c_array__()  # offered, but nobody takes it
    columns.__arrow_c_schema__()
    column = pyarrow.record_batch(columns).column("value")
    del columns
    gc.collect()
    assert sys.getrefcount(values_of_columns) == alone
    assert column.to_pylist() == [b"abc", b"def"]
    del column
    gc.collect()
    assert sys.getrefcount(values_of_columns) == alone - 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster() as cluster:
        yield cluster


def filled(cluster: EmbeddedCluster, topic: str, count: int, partitions: int = 2) -> set[TopicPartition]:
    cluster.create_topic(topic, partitions)
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, batch_size=1000) as producer:
        for number in range(count):
            producer.send(topic, b"%d" % number, partition=number % partitions)
    return {TopicPartition(topic, partition) for partition in range(partitions)}


def consumer(cluster: EmbeddedCluster, **configs: Any) -> KafkaConsumer:
    return KafkaConsumer(bootstrap_servers=cluster.bootstrap, **{"auto_offset_reset": "earliest", **configs})


def test_polling_for_batches(cluster: EmbeddedCluster) -> None:
    partitions = filled(cluster, "polled", 3000)
    with consumer(cluster) as reader:
        assert reader.poll_batches() == []
        reader.assign(partitions)
        first = reader.poll_batches(10_000, max_records=10)
        assert sum(map(len, first)) <= 10
        read = list(first)
        while sum(map(len, read)) < 3000:
            found = reader.poll_batches(10_000)
            assert found
            read += found
        values = {tp: [int(v) for c in read if c.partition == tp.partition for v in c.values] for tp in partitions}
        assert values == {tp: list(range(tp.partition, 3000, 2)) for tp in partitions}
        assert {tp: reader.position(tp) for tp in partitions} == dict.fromkeys(partitions, 1500)
        assert reader.poll_batches(10) == []
        # The three ways of reading go on where the other one was.
        reader.seek_to_beginning()
        assert len(reader.poll(10_000, max_records=5)) == 1
        (some,) = reader.poll_batches(10_000, max_records=1)
        record = next(reader)
        assert (some.offsets[0], record.offset, record.partition) == (5, 6, some.partition)


def test_what_was_polled_as_batches_is_committed(cluster: EmbeddedCluster) -> None:
    (tp,) = filled(cluster, "committed", 20, partitions=1)
    for expected in (12, 20):
        with consumer(cluster, group_id="g") as reader:
            reader.subscribe(["committed"])
            read = 0
            while read < 12 and (found := reader.poll_batches(10_000, max_records=12 - read)):
                read += sum(map(len, found))
                if expected == 20 and read == 8:
                    break
        with consumer(cluster, group_id="g") as reader:
            assert reader.committed(tp) == expected


def test_a_broken_batch_comes_after_the_good_ones_of_others(cluster: EmbeddedCluster) -> None:
    """And is heard of in the next call, which nothing else waits for."""
    good, bad = sorted(filled(cluster, "broken", 40))
    with consumer(cluster, check_crcs=True) as reader:
        reader.assign([good, bad])
        reader.seek(good, 0)
        data = bytearray(values(b"x", base=0))
        data[-1] ^= 1
        position = reader._positions[bad]
        read, told = 0, []
        reader._deliveries.arrived.append(Fetched(position, reader._fetch.rules, bytes(data)))
        while read < 20 or not told:
            try:
                read += sum(len(columns) for columns in reader.poll_batches(5000) if columns.partition == 0)
            except CorruptBatchError as error:
                told.append((error.topic, error.partition))
        assert read == 20 and set(told) == {("broken", 1)}


def test_polling_for_batches_wrongly(cluster: EmbeddedCluster) -> None:
    with consumer(cluster, value_deserializer=bytes.decode) as reader, pytest.raises(ValueError, match="deserializer"):
        reader.poll_batches()
    with consumer(cluster) as reader:
        for wrong in ({"timeout_ms": -1}, {"max_records": 0}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                reader.poll_batches(**wrong)
    with pytest.raises(IllegalStateError):
        reader.poll_batches()


def test_another_thread_that_computes_goes_on(cluster: EmbeddedCluster) -> None:
    """The records are taken apart without the GIL."""
    data = batch([(None, bytes(20), [])] * 60_000)
    told = threading.Event()
    turns = 0

    def compute() -> None:
        nonlocal turns
        while not told.is_set():
            turns += 1
            time.sleep(0)

    thread = threading.Thread(target=compute)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(100.0)  # nobody gives the GIL up but of its own accord
    thread.start()
    try:
        for _ in range(500):  # the other thread may find no core at once
            source = fetched(data, check_crc=False)
            before = turns
            columns = take_columns(source, ALL, ALL)
            if (after := turns) > before:
                break
    finally:
        told.set()
        thread.join()
        sys.setswitchinterval(switch)
    assert columns is not None and len(columns) == 60_000
    assert after > before


def test_a_truncation_that_is_found_meanwhile() -> None:
    """The IO thread moves the position while the records are taken apart: it stays where it was moved."""
    data = values(b"before") + batch([(None, bytes(20), [])] * 60_000, base=1)
    started, moved = threading.Event(), threading.Event()
    outcomes = set()
    source = fetched(data, check_crc=False)

    def truncate() -> None:
        while not moved.is_set():
            if started.is_set():
                source.position.move(0, -1)
                moved.set()
            time.sleep(0)

    switch = sys.getswitchinterval()
    sys.setswitchinterval(100.0)
    try:
        for _ in range(500):  # the other thread may find no core at once
            source = fetched(data, check_crc=False)
            started.clear()
            moved.clear()
            thread = threading.Thread(target=truncate)
            thread.start()
            started.set()
            columns = take_columns(source, ALL, ALL)
            is_within = moved.is_set()
            thread.join()
            assert source.position.offset == 0
            if columns is None:  # found while the first batch was taken apart
                assert is_within
            elif is_within:
                outcomes.add(len(columns))
                assert rows(columns) == [(0, 1000, None, b"before", [])]
                pyarrow.record_batch(columns).validate(full=True)
                break
    finally:
        sys.setswitchinterval(switch)
    assert outcomes == {1}
