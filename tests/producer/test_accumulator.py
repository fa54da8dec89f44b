"""The accumulator and the hot half of the producer on a clock that is a variable: no thread, no socket."""

from __future__ import annotations

import enum
import gc
import random
import threading
import zlib
from typing import Any

import pytest

from kafka._codec import Accumulator, Batch, ManualHost, Queue, murmur2
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from kafka.producer.waiting import WaitingProducer, Waits
from kafka.records import CODECS, Record, read_batches
from kafka.records.compression import Codec

KIB = 1024
MIB = 1024 * KIB


class Producer(WaitingProducer):
    def _refuse(self) -> Any:
        raise RuntimeError("closed")


class Setup:
    """An accumulator, the half producer over it, and its clock."""

    def __init__(self, *, partitioner: Any = None, max_block: float = 0.0, **options: Any) -> None:
        self.host = ManualHost()
        self.host.now = 100.0
        self.host.wall_ms = 1_700_000_000_000
        options = {"memory": 32 * MIB, "linger": 0.005, "delivery_timeout": 120.0, **options}
        self.accumulator = Accumulator(self.host, waits=Waits(), **options)
        self.producer = Producer(
            self.accumulator,
            partitioner=partitioner,
            max_block=max_block,
            max_request_size=options.get("max_request_size", MIB),
        )
        self.send = self.producer.send

    def ready(self) -> list[Queue]:
        return self.accumulator.take_ready(self.host.now)

    def pull_all(self) -> list[Batch]:
        """Every batch that may be sent now."""
        batches = []
        for queue in self.ready():
            while (batch := queue.pull(self.host.now)) is not None:
                batches.append(batch)
        return batches


def records_of(batch: Batch) -> list[Record]:
    batch.stamp()
    parsed = [item.unwrap() for item in read_batches(memoryview(batch))]
    assert len(parsed) == 1 and parsed[0].count == batch.records
    return parsed[0].records().unwrap()


# -- when a batch may be sent ------------------------------------------------------------------------------------------


def test_a_batch_lingers_and_is_then_ready_once() -> None:
    it = Setup()
    it.send("t", b"1")
    assert it.ready() == []
    assert it.accumulator.next_deadline() == pytest.approx(100.005)
    it.host.now = 100.0049
    assert it.ready() == []
    it.host.now = 100.0051
    [queue] = it.ready()
    assert it.ready() == []  # once
    it.send("t", b"2")  # into the same batch, still
    batch = queue.pull(it.host.now)
    assert batch is not None and [record.value for record in records_of(batch)] == [b"1", b"2"]
    assert queue.pull(it.host.now) is None
    assert it.accumulator.next_deadline() == float("inf")
    it.send("t", b"3")
    assert it.ready() == []
    it.host.now += 0.006
    assert it.ready() == [queue]  # armed again


def test_a_record_that_came_before_the_io_thread_sleeps_is_not_slept_over() -> None:
    it = Setup(linger=0.05)
    until = it.accumulator.next_deadline()
    it.send("t", b"x")  # the IO thread has seen that there is nothing to do, and does not sleep yet
    assert it.host.wakes == 0
    assert not it.accumulator.sleep(min(until, it.host.now + 5.0))
    assert it.accumulator.sleep(it.accumulator.next_deadline())


def test_without_linger_a_record_is_ready_at_once() -> None:
    it = Setup(linger=0.0)
    it.send("t", b"1")
    assert [batch.records for batch in it.pull_all()] == [1]


def test_one_of_two_queues_that_were_filled_together_does_not_hold_up_the_other() -> None:
    it = Setup()
    it.accumulator.set_partition_count("t", 2)
    it.send("t", b"a", partition=0)
    it.host.now += 0.003
    it.send("t", b"b", partition=1)
    it.host.now += 0.003
    assert [queue.partition for queue in it.ready()] == [0]
    assert it.accumulator.next_deadline() == pytest.approx(100.008)
    it.host.now += 0.003
    assert [queue.partition for queue in it.ready()] == [1]


def test_flush_makes_all_sendable_and_only_while_it_lasts() -> None:
    it = Setup(linger=60.0)
    future = it.send("t", b"1")
    it.accumulator.begin_flush()
    [batch] = it.pull_all()
    it.accumulator.end_flush()
    it.send("t", b"2")
    assert it.pull_all() == []
    assert not future.is_done
    batch.complete(7)
    assert future.is_done and future.value.offset == 7


