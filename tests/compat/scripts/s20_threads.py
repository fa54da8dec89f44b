import threading

from common import bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
futures = {}


def work(name):
    futures[name] = [producer.send(topic, b"%d" % i, key=b"%d" % name, partition=name % 3) for i in range(500)]


threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
producer.flush()
offsets = {name: [future.get().offset for future in futures[name]] for name in futures}
report(
    log="per key",
    in_order=all(offsets[name] == sorted(set(offsets[name])) for name in offsets),
    highest=max(offsets[1][-1], offsets[2][-1]),
    sent=sum(map(len, offsets.values())),
)
producer.close()
