"""Members by the consumer protocol (KIP-848) against simulated brokers, and what befalls their heartbeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kafka.core.flows import Task
from kafka.core.groups.consumer_protocol import ConsumerMember
from kafka.core.groups.membership import Member
from kafka.core.groups.offsets import commit, fetch_committed
from kafka.core.groups.states import MemberState
from kafka.errors import UnsupportedVersionError
from kafka.protocol import ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, MetadataRequest
from kafka.protocol.codes import Code
from kafka.result import Err, Ok
from kafka.structs import OffsetAndMetadata, TopicPartition
from kafka.testing.model.consumer_groups import ConsumerGroup
from kafka.testing.model.groups import Groups
from tests.sim.test_membership import PARTITIONS, GroupWorld, SimMember, until

BEAT = ConsumerGroupHeartbeatRequest.API_KEY


class ConsumerWorld(GroupWorld):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.cluster.offer(ConsumerGroupHeartbeatRequest)
        self.protocol = ConsumerMember
        self.groups: Groups = self.cluster.groups
        self.groups.session, self.groups.heartbeat_interval = 6.0, 0.5
        self.beats: list[ConsumerGroupHeartbeatRequest] = []  # as the coordinator gets them
        self.answers: list[ConsumerGroupHeartbeatResponse] = []
        self.instead: Callable[[ConsumerGroupHeartbeatRequest], int] = lambda request: 0  # an error to answer with
        self.loses: Callable[[ConsumerGroupHeartbeatRequest], bool] = lambda request: False  # the answer, that is
        for broker in self.cluster.brokers:
            broker.handlers[BEAT] = self._answering(broker.handlers[BEAT])

    def _answering(self, handler: Any) -> Any:
        def answer(broker: Any, header: Any, request: Any) -> Any:
            self.beats.append(request)
            code = self.instead(request)
            if code:
                return ConsumerGroupHeartbeatResponse(error_code=code)
            response = handler(broker, header, request)
            self.answers.append(response)
            if self.loses(request):
                for link in list(broker.connections):
                    link.reset()
                return None
            return response

        return answer

    @property
    def coordinator(self) -> ConsumerGroup:
        return self.groups.consumer["g"]

    def are_at_once(self, one: SimMember, other: SimMember) -> bool:
        if "g" not in self.groups.consumer:
            return super().are_at_once(one, other)
        known = self.coordinator.members
        return all(
            each.member.id in known and each.member.generation == known[each.member.id].epoch for each in (one, other)
        )

    def settled(self) -> bool:
        alive = self.alive()
        held = [tp for member in alive for tp in member.held]
        return (
            all(member.member.state is MemberState.STABLE and not member.member.changes for member in alive)
            and len(held) == len(set(held)) == (sum(map(len, self.cluster.topics.values())) if alive else 0)
            and {member.member.generation for member in alive} == {self.coordinator.epoch}
        )

    def alone(self, **options: Any) -> SimMember:
        member = self.add(**options)
        until(self, self.settled, 10.0)
        self.beats.clear()
        return member


def share(*numbers: int) -> set[TopicPartition]:
    return {TopicPartition("t", number) for number in numbers}


@pytest.mark.parametrize("assignor", [None, "uniform", "range"])
@pytest.mark.parametrize("interval", [0.0, 1.0])
def test_members_come_and_go(assignor: str | None, interval: float) -> None:
    w = ConsumerWorld(1)
    w.groups.assignment_interval = interval
    for _ in range(3):
        w.add(assignor=assignor)
        until(w, w.settled, 10.0)
    assert sorted(len(member.held) for member in w.members) == [2, 2, 3]
    if assignor == "range":
        assert sorted(sorted(tp.partition for tp in member.held) for member in w.members) == [[0, 1, 2], [3, 4], [5, 6]]
    w.members[0].leave()
    until(w, w.settled, 5.0)  # within a heartbeat of the others, not a session
    w.members[1].die()
    until(w, w.settled, 15.0)
    assert len(w.members[2].held) == PARTITIONS


def test_only_what_moves_is_given_up() -> None:
    w = ConsumerWorld(2)
    first = w.alone()
    w.add()
    until(w, w.settled, 10.0)
    assert first.told == [("assigned", 7), ("revoked", 3)]


def test_who_joins_says_everything_and_then_only_what_has_changed() -> None:
    w = ConsumerWorld(3)
    w.add()
    until(w, w.settled, 10.0)
    w.run(2.0)
    joins, acknowledges, *others = w.beats
    assert (joins.member_epoch, joins.topic_partitions, joins.subscribed_topic_names) == (0, (), ("t",))
    assert joins.rebalance_timeout_ms == 20_000 and len(joins.member_id) == 36
    assert acknowledges.topic_partitions is not None and acknowledges.subscribed_topic_names is None
    assert len(others) >= 3
    for beat in others:
        assert (beat.topic_partitions, beat.subscribed_topic_names, beat.rebalance_timeout_ms) == (None, None, -1)


def test_partitions_are_acknowledged_after_the_reader_has_given_them_up_and_at_once() -> None:
    w = ConsumerWorld(4)
    w.groups.heartbeat_interval = 3.0
    first = w.alone()
    first.busy = True
    second = w.add()
    w.run(8.0)
    assert len(first.held) == PARTITIONS and not second.held  # beats on meanwhile, without a word of its partitions
    beats = [beat for beat in w.beats if beat.member_id == first.member.id]
    assert len(beats) >= 2 and all(beat.topic_partitions is None for beat in beats)
    first.busy = False
    until(w, lambda: len(first.held) == 4, 1.0)
    w.run(0.2)
    assert sum(len(topic.partitions) for topic in w.beats[-1].topic_partitions or ()) == 4
    until(w, lambda: len(second.held) == 3, 4.0)


def test_who_takes_longer_than_it_may_to_give_up_partitions_loses_all() -> None:
    w = ConsumerWorld(5)
    slow = w.alone(poll_interval=4.0)
    slow.busy = True
    other = w.add(poll_interval=4.0)
    until(w, lambda: len(other.held) == PARTITIONS, 8.0)
    slow.busy = False
    until(w, w.settled, 10.0)
    assert [what for what, _ in slow.told] == ["assigned", "revoked", "lost", "assigned"]


def test_an_epoch_counts_where_nothing_else_has_changed() -> None:
    """KIP-1263: the second member's epoch moves a second later, in an answer without an assignment."""
    w = ConsumerWorld(6)
    w.groups.assignment_interval = 1.0
    w.alone()
    w.add()
    w.answers.clear()
    until(w, w.settled, 10.0)
    moved = [answer for answer in w.answers if answer.assignment is None and not answer.error_code]
    assert moved and {answer.error_code for answer in w.answers} == {0}
    w.run(3.0)
    assert {answer.error_code for answer in w.answers} == {0}


