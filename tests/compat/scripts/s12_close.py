from common import attempt, bootstrap, report, topic

from kafka import KafkaProducer

with KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5000) as producer:
    inside = producer.send(topic, b"inside", partition=0)
left = attempt(producer.send, topic, b"after")
again = attempt(producer.close)
flushed = attempt(producer.flush)

other = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5000)
pending = other.send(topic, b"pending", partition=0)
closed = attempt(other.close, timeout=10)
invalid = attempt(KafkaProducer(bootstrap_servers=bootstrap).close, timeout=-1)


def leave_with_an_error():
    with KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5000) as third:
        third.send(topic, b"before the error", partition=0)
        raise KeyError("mine")


report(
    inside=inside.get().offset,
    left=left,
    again=again,
    flushed=flushed,
    pending=pending.get().offset,
    closed=closed,
    invalid=invalid,
    error=attempt(leave_with_an_error),
)
