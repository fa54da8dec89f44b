"""The adapters with the libraries themselves, and what is said where these are missing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from kafka import hooks
from kafka.errors import KafkaTimeoutError
from kafka.metrics.opentelemetry import OpenTelemetryHooks
from kafka.metrics.producer import ProducerMetrics
from kafka.metrics.prometheus import ProducerCollector
from tests.metrics.measured import GAUGES, measured

BROKER = hooks.Broker(0, "kafka1", 9092)


class Producer:
    """As much of a producer as the collector asks for."""

    _closed = False

    def __init__(self, metrics: ProducerMetrics | None) -> None:
        self.measured = metrics

    def metrics(self, raw: bool = False) -> Any:
        assert raw
        return None if self.measured is None else self.measured.metrics()


def test_prometheus() -> None:
    registry = CollectorRegistry()
    collector = ProducerCollector(registry)
    one, other = Producer(measured(tags={"client-id": "one"})), Producer(measured(tags={"client-id": "other"}))
    silent = Producer(None)
    for producer in (one, other, silent):
        collector.add(producer)  # type: ignore[arg-type]
    text = generate_latest(registry).decode()
    for client in ("one", "other"):
        assert f'kafka_producer_record_send_total{{client_id="{client}"}} 200.0' in text
        assert f'kafka_producer_topic_record_retry_total{{client_id="{client}",topic="t"}} 50.0' in text
        assert f'kafka_producer_node_request_total{{client_id="{client}",node="0"}} 3.0' in text
    assert text.count("# TYPE kafka_producer_record_send_total counter") == 1
    assert "# TYPE kafka_producer_batch_size_max gauge" in text
    assert f"# HELP kafka_producer_metadata_age {GAUGES['metadata-age'][0]}" in text
    assert "metrics_count" not in text
    del other, producer
    assert 'client_id="other"' not in generate_latest(registry).decode()


def test_opentelemetry() -> None:
    reader = InMemoryMetricReader()
    hook = OpenTelemetryHooks(MeterProvider([reader]))
    error = KafkaTimeoutError("late")
    hook.on_connect(hooks.Connected(BROKER, 0.1))
    hook.on_connect(hooks.Connected(BROKER, 0.1))
    hook.on_disconnect(hooks.Disconnected(BROKER, None))
    hook.on_batch_sent(hooks.BatchSent("t", 1, 100, 5000, 20_000, 0.25, 1))
    hook.on_batch_sent(hooks.BatchSent("t", 1, 100, 5000, 20_000, 0.75, 2))
    hook.on_batch_retried(hooks.BatchRetried("t", 1, 100, 5000, 1, error))
    hook.on_batch_delivered(hooks.BatchDelivered("t", 1, 100, 5000, 0.5, 7))
    hook.on_batch_failed(hooks.BatchFailed("t", 1, 30, 5000, 120.0, error))
    hook.on_response(hooks.ResponseReceived(BROKER, "Produce", 12, 100, 0.125, None))
    hook.on_throttle(hooks.Throttled(BROKER, 1.5))
    found: dict[str, list[Any]] = {}
    for resource in reader.get_metrics_data().resource_metrics:  # type: ignore[union-attr]
        for scope in resource.scope_metrics:
            assert scope.scope.name == "kafka-turbo"
            found.update({metric.name: list(metric.data.data_points) for metric in scope.metrics})
    destination = {
        "messaging.system": "kafka", "messaging.operation.name": "send", "messaging.operation.type": "send",
        "messaging.destination.name": "t", "messaging.destination.partition.id": "1",
    }  # fmt: skip
    server = {"messaging.system": "kafka", "server.address": "kafka1", "server.port": 9092}
    assert [(dict(point.attributes), point.value) for point in found["messaging.client.sent.messages"]] == [
        (destination, 100),
        ({**destination, "error.type": "KafkaTimeoutError"}, 30),
    ]
    assert [point.sum for point in found["messaging.client.operation.duration"]] == [0.5, 120.0]
    assert [(point.sum, point.count) for point in found["kafka.producer.queue.duration"]] == [(0.25, 1)]
    assert [point.sum for point in found["kafka.producer.batch.size"]] == [5000]
    assert [point.value for point in found["kafka.producer.retries"]] == [100]
    assert [(dict(point.attributes), point.value) for point in found["kafka.client.connections"]] == [(server, 1)]
    assert [(dict(point.attributes), point.sum) for point in found["kafka.client.request.duration"]] == [
        ({**server, "kafka.api": "Produce"}, 0.125)
    ]
    assert [point.value for point in found["kafka.client.request.throttle"]] == [1.5]
    assert len(found) == 8


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [("prometheus", "prometheus_client", "prometheus"), ("opentelemetry", "opentelemetry", "opentelemetry")],
)
def test_a_missing_library_is_named_with_its_extra(module: str, library: str, extra: str) -> None:
    program = (
        f"import sys; sys.modules[{library!r}] = None\n"
        f"try:\n    import kafka.metrics.{module}\n"
        "except ImportError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert f"pip install 'kafka-turbo[{extra}]'" in said


def test_nothing_but_the_adapters_loads_the_libraries() -> None:
    program = (
        "import sys, kafka.producer.producer, kafka.hooks, kafka.metrics.producer\n"
        "assert not {'prometheus_client', 'opentelemetry'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
