"""Topics and their partitions, as the whole cluster sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafka.testing.log import PartitionLog


class Partition:
    """A log and the nodes that have it. All replicas share one log: what was appended is on all of them at once."""

    __slots__ = ("leader", "log", "replicas")

    def __init__(self, log: PartitionLog, replicas: Sequence[int]) -> None:
        self.log = log
        self.replicas = tuple(replicas)
        self.leader = self.replicas[0]


class Topic:
    __slots__ = ("configs", "id", "name", "partitions")

    def __init__(
        self, name: str, id: bytes, partitions: Sequence[Partition], configs: Mapping[str, str | None]
    ) -> None:
        self.name = name
        self.id = id
        self.partitions = list(partitions)
        self.configs = dict(configs)

    def __getitem__(self, index: int) -> Partition | None:
        return self.partitions[index] if 0 <= index < len(self.partitions) else None
