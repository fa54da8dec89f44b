"""Instana: `import instana` patches, and its spans are read from its recorder."""

import no_network  # noqa: F401, I001 - before anything else

import json
import sys

import instana  # noqa: F401
from instana.singletons import agent, get_tracer

from kafka import KafkaConsumer, KafkaProducer

tracer = get_tracer()
recorder = tracer.span_processor
recorder.clear_spans()
agent.can_send = lambda: True  # there is none on this machine
agent.get_from_structure = dict
bootstrap, topic = sys.argv[1:]
with KafkaProducer(bootstrap_servers=bootstrap.split(",")) as producer, tracer.start_as_current_span("test"):
    offsets = [producer.send(topic, b"keyless").get(10).offset, producer.send(topic, b"v", key=b"k").get(10).offset]
consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
values = [next(consumer).value, next(consumer).value]
consumer.close()
spans = [span for span in recorder.queued_spans() if span.n == "kafka"]
print(json.dumps({"sent": len(offsets), "read": len(values), "spans": [span.data["kafka"] for span in spans]}))
