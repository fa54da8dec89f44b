from common import attempt, bootstrap, report, topic

from kafka import DefaultSerializer, JsonSerializer, KafkaProducer, Serializer

seen = []


class Noting(Serializer):
    def serialize(self, topic, headers, data):
        seen.append([topic, list(headers), data])
        headers.append(("added", b"by serializer"))
        return None if data is None else str(data).encode()

    def close(self):
        seen.append("closed")


class Old(Serializer):
    def serialize(self, topic, value):
        return b"old:%s" % value


producer = KafkaProducer(
    bootstrap_servers=bootstrap, key_serializer=DefaultSerializer(), value_serializer=JsonSerializer()
)
producer.send(topic, {"a": "\u00fc"}, key="k\u00fc", partition=0).get(20)
producer.send(topic, None, key=b"k", partition=0).get(20)
bad = attempt(producer.send, topic, object(), key="k")
bad_key = attempt(producer.send, topic, 1, key=5)
producer.close()

noting = KafkaProducer(bootstrap_servers=bootstrap, key_serializer=Noting(), value_serializer=Old())
noting.send(topic, b"v", key=7, partition=1, headers=[("mine", b"1")]).get(20)
noting.close()
report(bad=bad, bad_key=bad_key, seen=[[s[0], [h[0] for h in s[1]], s[2]] if isinstance(s, list) else s for s in seen])