def test_a_given_batch_size_is_an_upper_bound() -> None:
    it = Setup(linger=60.0, batch_size=1000)
    for number in range(100):
        it.send("t", b"%099d" % number)
    batches = it.pull_all()
    assert all(batch.size <= 1000 for batch in batches)
    assert all(batch.size > 800 for batch in batches)
    it.accumulator.make_all_ready()
    it.accumulator.begin_flush()
    batches += it.pull_all()
    assert [record.value for batch in batches for record in records_of(batch)] == [b"%099d" % i for i in range(100)]


def test_without_one_a_batch_goes_from_16_kib_on_and_grows_to_256_kib() -> None:
    it = Setup(linger=60.0)
    while not (ready := it.ready()):
        it.send("t", bytes(100))
        assert it.accumulator.used < 64 * KIB
    for _ in range(20_000):  # nobody takes it: the connection is busy
        it.send("t", bytes(100))
    batches = []
    while (batch := ready[0].pull(it.host.now)) is not None:
        batches.append(batch)
    assert sum(batch.records for batch in batches) >= 20_000
    assert all(250 * KIB < batch.size <= 256 * KIB for batch in batches[:-1])
    assert batches[-1].size <= 256 * KIB

    it = Setup(linger=60.0)
    while not (ready := it.ready()):  # taken at once, they stay small
        it.send("t", bytes(100))
    batch = ready[0].pull(it.host.now)
    assert batch is not None and 16 * KIB <= batch.size <= 17 * KIB


def test_a_batch_never_grows_past_max_request_size() -> None:
    it = Setup(linger=60.0, max_request_size=20 * KIB)
    for _ in range(1000):
        it.send("t", bytes(100))
    batches = it.pull_all()
    assert len(batches) > 4 and all(batch.size <= 20 * KIB for batch in batches)


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [0, 1, 1000, 200_000])
def test_memory_is_accounted_for_and_returns_to_0(batch_size: int) -> None:
    it = Setup(memory=MIB, linger=60.0, batch_size=batch_size)
    randomness = random.Random(batch_size)
    it.accumulator.set_partition_count("t", 5)
    sent = 0
    with pytest.raises(KafkaTimeoutError, match=rf"{MIB}.*max_block_ms"):
        while it.accumulator.used <= MIB:
            it.send("t", bytes(randomness.randrange(3000)), partition=randomness.randrange(5))
            sent += 1
    assert sent > 300
    it.accumulator.begin_flush()
    batches = it.pull_all()
    assert sum(batch.records for batch in batches) == sent
    for batch in batches:
        batch.complete(0)
    assert it.accumulator.used > 0  # still referenced
    view = memoryview(batches[0])
    del batches, batch
    assert it.accumulator.used >= len(view)
    del view
    assert it.accumulator.used == 0
    assert it.accumulator.unresolved() == []


def test_a_future_does_not_keep_the_bytes() -> None:
    it = Setup(linger=0.0)
    futures = [it.send("t", bytes(100_000)) for _ in range(10)]
    batches = it.pull_all()
    for batch in batches:
        batch.complete(0)
    del batch, batches
    assert it.accumulator.used == 0
    assert all(future.value.serialized_value_size == 100_000 for future in futures)


def test_10_000_topics_fit_in_the_default_memory() -> None:
    it = Setup(linger=0.005)
    for number in range(10_000):
        it.send(f"topic-{number}", b"x" * 100)
    assert it.accumulator.used <= 16 * MIB
    it.host.now += 1
    queues = it.ready()
    assert [queue.topic for queue in queues] == [f"topic-{number}" for number in range(10_000)]
    assert all((batch := queue.pull(it.host.now)) is not None and batch.records == 1 for queue in queues)
    assert it.ready() == []


def test_a_topic_may_be_of_a_kind_of_str() -> None:
    class Topic(str, enum.Enum):
        ORDERS = "orders"

    it = Setup(linger=0.0)
    it.send(Topic.ORDERS, b"first")
    it.send("orders", b"second")
    it.send(Topic.ORDERS, b"third")
    it.producer.send_many(Topic.ORDERS, [b"fourth"])
    [queue] = it.ready()
    batch = queue.pull(it.host.now)
    assert batch is not None and batch.records == 4 and type(batch.topic) is str and batch.topic == "orders"


