"""Which partition a record goes to: Java's rule, the interface for one's own, and the hash itself."""

from typing import TYPE_CHECKING

from kafka.partitioner.abc import Cluster, Partitioner
from kafka.partitioner.default import DefaultPartitioner, murmur2

if TYPE_CHECKING:
    from kafka.partitioner.sticky import StickyPartitioner

__all__ = ["Cluster", "DefaultPartitioner", "Partitioner", "StickyPartitioner", "murmur2"]


def __getattr__(name: str) -> object:
    # Every producer imports this package, few want that class.
    if name == "StickyPartitioner":
        from kafka.partitioner.sticky import StickyPartitioner

        return StickyPartitioner
    raise AttributeError(f"module 'kafka.partitioner' has no attribute {name!r}")