def test_after_a_lost_answer_everything_is_said_again() -> None:
    w = ConsumerWorld(7)
    first = w.alone()
    lost: list[int] = []

    def loses(request: ConsumerGroupHeartbeatRequest) -> bool:
        """The answer that tells the first member what to give up."""
        mine = request.member_id == first.member.id and w.answers[-1].assignment is not None
        if mine and not lost:
            lost.append(len(w.beats))
            return True
        return False

    w.loses = loses
    w.add()
    until(w, w.settled, 10.0)
    (index,) = lost
    again = next(beat for beat in w.beats[index:] if beat.member_id == first.member.id)
    assert again.topic_partitions is not None and again.subscribed_topic_names == ("t",)
    assert again.rebalance_timeout_ms == 20_000 and again.member_epoch > 0
    assert first.told == [("assigned", 7), ("revoked", 3)]  # and it was not thrown out for it


@pytest.mark.parametrize("code", [Code.FENCED_MEMBER_EPOCH, Code.UNKNOWN_MEMBER_ID, Code.GROUP_ID_NOT_FOUND])
def test_who_is_thrown_out_is_told_and_joins_again_by_the_same_id(code: int) -> None:
    w = ConsumerWorld(8)
    one = w.alone()
    id, said = one.member.id, [code]
    one.busy = True
    w.instead = lambda request: said.pop() if said else 0
    w.run(2.0)
    assert not said and len(w.beats) == 1  # no heartbeat before the reader has let go
    one.busy = False
    until(w, w.settled, 5.0)
    assert one.told == [("assigned", 7), ("lost", 7), ("assigned", 7)]
    assert w.beats[1].member_epoch == 0 and w.beats[1].topic_partitions == () and w.beats[1].member_id == id


