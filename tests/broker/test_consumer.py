"""The consumer on the real Kafka: sessions, groups with librdkafka's members, what aborted transactions leave."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from broker.cluster import KafkaCluster
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewPartitions

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.core.consume import fetch as fetching
from kafka.core.consume import session

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITIONS = 6


@pytest.fixture
def topic(kafka_cluster: KafkaCluster, request: pytest.FixtureRequest) -> str:
    name = re.sub(r"[^\w.-]", "-", f"{request.path.stem}.{request.node.name}")
    kafka_cluster.create_topic(name, PARTITIONS)
    return name


@pytest.fixture
def make(kafka_cluster: KafkaCluster) -> Iterator[Any]:
    made: list[KafkaConsumer] = []

    def consumer(*topics: str, **configs: Any) -> KafkaConsumer:
        configs = {"auto_offset_reset": "earliest", "heartbeat_interval_ms": 300, "session_timeout_ms": 6000, **configs}
        made.append(KafkaConsumer(*topics, bootstrap_servers=kafka_cluster.bootstrap, **configs))
        return made[-1]

    yield consumer
    for each in made:
        each.close(timeout_ms=3000)


def produce(cluster: KafkaCluster, topic: str, count: int, first: int = 0, **configs: Any) -> None:
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, **configs) as producer:
        for number in range(first, first + count):
            producer.send(topic, b"%d" % number, partition=number % PARTITIONS)


def reads(done: Callable[[list[int]], bool], *consumers: KafkaConsumer, seconds: float = 60.0) -> list[int]:
    read: list[int] = []
    deadline = time.monotonic() + seconds
    while not done(read):
        assert time.monotonic() < deadline, f"read {len(read)}: it did not come to that"
        for consumer in consumers:
            for records in consumer.poll(50).values():
                read += [int(record.value) for record in records]
    return read


def test_a_static_leader_that_came_back_reads_partitions_that_were_added_meanwhile(
    kafka_cluster: KafkaCluster, topic: str, make: Any
) -> None:
    configs = {"group_id": topic, "group_instance_id": "a", "session_timeout_ms": 30_000}
    one = make(topic, **configs)
    reads(lambda _: len(one.assignment()) == PARTITIONS, one)
    generation = one.group_metadata().generation_id
    one.close()  # static: it does not leave
    same = make(topic, **configs)
    reads(lambda _: len(same.assignment()) == PARTITIONS, same)
    assert same.group_metadata().generation_id == generation  # nothing was shared out again
    same.close()
    admin = AdminClient({"bootstrap.servers": kafka_cluster.bootstrap})
    admin.create_partitions([NewPartitions(topic, PARTITIONS + 1)])[topic].result(30)
    again = make(topic, **configs)
    reads(lambda _: len(again.assignment()) == PARTITIONS + 1, again)  # long before its metadata is as old as it may be
    assert again.group_metadata().generation_id > generation


@pytest.mark.parametrize("codec", [None, "gzip", "lz4", "zstd"])
def test_all_of_a_topic_once_and_in_order(
    kafka_cluster: KafkaCluster, topic: str, make: Any, codec: str | None
) -> None:
    produce(kafka_cluster, topic, 6000, compression_type=codec)
    consumer = make(topic)
    read: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}
    for _ in range(6000):
        record = next(consumer)
        read[record.partition].append(int(record.value))
    assert read == {number: list(range(number, 6000, PARTITIONS)) for number in range(PARTITIONS)}
    assert all(consumer.position(TopicPartition(topic, number)) == 1000 for number in range(PARTITIONS))


def test_a_session_says_only_what_has_changed(kafka_cluster: KafkaCluster, topic: str, make: Any) -> None:
    produce(kafka_cluster, topic, 60)
    consumer = make(topic)
    assert sorted(reads(lambda read: len(read) >= 60, consumer)) == list(range(60))
    sessions = list(consumer._fetch._sessions.values())
    assert any(session._id != 0 for session in sessions)
    for first in range(60, 90, 6):  # incremental from here on
        produce(kafka_cluster, topic, 6, first)
        assert sorted(reads(lambda read: len(read) >= 6, consumer)) == list(range(first, first + 6))
    consumer.seek(TopicPartition(topic, 1), 3)
    assert sorted(reads(lambda read: len(read) >= 12, consumer)) == list(range(19, 90, 6))
    consumer.pause(TopicPartition(topic, 0))
    produce(kafka_cluster, topic, 6, 90)
    assert sorted(reads(lambda read: len(read) >= 5, consumer)) == list(range(91, 96))
    consumer.resume(TopicPartition(topic, 0))
    assert reads(lambda read: bool(read), consumer) == [90]


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "sticky", "cooperative-sticky"])
def test_a_group_that_grows_and_shrinks(kafka_cluster: KafkaCluster, topic: str, make: Any, strategy: str) -> None:
    configs = {"group_id": topic, "partition_assignment_strategy": [strategy]}
    one = make(topic, **configs)
    produce(kafka_cluster, topic, 60)
    read = reads(lambda read: len(read) >= 60, one)
    two = make(topic, **configs)
    read += reads(lambda _: len(one.assignment()) == len(two.assignment()) == 3, one, two)
    produce(kafka_cluster, topic, 60, 60)
    left = 120 - len(read)
    read += reads(lambda read: len(read) >= left, one, two)
    one.close()
    read += reads(lambda _: len(two.assignment()) == 6, two)
    produce(kafka_cluster, topic, 60, 120)
    left = 180 - len(read)
    read += reads(lambda read: len(read) >= left, two)
    assert sorted(read) == list(range(180))
    two.close()
    assert [make(group_id=topic).committed(TopicPartition(topic, number)) for number in range(PARTITIONS)] == [30] * 6


def test_sticky_members_get_back_what_they_gave_up(kafka_cluster: KafkaCluster, topic: str, make: Any) -> None:
    configs = {"group_id": topic, "partition_assignment_strategy": ["sticky"], "client_rack": "a"}
    three: list[KafkaConsumer] = []
    for count in (6, 3, 2):
        three.append(make(topic, **configs))
        reads(lambda _, count=count: all(len(each.assignment()) == count for each in three), *three)  # type: ignore[misc]
    first, last = three[0].assignment(), three[2].assignment()
    three.pop(1).close()
    reads(lambda _: all(len(each.assignment()) == 3 for each in three), *three)
    assert first < three[0].assignment() and last < three[1].assignment()


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_a_group_with_a_member_of_librdkafka(kafka_cluster: KafkaCluster, topic: str, make: Any, strategy: str) -> None:
    theirs = Consumer(
        {
            "bootstrap.servers": kafka_cluster.bootstrap,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": strategy,
            "heartbeat.interval.ms": 300,
            "session.timeout.ms": 6000,
        }
    )
    read: list[int] = []
    share: list[Any] = []
    over = threading.Event()

    def poll_theirs() -> None:
        theirs.subscribe([topic])
        while not over.is_set():
            share[:] = theirs.assignment()  # asked from another thread it may wait for ever
            message = theirs.poll(0.05)
            if message is not None and message.error() is None:
                read.append(int(message.value()))

    thread = threading.Thread(target=poll_theirs)
    thread.start()
    try:
        ours = make(topic, group_id=topic, partition_assignment_strategy=[strategy])
        mine = reads(lambda _: len(ours.assignment()) == 3 and len(share) == 3, ours)
        produce(kafka_cluster, topic, 600)
        mine += reads(lambda more: len(mine) + len(more) + len(read) >= 600, ours)
        assert sorted(mine + read) == list(range(600))
        assert len(mine) == 300
    finally:
        over.set()
        thread.join()
        theirs.close()
    mine = reads(lambda _: len(ours.assignment()) == 6, ours)
    produce(kafka_cluster, topic, 60, 600)
    assert set(range(600, 660)) <= set(mine + reads(lambda more: len(more) >= 60, ours))


def test_read_committed(kafka_cluster: KafkaCluster, topic: str, make: Any) -> None:
    with KafkaProducer(bootstrap_servers=kafka_cluster.bootstrap, transactional_id=topic) as producer:
        producer.init_transactions()
        for number in range(20):
            producer.begin_transaction()
            producer.send(topic, b"%d" % number, partition=number % 2)
            producer.commit_transaction() if number % 3 else producer.abort_transaction()
        wanted = [number for number in range(20) if number % 3]
        consumer = make(topic, isolation_level="read_committed")
        assert sorted(reads(lambda read: len(read) >= len(wanted), consumer)) == wanted
        ends = consumer.end_offsets(consumer.assignment())
        reads(lambda _: all(consumer.position(tp) == ends[tp] for tp in ends), consumer)  # behind the last marker
        producer.begin_transaction()
        producer.send(topic, b"100", partition=0).get(10)
        assert consumer.poll(500) == {}
        producer.commit_transaction()
        assert reads(lambda read: bool(read), consumer) == [100]


def test_a_leader_is_asked_where_an_epoch_ends_where_fetches_do_not_say_it(
    kafka_cluster: KafkaCluster, topic: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with brokers before Kafka 2.7."""
    for module in (fetching, session):
        monkeypatch.setattr(module, "DIVERGES", 1000)
    produce(kafka_cluster, topic, 60)
    one = make(group_id=topic)
    here, beyond = TopicPartition(topic, 0), TopicPartition(topic, 1)
    one.assign([here, beyond])
    one.commit({here: OffsetAndMetadata(4, "", 0), beyond: OffsetAndMetadata(1000, "", 0)})
    two = make(group_id=topic)
    two.assign([here, beyond])
    read = reads(lambda read: len(read) >= 6, two)
    reads(lambda _: two.position(beyond) == 10, two)  # where its epoch ends, not the start
    produce(kafka_cluster, topic, 6, 60)
    read += reads(lambda read: len(read) >= 2, two)
    assert sorted(read) == [*range(24, 66, 6), 61]
