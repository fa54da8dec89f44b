"""Metrics of a producer that never was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kafka.errors import NotLeaderForPartitionError
from kafka.metrics.producer import ProducerMetrics
from kafka.protocol import MetadataRequest, ProduceRequest

GAUGES = {name: ("", lambda now: 0.0) for name in ("connection-count", "metadata-age", "requests-in-flight")}


class Place:
    topic = SimpleNamespace(name="t")


BROKER: Any = SimpleNamespace(id=0)
ERROR = NotLeaderForPartitionError()


def a_batch(partition: int, records: int, size: int, plain: int, attempts: int, created: float) -> Any:
    """One batch for topic t, as the produce path hands over those of a request."""
    batch = SimpleNamespace(
        topic="t", partition=partition, records=records, size=size, plain=plain, attempts=attempts, created=created
    )
    return {Place(): batch}


def measured(**options: Any) -> ProducerMetrics:
    """One producer's life of 10 seconds: two batches, one of them sent twice, one refused, four requests."""
    metrics = ProducerMetrics(GAUGES, **options)
    metrics.connected(BROKER, 0.1, 100.0)
    metrics.request(BROKER, MetadataRequest, 12, 50, 100.0)
    metrics.response(BROKER, MetadataRequest, 12, 200, 0.010, None, 100.01)
    first = a_batch(0, 100, 5000, 20_000, 1, created=100.0 - 0.005)
    metrics.batches_sent({**first, **a_batch(1, 50, 5000, 0, 1, created=100.0 - 0.015)}, 100.0)
    metrics.request(BROKER, ProduceRequest, 12, 10_100, 100.0)
    metrics.response(BROKER, ProduceRequest, 12, 100, 0.030, None, 100.03)
    metrics.throttled(BROKER, 0.5, 100.03)
    metrics.batch_retried("t", 1, 50, 5000, 1, ERROR, 100.03)
    metrics.batches_sent(a_batch(1, 50, 5000, 0, 2, created=101.0 - 0.5), 101.0)
    metrics.request(BROKER, ProduceRequest, 12, 5100, 101.0)
    metrics.response(BROKER, ProduceRequest, 12, 0, 9.0, ERROR, 110.0)  # lost
    metrics.disconnected(BROKER, ERROR, 110.0)
    metrics.batch_failed("t", 1, 50, 5000, 10.0, ERROR, 110.0)
    return metrics
