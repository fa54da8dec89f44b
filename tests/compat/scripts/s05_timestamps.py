import time

from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=bootstrap)
explicit = [producer.send(topic, b"v", partition=0, timestamp_ms=t).get(20).timestamp for t in (0, 1, 1700000000000)]
before = int(time.time() * 1000) - 50
now = producer.send(topic, b"now", partition=1).get(20).timestamp
report(
    explicit=explicit,
    now=before <= now <= time.time() * 1000 + 50,
    text=attempt(lambda: producer.send(topic, b"v", partition=0, timestamp_ms="5").get(20).timestamp),
)
producer.close()
