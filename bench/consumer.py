"""How many records a second does one consumer read, beside other clients, on the same machine, in one run?

    python bench/consumer.py [--rounds N] [--records N] [--size BYTES] [--compression CODEC] [--bootstrap HOST:PORT]
                             [--rows NAME ...]

A topic of 6 partitions on a real Kafka of this machine (or the one named, where it is made and left) is filled once and
read once, so that the broker is warm. Then each row takes its turn, round after round, in a process and, but for ours,
an environment of its own: as a group of one with default settings, from the beginning until all records are read; the
time counts from the first record. `value`: each record's value is looked at. `computing`: while another thread of the
process computes in Python. `columns`: all columns go to Arrow, which adds up the values' sizes.

JSON on standard output, a table on standard error: records a second and microseconds of processor time (of all threads)
for one, medians; and the rate's ratio to the first row's of the same round. A row that reads too few records fails.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _environments import python_with

ROOT = Path(__file__).resolve().parents[1]
PARTITIONS = 6
PEERS = {
    "kafka-python": "kafka-python==3.0.12",
    "confluent-kafka": "confluent-kafka==2.16.1",
    "aiokafka": "aiokafka==0.14.0",
}

# Reads so many records of the topic; gives the clock's and the processor's seconds since the first one.
Read = Callable[[str, str, int], "Taken"]


class Taken:
    """What is counted of a row: started by its first record."""

    def __init__(self) -> None:
        self.size = self.count = 0
        self.seconds = self.processor = 0.0

    def start(self) -> None:
        self.seconds, self.processor = time.perf_counter(), processor_time()

    def stop(self, count: int, size: int) -> Taken:
        self.seconds = time.perf_counter() - self.seconds
        self.processor = processor_time() - self.processor
        self.count, self.size = count, size
        return self


def processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ours(bootstrap: str, topic: str) -> Any:
    from kafka import KafkaConsumer

    return KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=uuid.uuid4().hex, auto_offset_reset="earliest")


def value(bootstrap: str, topic: str, count: int) -> Taken:
    taken = Taken()
    with ours(bootstrap, topic) as consumer:
        size = len(next(consumer).value)
        taken.start()
        for _, record in zip(range(count - 1), consumer, strict=False):
            size += len(record.value)
        return taken.stop(count, size)


def computing(bootstrap: str, topic: str, count: int) -> Taken:
    told = threading.Event()

    def compute() -> None:
        while not told.is_set():
            sum(range(1000))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        return value(bootstrap, topic, count)
    finally:
        told.set()
        thread.join()


def fields(bootstrap: str, topic: str, count: int) -> Taken:
    """Six fields of each record."""
    taken = Taken()
    with ours(bootstrap, topic) as consumer:
        size = len(next(consumer).value)
        taken.start()
        for _, record in zip(range(count - 1), consumer, strict=False):
            record.topic, record.partition, record.offset, record.timestamp, record.key  # noqa: B018
            size += len(record.value)
        return taken.stop(count, size)


def polled(most: int) -> Read:
    def read(bootstrap: str, topic: str, count: int) -> Taken:
        taken, seen, size = Taken(), 0, 0
        with ours(bootstrap, topic) as consumer:
            while seen < count:
                for records in consumer.poll(60_000, max_records=most).values():
                    if not seen:
                        taken.start()
                    seen += len(records)
                    for record in records:
                        size += len(record.value)
            return taken.stop(seen, size)

    return read


def columns(bootstrap: str, topic: str, count: int) -> Taken:
    import pyarrow
    import pyarrow.compute

    taken, seen, size = Taken(), 0, 0
    with ours(bootstrap, topic) as consumer:
        while seen < count:
            for batch in consumer.poll_batches(60_000):
                if not seen:
                    taken.start()
                table = pyarrow.record_batch(batch)
                seen += table.num_rows
                size += pyarrow.compute.sum(pyarrow.compute.binary_length(table.column("value"))).as_py()
        return taken.stop(seen, size)


def kafka_python(bootstrap: str, topic: str, count: int) -> Taken:
    return value(bootstrap, topic, count)  # by the same names


def confluent_kafka(bootstrap: str, topic: str, count: int) -> Taken:
    from confluent_kafka import Consumer  # type: ignore[import-not-found, unused-ignore]

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    taken, seen, size = Taken(), 0, 0
    while seen < count:
        records = consumer.consume(500, 60)
        if not seen and records:
            taken.start()
        seen += len(records)
        for record in records:
            size += len(record.value())
    taken.stop(seen, size)
    consumer.close()
    return taken


def aiokafka(bootstrap: str, topic: str, count: int) -> Taken:
    import asyncio

    from aiokafka import AIOKafkaConsumer  # type: ignore[import-not-found, unused-ignore]

    async def read() -> Taken:
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=bootstrap, group_id=uuid.uuid4().hex, auto_offset_reset="earliest"
        )
        await consumer.start()
        taken, seen, size = Taken(), 0, 0
        while seen < count:
            for records in (await consumer.getmany(timeout_ms=60_000)).values():
                if not seen:
                    taken.start()
                seen += len(records)
                for record in records:
                    size += len(record.value)
        taken.stop(seen, size)
        await consumer.stop()
        return taken

    return asyncio.run(read())


ROWS: dict[str, Read] = {
    "value": value,
    "computing": computing,
    "six fields": fields,
    "poll(500)": polled(500),
    "poll(10000)": polled(10_000),
    "columns": columns,
    "kafka-python": kafka_python,
    "confluent-kafka": confluent_kafka,
    "aiokafka": aiokafka,
}


def run(row: str, bootstrap: str, topic: str, count: int) -> dict[str, float]:
    peer = PEERS.get(row)
    python = python_with(peer) if peer else sys.executable
    # Only ours sees this checkout: kafka-python has the same import name.
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    if not peer:
        environment["PYTHONPATH"] = str(ROOT)
    command = [python, __file__, "--row", row, "--bootstrap", bootstrap, "--topic", topic]
    done = subprocess.run(
        [*map(str, command), "--records", str(count)], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def fill(bootstrap: str, topic: str, options: argparse.Namespace) -> None:
    from kafka import KafkaProducer

    row = b'{"id": %09d, "user": "user-%06d", "action": "view", "page": "/a/b/%03d", "ms": %05d, "ok": true}'
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, linger_ms=5, batch_size=options.batch_size, compression_type=options.compression,
        buffer_memory=64 << 20,
    )  # fmt: skip
    with producer:
        for number in range(options.records):
            text = row % (number, number * 7919 % 1_000_000, number % 1000, number * 31 % 100_000)
            producer.send(topic, (text * (options.size // len(text) + 1))[: options.size])


@contextmanager
def cluster(options: argparse.Namespace) -> Iterator[str]:
    if options.bootstrap:
        yield options.bootstrap
        return
    sys.path.insert(0, str(ROOT / "tests"))
    from broker.cluster import KafkaCluster

    with KafkaCluster() as started:
        (node,) = started.nodes
        node.stop()
        node.start("-XX:TieredStopAtLevel=4", "-Xms1g", "-Xmx1g")  # tests start it with less
        node.wait_ready()
        started.create_topic(options.topic, partitions=PARTITIONS)
        yield started.bootstrap


def measure(options: argparse.Namespace) -> dict[str, Any]:
    runs: dict[str, list[dict[str, float]]] = {row: [] for row in options.rows}
    for peer in PEERS.keys() & runs:  # before anything is started
        python_with(PEERS[peer])
    with cluster(options) as bootstrap:
        fill(bootstrap, options.topic, options)
        run("value", bootstrap, options.topic, options.records)
        for number in range(options.rounds):
            for row in options.rows:
                runs[row].append(run(row, bootstrap, options.topic, options.records))
                print(f"round {number + 1} of {options.rounds}: {row}", end="\033[K\r", file=sys.stderr)
    first = runs[options.rows[0]]

    def median(row: str, name: str) -> float:
        return statistics.median(each[name] for each in runs[row])

    return {
        row: {
            "records_per_second": round(median(row, "rate")),
            "processor_us": round(median(row, "processor_us"), 3),
            "peak_mb": round(median(row, "peak_mb")),
            "ratio": round(statistics.median(a["rate"] / b["rate"] for a, b in zip(each, first, strict=True)), 3),
        }
        for row, each in runs.items()
    }


def table(found: dict[str, Any]) -> str:
    lines = [f"{'':<18}{'records/s':>12}{'CPU, us':>10}{'peak, MB':>10}{'ratio':>8}"]
    for row, each in found.items():
        rate = f"{each['records_per_second']:,}"
        lines.append(f"{row:<18}{rate:>12}{each['processor_us']:>10}{each['peak_mb']:>10}{each['ratio']:>8}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=3_000_000)
    parser.add_argument("--size", type=int, default=100, help="bytes of a value")
    parser.add_argument("--batch-size", type=int, default=131072)
    parser.add_argument("--compression", choices=("gzip", "lz4", "snappy", "zstd"))
    parser.add_argument("--bootstrap", help="a cluster without a topic 'bench-consumer' in place of our own")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--topic", default="bench-consumer", help=argparse.SUPPRESS)
    parser.add_argument("--row", choices=list(ROWS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        taken = ROWS[options.row](options.bootstrap, options.topic, options.records)
        if taken.count < options.records:
            raise SystemExit(f"{taken.count} of {options.records} records were read")
        print(json.dumps({
            "rate": taken.count / taken.seconds,
            "processor_us": taken.processor / taken.count * 1e6,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }))  # fmt: skip
        return
    found = measure(options)
    print(table(found), file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