def test_brokers_that_do_not_let_a_member_join_twice_are_left_first() -> None:
    """Before KAFKA-19233."""
    w = ConsumerWorld(9)
    one = w.alone()
    said = [Code.FENCED_MEMBER_EPOCH]
    w.instead = lambda request: (
        said.pop()
        if said
        else Code.FENCED_MEMBER_EPOCH
        if request.member_epoch == 0 and request.member_id in w.coordinator.members
        else 0
    )
    until(w, lambda: ("lost", 7) in one.told and w.settled(), 5.0)
    assert -1 in [beat.member_epoch for beat in w.beats]
    assert len(w.beats) < 20


def test_a_group_that_is_gone_is_joined_again() -> None:
    w = ConsumerWorld(10)
    one = w.alone()
    w.coordinator.members.clear()
    until(w, lambda: len(one.told) == 3, 5.0)
    assert one.told == [("assigned", 7), ("lost", 7), ("assigned", 7)]


def test_a_coordinator_that_moves_takes_nobody_out_of_the_group() -> None:
    w = ConsumerWorld(11)
    for _ in range(3):
        w.add()
    until(w, w.settled, 15.0)
    epoch = w.coordinator.epoch
    for _ in range(5):
        w.cluster.move_coordinator("g")
        w.run(2.0)
    assert w.settled() and w.coordinator.epoch == epoch


def test_who_leaves_says_so_to_whoever_coordinates_by_then() -> None:
    w = ConsumerWorld(12)
    one = w.alone()
    w.cluster.move_coordinator("g")
    one.leave()
    until(w, lambda: not w.coordinator.members, 2.0)
    assert w.beats[-1].member_epoch == -1


def test_who_does_not_poll_leaves_and_comes_back() -> None:
    w = ConsumerWorld(13)
    slow, other = w.add(poll_interval=6.0), w.add(poll_interval=6.0)
    until(w, w.settled, 15.0)
    had = len(slow.held)
    w.beats.clear()
    slow.busy = True
    until(w, lambda: len(other.held) == PARTITIONS, 8.0)
    beats = [beat.member_epoch for beat in w.beats if beat.member_id == slow.member.id]
    assert beats.count(-1) == 1 and beats[-1] == -1  # and no attempt to join before somebody polls
    w.run(5.0)
    assert [beat.member_epoch for beat in w.beats if beat.member_id == slow.member.id] == beats
    slow.busy = False
    until(w, w.settled, 10.0)
    assert ("lost", had) in slow.told


def test_who_has_nothing_and_does_not_poll_leaves_once() -> None:
    w = ConsumerWorld(14)
    w.cluster.topics["t"].partitions = w.cluster.topics["t"].partitions[:1]
    w.add(poll_interval=3.0), w.add(poll_interval=3.0)
    until(w, w.settled, 10.0)
    idle = next(member for member in w.members if not member.held)
    w.beats.clear()
    idle.busy = True
    w.run(15.0)
    assert [beat.member_epoch for beat in w.beats if beat.member_id == idle.member.id].count(-1) == 1
    assert idle.member.id not in w.coordinator.members


def test_a_static_member_that_leaves_keeps_its_partitions_for_a_session() -> None:
    w = ConsumerWorld(15)
    first, second = w.add(instance="a"), w.add(instance="b")
    until(w, w.settled, 10.0)
    had, epoch, told = set(first.held), w.coordinator.epoch, list(second.told)
    first.leave()
    w.run(1.0)
    assert w.beats and -2 in [beat.member_epoch for beat in w.beats]
    again = w.add(instance="a")
    until(w, w.settled, 5.0)
    assert again.held == had and w.coordinator.epoch == epoch and second.told == told
    again.leave()
    until(w, lambda: len(second.held) == PARTITIONS, 10.0)  # for no longer than that


