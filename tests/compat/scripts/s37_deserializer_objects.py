from common import bootstrap, report, topic
from consuming import T0, consumer, drain

from kafka import Deserializer, KafkaProducer

with KafkaProducer(bootstrap_servers=bootstrap) as producer:
    producer.send(topic, b"1", key=b"k", headers=[("h", b"x")], partition=0)


class Mine(Deserializer):
    def deserialize(self, topic, headers, data):
        return [topic, [[name, value.decode()] for name, value in headers], data.decode()]

    def close(self):
        closed.append(1)


closed = []
reader = consumer(key_deserializer=Mine(), value_deserializer=Mine())
reader.assign([T0])
(record,) = drain(reader, 1)
reader.close()
report(key=record.key, value=record.value, closed=len(closed), log=None)
