"""What one consumer measures besides: what it fetches, its group, its commits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kafka.metrics.client import MS, ClientMetrics, Row, average, peak, rate, total
from kafka.metrics.series import Gauge, Series

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafka.core.net.node import Node
    from kafka.errors import KafkaError
    from kafka.structs import OffsetAndMetadata, TopicPartition

FETCHING, COORDINATOR = "consumer-fetch-manager-metrics", "consumer-coordinator-metrics"


class Fetches(Series):
    """What was fetched, of one topic or of all. Records and bytes are those of batches as the broker has them."""

    SUMS = ("answers", "records", "bytes")
    PEAKS = ("largest",)
    __slots__ = (*SUMS, *PEAKS)

    answers: int  # with records of a partition
    records: int
    bytes: int
    largest: float


class Questions(Series):
    """Requests of one kind that were answered. Times in seconds."""

    SUMS = ("count", "seconds")
    PEAKS = ("slowest",)
    __slots__ = (*SUMS, *PEAKS)

    count: int
    seconds: float
    slowest: float

    def add(self, seconds: float, now: float) -> None:
        if now >= self.ends:
            self.advance(now)
        self.count += 1
        self.seconds += seconds
        if seconds > self.slowest:
            self.slowest = seconds


class Changes(Series):
    SUMS = ("rebalances", "lost", "failed_commits")
    __slots__ = SUMS

    rebalances: int  # after which partitions were given up or got
    lost: int  # partitions
    failed_commits: int


class ConsumerMetrics(ClientMetrics):
    """The metrics of one consumer."""

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[float], float]]], **options: Any) -> None:
        own = {name: gauge for name, gauge in gauges.items() if name not in _ELSEWHERE}
        super().__init__("consumer", own, **options)
        for name, group in _ELSEWHERE.items():
            description, read = gauges[name]
            self._register(group, (name, description), Gauge(read))
        self._all = Fetches(self._samples, self._window)
        self._topics: dict[str, Fetches] = {}
        self._questions = {name: Questions(self._samples, self._window) for name in _QUESTIONS}
        self._changes = Changes(self._samples, self._window)
        self._heartbeat = float("-inf")  # when the last one was answered
        self._register_all(FETCHING, _OF_A_TOPIC, lambda: (self._all,))
        for api, (group, rows) in _QUESTIONS.items():
            self._register_all(group, rows, lambda api=api: (self._questions[api],))  # type: ignore[misc]
        self._register_all(COORDINATOR, _OF_CHANGES, lambda: (self._changes,))
        ago = ("last-heartbeat-seconds-ago", "Seconds since a heartbeat was last answered; -1: none was.")
        self._register(COORDINATOR, ago, Gauge(lambda now: now - self._heartbeat if self._heartbeat > 0 else -1.0))

    # -- what the core tells -----------------------------------------------------------------------------------------

    def response(
        self,
        node: Node,
        request_class: Any,
        version: int,
        size: int,
        seconds: float,
        error: KafkaError | None,
        now: float,
    ) -> None:
        super().response(node, request_class, version, size, seconds, error, now)
        series = self._questions.get(request_class.__name__)
        if series is not None and size:
            series.add(seconds, now)
            if request_class.__name__ == "HeartbeatRequest":
                self._heartbeat = now

    def fetched(self, topic: str, partition: int, records: int, size: int, next_offset: int, now: float) -> None:
        for series in (self._topics.get(topic) or self._topic(topic), self._all):
            if now >= series.ends:
                series.advance(now)
            series.answers += 1
            series.records += records
            series.bytes += size
            if size > series.largest:
                series.largest = size

    def committed(
        self,
        group: str,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        seconds: float,
        error: KafkaError | None,
        now: float,
    ) -> None:
        self._questions["commit"].add(seconds, now)
        if error is not None:
            series = self._changes
            if now >= series.ends:
                series.advance(now)
            series.failed_commits += 1

    def rebalanced(self, group: str, assigned: Any, revoked: Any, lost: Any, now: float) -> None:
        series = self._changes
        if now >= series.ends:
            series.advance(now)
        series.rebalances += 1
        series.lost += len(lost)

    def _topic(self, topic: str) -> Fetches:
        series = self._topics[topic] = Fetches(self._samples, self._window)
        self._announce(f"{FETCHING}.{topic}", series, _OF_A_TOPIC)
        return series


# Gauges that belong to other groups than those of any client.
_ELSEWHERE = {"records-lag-max": FETCHING, "assigned-partitions": COORDINATOR}

_OF_A_TOPIC: tuple[Row, ...] = (
    ("fetch-size-avg", "Bytes of a partition's batches in an answer, on average.", average("bytes", "answers")),
    ("fetch-size-max", "Bytes of a partition's batches in an answer, the most.", peak("largest")),
    ("bytes-consumed-rate", "Bytes of batches fetched per second.", rate("bytes")),
    ("bytes-consumed-total", "Bytes of batches fetched.", total("bytes")),
    ("records-consumed-rate", "Records fetched per second.", rate("records")),
    ("records-consumed-total", "Records fetched.", total("records")),
    ("records-per-request-avg", "Records of a partition in an answer, on average.", average("records", "answers")),
)


def _timed(name: str, what: str, times: str) -> tuple[Row, ...]:
    return (
        (f"{times}-avg", f"Milliseconds that {what} took, on average.", average("seconds", "count", MS)),
        (f"{times}-max", f"Milliseconds that {what} took, the longest.", peak("slowest", MS)),
        (f"{name}-rate", f"How many of those per second: {what}.", rate("count")),
        (f"{name}-total", f"How many of those: {what}.", total("count")),
    )


_QUESTIONS: dict[str, tuple[str, tuple[Row, ...]]] = {
    "FetchRequest": (FETCHING, _timed("fetch", "a Fetch, which waits at the broker,", "fetch-latency")),
    "HeartbeatRequest": (COORDINATOR, _timed("heartbeat", "a heartbeat", "heartbeat-response-time")),
    "JoinGroupRequest": (COORDINATOR, _timed("join", "a JoinGroup, which waits for all members,", "join-time")),
    "SyncGroupRequest": (COORDINATOR, _timed("sync", "a SyncGroup, which waits for the leader,", "sync-time")),
    "commit": (COORDINATOR, _timed("commit", "a commit, with its repetitions,", "commit-latency")),
}
_OF_CHANGES: tuple[Row, ...] = (
    ("rebalance-total", "Rebalances that changed what is read.", total("rebalances")),
    ("partitions-lost-total", "Partitions that were lost: too late to commit.", total("lost")),
    ("failed-commit-total", "Commits that failed.", total("failed_commits")),
)
