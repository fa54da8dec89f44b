"""Groups that change their protocol while they have members, and classic members among those of the consumer protocol.

A group becomes one of the consumer protocol when the first such member joins, and a classic one again when the last has
left (`group.consumer.migration.policy` of bidirectional). Meanwhile classic members rejoin whenever there is something
new for them; nobody of them leads, and each is told at once what it may have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kafka.protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
    decode,
    encode,
)
from kafka.protocol.codes import Code

if TYPE_CHECKING:
    from kafka.testing.model.cluster import Cluster
    from kafka.testing.model.consumer_groups import Member, Place
    from kafka.testing.model.groups import Groups

_Named = ConsumerProtocolSubscription.TopicPartition | ConsumerProtocolAssignment.TopicPartition
_ASSIGNMENT_VERSION = 1
_PROTOCOL_TYPE = "consumer"


class ClassicMembers:
    """What a group of the consumer protocol answers to classic members."""

    id: str
    epoch: int
    target_epoch: int
    members: dict[str, Member]
    handed_out: set[str]  # ids that nobody has joined with yet
    _groups: Groups
    _cluster: Cluster

    def join(self, request: JoinGroupRequest, version: int, client: str) -> JoinGroupResponse:
        self.expire()
        id = request.member_id
        if request.group_instance_id is not None or request.protocol_type != _PROTOCOL_TYPE:
            return _refused(id, Code.INCONSISTENT_GROUP_PROTOCOL)  # the former only here
        if not id:
            id = self._groups.new_id(client)
            self.handed_out.add(id)
            return _refused(id, Code.MEMBER_ID_REQUIRED)
        if id not in self.members and id not in self.handed_out:
            return _refused(id, Code.UNKNOWN_MEMBER_ID)
        self.handed_out.discard(id)
        member = self.members.get(id) or self._classic(id)
        said = _said(request)
        if member.names != frozenset(said.topics):
            member.names = frozenset(said.topics)
            self.epoch += 1
        member.joined_with = request
        member.join_by = float("inf")
        member.rebalance = request.rebalance_timeout_ms / 1000
        self._heard(member)
        self._look_at_topics()
        self._assign()
        self._reconcile(member, owned := self._places(said.owned_partitions), owned)
        return JoinGroupResponse(
            generation_id=member.epoch,
            protocol_type=_PROTOCOL_TYPE,
            protocol_name=request.protocols[0].name,
            leader="",
            member_id=id,
            members=[],
        )

    def sync(self, request: SyncGroupRequest) -> SyncGroupResponse:
        code = self._check_classic(request.member_id, request.generation_id)
        if code:
            return SyncGroupResponse(error_code=code)
        member = self.members[request.member_id]
        self._heard(member)
        if self.epoch > member.epoch and not member.revoking:
            self._has_to_join(member)
            return SyncGroupResponse(error_code=Code.REBALANCE_IN_PROGRESS)
        assert member.joined_with is not None
        return SyncGroupResponse(
            protocol_type=_PROTOCOL_TYPE,
            protocol_name=member.joined_with.protocols[0].name,
            assignment=self._encoded(member.assigned),
        )

    def classic_heartbeat(self, id: str, generation: int) -> HeartbeatResponse:
        self.expire()
        code = self._check_classic(id, generation)
        if not code:
            member = self.members[id]
            self._heard(member)
            self._look_at_topics()
            self._assign()
            if member.epoch < self.epoch or member.revoking or self._is_free_for(member):
                self._has_to_join(member)
                code = Code.REBALANCE_IN_PROGRESS
        return HeartbeatResponse(error_code=code)

    def classic_leave(self, id: str) -> int:
        self.handed_out.discard(id)
        if id not in self.members:
            return Code.UNKNOWN_MEMBER_ID
        self._remove(self.members[id])
        return 0

    def _classic(self, id: str) -> Member:
        member = self._new_member(id)
        self.epoch += 1
        return member

    def _check_classic(self, id: str, generation: int) -> int:
        if id not in self.members:
            return Code.UNKNOWN_MEMBER_ID
        return 0 if generation == self.members[id].epoch else Code.ILLEGAL_GENERATION

    def _encoded(self, places: frozenset[Place]) -> bytes:
        """What it may have, as classic members read it."""
        share = [
            ConsumerProtocolAssignment.TopicPartition(topic=name, partitions=numbers)
            for name, topic in sorted(self._cluster.topics.items())
            if (numbers := sorted(number for id, number in places if id == topic.id))
        ]
        return encode(ConsumerProtocolAssignment(assigned_partitions=share), _ASSIGNMENT_VERSION).unwrap()

    def _has_to_join(self, member: Member) -> None:
        member.join_by = min(member.join_by, self._now() + member.rebalance)
        self._later(member.rebalance)

    def _places(self, named: Iterable[_Named]) -> frozenset[Place]:
        topics = self._cluster.topics
        return frozenset((topics[each.topic].id, n) for each in named if each.topic in topics for n in each.partitions)

    # -- changing the protocol -----------------------------------------------------------------------------------------

    def take_over(self) -> None:
        """The members of the classic group are this one's."""
        group = self._groups.get(self.id)
        self.epoch = self.target_epoch = max(1, group.generation)
        for old in list(group.members.values()):
            member = self._new_member(old.id)
            member.joined_with, member.rebalance, member.epoch = old.request, old.rebalance, self.epoch
            member.names = frozenset(_said(old.request).topics)
            member.assigned = member.target = self._places(_share(old.assignment))
            self._heard(member)
            self._has_to_join(member)
        self.epoch += 1
        self.handed_out |= group.give_up()

    def give_back(self) -> None:
        """All members that are left are classic ones: so is the group."""
        del self._groups.consumer[self.id]
        members = {
            id: (member.joined_with, self._encoded(member.target))
            for id, member in self.members.items()
            if member.joined_with is not None
        }
        self._groups.get(self.id).take_back(self.epoch, members, self.handed_out)
        self.members.clear()

    # -- of the group --------------------------------------------------------------------------------------------------

    if TYPE_CHECKING:

        def expire(self) -> None: ...
        def _new_member(self, id: str) -> Member: ...
        def _heard(self, member: Member) -> None: ...
        def _look_at_topics(self) -> None: ...
        def _assign(self) -> None: ...
        def _reconcile(
            self, member: Member, owned: frozenset[Place] | None, may_have: frozenset[Place] | None
        ) -> None: ...
        def _is_free_for(self, member: Member) -> bool: ...
        def _remove(self, member: Member) -> None: ...
        def _later(self, seconds: float) -> None: ...
        def _now(self) -> float: ...


def _said(request: JoinGroupRequest) -> ConsumerProtocolSubscription:
    return decode(ConsumerProtocolSubscription, None, bytes(request.protocols[0].metadata)).unwrap()


def _share(data: bytes) -> Iterable[_Named]:
    """Empty data, for who was forgotten, have none."""
    return decode(ConsumerProtocolAssignment, None, data).unwrap().assigned_partitions if data else ()


def _refused(id: str, code: int) -> JoinGroupResponse:
    return JoinGroupResponse(error_code=code, member_id=id, protocol_name="")
