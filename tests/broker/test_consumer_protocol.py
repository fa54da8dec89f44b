"""Groups of the consumer protocol (KIP-848) on the real Kafka: members come and go, groups change protocols."""

from __future__ import annotations

from typing import Any

import pytest
from broker.cluster import KafkaCluster
from broker.test_consumer import PARTITIONS, make, produce, reads, topic  # noqa: F401 (make, topic: fixtures)

from kafka import KafkaConsumer, SubscriptionPattern, TopicPartition
from kafka.errors import InvalidRegularExpressionError, UnreleasedInstanceIdError, UnsupportedAssignorError

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

CONSUMER = {"group_protocol": "consumer"}


@pytest.mark.parametrize("assignor", [None, "uniform", "range"])
def test_a_group_that_grows_and_shrinks(
    kafka_cluster: KafkaCluster,
    topic: str,  # noqa: F811
    make: Any,  # noqa: F811
    assignor: str | None,
) -> None:
    configs = {"group_id": topic, "group_remote_assignor": assignor, **CONSUMER}
    one = make(topic, **configs)
    produce(kafka_cluster, topic, 60)
    read = reads(lambda read: len(read) >= 60, one)
    two = make(topic, **configs)
    read += reads(lambda _: len(one.assignment()) == len(two.assignment()) == 3, one, two)
    if assignor == "range":
        assert {tp.partition for tp in one.assignment()} in ({0, 1, 2}, {3, 4, 5})
    produce(kafka_cluster, topic, 60, 60)
    left = 120 - len(read)
    read += reads(lambda read: len(read) >= left, one, two)
    one.commit()
    one.close()
    read += reads(lambda _: len(two.assignment()) == 6, two)
    produce(kafka_cluster, topic, 60, 120)
    left = 180 - len(read)
    read += reads(lambda read: len(read) >= left, two)
    assert sorted(read) == list(range(180))  # once each: what moved was committed before it did
    assert not two._member.is_classic
    two.close()
    assert [make(group_id=topic).committed(TopicPartition(topic, number)) for number in range(PARTITIONS)] == [30] * 6


def test_a_static_member_comes_back_to_its_partitions(
    kafka_cluster: KafkaCluster,
    topic: str,  # noqa: F811
    make: Any,  # noqa: F811
) -> None:
    configs = {"group_id": topic, **CONSUMER}
    one, two = (make(topic, group_instance_id=name, **configs) for name in ("a", "b"))
    reads(lambda _: len(one.assignment()) == len(two.assignment()) == 3, one, two)
    had, kept = one.assignment(), two.assignment()
    one.close()
    again = make(topic, group_instance_id="a", **configs)
    reads(lambda _: len(again.assignment()) == 3, again, two)
    assert again.assignment() == had and two.assignment() == kept
    # A namesake waits, and is told when it has waited for two sessions.
    third = make(topic, group_instance_id="a", session_timeout_ms=1000, heartbeat_interval_ms=300, **configs)
    with pytest.raises(UnreleasedInstanceIdError):
        reads(lambda _: bool(third.assignment()), third, again, two)


def test_an_assignor_that_the_brokers_do_not_have(
    kafka_cluster: KafkaCluster,
    topic: str,  # noqa: F811
    make: Any,  # noqa: F811
) -> None:
    consumer = make(topic, group_id=topic, group_remote_assignor="sticky", **CONSUMER)
    with pytest.raises(UnsupportedAssignorError, match="uniform"):
        reads(lambda _: False, consumer)


def test_who_does_not_poll_leaves_and_comes_back(
    kafka_cluster: KafkaCluster,
    topic: str,  # noqa: F811
    make: Any,  # noqa: F811
) -> None:
    configs = {"group_id": topic, "max_poll_interval_ms": 4000, **CONSUMER}
    slow, other = make(topic, **configs), make(topic, **configs)
    reads(lambda _: len(slow.assignment()) == len(other.assignment()) == 3, slow, other)
    reads(lambda _: len(other.assignment()) == 6, other)
    reads(lambda _: len(slow.assignment()) == len(other.assignment()) == 3, slow, other)


def test_a_group_changes_its_protocol_while_it_works(
    kafka_cluster: KafkaCluster,
    topic: str,  # noqa: F811
    make: Any,  # noqa: F811
) -> None:
    """From classic to consumer and back, member by member; every record is read, and what is committed stays."""
    classic = {"group_id": topic, "partition_assignment_strategy": ["range"]}
    consumers: list[KafkaConsumer] = [make(topic, **classic), make(topic, **classic)]
    read: list[int] = []
    produced = 0

    def goes_on() -> None:
        nonlocal produced
        sizes = [6 // len(consumers)] * len(consumers)
        read.extend(reads(lambda _: [len(each.assignment()) for each in consumers] == sizes, *consumers))
        produce(kafka_cluster, topic, 60, produced)
        produced += 60
        read.extend(reads(lambda more: len({*read, *more}) == produced, *consumers))

    goes_on()
    for configs in ({"group_id": topic, **CONSUMER}, classic):
        for _ in range(2):
            consumers.append(make(topic, **configs))
            goes_on()
            consumers.pop(0).close()
            goes_on()
        assert {type(each._member).__name__ for each in consumers} == (
            {"ConsumerMember"} if "group_protocol" in configs else {"Member"}
        )
    assert set(read) == set(range(produced))
    assert len(read) == produced  # none twice: every partition was committed before it moved


def test_topics_that_the_brokers_find_by_a_pattern(kafka_cluster: KafkaCluster, topic: str, make: Any) -> None:  # noqa: F811
    first, second = f"{topic}-a", f"{topic}-b"
    kafka_cluster.create_topic(first, 1)
    kafka_cluster.create_topic(f"x{topic}-a", 1)
    one = make(group_id=topic, **CONSUMER)
    one.subscribe(pattern=SubscriptionPattern(rf"(?i){topic.upper()}-\p{{L}}"))
    reads(lambda _: one.assignment() == {TopicPartition(first, 0)}, one)
    assert one.subscription() == {first}
    kafka_cluster.create_topic(second, PARTITIONS)
    produce(kafka_cluster, second, 10)
    read = reads(lambda read: len(read) >= 10, one)  # within some 10 s
    assert sorted(read) == list(range(10)) and one.subscription() == {first, second}
    one.subscribe([topic])  # takes the pattern back
    reads(lambda _: {tp.topic for tp in one.assignment()} == {topic}, one)
    one.subscribe(pattern=SubscriptionPattern("(?=lookahead)"))
    with pytest.raises(InvalidRegularExpressionError, match="lookahead"):
        reads(lambda _: False, one)
