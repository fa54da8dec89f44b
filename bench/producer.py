"""How many records a second does one producer deliver, beside other Python clients, on the same machine, in one run?

    python bench/producer.py [--rounds N] [--seconds S] [--size BYTES ...] [--bootstrap HOST:PORT] [--clients NAME ...]

Each client runs in a process and (but for ours) in a virtual environment of its own, made under .cache/ by the first
run. They take turns, round after round, against one embedded broker that checks and discards, or against the cluster
named. A turn sends as many records as took about --seconds before, and counts from the first call to the last
acknowledgement. All have acks=all, linger 5 ms and 128 KiB batches, and the topic's 6 partitions; ours is
idempotent, as by default, the others are not.

JSON on standard output, a table on standard error: medians, and ratios to ours of the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _environments import python_with

ROOT = Path(__file__).resolve().parents[1]
TOPIC = "bench"
PARTITIONS = 6
PEERS = {"kafka-python": "kafka-python==3.0.12", "confluent-kafka": "confluent-kafka==2.16.1"}
CLIENTS = ("turbo", "turbo send_many", *PEERS)

# A client's run: send so many records of the value, return when all are acknowledged; raise where one is not.
Run = Callable[[int, bytes], None]


def turbo(bootstrap: str) -> Run:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, batch_size=131072)
    producer.partitions_for(TOPIC)

    def run(count: int, value: bytes) -> None:
        send = producer.send
        for _ in range(count):
            send(TOPIC, value)
        producer.flush()  # raises where a record failed

    return run


def turbo_send_many(bootstrap: str) -> Run:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, batch_size=131072)
    producer.partitions_for(TOPIC)

    def run(count: int, value: bytes) -> None:
        values = [value] * 10_000
        for start in range(0, count, len(values)):
            producer.send_many(TOPIC, values[: count - start])
        producer.flush()

    return run


def kafka_python(bootstrap: str) -> Run:
    from kafka import KafkaProducer

    producer = KafkaProducer(
        bootstrap_servers=bootstrap, linger_ms=5, batch_size=131072, acks="all", enable_idempotence=False
    )
    producer.partitions_for(TOPIC)

    def run(count: int, value: bytes) -> None:
        futures = [producer.send(TOPIC, value) for _ in range(count)]
        producer.flush()
        if not all(future.succeeded() for future in futures):
            raise RuntimeError("a record was not delivered")

    return run


def confluent_kafka(bootstrap: str) -> Run:
    from confluent_kafka import Producer  # type: ignore[import-not-found, unused-ignore]

    producer = Producer(
        {
            "bootstrap.servers": bootstrap, "linger.ms": 5, "batch.size": 131072, "acks": "all",
            "queue.buffering.max.messages": 1_000_000,
        }
    )  # fmt: skip
    producer.list_topics(TOPIC)

    def run(count: int, value: bytes) -> None:
        produce = producer.produce
        for _ in range(count):
            while True:
                try:
                    produce(TOPIC, value)
                    break
                except BufferError:
                    producer.poll(0.01)
        if producer.flush(60):
            raise RuntimeError("a record was not delivered")

    return run


MAKERS = {
    "turbo": turbo,
    "turbo send_many": turbo_send_many,
    "kafka-python": kafka_python,
    "confluent-kafka": confluent_kafka,
}


def work(client: str, bootstrap: str) -> None:
    """A worker's loop: `count size` in, seconds out."""
    run = MAKERS[client](bootstrap)
    print("ready", flush=True)
    for line in sys.stdin:
        count, size = map(int, line.split())
        value = b"x" * size
        start = time.perf_counter()
        run(count, value)
        print(time.perf_counter() - start, flush=True)


class Worker:
    def __init__(self, client: str, bootstrap: str) -> None:
        peer = PEERS.get(client)
        python: Path | str = python_with(peer) if peer else sys.executable
        # Only ours sees this checkout: kafka-python has the same import name.
        path = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if not peer:
            path["PYTHONPATH"] = str(ROOT)
        self.process = subprocess.Popen(
            [python, __file__, "--worker", client, "--bootstrap", bootstrap],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=path,
        )  # fmt: skip
        self.counts: dict[int, int] = {}
        self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended: {self.process.args}")
        return line

    def rate(self, size: int, seconds: float) -> float:
        count = self.counts.get(size, 5000)
        while True:
            assert self.process.stdin is not None
            print(count, size, file=self.process.stdin, flush=True)
            took = float(self._line())
            rate = count / took
            first = size not in self.counts
            self.counts[size] = max(1000, int(rate * seconds))
            if not first or took > seconds / 2:
                return rate
            count = self.counts[size]

    def close(self) -> None:
        self.process.communicate()


def measure(options: argparse.Namespace, bootstrap: str) -> dict[str, Any]:
    workers = {client: Worker(client, bootstrap) for client in options.clients}
    rates: dict[str, dict[str, list[float]]] = {str(size): {c: [] for c in workers} for size in options.size}
    for size in options.size:
        for _ in range(options.rounds):
            for client, worker in workers.items():
                rates[str(size)][client].append(worker.rate(size, options.seconds))
    for worker in workers.values():
        worker.close()
    return {
        "bootstrap": options.bootstrap or "embedded, discarding",
        "rates": rates,
        "median": {size: {c: statistics.median(r) for c, r in by.items()} for size, by in rates.items()},
    }


def table(result: dict[str, Any]) -> str:
    lines = [f"{'size':>8}  {'client':<18}{'records/s, median':>20}{'ratio to turbo':>18}"]
    for size, by in result["rates"].items():
        for client, rates in by.items():
            ratio = "-"
            if "turbo" in by:
                ratio = f"{statistics.median(a / b for a, b in zip(rates, by['turbo'], strict=True)):.3f}"
            lines.append(f"{size:>8}  {client:<18}{statistics.median(rates):>20,.0f}{ratio:>18}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long one turn takes, about")
    parser.add_argument("--size", type=int, nargs="+", default=[100, 1000, 10000], help="bytes of a value")
    parser.add_argument("--bootstrap", help="a cluster with the topic 'bench' in place of the embedded broker")
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--worker", choices=CLIENTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.bootstrap)
        return
    if options.bootstrap:
        result = measure(options, options.bootstrap)
    else:
        command = [
            sys.executable,
            "-m",
            "kafka.testing",
            "--topics",
            f"{TOPIC}:{PARTITIONS}",
            "--discard",
            "--until-eof",
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as broker:
            assert broker.stdout is not None
            result = measure(options, broker.stdout.readline().strip())
            broker.communicate()
    print(table(result), file=sys.stderr)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
