"""No object of the extensions ends the interpreter, however it was come by and whatever is called on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reader import Reader

import kafka._codec
from kafka import KafkaConsumer, KafkaProducer
from kafka._codec import Accumulator, Batch, FutureRecordMetadata, ManualHost, ProducerBase, Unsent
from kafka.client import Client
from kafka.errors import IllegalStateError
from kafka.producer.waiting import WaitingProducer
from tests.trying import try_send, try_send_many

ROOT = Path(__file__).parents[1]

# Each class, made in every way there is; then each of its methods and attributes, with arguments of many kinds.
TRY_EVERYTHING = """
import copy, faulthandler, itertools, sys
faulthandler.enable()
import kafka._codec as codec
import kafka.drivers._turn as turn
from kafka.errors import KafkaError

ARGUMENTS = [(), (None,), (0,), (1.0,), ("t",), (b"x",), (KafkaError("no"),), ("t", b"x"), (1, 1), (None, None),
             ({}, KafkaError("no")), (print,), ([],), ("t", [b"x"])]

def attempt(function, *arguments):
    try:
        return function(*arguments)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return error

made = []
for module in (codec, turn):
    for cls in [value for value in vars(module).values() if isinstance(value, type)]:
        if cls.__module__ != module.__name__ or issubclass(cls, BaseException):
            continue
        for arguments in ((), (None,), (None, "t", 0), (codec.ManualHost(),), ("t", None, None)):
            made.append(attempt(cls, *arguments))
            made.append(attempt(cls.__new__, cls, *arguments))
        made.append(attempt(object.__new__, cls))
        made.append(attempt(lambda: type("Sub", (cls,), {"__new__": lambda cls: object.__new__(cls)})()))
        made.append(attempt(lambda: type("Sub", (cls,), {"__init__": lambda self: None})()))
made = [thing for thing in made if not isinstance(thing, BaseException)]
# And what comes about in earnest.
accumulator = codec.Accumulator(codec.ManualHost(), memory=1 << 16, linger=0.0, delivery_timeout=1.0)
producer = codec.ProducerBase(accumulator)
producer.waits = False
made += [accumulator, producer, codec.Queue(accumulator, "t", 0), codec.TopicQueues(accumulator, "u", -1)]
made += [producer.send("t", b"v", b"key"), producer.send_many("t", [b"v"], [b"key"])]
made += [producer.send("t", b"v"), producer.send_many("t", [b"v", b"w"])]
(queue,) = accumulator.take_ready(0.0)
batch = queue.pull(0.0)
made += [queue, batch, batch.cell, producer.send("t", bytes(60000)), producer.send("t", bytes(20000))]
deferred = []
producer.send("v", b"v", b"key").defer(deferred.append)
made += deferred
full = producer.send_many("t", [bytes(20000)])
full.queue_up(print)
from tests.consumer.batches import batch, fetched
columns = codec.take_columns(fetched(batch([(b"k", None, [("h", b"1")])])), 10, 10)
made += [columns, columns.keys, columns.headers, columns.offsets.obj]
made += [full, codec.RecordWriter(), codec.Record(0, 0, 0, None, None)]
made += [attempt(copy.copy, thing) for thing in made]
names = set()
for thing in made:
    for name in dir(thing):
        if name in ("__class__", "__init_subclass__", "__subclasshook__", "__reduce__", "__reduce_ex__", "run"):
            continue
        names.add(name)
        found = attempt(getattr, thing, name)
        if callable(found):
            for arguments in ARGUMENTS:
                attempt(found, *arguments)
    attempt(memoryview, thing)
print(len(made), len(names))
"""


def test_whatever_is_called_on_whatever_can_be_made() -> None:
    done = subprocess.run([sys.executable, "-c", TRY_EVERYTHING], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    objects, names = map(int, done.stdout.split()[-2:])
    assert objects > 10 and names > 50  # it did something


EMPTY_INSIDE = (
    "ArrowChunk", "Batch", "Block", "BytesColumn", "Cell", "Column", "Deferred", "Failures", "Future",
    "FutureRecordMetadata", "FutureRecords", "HeadersColumn", "Ledger", "Memory", "Page", "Plan", "RecordColumns",
    "Rows", "Spliced", "Unsent", "UnsentCall", "UnsentRecord", "UnsentRecords",
)  # fmt: skip


@pytest.mark.parametrize("name", EMPTY_INSIDE)
def test_what_would_be_empty_inside_cannot_be_made(name: str) -> None:
    cls = getattr(kafka._codec, name)
    with pytest.raises(TypeError, match="cannot create"):
        cls()
    with pytest.raises(TypeError, match="not safe"):
        cls.__new__(cls)
    with pytest.raises(TypeError, match="cannot create|not an acceptable base type"):
        type("Sub", (cls,), {})()


def test_every_class_of_the_extensions_is_tried() -> None:
    """Those that Python code may make, and those that it cannot; the names are in TRY_EVERYTHING's modules."""
    import kafka.drivers._turn

    found = {
        name
        for module in (kafka._codec, kafka.drivers._turn)
        for name, cls in vars(module).items()
        if isinstance(cls, type)
        and cls.__module__ == module.__name__
        and not cls.__flags__ & 1 << 9  # a class statement's
    }
    assert found - set(EMPTY_INSIDE) == {
        "Accumulator", "ConsumerBase", "ConsumerRecord", "Fetched", "ForeignWaiters", "FutureBase", "ManualHost",
        "NoCondition", "Pins", "ProducerBase", "Queue", "ReadPosition", "ReadRules", "Record", "RecordWriter",
        "TopicQueues", "Turn",
    }  # fmt: skip


