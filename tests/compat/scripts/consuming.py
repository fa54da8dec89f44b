"""What the scripts with a consumer use besides `common`."""

from common import bootstrap, topic

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

T0, T1, T2 = (TopicPartition(topic, number) for number in range(3))


def fill(count, partitions=3, **fields):
    """`count` records, in turn to so many partitions; their values are numbers."""
    with KafkaProducer(bootstrap_servers=bootstrap) as producer:
        for number in range(count):
            producer.send(topic, b"%d" % number, partition=number % partitions, **fields)


def consumer(*topics, **configs):
    configs = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 8000, **configs}
    return KafkaConsumer(*topics, bootstrap_servers=bootstrap, **configs)


def drain(reader, count, seconds=20):
    """The next `count` records."""
    import time

    found = []
    deadline = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        for records in reader.poll(timeout_ms=500, max_records=count - len(found)).values():
            found += records
    return found


def values(records):
    return sorted(int(record.value) for record in records)


def places(partitions):
    """A set or dict of partitions as JSON takes it."""
    if isinstance(partitions, dict):
        return {str(tp.partition): value for tp, value in sorted(partitions.items())}
    return sorted(tp.partition for tp in partitions)
