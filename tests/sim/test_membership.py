"""Members of a classic group against simulated brokers: they come, go, die and stall, and coordinators move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kafka.core.config import Config
from kafka.core.groups.assignors import STRATEGIES, Members, Racks, Shares, Sizes, Strategy, assign_ranges
from kafka.core.groups.membership import Change, GroupConfig, Member
from kafka.core.groups.states import MemberState
from kafka.errors import AssignorError
from kafka.protocol import (
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    SyncGroupRequest,
)
from kafka.protocol.codes import Code
from kafka.result import Ok
from kafka.structs import TopicPartition
from kafka.testing.model import group_apis
from kafka.testing.simulator import SimDriver
from tests.sim.world import World

GROUP = (
    JoinGroupRequest,
    SyncGroupRequest,
    HeartbeatRequest,
    LeaveGroupRequest,
    DescribeGroupsRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
)
PARTITIONS = 7


class GroupWorld(World):
    def __init__(self, seed: int, strategy: str = "range") -> None:
        super().__init__(seed)
        self.cluster.offer(*GROUP)
        self.cluster.create_topic("t", PARTITIONS)
        self.strategy = strategy
        self.protocol: type[Member] = Member
        self.own: Strategy | None = None
        self.members: list[SimMember] = []
        self.group = self.cluster.groups.get("g")

    def add(self, **options: Any) -> SimMember:
        member = SimMember(self, len(self.members), **options)
        self.members.append(member)
        return member

    def alive(self) -> list[SimMember]:
        return [member for member in self.members if not member.gone]

    def are_at_once(self, one: SimMember, other: SimMember) -> bool:
        """Whether both are members of the same generation."""
        return one.member.generation == other.member.generation

    def settled(self) -> bool:
        """Whether everything is read, by members that know it."""
        alive = self.alive()
        held = [tp for member in alive for tp in member.held]
        return (
            all(member.member.state is MemberState.STABLE and not member.member.changes for member in alive)
            and len(held) == len(set(held)) == (PARTITIONS if alive else 0)
            and {member.member.generation for member in alive} == {self.group.generation}
        )


class SimMember:
    """A consumer's part in the group; its reader polls every 50 ms, unless it is `busy`."""

    def __init__(
        self,
        world: GroupWorld,
        number: int,
        *,
        instance: str | None = None,
        poll_interval: float = 20.0,
        assignor: str | None = None,
        rack: str | None = None,
        busy: bool = False,
    ) -> None:
        self.world = world
        self.name = f"m{number}"
        self.driver = SimDriver(world.network, Config(bootstrap=world.cluster.bootstrap, client_id=self.name))
        self.held: set[TopicPartition] = set()
        self.told: list[tuple[str, int]] = []
        self.gone = False
        self.busy = busy
        self.polled = world.now
        config = GroupConfig(
            "g",
            instance,
            session_timeout=6.0,
            rebalance_timeout=poll_interval,
            heartbeat_interval=0.5,
            assignor=assignor,
            rack=rack,
        )
        strategies = [world.own or STRATEGIES[world.strategy]]
        services = self.driver.core.services
        self.member = world.protocol(services, config, strategies, lambda: None, lambda now: self.polled)
        self.driver.core.attach(self.member)
        self.member.subscribe(["t"], world.now)
        self.driver.turn()
        self.poll()

    def poll(self) -> None:
        if self.gone:
            return
        if not self.busy:
            self.polled = self.world.now
            assert self.member.error is None, self.member.error
            while self.member.changes:
                self.carry_out(self.member.changes.popleft())
            self.driver.turn()
        self.world.simulation.after(0.05, self.poll)

    def carry_out(self, change: Change) -> None:
        for what, partitions in (("revoked", change.revoked), ("lost", change.lost)):
            if partitions:
                assert set(partitions) <= self.held
                self.held -= set(partitions)
                self.told.append((what, len(partitions)))
        if change.assigned is not None:
            assert not self.held & set(change.assigned)
            self.held |= set(change.assigned)
            self.told.append(("assigned", len(change.assigned)))
            for other in self.world.alive():
                if other is not self and self.world.are_at_once(other, self):
                    assert not other.held & self.held, "two have the same partition"
        change.done(self.world.now)

    def leave(self) -> None:
        left: list[None] = []
        self.member.leave("leaves", self.world.now).start(lambda _, now: left.append(None), self.world.now)
        self.driver.turn()
        self.held.clear()
        self.gone = True
        self.world.simulation.after(6.0, self.die)

    def die(self) -> None:
        self.gone = True
        self.held.clear()
        self.driver.stopped = True


