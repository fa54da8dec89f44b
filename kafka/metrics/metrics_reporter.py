"""`AbstractMetricsReporter`: what `metric_reporters` takes subclasses of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from kafka.metrics.kafka_metric import KafkaMetric


class AbstractMetricsReporter(ABC):
    """Is told which metrics there are, and asks them for their values whenever it likes, on any thread.

    The producer makes one of each class in `metric_reporters`, without arguments. `metric_change` may be called on the
    producer's IO thread.
    """

    @abstractmethod
    def init(self, metrics: Sequence[KafkaMetric]) -> None:
        """The metrics there are at the start."""

    @abstractmethod
    def metric_change(self, metric: KafkaMetric) -> None:
        """There is one more."""

    @abstractmethod
    def metric_removal(self, metric: KafkaMetric) -> None:
        """There is one less."""

    @abstractmethod
    def configure(self, configs: Mapping[str, Any]) -> None:
        """Never called; part of the interface for the sake of classes that have it."""

    @abstractmethod
    def close(self) -> None:
        """The producer has been closed."""
