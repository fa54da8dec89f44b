"""Records that callbacks have sent to topics whose partitions are not known: each gets its place once they are.

A callback runs in the midst of what the core is doing. What it sends is only noted, and looked at with the next tick;
but once a topic's partitions are known all of its records are put in their places at once, in their order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kafka.errors import KafkaError, KafkaTimeoutError

if TYPE_CHECKING:
    from kafka._codec import Deferred
    from kafka.core.produce.path import Produce

INFINITY = float("inf")


class DeferredRecords:
    def __init__(self, path: Produce) -> None:
        self._path = path
        self._new: deque[tuple[float, Deferred]] = deque()  # with how long they may wait, in seconds
        self._waiting: dict[str, deque[tuple[float, float, Deferred]]] = {}  # by topic, with that and their deadlines

    def add(self, record: Deferred, patience: float) -> None:
        self._new.append((patience, record))

    def __contains__(self, topic: str) -> bool:
        return topic in self._waiting

    def next_deadline(self) -> float:
        if self._new:
            return 0.0
        return min((waiting[0][0] for waiting in self._waiting.values()), default=INFINITY)

    def tick(self, now: float) -> None:
        while self._new:
            patience, record = self._new.popleft()
            self._waiting.setdefault(record.topic, deque()).append((now + patience, patience, record))
            self._path.learn(record.topic, now)
        for topic, waiting in list(self._waiting.items()):
            while waiting and waiting[0][0] <= now:
                _, patience, record = waiting.popleft()
                self._path.outcomes.deferred_failed(record, self._timed_out(topic, patience), now)
            if not waiting and self._waiting.get(topic) is waiting:
                del self._waiting[topic]

    def _timed_out(self, topic: str, patience: float) -> KafkaError:
        metadata = self._path.services.metadata
        known = metadata.snapshot.topics.get(topic)
        cause = known.error if known is not None and known.error is not None else metadata.error
        error = KafkaTimeoutError(
            f"Topic {topic} has no partitions to send to, still not after {patience:g} s"
            + (f": {cause}" if cause is not None else ".")
        )
        error.__cause__ = cause
        return error

    def put(self, topic: str, now: float) -> None:
        """This topic's partitions are known."""
        for record in self._take(topic):
            try:
                record.put()
            except Exception as cause:  # of a partitioner, or a number that is none of a partition
                error = KafkaError(f"A record that was sent in a callback has no place in topic {topic}: {cause}")
                error.__cause__ = cause
                self._path.outcomes.deferred_failed(record, error, now)

    def fail(self, topic: str, error: KafkaError, now: float) -> None:
        """This topic will never have partitions."""
        for record in self._take(topic):
            self._path.outcomes.deferred_failed(record, error, now)

    def fail_all(self, error: KafkaError, now: float) -> None:
        for topic in [*self._waiting, *(record.topic for _, record in self._new)]:
            self.fail(topic, error, now)

    def _take(self, topic: str) -> list[Deferred]:
        if not self._new and topic not in self._waiting:
            return []
        found = [record for _, _, record in self._waiting.pop(topic, ())]
        found += [record for _, record in self._new if record.topic == topic]
        self._new = deque(entry for entry in self._new if entry[1].topic != topic)
        return found