def test_a_namesake_waits_until_the_name_is_free() -> None:
    w = ConsumerWorld(16)
    first = w.alone(instance="a")
    second = w.add(instance="a")
    w.run(3.0)
    assert second.member.state is MemberState.JOINING and not second.held
    assert len([beat for beat in w.beats if beat.member_id == second.member.id]) < 12
    first.die()
    until(w, lambda: len(second.held) == PARTITIONS, 8.0)


def test_a_namesake_whose_process_is_stopped_while_it_waits_asks_once_more() -> None:
    """The answer that it finds when it goes on is as old as that."""
    w = ConsumerWorld(16)
    first = w.alone(instance="a")
    second = w.add(instance="a")
    w.run(1.0)

    def stopping(request: ConsumerGroupHeartbeatRequest) -> bool:
        if request.member_id == second.member.id:
            w.loses = lambda request: False
            for link in list(second.driver._ids):
                link.stall(15.0)
        return False

    w.loses = stopping
    until(w, lambda: w.loses is not stopping, 5.0)
    first.die()
    w.run(14.0)
    assert "g" not in w.groups.consumer or first.member.id not in w.coordinator.members
    until(w, lambda: len(second.held) == PARTITIONS, 8.0)


def test_a_namesake_that_waits_in_vain_is_told() -> None:
    w = ConsumerWorld(17)
    w.alone(instance="a")
    second = w.add(instance="a")
    second.busy = True
    w.run(20.0)
    assert second.member.state is MemberState.FATAL
    assert second.member.error is not None and second.member.error.errno == Code.UNRELEASED_INSTANCE_ID
    assert w.members[0].held == share(*range(PARTITIONS))


@pytest.mark.parametrize(
    "code",
    [Code.GROUP_MAX_SIZE_REACHED, Code.UNSUPPORTED_ASSIGNOR, Code.FENCED_INSTANCE_ID, Code.INVALID_REGULAR_EXPRESSION,
     Code.GROUP_AUTHORIZATION_FAILED, Code.INVALID_REQUEST],
)  # fmt: skip
def test_what_is_final_is_told(code: int) -> None:
    w = ConsumerWorld(18)
    w.instead = lambda request: code
    one = w.add()
    one.busy = True
    w.run(5.0)
    assert one.member.state is MemberState.FATAL and len(w.beats) == 1
    assert one.member.error is not None and one.member.error.errno == code


def test_an_assignor_that_nobody_has_is_an_error() -> None:
    w = ConsumerWorld(19)
    one = w.add(assignor="sticky")
    one.busy = True
    w.run(5.0)
    assert one.member.error is not None and one.member.error.errno == Code.UNSUPPORTED_ASSIGNOR


def test_another_subscription_is_said_at_once() -> None:
    w = ConsumerWorld(20)
    w.groups.heartbeat_interval = 5.0
    one = w.alone()
    w.cluster.create_topic("u", 2)
    one.member.subscribe(["t", "u"], w.now)
    one.driver.turn()
    until(w, lambda: len(one.held) == PARTITIONS + 2, 1.0)
    said = [beat for beat in w.beats if beat.subscribed_topic_names is not None]
    assert len(said) == 1 and said[0].subscribed_topic_names == ("t", "u") and said[0].topic_partitions is None


def test_a_topic_that_the_member_does_not_know_yet_is_its_all_the_same() -> None:
    w = ConsumerWorld(21)
    one = w.alone()
    w.cluster.create_topic("found", 2)
    w.coordinator.members[one.member.id].names = frozenset(("t", "found"))  # as a pattern would
    until(w, lambda: len(one.held) == PARTITIONS + 2, 5.0)
    assert TopicPartition("found", 1) in one.held


def test_who_waits_for_the_name_of_a_topic_is_not_done() -> None:
    w = ConsumerWorld(21)
    one = w.alone()
    hides = [True]

    def hiding(own: Any) -> Any:
        def answer(broker: Any, header: Any, request: Any) -> Any:
            response = own(broker, header, request)
            for topic in response.topics if hides else ():
                if topic.name == "found":
                    topic.name, topic.error_code = None, Code.UNKNOWN_TOPIC_ID
            return response

        return answer

    for broker in w.cluster.brokers:
        broker.handlers[MetadataRequest.API_KEY] = hiding(broker.handlers[MetadataRequest.API_KEY])
    w.cluster.create_topic("found", 2)
    w.coordinator.members[one.member.id].names = frozenset(("t", "found"))
    w.run(5.0)
    assert one.member.state is MemberState.RECONCILING and len(one.held) == PARTITIONS
    hides.clear()
    until(w, w.settled, 5.0)


