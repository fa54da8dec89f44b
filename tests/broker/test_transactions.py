"""Transactions on the real Kafka, in both generations of the protocol: what Java's and librdkafka's consumers get."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from broker.cluster import KafkaCluster
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as TheirPartition
from kafka_jars import VERSION

from kafka import KafkaProducer
from kafka.errors import (
    CommitFailedError,
    IllegalStateError,
    InvalidTransactionTimeoutError,
    KafkaTimeoutError,
    ProducerFencedError,
    TransactionAbortableError,
    TransactionAbortedError,
)
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

_FAST = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500"}


class Cluster(KafkaCluster):
    """One whose feature transaction.version is finalized at this level from the start."""

    def __init__(self, transaction_version: int, version: str = VERSION, **arguments: Any) -> None:
        super().__init__(version=version, **arguments)
        self.transaction_version = transaction_version
        self.is_v2 = transaction_version >= 2

    def _tool(self, main: str, *arguments: str, **options: Any) -> bytes:
        if main == "kafka.tools.StorageTool" and self.version >= "4":  # before, there is no other
            arguments += ("--feature", f"transaction.version={self.transaction_version}")
        return super()._tool(main, *arguments, **options)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((0, VERSION), id="transaction.version 0"),
        pytest.param((2, VERSION), id="transaction.version 2"),
        pytest.param((0, "3.9.1"), id="Kafka 3.9", marks=pytest.mark.versions),
        pytest.param((2, "4.0.0"), id="Kafka 4.0", marks=pytest.mark.versions),
    ],
)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with Cluster(*request.param, configs=_FAST) as cluster:
        yield cluster


def producer_for(cluster: KafkaCluster, transactional_id: str, **options: Any) -> KafkaProducer:
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id=transactional_id, **options)
    producer.init_transactions()
    return producer


@contextmanager
def consumer_for(cluster: KafkaCluster, group: str = "reader", **options: Any) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            **options,
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()


def read_all(cluster: KafkaCluster, topic: str, partitions: int) -> list[bytes]:
    """Every committed value, by librdkafka: read until each partition's end, which is its last stable offset."""
    with consumer_for(cluster) as consumer:
        consumer.assign([TheirPartition(topic, index, 0) for index in range(partitions)])
        values, ended = [], set()
        deadline = time.monotonic() + 60
        while len(ended) < partitions:
            assert time.monotonic() < deadline, f"{topic} was not read to its end"
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error() is None:
                values.append(message.value())
            elif message.error().code() == -191:  # the end of a partition
                ended.add(message.partition())
        return values


def test_the_example_of_the_readme(cluster: Cluster) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (example,) = (code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "transactional_id" in code)
    subprocess.run([sys.executable, "-c", example.replace("localhost:9092", cluster.bootstrap)], check=True, timeout=60)
    assert read_all(cluster, "debits", 1) == read_all(cluster, "credits", 1) == [b"100"]


def test_both_protocols_are_what_they_are_said_to_be(cluster: Cluster) -> None:
    with producer_for(cluster, "which") as producer:
        producer.begin_transaction()
        assert producer._transactions is not None and producer._transactions.is_v2 == cluster.is_v2
        producer.abort_transaction()


def test_committed_records_are_read_and_aborted_ones_are_not(cluster: Cluster) -> None:
    cluster.create_topic("commit", partitions=4)
    expected = []
    with producer_for(cluster, "commit", linger_ms=5) as producer:
        for number in range(10):
            values = [b"%d-%d" % (number, index) for index in range(500)]
            if number % 3 == 2:
                with pytest.raises(ZeroDivisionError), producer.transaction():
                    producer.send_many("commit", values)
                    producer.flush()
                    1 / 0  # noqa: B018
            else:
                with producer.transaction():
                    futures = [producer.send("commit", value, key=value[:3]) for value in values]
                assert all(future.succeeded() for future in futures)
                expected += values
    assert sorted(read_all(cluster, "commit", 4)) == sorted(expected)
    by_java = cluster.console_consume("commit", len(expected), None, "--isolation-level", "read_committed")
    assert sorted(record.value or b"" for record in by_java) == sorted(expected)


def test_an_abort_fails_what_was_not_sent(cluster: Cluster) -> None:
    cluster.create_topic("unsent", partitions=1)
    with producer_for(cluster, "unsent", linger_ms=60000, delivery_timeout_ms=120000) as producer:
        producer.begin_transaction()
        future = producer.send("unsent", b"never")
        producer.abort_transaction()
        assert isinstance(future.exception, TransactionAbortedError)
        with pytest.raises(IllegalStateError, match="outside of a transaction"):
            producer.send("unsent", b"never")
        with producer.transaction():
            producer.send("unsent", b"once")
    assert read_all(cluster, "unsent", 1) == [b"once"]


