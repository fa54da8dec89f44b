"""Import path of kafka-python."""

from kafka.coordinator.assignors.abstract import KnownAssignor
from kafka.core.groups.assignors import COOPERATIVE_STICKY

__all__ = ["CooperativeStickyAssignor"]


class CooperativeStickyAssignor(KnownAssignor):
    name = "cooperative-sticky"
    strategy = COOPERATIVE_STICKY