def test_a_topic_made_anew_is_given_up_and_taken_on() -> None:
    w = ConsumerWorld(22)
    one = w.alone()
    w.cluster.delete_topic("t")
    w.cluster.create_topic("t", PARTITIONS)
    until(w, lambda: len(one.told) == 3, 10.0)
    assert one.told == [("assigned", 7), ("revoked", 7), ("assigned", 7)]


@pytest.mark.parametrize("lacks_api", [True, False])
def test_brokers_without_the_protocol_are_spoken_to_as_before(lacks_api: bool) -> None:
    w = ConsumerWorld(23)
    for broker in w.cluster.brokers:
        if lacks_api:
            del broker.versions[BEAT]
    w.instead = lambda request: Code.UNSUPPORTED_VERSION
    one, two = w.add(), w.add()
    until(w, lambda: GroupWorld.settled(w), 10.0)
    assert len(w.beats) == (0 if lacks_api else 2)
    assert sum("uses the classic one" in str(event) for event in w.simulation.trace) == 2
    one.leave()
    until(w, lambda: len(two.held) == PARTITIONS, 5.0)


# -- topics that the coordinator finds by a pattern --------------------------------------------------------------------


def topics_of(member: SimMember) -> set[str]:
    return {tp.topic for tp in member.held}


def matching(w: ConsumerWorld, pattern: str) -> SimMember:
    one = w.add()
    one.member.subscribe([], w.now, pattern=pattern)  # type: ignore[call-arg]
    one.driver.turn()
    return one


def test_the_coordinator_finds_topics_by_a_pattern() -> None:
    w = ConsumerWorld(27)
    for name in ("logs-a", "logs-b", "xlogs-c"):
        w.cluster.create_topic(name, 2)
    one = matching(w, "logs-.*")
    until(w, lambda: topics_of(one) == {"logs-a", "logs-b"}, 5.0)
    w.cluster.create_topic("logs-d", 1)
    until(w, lambda: topics_of(one) == {"logs-a", "logs-b", "logs-d"}, 5.0)
    w.beats.clear()
    w.run(3.0)
    assert {beat.subscribed_topic_regex for beat in w.beats} == {None}  # said once
    one.member.subscribe(["t"], w.now)
    one.driver.turn()
    until(w, lambda: topics_of(one) == {"t"}, 5.0)
    assert w.coordinator.members[one.member.id].pattern is None
    one.member.subscribe([], w.now, pattern="logs-d")  # type: ignore[call-arg]
    one.driver.turn()
    until(w, lambda: topics_of(one) == {"logs-d"}, 5.0)


def test_a_pattern_is_said_again_after_a_lost_answer_and_taken_back_where_that_was_lost() -> None:
    w = ConsumerWorld(28)
    one = w.alone()
    w.cluster.create_topic("logs-a", 2)
    lost: list[str | None] = []

    def loses(request: ConsumerGroupHeartbeatRequest) -> bool:
        if request.subscribed_topic_regex is not None and lost.count(request.subscribed_topic_regex) < 2:
            lost.append(request.subscribed_topic_regex)
            return True
        return False

    w.loses = loses
    one.member.subscribe([], w.now, pattern="logs-a")  # type: ignore[call-arg]
    one.driver.turn()
    until(w, lambda: topics_of(one) == {"logs-a"}, 15.0)
    one.member.subscribe(["t"], w.now)
    one.driver.turn()
    until(w, lambda: topics_of(one) == {"t"}, 15.0)
    assert lost == ["logs-a", "logs-a", "", ""]


