"""`DictReporter`: all metrics in a dict of dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka.metrics.kafka_metric import KafkaMetric
from kafka.metrics.metrics_reporter import AbstractMetricsReporter


class DictReporter(AbstractMetricsReporter):
    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix or ""
        self._store: dict[str, dict[str, KafkaMetric]] = {}

    def snapshot(self) -> dict[str, dict[str, float]]:
        """The values now: {category: {name: value}}."""
        return {
            category: {name: metric.value() for name, metric in metrics.copy().items()}
            for category, metrics in self._store.copy().items()
        }

    def init(self, metrics: Sequence[KafkaMetric]) -> None:
        for metric in metrics:
            self.metric_change(metric)

    def metric_change(self, metric: KafkaMetric) -> None:
        self._store.setdefault(self.get_category(metric), {})[metric.metric_name.name] = metric

    def metric_removal(self, metric: KafkaMetric) -> KafkaMetric | None:  # type: ignore[override]
        category = self.get_category(metric)
        metrics = self._store.get(category, {})
        removed = metrics.pop(metric.metric_name.name, None)
        if not metrics:
            self._store.pop(category, None)
        return removed

    def get_category(self, metric: KafkaMetric) -> str:
        """The prefix, the metric's group and its tags, as in "prefix.group.a=1,b=2"."""
        tags = ",".join(f"{key}={value}" for key, value in sorted((metric.metric_name.tags or {}).items()))
        return ".".join(part for part in (self._prefix, metric.metric_name.group, tags) if part)

    def configure(self, configs: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...
