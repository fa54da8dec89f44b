"""SkyWalking: its plugins are installed as its agent does it; the segments are read off the agent's queue."""

import no_network  # noqa: F401, I001 - before anything else

import json
import sys

from skywalking import agent, config, plugins
from skywalking.trace.context import get_context

segments = []
config.init(agent_name="test", agent_logging_level="CRITICAL", agent_profile_active=False)
config.finalize()
plugins.install()
agent.agent.archive_segment = segments.append  # instead of a thread that sends them
agent.agent.is_segment_queue_full = lambda: False

from kafka import KafkaConsumer, KafkaProducer  # noqa: E402

bootstrap, topic = sys.argv[1:]
with KafkaProducer(bootstrap_servers=[bootstrap]) as producer, get_context().new_local_span(op="test"):
    offsets = [producer.send(topic, b"keyless").get(10).offset, producer.send(topic, b"v", key=b"k").get(10).offset]
consumer = KafkaConsumer(topic, bootstrap_servers=[bootstrap], auto_offset_reset="earliest")
values = []
while len(values) < 2:
    values += [record for found in consumer.poll(10_000, max_records=1).values() for record in found]
consumer.close()
spans = [span for segment in segments for span in segment.spans]
print(json.dumps({"sent": len(offsets), "read": len(values), "spans": sorted(span.op for span in spans)}))
