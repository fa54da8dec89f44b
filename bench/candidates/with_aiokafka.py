"""aiokafka."""

from __future__ import annotations

import asyncio
import time
import uuid

import scenario as shared
import waiting
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from scenario import Computing, Measured, Scenario


def produce(scenario: Scenario) -> dict[str, float]:
    return asyncio.run(producing(scenario))


async def producing(scenario: Scenario) -> dict[str, float]:
    chunks = shared.chunks_of(scenario)
    measured = Measured()
    producer = AIOKafkaProducer(
        bootstrap_servers=scenario["bootstrap"],
        acks=scenario["acks"],
        enable_idempotence=scenario["idempotence"],
        linger_ms=scenario["linger_ms"],
        max_batch_size=scenario["batch_size"],
        compression_type=scenario["compression"],
        max_request_size=max(1 << 20, scenario["batch_size"]),
    )
    await producer.start()
    topic, send = scenario["topic"], producer.send
    sent = 0
    for warm in (True, False):
        if not warm:
            measured.warm, sent = sent, 0
            measured.start()
        last = None
        for chunk in shared.during(scenario["seconds"] / (5 if warm else 1), chunks):
            for value in chunk:
                last = await send(topic, value)
            sent += len(chunk)
        await producer.flush()
        if last is not None:
            await last
    found = measured.stop(sent)
    await producer.stop()
    return found


def consume(scenario: Scenario) -> dict[str, float]:
    with Computing(scenario) as computing:
        return asyncio.run(consuming(scenario, computing))


def consumer_for(scenario: Scenario, start: str = "earliest") -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        scenario["topic"], bootstrap_servers=scenario["bootstrap"], group_id=uuid.uuid4().hex, auto_offset_reset=start
    )


async def consuming(scenario: Scenario, computing: Computing) -> dict[str, float]:
    measured = Measured()
    consumer = consumer_for(scenario)
    await consumer.start()
    seen = size = 0
    while seen < scenario["records"]:
        for records in (await consumer.getmany(timeout_ms=60_000, max_records=scenario.get("max_records"))).values():
            if not seen:
                shared.begin(measured, computing)
            seen += len(records)
            if scenario["how"] == "fields":
                for record in records:
                    record.topic, record.partition, record.offset, record.timestamp, record.key  # noqa: B018
                    size += len(record.value)
            else:
                for record in records:
                    size += len(record.value)
    found = shared.ended(scenario, measured, computing, seen, size)
    await consumer.stop()
    return found


def arrive(scenario: Scenario) -> dict[str, float]:
    return asyncio.run(arriving(scenario))


async def arriving(scenario: Scenario) -> dict[str, float]:
    arrivals = waiting.Arrivals(scenario)
    clock = time.time_ns
    consumer = consumer_for(scenario, "latest")
    await consumer.start()
    while True:
        polled, now = await consumer.getmany(timeout_ms=200), clock()
        if not arrivals.come([record.value for records in polled.values() for record in records], now):
            break
    found = arrivals.found()
    await consumer.stop()
    return found


def first(scenario: Scenario) -> dict[str, float]:
    return asyncio.run(beginning(scenario))


async def beginning(scenario: Scenario) -> dict[str, float]:
    measured, seconds, clock = Measured(), [], time.perf_counter
    for _ in range(scenario["times"] + 1):  # one is to warm up
        start = clock()
        consumer = consumer_for(scenario)
        await consumer.start()
        await consumer.getone()
        seconds.append(clock() - start)
        await consumer.stop()
    return waiting.told(measured, seconds[1:])


if __name__ == "__main__":
    shared.run({"produce": produce, "consume": consume, "arrive": arrive, "first": first})
