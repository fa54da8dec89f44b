"""Keyless records to one partition at a time (KIP-480)."""

from __future__ import annotations

import threading
from typing import Any

from kafka.partitioner.abc import Cluster, known
from kafka.partitioner.default import DefaultPartitioner


class StickyPartitioner(DefaultPartitioner):
    """Keyed records by murmur2; records without a key to one partition per topic until `on_new_batch` says to move.

    Safe to share between threads. A producer treats it as the default partitioner, whose keyless batches are dense by
    construction; the class is here for code that names it or calls it.
    """

    def __init__(self) -> None:
        self._current: dict[str, int] = {}
        self._lock = threading.Lock()

    def partition(
        self, topic: str, key: Any, serialized_key: bytes | None, value: Any, serialized_value: bytes | None,
        cluster: Cluster,
    ) -> int:  # fmt: skip
        if serialized_key is not None:
            return super().partition(topic, key, serialized_key, value, serialized_value, cluster)
        with self._lock:
            current = self._current.get(topic)
            if current is not None and current in _choices(topic, cluster):
                return current
            return self._move(topic, cluster, None)

    def on_new_batch(self, topic: str, cluster: Cluster, prev_partition: int) -> None:
        """Move `topic` to another partition, unless somebody has moved it away from `prev_partition` already."""
        with self._lock:
            if self._current.get(topic) == prev_partition and cluster.partitions_for_topic(topic):
                self._move(topic, cluster, prev_partition)

    def _move(self, topic: str, cluster: Cluster, avoid: int | None) -> int:
        from random import choice

        choices = _choices(topic, cluster)
        others = [partition for partition in choices if partition != avoid]
        self._current[topic] = chosen = choice(others or choices)
        return chosen


def _choices(topic: str, cluster: Cluster) -> list[int]:
    everything = known(topic, cluster.partitions_for_topic(topic))
    return sorted(cluster.available_partitions_for_topic(topic) or everything)