@pytest.mark.parametrize("version", [0, None])
def test_brokers_that_match_no_patterns_are_an_error(version: int | None) -> None:
    w = ConsumerWorld(29)
    for broker in w.cluster.brokers:
        if version is None:
            del broker.versions[BEAT]
        else:
            broker.versions[BEAT] = (0, version)
    one = matching(w, "t")
    one.busy = True
    until(w, lambda: one.member.state is MemberState.FATAL, 5.0)
    assert isinstance(one.member.error, UnsupportedVersionError) and "SubscriptionPattern('t')" in str(one.member.error)
    w.run(1.0)
    if version is not None:
        assert [beat.member_epoch for beat in w.beats] == [0, -1]


def test_a_pattern_for_who_has_fallen_back_to_the_classic_protocol_is_an_error() -> None:
    w = ConsumerWorld(30)
    w.instead = lambda request: Code.UNSUPPORTED_VERSION
    one, two = w.add(), w.add()
    until(w, lambda: GroupWorld.settled(w), 10.0)
    one.member.subscribe([], w.now, pattern="t")  # type: ignore[call-arg]
    one.driver.turn()
    one.busy = True
    until(w, lambda: len(two.held) == PARTITIONS, 3.0)  # it has left
    assert [bool(change.lost) for change in one.member.changes] == [True]
    one.member.changes.popleft().done(w.now)
    assert isinstance(one.member.error, UnsupportedVersionError)


# -- offsets -----------------------------------------------------------------------------------------------------------


def test_a_commit_of_a_former_epoch_is_sent_again_with_the_present_one() -> None:
    w = ConsumerWorld(24)
    w.groups.takes_older_epochs = False
    one = w.alone()
    former = one.member.membership._replace(generation=one.member.generation - 1)
    results: list[Any] = []
    offsets = {tp: OffsetAndMetadata(5, "") for tp in share(0, 1)}
    flow = commit(one.driver.core.services, "g", former, offsets, w.now, 5.0, renewed=one.member.renewed)
    Task(flow, lambda result, now: results.append(result)).start(w.now)
    one.driver.turn()
    until(w, lambda: bool(results), 5.0)
    assert isinstance(results[0], Ok) and w.group.offsets["t", 1].offset == 5


def test_a_commit_of_what_is_no_longer_its_own_is_not_sent_again() -> None:
    w = ConsumerWorld(25)
    w.groups.takes_older_epochs = False
    one = w.alone()
    former = one.member.membership._replace(generation=one.member.generation - 1)
    results: list[Any] = []
    one.member.owned = frozenset(share(0))
    offsets = {tp: OffsetAndMetadata(5, "") for tp in share(0, 1)}
    flow = commit(one.driver.core.services, "g", former, offsets, w.now, 5.0, renewed=one.member.renewed)
    Task(flow, lambda result, now: results.append(result)).start(w.now)
    one.driver.turn()
    until(w, lambda: bool(results), 5.0)
    assert isinstance(results[0], Err) and not w.group.offsets


def test_offsets_are_read_as_a_member_whose_epoch_may_move_meanwhile() -> None:
    w = ConsumerWorld(26)
    one = w.alone()
    right = one.member.membership
    asked = iter([*(right._replace(generation=right.generation + more) for more in (-1, 1)), right])
    results: list[Any] = []
    flow = fetch_committed(one.driver.core.services, "g", share(0), w.now, 5.0, asks_as=lambda: next(asked))
    Task(flow, lambda result, now: results.append(result)).start(w.now)
    one.driver.turn()
    until(w, lambda: bool(results), 5.0)
    assert results[0] == Ok({TopicPartition("t", 0): None}) and next(asked, None) is None