def test_what_a_fork_left_behind_is_freed() -> None:
    it = Setup()
    mine = id(it.accumulator)  # others may end meanwhile: threads of other tests held them

    def is_alive() -> bool:
        gc.collect()
        return any(type(found) is Accumulator and id(found) == mine for found in gc.get_objects())

    future = it.send("t", b"x")
    it.accumulator.abandon(KafkaError("forked"))
    assert is_alive()
    del it
    assert isinstance(future.exception, KafkaError)
    del future
    assert not is_alive()


def test_topics_in_any_order() -> None:
    it = Setup()
    names = [f"topic-{number}" for number in range(5)]
    order = random.Random(7)
    sent: dict[str, list[bytes]] = {name: [] for name in names}
    for number in range(2_000):
        # Rounds in the same order, broken by names out of turn, equal ones that are other objects among them.
        name = names[number % 5]
        if number % 11 == 0:
            name = order.choice(names)
        it.send(name if number % 7 else "".join(name), value := b"%d" % number)
        sent[name].append(value)
    it.host.now += 1
    arrived: dict[str, list[bytes]] = {name: [] for name in names}
    for batch in it.pull_all():
        arrived[batch.topic] += [bytes(record.value or b"") for record in records_of(batch)]
    assert arrived == sent


def test_whoever_waits_for_memory_makes_every_batch_ready_and_goes_on_when_some_is_free() -> None:
    it = Setup(memory=300 * KIB, linger=3600.0, max_block=30.0)
    it.send("a", bytes(100 * KIB))
    it.send("b", bytes(100))
    assert [queue.topic for queue in it.ready()] == ["a"]  # past 16 KiB; b lingers for an hour
    done: list[Any] = []
    waiting = threading.Thread(target=lambda: done.append(it.send("c", bytes(250 * KIB))), daemon=True)
    waiting.start()
    while not (queues := it.ready()):
        pass
    assert [queue.topic for queue in queues] == ["b"]
    queue = queues[0]
    batch = queue.pull(it.host.now)
    assert batch is not None and not done
    batch.complete(1)
    del batch
    it.accumulator.begin_flush()
    assert not done
    it.accumulator.take_expired(float("inf"))[0].complete(5)  # a's
    while not done:
        it.accumulator.wake_waiters()
    waiting.join()
    assert not done[0].is_done


def test_a_record_larger_than_a_batch_has_one_of_its_own() -> None:
    it = Setup(linger=60.0, batch_size=1000)
    it.send("t", b"small")
    it.send("t", b"L" * 500_000)
    it.send("t", b"after")
    it.accumulator.begin_flush()
    batches = it.pull_all()
    assert [[len(record.value or b"") for record in records_of(batch)] for batch in batches] == [[5], [500_000], [5]]


def test_too_large_records_are_refused_with_size_and_limit() -> None:
    it = Setup(linger=60.0)
    with pytest.raises(MessageSizeTooLargeError, match=r"1\d{6} bytes.*max_request_size.*1048576"):
        it.send("t", bytes(MIB))
    it = Setup(memory=10_000)
    with pytest.raises(MessageSizeTooLargeError, match=r"buffer_memory.*10000"):
        it.send("t", bytes(20_000))
    assert it.accumulator.used == 0
    it.send("t", bytes(9_000))
    it = Setup(linger=60.0)
    it.send("t", bytes(MIB - 200))  # just fits
    [batch] = it.pull_all()
    assert batch.size <= MIB


# -- what becomes of batches -------------------------------------------------------------------------------------------


