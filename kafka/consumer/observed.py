"""What a consumer measures beside what any client does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafka.consumer.consumer import KafkaConsumer
    from kafka.metrics.consumer import ConsumerMetrics


def metrics_class() -> type[ConsumerMetrics]:
    from kafka.metrics.consumer import ConsumerMetrics

    return ConsumerMetrics


def _largest_lag(consumer: KafkaConsumer) -> float:
    read_committed = consumer._checked.isolation_level == 1
    lags = []
    for position in list(consumer._positions.values()):
        end = position.last_stable if read_committed else position.high_watermark
        if end >= 0 and position.offset >= 0:
            lags.append(end - position.offset)
    return max(lags, default=float("-inf"))


GAUGES: dict[str, tuple[str, Callable[[KafkaConsumer, float], float]]] = {
    "fetch-buffer-total-bytes": ("fetch_buffer_bytes.", lambda consumer, now: consumer._fetch.config.buffer_bytes),
    "fetch-buffer-available-bytes": (
        "Bytes of fetch_buffer_bytes that are free.",
        lambda consumer, now: consumer._fetch.config.buffer_bytes - consumer._fetch.used,
    ),
    "last-poll-seconds-ago": (
        "Seconds since records were last asked for.",
        lambda consumer, now: now - consumer._last_polled(now),
    ),
    "records-lag-max": (
        "Records that the partition furthest behind has beyond what was read; -inf: not known of any.",
        lambda consumer, now: _largest_lag(consumer),
    ),
    "assigned-partitions": ("Partitions that are read.", lambda consumer, now: len(consumer._positions)),
}
