"""Datadog: `ddtrace.auto` patches everything it knows; kafka-python is not among it, and nothing of ours suffers."""

import no_network  # noqa: F401, I001 - before anything else

import json
import os
import sys

os.environ.update(DD_TRACE_AGENT_URL="http://127.0.0.1:9", DD_INSTRUMENTATION_TELEMETRY_ENABLED="false")
os.environ.update(DD_REMOTE_CONFIGURATION_ENABLED="false", DD_TRACE_STARTUP_LOGS="false", DD_TRACE_ENABLED="true")

import ddtrace.auto
from ddtrace.trace import tracer

spans = []


class Collect(ddtrace.trace.TraceFilter):
    def process_trace(self, trace):
        spans.extend(span.name for span in trace)


tracer.configure(trace_processors=[Collect()])

from kafka import KafkaProducer  # noqa: E402

bootstrap, topic = sys.argv[1:]
KafkaProducer.send = tracer.wrap("kafka.send")(KafkaProducer.send)
with KafkaProducer(bootstrap_servers=bootstrap) as producer:
    offsets = [producer.send(topic, b"keyless").get(10).offset, producer.send(topic, b"v", key=b"k").get(10).offset]
print(json.dumps({"sent": len(offsets), "spans": spans}))
