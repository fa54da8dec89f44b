from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20000)
nothing = producer.flush()
# So much that it cannot all be delivered before anybody looks whether it is.
futures = [producer.send(topic, b"%d" % i + bytes(5000), key=b"%d" % (i % 7)) for i in range(1000)]
early = attempt(producer.flush, timeout=0)
producer.flush(timeout=20)
report(
    nothing=nothing,
    early=early,
    done=sum(future.succeeded() for future in futures),
    offsets=sorted({future.value.offset for future in futures if future.value.partition == 0})[-1],
)
producer.close()