def test_batches_expire_in_the_order_of_their_creation_and_only_what_is_due() -> None:
    it = Setup(linger=0.0, delivery_timeout=10.0)
    it.accumulator.set_partition_count("t", 3)
    for number, partition in enumerate([2, 0, 1, 0]):
        it.send("t", b"%d" % number, partition=partition)
        it.host.now += 1  # created at 100, 101, 102; the fourth goes into the second's batch
    assert it.accumulator.next_deadline() == pytest.approx(min(110.0, it.accumulator.next_deadline()))
    it.host.now = 109.9
    assert it.accumulator.take_expired(it.host.now) == []
    it.host.now = 111.5
    expired = it.accumulator.take_expired(it.host.now)
    assert [(batch.partition, batch.records) for batch in expired] == [(2, 1), (0, 2)]
    assert [batch.deadline for batch in expired] == [110.0, 111.0]
    left = it.pull_all()
    assert [batch.partition for batch in left] == [1]
    for batch in expired + left:
        batch.fail(KafkaTimeoutError("late"))
    del batch, expired, left
    assert it.accumulator.used == 0


def test_a_taken_batch_is_not_expired_again() -> None:
    it = Setup(linger=0.0, delivery_timeout=10.0)
    it.send("t", b"1")
    [batch] = it.pull_all()
    it.host.now = 1000.0
    assert it.accumulator.take_expired(it.host.now) == []
    batch.complete(0)


def test_an_open_batch_that_expired_is_followed_by_a_new_one() -> None:
    it = Setup(linger=3600.0, delivery_timeout=10.0)
    first = it.send("t", b"1")
    it.host.now = 120.0
    [batch] = it.accumulator.take_expired(it.host.now)
    batch.fail(KafkaTimeoutError("late"))
    second = it.send("t", b"2")
    it.accumulator.begin_flush()
    [batch] = it.pull_all()
    assert [record.value for record in records_of(batch)] == [b"2"]
    batch.complete(3)
    assert first.failed() and second.succeeded()


def test_failures_are_counted_until_somebody_looks() -> None:
    it = Setup(linger=0.0)
    it.accumulator.set_partition_count("t", 2)
    futures = [it.send("t", b"x", partition=number % 2) for number in range(10)]
    errors = [KafkaTimeoutError("first"), KafkaTimeoutError("second")]
    for batch in it.pull_all():
        batch.fail(errors[batch.partition])
    assert it.accumulator.failures == {("t", 0): [5, errors[0]], ("t", 1): [5, errors[1]]}
    assert futures[0].exception is errors[0]
    assert futures[0].exception is errors[0]  # looking twice counts once
    with pytest.raises(KafkaTimeoutError):
        futures[2].get()
    for number in (1, 3, 5, 7, 9):
        assert futures[number].failed()
    assert it.accumulator.take_failures() == {("t", 0): [3, errors[0]]}
    assert futures[4].exception is errors[0]
    assert it.accumulator.take_failures() == {}


# -- what is in a batch ------------------------------------------------------------------------------------------------


def test_a_batch_is_what_the_reader_reads() -> None:
    it = Setup(linger=60.0, batch_size=MIB)
    it.accumulator.set_partition_count("t", 1)
    randomness = random.Random(7)

    def data(limit: int) -> bytes | None:
        return None if randomness.random() < 0.2 else randomness.randbytes(randomness.randrange(limit))

    wanted = []
    for _ in range(2000):
        key, value = data(20), data(200)
        if key is None and value is None:
            value = b""
        headers = [
            ("é" * randomness.randrange(70), data(100)) for _ in range(randomness.randrange(4))
        ]  # doubled names are legal
        timestamp = 1_700_000_000_000 + randomness.choice([0, 1, -1, 10**9, -(10**9), randomness.randrange(-99, 99)])
        it.send("t", value, key=key, headers=headers, partition=0, timestamp_ms=timestamp)
        wanted.append((key, value, tuple(headers), timestamp))
    it.accumulator.begin_flush()
    [batch] = it.pull_all()
    assert [(r.key, r.value, r.headers, r.timestamp) for r in records_of(batch)] == wanted


@pytest.mark.parametrize(
    "timestamps",
    [[0, 2**62], [2**62, 0], [5, 3, 1], [2**63 - 1, 0, 2**63 - 1], [1, 2**31, 2**31 - 1, 2**32, 2**33]],
)
def test_timestamps_far_apart(timestamps: list[int]) -> None:
    it = Setup(linger=0.0)
    futures = [it.send("t", b"x", timestamp_ms=timestamp) for timestamp in timestamps]
    [batch] = it.pull_all()
    batch.stamp()
    [parsed] = [item.unwrap() for item in read_batches(memoryview(batch))]
    assert [record.timestamp for record in parsed.records().unwrap()] == timestamps
    assert parsed.max_timestamp == max(timestamps)
    batch.complete(0)
    assert [future.value.timestamp for future in futures] == timestamps