# -- whatever happens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(32))
def test_whatever_happens_the_group_comes_to_rest(seed: int) -> None:
    w = ConsumerWorld(seed)
    w.groups.assignment_interval = [0.0, 1.0][seed % 2]
    chance = w.simulation.random
    w.loses = lambda request: chance.random() < 0.02
    for _ in range(2):
        w.add()
    for _ in range(25):
        alive = w.alive()
        what: Sequence[str] = ["add", "leave", "die", "busy", "idle", "move", "reset", "grow", "nothing"]
        step = chance.choice(what)
        if step == "add" and len(alive) < 5:
            w.add()
        elif step in ("leave", "die") and len(alive) > 1:
            getattr(chance.choice(alive), step)()
        elif step in ("busy", "idle"):
            chance.choice(alive).busy = step == "busy"
        elif step == "move":
            w.cluster.move_coordinator("g")
        elif step == "grow" and len(w.cluster.topics["t"]) < 10:
            topic = w.cluster.topics["t"]
            topic.partitions.append(w.cluster.new_partition(topic, len(topic), [0, 1, 2]))
        elif step == "reset":
            for link in [link for link in w.network.links if all(link.open)]:
                if chance.random() < 0.3:
                    link.reset()
        w.run(chance.uniform(0.01, 3.0))
    for member in w.alive():
        member.busy = False
    w.loses = lambda request: False
    until(w, w.settled, 60.0)


@pytest.mark.parametrize("instance", [None, "a"])
def test_who_has_left_does_not_join_again_with_a_heartbeat_that_waited(instance: str | None) -> None:
    for seed in range(1, 5):
        for gone in (0.6, 1.0):
            w = ConsumerWorld(seed)
            one = w.alone(instance=instance)
            node = one.member._route.broker_id(one.driver.core.services.calls._view)
            broker = next(each for each in w.cluster.brokers if each.id == node)
            servers = {key: each for key, each in w.network.servers.items() if each is broker}
            for key in servers:
                del w.network.servers[key]
            for link in list(broker.connections):
                link.reset()
            w.run(gone)
            w.beats.clear()
            w.network.servers.update(servers)
            one.busy = True
            one.member.leave("unsubscribed", w.now).start(lambda _, now: None, w.now)
            one.driver.turn()
            w.run(12.0)
            assert w.beats and all(request.member_epoch != 0 for request in w.beats)


def test_a_static_member_by_the_classic_protocol_after_all_stays_in_its_group() -> None:
    w = ConsumerWorld(23)
    for broker in w.cluster.brokers:
        del broker.versions[BEAT]
    one, _ = w.add(instance="a"), w.add(instance="b")
    until(w, lambda: GroupWorld.settled(w), 20.0)
    generation = w.group.generation
    one.leave()
    w.run(1.0)
    assert one.member.is_classic  # type: ignore[attr-defined]
    assert (len(w.group.members), w.group.generation) == (2, generation)


def test_a_static_member_that_does_not_poll_gives_way() -> None:
    w = ConsumerWorld(13)
    w.groups.session = 45.0
    slow, other = w.add(poll_interval=6.0, instance="a"), w.add(poll_interval=6.0, instance="b")
    until(w, w.settled, 15.0)
    slow.busy = True
    until(w, lambda: len(other.held) == PARTITIONS, 10.0)


def test_a_commit_of_a_member_that_was_fenced_ends() -> None:
    w = ConsumerWorld(5)
    one = w.alone()
    assert one.member.renewed([]) is not None
    one.member._expelled = True
    assert one.member.renewed([]) is None


def test_a_member_that_is_refused_for_good_says_nothing_more() -> None:
    w = ConsumerWorld(6)
    w.instead = lambda request: Code.GROUP_AUTHORIZATION_FAILED
    one = w.add()
    until(w, lambda: one.member.state is MemberState.FATAL, 10.0)
    w.beats.clear()
    one.leave()
    w.run(1.0)
    assert w.beats == []


def test_what_a_classic_member_has_stays_its_own_while_the_group_changes_its_protocol_there_and_back() -> None:
    """The coordinator knows it all the while: of who has not joined again yet, too."""
    w = ConsumerWorld(61)
    w.strategy = "cooperative-sticky"
    w.protocol = Member  # type: ignore[assignment]
    classic = w.add()
    until(w, lambda: len(classic.held) == PARTITIONS, 10.0)
    w.protocol = ConsumerMember
    modern = w.add()
    until(w, w.settled, 10.0)
    had = set(classic.held)
    for link in list(classic.driver._ids):
        link.stall(2.0)
    modern.leave()
    until(w, lambda: "g" not in w.groups.consumer, 1.0)
    another = w.add()
    w.run(1.5)
    assert classic.held == had and not another.held & had
    until(w, w.settled, 10.0)
