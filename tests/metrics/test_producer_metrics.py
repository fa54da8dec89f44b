"""What the events come to, and which names there are: kafka-python's, compared with those of its release 3.0.12."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from kafka.metrics import AbstractMetricsReporter, DictReporter, KafkaMetric, MetricName, Metrics
from kafka.metrics.producer import ProducerMetrics
from kafka.protocol import MetadataRequest
from tests.metrics.measured import BROKER, a_batch, measured

# What `KafkaProducer.metrics()` of kafka-python 3.0.12 has once it has produced to topic t on broker 0.
KAFKA_PYTHONS = {
    "kafka-metrics-count": {"count"},
    "producer-metrics": {
        "batch-size-avg", "batch-size-max", "byte-rate", "compression-rate-avg", "connection-close-rate",
        "connection-count", "connection-creation-rate", "incoming-byte-rate", "metadata-age", "network-io-rate",
        "outgoing-byte-rate", "record-error-rate", "record-queue-time-avg", "record-queue-time-max",
        "record-retry-rate", "record-send-rate", "record-size-avg", "record-size-max", "records-per-request-avg",
        "request-latency-avg", "request-latency-max", "request-rate", "request-size-avg", "request-size-max",
        "requests-in-flight", "response-rate", "throttle-time-avg", "throttle-time-max",
    },
    "producer-topic-metrics.t": {
        "byte-rate", "compression-rate", "record-error-rate", "record-retry-rate", "record-send-rate",
    },
    "producer-node-metrics.node-0": {
        "incoming-byte-rate", "outgoing-byte-rate", "request-latency-avg", "request-latency-max", "request-rate",
        "request-size-avg", "request-size-max", "response-rate", "throttle-time-avg", "throttle-time-max",
    },
}  # fmt: skip
# Their meaning would need the largest record of each batch.
MISSING = {("producer-metrics", "record-size-max")}


def test_every_name_of_kafka_python_is_there() -> None:
    values = measured().values(110.0)
    missing = {(group, name) for group, names in KAFKA_PYTHONS.items() for name in names - values[group].keys()}
    assert missing == MISSING
    assert values.keys() == KAFKA_PYTHONS.keys()


def test_what_the_events_come_to() -> None:
    values = measured().values(110.0)
    window = 30 + 10  # seconds: of the last two windows of 30 s, the second is 10 s old

    def check(group: str, **expected: float) -> None:
        found = {name: values[group][name.replace("_", "-")] for name in expected}
        assert found == pytest.approx(expected)

    check(
        "producer-metrics",
        record_send_rate=200 / window,
        record_send_total=200,
        byte_rate=15_000 / window,
        byte_total=15_000,
        compression_rate_avg=0.5,
        batch_size_avg=5000,
        batch_size_max=5000,
        record_size_avg=150,
        record_queue_time_avg=10,
        record_queue_time_max=15,
        records_per_request_avg=100,
        record_retry_rate=50 / window,
        record_retry_total=50,
        record_error_rate=50 / window,
        record_error_total=50,
        request_rate=3 / window,
        request_total=3,
        response_total=2,
        network_io_rate=5 / window,
        request_size_avg=15_250 / 3,
        request_size_max=10_100,
        incoming_byte_total=300,
        request_latency_avg=20,
        request_latency_max=30,
        throttle_time_avg=250,
        throttle_time_max=500,
        produce_throttle_time_max=500,
        connection_creation_total=1,
        connection_close_total=1,
    )
    check("producer-topic-metrics.t", record_send_total=200, record_retry_total=50, compression_rate=0.5)
    check("producer-node-metrics.node-0", request_total=3, response_total=2, request_latency_max=30)
    count = sum(map(len, values.values()))
    assert values["kafka-metrics-count"] == {"count": count}


def test_no_throttling_is_0_and_not_nothing() -> None:
    metrics = ProducerMetrics({})
    metrics.response(BROKER, MetadataRequest, 12, 200, 0.010, None, 100.01)
    assert metrics.values(101.0)["producer-metrics"]["throttle-time-max"] == 0


def test_bootstrap_addresses_are_named_as_in_kafka_python() -> None:
    metrics = ProducerMetrics({})
    metrics.request(SimpleNamespace(id=-1), MetadataRequest, 12, 50, 100.0)
    assert "producer-node-metrics.node-bootstrap-0" in metrics.values(100.0)


def test_raw_metrics_and_their_tags() -> None:
    metrics = measured(tags={"client-id": "me"}).metrics()
    found = [name for name in metrics if (name.name, name.group) == ("record-send-total", "producer-topic-metrics.t")]
    assert found == [MetricName("record-send-total", "producer-topic-metrics.t", tags={"client-id": "me"})]
    assert isinstance(metrics[found[0]], KafkaMetric)
    assert metrics[found[0]].value() == 200
    assert found[0].description


def test_one_sample_and_short_windows() -> None:
    metrics = ProducerMetrics({}, samples=1, window=2.0)
    now = float(round(time.monotonic()))  # so that sums are exact
    metrics.batches_sent(a_batch(0, 100, 5000, 20_000, 1, created=now - 1.0 - 0.005), now - 1.0)
    metrics.batches_sent(a_batch(0, 100, 5000, 20_000, 1, created=now - 0.005), now)
    assert metrics.values(now + 0.5)["producer-metrics"]["record-send-rate"] == pytest.approx(200 / 1.5)
    assert metrics.values(now + 1.0)["producer-metrics"]["record-send-rate"] == 0


def test_a_reporter_is_told_of_new_metrics_at_once() -> None:
    reporter = DictReporter("mine")
    metrics = ProducerMetrics({}, tags={"client-id": "me"}, reporters=[reporter])
    assert "mine.producer-metrics.client-id=me" in reporter.snapshot()
    metrics.batches_sent(a_batch(0, 100, 5000, 20_000, 1, created=time.monotonic() - 0.005), time.monotonic())
    assert reporter.snapshot()["mine.producer-topic-metrics.t.client-id=me"]["record-send-total"] == 100


def test_the_registry() -> None:
    told: list[tuple[str, Any]] = []

    class Reporter(AbstractMetricsReporter):
        def init(self, metrics: Any) -> None:
            told.append(("init", [metric.metric_name.name for metric in metrics]))

        def metric_change(self, metric: KafkaMetric) -> None:
            told.append(("change", metric.metric_name.name))

        def metric_removal(self, metric: KafkaMetric) -> None:
            told.append(("removal", metric.metric_name.name))

        def configure(self, configs: Any) -> None: ...

        def close(self) -> None:
            told.append(("close", None))

    metrics = Metrics({"a": 1}, [Reporter()])
    name = metrics.metric_name("n", "g", "what it is", {"b": 2})
    assert (name.tags, name.description) == ({"a": 1, "b": 2}, "what it is")
    metrics.add_metric(name, SimpleNamespace(measure=lambda config, now: now))
    assert metrics.metrics[name].value(5.0) == 5.0
    with pytest.raises(ValueError, match="already"):
        metrics.add_metric(name, SimpleNamespace(measure=lambda config, now: now))
    metrics.add_reporter(Reporter())
    assert metrics.remove_metric(name) is not None
    assert metrics.remove_metric(name) is None
    metrics.close()
    metrics.close()
    assert told == [
        ("init", []), ("change", "n"), ("init", ["n"]), ("removal", "n"), ("removal", "n"), ("close", None),
        ("close", None),
    ]  # fmt: skip


@pytest.mark.parametrize("other", [("m", "g", {}), ("n", "h", {}), ("n", "g", {"a": 1})])
def test_names_differ_by_name_group_and_tags(other: Any) -> None:
    assert MetricName("n", "g", "x", {}) == MetricName("n", "g", "y", {})
    assert len({MetricName("n", "g", "x", {}), MetricName("n", "g", "y", {})}) == 1
    assert MetricName("n", "g", tags={}) != MetricName(other[0], other[1], tags=other[2])
    with pytest.raises(ValueError):
        MetricName("", "g")
