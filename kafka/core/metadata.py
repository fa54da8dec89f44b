"""When to ask for metadata, and for which topics; what comes back is merged into one immutable snapshot.

Topics are asked for when somebody first wants them, each request naming only those in need. One request is under way at
a time. A topic stays in need while another look may tell more (no leader, not known yet), with growing pauses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka.core.backoff import Backoff
from kafka.core.calls import ANY, Calls
from kafka.core.config import Config
from kafka.core.snapshot import EMPTY, Broker, Snapshot, Topic, merge, still_unclear, with_leader
from kafka.core.timers import Timer, Timers
from kafka.errors import KafkaError
from kafka.protocol import MetadataRequest
from kafka.result import Err, Result


class Metadata:
    def __init__(
        self,
        config: Config,
        random: Any,
        timers: Timers,
        calls: Calls,
        on_change: Callable[[Snapshot, float], None],
    ) -> None:
        self._config = config
        self._timers = timers
        self._calls = calls
        self._on_change = on_change
        self._backoff = Backoff(config.retry_backoff, config.retry_backoff_max, random)
        self._timer: Timer | None = None
        self._under_way = False
        self._needed: dict[str, None] = {}  # ordered, as a set is not
        self._needs_brokers = False
        self._fruitless = 0  # answers in a row that told nothing new
        self._asked_at = float("-inf")
        self.snapshot: Snapshot = EMPTY
        self.topics: dict[str, None] = {}  # every topic anybody wants
        self.error: KafkaError | None = None  # why the last refresh failed, None if it did not

    def want(self, topic: str, now: float) -> None:
        """Sees to it that this topic gets known and stays so. Costs a dict lookup if it is."""
        if topic in self.topics:
            known = self.snapshot.topics.get(topic)
            if known is None or known.error is None or known.error.retriable or topic in self._needed:
                return
            # A permanent error (no such name, no permission) is asked about again only because somebody still wants it.
        self.topics[topic] = None
        self._need(topic, now)

    def refresh(self, topic: str | None, now: float) -> None:
        """What is known of this topic (None: of the brokers) turned out to be stale."""
        if topic is None:
            self._needs_brokers = True
            self._schedule(now)
        else:
            self.topics[topic] = None
            self._need(topic, now)

    def forget(self, topic: str) -> None:
        """Nobody wants this topic any longer; what is known of it stays in the snapshot until then."""
        self.topics.pop(topic, None)
        self._needed.pop(topic, None)

    def hint(self, topic: str, partition: int, leader: int, epoch: int, broker: Broker | None, now: float) -> None:
        """A produce or fetch answer named a newer leader (KIP-951)."""
        snapshot = with_leader(self.snapshot, topic, partition, leader, epoch, broker)
        if snapshot is not self.snapshot:
            self.snapshot = snapshot
            self._on_change(snapshot, now)

    def learn(self, response: Any, version: int, now: float) -> None:
        """Merges an answer, tells the core, and plans the next look."""
        before = self.snapshot
        self.snapshot = snapshot = merge(before, response, version, now)
        self.error = None
        self._needs_brokers = False
        fruitful = not before.brokers
        for entry in response.topics:
            topic = snapshot.topics.get(entry.name)
            if topic is not None and not still_unclear(topic):
                self._needed.pop(topic.name, None)
            fruitful = fruitful or not _alike(before.topics.get(entry.name), topic)
        self._fruitless = 0 if fruitful else self._fruitless + 1
        self._on_change(snapshot, now)
        if self._needed:
            self._schedule(now)
        else:
            self._set_timer(now + self._config.metadata_max_age)

    # -- asking ----------------------------------------------------------------------------------------------------

    def _need(self, topic: str, now: float) -> None:
        if topic not in self._needed:
            self._needed[topic] = None
            if topic not in self.snapshot.topics:
                self._fruitless = 0  # a new topic does not wait for the troubles of another
            self._schedule(now)

    def _schedule(self, now: float) -> None:
        if self._under_way:
            return
        pause = self._backoff.delay(self._fruitless) if self._fruitless or self.error is not None else 0.0
        self._set_timer(max(now, self._asked_at + pause))

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timers.at(deadline, self._ask)

    def _ask(self, now: float) -> None:
        self._timer = None
        if self._under_way:
            return
        if not self._needed and not self._needs_brokers:  # old age: everything anew
            self._needed = dict(self.topics)
        topics = list(self._needed)
        asked_version = -1

        def build(version: int) -> Any:
            nonlocal asked_version
            asked_version = version
            return MetadataRequest(
                topics=[MetadataRequest.MetadataRequestTopic(name=name) for name in topics],
                # Before version 4 brokers create topics by their own configuration alone.
                allow_auto_topic_creation=self._config.allow_auto_create_topics or version < 4,
            )

        def answered(result: Result[Any, KafkaError], now: float) -> None:
            self._under_way = False
            if isinstance(result, Err):
                self.error = result.error
                self._fruitless += 1
                self._schedule(now)
            else:
                self.learn(result.value, asked_version, now)

        self._under_way = True
        self._asked_at = now
        self._calls.start(ANY, MetadataRequest, build, answered, now, self._config.request_timeout)


def _alike(one: Topic | None, other: Topic | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.id, one.partitions, one.error) == (other.id, other.partitions, other.error)
