"""The public consumer on the embedded broker, as its users use it; without a group."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    ConfigurationValueError,
    IllegalStateError,
    NoBrokersAvailable,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordDeserializationError,
)
from kafka.testing import EmbeddedCluster

T0, T1, T2 = (TopicPartition("t", number) for number in range(3))


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(nodes=2) as cluster:
        yield cluster


@pytest.fixture
def topic(cluster: EmbeddedCluster) -> Iterator[str]:
    cluster.create_topic("t", 3)
    yield "t"
    cluster.delete_topic("t")


@pytest.fixture
def consumer_defaults() -> dict[str, Any]:
    return {"auto_offset_reset": "earliest", "consumer_timeout_ms": 5000}


def fill(producer: KafkaProducer, count: int, topic: str = "t") -> None:
    for number in range(count):
        producer.send(topic, b"%d" % number, partition=number % 3)
    producer.flush()


def numbers(records: Any) -> list[int]:
    return [int(record.value) for record in records]


def test_iterating_over_subscribed_topics(topic: str, producer: KafkaProducer, make: Any) -> None:
    fill(producer, 300)
    consumer = make("t")
    read = [next(consumer) for _ in range(300)]
    assert sorted(numbers(read)) == list(range(300))
    for tp in (T0, T1, T2):
        mine = [record for record in read if record.partition == tp.partition]
        assert [record.offset for record in mine] == list(range(100))
        assert consumer.position(tp) == 100 and consumer.highwater(tp) == 100
    assert consumer.subscription() == {"t"} and consumer.assignment() == {T0, T1, T2}
    assert iter(consumer) is consumer


def test_the_iterator_ends_after_its_time_and_goes_on_later(topic: str, producer: KafkaProducer, make: Any) -> None:
    consumer = make("t", consumer_timeout_ms=300)
    assert list(consumer) == []
    fill(producer, 3)
    assert sorted(numbers(consumer)) == [0, 1, 2]
    assert list(consumer) == []


def test_poll(topic: str, producer: KafkaProducer, make: Any) -> None:
    consumer = make()
    assert consumer.poll() == {} and consumer.assignment() == set()
    consumer.assign([T0, T1, T0])
    assert consumer.assignment() == {T0, T1}
    fill(producer, 90)
    got: dict[TopicPartition, list[int]] = {T0: [], T1: []}
    while sum(map(len, got.values())) < 60:
        polled = consumer.poll(timeout_ms=5000, max_records=7)
        assert 0 < sum(map(len, polled.values())) <= 7
        for tp, records in polled.items():
            got[tp] += numbers(records)
    assert got == {T0: list(range(0, 90, 3)), T1: list(range(1, 90, 3))}
    began = time.monotonic()
    assert consumer.poll(timeout_ms=200) == {}
    assert time.monotonic() - began >= 0.2
    for wrong in ({"timeout_ms": -1}, {"max_records": 0}):
        with pytest.raises(ValueError, match="must be"):
            consumer.poll(**wrong)


def test_assign_and_subscribe_do_not_go_together(topic: str, make: Any) -> None:
    consumer = make()
    consumer.assign([T0])
    with pytest.raises(IllegalStateError, match="do not go together"):
        consumer.subscribe(["t"])
    consumer.unsubscribe()
    consumer.subscribe(["t"])
    with pytest.raises(IllegalStateError, match="do not go together"):
        consumer.assign([T0])
    for wrong, error in (("t", TypeError), ([], ValueError), ([1], TypeError)):
        with pytest.raises(error):
            consumer.subscribe(wrong)
    with pytest.raises(TypeError, match="TopicPartition"):
        make().assign([("t", 0)])


def test_seek_and_position(topic: str, producer: KafkaProducer, make: Any) -> None:
    fill(producer, 30)
    consumer = make()
    consumer.assign([T0])
    assert consumer.position(T0) == 0
    consumer.seek(T0, 7)
    assert consumer.position(T0) == 7
    assert next(consumer).offset == 7
    consumer.seek_to_end()
    assert consumer.position(T0) == 10
    consumer.seek_to_beginning(T0)
    assert next(consumer).offset == 0 and next(consumer).offset == 1
    consumer.seek(T0, 9)
    assert [record.offset for record in consumer.poll(5000)[T0]] == [9]
    for wrong in (-1, 1.5, "1"):
        with pytest.raises(ValueError, match="offset"):
            consumer.seek(T0, wrong)
    with pytest.raises(ValueError, match=r"t\[1\] is not assigned"):
        consumer.seek(T1, 0)
    with pytest.raises(IllegalStateError, match=r"t\[1\] is not assigned"):
        consumer.position(T1)


def test_pause_and_resume(topic: str, producer: KafkaProducer, make: Any) -> None:
    fill(producer, 300)
    consumer = make()
    consumer.assign([T0, T1])
    first = next(consumer)
    tp = TopicPartition("t", first.partition)
    consumer.pause(tp)
    assert consumer.paused() == {tp}
    others = [next(consumer) for _ in range(100)]
    assert {record.partition for record in others} == {1 - first.partition}
    assert consumer.poll(200) == {}
    consumer.resume(tp)
    assert [next(consumer).offset for _ in range(99)] == list(range(1, 100))
    with pytest.raises(KeyError):
        consumer.pause(T2)


def test_offsets(topic: str, producer: KafkaProducer, make: Any) -> None:
    for number in range(5):
        producer.send("t", b"x", partition=0, timestamp_ms=1000 + number * 10)
    producer.flush()
    consumer = make()
    assert consumer.beginning_offsets([T0, T1]) == {T0: 0, T1: 0}
    assert consumer.end_offsets([T0, T1]) == {T0: 5, T1: 0}
    assert consumer.end_offsets([]) == {}
    found = consumer.offsets_for_times({T0: 1015, T1: 0, T2: 5})
    assert (found[T0].offset, found[T0].timestamp) == (2, 1020)
    assert found[T1] is None and found[T2] is None
    assert consumer.offsets_for_times({T0: 9999}) == {T0: None}
    with pytest.raises(ValueError, match="0 or more"):
        consumer.offsets_for_times({T0: -1})


def test_topics(topic: str, make: Any) -> None:
    consumer = make()
    assert "t" in consumer.topics()
    assert consumer.partitions_for_topic("t") == {0, 1, 2}
    assert consumer.partitions_for_topic("there-is-none") == set()
    assert "there-is-none" not in consumer.topics()


def test_deserializers(topic: str, producer: KafkaProducer, make: Any) -> None:
    producer.send("t", b"1", key=b"k", partition=0)
    producer.send("t", b"x", partition=0)
    producer.send("t", b"3", partition=0)
    producer.send("t", b"y", partition=1)
    producer.flush()
    consumer = make(value_deserializer=int, key_deserializer=lambda key: key and key.decode())
    consumer.assign([T0])
    record = next(consumer)
    assert (record.key, record.value) == ("k", 1)
    for _ in range(2):
        with pytest.raises(RecordDeserializationError, match=r"offset 1 of t\[0\]") as caught:
            next(consumer)
        assert caught.value.record.value == b"x"
    consumer.seek(T0, 2)
    assert next(consumer).value == 3


def test_what_is_wrong_with_one_partition_holds_up_no_other(topic: str, producer: KafkaProducer, make: Any) -> None:
    producer.send("t", b"x", partition=0)
    for number in range(100):
        producer.send("t", b"%d" % number, partition=1)
    producer.flush()
    consumer = make(value_deserializer=int, max_poll_records=10)
    consumer.assign([T0, T1])
    read, errors = [], 0
    deadline = time.monotonic() + 20
    while (len(read) < 100 or errors < 3) and time.monotonic() < deadline:
        try:
            for records in consumer.poll(100).values():
                read += [record.value for record in records]
        except RecordDeserializationError:
            errors += 1
    assert read == list(range(100)) and errors >= 3


def test_no_offset_and_no_policy(topic: str, producer: KafkaProducer, make: Any) -> None:
    fill(producer, 3)
    consumer = make(auto_offset_reset="none")
    consumer.assign([T0])
    for _ in range(2):
        with pytest.raises(NoOffsetForPartitionError, match=r"t\[0\]"):
            consumer.position(T0)
        with pytest.raises(NoOffsetForPartitionError):
            consumer.poll(5000)
    consumer.seek(T0, 100)
    with pytest.raises(OffsetOutOfRangeError):
        consumer.poll(5000)
    consumer.seek(T0, 0)
    assert numbers(consumer.poll(5000)[T0]) == [0]


def test_from_a_time_ago(topic: str, producer: KafkaProducer, make: Any) -> None:
    now = round(time.time() * 1000)
    for age in (7200, 3000, 10):
        producer.send("t", b"%d" % age, partition=0, timestamp_ms=now - age * 1000)
    producer.flush()
    consumer = make("t", auto_offset_reset="by_duration:PT1H")
    assert numbers([next(consumer), next(consumer)]) == [3000, 10]
    for wrong in ("by_duration:1h", "by_duration:P", "by_duration:", 5, "sometimes"):
        with pytest.raises(ConfigurationValueError, match="auto_offset_reset"):
            make(auto_offset_reset=wrong)


def test_read_committed(cluster: EmbeddedCluster, topic: str, make: Any) -> None:
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="x") as producer:
        producer.init_transactions()
        for number, commit in enumerate((True, False, True)):
            producer.begin_transaction()
            producer.send("t", b"%d" % number, partition=0)
            producer.commit_transaction() if commit else producer.abort_transaction()
        producer.begin_transaction()
        producer.send("t", b"open", partition=0).get(10)
        consumer = make(isolation_level="read_committed")
        consumer.assign([T0])
        assert numbers([next(consumer), next(consumer)]) == [0, 2]
        assert consumer.poll(300) == {}
        assert consumer.end_offsets([T0]) == {T0: consumer.position(T0)}
        dirty = make()
        dirty.assign([T0])
        assert [next(dirty).value for _ in range(4)] == [b"0", b"1", b"2", b"open"]
        producer.abort_transaction()


def test_wakeup_ends_a_poll(topic: str, make: Any) -> None:
    consumer = make("t")
    threading.Timer(0.3, consumer.wakeup).start()
    began = time.monotonic()
    assert consumer.poll(timeout_ms=20000) == {}
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("method", ["poll", "poll_batches"])
def test_wakeup_ends_no_poll_but_the_next(topic: str, producer: KafkaProducer, make: Any, method: str) -> None:
    fill(producer, 1)
    consumer = make()
    consumer.assign([T0])
    until_fetched(consumer, 1)
    consumer.wakeup()
    poll = getattr(consumer, method)
    assert poll(timeout_ms=20000)  # it need not wait
    threading.Timer(0.3, producer.send, ("t", b"later"), {"partition": 0}).start()
    assert poll(timeout_ms=20000)


def test_the_end(topic: str, producer: KafkaProducer, make: Any) -> None:
    fill(producer, 3)
    consumer = make("t")
    next(consumer)
    consumer.close()
    consumer.close()
    with pytest.raises(StopIteration):
        next(consumer)
    with pytest.raises(IllegalStateError, match="closed"):
        consumer.poll()
    with make("t") as other:
        next(other)
    with pytest.raises(IllegalStateError, match="closed"):
        other.subscribe(["t"])


def test_closing_from_another_thread_ends_a_poll(topic: str, make: Any) -> None:
    consumer = make("t")
    threading.Timer(0.3, consumer.close).start()
    with pytest.raises(IllegalStateError, match="closed"):
        consumer.poll(timeout_ms=20000)


def test_configuration() -> None:
    with pytest.raises(ConfigurationValueError, match="auto_offset_reset"):
        KafkaConsumer(auto_ofset_reset="earliest")
    with pytest.raises(ConfigurationValueError, match="fetch_max_wait_ms"):
        KafkaConsumer(fetch_max_wait_ms=40000)
    with pytest.raises(NoBrokersAvailable):
        KafkaConsumer(bootstrap_servers="127.0.0.1:1", bootstrap_timeout_ms=1000)


def test_what_paused_partitions_hold_is_let_go_where_others_need_the_memory(
    topic: str, producer: KafkaProducer, make: Any
) -> None:
    for number in range(120):
        producer.send("t", b"%05d" % number + bytes(20_000), partition=number % 3)
    producer.flush()
    consumer = make(max_partition_fetch_bytes=100_000, fetch_buffer_bytes=250_000, max_poll_records=1)
    read: dict[int, list[int]] = {0: [], 1: [], 2: []}

    def poll() -> None:
        polled = consumer.poll(5000)
        assert polled, read
        for tp, records in polled.items():
            read[tp.partition] += [int(record.value[:5]) for record in records]

    consumer.assign([T0, T1])
    while not (read[0] and read[1]):
        poll()
    consumer.pause(T0, T1)
    consumer.assign([T0, T1, T2])  # what the first two have fetched is kept, and nearly all that may be
    while len(read[2]) < 40:
        poll()
    consumer.resume(T0, T1)
    while len(read[0]) + len(read[1]) < 80:
        poll()
    assert read == {number: list(range(number, 120, 3)) for number in range(3)}


def test_what_came_in_several_answers_keeps_its_order_through_a_pause(
    topic: str, producer: KafkaProducer, make: Any
) -> None:
    consumer = make(max_poll_records=1)
    consumer.assign([T0, T1])
    for number in range(5):  # an answer each
        producer.send("t", b"%d" % number, partition=0)
        producer.send("t", b"x", partition=1).get(10)
        until_fetched(consumer, 2 * number + 2)
    consumer.pause(T0)
    while consumer.poll(300):
        pass
    consumer.resume(T0)
    assert numbers(next(consumer) for _ in range(5)) == [0, 1, 2, 3, 4]


def until_fetched(consumer: KafkaConsumer, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(consumer._deliveries.arrived) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