def until(world: GroupWorld, done: Callable[[], bool], seconds: float) -> None:
    assert world.simulation.run(world.now + seconds, done), [
        (m.name, m.member.state, m.member.generation, len(m.held)) for m in world.alive()
    ] + [world.group.state, world.group.generation]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_members_come_and_go(strategy: str) -> None:
    w = GroupWorld(1, strategy)
    assert isinstance(w.bootstrap(), Ok)
    for _ in range(3):
        w.add()
        until(w, w.settled, 10.0)
    assert sorted(len(member.held) for member in w.members) == [2, 2, 3]
    w.members[0].leave()
    until(w, w.settled, 5.0)  # within a heartbeat of the others, not a session
    w.members[1].die()
    until(w, w.settled, 15.0)
    assert len(w.members[2].held) == PARTITIONS


def test_whoever_stays_reads_on_where_the_group_cooperates() -> None:
    w = GroupWorld(2, "cooperative-sticky")
    first = w.add()
    until(w, w.settled, 10.0)
    w.add()
    until(w, w.settled, 10.0)
    assert first.told == [("assigned", 7), ("revoked", 3), ("assigned", 0), ("assigned", 0)]


def test_a_coordinator_that_moves_takes_nobody_out_of_the_group() -> None:
    w = GroupWorld(3)
    for _ in range(3):
        w.add()
    until(w, w.settled, 15.0)
    generation = w.group.generation
    for _ in range(5):
        w.cluster.move_coordinator("g")
        w.run(2.0)
    assert w.settled() and w.group.generation == generation


def test_who_does_not_poll_gives_way_and_comes_back() -> None:
    w = GroupWorld(4)
    slow, other = w.add(poll_interval=6.0), w.add(poll_interval=6.0)
    until(w, w.settled, 15.0)
    slow.busy = True
    until(w, lambda: len(other.held) == PARTITIONS, 20.0)
    assert slow.held  # it has not been told yet
    slow.busy = False
    until(w, w.settled, 10.0)
    assert ("lost", 4) in slow.told or ("lost", 3) in slow.told


def test_who_is_thrown_out_is_told_and_joins_again() -> None:
    w = GroupWorld(7)
    one = w.add()
    until(w, w.settled, 10.0)
    assert w.group.leave(one.member.id, None) == 0
    until(w, lambda: len(one.told) == 3, 5.0)
    assert one.told == [("assigned", 7), ("lost", 7), ("assigned", 7)]


def test_a_reader_that_takes_its_time_to_give_up_partitions_stays_a_member() -> None:
    w = GroupWorld(5)
    first = w.add()
    until(w, w.settled, 10.0)
    first.busy = True  # longer than a session, less than it may
    w.add()
    w.run(12.0)
    assert first.member.id in w.group.members
    first.busy = False
    until(w, w.settled, 10.0)
    assert [what for what, _ in first.told] == ["assigned", "revoked", "assigned"]


def test_partitions_that_are_added_are_given_out() -> None:
    w = GroupWorld(6)
    w.add()
    w.add()
    until(w, w.settled, 10.0)
    topic = w.cluster.topics["t"]
    topic.partitions.append(w.cluster.new_partition(topic, PARTITIONS, [0, 1, 2]))
    for member in w.members:
        member.driver.core.metadata.refresh("t", w.now)
        member.driver.turn()
    until(w, lambda: sum(len(member.held) for member in w.members) == PARTITIONS + 1, 20.0)


def test_partitions_that_are_added_while_the_leader_assigns_are_given_out() -> None:
    w = GroupWorld(16)
    topic = w.cluster.topics["t"]
    w.cluster.home("g").least_work = w.cluster.home("g").most_work = 0.4  # so that the metadata comes first

    def assign(members: Members, sizes: Sizes, racks: Racks) -> Shares:
        if len(topic) == PARTITIONS:
            topic.partitions.append(w.cluster.new_partition(topic, PARTITIONS, [0, 1, 2]))
            w.members[0].driver.core.metadata.refresh("t", w.now)
        return assign_ranges(members, sizes)

    w.own = Strategy("own", assign)
    one = w.add()
    until(w, lambda: len(one.held) == PARTITIONS + 1, 20.0)
    assert one.told == [("assigned", PARTITIONS), ("revoked", PARTITIONS), ("assigned", PARTITIONS + 1)]


def test_a_topic_that_does_not_exist_is_no_reason_to_rebalance_until_it_does() -> None:
    w = GroupWorld(17)
    one = w.add()
    one.member.subscribe(["t", "u"], w.now)
    until(w, w.settled, 20.0)
    w.run(5.0)
    generation = w.group.generation
    w.run(2 * one.driver.core.config.metadata_max_age)
    assert w.group.generation == generation
    w.cluster.create_topic("u", 2)
    until(w, lambda: len(one.held) == PARTITIONS + 2, one.driver.core.config.metadata_max_age + 10.0)


