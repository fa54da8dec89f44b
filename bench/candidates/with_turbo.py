"""kafka-turbo, of the checkout on PYTHONPATH."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

import scenario as shared
import waiting
from scenario import Computing, Measured, Scenario

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition


def secured(scenario: Scenario) -> dict[str, Any]:
    ca = scenario.get("ca")
    return {"security_protocol": "SSL", "ssl_cafile": ca} if ca else {}


def producer_for(scenario: Scenario, **more: Any) -> KafkaProducer:
    return KafkaProducer(
        bootstrap_servers=scenario["bootstrap"],
        acks=scenario["acks"],
        enable_idempotence=scenario["idempotence"],
        linger_ms=scenario["linger_ms"],
        batch_size=scenario["batch_size"],
        compression_type=scenario["compression"],
        buffer_memory=scenario["buffer_memory"],
        **secured(scenario),
        **more,
    )


class Callbacks(shared.Outcomes):
    def __call__(self, metadata: Any) -> None:
        self.offset = metadata.offset
        self.count += 1


def produce(scenario: Scenario) -> dict[str, float]:
    chunks = shared.chunks_of(scenario)
    how, topic = scenario["how"], scenario["topic"]
    special: dict[str, Callable[[Scenario, list[shared.Chunk]], dict[str, float]]] = {
        "dicts": dicts, "column": column, "transactions": transactions, "callback later": callback_later,
    }  # fmt: skip
    if how in special:
        return special[how](scenario, chunks)
    measured = Measured()
    producer = producer_for(scenario)
    send, send_many = producer.send, producer.send_many
    check = shared.unchecked
    if how == "send" and scenario.get("threads"):
        return shared.produced_by_threads(scenario, measured, chunks, sender(producer, topic), producer.flush)
    if how == "send":
        each = sender(producer, topic)
    elif how == "send_many":

        def each(chunk: shared.Chunk) -> None:
            send_many(topic, chunk)

    elif how == "callback":
        callbacks = Callbacks()
        check = callbacks.check

        def each(chunk: shared.Chunk) -> None:
            for value in chunk:
                send(topic, value).add_callback(callbacks)

    elif how == "futures":
        kept: list[Any] = []

        def each(chunk: shared.Chunk) -> None:
            kept.extend([send(topic, value) for value in chunk])

        def check(sent: int) -> None:
            if sum(future.succeeded() for future in kept) != sent:
                raise RuntimeError("a future has not succeeded")

    elif how == "headers":
        headers = [("trace", b"0123456789abcdef"), ("kind", b"x")]

        def each(chunk: shared.Chunk) -> None:
            for value in chunk:
                send(topic, value, headers=headers)

    elif how == "keyed":
        keys = shared.keys_for(chunks)

        def each(chunk: shared.Chunk) -> None:
            for value, key in zip(chunk, next(keys), strict=True):
                send(topic, value, key)

    elif how == "topics":
        topics = shared.topics_for(scenario, chunks)

        def each(chunk: shared.Chunk) -> None:
            for value, name in zip(chunk, next(topics), strict=True):
                send(name, value)

    else:
        raise SystemExit(f"nothing is known of {how!r}")
    return shared.produced(scenario, measured, chunks, each, producer.flush, check)


def sender(producer: KafkaProducer, topic: str) -> Callable[[shared.Chunk], None]:
    send = producer.send

    def each(chunk: shared.Chunk) -> None:
        for value in chunk:
            send(topic, value)

    return each


def dicts(scenario: Scenario, chunks: list[shared.Chunk]) -> dict[str, float]:
    """Values are dicts, which the producer serializes."""
    objects = [[json.loads(value) for value in chunk] for chunk in chunks[:100]]
    measured = Measured()
    producer = producer_for(scenario, value_serializer="json")
    return shared.produced(scenario, measured, objects, sender(producer, scenario["topic"]), producer.flush)


def column(scenario: Scenario, chunks: list[shared.Chunk]) -> dict[str, float]:
    """Values are a column of Arrow's."""
    import pyarrow

    values = [value for chunk in chunks for value in chunk]
    arrays = [pyarrow.array(values[at : at + 10_000], pyarrow.binary()) for at in range(0, len(values) - 9_999, 10_000)]
    measured = Measured()
    producer, topic = producer_for(scenario), scenario["topic"]

    def each(array: pyarrow.Array) -> None:
        producer.send_many(topic, array)

    return shared.produced(scenario, measured, arrays, each, producer.flush)


