"""`Metrics`: which metrics there are, and who is told of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafka._log import Log, Repeats, name_of
from kafka.metrics.kafka_metric import KafkaMetric, Measurable
from kafka.metrics.metric_name import MetricName
from kafka.metrics.metrics_reporter import AbstractMetricsReporter

log = Log("kafka.metrics")


class Metrics:
    """A registry of metrics. Thread-safe."""

    def __init__(
        self, tags: Mapping[str, Any] | None = None, reporters: Sequence[AbstractMetricsReporter] = ()
    ) -> None:
        self._tags = dict(tags or {})
        self._lock = threading.RLock()  # a reporter may look while it is told
        self._metrics: dict[MetricName, KafkaMetric] = {}
        self._reporters = list(reporters)
        self._repeats = Repeats()
        for reporter in self._reporters:
            reporter.init([])

    @property
    def metrics(self) -> dict[MetricName, KafkaMetric]:
        """Those there are now."""
        with self._lock:
            return self._metrics.copy()

    def metric_name(
        self, name: str, group: str, description: str = "", tags: Mapping[str, Any] | None = None
    ) -> MetricName:
        """A name with the registry's own tags in addition."""
        return MetricName(name, group, description, {**self._tags, **(tags or {})})

    def add_metric(self, metric_name: MetricName, measurable: Measurable, config: Any = None) -> None:
        metric = KafkaMetric(metric_name, measurable, config)
        with self._lock:
            if metric_name in self._metrics:
                raise ValueError(f"There is a metric of this name already: {metric_name}.")
            self._metrics[metric_name] = metric
            for reporter in self._reporters:
                self._tell(reporter.metric_change, metric)

    def remove_metric(self, metric_name: MetricName) -> KafkaMetric | None:
        with self._lock:
            metric = self._metrics.pop(metric_name, None)
            if metric is not None:
                for reporter in self._reporters:
                    self._tell(reporter.metric_removal, metric)
            return metric

    def add_reporter(self, reporter: AbstractMetricsReporter) -> None:
        with self._lock:
            reporter.init(list(self._metrics.values()))
            self._reporters.append(reporter)

    def close(self) -> None:
        """Tells the reporters, once. The metrics stay as they are."""
        with self._lock:
            reporters, self._reporters = self._reporters, []
        for reporter in reporters:
            self._tell(reporter.close)

    def _tell(self, method: Callable[..., Any], *args: Any) -> None:
        """What a reporter raises goes to the log, and no further: records are not to wait for it."""
        try:
            method(*args)
        except Exception:
            left_out = self._repeats.due(name_of(method))
            if left_out is not None:
                log.exception("the metrics reporter's %s raised%s", name_of(method), left_out)

    def after_fork(self) -> None:
        """In the child: whoever held the lock is not here any more."""
        self._lock = threading.RLock()