def test_many_short_transactions(cluster: Cluster) -> None:
    """Each begins while the markers of the one before are still being written."""
    cluster.create_topic("short", partitions=3)
    with producer_for(cluster, "short") as producer:
        for number in range(100):
            with producer.transaction():
                producer.send("short", b"%d" % number)
    assert sorted(read_all(cluster, "short", 3)) == sorted(b"%d" % number for number in range(100))


def test_an_abort_right_after_a_commit(cluster: Cluster) -> None:
    """The coordinator may not have completed the transaction before."""
    cluster.create_topic("abort.soon", partitions=3)
    with producer_for(cluster, "abort.soon") as producer:
        for number in range(30):
            with producer.transaction():
                producer.send("abort.soon", b"%d" % number)
            producer.begin_transaction()
            producer.send("abort.soon", b"not %d" % number)
            producer.abort_transaction()
    assert sorted(read_all(cluster, "abort.soon", 3)) == sorted(b"%d" % number for number in range(30))


def test_a_second_producer_fences_the_first(cluster: Cluster) -> None:
    cluster.create_topic("fence", partitions=2)
    zombie = producer_for(cluster, "fence")
    zombie.begin_transaction()
    for index in range(2):
        zombie.send("fence", b"left open", partition=index).get(30)
    with producer_for(cluster, "fence") as heir:
        heir.begin_transaction()
        heir.send("fence", b"heir")
        late = zombie.send("fence", b"late", partition=0)
        with pytest.raises((ProducerFencedError, TransactionAbortableError)) as caught:
            zombie.commit_transaction()
        if isinstance(caught.value, TransactionAbortableError):
            with pytest.raises(ProducerFencedError, match="only one may use a transactional id"):
                zombie.abort_transaction()
        assert late.exception is not None
        with pytest.raises(ProducerFencedError):
            zombie.send("fence", b"still")
        heir.commit_transaction()
    zombie.close()
    assert read_all(cluster, "fence", 2) == [b"heir"]