def test_a_static_leader_that_came_back_gives_out_partitions_that_are_added() -> None:
    w = GroupWorld(13)
    w.add(instance="a"), w.add(instance="b")
    until(w, w.settled, 10.0)
    leader = next(member for member in w.members if member.member.id == w.group.leader)
    leader.die()
    again = w.add(instance=leader.member.config.instance)
    until(w, w.settled, 5.0)
    assert w.group.leader == again.member.id
    topic = w.cluster.topics["t"]
    topic.partitions.append(w.cluster.new_partition(topic, PARTITIONS, [0, 1, 2]))
    age = again.driver.core.config.metadata_max_age
    until(w, lambda: sum(len(member.held) for member in w.alive()) == PARTITIONS + 1, age + 10.0)


def test_a_static_leader_that_came_back_gives_out_partitions_that_were_added_meanwhile() -> None:
    """And where none were it does not disturb the others."""
    w = GroupWorld(18)
    w.add(instance="a"), w.add(instance="b")
    until(w, w.settled, 10.0)
    generation = w.group.generation
    topic = w.cluster.topics["t"]
    for count in (0, 1):
        leader = next(member for member in w.alive() if member.member.id == w.group.leader)
        leader.die()
        for number in range(count):
            topic.partitions.append(w.cluster.new_partition(topic, PARTITIONS + number, [0, 1, 2]))
        again = w.add(instance=leader.member.config.instance)
        until(w, lambda count=count: sum(len(member.held) for member in w.alive()) == PARTITIONS + count, 10.0)  # type: ignore[misc]
        w.run(2.0)
        assert again.member.id == w.group.leader and (w.group.generation > generation) == (count > 0)


@pytest.mark.parametrize("code", [Code.COORDINATOR_LOAD_IN_PROGRESS, Code.NOT_COORDINATOR])
def test_a_static_leader_that_came_back_asks_until_it_is_told(code: int) -> None:
    """What was given out: the coordinator moves meanwhile, and the new one has to load its groups first."""
    w = GroupWorld(18)
    w.add(instance="a"), w.add(instance="b")
    until(w, w.settled, 10.0)
    topic = w.cluster.topics["t"]
    leader = next(member for member in w.alive() if member.member.id == w.group.leader)
    leader.die()
    topic.partitions.append(w.cluster.new_partition(topic, PARTITIONS, [0, 1, 2]))
    refused = []

    def describe(broker: Any, header: Any, request: DescribeGroupsRequest) -> DescribeGroupsResponse:
        if len(refused) == 2:
            return group_apis.describe(broker, header, request)
        refused.append(broker)
        found = [DescribeGroupsResponse.DescribedGroup(error_code=code, group_id="g")]
        return DescribeGroupsResponse(groups=found)

    for broker in w.cluster.brokers:
        broker.handlers[DescribeGroupsRequest.API_KEY] = describe
    w.add(instance=leader.member.config.instance)
    until(w, lambda: sum(len(member.held) for member in w.alive()) == PARTITIONS + 1, 10.0)
    assert len(refused) == 2


def test_a_static_leader_that_came_back_with_older_metadata_takes_nothing_away() -> None:
    """Brokers learn of new partitions one by one; what was given out is newer than what is not known yet."""
    w = GroupWorld(19)
    w.add(instance="a"), w.add(instance="b")
    until(w, w.settled, 10.0)
    generation = w.group.generation
    leader = next(member for member in w.alive() if member.member.id == w.group.leader)
    leader.die()
    view = w.cluster.view()
    view["t"].partitions.pop()
    for broker in w.cluster.brokers:
        broker.stale = view
    again = w.add(instance=leader.member.config.instance)
    until(w, w.settled, 10.0)
    w.run(5.0)
    assert again.member.id == w.group.leader and w.group.generation == generation
    assert len(w.cluster.topics["t"]) == sum(len(member.held) for member in w.alive()) == PARTITIONS
    for broker in w.cluster.brokers:
        broker.stale = None
    w.run(5.0)
    until(w, w.settled, 10.0)


def test_sticky_members_get_back_what_they_gave_up() -> None:
    w = GroupWorld(12, "sticky")
    for _ in range(3):
        w.add()
        until(w, w.settled, 10.0)
    had = [set(member.held) for member in w.members]
    w.members[1].die()
    until(w, w.settled, 15.0)
    assert had[0] <= w.members[0].held and had[2] <= w.members[2].held


