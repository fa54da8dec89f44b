"""A program as OpenTelemetry's users write it: instrument, produce, then consume. Prints the spans of consuming."""

from common import bootstrap, report, topic
from opentelemetry.instrumentation.kafka import KafkaInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kafka import KafkaConsumer, KafkaProducer

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
hooked = []


def hook(span, record, args, kwargs):
    hooked.append([record.offset, len(args), sorted(kwargs)])
    span.set_attribute("from_hook", "yes")


instrumentor = KafkaInstrumentor()
instrumentor.instrument(skip_dep_check=True, tracer_provider=provider, consume_hook=hook)
producer = KafkaProducer(bootstrap_servers=[bootstrap])
producer.send(topic, b"traced", partition=0).get(20)
producer.close()
consumer = KafkaConsumer(
    topic,
    bootstrap_servers=[bootstrap],
    group_id=f"group-{topic}",
    auto_offset_reset="earliest",
    consumer_timeout_ms=20000,
)
first = next(consumer)
instrumentor.uninstrument()
consumer.close()

sent, read = spans.get_finished_spans()
report(
    span=[read.name, read.kind.name, {k: str(v).replace(bootstrap, "SERVER") for k, v in read.attributes.items()}],
    same_trace=sent.context.trace_id == read.context.trace_id,
    hooked=hooked,
    value=first.value.decode(),
    headers=[key for key, _ in first.headers],
    log=None,
)
