import json

from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(
    bootstrap_servers=bootstrap, key_serializer=str.encode, value_serializer=lambda v: json.dumps(v).encode("utf-8")
)
sent = producer.send(topic, {"a": [1, None]}, key="k", partition=0).get(20)
fails = attempt(producer.send, topic, {1, 2}, key="k")
missing_key = attempt(lambda: producer.send(topic, 1, partition=0).get(20)[6:])
null_value = attempt(lambda: producer.send(topic, None, key="k", partition=0).get(20)[6:])
producer.close()
wrong = KafkaProducer(bootstrap_servers=bootstrap, value_serializer=str)
report(
    sizes=sent[6:],
    fails=fails,
    missing_key=missing_key,
    null_value=null_value,
    returns_text=attempt(wrong.send, topic, 5),
)
wrong.close()
