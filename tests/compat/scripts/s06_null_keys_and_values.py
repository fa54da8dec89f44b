from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=bootstrap)
tombstone = producer.send(topic, key=b"k", partition=0).get(20)
keyless = producer.send(topic, b"v", partition=0).get(20)
empty = producer.send(topic, b"", b"", partition=0).get(20)
report(
    tombstone=tombstone[6:],
    keyless=keyless[6:],
    empty=empty[6:],
    neither=attempt(producer.send, topic),
    neither_but_partition=attempt(producer.send, topic, partition=0),
)
producer.close()
