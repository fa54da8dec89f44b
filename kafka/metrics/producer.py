"""What one producer measures besides: its batches. It is told once for each batch, never for a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kafka.metrics.client import MS, OF_TRAFFIC, ClientMetrics, Row, average, peak, rate, total
from kafka.metrics.series import Series

if TYPE_CHECKING:
    from kafka._codec import Batch
    from kafka.core.produce.partitions import Partition
    from kafka.errors import KafkaError


class Sent(Series):
    """Batches of one topic, or of all."""

    SUMS = ("batches", "records", "bytes", "plain", "first_sent", "waited", "retries", "errors", "requests")
    PEAKS = ("largest", "longest_wait")
    __slots__ = (*SUMS, *PEAKS)

    batches: int
    records: int
    bytes: int
    plain: int  # bytes before compression
    first_sent: int  # batches
    waited: float  # of those
    retries: int  # records
    errors: int  # records
    requests: int
    largest: float
    longest_wait: float


class ProducerMetrics(ClientMetrics):
    """The metrics of one producer."""

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[float], float]]], **options: Any) -> None:
        super().__init__("producer", gauges, **options)
        self._all = Sent(self._samples, self._window)
        self._topics: dict[str, Sent] = {}
        self._register_all("producer-metrics", _OF_ALL_BATCHES, lambda: (self._all,))
        self._register_all("producer-metrics", _OF_PRODUCE, self._traffic)

    # -- what the core tells -----------------------------------------------------------------------------------------

    def batches_sent(self, sent: Mapping[Partition, Batch], now: float) -> None:
        overall = self._all
        if now >= overall.ends:
            overall.advance(now)
        topics = self._topics
        for partition, batch in sent.items():
            name = partition.topic.name
            topic = topics.get(name) or self._topic(name)
            if now >= topic.ends:
                topic.advance(now)
            records, size = batch.records, batch.size
            plain = batch.plain or size
            topic.records += records
            topic.bytes += size
            topic.plain += plain
            overall.records += records
            overall.bytes += size
            overall.plain += plain
            if size > overall.largest:
                overall.largest = size
            if batch.attempts == 1:
                waited = now - batch.created
                overall.first_sent += 1
                overall.waited += waited
                if waited > overall.longest_wait:
                    overall.longest_wait = waited
        overall.batches += len(sent)
        overall.requests += 1

    def batch_retried(
        self, topic: str, partition: int, records: int, size: int, attempts: int, error: KafkaError, now: float
    ) -> None:
        for series in (self._topics.get(topic) or self._topic(topic), self._all):
            if now >= series.ends:
                series.advance(now)
            series.retries += records

    def batch_failed(
        self, topic: str, partition: int, records: int, size: int, seconds: float, error: BaseException, now: float
    ) -> None:
        for series in (self._topics.get(topic) or self._topic(topic), self._all):
            if now >= series.ends:
                series.advance(now)
            series.errors += records

    def _topic(self, topic: str) -> Sent:
        series = self._topics[topic] = Sent(self._samples, self._window)
        self._announce(f"producer-topic-metrics.{topic}", series, _OF_A_TOPIC)
        return series


_OF_A_TOPIC: tuple[Row, ...] = (
    ("record-send-rate", "Records sent per second, repetitions included.", rate("records")),
    ("record-send-total", "Records sent, repetitions included.", total("records")),
    ("byte-rate", "Bytes of batches sent per second, as on the wire.", rate("bytes")),
    ("byte-total", "Bytes of batches sent, as on the wire.", total("bytes")),
    ("compression-rate", "Bytes after compression for each byte before.", average("bytes", "plain")),
    ("record-retry-rate", "Records that had to be sent again per second.", rate("retries")),
    ("record-retry-total", "Records that had to be sent again.", total("retries")),
    ("record-error-rate", "Records that failed for good per second.", rate("errors")),
    ("record-error-total", "Records that failed for good.", total("errors")),
)
_OF_ALL_BATCHES: tuple[Row, ...] = (
    *(entry for entry in _OF_A_TOPIC if entry[0] != "compression-rate"),
    ("compression-rate-avg", "Bytes after compression for each byte before.", average("bytes", "plain")),
    ("batch-size-avg", "Bytes of a batch on the wire, on average.", average("bytes", "batches")),
    ("batch-size-max", "Bytes of the largest batch on the wire.", peak("largest")),
    ("record-size-avg", "Bytes of a record before compression, on average.", average("plain", "records")),
    (
        "record-queue-time-avg",
        "Milliseconds batches waited to be sent, on average.",
        average("waited", "first_sent", MS),
    ),
    ("record-queue-time-max", "Milliseconds the longest-waiting batch waited to be sent.", peak("longest_wait", MS)),
    ("records-per-request-avg", "Records in a produce request, on average.", average("records", "requests")),
)
# Java's names for what kafka-python calls throttle-time.
_OF_PRODUCE: tuple[Row, ...] = tuple(
    (f"produce-{name}", description, make) for name, description, make in OF_TRAFFIC if "throttle" in name
)
