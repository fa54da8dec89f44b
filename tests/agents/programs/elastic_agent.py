"""Elastic APM: `elasticapm.instrument()`; the spans that its client would send."""

import no_network  # noqa: F401, I001 - before anything else

import json
import os
import sys

import elasticapm

elasticapm.instrument()
client = elasticapm.Client(
    service_name="test",
    transport_class="elasticapm.transport.base.Transport",
    cloud_provider="none",
    central_config=False,
    metrics_interval="0s",
    span_compression_enabled=False,
    disable_send=False,
)
spans = []
client.queue = lambda kind, data, flush=False: spans.append(data) if kind == "span" else None
client.tracer.queue_func = client.queue

from kafka import KafkaConsumer, KafkaProducer  # noqa: E402

bootstrap, topic = sys.argv[1:]
with KafkaProducer(bootstrap_servers=bootstrap) as producer:
    client.begin_transaction("test")
    offsets = [producer.send(topic, b"keyless").get(10).offset, producer.send(topic, b"v", key=b"k").get(10).offset]
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    values = [next(consumer).value, *(record for found in consumer.poll(10_000).values() for record in found)]
    consumer.close()
    client.end_transaction("test")
print(
    json.dumps(
        {
            "sent": len(offsets),
            "read": len(values),
            "spans": [span["name"] for span in spans],
            "brokers": ["{address}:{port}".format(**span["context"]["destination"]) for span in spans[:2]],
        }
    )
)
client.close()
sys.stdout.flush()
os._exit(0)
