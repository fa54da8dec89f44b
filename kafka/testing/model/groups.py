"""Consumer groups as a coordinator keeps them: members and generations of the classic protocol, committed offsets.

What a Kafka 4.3.0 was measured to answer in each state is done here: see the table in each method. Time is the world's;
whoever waits (to join, or for the leader's assignment) gets an answer that comes later.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from kafka.protocol import HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse
from kafka.protocol.codes import Code
from kafka.testing.model.consumer_groups import ConsumerGroup
from kafka.testing.model.world import Later

if TYPE_CHECKING:
    from kafka.testing.model.cluster import Cluster
    from kafka.testing.model.world import World

Place = tuple[str, int]  # topic, partition
SHORTEST_SESSION, LONGEST_SESSION = 6000, 1_800_000  # ms
LONGEST_METADATA = 4096  # bytes, of what is committed along with an offset


class State(enum.Enum):
    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"  # waits for members to join
    COMPLETING = "CompletingRebalance"  # waits for what the leader assigns
    STABLE = "Stable"


class Committed(NamedTuple):
    offset: int
    epoch: int = -1
    metadata: str | None = ""


class Member:
    def __init__(self, id: str, instance: str | None, request: JoinGroupRequest) -> None:
        self.id = id
        self.instance = instance
        self.join: _Waiting | None = None  # its request, while it waits for the others
        self.sync: _Waiting | None = None  # while it waits for the leader
        self.has_joined = False  # in the present rebalance
        self.assignment = b""
        self.expires = 0.0
        self.update(request)

    def update(self, request: JoinGroupRequest) -> None:
        self.session = request.session_timeout_ms / 1000
        rebalance = request.rebalance_timeout_ms
        self.rebalance = (rebalance if rebalance >= 0 else request.session_timeout_ms) / 1000
        self.protocols = [(each.name, bytes(each.metadata)) for each in request.protocols]
        self.request = request


class _Waiting(Later):
    """An answer to a request of this version, made when it is given."""

    def __init__(self, version: int = 0) -> None:
        super().__init__(lambda: self.answer)
        self.version = version
        self.answer: JoinGroupResponse | SyncGroupResponse | None = None

    def give(self, answer: JoinGroupResponse | SyncGroupResponse) -> None:
        self.answer = answer
        self.ready()


class Group:
    """One group. Methods answer with what the wire has: error codes, responses, or one that comes later."""

    def __init__(self, id: str, groups: Groups) -> None:
        self.id = id
        self.state = State.EMPTY
        self.generation = 0
        self.protocol_type = ""
        self.protocol = ""
        self.leader = ""
        self.members: dict[str, Member] = {}
        self.offsets: dict[Place, Committed] = {}
        self._groups = groups
        self._pending: dict[str, float] = {}  # ids that were handed out and not used yet, and until when
        self._started = self._deadline = 0.0  # of the rebalance
        self._initial = False  # it is the first one after a time without members, which waits for more of them
        self._round = 0  # counts rebalances: a timer of an earlier one is too late

    # -- joining -----------------------------------------------------------------------------------------------------

    def join(self, request: JoinGroupRequest, version: int, client: str) -> JoinGroupResponse | Later:
        code = self._refuses(request)
        if code:
            return _refused(request.member_id, code)
        instance, id = request.group_instance_id, request.member_id
        static = self._static(instance)
        if not id and static is not None:
            return self._replace(static, request, version, client)
        if not id:
            id = self._groups.new_id(instance or client)
            if version >= 4 and instance is None:
                self._pending[id] = self._now() + request.session_timeout_ms / 1000
                self._later(request.session_timeout_ms / 1000, self._expire)
                return _refused(id, Code.MEMBER_ID_REQUIRED)
            return self._enter(Member(id, instance, request), version)
        if instance is not None and (static is None or static.id != id):
            return _refused(id, Code.UNKNOWN_MEMBER_ID if static is None else Code.FENCED_INSTANCE_ID)
        if id in self._pending:
            del self._pending[id]
            return self._enter(Member(id, instance, request), version)
        member = self.members.get(id)
        if member is None:
            return _refused(id, Code.UNKNOWN_MEMBER_ID)
        same = member.protocols == [(each.name, bytes(each.metadata)) for each in request.protocols]
        self._heard(member)
        if same and (self.state is State.COMPLETING or (self.state is State.STABLE and member.id != self.leader)):
            return self._joined(member, version)
        member.update(request)
        return self._wait(member, version)

    def _refuses(self, request: JoinGroupRequest) -> int:
        names = {each.name for each in request.protocols}
        if not self.id:
            return Code.INVALID_GROUP_ID
        if not SHORTEST_SESSION <= request.session_timeout_ms <= LONGEST_SESSION:
            return Code.INVALID_SESSION_TIMEOUT
        others = [member for member in self.members.values() if member.id != request.member_id]
        if not names or not request.protocol_type:
            return Code.INCONSISTENT_GROUP_PROTOCOL
        if others and (request.protocol_type != self.protocol_type or not self._common(others) & names):
            return Code.INCONSISTENT_GROUP_PROTOCOL
        self.protocol_type = request.protocol_type
        return 0

    @staticmethod
    def _common(members: Iterable[Member]) -> set[str]:
        return set.intersection(*({name for name, _ in member.protocols} for member in members))

    def _static(self, instance: str | None) -> Member | None:
        if instance is None:
            return None
        return next((member for member in self.members.values() if member.instance == instance), None)

    def _replace(self, old: Member, request: JoinGroupRequest, version: int, client: str) -> JoinGroupResponse | Later:
        """A static member has started again: the same place in the group, another id, and no rebalance."""
        member = Member(self._groups.new_id(old.instance or client), old.instance, request)
        member.assignment = old.assignment
        for waiting, answer in ((old.join, _refused(old.id, Code.FENCED_INSTANCE_ID)), (old.sync, None)):
            if waiting is not None:
                waiting.give(answer or SyncGroupResponse(error_code=Code.FENCED_INSTANCE_ID))
        was_leader = self.leader == old.id
        # In the place of the old one, as the order of members is what leaders see.
        self.members = {
            (member.id if id == old.id else id): (member if id == old.id else each) for id, each in self.members.items()
        }
        if was_leader:
            self.leader = member.id
        self._heard(member)
        if self.state is State.STABLE:
            response = self._joined(member, version)
            if version >= 9:
                response.skip_assignment = was_leader
            elif was_leader:  # it is not to assign anything, and knows no other way to be told
                response.leader, response.members = old.id, []
            return response
        return self._wait(member, version)

    def _enter(self, member: Member, version: int) -> JoinGroupResponse | Later:
        self.members[member.id] = member
        self._heard(member)
        return self._wait(member, version)

    def _wait(self, member: Member, version: int) -> JoinGroupResponse | Later:
        """It has joined, and hears of it when the others have."""
        if member.join is not None:
            member.join.give(_refused(member.id, Code.UNKNOWN_MEMBER_ID))
        waiting = member.join = _Waiting(version)
        member.has_joined = True
        if self.state is not State.PREPARING:
            self._prepare()
        elif self._initial:  # each new member extends it
            self._deadline = min(self._deadline + self._groups.initial_delay, self._started + member.rebalance)
            self._later(self._deadline - self._now(), self._complete_if_due, self._round)
        self._complete_if_due(self._round)
        return waiting

    def _prepare(self) -> None:
        """A rebalance begins: everybody has to join again."""
        self._initial = self.state is State.EMPTY and self._groups.initial_delay > 0
        self.state = State.PREPARING
        self._round += 1
        self._started = self._now()
        for member in self.members.values():
            member.has_joined = member.join is not None
            if member.sync is not None:
                member.sync.give(SyncGroupResponse(error_code=Code.REBALANCE_IN_PROGRESS))
                member.sync = None
        longest = max((member.rebalance for member in self.members.values()), default=0.0)
        self._deadline = self._started + (self._groups.initial_delay if self._initial else longest)
        self._later(self._deadline - self._started, self._complete_if_due, self._round)

    def _complete_if_due(self, round: int) -> None:
        if self.state is not State.PREPARING or round != self._round:
            return
        late = self._now() >= self._deadline - 1e-9
        if self._initial and not late:
            return
        if not late and (self._pending or any(not member.has_joined for member in self.members.values())):
            return
        self._pending.clear()
        for member in [member for member in self.members.values() if not member.has_joined]:
            if member.instance is None or late:
                del self.members[member.id]
        if not self.members:
            self.state, self.leader, self.protocol = State.EMPTY, "", ""
            self.generation += 1
            return
        self.generation += 1
        self.state = State.COMPLETING
        self.protocol = self._vote()
        if self.leader not in self.members:
            self.leader = next(iter(self.members))
        for member in self.members.values():
            self._heard(member)
            waiting, member.join = member.join, None
            if waiting is not None:
                waiting.give(self._joined(member, waiting.version))
            self._later(member.session, self._expire)

    def _vote(self) -> str:
        common = self._common(self.members.values())
        votes = Counter(
            next(name for name, _ in member.protocols if name in common) for member in self.members.values()
        )
        return votes.most_common(1)[0][0]

    def _joined(self, member: Member, version: int) -> JoinGroupResponse:
        def metadata(of: Member) -> bytes:
            return next((data for name, data in of.protocols if name == self.protocol), b"")

        return JoinGroupResponse(
            generation_id=self.generation,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol,
            leader=self.leader,
            member_id=member.id,
            members=[
                JoinGroupResponse.JoinGroupResponseMember(
                    member_id=each.id, group_instance_id=each.instance, metadata=metadata(each)
                )
                for each in (self.members.values() if member.id == self.leader else ())
            ],
        )

    # -- the rest of a member's life -----------------------------------------------------------------------------------

    def sync(self, request: SyncGroupRequest) -> SyncGroupResponse | Later:
        code = self._check(request.member_id, request.group_instance_id, request.generation_id)
        names = ((request.protocol_type, self.protocol_type), (request.protocol_name, self.protocol))
        if not code and any(theirs is not None and theirs != ours for theirs, ours in names):
            code = Code.INCONSISTENT_GROUP_PROTOCOL
        if not code and self.state is State.PREPARING:
            code = Code.REBALANCE_IN_PROGRESS
        if code:
            return SyncGroupResponse(error_code=code)
        member = self.members[request.member_id]
        self._heard(member)
        if self.state is State.STABLE:
            return self._synced(member)
        member.sync = _Waiting()
        if member.id == self.leader:
            given = {each.member_id: bytes(each.assignment) for each in request.assignments}
            self.state = State.STABLE
            member.sync = None
            for each in self.members.values():
                each.assignment = given.get(each.id, b"")
                waiting, each.sync = each.sync, None
                if waiting is not None:
                    waiting.give(self._synced(each))
            return self._synced(member)
        return member.sync

    def _synced(self, member: Member) -> SyncGroupResponse:
        return SyncGroupResponse(
            protocol_type=self.protocol_type, protocol_name=self.protocol, assignment=member.assignment
        )

    def heartbeat(self, id: str, instance: str | None, generation: int) -> HeartbeatResponse:
        code = self._check(id, instance, generation)
        if not code:
            self._heard(self.members[id])
            code = Code.REBALANCE_IN_PROGRESS if self.state is State.PREPARING else 0
        return HeartbeatResponse(error_code=code)

    def leave(self, id: str, instance: str | None) -> int:
        if instance is not None:
            static = self._static(instance)
            if static is None:
                return Code.UNKNOWN_MEMBER_ID
            if id and id != static.id:
                return Code.FENCED_INSTANCE_ID
            id = static.id
        if id in self._pending:
            del self._pending[id]
            self._complete_if_due(self._round)
            return 0
        if id not in self.members:
            return Code.UNKNOWN_MEMBER_ID
        self._remove(id)
        return 0

    def _check(self, id: str, instance: str | None, generation: int) -> int:
        """What is wrong with a member that says so, or 0."""
        if instance is not None:
            static = self._static(instance)
            if static is None:
                return Code.UNKNOWN_MEMBER_ID
            if static.id != id:
                return Code.FENCED_INSTANCE_ID
        if id not in self.members:
            return Code.UNKNOWN_MEMBER_ID
        return 0 if generation == self.generation else Code.ILLEGAL_GENERATION

    def _heard(self, member: Member) -> None:
        member.expires = self._now() + member.session
        self._later(member.session, self._expire)

    def _expire(self) -> None:
        now = self._now() + 1e-9
        for id, until in list(self._pending.items()):
            if until <= now:
                del self._pending[id]
        for member in list(self.members.values()):
            is_there = self.members.get(member.id) is member
            if is_there and member.expires <= now and member.join is None:
                self._groups.counts["member expired"] += 1
                self._remove(member.id)
        self._complete_if_due(self._round)

    def _remove(self, id: str) -> None:
        member = self.members.pop(id)
        for waiting, answer in (
            (member.join, _refused(id, Code.UNKNOWN_MEMBER_ID)),
            (member.sync, SyncGroupResponse(error_code=Code.UNKNOWN_MEMBER_ID)),
        ):
            if waiting is not None:
                waiting.give(answer)
        if self.state is State.PREPARING:
            self._complete_if_due(self._round)
        else:
            self._prepare()
            self._complete_if_due(self._round)

    # -- changing the protocol -----------------------------------------------------------------------------------------

    def give_up(self) -> set[str]:
        """The members are those of a group of the consumer protocol from now on; the ids that were not used yet."""
        for member in self.members.values():
            if member.join is not None:
                member.join.give(_refused(member.id, Code.REBALANCE_IN_PROGRESS))
            if member.sync is not None:
                member.sync.give(SyncGroupResponse(error_code=Code.REBALANCE_IN_PROGRESS))
        self.members.clear()
        self.state, self.leader, self.protocol = State.EMPTY, "", ""
        self._round += 1
        pending, self._pending = set(self._pending), {}
        return pending

    def take_back(
        self, generation: int, members: Mapping[str, tuple[JoinGroupRequest, bytes]], handed_out: Iterable[str]
    ) -> None:
        """Its members are classic ones again, with what they have, and have to join again."""
        self.generation, self.protocol_type = generation, "consumer"
        for id, (request, assignment) in members.items():
            member = self.members[id] = Member(id, None, request)
            member.assignment = assignment
            self._heard(member)
        self._pending = dict.fromkeys(handed_out, self._now() + SHORTEST_SESSION / 1000)
        self._prepare()

    # -- offsets -----------------------------------------------------------------------------------------------------

    def may_commit(self, id: str, instance: str | None, generation: int) -> int:
        """0, or why a commit is refused."""
        if generation < 0 and not self.members:
            return 0  # whoever assigns partitions by itself
        code = self._check(id, instance, generation)
        if code:
            return code
        self._heard(self.members[id])
        return Code.REBALANCE_IN_PROGRESS if self.state is State.COMPLETING else 0

    # -- time --------------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._groups.world.now

    def _later(self, seconds: float, what: object, *arguments: int) -> None:
        self._groups.world.after(max(0.0, seconds), lambda: what(*arguments))  # type: ignore[operator]


def _refused(id: str, code: int) -> JoinGroupResponse:
    return JoinGroupResponse(error_code=code, member_id=id, protocol_name="")


class Groups:
    """All groups of a cluster; each belongs to its coordinator, but what is known of it outlives that."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.groups: dict[str, Group] = {}
        self.initial_delay = 0.0  # group.initial.rebalance.delay.ms, in seconds
        self.consumer: dict[str, ConsumerGroup] = {}  # those of the consumer protocol that have had members
        self.assignment_interval = 0.0  # group.consumer.assignment.interval.ms, in seconds; so are these
        self.session = 45.0  # group.consumer.session.timeout.ms
        self.heartbeat_interval = 5.0  # group.consumer.heartbeat.interval.ms
        self.migrates = True  # group.consumer.migration.policy is bidirectional
        self.takes_older_epochs = True  # of commits, for partitions still assigned (KIP-1251)
        self.counts: Counter[str] = Counter()

    def with_consumers(self, id: str) -> ConsumerGroup | None:
        """The group, where it has members of the consumer protocol."""
        if id in self.consumer:
            self.consumer[id].expire()
        group = self.consumer.get(id)
        return group if group is not None and group.members else None

    def of_consumers(self, id: str, cluster: Cluster, joins: bool) -> ConsumerGroup | None:
        """The group, as one of the consumer protocol, which it becomes where a member of that joins; None where not."""
        group = self.with_consumers(id) or self.consumer.get(id)
        if group is None:
            classic = self.get(id)
            if classic.members and (classic.protocol_type != "consumer" or not (self.migrates and joins)):
                return None
            group = self.consumer[id] = ConsumerGroup(id, self, cluster)
            if classic.members:
                group.take_over()
        return group

    def get(self, id: str) -> Group:
        group = self.groups.get(id)
        if group is None:
            group = self.groups[id] = Group(id, self)
        return group

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-{self.world.random.randbytes(16).hex()}"

    def store(self, group: str, offsets: Mapping[Place, Committed]) -> None:
        self.get(group).offsets.update(offsets)
