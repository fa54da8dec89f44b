"""Groups on older releases of Kafka: what holds on the newest, and brokers that do not have the consumer protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import kafka_jars
import pytest
from broker.cluster import KafkaCluster
from broker.test_consumer import (  # noqa: F401 (fixtures and tests, which are run here too)
    make,
    produce,
    reads,
    test_a_group_that_grows_and_shrinks,
    test_a_group_with_a_member_of_librdkafka,
    test_a_session_says_only_what_has_changed,
    test_all_of_a_topic_once_and_in_order,
    test_read_committed,
    test_sticky_members_get_back_what_they_gave_up,
    topic,
)

from kafka import KafkaConsumer, TopicPartition
from tests.broker.probe import VERSIONS

pytestmark = [pytest.mark.kafka, pytest.mark.versions]

PROTOCOLS = "group.coordinator.rebalance.protocols"


@pytest.fixture(scope="module", params=[version for version in VERSIONS if version != kafka_jars.VERSION])
def kafka_cluster(request: pytest.FixtureRequest) -> Iterator[KafkaCluster]:
    with KafkaCluster(version=request.param) as cluster:
        yield cluster


@pytest.fixture(
    scope="module",
    params=[("3.9.1", {}), ("4.0.0", {PROTOCOLS: "classic"}), ("4.3.0", {PROTOCOLS: "classic"})],
    ids=lambda param: param[0],
)
def without_it(request: pytest.FixtureRequest) -> Iterator[KafkaCluster]:
    """Brokers that do not have the consumer protocol, or whose operators have turned it off."""
    version, configs = request.param
    with KafkaCluster(version=version, configs=configs) as cluster:
        yield cluster


def test_where_there_is_no_consumer_protocol_a_group_is_classic(without_it: KafkaCluster) -> None:
    without_it.create_topic("t", 6)
    configs: dict[str, Any] = {
        "group_id": "g",
        "auto_offset_reset": "earliest",
        "bootstrap_servers": without_it.bootstrap,
    }
    produce(without_it, "t", 60)
    with contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(KafkaConsumer("t", group_protocol="consumer", **configs)) for _ in range(2))
        read = reads(lambda _: len(one.assignment()) == len(two.assignment()) == 3, one, two)
        read += reads(lambda more: len(read) + len(more) >= 60, one, two)
        assert sorted(read) == list(range(60))
        assert one._member.is_classic and two._member.is_classic
    with KafkaConsumer(**configs) as consumer:
        assert [consumer.committed(TopicPartition("t", number)) for number in range(6)] == [10] * 6