@pytest.mark.parametrize("strategy", ["range", "sticky", "cooperative-sticky"])
def test_members_read_what_is_in_their_rack(strategy: str) -> None:
    w = GroupWorld(11, strategy)
    for broker, rack in zip(w.cluster.brokers, "abc", strict=True):
        broker.rack = rack
    topic = w.cluster.topics["t"]
    for number, partition in enumerate(topic.partitions):
        partition.replicas = (w.cluster.brokers[number % 3].id,)
    for rack in "cab":
        w.add(rack=rack)
    until(w, w.settled, 20.0)
    racks = {member.member.config.rack: {tp.partition % 3 for tp in member.held} for member in w.members}
    assert racks == {"a": {0}, "b": {1}, "c": {2}}
    generation = w.group.generation
    w.cluster.brokers[1].stop()  # which is no reason to read elsewhere: it will be back
    w.run(w.client.core.config.metadata_max_age + 5.0)
    assert w.group.generation == generation
    w.cluster.brokers[1].start()
    topic.partitions[0].replicas = (w.cluster.brokers[2].id,)  # it has moved
    topic.partitions[2].replicas = (w.cluster.brokers[0].id,)
    until(w, lambda: w.group.generation > generation and w.settled(), w.client.core.config.metadata_max_age + 10.0)
    (one,) = (member for member in w.members if member.member.config.rack == "c")
    assert TopicPartition("t", 0) in one.held


def raises(*arguments: Any) -> Any:
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize("where", ["assign", "user_data", "told"])
def test_an_assignor_of_ones_own_that_fails_is_told_and_holds_nobody_up(where: str) -> None:
    w = GroupWorld(9)
    w.own = Strategy("own", assign_ranges)._replace(**{where: raises})
    bad = w.add(busy=True)
    until(w, lambda: bad.member.state is MemberState.FATAL, 5.0)
    assert isinstance(bad.member.error, AssignorError)
    assert "'own'" in str(bad.member.error) and "ZeroDivisionError: oh" in str(bad.member.error)
    w.run(1.0)
    assert not w.group.members  # it has not waited for its session to end
    w.own = Strategy("own", assign_ranges)
    good = w.add()
    until(w, lambda: len(good.held) == PARTITIONS, 2.0)


def test_who_was_refused_joins_when_it_subscribes_again() -> None:
    w = GroupWorld(15)
    w.own = Strategy("own", raises)
    bad = w.add(busy=True)
    until(w, lambda: bad.member.state is MemberState.FATAL, 5.0)
    w.own = Strategy("own", assign_ranges)
    w.add()
    until(w, lambda: len(w.members[1].held) == PARTITIONS, 2.0)
    bad.member.subscribe(["t"], w.now)
    bad.busy = False
    assert bad.member.error is None
    until(w, w.settled, 10.0)
    assert bad.held


def test_an_assignor_of_ones_own_hears_what_members_say_and_what_it_has() -> None:
    w = GroupWorld(10)
    told: list[tuple[int, int]] = []
    heard: list[set[bytes | None]] = []

    def assign(members: Members, sizes: Sizes, racks: Racks) -> Shares:
        heard.append({member.user_data for member in members.values()})
        return assign_ranges(members, sizes)

    w.own = Strategy(
        "own",
        assign,
        user_data=lambda topics: b"%d" % len(topics),
        told=lambda share, at: told.append((len(share), at)),
    )
    w.add()
    until(w, w.settled, 10.0)
    w.add()
    until(w, w.settled, 10.0)
    assert heard[-1] == {b"1"} and told[0] == (7, 1) and sorted(told[-2:])[1][0] == 4


@pytest.mark.parametrize("seed", range(24))
def test_whatever_happens_the_group_comes_to_rest(seed: int) -> None:
    w = GroupWorld(seed, sorted(STRATEGIES)[seed % 4])
    chance = w.simulation.random
    for _ in range(2):
        w.add()
    for _ in range(25):
        alive = w.alive()
        what: Sequence[str] = ["add", "leave", "die", "busy", "idle", "move", "reset", "nothing"]
        step = chance.choice(what)
        if step == "add" and len(alive) < 5:
            w.add()
        elif step in ("leave", "die") and len(alive) > 1:
            getattr(chance.choice(alive), step)()
        elif step in ("busy", "idle"):
            chance.choice(alive).busy = step == "busy"
        elif step == "move":
            w.cluster.move_coordinator("g")
        elif step == "reset":
            for link in [link for link in w.network.links if all(link.open)]:
                if chance.random() < 0.3:
                    link.reset()
        w.run(chance.uniform(0.01, 3.0))
    for member in w.alive():
        member.busy = False
    until(w, w.settled, 60.0)
