"""What OpenTelemetry sees of our producer beyond kafka-python's: keyless records and send_many. Prints the spans."""

import json
import sys

from opentelemetry.instrumentation.kafka import KafkaInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kafka import KafkaProducer
from kafka.hooks.opentelemetry import SendManyInstrumentor

bootstrap, topic = sys.argv[1:3]
spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
KafkaInstrumentor().instrument(skip_dep_check=True, tracer_provider=provider)
SendManyInstrumentor().instrument(tracer_provider=provider)
SendManyInstrumentor().instrument(tracer_provider=provider)

producer = KafkaProducer(bootstrap_servers=[bootstrap], linger_ms=5)
right, batches = [], set()
producer.send(topic, b"first").get(10)
spans.clear()
for _ in range(20):
    futures = [producer.send(topic, b"keyless") for _ in range(10)]
    said = [span.attributes.get("messaging.kafka.partition") for span in spans.get_finished_spans()]
    right.append(said == [future.get(10).partition for future in futures])
    batches.add(tuple(sorted(set(said))))
    spans.clear()
headers = [[("mine", b"1")], None]
producer.send_many(topic, [b"a", b"b"], headers=headers).get(10)
producer.send_many(topic, (value for value in (b"c", b"d")), partition=1).get(10)
many = [[span.name, {**span.attributes, "messaging.url": ""}] for span in spans.get_finished_spans()]
spans.clear()
for wrong in (b"bytes", ["text"]):
    try:
        producer.send_many(topic, wrong)
    except TypeError:
        pass
failed = [span.status.status_code.name for span in spans.get_finished_spans()]
SendManyInstrumentor().uninstrument()
spans.clear()
producer.send_many(topic, [b"e"]).get(10)
producer.close()
print(
    json.dumps(
        {
            "right": right,
            "one partition for a batch": max(map(len, batches)),
            "many": many,
            "failed": failed,
            "after": len(spans.get_finished_spans()),
            "headers": headers,
        },
        default=bytes.decode,
    )
)
