from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20000)
nothing = producer.flush()
futures = [producer.send(topic, b"%d" % i, key=b"%d" % (i % 7)) for i in range(1000)]
early = attempt(producer.flush, timeout=0)
producer.flush(timeout=20)
report(
    nothing=nothing,
    early=early,
    done=sum(future.succeeded() for future in futures),
    offsets=sorted({future.value.offset for future in futures if future.value.partition == 0})[-1],
)
producer.close()
