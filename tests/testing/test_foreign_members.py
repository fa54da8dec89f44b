"""Groups of the embedded broker whose members are Java's and confluent-kafka's consumers, and ours beside them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from kafka import KafkaProducer
from kafka.testing import EmbeddedCluster
from tests.broker.requests import until
from tests.chaos.foreign import Java, Librdkafka, Mixed
from tests.chaos.groups import Member

PARTITIONS = 6
CONSUMER: dict[str, Any] = {"group_protocol": "consumer"}
CLASSIC: dict[str, Any] = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 300}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "consumer": CONSUMER,
    "consumer range": {**CONSUMER, "group_remote_assignor": "range"},
    **{
        name: {**CLASSIC, "partition_assignment_strategy": [name]}
        for name in ("range", "roundrobin", "sticky", "cooperative-sticky")
    },
}
pytestmark = pytest.mark.slow
NEEDS_JAVA = [pytest.mark.kafka, pytest.mark.foreign]


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(nodes=3, topics={"t": PARTITIONS}) as cluster:
        cluster.groups.heartbeat_interval = 0.3
        cluster.groups.session = 3.0
        yield cluster


def group(cluster: EmbeddedCluster, folder: Path, **configs: Any) -> Mixed:
    return Mixed(cluster.bootstrap, "t", PARTITIONS, folder, **configs)


def committed(cluster: EmbeddedCluster) -> list[int]:
    found = cluster.committed_offsets("t")
    return [found.get(("t", number), 0) for number in range(PARTITIONS)]


@pytest.mark.parametrize(
    ("protocol", "kinds"),
    [
        ("consumer", [Librdkafka, Member, Librdkafka]),
        pytest.param("consumer", [Java, Java], marks=NEEDS_JAVA),
        pytest.param("consumer", [Member, Java, Librdkafka], marks=pytest.mark.kafka),
        pytest.param("consumer range", [Librdkafka, Member, Java], marks=NEEDS_JAVA),
        pytest.param("range", [Java, Member], marks=NEEDS_JAVA),
        pytest.param("roundrobin", [Member, Java, Librdkafka], marks=NEEDS_JAVA),
        pytest.param("sticky", [Java, Member, Java], marks=NEEDS_JAVA),
        pytest.param("cooperative-sticky", [Librdkafka, Java, Member], marks=NEEDS_JAVA),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(kind.__name__ for kind in value),
)
def test_members_come_and_go(
    cluster: EmbeddedCluster, tmp_path: Path, protocol: str, kinds: list[type[Member]]
) -> None:
    with group(cluster, tmp_path, **PROTOCOLS[protocol]) as members:
        for kind in kinds:
            members.enters(kind)
        for _ in kinds:
            members.leaves(0)
        assert members.finish() == 0  # what moved was committed before it did
        assert committed(cluster) == list(map(len, members.logs.values()))


@pytest.mark.parametrize("kind", [Librdkafka, pytest.param(Java, marks=NEEDS_JAVA)])
def test_who_is_silent_loses_what_it_had_and_comes_back(
    cluster: EmbeddedCluster, tmp_path: Path, kind: type[Member]
) -> None:
    with group(cluster, tmp_path, **CONSUMER) as members:
        frozen, other = members.enters(kind), members.enters(Librdkafka)
        until(lambda: committed(cluster) == list(map(len, members.logs.values())))
        frozen.process.send_signal(signal.SIGSTOP)
        until(lambda: other.partitions() == set(range(PARTITIONS)))
        assert cluster.groups.counts["member expired"] >= 1
        frozen.process.send_signal(signal.SIGCONT)
        members.rests()
        members.finish()


@pytest.mark.parametrize("kind", [Librdkafka, pytest.param(Java, marks=NEEDS_JAVA)])
def test_who_is_killed_is_replaced(cluster: EmbeddedCluster, tmp_path: Path, kind: type[Member]) -> None:
    with group(cluster, tmp_path, **CONSUMER) as members:
        members.enters(kind)
        members.enters(Member)
        members.leaves(0, "kill")
        members.enters(kind)
        members.finish()


@pytest.mark.parametrize("kind", [Librdkafka, pytest.param(Java, marks=NEEDS_JAVA)])
def test_a_static_member_comes_back_to_its_partitions(
    cluster: EmbeddedCluster, tmp_path: Path, kind: type[Member]
) -> None:
    cluster.groups.session = 30.0
    with group(cluster, tmp_path, **CONSUMER) as members:
        had = members.enters(kind, group_instance_id="a")
        other = members.enters(Member, group_instance_id="b")
        share, kept = had.partitions(), other.partitions()
        had.stop()
        again = members.enters(kind, group_instance_id="a")
        assert again.partitions() == share and other.partitions() == kept
        assert len(other.of("revoked")) == 0
        members.finish()


@pytest.mark.kafka
@pytest.mark.foreign
def test_a_group_changes_its_protocol_while_it_works(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """And back; Java's members before and after, one of confluent-kafka among them."""
    classic = PROTOCOLS["range"]
    with group(cluster, tmp_path) as members:
        members.enters(Java, **classic)
        members.enters(Librdkafka, **classic)
        for configs in (CONSUMER, classic):
            members.enters(Java, **configs)
            members.leaves(0)
            members.enters(Librdkafka, **configs)
            members.leaves(0)
        members.finish()


def test_topics_that_the_broker_finds_by_librdkafkas_pattern(cluster: EmbeddedCluster) -> None:
    cluster.create_topic("seen-1", 2)
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": cluster.bootstrap, "group.id": "g", "group.protocol": "consumer",
            "auto.offset.reset": "earliest", "topic.metadata.refresh.interval.ms": 500,
        }
    )  # fmt: skip
    consumer.subscribe(["^seen-.*"])
    found: set[bytes] = set()

    def reads(count: int) -> bool:
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            found.add(message.value())
        return len(found) == count

    try:
        with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            producer.send("seen-1", b"one")
            producer.flush(10)
            until(lambda: reads(1))
            cluster.create_topic("seen-2", 2)
            producer.send("seen-2", b"two")
            producer.flush(10)
            until(lambda: reads(2))
    finally:
        consumer.close()