def test_the_clock_dates_a_record_that_has_no_timestamp() -> None:
    it = Setup(linger=0.0)
    future = it.send("t", b"x")
    it.host.wall_ms += 5
    it.send("t", b"y")
    [batch] = it.pull_all()
    assert [record.timestamp - 1_700_000_000_000 for record in records_of(batch)] == [0, 5]
    batch.complete(10, log_append_time=1_800_000_000_000)
    assert future.value.timestamp == 1_800_000_000_000


@pytest.mark.parametrize("compression", CODECS[1:])
def test_compressed_batches(compression: str) -> None:
    it = Setup(linger=60.0, codec=Codec(compression))
    for number in range(1000):
        it.send("t", b"%0100d" % number, key=None)
    it.accumulator.begin_flush()
    batches = it.pull_all()
    values = []
    for batch in batches:
        before = batch.size
        batch.compress()
        assert batch.size < before
        values += [record.value for record in records_of(batch)]
    assert values == [b"%0100d" % number for number in range(1000)]
    assert it.accumulator.used >= sum(batch.size for batch in batches)
    for batch in batches:
        batch.complete(0)
    del batch, batches
    assert it.accumulator.used == 0


# -- partitions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    # Kafka's own UtilsTest.
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_javas(key: bytes, value: int) -> None:
    assert (murmur2(key) - value) % 2**32 == 0
    for count in (1, 3, 7, 100):
        it = Setup(linger=0.0)
        it.accumulator.set_partition_count("t", count)
        future = it.send("t", b"x", key=key)
        many = it.producer.send_many("t", [b"x"], keys=[key])
        assert future.topic_partition is not None
        assert future.topic_partition.partition == (value & 0x7FFFFFFF) % count
        for batch in it.pull_all():
            batch.complete(0)
        assert many.get()[0].partition == future.topic_partition.partition


def test_the_empty_key_is_a_key() -> None:
    it = Setup(linger=0.0)
    it.accumulator.set_partition_count("t", 10)
    future = it.send("t", b"x", key=b"")
    assert future.topic_partition is not None
    assert future.topic_partition.partition == (murmur2(b"") & 0x7FFFFFFF) % 10
    assert it.send("t", b"x").topic_partition is None


@pytest.mark.parametrize(
    ("key", "crc"), [(b"123456789", 0xCBF43926), (b"a", 0xE8B7BE43), (b"abc", 0x352441C2), (bytes(32), 0x190A55AD)]
)
def test_crc32_is_librdkafkas(key: bytes, crc: int) -> None:
    assert zlib.crc32(key) == crc
    for count in (1, 3, 7, 100):
        it = Setup(linger=0.0, partitioner="crc32")
        it.accumulator.set_partition_count("t", count)
        future = it.send("t", b"x", key=key)
        many = it.producer.send_many("t", [b"x"], keys=[key])
        assert future.topic_partition is not None and future.topic_partition.partition == crc % count
        for batch in it.pull_all():
            batch.complete(0)
        assert many.get()[0].partition == crc % count


def test_crc32_takes_an_empty_key_for_none() -> None:
    it = Setup(linger=0.0, partitioner="crc32")  # as librdkafka's consistent_random
    it.accumulator.set_partition_count("t", 10)
    assert it.send("t", b"x", key=b"").topic_partition is None
    assert it.send("t", b"x").topic_partition is None
    it.producer.send_many("t", [b"x"], keys=[b""])
    assert [(batch.partition, batch.records) for batch in it.pull_all()] == [(-1, 3)]


def test_round_robin_takes_the_partitions_in_turn_whatever_the_key() -> None:
    it = Setup(linger=0.0, partitioner="round_robin")
    it.accumulator.set_partition_count("t", 3)
    it.accumulator.set_partition_count("u", 2)
    places = []
    for number in range(7):
        for topic in ("t", "u"):
            future = it.send(topic, b"x", key=None if number % 2 else b"key")
            assert future.topic_partition is not None
            places.append(future.topic_partition.partition)
    assert places[::2] == [0, 1, 2, 0, 1, 2, 0]
    assert places[1::2] == [0, 1, 0, 1, 0, 1, 0]
    assert it.send("t", b"x", partition=2).topic_partition == ("t", 2)  # which is no turn
    many = it.producer.send_many("t", [b"x"] * 4, keys=[b"k", None, b"k", b"k"])
    it.accumulator.set_partition_count("t", 4)
    last = it.producer.send_many("t", [b"x"] * 3)
    for batch in it.pull_all():
        batch.complete(0)
    assert [metadata.partition for metadata in many.get()] == [1, 2, 0, 1]
    assert [metadata.partition for metadata in last.get()] == [2, 3, 0]


