from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=bootstrap, max_block_ms=3000)
good = [producer.send(topic, b"%d" % i, key=b"same", partition=i % 3).get(20).partition for i in range(6)]
report(
    good=good,
    beyond=attempt(producer.send, topic, b"v", partition=99),
    negative=attempt(producer.send, topic, b"v", partition=-1),
    text=attempt(producer.send, topic, b"v", partition="1"),
)
producer.close()
