"""Import path of kafka-python."""

from kafka.coordinator.assignors.abstract import KnownAssignor
from kafka.core.groups.assignors import RANGE

__all__ = ["RangePartitionAssignor"]


class RangePartitionAssignor(KnownAssignor):
    name = "range"
    strategy = RANGE
