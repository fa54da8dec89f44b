"""Producers' metrics for Prometheus; needs `pip install kafka-turbo[prometheus]`.

    from kafka.metrics.prometheus import ProducerCollector

    collector = ProducerCollector()  # registers itself with prometheus_client.REGISTRY
    collector.add(producer)

Every metric of `KafkaProducer.metrics()` appears as kafka_producer_NAME, with hyphens as underscores and the label
client_id; those of a topic as kafka_producer_topic_NAME with the label topic too, those of a broker as
kafka_producer_node_NAME with the label node. Totals are counters, all others gauges. They are read when Prometheus
asks, and cost the producer nothing in between.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

try:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
except ImportError as error:
    raise ImportError(
        "kafka.metrics.prometheus needs the package prometheus-client: pip install 'kafka-turbo[prometheus]'"
    ) from error

if TYPE_CHECKING:
    from kafka.metrics.metric_name import MetricName
    from kafka.producer import KafkaProducer

Family = CounterMetricFamily | GaugeMetricFamily


class ProducerCollector:
    """All producers of one process: a registry takes each metric's name from one collector only.

    A producer that is closed, or gone, is left out from then on.
    """

    def __init__(self, registry: CollectorRegistry | None = REGISTRY) -> None:
        self._producers: weakref.WeakSet[KafkaProducer] = weakref.WeakSet()
        if registry is not None:
            registry.register(self)

    def add(self, producer: KafkaProducer) -> None:
        """Show this producer's metrics; those of one with metrics_enabled=False stay away."""
        self._producers.add(producer)

    def describe(self) -> list[Family]:
        return []  # so that registering does not collect

    def collect(self) -> Iterator[Family]:
        families: dict[str, Family] = {}
        for producer in [producer for producer in self._producers if not producer._closed]:
            for name, metric in (producer.metrics(raw=True) or {}).items():
                if name.group != "kafka-metrics-count":
                    self._sample(families, name, metric.value())
        yield from families.values()

    def _sample(self, families: dict[str, Family], name: MetricName, value: float) -> None:
        kind, _, which = name.group.partition(".")
        scope = kind.removesuffix("-metrics").replace("-", "_")  # producer, producer_topic, producer_node
        labels = {"client_id": str((name.tags or {}).get("client-id", ""))}
        if which:
            if scope.endswith("topic"):
                labels["topic"] = which
            else:
                labels["node"] = which.removeprefix("node-")
        full = f"kafka_{scope}_{name.name.replace('-', '_')}"
        family = families.get(full)
        if family is None:
            make = CounterMetricFamily if full.endswith("_total") else GaugeMetricFamily
            family = families[full] = make(full, name.description or full, labels=list(labels))
        family.add_metric(list(labels.values()), value)
