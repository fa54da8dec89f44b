"""Consumers of the newer group protocol (KIP-848), on the embedded broker."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from kafka import ConsumerRebalanceListener, KafkaProducer, SubscriptionPattern, TopicPartition
from kafka.errors import (
    ConfigurationValueError,
    IllegalStateError,
    InvalidRegularExpressionError,
    UnsupportedAssignorError,
    UnsupportedVersionError,
)
from kafka.protocol import ConsumerGroupHeartbeatRequest
from kafka.testing import EmbeddedCluster
from tests.consumer.test_groups import DEFAULTS, PARTITIONS, Log, fill, until

CONSUMER = {"group_protocol": "consumer"}


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(nodes=2, topics={"t": PARTITIONS}) as cluster:
        yield cluster


@pytest.fixture
def consumer_defaults() -> dict[str, Any]:
    return DEFAULTS


@pytest.fixture(autouse=True)
def soon(cluster: EmbeddedCluster) -> None:
    """Heartbeats as tests can wait for."""
    cluster.groups.heartbeat_interval = 0.1


def test_members_share_a_topic(producer: KafkaProducer, make: Any) -> None:
    fill(producer, 60)
    one = make("t", **CONSUMER)
    read = until(lambda: len(one.assignment()) == PARTITIONS, one)
    two = make("t", **CONSUMER)
    read += until(lambda: len(one.assignment()) == len(two.assignment()) == PARTITIONS // 2, one, two)
    fill(producer, 60, 60)
    read += until(lambda: all(each.position(tp) == 20 for each in (one, two) for tp in each.assignment()), one, two)
    one.close()
    read += until(lambda: len(two.assignment()) == PARTITIONS, two)
    assert sorted(read) == list(range(120))  # none twice: what moved was committed before
    metadata = two.group_metadata()
    assert metadata.generation_id > 0 and len(metadata.member_id) == 36


def test_a_listener_is_told_only_of_what_moves(make: Any) -> None:
    listener = Log()
    assert isinstance(listener, ConsumerRebalanceListener)
    one = make(**CONSUMER)
    one.subscribe(["t"], listener=listener)
    until(lambda: len(one.assignment()) == PARTITIONS, one)
    two = make("t", **CONSUMER)
    until(lambda: len(two.assignment()) == 3, one, two)
    gone = tuple(sorted(tp.partition for tp in two.assignment()))
    assert listener.told == [("assigned", tuple(range(6))), ("revoked", gone)]


def test_a_listener_may_commit_what_it_gives_up(producer: KafkaProducer, make: Any) -> None:
    fill(producer, 60)
    listener = Log()
    one = make(enable_auto_commit=False, **CONSUMER)
    listener.then = lambda what: one.commit() if what == "revoked" else None
    one.subscribe(["t"], listener=listener)
    until(lambda: all(one.position(tp) == 10 for tp in one.assignment()) and bool(one.assignment()), one)
    two = make("t", **CONSUMER)
    assert until(lambda: len(two.assignment()) == 3, one, two) == []
    until(lambda: all(two.position(tp) == 10 for tp in two.assignment()), two)


def test_an_assignor_that_nobody_has_is_said_by_poll(make: Any) -> None:
    one = make("t", group_remote_assignor="sticky", **CONSUMER)
    with pytest.raises(UnsupportedAssignorError):
        until(lambda: False, one)
    with pytest.raises(UnsupportedAssignorError):
        one.poll()


def test_brokers_without_the_protocol(
    cluster: EmbeddedCluster,
    producer: KafkaProducer,
    make: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for broker in cluster.brokers:
        del broker.versions[ConsumerGroupHeartbeatRequest.API_KEY]
    fill(producer, 6)
    caplog.set_level(logging.WARNING, "kafka")
    one = make("t", **CONSUMER)
    read = until(lambda: len(one.assignment()) == PARTITIONS, one)
    read += until(lambda: all(one.position(tp) == 1 for tp in one.assignment()), one)
    assert sorted(read) == list(range(6))
    one.commit()
    assert one.committed(TopicPartition("t", 0)) == 1
    said = [record.getMessage() for record in caplog.records if "KIP-848" in record.getMessage()]
    assert len(said) == 1 and "'g'" in said[0] and "classic" in said[0]


@pytest.mark.parametrize("key, value", [("group_protocol", "new"), ("group_remote_assignor", 7)])
def test_what_is_no_protocol_or_assignor(make: Any, key: str, value: Any) -> None:
    with pytest.raises(ConfigurationValueError, match=key):
        make("t", **{key: value})


def test_topics_that_the_brokers_find_by_a_pattern(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any
) -> None:
    cluster.create_topic("logs-a", 1)
    cluster.create_topic("xlogs-a", 1)
    one = make(**CONSUMER)
    one.subscribe(pattern=SubscriptionPattern("logs-.*"))
    assert one.subscription() == set()
    until(lambda: one.assignment() == {TopicPartition("logs-a", 0)}, one)
    assert one.subscription() == {"logs-a"}
    cluster.create_topic("logs-b", 1)
    producer.send("logs-b", b"7").get(10)
    assert until(lambda: TopicPartition("logs-b", 0) in one.assignment(), one) + until(
        lambda: one.position(TopicPartition("logs-b", 0)) == 1, one
    ) == [7]
    one.subscribe(pattern="t")  # matched here
    until(lambda: len(one.assignment()) == PARTITIONS, one)
    assert one.subscription() == {"t"}
    one.subscribe(pattern=SubscriptionPattern("logs-b"))
    until(lambda: one.assignment() == {TopicPartition("logs-b", 0)}, one)
    one.subscribe(pattern="nothing")
    until(lambda: not one.assignment() and one.subscription() == set(), one)
    one.subscribe(["t"])
    until(lambda: len(one.assignment()) == PARTITIONS, one)
    one.unsubscribe()
    assert one.subscription() is None


def test_a_pattern_that_the_brokers_do_not_understand_is_said_by_poll(make: Any) -> None:
    one = make(**CONSUMER)
    one.subscribe(pattern=SubscriptionPattern("(?=t)"))
    with pytest.raises(InvalidRegularExpressionError):
        until(lambda: False, one)
    one.unsubscribe()
    one.subscribe(["t"])
    until(lambda: len(one.assignment()) == PARTITIONS, one)


@pytest.mark.parametrize("then", [{"topics": ["t"]}, {"pattern": "t"}])
def test_a_pattern_that_brokers_cannot_match_is_said_by_poll(
    cluster: EmbeddedCluster, make: Any, then: dict[str, Any]
) -> None:
    for broker in cluster.brokers:
        del broker.versions[ConsumerGroupHeartbeatRequest.API_KEY]
    one = make(**CONSUMER)
    for _ in range(2):
        one.subscribe(pattern=SubscriptionPattern("t"))
        for _ in range(2):
            with pytest.raises(UnsupportedVersionError, match="A pattern that is a str"):
                until(lambda: False, one)
    one.subscribe(**then)  # as that says
    until(lambda: len(one.assignment()) == PARTITIONS, one)


def test_patterns_that_are_none_for_brokers(make: Any) -> None:
    one = make(**CONSUMER)
    with pytest.raises(TypeError, match="of a str"):
        one.subscribe(pattern=SubscriptionPattern(b"t"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty"):
        one.subscribe(pattern=SubscriptionPattern(""))
    with pytest.raises(IllegalStateError):
        one.subscribe(["t"], pattern=SubscriptionPattern("t"))
    for configs in ({"group_protocol": "classic"}, {"group_id": None, **CONSUMER}):
        other = make(**configs)
        with pytest.raises(IllegalStateError, match="group_protocol"):
            other.subscribe(pattern=SubscriptionPattern("t"))
        assert other.subscription() is None