def transactions(scenario: Scenario, chunks: list[shared.Chunk]) -> dict[str, float]:
    """Ten chunks to a transaction."""
    groups = shared.tens(chunks)
    measured = Measured()
    producer = producer_for(scenario, transactional_id=uuid.uuid4().hex)
    each = sender(producer, scenario["topic"])
    producer.init_transactions()

    def group(values: shared.Chunk) -> None:
        with producer.transaction():
            each(values)

    return shared.produced(scenario, measured, groups, group, producer.flush)


def callback_later(scenario: Scenario, chunks: list[shared.Chunk]) -> dict[str, float]:
    """add_callback on futures that have ended: that alone is timed."""
    measured = Measured()
    producer, topic = producer_for(scenario), scenario["topic"]
    futures = [producer.send(topic, value) for chunk in chunks[:500] for value in chunk]
    producer.flush()
    measured.warm = len(futures)
    callbacks = Callbacks()
    measured.start()
    for future in futures:
        future.add_callback(callbacks)
    found = measured.stop(len(futures))
    callbacks.check(len(futures))
    return {**found, "warm": 0}


def latency(scenario: Scenario) -> dict[str, float]:
    chunks = shared.chunks_of(scenario)
    measured = Measured()
    producer, topic = producer_for(scenario), scenario["topic"]
    latencies: list[float] = []
    clock = time.perf_counter

    def done(start: float, metadata: Any) -> None:
        latencies.append(clock() - start)

    def send(value: bytes, now: float) -> None:
        producer.send(topic, value).add_callback(done, now)

    return shared.delivered(scenario, measured, chunks, send, latencies, producer.flush)


def consumer_for(scenario: Scenario, **more: Any) -> KafkaConsumer:
    """It is alone in its group, and begins with the first record."""
    return KafkaConsumer(
        scenario["topic"],
        **{
            "bootstrap_servers": scenario["bootstrap"],
            "group_id": uuid.uuid4().hex,
            "auto_offset_reset": "earliest",
            "consumer_timeout_ms": 60_000,
            **secured(scenario),
            **more,
        },
    )


def consume(scenario: Scenario) -> dict[str, float]:
    measured = Measured()
    with Computing(scenario) as computing, consumer_for(scenario) as consumer:
        read = {"value": value, "fields": fields, "poll": poll, "columns": columns}[scenario["how"]]
        return read(scenario, measured, computing, consumer)


Read = Callable[[Scenario, Measured, Computing, KafkaConsumer], dict[str, float]]


def value(scenario: Scenario, measured: Measured, computing: Computing, consumer: KafkaConsumer) -> dict[str, float]:
    size = len(next(consumer).value)
    shared.begin(measured, computing)
    for record in islice(consumer, scenario["records"] - 1):
        size += len(record.value)
    return shared.ended(scenario, measured, computing, scenario["records"], size)


def fields(scenario: Scenario, measured: Measured, computing: Computing, consumer: KafkaConsumer) -> dict[str, float]:
    size = len(next(consumer).value)
    shared.begin(measured, computing)
    for record in islice(consumer, scenario["records"] - 1):
        record.topic, record.partition, record.offset, record.timestamp, record.key  # noqa: B018
        size += len(record.value)
    return shared.ended(scenario, measured, computing, scenario["records"], size)


def poll(scenario: Scenario, measured: Measured, computing: Computing, consumer: KafkaConsumer) -> dict[str, float]:
    size = seen = 0
    while seen < scenario["records"]:
        for records in consumer.poll(60_000, max_records=scenario["max_records"]).values():
            if not seen:
                shared.begin(measured, computing)
            seen += len(records)
            for record in records:
                size += len(record.value)
    return shared.ended(scenario, measured, computing, seen, size)


def columns(scenario: Scenario, measured: Measured, computing: Computing, consumer: KafkaConsumer) -> dict[str, float]:
    """All columns are read by pyarrow, and are what was sent: no offset is missing, no key, no headers."""
    import pyarrow
    import pyarrow.compute as compute

    size = seen = 0
    following: dict[int, int] = {}  # offsets, by partition
    while seen < scenario["records"]:
        for batch in consumer.poll_batches(60_000):
            if not seen:
                shared.begin(measured, computing)
            table = pyarrow.record_batch(batch)
            count, offsets = table.num_rows, compute.min_max(table["offset"]).as_py()
            partitions, topics = compute.min_max(table["partition"]).as_py(), table["topic"]
            partition, first = partitions["min"], offsets["min"]
            good = (
                topics.dictionary.to_pylist() == [scenario["topic"]]
                and compute.sum(topics.indices).as_py() == topics.null_count == 0
                and partition == partitions["max"]
                and first == following.get(partition, 0)
                and offsets["max"] == first + count - 1
                and compute.sum(table["offset"]).as_py() == count * (first + offsets["max"]) // 2
                and compute.min(table["timestamp"]).as_py() is not None
                and table["key"].null_count == count
                and not compute.sum(compute.list_value_length(table["headers"])).as_py()
                and table["value"].null_count == 0
            )
            if not good:
                raise RuntimeError(f"not what was sent: {count} records of partition {partition} from offset {first}")
            following[partition] = first + count
            seen += count
            size += compute.sum(compute.binary_length(table["value"])).as_py()
    return shared.ended(scenario, measured, computing, seen, size)


