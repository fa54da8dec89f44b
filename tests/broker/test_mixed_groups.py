"""Classic groups on the real Kafka with members of three clients: whoever leads, each record is read once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from broker.cluster import KafkaCluster

from kafka import KafkaConsumer, TopicPartition
from tests.chaos.foreign import Java, Librdkafka, Mixed
from tests.chaos.groups import Member

pytestmark = [pytest.mark.kafka, pytest.mark.foreign]

PARTITIONS = 6
THREE = [Member, Java, Librdkafka]
TWO = [Member, Java]  # librdkafka has no sticky assignor but the cooperative one
CASES = [
    (strategy, [*kinds[first:], *kinds[:first]])
    for strategy, kinds in {"range": THREE, "roundrobin": THREE, "sticky": TWO, "cooperative-sticky": THREE}.items()
    for first in range(len(kinds))
]


def classic(strategy: str, session_ms: int = 6000) -> dict[str, Any]:
    return {"partition_assignment_strategy": [strategy], "session_timeout_ms": session_ms, "heartbeat_interval_ms": 300}


def mixed(cluster: KafkaCluster, request: pytest.FixtureRequest, folder: Path, **configs: Any) -> Mixed:
    topic = re.sub(r"[^\w-]", "-", f"mixed-{request.node.name}")
    cluster.create_topic(topic, PARTITIONS)
    return Mixed(cluster.bootstrap, topic, PARTITIONS, folder, **configs)


def is_committed(cluster: KafkaCluster, group: Mixed) -> bool:
    with KafkaConsumer(bootstrap_servers=cluster.bootstrap, group_id=group.topic) as consumer:
        found = {number: consumer.committed(TopicPartition(group.topic, number)) for number in group.logs}
    return found == {number: len(values) for number, values in group.logs.items()}


@pytest.mark.parametrize(("strategy", "kinds"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_each_client_leads_the_others(
    kafka_cluster: KafkaCluster,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    strategy: str,
    kinds: list[type[Member]],
) -> None:
    """Who has come first leads until it leaves; then another one does."""
    with mixed(kafka_cluster, request, tmp_path, **classic(strategy)) as group:
        for kind in kinds:
            group.enters(kind)
        group.leaves(1)
        group.enters(kinds[1])
        group.leaves(0)
        group.enters(kinds[0])
        assert group.finish() == 0  # what moved was committed before it did
        assert is_committed(kafka_cluster, group)


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_members_are_killed(
    kafka_cluster: KafkaCluster, request: pytest.FixtureRequest, tmp_path: Path, strategy: str
) -> None:
    """The leader each time; what it had not committed is read again."""
    with mixed(kafka_cluster, request, tmp_path, **classic(strategy)) as group:
        for kind in THREE:
            group.enters(kind)
        for kind in THREE:
            group.leaves(0, "kill")
            group.enters(kind)
        group.finish()
        assert is_committed(kafka_cluster, group)


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_static_members_come_back_to_their_partitions(
    kafka_cluster: KafkaCluster, request: pytest.FixtureRequest, tmp_path: Path, strategy: str
) -> None:
    """Without a rebalance for the others; also who leads."""
    with mixed(kafka_cluster, request, tmp_path, **classic(strategy, 30_000)) as group:
        for kind in THREE:
            group.enters(kind, group_instance_id=kind.__name__)
        for kind in THREE:
            shares = {type(member): member.partitions() for member in group.living}
            gone, *others = group.living
            assert type(gone) is kind
            heard = [len(member.of("assigned", "revoked")) for member in others]
            gone.kill()
            group.enters(kind, group_instance_id=kind.__name__)
            assert {type(member): member.partitions() for member in group.living} == shares
            assert [len(member.of("assigned", "revoked")) for member in others] == heard
        group.finish()
