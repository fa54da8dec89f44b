"""Import path of kafka-python."""

from kafka.coordinator.assignors.abstract import KnownAssignor
from kafka.core.groups.assignors import STICKY

__all__ = ["StickyPartitionAssignor"]


class StickyPartitionAssignor(KnownAssignor):
    name = "sticky"
    strategy = STICKY
