"""A span for each `send_many`, which OpenTelemetry's own instrumentor for kafka-python does not know.

    from kafka.hooks.opentelemetry import SendManyInstrumentor

    KafkaInstrumentor().instrument(...)  # of opentelemetry-instrumentation-kafka-python: a span for each send
    SendManyInstrumentor().instrument()

Needs `pip install kafka-turbo[opentelemetry]`. Under the command `opentelemetry-instrument` nothing need be called.
"""

from __future__ import annotations

import json
from functools import wraps
from typing import Any

from kafka._codec import as_rows
from kafka.producer.kafka import KafkaProducer
from kafka.version import __version__


class SendManyInstrumentor:
    """Wraps `KafkaProducer.send_many`: one span a call, its context in the headers of every record.

    Its name and attributes are those that OpenTelemetry's instrumentor gives the spans of `send`, and
    messaging.batch.message_count.
    """

    def instrument(self, *, tracer_provider: Any = None, **others: Any) -> None:
        """Trace from now on; a second time does nothing. `others`, options of other instrumentors, mean nothing here.

        Raises ImportError without the package opentelemetry-api.
        """
        if not hasattr(KafkaProducer.send_many, "_untraced"):
            KafkaProducer.send_many = _traced(KafkaProducer.send_many, tracer_provider)  # type: ignore[method-assign]

    def uninstrument(self, **others: Any) -> None:
        """Trace no longer."""
        if hasattr(KafkaProducer.send_many, "_untraced"):
            KafkaProducer.send_many = KafkaProducer.send_many._untraced  # type: ignore[method-assign]


def _traced(plain: Any, tracer_provider: Any) -> Any:
    try:
        from opentelemetry import propagate, trace
    except ImportError as error:
        raise ImportError(
            "SendManyInstrumentor needs the package opentelemetry-api: pip install 'kafka-turbo[opentelemetry]'"
        ) from error
    tracer = trace.get_tracer("kafka-turbo", __version__, tracer_provider)

    @wraps(plain)
    def send_many(
        self: Any,
        topic: str,
        values: Any,
        keys: Any = None,
        headers: Any = None,
        timestamps: Any = None,
        partition: int | None = None,
    ) -> Any:
        if not hasattr(values, "__len__"):
            rows = as_rows(values, "values") if self.config["value_serializer"] is None else None
            values = list(values) if rows is None else rows
        with tracer.start_as_current_span(f"{topic} send", kind=trace.SpanKind.PRODUCER) as span:
            context: dict[str, str] = {}
            propagate.inject(context)
            added = [(key, value.encode()) for key, value in context.items()]
            if added:
                own = [None] * len(values) if headers is None else headers
                headers = [added if not each else [*each, *added] for each in own]
            if span.is_recording():
                span.set_attribute("messaging.system", "kafka")
                span.set_attribute("messaging.destination", topic)
                span.set_attribute("messaging.url", json.dumps(self.config["bootstrap_servers"]))
                span.set_attribute("messaging.batch.message_count", len(values))
                if partition is not None:
                    span.set_attribute("messaging.kafka.partition", partition)
            return plain(self, topic, values, keys, headers, timestamps, partition)

    send_many._untraced = plain  # type: ignore[attr-defined]
    return send_many
