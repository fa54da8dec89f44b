from common import attempt, bootstrap, raised, report, topic

from kafka import KafkaProducer

producer = KafkaProducer(
    bootstrap_servers=bootstrap, allow_auto_create_topics=False, max_block_ms=1500,
    request_timeout_ms=1500, delivery_timeout_ms=3000,
)  # fmt: skip


def outcome(name):
    """What becomes of a record for this topic, at once or through its future."""
    try:
        return producer.send(name, b"v").get(20).offset
    except Exception as error:
        return raised(error)


report(
    log=None,
    known=sorted(producer.partitions_for(topic)),
    unknown=attempt(lambda: sorted(producer.partitions_for(topic + "-missing"))),
    send_to_unknown=outcome(topic + "-missing"),
    space=outcome("no such topic"),
    empty=outcome(""),
    long=outcome("x" * 250),
    number=outcome(5),
    none=outcome(None),
    octets=outcome(b"topic"),
)
producer.close()