@pytest.mark.parametrize("cls", [KafkaProducer, ProducerBase, WaitingProducer])
def test_a_producer_that_was_not_initialized_says_so(cls: type[ProducerBase]) -> None:
    producer = cls.__new__(cls)
    for call in (
        lambda: producer.send("t", b"v"),
        lambda: producer.send_many("t", [b"v"]),
        lambda: try_send(producer, "t", b"v"),
        lambda: try_send_many(producer, "t", [b"v"]),
    ):
        with pytest.raises(IllegalStateError, match="__init__"):
            call()
    if cls is KafkaProducer:
        producer._closed = True  # type: ignore[attr-defined]  # nothing to be closed when it is dropped


@pytest.mark.parametrize("base", [KafkaProducer, KafkaConsumer, Reader])
def test_a_client_whose_init_was_not_called_says_so(base: type[Client]) -> None:
    def without(self: Client) -> None:
        pass

    client: Any = type("Sub", (base,), {"__init__": without})()
    assert repr(client) == "<Sub without __init__()>"
    calls: list[Callable[[], object]] = [client.health, client.bootstrap_connected]
    if base is KafkaProducer:
        calls += [
            client.metrics,
            client.begin_transaction,
            client.transaction().__enter__,
            lambda: client.buffered_bytes,
            lambda: client.partitions_for("t"),
        ]
    elif base is KafkaConsumer:
        calls += [client.assignment, client.poll, client.paused, client.subscription, client.wakeup]
    else:
        calls += [lambda: client.partitions("t"), lambda: client.create_topic("t", 1)]
    for call in calls:
        with pytest.raises(IllegalStateError, match=r"Sub.__init__\(\) has not been called"):
            call()
    client.close()  # nothing is open
    with client:
        pass
    assert not hasattr(client, "config") and getattr(client, "something", None) is None


def test_a_topic_without_partitions_is_one_of_which_nothing_is_known() -> None:
    accumulator = Accumulator(ManualHost(), memory=1 << 20, linger=0.0, delivery_timeout=1.0)
    for count in (0, -5):
        accumulator.set_partition_count("t", count)
        for partitioner in ("murmur2", "crc32", "round_robin"):
            unsent = try_send(ProducerBase(accumulator, partitioner=partitioner), "t", b"v", b"key")
            assert not isinstance(unsent, FutureRecordMetadata) and unsent.partitions == "t"


def test_a_host_lives_as_long_as_its_accumulator() -> None:
    class Made:
        def host_capsule(self) -> object:
            return ManualHost().host_capsule()  # nobody else keeps that one

    accumulators = [Accumulator(Made(), memory=1 << 16, linger=1.0, delivery_timeout=1.0) for _ in range(100)]
    others = [bytearray(b"\xff" * size) for size in range(16, 256) for _ in range(10)]
    for accumulator in accumulators:
        assert accumulator.now() == 0.0
        future = try_send(ProducerBase(accumulator), "t", b"v")
        assert isinstance(future, FutureRecordMetadata)
    del others


def test_futures_and_batches_are_neither_copied_nor_pickled() -> None:
    import copy
    import pickle

    accumulator = Accumulator(ManualHost(), memory=1 << 20, linger=0.0, delivery_timeout=1.0)
    future = ProducerBase(accumulator).send("t", b"v")
    many = ProducerBase(accumulator).send_many("t", [b"v"])
    (queue,) = accumulator.take_ready(0.0)
    batch = queue.pull(0.0)
    assert isinstance(batch, Batch)
    for thing in (future, many, batch, batch.cell):
        with pytest.raises(TypeError, match="pickle|copy"):
            copy.copy(thing)
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(thing)


def test_what_a_number_compares_as_is_not_believed() -> None:
    class Liar(int):
        def __lt__(self, other: object) -> bool:
            return False

        __gt__ = __le__ = __ge__ = __lt__

    accumulator = Accumulator(ManualHost(), memory=1 << 16, linger=0.0, delivery_timeout=1.0)
    accumulator.set_partition_count("t", 3)
    for number in (-100_000, 1 << 40, 1 << 80):
        with pytest.raises(ValueError, match="must not be negative, and fit 32 bits"):
            ProducerBase(accumulator).send("t", b"v", partition=Liar(number))
    producer = ProducerBase(accumulator)
    producer.waits = False
    unsent = producer.send("t", b"v", partition=Liar(3))
    assert isinstance(unsent, Unsent) and (unsent.partitions, unsent.least) == ("t", 4)


def test_headers_are_what_they_hold() -> None:
    class Growing(tuple):  # type: ignore[type-arg]
        def __getitem__(self, index: object) -> object:
            return bytes(10_000_000)

        def __len__(self) -> int:
            return 2

    accumulator = Accumulator(ManualHost(), memory=1 << 16, linger=0.0, delivery_timeout=1.0)
    future = ProducerBase(accumulator).send("t", b"v", headers=[Growing(("name", b"value"))])  # type: ignore[list-item]
    assert isinstance(future, FutureRecordMetadata)


def test_producers_that_share_an_accumulator() -> None:
    accumulator = Accumulator(ManualHost(), memory=1 << 20, linger=3600.0, delivery_timeout=1.0)
    one, other = ProducerBase(accumulator), ProducerBase(accumulator)
    for _ in range(40):
        one.send_many("other", [b"v"])
        other.send_many("other", [b"v"])
    futures = [one.send_many("t", [b"a"] * 3), other.send_many("t", [b"b"] * 3)]
    accumulator.make_all_ready()
    for queue in accumulator.take_ready(0.0):
        batch = queue.pull(0.0)
        batch.bind(0)
        batch.complete(0)
    assert [len(future.get(0)) for future in futures] == [3, 3]
