"""Groups whose members have to say again and again who they are: on Apache Kafka, in sessions of six seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from broker.cluster import KafkaCluster
from broker.test_consumer import PARTITIONS, produce, reads, topic  # noqa: F401 (topic: a fixture)
from certificates import Certificates

from kafka import KafkaConsumer
from tests.broker.secured import SESSION, ShortSessions
from tests.chaos.sessions import Sessions

pytestmark = [pytest.mark.kafka, pytest.mark.secured]


@pytest.fixture(scope="module")
def kafka_cluster(certificates: Certificates) -> Iterator[KafkaCluster]:
    with ShortSessions(certificates) as cluster:
        yield cluster


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_a_rebalance_takes_longer_than_a_session(kafka_cluster: ShortSessions, topic: str, strategy: str) -> None:  # noqa: F811
    """For a member that does not poll a JoinGroup waits past the end of its connection's session: all connections stay,
    and every record is read once."""
    configs = {
        "group_id": topic,
        "auto_offset_reset": "earliest",
        "heartbeat_interval_ms": 300,
        "partition_assignment_strategy": [strategy],
        **kafka_cluster.client(),
    }
    seen = [Sessions(), Sessions()]
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(KafkaConsumer(topic, hooks=[seen[0]], **configs))
        produce(kafka_cluster, topic, 60)
        read = reads(lambda read: len(read) >= 60, busy)
        joining = stack.enter_context(KafkaConsumer(topic, hooks=[seen[1]], **configs))
        held_up = time.monotonic() + 2 * SESSION
        read += reads(lambda _: time.monotonic() > held_up, joining)
        assert not joining.assignment()
        read += reads(lambda _: len(busy.assignment()) == len(joining.assignment()) == PARTITIONS // 2, busy, joining)
        produce(kafka_cluster, topic, 60, 60)
        left = 120 - len(read)
        read += reads(lambda read: len(read) >= left, busy, joining)
        assert sorted(read) == list(range(120))
    for sessions in seen:
        assert sessions.renewals and not +sessions.ends
