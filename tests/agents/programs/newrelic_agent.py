"""New Relic: an import hook on `kafka.producer.kafka`; its metrics are read from the transaction."""

import no_network  # noqa: F401, I001 - before anything else

import json
import os
import sys

os.environ["NEW_RELIC_DEVELOPER_MODE"] = "true"  # nothing is sent
os.environ["NEW_RELIC_LICENSE_KEY"] = "0" * 40
os.environ["NEW_RELIC_APP_NAME"] = "test"

import newrelic.agent

newrelic.agent.initialize()
application = newrelic.agent.register_application(timeout=10.0)

from kafka import KafkaConsumer, KafkaProducer, Serializer  # noqa: E402


class Upper(Serializer):
    def serialize(self, topic, headers, data):
        return data.upper()


bootstrap, topic = sys.argv[1:]
found = {"sent": 0}
for serializer in (None, bytes.upper, Upper()):
    producer = KafkaProducer(bootstrap_servers=bootstrap.split(","), value_serializer=serializer)
    with newrelic.agent.BackgroundTask(application, "task") as transaction:
        found["sent"] += producer.send(topic, b"v", headers=[("mine", b"1")]).get(10).offset >= 0
        found["sent"] += producer.send(topic, b"w", key=b"k").get(10).offset >= 0
        found["metrics"] = sorted(name for name, _ in transaction._custom_metrics.metrics())
        found["spans"] = [type(child).__name__ for child in transaction.root_span.children]
    producer.close()
consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap.split(","), auto_offset_reset="earliest")
found["read"], transactions = [], []
for _ in range(2):
    found["read"].append(len(next(consumer).headers) > 0)
    transactions.append(newrelic.agent.current_transaction())
found["transactions"] = [transaction.name for transaction in transactions]
consumer.close()
print(json.dumps(found))
