"""Hooks that measure with OpenTelemetry; needs `pip install kafka-turbo[opentelemetry]` and an SDK of your choice.

    from kafka.metrics.opentelemetry import OpenTelemetryHooks

    producer = KafkaProducer(hooks=[OpenTelemetryHooks()])

Names follow OpenTelemetry's conventions for messaging where these have one; times are seconds.
"""

from __future__ import annotations

from typing import Any

from kafka.hooks import (
    BatchDelivered,
    BatchFailed,
    BatchRetried,
    BatchSent,
    Connected,
    Disconnected,
    Hooks,
    ResponseReceived,
    Throttled,
)
from kafka.version import __version__

try:
    from opentelemetry.metrics import MeterProvider, get_meter
except ImportError as error:
    raise ImportError(
        "kafka.metrics.opentelemetry needs the package opentelemetry-api: pip install 'kafka-turbo[opentelemetry]'"
    ) from error


class OpenTelemetryHooks(Hooks):
    """A hook that records into instruments of `meter_provider` (None: the global one), a few microseconds a batch.

    messaging.client.sent.messages        counter    records delivered or failed (then with error.type)
    messaging.client.operation.duration   histogram  from a batch's first record to its outcome
    kafka.producer.batch.size             histogram  bytes on the wire
    kafka.producer.queue.duration         histogram  from a batch's first record to its first request
    kafka.producer.retries                counter    records sent again
    kafka.client.request.duration         histogram  from request to answer, by broker and API
    kafka.client.request.throttle         counter    seconds of throttling, by broker
    kafka.client.connections              up-down    connections that are up, by broker
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        meter = get_meter("kafka-turbo", __version__, meter_provider)
        counter, histogram = meter.create_counter, meter.create_histogram
        self._sent = counter("messaging.client.sent.messages", "{message}", "Records with an outcome.")
        self._duration = histogram("messaging.client.operation.duration", "s", "From first record to outcome.")
        self._size = histogram("kafka.producer.batch.size", "By", "Bytes of a batch on the wire.")
        self._queue = histogram("kafka.producer.queue.duration", "s", "From first record to first request.")
        self._retries = counter("kafka.producer.retries", "{message}", "Records sent again.")
        self._requests = histogram("kafka.client.request.duration", "s", "From request to answer.")
        self._throttle = counter("kafka.client.request.throttle", "s", "Time brokers asked for silence.")
        self._connections = meter.create_up_down_counter("kafka.client.connections", "{connection}", "Connections up.")

    def on_batch_sent(self, event: BatchSent) -> None:
        if event.attempt == 1:
            attributes = _destination(event)
            self._size.record(event.bytes, attributes)
            self._queue.record(event.waited, attributes)

    def on_batch_retried(self, event: BatchRetried) -> None:
        self._retries.add(event.records, {**_destination(event), "error.type": type(event.error).__name__})

    def on_batch_delivered(self, event: BatchDelivered) -> None:
        attributes = _destination(event)
        self._sent.add(event.records, attributes)
        self._duration.record(event.seconds, attributes)

    def on_batch_failed(self, event: BatchFailed) -> None:
        attributes = {**_destination(event), "error.type": type(event.error).__name__}
        self._sent.add(event.records, attributes)
        self._duration.record(event.seconds, attributes)

    def on_response(self, event: ResponseReceived) -> None:
        attributes = {**_server(event), "kafka.api": event.api}
        if event.error is not None:
            attributes["error.type"] = type(event.error).__name__
        self._requests.record(event.seconds, attributes)

    def on_throttle(self, event: Throttled) -> None:
        self._throttle.add(event.seconds, _server(event))

    def on_connect(self, event: Connected) -> None:
        self._connections.add(1, _server(event))

    def on_disconnect(self, event: Disconnected) -> None:
        self._connections.add(-1, _server(event))


def _destination(event: Any) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": event.topic,
        "messaging.destination.partition.id": str(event.partition),
    }


def _server(event: Any) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "server.address": event.broker.host,
        "server.port": event.broker.port,
    }
