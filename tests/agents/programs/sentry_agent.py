"""Sentry: its integrations wrap threads and the log; an error of a callback, on the IO thread, is an event."""

import no_network  # noqa: F401, I001 - before anything else

import json
import sys

import sentry_sdk
from sentry_sdk.transport import Transport

events = []


class Keep(Transport):
    def capture_envelope(self, envelope):
        event = envelope.get_event()
        if event is not None:
            events.append(event)


sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Keep, traces_sample_rate=1.0)

from kafka import KafkaProducer  # noqa: E402

bootstrap, topic = sys.argv[1:]


def fails(metadata):
    raise ValueError("of the callback")


with KafkaProducer(bootstrap_servers=bootstrap) as producer:
    with sentry_sdk.start_transaction(name="test"):
        offsets = [producer.send(topic, b"keyless").get(10).offset, producer.send(topic, b"v", key=b"k").get(10).offset]
    producer.send(topic, b"v").add_callback(fails)
    producer.flush()
print(
    json.dumps(
        {
            "sent": len(offsets),
            "events": [[e["logger"], e["exception"]["values"][-1]["value"]] for e in events if "exception" in e],
        }
    )
)