def test_an_unknown_name_of_a_partitioner() -> None:
    with pytest.raises(ValueError, match=r"'murmur3'.*crc32"):
        Setup(partitioner="murmur3")


class Picky:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def partition(self, *arguments: Any) -> Any:
        return self.answer


@pytest.mark.parametrize("answer", [None, 1.5, "0", -1, 5, True])
def test_a_partitioner_that_answers_nonsense(answer: Any) -> None:
    class Refusing(Producer):
        def _partition_out_of_range(self, topic: str, partition: int, count: int) -> None:
            raise ValueError(f"{partition} of {count}")

        def _cluster(self) -> Any:
            return None

    it = Setup()
    it.accumulator.set_partition_count("t", 5)
    producer = Refusing(it.accumulator, partitioner=Picky(answer))
    with pytest.raises((TypeError, ValueError)):
        producer.send("t", b"x")
    with pytest.raises((TypeError, ValueError)):
        producer.send_many("t", [b"x"])
    assert it.accumulator.used == 0


# -- wrong arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, ValueError),
        ({"value": "text"}, TypeError),
        ({"value": 1}, TypeError),
        ({"value": ["list"]}, TypeError),
        ({"key": "text", "value": b"x"}, TypeError),
        ({"value": b"x", "headers": {"a": b"b"}}, TypeError),
        ({"value": b"x", "headers": "ab"}, TypeError),
        ({"value": b"x", "headers": [("a", "b")]}, TypeError),
        ({"value": b"x", "headers": [(b"a", b"b")]}, TypeError),
        ({"value": b"x", "headers": [("a",)]}, (TypeError, ValueError)),
        ({"value": b"x", "headers": [None]}, TypeError),
        ({"value": b"x", "headers": ["ab"]}, TypeError),
        ({"value": b"x", "headers": 0}, TypeError),
        ({"value": b"x", "headers": [("\ud800", b"b")]}, ValueError),
        ({"value": b"x", "timestamp_ms": 1.5}, TypeError),
        ({"value": b"x", "timestamp_ms": "now"}, TypeError),
        ({"value": b"x", "timestamp_ms": 2**63}, ValueError),
        ({"value": b"x", "partition": "0"}, TypeError),
        ({"value": b"x", "partition": -1}, ValueError),
        ({"value": b"x", "partition": 2**40}, ValueError),
        ({"value": b"x", "partition": True}, TypeError),
    ],
)
def test_wrong_arguments_raise_at_once_and_take_nothing(arguments: dict[str, Any], error: Any) -> None:
    it = Setup()
    it.accumulator.set_partition_count("t", 1)
    with pytest.raises(error):
        it.send("t", **arguments)
    assert it.accumulator.used == 0 and it.accumulator.unresolved() == []


@pytest.mark.parametrize("topic", ["", ".", "..", "a b", "ä", "x" * 250, "a/b", "a\n", None, b"t", 1])
def test_illegal_topics(topic: Any) -> None:
    it = Setup()
    with pytest.raises((TypeError, ValueError)):
        it.send(topic, b"x")
    with pytest.raises((TypeError, ValueError)):
        it.producer.send_many(topic, [b"x"])
    it.send("x" * 249, b"x")


class Text(str):
    pass


def test_what_is_almost_a_type_is_good_enough() -> None:
    it = Setup(linger=0.0)
    it.accumulator.set_partition_count("t", 1)
    for value in (bytearray(b"x"), memoryview(b"x"), memoryview(b"_x_")[1:2]):
        it.send(Text("t"), value, key=value, partition=0)
    [batch] = it.pull_all()
    assert [(record.key, record.value) for record in records_of(batch)] == [(b"x", b"x")] * 3
