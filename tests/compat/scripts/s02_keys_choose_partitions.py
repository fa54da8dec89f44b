from common import bootstrap, report, topic

from kafka import KafkaProducer

keys = [
    b"",
    b"a",
    b"ab",
    b"abc",
    b"abcd",
    "\u00fcml\u00e4ut".encode(),
    bytes(range(256)),
    *(b"%d" % i for i in range(40)),
]
producer = KafkaProducer(bootstrap_servers=[bootstrap])
futures = [producer.send(topic, b"v%d" % i, key=key) for i, key in enumerate(keys)]
producer.flush()
report(partitions=[future.get().partition for future in futures], done=all(future.is_done for future in futures))
