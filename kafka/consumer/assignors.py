"""Assignors that users hand to a consumer (names, classes, objects) as the strategies of a member."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from kafka.core.groups.assignors import STRATEGIES, Members, Racks, Shares, Sizes, Strategy, as_assignment, by_topic
from kafka.errors import AssignorError
from kafka.protocol import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from kafka.structs import TopicPartition


def as_strategy(value: Any) -> Strategy | None:
    """None for what is no assignor."""
    if isinstance(value, Strategy):
        return value
    if isinstance(value, str):
        return STRATEGIES.get(value)
    own: Any = value if isinstance(value, type) else type(value)
    if own.__module__.startswith("kafka.coordinator.assignors.") and isinstance(getattr(own, "name", None), str):
        return STRATEGIES.get(own.name)  # one of those that are there, not what inherits from it
    if not callable(getattr(value, "assign", None)):
        return None
    assignor = value() if isinstance(value, type) else value
    name = getattr(assignor, "name", None)
    if not isinstance(name, str) or not name:
        return None
    protocols = assignor.supported_protocols() if hasattr(assignor, "supported_protocols") else ()
    adapter = _Adapter(assignor)
    return Strategy(name, adapter.assign, 1 in protocols, user_data=adapter.user_data, told=adapter.told)


class _Cluster(NamedTuple):
    """As `kafka.coordinator.assignors.abstract.Cluster`."""

    sizes: Sizes

    def topics(self) -> set[str]:
        return set(self.sizes)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self.sizes[topic])) if topic in self.sizes else None


class _Member(NamedTuple):
    member_id: str
    group_instance_id: str | None
    metadata: ConsumerProtocolSubscription


class _Adapter:
    """One in kafka-python's form, as `Strategy` wants it."""

    def __init__(self, assignor: Any) -> None:
        self._assignor = assignor

    def assign(self, members: Members, sizes: Sizes, racks: Racks) -> Shares:
        asked = [
            _Member(
                id,
                member.instance,
                ConsumerProtocolSubscription(
                    topics=sorted(member.topics),
                    user_data=member.user_data,
                    owned_partitions=[
                        ConsumerProtocolSubscription.TopicPartition(topic=topic, partitions=numbers)
                        for topic, numbers in by_topic(member.owned).items()
                    ],
                    generation_id=member.generation,
                    rack_id=member.rack,
                ),
            )
            for id, member in members.items()
        ]
        given = self._assignor.assign(_Cluster(sizes), asked)
        shares: Shares = {id: [] for id in members}
        owners: dict[TopicPartition, str] = {}
        for id, assignment in given.items():
            if id not in members:
                raise AssignorError(f"it gives partitions to {id!r}, which is no member of the group.")
            for tp in _partitions(assignment):
                if owners.setdefault(tp, id) != id:
                    raise AssignorError(f"it gives {tp.topic}[{tp.partition}] to both {owners[tp]!r} and {id!r}.")
                shares[id].append(tp)
        return shares

    def user_data(self, topics: Collection[str]) -> bytes | None:
        if not hasattr(self._assignor, "metadata"):
            return None
        data = self._assignor.metadata(set(topics)).user_data
        return None if data is None else bytes(data)

    def told(self, share: Collection[TopicPartition], generation: int) -> None:
        if hasattr(self._assignor, "on_assignment"):
            self._assignor.on_assignment(as_assignment(share), generation)


def _partitions(assignment: Any) -> list[TopicPartition]:
    """Of a ConsumerProtocolAssignment; a list of partitions does, too."""
    if isinstance(assignment, ConsumerProtocolAssignment) or hasattr(assignment, "assigned_partitions"):
        return [
            TopicPartition(each.topic, number) for each in assignment.assigned_partitions for number in each.partitions
        ]
    return [TopicPartition(*each) for each in assignment]
