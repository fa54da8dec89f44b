"""Assignors of users' own, in the form that kafka-python gives them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pytest

from kafka import TopicPartition
from kafka.consumer.assignors import as_strategy
from kafka.coordinator.assignors.abstract import (
    AbstractPartitionAssignor,
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
)
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.core.groups.assignors import COOPERATIVE_STICKY, RANGE, ROUND_ROBIN, STICKY, Subscription, encode_last
from kafka.errors import AssignorError, ConfigurationValueError
from kafka.testing import EmbeddedCluster
from tests.consumer.test_groups import DEFAULTS, PARTITIONS, until


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(nodes=2, topics={"t": PARTITIONS}) as cluster:
        yield cluster


@pytest.fixture
def consumer_defaults() -> dict[str, Any]:
    return DEFAULTS


class ByWeight(AbstractPartitionAssignor):
    """The heaviest member gets all but one partition each."""

    name = "by-weight"

    def __init__(self, weight: int = 1) -> None:
        self.weight = weight
        self.told: list[tuple[ConsumerProtocolAssignment, int]] = []

    def assign(self, cluster: Any, members: Sequence[Any]) -> Mapping[str, Any]:
        assert cluster.topics() == {"t"} and cluster.partitions_for_topic("unknown") is None
        ordered = sorted(members, key=lambda member: -int(member.metadata.user_data))
        numbers = sorted(cluster.partitions_for_topic("t"))
        shares = {member.member_id: [numbers.pop()] for member in ordered[1:]}
        shares[ordered[0].member_id] = numbers
        return {
            id: ConsumerProtocolAssignment(
                assigned_partitions=[ConsumerProtocolAssignment.TopicPartition(topic="t", partitions=share)]
            )
            for id, share in shares.items()
        }

    def metadata(self, topics: Collection[str]) -> ConsumerProtocolSubscription:
        return ConsumerProtocolSubscription(topics=sorted(topics), user_data=b"%d" % self.weight)

    def on_assignment(self, assignment: ConsumerProtocolAssignment, generation: int) -> None:
        self.told.append((assignment, generation))


def test_an_assignor_that_reads_what_members_say(make: Any) -> None:
    mine = ByWeight(7)
    one = make("t", partition_assignment_strategy=[ByWeight])  # a class is called without arguments
    until(lambda: len(one.assignment()) == PARTITIONS, one)
    two = make("t", partition_assignment_strategy=[mine])
    until(lambda: len(two.assignment()) == PARTITIONS - 1 and len(one.assignment()) == 1, one, two)
    assignment, generation = mine.told[-1]
    assert [each.topic for each in assignment.assigned_partitions] == ["t"]
    assert generation == two.group_metadata().generation_id


class Reversed(RangePartitionAssignor):
    name = "reversed"

    def assign(self, cluster: Any, members: Sequence[Any]) -> Mapping[str, Any]:
        shares = super().assign(cluster, members)
        return dict(zip(shares, reversed(list(shares.values())), strict=True))


def test_one_that_inherits_from_one_that_is_there(make: Any) -> None:
    configs = {"partition_assignment_strategy": [Reversed]}
    one = make("t", group_instance_id="a", **configs)
    two = make("t", group_instance_id="b", **configs)
    until(lambda: len(one.assignment()) == len(two.assignment()) == 3, one, two)
    assert {tp.partition for tp in two.assignment()} == {0, 1, 2}


class Named(StickyPartitionAssignor):
    name = "named"


class Sticky(StickyPartitionAssignor):
    """Under the name of the one that is there, so that others may be in its group."""


def last(share: Any) -> Any:
    return encode_last([TopicPartition("t", number) for number in share], 3)


def test_who_inherits_from_the_sticky_one_keeps_what_members_have_had() -> None:
    had = {"m0": [0, 4, 5], "m1": [1, 2, 3]}
    members = {id: Subscription({"t"}, user_data=last(share)) for id, share in had.items()}
    strategy = as_strategy(Sticky)
    assert strategy is not None and strategy.assign(members, {"t": 6}, {}) == STICKY.assign(members, {"t": 6}, {})
    assert strategy.user_data is not None and strategy.told is not None
    assert strategy.user_data({"t"}) == encode_last((), -1)
    strategy.told([TopicPartition("t", number) for number in (4, 5, 0)], 3)
    assert strategy.user_data({"t"}) == last((0, 4, 5))
    assert Reversed().metadata({"t"}).user_data is None


def test_members_of_one_that_inherits_from_the_sticky_one_get_back_what_they_gave_up(make: Any) -> None:
    configs: dict[str, Any] = {"partition_assignment_strategy": [Named]}
    group = [make("t", **configs)]
    until(lambda: len(group[0].assignment()) == PARTITIONS, *group)
    for count in (2, 3):
        had = [each.assignment() for each in group]
        group.append(make("t", **configs))
        until(lambda: {len(each.assignment()) for each in group} == {PARTITIONS // len(group)}, *group)
        assert all(each.assignment() <= before for each, before in zip(group, had, strict=False)), count


class Simple:
    """No more than it takes."""

    name = "simple"

    def assign(self, cluster: Any, members: Sequence[Any]) -> Any:
        return {members[0].member_id: [TopicPartition("t", 1), TopicPartition("t", 2)]}


def test_two_methods_are_enough(make: Any) -> None:
    one = make("t", partition_assignment_strategy=[Simple()])
    until(lambda: {tp.partition for tp in one.assignment()} == {1, 2}, one)


class Twice(Simple):
    def assign(self, cluster: Any, members: Sequence[Any]) -> Any:
        return {member.member_id: [("t", 1)] for member in members}


class Stranger(Simple):
    def assign(self, cluster: Any, members: Sequence[Any]) -> Any:
        return {"nobody": [("t", 1)]}


class Noise(Simple):
    def assign(self, cluster: Any, members: Sequence[Any]) -> Any:
        return None


@pytest.mark.parametrize("kind, said", [(Twice, "to both"), (Stranger, "'nobody'"), (Noise, "AttributeError")])
def test_what_cannot_be_is_raised_by_poll(make: Any, kind: type[Simple], said: str) -> None:
    consumers = [make("t", partition_assignment_strategy=[kind]) for _ in range(2)]
    raised: list[AssignorError] = []

    def has_failed() -> bool:
        for each in consumers:
            try:
                each.poll(50)
            except AssignorError as error:
                raised.append(error)
        return bool(raised)

    until(has_failed)
    assert said in str(raised[0]) and "'simple'" in str(raised[0])


class FailsOnce(Simple):
    has_failed = False

    def assign(self, cluster: Any, members: Sequence[Any]) -> Any:
        self.has_failed, had_failed = True, self.has_failed
        return super().assign(cluster, members) if had_failed else None


@pytest.mark.parametrize("what", [{"topics": ["t"]}, {"pattern": "t"}])
def test_who_was_refused_may_subscribe_the_same_again(make: Any, what: dict[str, Any]) -> None:
    one = make(partition_assignment_strategy=[FailsOnce()])
    one.subscribe(**what)
    for _ in range(3):  # again and again, until then
        with pytest.raises(AssignorError):
            until(lambda: False, one)
    one.subscribe(**what)
    until(lambda: len(one.assignment()) == 2, one)
    assert one.subscription() == {"t"}


@pytest.mark.parametrize(
    "given, strategy",
    [
        (RangePartitionAssignor, RANGE),
        (RoundRobinPartitionAssignor(), ROUND_ROBIN),
        (StickyPartitionAssignor, STICKY),
        (CooperativeStickyAssignor, COOPERATIVE_STICKY),
    ],
)
def test_those_that_are_there_by_kafka_pythons_names(make: Any, given: Any, strategy: Any) -> None:
    assert make(partition_assignment_strategy=[given])._checked.partition_assignment_strategy == (strategy,)


@pytest.mark.parametrize("given", [[], ["fair"], [object()], [Simple, Simple()], 7, [int]])
def test_what_is_no_assignor(make: Any, given: Any) -> None:
    with pytest.raises(ConfigurationValueError, match="partition_assignment_strategy"):
        make(partition_assignment_strategy=given)
