"""confluent-kafka: librdkafka behind Python."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import scenario as shared
from confluent_kafka import Consumer, Producer
from scenario import Computing, Measured, Scenario


def common(scenario: Scenario) -> dict[str, Any]:
    ca = scenario.get("ca")
    secured = {"security.protocol": "SSL", "ssl.ca.location": ca} if ca else {}
    return {"bootstrap.servers": scenario["bootstrap"], **secured}


def producer_for(scenario: Scenario, **more: Any) -> Producer:
    return Producer({
        **common(scenario),
        "acks": scenario["acks"],
        "enable.idempotence": scenario["idempotence"],
        "linger.ms": scenario["linger_ms"],
        "batch.size": scenario["batch_size"],
        "batch.num.messages": 1_000_000,  # the size alone shall decide
        "compression.type": scenario["compression"] or "none",
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": scenario["buffer_memory"] >> 10,
        **more,
    })  # fmt: skip


def flusher(producer: Producer) -> Callable[[], None]:
    def flush() -> None:
        if left := producer.flush(120):
            raise RuntimeError(f"{left} records were not delivered")

    return flush


class Reports:
    """Delivery reports, counted."""

    def __init__(self) -> None:
        self.count = self.offset = 0

    def __call__(self, error: Any, message: Any) -> None:
        if error is not None:
            raise RuntimeError(str(error))
        self.offset = message.offset()
        self.count += 1

    def check(self, sent: int) -> None:
        if self.count != sent:
            raise RuntimeError(f"{self.count} reports for {sent} records")


def sender(producer: Producer, topic: str, **more: Any) -> Callable[[shared.Chunk], None]:
    produce, poll = producer.produce, producer.poll

    def each(chunk: shared.Chunk) -> None:
        for value in chunk:
            while True:
                try:
                    produce(topic, value, **more)
                    break
                except BufferError:
                    poll(0.01)
        poll(0)

    return each


def produce(scenario: Scenario) -> dict[str, float]:
    chunks: list[Any] = shared.chunks_of(scenario)
    how, topic = scenario["how"], scenario["topic"]
    if how == "transactions":
        return transactions(scenario, chunks)
    if how == "dicts":
        chunks = [[json.loads(value) for value in chunk] for chunk in chunks[:100]]
    measured = Measured()
    producer = producer_for(scenario)
    produce, poll, flush = producer.produce, producer.poll, flusher(producer)
    check = shared.unchecked
    if how == "send" and scenario.get("threads"):
        return shared.produced_by_threads(scenario, measured, chunks, sender(producer, topic), flush)
    if how == "send":
        each = sender(producer, topic)
    elif how in ("callback", "futures"):  # reports are all there is
        reports = Reports()
        check = reports.check
        each = sender(producer, topic, on_delivery=reports)
    elif how == "headers":
        each = sender(producer, topic, headers=[("trace", b"0123456789abcdef"), ("kind", b"x")])
    elif how == "dicts":

        def each(chunk: list[Any]) -> None:
            for value in chunk:
                while True:
                    try:
                        produce(topic, json.dumps(value).encode())
                        break
                    except BufferError:
                        poll(0.01)
            poll(0)

    elif how == "keyed":
        keys = shared.keys_for(chunks)

        def each(chunk: shared.Chunk) -> None:
            for value, key in zip(chunk, next(keys), strict=True):
                while True:
                    try:
                        produce(topic, value, key)
                        break
                    except BufferError:
                        poll(0.01)
            poll(0)

    elif how == "topics":
        topics = shared.topics_for(scenario, chunks)

        def each(chunk: shared.Chunk) -> None:
            for value, name in zip(chunk, next(topics), strict=True):
                while True:
                    try:
                        produce(name, value)
                        break
                    except BufferError:
                        poll(0.01)
            poll(0)

    else:
        raise SystemExit(f"nothing is known of {how!r}")
    return shared.produced(scenario, measured, chunks, each, flush, check)


def transactions(scenario: Scenario, chunks: list[shared.Chunk]) -> dict[str, float]:
    """Ten chunks to a transaction."""
    groups = [chunks[at : at + 10] for at in range(0, len(chunks) - 9, 10)]
    measured = Measured()
    producer = producer_for(scenario, **{"transactional.id": uuid.uuid4().hex})
    each = sender(producer, scenario["topic"])
    producer.init_transactions()
    sent = 0
    for warm in (True, False):
        if not warm:
            measured.warm, sent = sent, 0
            measured.start()
        for group in shared.during(scenario["seconds"] / (5 if warm else 1), groups):
            producer.begin_transaction()
            for chunk in group:
                each(chunk)
                sent += len(chunk)
            producer.commit_transaction()
    return measured.stop(sent)


def latency(scenario: Scenario) -> dict[str, float]:
    chunks = shared.chunks_of(scenario)
    measured = Measured()
    producer, topic = producer_for(scenario), scenario["topic"]
    latencies: list[float] = []
    clock, poll = time.perf_counter, producer.poll

    def send(value: bytes, now: float) -> None:
        def done(error: Any, message: Any) -> None:
            if error is None:
                latencies.append(clock() - now)

        producer.produce(topic, value, on_delivery=done)

    # Reports are called by poll alone, so the pause between records is spent in it.
    return shared.delivered(scenario, measured, chunks, send, latencies, flusher(producer), lambda: poll(0.001))


def consume(scenario: Scenario) -> dict[str, float]:
    measured = Measured()
    with Computing(scenario) as computing:
        consumer = Consumer({**common(scenario), "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"})
        consumer.subscribe([scenario["topic"]])
        seen = size = 0
        while seen < scenario["records"]:
            records = consumer.consume(scenario.get("max_records", 500), 60)
            if not seen and records:
                computing.reset()
                measured.start()
            seen += len(records)
            if scenario["how"] == "fields":
                for record in records:
                    record.topic(), record.partition(), record.offset(), record.timestamp(), record.key()
                    size += len(record.value())
            else:
                for record in records:
                    size += len(record.value())
        found = measured.stop(seen)
        found |= computing.found()
        consumer.close()
    shared.check_read(scenario, seen, size)
    return found


if __name__ == "__main__":
    shared.run({"produce": produce, "latency": latency, "consume": consume})
