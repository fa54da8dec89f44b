"""`KafkaMetric`: a named value that can be asked for."""

from __future__ import annotations

import time
from typing import Any, Protocol

from kafka.metrics.metric_name import MetricName


class Measurable(Protocol):
    def measure(self, config: Any, now: float) -> float:
        """The value at `now`, in milliseconds of the producer's clock (CLOCK_MONOTONIC)."""


class KafkaMetric:
    __slots__ = ("_metric_name", "_measurable", "config")

    def __init__(self, metric_name: MetricName, measurable: Measurable, config: Any) -> None:
        self._metric_name = metric_name
        self._measurable = measurable
        self.config = config

    @property
    def metric_name(self) -> MetricName:
        return self._metric_name

    @property
    def measurable(self) -> Measurable:
        return self._measurable

    def value(self, time_ms: float | None = None) -> float:
        """The value now, or at `time_ms` (milliseconds, as `time.monotonic() * 1000`)."""
        return self._measurable.measure(self.config, time.monotonic() * 1000 if time_ms is None else time_ms)
