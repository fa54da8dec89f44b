"""Reading to the end as of now, and no further, on the embedded broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from kafka import KafkaProducer, TopicPartition
from kafka.testing import EmbeddedCluster

T0, T1, T2 = (TopicPartition("t", number) for number in range(3))


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(nodes=2, topics={"t": 3}) as cluster:
        yield cluster


@pytest.fixture
def consumer_defaults() -> dict[str, Any]:
    return {}


def send(producer: KafkaProducer, numbers: Any, **options: Any) -> None:
    for number in numbers:
        producer.send("t", b"%d" % number, **options)
    producer.flush()


def test_from_offsets_to_the_end_as_of_now(producer: KafkaProducer, make: Any) -> None:
    for partition in range(2):
        send(producer, range(100), partition=partition)
    consumer = make()
    reading = consumer.read_to_end({T0: 10, T1: 0, T2: 0})
    assert (reading.total, reading.left, reading.is_done) == (190, 190, False)
    assert (reading.starts, reading.ends) == ({T0: 10, T1: 0, T2: 0}, {T0: 100, T1: 100, T2: 0})
    send(producer, range(100, 200), partition=0)  # that is later
    found: dict[TopicPartition, list[int]] = {}
    while not reading.is_done:
        for tp, records in reading.poll(5000, 7).items():
            assert len(records) <= 7
            found.setdefault(tp, []).extend(record.offset for record in records)
        assert reading.left == reading.total - sum(map(len, found.values()))
    assert found == {T0: list(range(10, 100)), T1: list(range(100))}
    assert reading.poll(1000) == {} and list(reading) == []
    assert [consumer.position(tp) for tp in (T0, T1, T2)] == [100, 100, 0]
    assert next(consumer).offset == 100  # what is later is read on, if somebody wants that


def test_a_loop_that_is_left_is_gone_on_with(producer: KafkaProducer, make: Any) -> None:
    for partition in range(2):
        send(producer, range(600), partition=partition)
    consumer = make(group_id="left", enable_auto_commit=False)
    reading = consumer.read_to_end({T0: 0, T1: 0})
    read = []
    while not reading.is_done:
        for number, record in enumerate(reading):
            read.append((record.partition, record.offset))
            # What is committed now was handed out, all of it and no more.
            assert sum(consumer.position(tp) for tp in (T0, T1)) == len(read) == 1200 - reading.left
            if number == 99:
                break
    assert sorted(read) == [(partition, offset) for partition in range(2) for offset in range(600)]


def test_a_loop_whose_body_reads_seeks_and_fails(producer: KafkaProducer, make: Any) -> None:
    send(producer, range(100), partition=0)
    consumer = make()
    reading = consumer.read_to_end({T0: 0})
    read = []
    with pytest.raises(ZeroDivisionError):
        for record in reading:
            read.append(record.offset)
            if record.offset == 10:
                read += [each.offset for records in consumer.poll(5000, 5).values() for each in records]
            if record.offset == 20:
                consumer.seek(T0, 90)
            if record.offset == 95:
                raise ZeroDivisionError
    read += [record.offset for record in reading]
    assert read == [*range(21), *range(90, 100)] and reading.is_done


@pytest.mark.parametrize("way", ["poll", "iterate"])
def test_what_is_behind_the_end_is_left_alone(producer: KafkaProducer, make: Any, way: str) -> None:
    """Neither deserialized nor passed over, though it was fetched together with what is before."""
    for partition, count in ((0, 3), (1, 6)):
        send(producer, range(count), partition=partition)
    consumer = make(value_deserializer=int)
    ask = consumer.end_offsets

    def then_more(*args: Any) -> Any:
        found = ask(*args)
        producer.send("t", b"poison", partition=0)
        send(producer, range(4, 6), partition=0)
        return found

    consumer.end_offsets = then_more
    reading = consumer.read_to_end({T0: 0, T1: 0})
    read = []
    if way == "iterate":
        read = [(record.partition, record.offset) for record in reading]
    while not reading.is_done:
        for tp, records in reading.poll(5000, 3).items():
            read += [(tp.partition, record.offset) for record in records]
    assert sorted(read) == [*((0, n) for n in range(3)), *((1, n) for n in range(6))]
    assert [consumer.position(tp) for tp in (T0, T1)] == [3, 6]
    consumer.seek(T0, 4)
    assert next(consumer).offset == 4


@pytest.mark.parametrize("way", ["poll", "iterate"])
def test_wakeup(make: Any, producer: KafkaProducer, way: str) -> None:
    """Also one that comes while it looks for what has arrived."""
    send(producer, [1], partition=0)
    consumer = make()
    reading = consumer.read_to_end({T0: 0})
    reading.ends[T0] = 5  # which will not come
    assert len(reading.poll(5000)[T0]) == 1
    attend, woken = consumer._attend, []

    def then_woken() -> None:
        attend()
        if not woken:
            woken.append(1)
            consumer.wakeup()

    consumer._attend = then_woken
    if way == "poll":
        assert reading.poll(60_000) == {}
    else:
        assert list(reading) == []
    assert woken


def test_from_times_on(producer: KafkaProducer, make: Any) -> None:
    for number in range(10):
        send(producer, [number], partition=number % 2, timestamp_ms=1_700_000_000_000 + number)
    consumer = make()
    reading = consumer.read_to_end({T1: 3}, times={T0: 1_700_000_000_005, T2: 1_700_000_000_000})
    assert sorted(int(record.value) for record in reading) == [6, 7, 8, 9]
    assert list(consumer.read_to_end(times={T0: 1_800_000_000_000})) == []
    with pytest.raises(ValueError, match="an offset and a time"):
        consumer.read_to_end({T0: 0}, {T0: 5})
    with pytest.raises(ValueError, match="0 or more: -1"):
        consumer.read_to_end({T0: -1})


def test_beginnings_and_ends_bound_what_is_asked_for(cluster: EmbeddedCluster, make: Any) -> None:
    assert list(make().read_to_end({T0: 1000, T1: 5})) == []


def test_the_last_offsets_have_no_records(cluster: EmbeddedCluster, producer: KafkaProducer, make: Any) -> None:
    """What compaction took at the end of a log: no answer ever has anything there."""
    send(producer, range(10), partition=0)
    cluster.topics["t"].partitions[0].log.end += 5
    consumer = make(fetch_max_wait_ms=50, auto_offset_reset="none")
    reading = consumer.read_to_end({T0: 0})
    assert reading.total == 15
    assert [record.offset for record in reading] == list(range(10))
    assert reading.left == 0 and consumer.position(T0) == 15
    assert list(consumer.read_to_end({T0: 12})) == []  # nothing at all


@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
def test_aborted_transactions_and_markers_at_the_end(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any, isolation: str
) -> None:
    send(producer, range(3), partition=0)
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="x") as transactional:
        transactional.init_transactions()
        transactional.begin_transaction()
        send(transactional, range(3, 6), partition=0)
        transactional.abort_transaction()
        started = time.monotonic()
        wanted = range(3) if isolation == "read_committed" else range(6)
        found = list(make(isolation_level=isolation).read_to_end({T0: 0}))
        assert [record.offset for record in found] == list(wanted) and time.monotonic() - started < 20
        transactional.begin_transaction()
        send(transactional, [7], partition=0)  # and nobody knows what becomes of it
        reading = make(isolation_level=isolation).read_to_end({T0: 0})
        assert len(list(reading)) == (3 if isolation == "read_committed" else 7)
        transactional.abort_transaction()


def test_a_partition_that_is_no_longer_read_is_given_up(producer: KafkaProducer, make: Any) -> None:
    for partition in range(2):
        send(producer, range(5), partition=partition)
    consumer = make()
    reading = consumer.read_to_end({T0: 0, T1: 0})
    assert reading.is_current
    consumer.assign([T1])
    assert not reading.is_current
    assert [(record.partition, record.offset) for record in reading] == [(1, number) for number in range(5)]


def test_wakeup_ends_a_poll(cluster: EmbeddedCluster, producer: KafkaProducer, make: Any) -> None:
    send(producer, [1], partition=0)
    cluster.topics["t"].partitions[0].log.end += 5
    consumer = make()
    reading = consumer.read_to_end({T0: 1})
    consumer.wakeup()
    assert reading.poll(60_000) == {} and not reading.is_done


def test_a_range_that_was_left_before_its_end_binds_the_next_one_to_nothing(producer: KafkaProducer, make: Any) -> None:
    send(producer, range(5), partition=0)
    consumer = make(consumer_timeout_ms=5000)
    assert len(consumer.read_to_end({T0: 0}).poll(5000, 2)[T0]) == 2
    assert list(consumer.read_to_end({T0: 5})) == []
    send(producer, [5], partition=0)
    assert next(consumer).offset == 5
