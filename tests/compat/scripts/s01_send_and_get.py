from common import bootstrap, report, topic

from kafka import KafkaProducer, TopicPartition

producer = KafkaProducer(bootstrap_servers=bootstrap)
metadata = producer.send(topic, b"value", b"key", [("h", b"x"), ("h", b"")], 1, 1700000000123).get(timeout=20)
second = producer.send(topic, value=b"second", partition=1, timestamp_ms=5).get(20)
producer.close()
report(
    fields=metadata._asdict(),
    second=second._asdict(),
    type=type(metadata).__name__,
    equal=metadata == tuple(metadata),
    topic_partition=metadata.topic_partition == TopicPartition(topic, 1),
    timestamps=True,
)
