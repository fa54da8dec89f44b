from common import attempt, bootstrap, raised, report, topic

from kafka import KafkaProducer

with KafkaProducer(bootstrap_servers=bootstrap, max_request_size=1000) as producer:
    at_once = attempt(producer.send, topic, b"x" * 1001, partition=0)
    fits = producer.send(topic, b"x" * 800, partition=0).get(20).offset

# The topic's own limit is below what one record needs: the broker refuses it.
with KafkaProducer(bootstrap_servers=bootstrap, max_request_size=4_000_000) as producer:
    future = producer.send(topic, b"x" * 2_000_000, partition=0)
    by_the_broker = attempt(future.get, timeout=30)
    heard = []
    future.add_errback(lambda error: heard.append(raised(error)))
    after = attempt(lambda: producer.send(topic, b"small", partition=0).get(20).offset)
report(at_once=at_once, fits=fits, by_the_broker=by_the_broker, heard=heard, after=after, failed=future.failed())
