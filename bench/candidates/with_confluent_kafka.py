"""confluent-kafka: librdkafka behind Python."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from itertools import repeat
from typing import Any

import scenario as shared
import waiting
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


class Reports(shared.Outcomes):
    def __call__(self, error: Any, message: Any) -> None:
        if error is not None:
            raise RuntimeError(str(error))
        self.offset = message.offset()
        self.count += 1


def sender(producer: Producer, rows: Callable[[Any], Iterable[tuple[Any, ...]]], **more: Any) -> Callable[[Any], None]:
    """`rows` makes of a chunk what `produce` is called with: topic, value and perhaps a key."""
    produce, poll = producer.produce, producer.poll

    def each(chunk: Any) -> None:
        for row in rows(chunk):
            while True:
                try:
                    produce(*row, **more)
                    break
                except BufferError:
                    poll(0.01)
        poll(0)

    return each


def produce(scenario: Scenario) -> dict[str, float]:
    chunks: list[Any] = shared.chunks_of(scenario)
    how, topic = scenario["how"], repeat(scenario["topic"])
    if how == "transactions":
        return transactions(scenario, chunks)
    if how == "dicts":
        chunks = [[json.loads(value) for value in chunk] for chunk in chunks[:100]]
    measured = Measured()
    producer = producer_for(scenario)
    flush, check = flusher(producer), shared.unchecked
    more: dict[str, Any] = {}

    def rows(chunk: Any) -> Iterable[tuple[Any, ...]]:
        return zip(topic, chunk, strict=False)  # the name for ever

    if how in ("callback", "futures"):  # reports are all there is
        reports = more["on_delivery"] = Reports()
        check = reports.check
    elif how == "headers":
        more["headers"] = [("trace", b"0123456789abcdef"), ("kind", b"x")]
    elif how == "dicts":
        text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # as ours has them

        def rows(chunk: Any) -> Iterable[tuple[Any, ...]]:
            return zip(topic, (text(value).encode() for value in chunk), strict=False)

    elif how == "keyed":
        keys = shared.keys_for(chunks)

        def rows(chunk: Any) -> Iterable[tuple[Any, ...]]:
            return zip(topic, chunk, next(keys), strict=False)

    elif how == "topics":
        topics = shared.topics_for(scenario, chunks)

        def rows(chunk: Any) -> Iterable[tuple[Any, ...]]:
            return zip(next(topics), chunk, strict=True)

    elif how != "send":
        raise SystemExit(f"nothing is known of {how!r}")
    each = sender(producer, rows, **more)
    if scenario.get("threads"):
        return shared.produced_by_threads(scenario, measured, chunks, each, flush)
    return shared.produced(scenario, measured, chunks, each, flush, check)


def transactions(scenario: Scenario, chunks: list[shared.Chunk]) -> dict[str, float]:
    """Ten chunks to a transaction."""
    groups = shared.tens(chunks)
    measured = Measured()
    producer = producer_for(scenario, **{"transactional.id": uuid.uuid4().hex})
    each = sender(producer, lambda values: zip(repeat(scenario["topic"]), values, strict=False))
    producer.init_transactions()

    def group(values: shared.Chunk) -> None:
        producer.begin_transaction()
        each(values)
        producer.commit_transaction()

    return shared.produced(scenario, measured, groups, group, flusher(producer))


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


def consumer_for(scenario: Scenario, **more: Any) -> Consumer:
    return Consumer({
        **common(scenario), "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest", "check.crcs": True, **more,
    })  # fmt: skip


def consume(scenario: Scenario) -> dict[str, float]:
    measured = Measured()
    with Computing(scenario) as computing:
        consumer = consumer_for(scenario)
        consumer.subscribe([scenario["topic"]])
        seen = size = 0
        while seen < scenario["records"]:
            # It waits for all of them, so at the topic's end it is not asked for more than there are.
            most = min(scenario.get("max_records", 500), scenario["records"] - seen)
            records = consumer.consume(most, 60)
            if not seen and records:
                shared.begin(measured, computing)
            seen += len(records)
            if scenario["how"] == "fields":
                for record in records:
                    record.topic(), record.partition(), record.offset(), record.timestamp(), record.key()
                    size += len(record.value())
            else:
                for record in records:
                    size += len(record.value())
        found = shared.ended(scenario, measured, computing, seen, size)
        consumer.close()
    return found


def arrive(scenario: Scenario) -> dict[str, float]:
    arrivals, clock = waiting.Arrivals(scenario), time.time_ns
    consumer = consumer_for(scenario, **{"auto.offset.reset": "latest"})
    consumer.subscribe([scenario["topic"]])
    while True:
        # One that is there is handed out at once; consume() would wait for as many as it is asked for.
        record, now = consumer.poll(0.2), clock()
        if not arrivals.come([record.value()] if record is not None else [], now):
            break
    found = arrivals.found()
    consumer.close()
    return found


class Joining:
    def __init__(self, scenario: Scenario, group: str, assigned: waiting.Told, revoked: waiting.Told) -> None:
        new = {"group.protocol": "consumer"}
        classic = {"heartbeat.interval.ms": 500, "session.timeout.ms": 6000}
        self.consumer = consumer_for(
            scenario, **{"group.id": group}, **(new if scenario["how"] == "consumer" else classic)
        )
        self.consumer.subscribe(
            [scenario["topic"]],
            on_assign=lambda consumer, partitions: assigned(len(partitions)),
            on_revoke=lambda consumer, partitions: revoked(len(partitions)),
        )
        self.poll, self.close = self.consumer.poll, self.consumer.close


def join(scenario: Scenario) -> dict[str, float]:
    return waiting.joined(scenario, partial(Joining, scenario))


if __name__ == "__main__":
    shared.run({"produce": produce, "latency": latency, "consume": consume, "arrive": arrive, "join": join})
