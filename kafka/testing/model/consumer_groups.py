"""Groups of the consumer protocol (KIP-848) as a coordinator keeps them: epochs, who is to have what, who has what.

What a Kafka 4.3.0 was measured to answer is done here. Patterns are Python's, of which those are refused that RE2 does
not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kafka.protocol import ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, JoinGroupRequest
from kafka.protocol.codes import Code
from kafka.testing.model.migration import ClassicMembers

if TYPE_CHECKING:
    from kafka.testing.model.cluster import Cluster, Topic
    from kafka.testing.model.groups import Groups

Place = tuple[bytes, int]  # topic id, partition
_JOINS, _LEAVES, _PAUSES = 0, -1, -2
_NOT_RE2 = re.compile(r"\(\?(?:[=!]|<[=!]|P=)|\\[1-9Z]")  # lookaround, references


class Member:
    def __init__(self, id: str) -> None:
        self.id = id
        self.instance: str | None = None
        self.epoch = 0
        self.former_epoch = -1  # accepted once, from who has not heard of the present one
        self.names: frozenset[str] = frozenset()
        self.pattern: str | None = None
        self.assignor: str | None = None
        self.rebalance = 0.0
        self.target: frozenset[Place] = frozenset()
        self.assigned: frozenset[Place] = frozenset()  # what it may have
        self.revoking: frozenset[Place] = frozenset()  # what it has yet to give up
        self.told: frozenset[Place] | None = None
        self.expires = 0.0
        self.revoked_by = 0.0  # when it has to have done that
        self.has_paused = False  # a static member that will be back
        self.joined_with: JoinGroupRequest | None = None  # a member of the classic protocol
        self.join_by = float("inf")  # when that has to have joined again


class ConsumerGroup(ClassicMembers):
    """One group. `topics` gives what there is; the group looks when it is asked."""

    def __init__(self, id: str, groups: Groups, cluster: Cluster) -> None:
        self.id = id
        self.epoch = 1
        self.target_epoch = 1
        self.members: dict[str, Member] = {}
        self.handed_out: set[str] = set()
        self._groups = groups
        self._cluster = cluster
        self._seen: dict[bytes, int] = {}  # partitions of the topics subscribed
        self._assigned_at = float("-inf")

    # -- heartbeats ----------------------------------------------------------------------------------------------------

    def heartbeat(self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse:
        self.expire()
        epoch = request.member_epoch
        if epoch in (_LEAVES, _PAUSES):
            return self._leave(request)
        code = self._refuses(request)
        if code:
            return ConsumerGroupHeartbeatResponse(error_code=code)
        if epoch == _JOINS:
            member = self._enter(request)
        else:
            member = self.members[request.member_id]
            code = self._check_epoch(member, request)
            if code:
                return ConsumerGroupHeartbeatResponse(error_code=code)
        if self._subscribes(member, request):
            self.epoch += 1
        self._heard(member)
        self._look_at_topics()
        self._assign()
        before = member.assigned
        self._reconcile(member, _owned(request), frozenset() if epoch == _JOINS else None)
        says_all = epoch == _JOINS or request.rebalance_timeout_ms >= 0
        tells = says_all or before != member.assigned or member.told != member.assigned
        return ConsumerGroupHeartbeatResponse(
            member_id=member.id,
            member_epoch=member.epoch,
            heartbeat_interval_ms=round(self._groups.heartbeat_interval * 1000),
            assignment=self._told(member) if tells else None,
        )

    def _refuses(self, request: ConsumerGroupHeartbeatRequest) -> int:
        if not request.member_id or request.member_epoch < _PAUSES:
            return Code.INVALID_REQUEST
        if request.member_epoch == _JOINS:
            subscribes = request.subscribed_topic_names is not None or request.subscribed_topic_regex is not None
            if request.rebalance_timeout_ms <= 0 or request.topic_partitions is None or request.topic_partitions:
                return Code.INVALID_REQUEST
            if not subscribes:
                return Code.INVALID_REQUEST
        elif not self.members:
            return Code.GROUP_ID_NOT_FOUND
        elif request.member_id not in self.members:
            return Code.UNKNOWN_MEMBER_ID
        if request.server_assignor not in (None, "uniform", "range"):
            return Code.UNSUPPORTED_ASSIGNOR
        if request.subscribed_topic_regex and not _is_pattern(request.subscribed_topic_regex):
            return Code.INVALID_REGULAR_EXPRESSION
        static = self._static(request.instance_id)
        if static is not None and static.id != request.member_id:
            if request.member_epoch != _JOINS:
                return Code.FENCED_INSTANCE_ID
            if not static.has_paused:
                return Code.UNRELEASED_INSTANCE_ID
        return 0

    def _static(self, instance: str | None) -> Member | None:
        if instance is None:
            return None
        return next((member for member in self.members.values() if member.instance == instance), None)

    def _enter(self, request: ConsumerGroupHeartbeatRequest) -> Member:
        static = self._static(request.instance_id)
        if static is not None and static.id != request.member_id:  # back again: the same place, another id
            del self.members[static.id]
            static.id, static.has_paused = request.member_id, False
            self.members[static.id] = static
            return static
        member = self.members.get(request.member_id)
        if member is None:
            member = self._new_member(request.member_id)
            member.instance = request.instance_id
            self.epoch += 1
        else:  # it has nothing of what it was given
            member.has_paused = False
            member.assigned = member.revoking = frozenset()
            member.epoch, member.former_epoch = self.target_epoch - 1, -1
        return member

    def _new_member(self, id: str) -> Member:
        member = self.members[id] = Member(id)
        return member

    def _check_epoch(self, member: Member, request: ConsumerGroupHeartbeatRequest) -> int:
        if member.has_paused:
            return Code.UNKNOWN_MEMBER_ID
        if request.member_epoch == member.epoch:
            return 0
        owned = _owned(request)
        if request.member_epoch == member.former_epoch and owned is not None and owned <= member.assigned:
            member.former_epoch = -1
            return 0
        return Code.FENCED_MEMBER_EPOCH

    def _subscribes(self, member: Member, request: ConsumerGroupHeartbeatRequest) -> bool:
        """Whether something else than before."""
        before = (member.names, member.pattern, member.assignor)
        if request.subscribed_topic_names is not None:
            member.names = frozenset(request.subscribed_topic_names)
        if request.subscribed_topic_regex is not None:
            member.pattern = request.subscribed_topic_regex or None
        if request.server_assignor is not None:
            member.assignor = request.server_assignor
        if request.rebalance_timeout_ms > 0:
            member.rebalance = request.rebalance_timeout_ms / 1000
        return before != (member.names, member.pattern, member.assignor)

    def _told(self, member: Member) -> ConsumerGroupHeartbeatResponse.Assignment:
        member.told = member.assigned
        by_topic: dict[bytes, list[int]] = {}
        for id, number in sorted(member.assigned):
            by_topic.setdefault(id, []).append(number)
        return ConsumerGroupHeartbeatResponse.Assignment(
            topic_partitions=[
                ConsumerGroupHeartbeatResponse.TopicPartitions(topic_id=id, partitions=numbers)
                for id, numbers in by_topic.items()
            ]
        )

    def _leave(self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse:
        member = self.members.get(request.member_id)
        if not self.members:
            return ConsumerGroupHeartbeatResponse(error_code=Code.GROUP_ID_NOT_FOUND)
        if member is None:
            return ConsumerGroupHeartbeatResponse(error_code=Code.UNKNOWN_MEMBER_ID)
        if request.member_epoch == _PAUSES:
            if request.instance_id is None:
                return ConsumerGroupHeartbeatResponse(error_code=Code.INVALID_REQUEST)
            member.has_paused = True
        else:
            self._remove(member)
        return ConsumerGroupHeartbeatResponse(member_id=member.id, member_epoch=request.member_epoch)

    # -- who gets what -------------------------------------------------------------------------------------------------

    def _topics(self, member: Member) -> Iterator[Topic]:
        for name, topic in sorted(self._cluster.topics.items()):
            if name in member.names or (member.pattern is not None and re.fullmatch(member.pattern, name)):
                yield topic

    def _look_at_topics(self) -> None:
        found = {topic.id: len(topic) for member in self.members.values() for topic in self._topics(member)}
        if found != self._seen:
            self._seen = found
            self.epoch += 1

    def _assign(self) -> None:
        """A new target, if the last one is old enough (KIP-1263)."""
        if self.target_epoch == self.epoch or self._now() < self._assigned_at + self._groups.assignment_interval:
            return
        names = [member.assignor for member in self.members.values() if member.assignor]
        assign = assign_ranges if names and names[0] == "range" else assign_uniformly
        wanted = {id: [(topic.id, len(topic)) for topic in self._topics(each)] for id, each in self.members.items()}
        has = {id: each.target for id, each in self.members.items()}
        for id, target in assign(wanted, has).items():
            self.members[id].target = target
        self.target_epoch = self.epoch
        self._assigned_at = self._now()

    def _reconcile(self, member: Member, owned: frozenset[Place] | None, may_have: frozenset[Place] | None) -> None:
        """One step of it towards its target; what another one still has is not given to it. `owned` is what it says
        that it has, `may_have` what it may have of what was given to it before: None for all of that.
        """
        if member.revoking:
            if owned is None or owned & member.revoking:
                return
            member.revoking = frozenset()
        keeps = member.assigned & member.target
        if keeps != member.assigned:
            member.revoking, member.assigned = member.assigned - keeps, keeps
            if may_have is None or may_have & member.revoking:
                member.revoked_by = self._now() + member.rebalance
                self._later(member.rebalance)
                return
            member.revoking = frozenset()
        member.assigned = member.target - self._taken(member)
        if member.epoch != self.target_epoch:
            member.former_epoch, member.epoch = member.epoch, self.target_epoch

    def _taken(self, member: Member) -> frozenset[Place]:
        """What others have."""
        others = [each for each in self.members.values() if each is not member]
        return frozenset(place for each in others for place in each.assigned | each.revoking)

    def _is_free_for(self, member: Member) -> bool:
        """Whether what it is to have, and has not, is free by now."""
        lacks = member.target - member.assigned
        return bool(lacks - self._taken(member)) and not member.revoking

    # -- the end of members --------------------------------------------------------------------------------------------

    def _remove(self, member: Member) -> None:
        del self.members[member.id]
        self.epoch += 1
        left = [each.joined_with is not None for each in self.members.values()]
        if left and all(left) and member.joined_with is None:
            self.give_back()

    def _heard(self, member: Member) -> None:
        joined_with = member.joined_with
        session = self._groups.session if joined_with is None else joined_with.session_timeout_ms / 1000
        member.expires = self._now() + session
        self._later(session)

    def _later(self, seconds: float) -> None:
        self._groups.world.after(seconds, self.expire)

    def expire(self) -> None:
        now = self._now() + 1e-9
        for member in list(self.members.values()):
            is_late = (member.revoking and member.revoked_by <= now) or member.join_by <= now
            if self.members.get(member.id) is member and (member.expires <= now or is_late):
                self._groups.counts["member expired"] += 1
                self._remove(member)

    def _now(self) -> float:
        return self._groups.world.now

    # -- offsets -------------------------------------------------------------------------------------------------------

    def may_commit(self, id: str, epoch: int, place: Place | None) -> int:
        """0, or why a commit for this partition is refused."""
        member = self.members.get(id)
        if member is None:
            return Code.UNKNOWN_MEMBER_ID
        if member.joined_with is not None and epoch != member.epoch:
            return Code.ILLEGAL_GENERATION
        if member.has_paused or epoch > member.epoch or epoch < 0:
            return Code.STALE_MEMBER_EPOCH
        self._heard(member)
        if epoch < member.epoch and not (self._groups.takes_older_epochs and place in member.assigned):
            return Code.STALE_MEMBER_EPOCH
        return 0

    def may_fetch(self, id: str, epoch: int) -> int:
        """0, or why committed offsets are not told."""
        if epoch < 0 and not id:
            return 0
        member = self.members.get(id)
        if member is None:
            return Code.UNKNOWN_MEMBER_ID
        return 0 if epoch == member.epoch else Code.STALE_MEMBER_EPOCH


def _owned(request: ConsumerGroupHeartbeatRequest) -> frozenset[Place] | None:
    if request.topic_partitions is None:
        return None
    return frozenset((topic.topic_id, number) for topic in request.topic_partitions for number in topic.partitions)


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return _NOT_RE2.search(text) is None


# -- assignors ---------------------------------------------------------------------------------------------------------

Wanted = dict[str, list[tuple[bytes, int]]]  # by member id: topics and their sizes
Targets = dict[str, frozenset[Place]]
Assign = Callable[[Wanted, Targets], Targets]


def assign_ranges(wanted: Wanted, has: Targets) -> Targets:
    """Of each topic a run of partitions to each member."""
    shares: dict[str, set[Place]] = {id: set() for id in wanted}
    for topic, size in sorted({topic for topics in wanted.values() for topic in topics}):
        readers = sorted(id for id, topics in wanted.items() if (topic, size) in topics)
        least, more = divmod(size, len(readers))
        start = 0
        for index, id in enumerate(readers):
            end = start + least + (index < more)
            shares[id] |= {(topic, number) for number in range(start, end)}
            start = end
    return {id: frozenset(share) for id, share in shares.items()}


def assign_uniformly(wanted: Wanted, has: Targets) -> Targets:
    """As many to each, with few moves."""
    places = {
        id: {(topic, number) for topic, size in topics for number in range(size)} for id, topics in wanted.items()
    }
    owners: dict[Place, str] = {}
    for id in sorted(wanted):
        for place in sorted(has.get(id, ())):
            if place in places[id]:
                owners.setdefault(place, id)
    shares: dict[str, set[Place]] = {id: set() for id in wanted}
    for place, id in owners.items():
        shares[id].add(place)
    for place in sorted(set().union(*places.values()) - owners.keys()) if places else ():
        shares[min((id for id in sorted(wanted) if place in places[id]), key=lambda id: len(shares[id]))].add(place)
    moved = True
    while moved:
        moved = False
        for giver in sorted(shares, key=lambda id: (-len(shares[id]), id)):
            for place in sorted(shares[giver]):
                taker = min((id for id in sorted(wanted) if place in places[id]), key=lambda id: len(shares[id]))
                if len(shares[taker]) + 1 < len(shares[giver]):
                    shares[giver].discard(place)
                    shares[taker].add(place)
                    moved = True
    return {id: frozenset(share) for id, share in shares.items()}
