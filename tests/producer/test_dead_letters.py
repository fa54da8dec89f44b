"""What a callback sends, above all to a topic that was not used before: a dead letter, say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kafka import KafkaProducer
from kafka.errors import DeliveryFailed, IllegalStateError, KafkaError, KafkaTimeoutError
from kafka.protocol import MetadataRequest, ProduceRequest
from kafka.records import Record
from kafka.structs import TopicPartition
from tests.producer.brokers import (
    SILENCE,
    TOPIC_AUTHORIZATION_FAILED,
    Node,
    ScriptedCluster,
    refuse_all,
)

Make = Callable[..., KafkaProducer]


def by_length(key: Any, every: list[int], available: list[int]) -> int:
    return len(key or b"") % len(every)


@pytest.fixture
def refusing(cluster: ScriptedCluster) -> ScriptedCluster:
    """Nobody may produce to `t`; `dead` has three partitions."""

    def script(node: Node, header: Any, request: Any) -> Any:
        if isinstance(request, ProduceRequest) and request.topic_data[0].name == "t":
            return refuse_all(request, TOPIC_AUTHORIZATION_FAILED)
        return None

    cluster.script = script
    cluster.leaders["dead"] = [1, 1, 1]
    return cluster


class Letters:
    """Sends what failed to `topic`, and keeps the futures of that and what was raised."""

    def __init__(self, producer: KafkaProducer, topic: str = "dead", **options: Any) -> None:
        self.producer, self.topic, self.options = producer, topic, options
        self.futures: list[Any] = []
        self.raised: list[BaseException] = []

    def fail(self, count: int = 5) -> None:
        for number in range(count):
            key = b"key %d" % number if "key" not in self.options else self.options["key"]
            self.producer.send("t", b"%d" % number).add_errback(self.send, b"%d" % number, key)

    def send(self, value: bytes, key: bytes, error: BaseException) -> None:
        try:
            self.futures.append(self.producer.send(self.topic, value, **{"key": key, **self.options}))
        except BaseException as raised:
            self.raised.append(raised.with_traceback(None))  # which would keep the IO thread's frames


def is_empty(producer: KafkaProducer) -> None:
    end = time.monotonic() + 10
    while producer.buffered_bytes:
        assert time.monotonic() < end
        time.sleep(0.01)


def in_dead(cluster: ScriptedCluster) -> list[Record]:
    return [record for partition in range(3) for record in cluster.records("dead", partition)]


@pytest.mark.parametrize("partitioner", ["murmur2", "crc32", "round_robin", by_length])
@pytest.mark.parametrize("end", ["flush", "close", "drop", "get"])
def test_dead_letters_arrive_where_they_belong(
    refusing: ScriptedCluster, make_producer: Make, partitioner: Any, end: str
) -> None:
    producer = KafkaProducer(bootstrap_servers=refusing.bootstrap, partitioner=partitioner)
    known = make_producer(partitioner=partitioner)
    known.partitions_for("dead")
    letters = Letters(producer)
    letters.fail()
    if end != "close":
        producer.flush(10)
    if end == "get":
        assert {future.get(10).topic for future in letters.futures} == {"dead"}
    if end == "drop":
        futures = letters.futures
        del letters.producer, producer
        assert [future.get(10).topic for future in futures] == ["dead"] * 5
    else:
        producer.close()
    if end != "close":  # which lets no callback send any more
        assert letters.raised == [] and len(letters.futures) == 5
    values = sorted(record.value or b"" for record in in_dead(refusing))
    assert values == sorted(b"%d" % number for number in range(len(letters.futures)))
    for number, future in enumerate(letters.futures):
        metadata = future.value
        record = refusing.records("dead", metadata.partition)[metadata.offset]
        assert record.key == b"key %d" % number and record.value == b"%d" % number
        assert future.topic_partition == TopicPartition("dead", metadata.partition)
        assert (metadata.serialized_key_size, metadata.serialized_value_size) == (5, 1)
        if partitioner != "round_robin":
            assert known.send("dead", b"", record.key).get(10).partition == metadata.partition


@pytest.mark.parametrize("end", ["flush", "close"])
def test_flush_and_close_wait_for_what_callbacks_have_sent(
    refusing: ScriptedCluster, make_producer: Make, end: str
) -> None:
    """However long the metadata takes; what is sent in a row to one partition stays in that order."""
    asked, answer = threading.Event(), threading.Event()
    before = refusing.script
    assert before is not None

    def slow(node: Node, header: Any, request: Any) -> Any:
        if isinstance(request, MetadataRequest) and request.topics and request.topics[0].name == "dead":
            asked.set()
            answer.wait(20)
        return before(node, header, request)

    producer = make_producer(linger_ms=10)
    refusing.script = slow
    letters = Letters(producer, key=b"same")
    letters.fail()
    assert asked.wait(10)
    with pytest.raises(KafkaTimeoutError, match="5 records still to be delivered"):
        producer.flush(0.2)
    assert not any(future.is_done for future in letters.futures)
    assert all(future.topic_partition is None for future in letters.futures)
    threading.Timer(0.3, answer.set).start()
    getattr(producer, end)()
    assert [future.succeeded() for future in letters.futures] == [True] * 5 and letters.raised == []
    offsets = [future.value.offset for future in letters.futures]
    assert offsets == sorted(offsets) and len({future.value.partition for future in letters.futures}) == 1
    is_empty(producer)


@pytest.mark.parametrize("partitioner", ["murmur2", by_length])
def test_a_topic_that_does_not_exist_fails_them_after_max_block_ms(
    refusing: ScriptedCluster, make_producer: Make, partitioner: Any
) -> None:
    producer = make_producer(max_block_ms=400, partitioner=partitioner)
    letters = Letters(producer, "nope")
    letters.fail()
    with pytest.raises(DeliveryFailed) as caught:
        producer.flush(10)
    assert caught.value.count == 5 and list(caught.value.errors) == [("nope", None)]
    for future in letters.futures:
        assert isinstance(future.exception, KafkaTimeoutError)
        assert "Topic nope has no partitions to send to, still not after 0.4 s" in str(future.exception)
        assert future.exception.persisted.name == "NOT_PERSISTED"
    is_empty(producer)
    producer.flush(1)
    assert producer.metrics()["producer-metrics"]["record-error-total"] == 10


def test_a_topic_that_nobody_may_use_fails_them_at_once(refusing: ScriptedCluster, make_producer: Make) -> None:
    refusing.topic_errors["dead"] = TOPIC_AUTHORIZATION_FAILED
    producer = make_producer()
    letters = Letters(producer)
    letters.fail()
    with pytest.raises(DeliveryFailed):
        producer.flush(10)
    assert {type(future.exception).__name__ for future in letters.futures} == {"TopicAuthorizationFailedError"}


def test_they_are_within_buffer_memory(refusing: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(buffer_memory=20_000)
    letters = Letters(producer, "nope")
    letters.fail(100)
    with pytest.raises(KafkaTimeoutError):
        producer.flush(1)
    assert 5 < len(letters.futures) < 25 and len(letters.futures) + len(letters.raised) == 100
    assert {type(error) for error in letters.raised} == {KafkaTimeoutError}
    assert "buffer_memory" in str(letters.raised[0])
    assert producer.buffered_bytes <= 20_000
    refusing.leaders["nope"] = [1]
    producer.flush(10)
    assert all(future.succeeded() for future in letters.futures)
    is_empty(producer)


@pytest.mark.parametrize("keys", [None, [b"a", None, b"c"]])
@pytest.mark.parametrize("partitioner", ["murmur2", "round_robin", by_length])
def test_many_in_a_callback(refusing: ScriptedCluster, make_producer: Make, partitioner: Any, keys: Any) -> None:
    producer = make_producer(partitioner=partitioner)
    sent: list[Any] = []
    headers = [None, [("h", b"1")], None]

    def send(error: BaseException) -> None:
        sent.append(producer.send_many("dead", [b"1", b"2", b"3"], keys, headers))

    producer.send("t", b"x").add_errback(send)
    producer.flush(10)
    (future,) = sent
    assert len(future) == 3
    found = []
    for metadata in future.get(10):
        record = refusing.records("dead", metadata.partition)[metadata.offset]
        found.append((record.key, record.value, record.headers))
        assert metadata.timestamp == record.timestamp
    assert found == [
        (None if keys is None else keys[i], b"%d" % (i + 1), (("h", b"1"),) if headers[i] else ()) for i in range(3)
    ]


def test_their_own_callbacks_run_and_what_waits_goes_on(refusing: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    told: list[Any] = []

    class Calling(Letters):
        def send(self, value: bytes, key: bytes, error: BaseException) -> None:
            super().send(value, key, error)
            self.futures[-1].add_callback(told.append)

    letters = Calling(producer)
    letters.fail()
    producer.flush(10)
    assert [metadata.topic for metadata in told] == ["dead"] * 5


@pytest.mark.parametrize("wrong", ["partition", "partitioner"])
def test_what_has_no_place_fails_with_the_reason(refusing: ScriptedCluster, make_producer: Make, wrong: str) -> None:
    def broken(key: Any, every: list[int], available: list[int]) -> int:
        raise LookupError("no idea")

    producer = make_producer(partitioner=broken if wrong == "partitioner" else "murmur2")
    letters = Letters(producer, **({"partition": 7} if wrong == "partition" else {}))
    producer.send("t", b"x", partition=0).add_errback(letters.send, b"v", b"k")
    with pytest.raises(DeliveryFailed):
        producer.flush(10)
    (future,) = letters.futures
    assert type(future.exception) is KafkaError
    assert ("no partition 7: it has 3" if wrong == "partition" else "no idea") in str(future.exception)
    is_empty(producer)


def test_closed_while_they_wait_they_fail(refusing: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    letters = Letters(producer, "nope")
    letters.fail()
    with pytest.raises(KafkaTimeoutError):
        producer.flush(0.3)
    with pytest.raises(DeliveryFailed):
        producer.close(0.1)
    assert len(letters.futures) == 5
    assert all(isinstance(future.exception, IllegalStateError) for future in letters.futures)


def test_a_broker_that_says_nothing_of_the_topic(refusing: ScriptedCluster, make_producer: Make) -> None:
    before = refusing.script
    assert before is not None

    def script(node: Node, header: Any, request: Any) -> Any:
        if isinstance(request, MetadataRequest) and request.topics and request.topics[0].name == "dead":
            return SILENCE
        return before(node, header, request)

    refusing.script = script
    producer = make_producer(max_block_ms=300)
    letters = Letters(producer)
    letters.fail()
    with pytest.raises(DeliveryFailed):
        producer.flush(10)
    assert {type(future.exception) for future in letters.futures} == {KafkaTimeoutError}
