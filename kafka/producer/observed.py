"""What a producer measures beside what any client does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafka.metrics.producer import ProducerMetrics
    from kafka.producer.producer import KafkaProducer


def metrics_class() -> type[ProducerMetrics]:
    from kafka.metrics.producer import ProducerMetrics

    return ProducerMetrics


GAUGES: dict[str, tuple[str, Callable[[KafkaProducer, float], float]]] = {
    "buffer-total-bytes": ("buffer_memory.", lambda producer, now: producer._accumulator.memory),
    "buffer-available-bytes": (
        "Bytes of buffer_memory that are free.",
        lambda producer, now: producer._accumulator.memory - producer._accumulator.used,
    ),
}
