"""The interface of assignors, for those of one's own; and those that are there, by kafka-python's names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum
from typing import Any, ClassVar, Protocol

from kafka.core.groups.assignors import NO_RACKS, Strategy, Subscription, as_assignment, encode_last
from kafka.protocol import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from kafka.structs import TopicPartition

__all__ = ["AbstractPartitionAssignor", "ConsumerProtocolAssignment", "ConsumerProtocolSubscription",
           "RebalanceProtocol"]  # fmt: skip


class RebalanceProtocol(IntEnum):
    """EAGER: all members give up all partitions before they join. COOPERATIVE: only what moves (KIP-429)."""

    EAGER = 0
    COOPERATIVE = 1


class Cluster(Protocol):
    """What an assignor may ask."""

    def topics(self) -> set[str]:
        """Those that members subscribe, as far as they exist."""

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """None where the topic is not known."""


class GroupMember(Protocol):
    member_id: str
    group_instance_id: str | None
    metadata: ConsumerProtocolSubscription


class AbstractPartitionAssignor(ABC):
    """Called on the IO thread, so it must not wait. What it raises is raised by `poll()`, as AssignorError."""

    @property
    @abstractmethod
    def name(self) -> str:
        """All members of a group must have one assignor of the same name."""

    def supported_protocols(self) -> Sequence[RebalanceProtocol]:
        """[COOPERATIVE] where members keep their partitions while they join: then it must not give to one what another
        still has (`metadata.owned_partitions`)."""
        return [RebalanceProtocol.EAGER]

    @abstractmethod
    def assign(self, cluster: Any, members: Sequence[Any]) -> Mapping[str, Any]:
        """{member id: ConsumerProtocolAssignment} for a `Cluster` and a list of `GroupMember`; called in the leader."""

    @abstractmethod
    def metadata(self, topics: Collection[str]) -> ConsumerProtocolSubscription:
        """What this member says of itself when it joins; of that its `user_data` goes to the leader."""

    @abstractmethod
    def on_assignment(self, assignment: ConsumerProtocolAssignment, generation: int) -> None:
        """This member's partitions."""


class KnownAssignor(AbstractPartitionAssignor):
    """One of those that are there; it can be inherited from."""

    strategy: ClassVar[Strategy]
    _last: Collection[TopicPartition] = ()
    _last_generation = -1

    def supported_protocols(self) -> Sequence[RebalanceProtocol]:
        return [RebalanceProtocol.COOPERATIVE if self.strategy.is_cooperative else RebalanceProtocol.EAGER]

    def assign(self, cluster: Any, members: Sequence[Any]) -> Mapping[str, Any]:
        found = {
            member.member_id: Subscription(
                frozenset(member.metadata.topics),
                tuple(
                    TopicPartition(each.topic, number)
                    for each in member.metadata.owned_partitions
                    for number in each.partitions
                ),
                member.metadata.generation_id,
                instance=member.group_instance_id,
                user_data=member.metadata.user_data,
            )
            for member in members
        }
        topics = {topic for each in found.values() for topic in each.topics}
        sizes = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        shares = self.strategy.assign(found, {topic: size for topic, size in sizes.items() if size}, NO_RACKS)
        return {id: as_assignment(share) for id, share in shares.items()}

    def metadata(self, topics: Collection[str]) -> ConsumerProtocolSubscription:
        return ConsumerProtocolSubscription(
            topics=sorted(topics),
            user_data=encode_last(self._last, self._last_generation) if self.strategy.says_last else None,
        )

    def on_assignment(self, assignment: ConsumerProtocolAssignment, generation: int) -> None:
        """What a sticky member says when it joins again, as it has given that up by then."""
        self._last = [
            TopicPartition(each.topic, number) for each in assignment.assigned_partitions for number in each.partitions
        ]
        self._last_generation = generation
