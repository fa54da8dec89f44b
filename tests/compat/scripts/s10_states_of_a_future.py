from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=60000, delivery_timeout_ms=120000)


def state(future):
    return {
        "is_done": future.is_done,
        "succeeded": future.succeeded(),
        "failed": future.failed(),
        "retriable": future.retriable(),
        "exception": future.exception,
        "value": None if future.value is None else future.value.offset,
    }


future = producer.send(topic, b"v", partition=0)
before = state(future)
too_early = attempt(future.get, timeout=0.05)
producer.flush()
report(before=before, too_early=too_early, after=state(future), twice=future.get() == future.get(0) == future.value)
producer.close()
