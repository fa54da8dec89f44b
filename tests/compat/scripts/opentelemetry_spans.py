"""A program as OpenTelemetry's users write it: instrument, then produce. Prints the spans."""

import sys

from common import bootstrap, report, topic
from opentelemetry import trace
from opentelemetry.instrumentation.kafka import KafkaInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kafka import KafkaProducer

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
hooked = []


def hook(span, args, kwargs):
    hooked.append([len(args), sorted(kwargs)])
    span.set_attribute("from_hook", "yes")


instrumentor = KafkaInstrumentor()
if "checked" in sys.argv:
    instrumentor.instrument(tracer_provider=provider, produce_hook=hook)
else:
    instrumentor.instrument(skip_dep_check=True, tracer_provider=provider, produce_hook=hook)

servers = [bootstrap]
producer = KafkaProducer(bootstrap_servers=servers, value_serializer=str.encode)
tracer = trace.get_tracer("test", tracer_provider=provider)
with tracer.start_as_current_span("outer"):
    producer.send(topic, "plain", partition=0).get(20)
headers = [("mine", b"1")]
producer.send(topic, "with headers", None, headers, 1).get(20)
producer.send(topic, value="keyed", key=b"k", headers=[]).get(20)
instrumentor.uninstrument()
producer.send(topic, "not traced", partition=2).get(20)
producer.close()

finished = spans.get_finished_spans()
report(
    spans=[
        [span.name, span.kind.name, {k: str(v).replace(bootstrap, "SERVER") for k, v in span.attributes.items()}]
        for span in finished
    ],
    child=any(span.parent is not None for span in finished),
    headers=[key for key, _ in headers],
    hooked=hooked,
)
