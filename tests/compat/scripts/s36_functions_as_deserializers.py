import json

from common import bootstrap, report, topic
from consuming import T0, consumer, drain

from kafka import KafkaProducer

with KafkaProducer(bootstrap_servers=bootstrap) as producer:
    producer.send(topic, b'{"a": 1}', key=b"k", partition=0)
    producer.send(topic, b'{"a": 2}', partition=0)
    producer.send(topic, None, key=b"tombstone", partition=0)
seen = []


def key(data):
    seen.append(["key", None if data is None else data.decode()])
    return data if data is None else data.decode().upper()


def value(data):
    seen.append(["value", None if data is None else data.decode()])
    return data if data is None else json.loads(data)


reader = consumer(key_deserializer=key, value_deserializer=value)
reader.assign([T0])
records = drain(reader, 3)
report(
    records=[
        [record.key, record.value, record.serialized_key_size, record.serialized_value_size] for record in records
    ],
    seen=seen,
    log=None,
)
