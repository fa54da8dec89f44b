from common import bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=100)
heard = []
future = producer.send(topic, b"v", partition=2)
future.add_callback(lambda m: heard.append(["plain", m.partition]))
future.add_callback(lambda *args, **kwargs: heard.append(["arguments", args[:-1], args[-1].offset, kwargs]), 1, two=2)
future.add_errback(lambda e: heard.append("never"))
chained = future.add_both(lambda m: heard.append(["both", m.offset])) is future


def broken(metadata):
    heard.append("broken")
    raise RuntimeError("a callback's own error")


future.add_callback(broken)
future.add_callback(lambda m: heard.append("after the broken one"))
future.get(20)
producer.flush()
future.add_callback(lambda m: heard.append(["late", m.offset]))
future.add_errback(lambda e: heard.append("never"))
again = producer.send(topic, b"after", partition=2).get(20).offset
producer.close()
report(heard=heard, chained=chained, again=again)
