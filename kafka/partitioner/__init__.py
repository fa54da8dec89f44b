"""Which partition a record goes to: Java's rule, the interface for one's own, and the hash itself."""

from kafka.partitioner.abc import Cluster, Partitioner
from kafka.partitioner.default import DefaultPartitioner, murmur2
from kafka.partitioner.sticky import StickyPartitioner

__all__ = ["Cluster", "DefaultPartitioner", "Partitioner", "StickyPartitioner", "murmur2"]