def offer(scenario: Scenario) -> dict[str, float]:
    producer, topic = producer_for(scenario), scenario["topic"]
    waiting.offered(scenario, lambda value: producer.send(topic, value))
    return {}


def arrive(scenario: Scenario) -> dict[str, float]:
    arrivals = waiting.Arrivals(scenario)
    clock = time.time_ns
    with consumer_for(scenario, auto_offset_reset="latest") as consumer:
        while True:
            polled, now = consumer.poll(200), clock()
            if not arrivals.come([record.value for records in polled.values() for record in records], now):
                return arrivals.found()


def first(scenario: Scenario) -> dict[str, float]:
    measured, seconds, clock = Measured(), [], time.perf_counter
    for _ in range(scenario["times"] + 1):  # one is to warm up
        start = clock()
        consumer = consumer_for(scenario)
        next(consumer)
        seconds.append(clock() - start)
        consumer.close()
    return waiting.told(measured, seconds[1:])


class Joining(ConsumerRebalanceListener):
    def __init__(self, scenario: Scenario, group: str, assigned: waiting.Told, revoked: waiting.Told) -> None:
        self.assigned, self.revoked = assigned, revoked
        new = {"group_protocol": "consumer"}
        classic = {"heartbeat_interval_ms": 500, "session_timeout_ms": 6000}
        self.consumer = KafkaConsumer(
            bootstrap_servers=scenario["bootstrap"], group_id=group, auto_offset_reset="earliest",
            **(new if scenario["how"] == "consumer" else classic),
        )  # fmt: skip
        self.consumer.subscribe([scenario["topic"]], listener=self)
        self.close = self.consumer.close

    def on_partitions_assigned(self, assigned: Any) -> None:
        self.assigned(len(assigned))

    def on_partitions_revoked(self, revoked: Any) -> None:
        self.revoked(len(revoked))

    def poll(self, seconds: float) -> None:
        self.consumer.poll(seconds * 1000)


def join(scenario: Scenario) -> dict[str, float]:
    return waiting.joined(scenario, partial(Joining, scenario))


def idle(scenario: Scenario) -> dict[str, float]:
    """All partitions are assigned, and nothing comes: a share of one processor's time."""
    measured, clock = Measured(), time.perf_counter
    with KafkaConsumer(bootstrap_servers=scenario["bootstrap"], **secured(scenario)) as consumer:
        consumer.assign([TopicPartition(scenario["topic"], number) for number in range(scenario["partitions"])])
        for seconds in (2.0, scenario["seconds"]):  # the first is to warm up
            measured.start()
            end = clock() + seconds
            while (left := end - clock()) > 0:
                if consumer.poll(left * 1000):
                    raise RuntimeError("there is something to read")
            found = measured.stop(1)
    return {"cpu_percent": found["cpu_us"] / found["seconds"] / 1e4, "peak_mb": found["peak_mb"]}


def slow(scenario: Scenario) -> dict[str, float]:
    """Reads five records a second, and whatever else is there is waiting for it."""
    measured, seen = Measured(), 0
    with consumer_for(scenario, max_poll_records=1) as consumer:
        measured.start()
        end = time.perf_counter() + scenario["seconds"]
        while time.perf_counter() < end:
            for records in consumer.poll(60_000).values():
                for record in records:
                    if len(record.value) != scenario["size"]:
                        raise RuntimeError(f"a record of {len(record.value)} bytes")
                    seen += 1
                    time.sleep(0.2)
        return measured.stop(seen)


if __name__ == "__main__":
    shared.run({
        "produce": produce, "latency": latency, "consume": consume, "offer": offer, "arrive": arrive, "first": first,
        "join": join, "idle": idle, "slow": slow,
    })  # fmt: skip
