"""What a producer measures, under kafka-python's names; `KafkaProducer.metrics()` shows it.

Here is what a metrics reporter meets. Adapters: `kafka.metrics.prometheus`, `kafka.metrics.opentelemetry`.
"""

from kafka.metrics.dict_reporter import DictReporter
from kafka.metrics.kafka_metric import KafkaMetric
from kafka.metrics.metric_name import MetricName
from kafka.metrics.metrics import Metrics
from kafka.metrics.metrics_reporter import AbstractMetricsReporter

__all__ = ["AbstractMetricsReporter", "DictReporter", "KafkaMetric", "MetricName", "Metrics"]
