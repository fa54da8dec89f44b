"""The producer against brokers that somebody else wrote: librdkafka's mock cluster; confluent-kafka reads back.

These brokers check no sequence numbers: what is sent again is there again, in any order. So nothing happens here that
leaves it open whether a batch was written, and a broker has one request of the producer at a time.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka import KafkaProducer
from kafka._codec import murmur2
from kafka.errors import Persisted, TopicAuthorizationFailedError
from tests.chaos.librdkafka import MockCluster
from tests.chaos.oracle import Counts, Found, Ledger

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="librdkafka is found through /proc"),
    pytest.mark.slow,
]

PARTITIONS = 6
KEYS = [b"key %d" % number for number in range(20)]


@pytest.fixture(scope="module")
def brokers() -> Iterator[MockCluster]:
    pytest.importorskip("confluent_kafka")
    with MockCluster(3) as brokers:
        yield brokers


class Mock:
    """The brokers, and a topic of the test's own on them."""

    def __init__(self, brokers: MockCluster, topic: str) -> None:
        self.brokers = brokers
        self.topic = topic
        brokers.forget_errors()
        brokers.create_topic(topic, PARTITIONS)
        for partition in range(PARTITIONS):
            brokers.lead(topic, partition, 1 + partition % 3)


@pytest.fixture
def mock(brokers: MockCluster, request: pytest.FixtureRequest) -> Mock:
    return Mock(brokers, "".join(c if c.isalnum() else "-" for c in request.node.name))


def partition_of(topic: str, key: bytes) -> int:
    return (murmur2(key) & 0x7FFFFFFF) % PARTITIONS


def records(mock: Mock) -> dict[tuple[str, int], list[Found]]:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": ",".join(mock.brokers.bootstrap),
            "group.id": "reader",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    logs: dict[tuple[str, int], list[Found]] = defaultdict(list)
    consumer.assign([TopicPartition(mock.topic, partition, 0) for partition in range(PARTITIONS)])
    left = set(range(PARTITIONS))
    deadline = time.monotonic() + 30
    while left:
        assert time.monotonic() < deadline
        for message in consumer.consume(1000, 0.5):
            if message.error() is None:
                logs[mock.topic, message.partition()].append(Found(message.offset(), message.key(), message.value()))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
    consumer.close()
    return logs


def produce_through(
    mock: Mock, trouble: Callable[[int], object] = lambda step: None, *, flush: bool = False, **configs: Any
) -> Counts:
    """`trouble(step)` happens 20 times, after each 100 records (when they are delivered, with `flush`)."""
    ledger = Ledger()
    senders = [ledger.sender(mock.topic, KEYS), ledger.sender(mock.topic)]
    producer = KafkaProducer(
        bootstrap_servers=mock.brokers.bootstrap,
        **{"linger_ms": 1, "retry_backoff_ms": 10, "max_in_flight_requests_per_connection": 1, **configs},
    )
    for step in range(20):
        for _ in range(50):
            for sender in senders:
                sender.send(producer)
        if flush:
            producer.flush(30)
        trouble(step)
        time.sleep(0.01)
    producer.close(30)
    return ledger.check(partition_of, records(mock))


@pytest.mark.parametrize("codec", [None, "gzip", "lz4", "zstd"])
def test_it_is_all_there(mock: Mock, codec: str | None) -> None:
    counts = produce_through(mock, compression_type=codec)
    assert counts.delivered == counts.sent == 2000


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(error, id=name)
        for name, error in {
            "LEADER_NOT_AVAILABLE": 5,
            "NOT_LEADER": 6,
            "REQUEST_TIMED_OUT": 7,
            "NETWORK_EXCEPTION": 13,
            "NOT_ENOUGH_REPLICAS": 19,
            "NOT_ENOUGH_REPLICAS_AFTER_APPEND": 20,
            "STORAGE_ERROR": 56,
            "FENCED_LEADER_EPOCH": 74,
        }.items()
    ],
)
def test_errors_that_pass(mock: Mock, error: int) -> None:
    """Each broker has this for an answer now and then, three times in a row at last."""

    def trouble(step: int) -> None:
        mock.brokers.produce_errors(1 + step % 3, *[error] * (3 if step == 15 else 1))

    counts = produce_through(mock, trouble)
    assert counts.delivered == counts.sent


def test_leaders_that_move(mock: Mock) -> None:
    def trouble(step: int) -> None:
        mock.brokers.lead(mock.topic, step % PARTITIONS, 1 + (step + step // 3) % 3)

    counts = produce_through(mock, trouble)
    assert counts.delivered == counts.sent


def test_brokers_that_go_and_come_back(mock: Mock) -> None:
    def trouble(step: int) -> None:
        mock.brokers.down(1 + step % 3)
        threading.Timer(0.1, mock.brokers.up, [1 + step % 3]).start()

    counts = produce_through(mock, trouble, flush=True, reconnect_backoff_ms=10, reconnect_backoff_max_ms=50)
    assert counts.delivered == counts.sent


def test_a_refusal(mock: Mock) -> None:
    """TOPIC_AUTHORIZATION_FAILED is the end of those records, and says that they are not there."""
    mock.brokers.produce_errors(1, 29)
    with KafkaProducer(bootstrap_servers=mock.brokers.bootstrap) as producer:
        refused = producer.send(mock.topic, b"no", partition=0)
        with pytest.raises(TopicAuthorizationFailedError) as caught:
            refused.get(10)
        assert caught.value.persisted is Persisted.NOT_PERSISTED
        assert producer.send(mock.topic, b"yes", partition=0).get(10).offset == 0
    assert [found.value for found in records(mock)[mock.topic, 0]] == [b"yes"]
