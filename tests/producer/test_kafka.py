"""The producer against the real Apache Kafka."""

from __future__ import annotations

import threading
import time
from array import array
from typing import Any

import pytest
from broker.cluster import KafkaCluster

from kafka import KafkaProducer
from kafka.errors import DeliveryFailed, KafkaTimeoutError
from kafka.records import read_batches

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
THREADS = 4


def numbers_in(cluster: KafkaCluster, topic: str, partitions: int) -> list[array[int]]:
    """The numbers that the values are, per partition, in the order of their offsets: from Kafka's own files."""
    found = []
    for partition in range(partitions):
        numbers = array("q")
        end = 0
        for file in sorted(cluster.nodes[0].data.joinpath(f"{topic}-{partition}").glob("*.log")):
            for item in read_batches(file.read_bytes()):
                batch = item.unwrap()
                assert batch.base_offset == end
                numbers.extend(int(record.value or b"") for record in batch.records().unwrap())
                end = batch.base_offset + batch.count
        found.append(numbers)
    return found


def produce_numbered(
    cluster: KafkaCluster, topic: str, count: int, partitions: int, *, many: bool, keyed: bool
) -> None:
    cluster.create_topic(topic, partitions)
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, linger_ms=5)
    each = count // THREADS
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            first, last = thread * each, (thread + 1) * each
            key = b"thread %d" % thread if keyed else None
            if many:
                for start in range(first, last, 10_000):
                    values = [b"%d" % number for number in range(start, min(start + 10_000, last))]
                    producer.send_many(topic, values, keys=None if key is None else [key] * len(values))
            else:
                send = producer.send
                for number in range(first, last):
                    send(topic, b"%d" % number, key)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    producer.close()
    assert producer.buffered_bytes == 0

    seen = bytearray(count)
    for numbers in numbers_in(cluster, topic, partitions):
        last: dict[int, int] = {}
        for number in numbers:
            seen[number] += 1
            if keyed:  # keyless batches of one thread may overtake each other: they go to several partitions
                assert number > last.get(number // each, -1)
                last[number // each] = number
    assert seen == b"\x01" * count


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("many", [False, True])
def test_a_million_records_of_4_threads_are_there_once(kafka_cluster: KafkaCluster, many: bool, keyed: bool) -> None:
    produce_numbered(kafka_cluster, f"million-{many}-{keyed}", 1_000_000, 6, many=many, keyed=keyed)


@pytest.mark.full
@pytest.mark.parametrize("many", [False, True])
def test_ten_million_records_of_4_threads_are_there_once(kafka_cluster: KafkaCluster, many: bool) -> None:
    produce_numbered(kafka_cluster, f"ten-million-{many}", 10_000_000, 6, many=many, keyed=True)


def test_java_reads_what_was_sent(kafka_cluster: KafkaCluster) -> None:
    kafka_cluster.create_topic("everything", 2)
    with KafkaProducer(bootstrap_servers=kafka_cluster.bootstrap, compression_type="zstd") as producer:
        producer.send("everything", "wert ü".encode(), b"key", [("h", b"1"), ("h", b"2")], 1, 1_700_000_000_123)
        producer.send("everything", None, b"tombstone", partition=1, timestamp_ms=1_600_000_000_000)
        producer.send("everything", b"", None, partition=1, timestamp_ms=1_750_000_000_000)
    records = kafka_cluster.console_consume("everything", 3, 1)
    assert [(r.offset, r.timestamp, r.key, r.value) for r in records] == [
        (0, "CreateTime:1700000000123", b"key", "wert ü".encode()),
        (1, "CreateTime:1600000000000", b"tombstone", None),
        (2, "CreateTime:1750000000000", None, b""),
    ]
    assert records[0].headers == b"h:1,h:2"


def test_a_frozen_kafka(kafka_cluster: KafkaCluster) -> None:
    kafka_cluster.create_topic("frozen", 2)
    producer = KafkaProducer(
        bootstrap_servers=kafka_cluster.bootstrap, buffer_memory=4_000_000, max_block_ms=500, linger_ms=0
    )
    producer.send("frozen", b"0", b"k").get(30)
    node = kafka_cluster.nodes[0]
    futures: list[Any] = []
    node.pause()
    try:
        began = time.monotonic()
        with pytest.raises(KafkaTimeoutError, match="4000000"):
            while True:
                futures.append(producer.send("frozen", bytes(1000), b"%d" % len(futures)))
        assert time.monotonic() - began < 10
        with pytest.raises(KafkaTimeoutError):
            producer.flush(timeout=0.3)
    finally:
        node.resume()
    producer.flush(60)
    assert all(future.succeeded() for future in futures)
    node.pause()
    try:
        producer.send("frozen", b"lost", b"k")
        began = time.monotonic()
        with pytest.raises(DeliveryFailed):
            producer.close(timeout=0.5)
        assert time.monotonic() - began < 5
    finally:
        node.resume()
    assert sum(kafka_cluster.end_offsets("frozen").values()) >= len(futures) + 1


def test_a_topic_that_kafka_creates_on_the_way(kafka_cluster: KafkaCluster) -> None:
    with KafkaProducer(bootstrap_servers=kafka_cluster.bootstrap) as producer:
        assert producer.send("made-for-a-key", b"x", b"k").get(30).offset == 0
        assert producer.send("made-for-none", b"x").get(30).offset == 0


def test_dead_letters(kafka_cluster: KafkaCluster) -> None:
    """What the broker refuses goes to a topic that this producer has not used before."""
    kafka_cluster.create_topic("letters", 1, {"max.message.bytes": "1000"})
    kafka_cluster.create_topic("letters.dead", 3)
    sent: list[Any] = []
    with KafkaProducer(bootstrap_servers=kafka_cluster.bootstrap) as producer:
        for number in range(5):
            producer.send("letters", bytes(5000), b"%d" % number).add_errback(
                lambda key, error: sent.append(producer.send("letters.dead", b"too large", key)), b"%d" % number
            )
        producer.flush(30)
        assert len(sent) == 5 and all(future.succeeded() for future in sent), sent
    assert sum(kafka_cluster.end_offsets("letters.dead").values()) == 5
