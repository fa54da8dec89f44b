"""kafka-python."""

from __future__ import annotations

import uuid

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

    def each(chunk: shared.Chunk) -> None:
        for value in chunk:
            send(topic, value)

    return shared.produced(scenario, measured, chunks, each, producer.flush)


def consume(scenario: Scenario) -> dict[str, float]:
    measured = Measured()
    with Computing(scenario) as computing:
        consumer = KafkaConsumer(
            scenario["topic"], bootstrap_servers=scenario["bootstrap"], group_id=uuid.uuid4().hex,
            auto_offset_reset="earliest",
        )  # fmt: skip
        size = len(next(consumer).value)
        shared.begin(measured, computing)
        for _, record in zip(range(scenario["records"] - 1), consumer, strict=False):
            size += len(record.value)
        found = shared.ended(scenario, measured, computing, scenario["records"], size)
        consumer.close()
    return found


if __name__ == "__main__":
    shared.run({"produce": produce, "consume": consume})