def test_close_aborts_what_is_open(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """Consumers would otherwise wait at its first record until the coordinator's patience ends."""
    cluster.create_topic("close", partitions=1)
    producer = producer_for(cluster, "close")
    producer.begin_transaction()
    producer.send("close", b"never").get(30)
    producer.close()
    assert "close() aborts the transaction that is open" in caplog.text
    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as plain:
        plain.send("close", b"behind it")
    assert read_all(cluster, "close", 1) == [b"behind it"]


def test_a_transaction_that_stays_open_for_too_long(cluster: Cluster) -> None:
    cluster.create_topic("open", partitions=1)
    producer = producer_for(cluster, "open", transaction_timeout_ms=1000)
    producer.begin_transaction()
    producer.send("open", b"aborted").get(30)
    deadline = time.monotonic() + 30
    while True:  # the coordinator looks every half second
        try:
            producer.send("open", b"aborted").get(30)
        except Exception:
            break
        assert time.monotonic() < deadline, "the coordinator did not abort"
        time.sleep(0.1)
    with pytest.raises((ProducerFencedError, TransactionAbortableError)):
        producer.commit_transaction()
    producer.close()
    assert read_all(cluster, "open", 1) == []


def test_a_time_limit_that_brokers_refuse(cluster: Cluster) -> None:
    with KafkaProducer(
        bootstrap_servers=cluster.bootstrap, transactional_id="limit", transaction_timeout_ms=2**31 - 1
    ) as producer:
        with pytest.raises(InvalidTransactionTimeoutError, match="Lower transaction_timeout_ms"):
            producer.init_transactions()
        with pytest.raises(InvalidTransactionTimeoutError):
            producer.begin_transaction()


def test_a_record_that_is_too_large_for_the_topic_ends_the_transaction(cluster: Cluster) -> None:
    cluster.create_topic("small", partitions=1, configs={"max.message.bytes": "1000"})
    with producer_for(cluster, "small") as producer:
        with pytest.raises(TransactionAbortableError) as caught, producer.transaction():
            producer.send("small", b"x")
            producer.flush()
            producer.send("small", b"x" * 5000)
        assert "MessageSizeTooLarge" in str(caught.value) and caught.value.__cause__ is not None
        with producer.transaction():
            producer.send("small", b"y")
    assert read_all(cluster, "small", 1) == [b"y"]


# -- offsets -----------------------------------------------------------------------------------------------------------


def test_a_pipeline_reads_and_writes_each_record_once(cluster: Cluster) -> None:
    """Consume, transform, produce: the group's offsets move with the transaction, or not at all."""
    cluster.create_topic("in", partitions=2)
    cluster.create_topic("out", partitions=2)
    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as source:
        values = [b"%d" % number for number in range(300)]
        source.send_many("in", values, keys=values)
        source.flush()
    aborts = 0
    with (
        producer_for(cluster, "pipe") as producer,
        consumer_for(cluster, "pipe", **{"enable.partition.eof": False}) as c,
    ):
        c.subscribe(["in"])
        done = 0
        deadline = time.monotonic() + 60
        while done < 300:
            assert time.monotonic() < deadline
            messages = c.consume(40, timeout=1.0)
            if not messages:
                continue
            producer.begin_transaction()
            for message in messages:
                producer.send("out", b"<%b>" % message.value())
            places = [place for place in c.position(c.assignment()) if place.offset >= 0]
            offsets = {TopicPartition("in", place.partition): OffsetAndMetadata(place.offset) for place in places}
            producer.send_offsets_to_transaction(offsets, "pipe")
            if aborts < 2:
                aborts += 1
                producer.abort_transaction()
                for partition in c.committed(c.assignment(), timeout=30):
                    partition.offset = max(partition.offset, 0)
                    c.seek(partition)
            else:
                producer.commit_transaction()
                done += len(messages)
        committed = {p.partition: p.offset for p in c.committed(c.assignment(), timeout=30)}
    assert sum(committed.values()) == 300
    assert sorted(read_all(cluster, "out", 2)) == sorted(b"<%d>" % number for number in range(300))


def test_a_consumer_that_is_no_member_any_more(cluster: Cluster) -> None:
    cluster.create_topic("member", partitions=1)
    with producer_for(cluster, "member") as producer:
        producer.begin_transaction()
        offsets = {TopicPartition("member", 0): 0}
        with pytest.raises(CommitFailedError):
            producer.send_offsets_to_transaction(offsets, ConsumerGroupMetadata("member", 3, "nobody"))
        with pytest.raises(TransactionAbortableError):
            producer.commit_transaction()
        producer.abort_transaction()
        with producer.transaction():
            producer.send_offsets_to_transaction(offsets, "member")


# -- a coordinator is lost ---------------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize("version", [0, 2], ids=["transaction.version 0", "transaction.version 2"])
def test_the_coordinator_s_node_is_killed(version: int) -> None:
    """Transactions one after the other; whatever node coordinates is killed in the middle, and comes back."""
    with Cluster(version, nodes=3, configs={**_FAST, "broker.session.timeout.ms": "4000"}) as cluster:
        cluster.create_topic("t", partitions=6)
        cluster.create_topic("in", partitions=1)
        producer = producer_for(cluster, "lost", delivery_timeout_ms=60000, max_block_ms=90000)
        assert producer._transactions is not None
        expected: list[bytes] = []
        offset = 0
        victim = cluster.nodes[0]
        for number in range(1, 61):
            values = [b"%d-%d" % (number, index) for index in range(20)]
            producer.begin_transaction()
            try:
                for value in values:
                    producer.send("t", value)
                producer.send_offsets_to_transaction({TopicPartition("in", 0): number}, "lost")
                if number in (10, 40):
                    node_id = producer._core.coordinators._known[producer._transactions._route]
                    victim = next(node for node in cluster.nodes if node.node_id == node_id)
                    victim.kill()
                producer.commit_transaction()
                expected += values
                offset = number
            except TransactionAbortableError:
                producer.abort_transaction()
            if number in (25, 55):
                victim.start()
                victim.wait_ready()
        producer.close()
        found = read_all(cluster, "t", 6)
        assert len(found) == len(set(found))
        assert set(found) == set(expected)
        with consumer_for(cluster, "lost") as consumer:
            (committed,) = consumer.committed([TheirPartition("in", 0)], timeout=30)
        assert committed.offset == offset
        assert len(expected) > 55 * 20


def test_waiting_ends_with_what_it_waited_for(cluster: Cluster) -> None:
    """max_block_ms is the limit of each call; the same call again waits on."""
    cluster.create_topic("patience", partitions=1)
    producer = producer_for(cluster, "patience", max_block_ms=2000)
    producer.begin_transaction()
    producer.send("patience", b"v").get(30)
    cluster.nodes[0].pause()
    try:
        with pytest.raises(KafkaTimeoutError, match=r"commit_transaction\(\) was not over within 2 s. It waits for"):
            producer.commit_transaction()
        with pytest.raises(IllegalStateError, match=r"commit_transaction\(\) is not over yet"):
            producer.abort_transaction()
    finally:
        cluster.nodes[0].resume()
    producer.commit_transaction()
    producer.close()
    assert read_all(cluster, "patience", 1) == [b"v"]
