"""Who waits until partitions of a topic are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kafka.core.cluster.metadata import Metadata
from kafka.core.produce.partitions import Topic
from kafka.errors import KafkaError

if TYPE_CHECKING:
    from kafka._codec import Accumulator

Waiter = Callable[[KafkaError | None], None]  # called with None once they are, or with why they will not be


class Waiters:
    def __init__(self, metadata: Metadata, accumulator: Accumulator) -> None:
        self._metadata = metadata
        self._accumulator: Accumulator | None = accumulator  # None once it is closed
        self._wanting: dict[Topic, None] = {}  # topics of which somebody wants more partitions than are known

    def add(self, topic: Topic, least: int, waiter: Waiter, now: float) -> None:
        """Call it once `least` partitions are known, at once perhaps."""
        topic.waiters.append((least, waiter))
        self.answer(topic, None)
        if topic in self._wanting:
            self._metadata.refresh(topic.name, now)

    def forget(self, topic: Topic, waiter: Waiter) -> None:
        topic.waiters = [entry for entry in topic.waiters if entry[1] != waiter]
        self.answer(topic, None)

    def answer(self, topic: Topic, error: KafkaError | None) -> None:
        """Tell those whose partitions are known; and the others, too, where there is an error."""
        known = 0 if self._accumulator is None else self._accumulator.partition_count(topic.name)
        waiters, topic.waiters = topic.waiters, []
        for least, waiter in waiters:
            if least <= known or error is not None:
                waiter(error if least > known else None)
            else:
                topic.waiters.append((least, waiter))
        if topic.waiters and known > 0:
            self._wanting[topic] = None
        else:
            self._wanting.pop(topic, None)

    def let_go(self) -> None:
        """The accumulator's memory is not to wait for a collector, which finds what refers to itself in circles."""
        self._accumulator = None

    def ask_again(self, now: float) -> None:
        """Metadata has come, and has not told enough: it is asked for with growing pauses."""
        for topic in self._wanting:
            self._metadata.refresh(topic.name, now)
