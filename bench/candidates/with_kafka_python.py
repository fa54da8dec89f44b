"""kafka-python."""

from __future__ import annotations

import uuid
from typing import Any

import scenario as shared
from scenario import Computing, Measured, Scenario

from kafka import KafkaConsumer, KafkaProducer


def produce(scenario: Scenario) -> dict[str, float]:
    chunks = shared.chunks_of(scenario)
    measured = Measured()
    producer = KafkaProducer(
        bootstrap_servers=scenario["bootstrap"],
        acks=scenario["acks"],
        enable_idempotence=scenario["idempotence"],
        linger_ms=scenario["linger_ms"],
        batch_size=scenario["batch_size"],
        compression_type=scenario["compression"],
    )
    topic, send = scenario["topic"], producer.send
    kept: list[Any] = []

    def each(chunk: shared.Chunk) -> None:
        kept.extend([send(topic, value) for value in chunk])

    def check(sent: int) -> None:
        if sum(future.succeeded() for future in kept) != sent:
            raise RuntimeError("a record was not delivered")

    return shared.produced(scenario, measured, chunks, each, producer.flush, check)


def consume(scenario: Scenario) -> dict[str, float]:
    measured = Measured()
    with Computing(scenario) as computing:
        consumer = KafkaConsumer(
            scenario["topic"], bootstrap_servers=scenario["bootstrap"], group_id=uuid.uuid4().hex,
            auto_offset_reset="earliest",
        )  # fmt: skip
        size = len(next(consumer).value)
        computing.reset()
        measured.start()
        for _, record in zip(range(scenario["records"] - 1), consumer, strict=False):
            size += len(record.value)
        found = measured.stop(scenario["records"])
        found |= computing.found()
        consumer.close()
    shared.check_read(scenario, scenario["records"], size)
    return found


if __name__ == "__main__":
    shared.run({"produce": produce, "consume": consume})
