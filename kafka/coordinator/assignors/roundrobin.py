"""Import path of kafka-python."""

from kafka.coordinator.assignors.abstract import KnownAssignor
from kafka.core.groups.assignors import ROUND_ROBIN

__all__ = ["RoundRobinPartitionAssignor"]


class RoundRobinPartitionAssignor(KnownAssignor):
    name = "roundrobin"
    strategy = ROUND_ROBIN
