"""What a producer's core tells of itself, and to whom: the metrics, then the hooks."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from kafka.core.events import Listeners

if TYPE_CHECKING:
    from kafka.metrics.producer import ProducerMetrics
    from kafka.producer.config import ProducerConfig
    from kafka.producer.producer import KafkaProducer


def observed(producer: KafkaProducer, config: ProducerConfig) -> tuple[ProducerMetrics | None, Listeners]:
    """The metrics of a producer, None where it is to have none, and what its core is to call."""
    if not config.metrics_enabled and not config.hooks:
        return None, Listeners()
    from kafka.hooks import listeners

    metrics = None
    if config.metrics_enabled:
        from kafka.metrics.producer import ProducerMetrics

        metrics = ProducerMetrics(
            _gauges(producer),
            samples=config.metrics_num_samples,
            window=config.metrics_sample_window_ms / 1000,
            tags={"client-id": config.client_id},
            reporters=[make() for make in config.metric_reporters],
        )
    return metrics, listeners(config.hooks, metrics)


_GAUGES: dict[str, tuple[str, Callable[[KafkaProducer, float], float]]] = {
    "requests-in-flight": (
        "Requests that brokers have not answered.",
        lambda producer, now: sum(health.in_flight for health in producer._core.health(now)),
    ),
    "connection-count": (
        "Connections that are up.",
        lambda producer, now: producer._core.nodes.connection_count(),
    ),
    "metadata-age": (
        "Seconds since the newest metadata came; infinite before.",
        lambda producer, now: now - producer._core.snapshot.time,
    ),
    "buffer-total-bytes": ("buffer_memory.", lambda producer, now: producer._accumulator.memory),
    "buffer-available-bytes": (
        "Bytes of buffer_memory that are free.",
        lambda producer, now: producer._accumulator.memory - producer._accumulator.used,
    ),
}


def _gauges(producer: KafkaProducer) -> dict[str, tuple[str, Callable[[float], float]]]:
    """Metrics that are read off the producer. They must not keep it alive, for reporters keep them."""
    me = weakref.ref(producer)

    def read(look: Callable[[KafkaProducer, float], float]) -> Callable[[float], float]:
        def value(now: float) -> float:
            producer = me()
            return look(producer, now) if producer is not None else float("nan")

        return value

    return {name: (description, read(look)) for name, (description, look) in _GAUGES.items()}
