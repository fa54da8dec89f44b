"""Java's rule: a key's murmur2 hash decides; a record without a key may go anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kafka._codec import murmur2
from kafka.partitioner.abc import Cluster, Partitioner, known

__all__ = ["DefaultPartitioner", "murmur2"]


class DefaultPartitioner(Partitioner):
    """Keyed records by murmur2, as Java's client; records without a key at random among partitions with a leader.

    A producer that is left with this partitioner never calls it: it hashes keys itself, and gives keyless batches their
    partition when they are sent.
    """

    def partition(
        self, topic: str, key: Any, serialized_key: bytes | None, value: Any, serialized_value: bytes | None,
        cluster: Cluster,
    ) -> int:  # fmt: skip
        everything = known(topic, cluster.partitions_for_topic(topic))
        return self(serialized_key, everything, sorted(cluster.available_partitions_for_topic(topic) or ()))

    def __call__(self, key: bytes | None, all_partitions: Sequence[int], available: Sequence[int]) -> int:
        """The same as kafka-python 1 and 2 called it; `all_partitions` in ascending order."""
        if key is not None:
            return all_partitions[(murmur2(key) & 0x7FFFFFFF) % len(all_partitions)]
        from random import choice  # with hashlib behind it, too dear for an import that few need

        return choice(available or all_partitions)
