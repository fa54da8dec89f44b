"""How batches end: all records alike, some of them otherwise, in parts; and what stamping does to their bytes."""

from __future__ import annotations

import gc
import itertools
import random
import struct
import threading
import time
from typing import Any

import pytest

from kafka._codec import Batch, FutureRecordMetadata, FutureRecords
from kafka.errors import (
    DeliveryFailed,
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
)
from kafka.producer.waiting import wait_for
from kafka.records import CODECS, Record, RecordBatch, read_batches
from kafka.records.compression import Codec
from kafka.result import Err, Ok
from kafka.structs import TopicPartition
from tests.producer.test_accumulator import MIB, Setup, records_of


def one_batch(records: int, **options: Any) -> tuple[Setup, FutureRecords, list[FutureRecordMetadata], Batch]:
    """A batch for partition 0 with so many records from `send_many`, then as many from `send`."""
    it = Setup(linger=60.0, batch_size=MIB, **options)
    it.accumulator.set_partition_count("t", 1)
    many = it.producer.send_many("t", [b"%d" % number for number in range(records)], partition=0)
    singles = [it.send("t", b"%d" % number, partition=0) for number in range(records)]
    it.accumulator.begin_flush()
    [batch] = it.pull_all()
    it.accumulator.end_flush()
    return it, many, singles, batch


def parsed(batch: Batch) -> RecordBatch:
    batch.stamp()
    [result] = read_batches(memoryview(batch))
    return result.unwrap()  # type: ignore[return-value]


# -- errors of single records ------------------------------------------------------------------------------------------


def test_each_record_has_its_own_error() -> None:
    it, many, singles, batch = one_batch(5)
    wrong, other = InvalidRecordError("too old"), KafkaError("because of another")
    batch.fail_records({1: wrong, 2: wrong, 7: wrong}, other)
    expected = [other, wrong, wrong, other, other, other, other, wrong, other, other]
    assert it.accumulator.failures == {("t", 0): [10, other]}
    outcomes: list[Any] = [outcome.error for outcome in many if isinstance(outcome, Err)]
    assert outcomes + [single.exception for single in singles] == expected
    assert it.accumulator.take_failures() == {}
    assert repr(singles[2]) == f"<FutureRecordMetadata t[0] failed: {wrong}>"
    with pytest.raises(InvalidRecordError) as raised:
        singles[2].get()
    assert raised.value is not wrong
    with pytest.raises(DeliveryFailed) as failed:
        many.get()
    assert failed.value.args and "5" in str(failed.value)
    assert many.value is None and singles[0].value is None
    assert batch.cell.error is other
    assert [outcome[:2] for outcome in batch.cell.outcomes or ()] == [(0, 1), (1, 1), (2, 1), (3, 4), (7, 1), (8, 2)]


def test_without_a_wrong_record_all_have_the_error_of_the_others() -> None:
    _, many, singles, batch = one_batch(2)
    other = KafkaError("all")
    batch.fail_records({-1: InvalidRecordError(), 4: InvalidRecordError()}, other)  # there are no such records
    assert [future.exception for future in singles] == [other, other]
    assert list(many) == [Err(other), Err(other)]


def test_errors_of_single_records_are_counted_until_somebody_looks() -> None:
    it, many, singles, batch = one_batch(3)
    wrong, other = InvalidRecordError("too old"), KafkaError("because of another")
    batch.fail_records({number: wrong for number in range(6) if number != 4}, other)
    assert it.accumulator.failures == {("t", 0): [6, wrong]}
    assert many.exception is not None
    assert it.accumulator.failures == {("t", 0): [3, wrong]}
    for single in singles:
        assert single.failed() and single.failed()
    assert it.accumulator.failures == {}


# -- parts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 500, 5000, 0])
def test_parts_have_the_same_records_and_are_small_enough(limit: int) -> None:
    it = Setup(linger=60.0, batch_size=MIB)
    it.accumulator.set_partition_count("t", 3)
    randomness = random.Random(3)
    wanted = []
    for _ in range(500):
        key = randomness.choice([None, b"", randomness.randbytes(randomness.randrange(30))])
        value = randomness.choice([b"", randomness.randbytes(randomness.randrange(400)), None if key else b"x"])
        headers = [("h", randomness.randbytes(randomness.randrange(150)))] * randomness.randrange(3)
        timestamp = randomness.choice([0, 2**62, 1_700_000_000_000 + randomness.randrange(-9999, 9999)])
        it.send("t", value, key=key, headers=headers, partition=2, timestamp_ms=timestamp)
        wanted.append((key, value, tuple(headers), timestamp))
    it.host.now += 1
    it.accumulator.begin_flush()
    [batch] = it.pull_all()
    batch.stamp(7, 1, 20, transactional=True)
    batch.attempts = 3
    parts = batch.split(limit or batch.size - 1)
    assert len(parts) > 1
    assert all(part.size <= (limit or batch.size - 1) or part.records == 1 for part in parts)
    got: list[tuple[Any, ...]] = []
    for part in parts:
        assert part.first == len(got)
        assert (part.topic, part.partition, part.attempts) == ("t", 2, 0)
        assert (part.created, part.deadline) == (batch.created, batch.deadline)
        of_part = [(r.key, r.value, r.headers, r.timestamp) for r in records_of(part)]
        header = parsed(part)
        assert header.base_timestamp == of_part[0][3] and header.max_timestamp == max(item[3] for item in of_part)
        assert header.producer_id == -1 and not header.is_transactional
        got += of_part
    assert got == wanted
    if limit > 1:  # no part could have taken the first record of the next
        assert all(a.size + records_size(b) > limit for a, b in itertools.pairwise(parts))


def records_size(batch: Batch) -> int:
    """The bytes of the first record of a batch, about: its key, value and headers."""
    record: Record = records_of(batch)[0]
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + 40


@pytest.mark.parametrize("compression", CODECS[1:])
def test_a_compressed_batch_is_split_by_what_its_parts_will_be(compression: str) -> None:
    it = Setup(linger=60.0, batch_size=MIB, codec=Codec(compression))
    randomness = random.Random(compression)
    wanted = [bytes(randomness.choices(b"ab", k=100)) for _ in range(3000)]
    futures = [it.send("t", value) for value in wanted]
    it.accumulator.begin_flush()
    [batch] = it.pull_all()
    batch.bind(5)
    batch.compress()
    batch.stamp()
    parts = batch.split(batch.size // 2)
    assert 2 <= len(parts) <= 4
    for part in parts:
        part.compress()
        assert part.size <= batch.size * 0.6
    assert [record.value for part in parts for record in records_of(part)] == wanted
    for offset, part in zip((100_000, 200_000, 300_000, 400_000), parts, strict=False):
        part.complete(offset)
    assert [future.get().offset for future in futures] == [
        100_000 * number + index for number, part in enumerate(parts, 1) for index in range(part.records)
    ]
    assert {future.get().partition for future in futures} == {5}


def test_there_are_two_parts_whatever_the_limit_and_one_record_has_none() -> None:
    _, _, _, batch = one_batch(1)
    parts = batch.split(10**9)
    assert [part.records for part in parts] == [1, 1]
    assert [part.first for part in parts] == [0, 1]
    assert parts[0].split(1) == []
    assert not parts[0].done
    parts[0].complete(1)
    assert parts[0].done


def test_every_part_decides_for_its_own_records_only() -> None:
    it, many, singles, batch = one_batch(50)
    error = NotLeaderForPartitionError()
    told: list[Any] = []
    many.add_both(told.append)
    singles[0].add_both(told.append)
    first, *others = batch.split(batch.size // 3)
    assert len(others) >= 2
    assert batch.done and not first.done
    others.pop().complete(1000, 1_800_000_000_000)
    first.fail(error)
    batch.complete(5)  # it is its parts that decide
    batch.fail(error)
    assert it.accumulator.unresolved_records() == sum(part.records for part in others)
    assert first.done and not any(part.done for part in others)
    assert not told and many[0] is None
    assert not any(future.is_done for future in (many, *singles))


def test_records_of_several_parts_through_send_many() -> None:
    it, many, singles, batch = one_batch(50)
    error = NotLeaderForPartitionError()
    told: list[Any] = []
    many.add_errback(told.append)
    singles[49].add_callback(told.append)
    parts = batch.split(batch.size // 3)
    assert len(parts) >= 3
    offsets = {}
    for number, part in reversed(list(enumerate(parts))):
        if number == 0:
            part.fail(error)
        elif number == 1:
            small = part.split(part.size // 2)
            for at, smaller in enumerate(small):
                assert not many.is_done
                smaller.complete(2000 + 100 * at)
                offsets.update({smaller.first + i: 2000 + 100 * at + i for i in range(smaller.records)})
        else:
            part.complete(1000 * number + 5000, 1_800_000_000_000)
            offsets.update({part.first + i: 1000 * number + 5000 + i for i in range(part.records)})
    assert many.is_done and batch.cell.done
    failed = parts[0].records
    assert 0 < failed < 50
    assert len(told) == 2 and isinstance(told[0], DeliveryFailed) and told[1].offset == offsets[99]
    assert many.exception is not None and f"{failed} " in str(many.exception)
    outcomes = list(many)
    assert outcomes[:failed] == [Err(error)] * failed
    for index, outcome in enumerate(outcomes[failed:], failed):
        assert isinstance(outcome, Ok) and outcome.value.offset == offsets[index]
    for index, single in enumerate(singles, 50):
        assert single.get().offset == offsets[index]
    last = singles[49].get()
    assert last.timestamp == 1_800_000_000_000
    assert it.accumulator.failures == {}  # `many` was looked at
    assert it.accumulator.unresolved() == []


# -- what send_many notes of its records -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 254, 255, 65_534, 65_535, 300_000])
def test_sizes_of_all_widths(size: int) -> None:
    it = Setup(linger=0.0)
    it.accumulator.set_partition_count("t", 1)
    values = [bytes(size), b"", None, b"v"]
    keys = [b"k", None, bytes(size), b""]
    headers = [None, [("h", bytes(size))], None, [("h", b"")]]
    future = it.producer.send_many("t", values, keys=keys, headers=headers, partition=0)
    it.accumulator.begin_flush()
    for offset, batch in enumerate(it.pull_all()):
        batch.complete(10 * offset)
    found = [
        (record.serialized_value_size, record.serialized_key_size, record.serialized_header_size)
        for record in future.get()
    ]
    assert found == [(size, 1, -1), (0, -1, 1 + size), (-1, size, -1), (1, 0, 1)]


@pytest.mark.parametrize(("records", "partitions"), [(500, 3), (70_000, 1), (70_000, 300)])
def test_places_of_many_records(records: int, partitions: int) -> None:
    it = Setup(linger=60.0, batch_size=MIB)
    it.accumulator.set_partition_count("t", partitions)
    keys = [b"%d" % (number * number) for number in range(records)]
    values = [b"%d" % number for number in range(records)]
    future = it.producer.send_many("t", values, keys=keys)
    it.accumulator.begin_flush()
    placed = {}
    for number, batch in enumerate(it.pull_all()):
        for index, record in enumerate(records_of(batch)):
            placed[record.value] = (batch.partition, 1000 * number + index)
        batch.complete(1000 * number)
    assert [placed[value] for value in values] == [(item.partition, item.offset) for item in future.get()]


def test_what_was_not_decided_when_the_driver_ends() -> None:
    it, many, _, batch = one_batch(20)
    parts = batch.split(batch.size // 4)
    assert len(parts) >= 4
    parts[1].complete(70)
    ended = KafkaError("ended")
    for cell in it.accumulator.unresolved():
        cell.give_up(ended)
    delivered = range(parts[1].first, parts[1].first + parts[1].records)
    outcomes = list(many)
    for index in range(20):
        if index in delivered:
            assert isinstance(outcomes[index], Ok)
        else:
            assert outcomes[index] == Err(ended)
    assert all(part.done for part in parts)
    parts[0].complete(5)
    assert many[0] == Err(ended)


def test_the_memory_of_parts_counts_and_returns() -> None:
    it, _, _, batch = one_batch(1000)
    before = it.accumulator.used
    parts = batch.split(batch.size // 2)
    assert it.accumulator.used == before + sum(part.size for part in parts)
    view = memoryview(batch)
    del batch
    assert it.accumulator.used == before + sum(part.size for part in parts)
    del view
    assert it.accumulator.used == sum(part.size for part in parts)
    parts[0].complete(1)
    del parts[0]
    assert it.accumulator.used == sum(part.size for part in parts)
    parts.clear()
    assert it.accumulator.used == 0


def test_record_errors_of_a_part() -> None:
    _, _, singles, batch = one_batch(10)
    first, second, *rest = batch.split(batch.size // 2)
    wrong, other = InvalidRecordError("too old"), KafkaError("because of another")
    for part in (first, *rest):
        part.complete(100 + part.first)
    second.fail_records({1: wrong}, other)
    assert second.first < 20
    by_index = {10 + number: future for number, future in enumerate(singles)}
    for index, future in by_index.items():
        if second.first <= index < second.first + second.records:
            assert future.exception is (wrong if index == second.first + 1 else other)
        else:
            assert future.get().offset == 100 + index


# -- the first outcome -------------------------------------------------------------------------------------------------


def test_the_first_outcome_stands() -> None:
    _, many, singles, batch = one_batch(2)
    assert not batch.done
    told: list[Any] = []
    singles[0].add_both(told.append)
    error = KafkaTimeoutError("late")
    batch.fail(error)
    assert batch.done
    batch.complete(7)
    batch.fail_records({0: MessageSizeTooLargeError()}, MessageSizeTooLargeError())
    assert batch.split(1) == []
    assert told == [error] and singles[0].exception is error and many[1] == Err(error)


# -- stamps ------------------------------------------------------------------------------------------------------------

STAMP = struct.Struct(">qhi")


def stamped(batch: Batch) -> tuple[int, int, int, bool]:
    view = memoryview(batch)
    [result] = read_batches(view)  # which checks the checksum
    assert len(result.unwrap().records().unwrap()) == batch.records
    return (*STAMP.unpack_from(view, 43), bool(view[22] & 0x10))


def test_a_batch_can_be_stamped_again() -> None:
    it, _, _, batch = one_batch(3)
    used = it.accumulator.used
    for stamp in [(2**63 - 1, 2**15 - 1, 2**31 - 1, True), (5, 0, 0, False), (-1, -1, -1, False), (6, 1, 3, True)]:
        batch.stamp(*stamp[:3], transactional=stamp[3])
        assert stamped(batch) == stamp
        assert it.accumulator.used == used  # in place


@pytest.mark.parametrize("codec", [None, Codec("lz4")])
def test_stamping_again_changes_nothing_under_a_view(codec: Codec | None) -> None:
    it, _, _, batch = one_batch(30, codec=codec)
    batch.compress()
    batch.stamp(5, 0, 100)
    view = memoryview(batch)
    part = view[40:]
    sent, end = bytes(view), bytes(part)
    used = it.accumulator.used
    view.release()  # one view is enough
    batch.stamp(6, 1, 0, transactional=True)
    assert bytes(part) == end == sent[40:]
    assert stamped(batch) == (6, 1, 0, True)
    assert it.accumulator.used == used + len(sent)
    third = memoryview(batch)
    batch.stamp(7, 0, 0)
    assert it.accumulator.used == used + 2 * len(sent)
    assert STAMP.unpack_from(third, 43) == (6, 1, 0)
    del third
    assert it.accumulator.used == used + len(sent)
    part.release()
    assert it.accumulator.used <= used
    batch.complete(1)
    del batch
    assert it.accumulator.used == 0


def test_a_view_outlives_its_batch() -> None:
    it, _, _, batch = one_batch(30)
    batch.stamp(5, 0, 100)
    view, sent = memoryview(batch), bytes(batch)
    batch.complete(3)
    del batch
    assert it.accumulator.used >= len(sent)
    it.producer.send_many("t", [b"y" * 100] * 3000)  # would take the memory if it were free
    assert bytes(view) == sent
    with pytest.raises(TypeError):
        view[0] = 1


@pytest.mark.parametrize("made", range(6))
def test_none_of_two_who_begin_to_wait_together_is_forgotten(made: int) -> None:
    # Before Python 3.12 the garbage collector may run, and with it another thread, wherever something is made.
    it, _, _, batch = one_batch(3)
    cell = batch.cell
    go_on = threading.Event()

    def wait() -> None:
        go_on.wait()
        wait_for(cell)

    def let_another_wait(phase: str, info: object) -> None:
        if not go_on.is_set():
            go_on.set()
            time.sleep(0.2)

    another = threading.Thread(target=wait, daemon=True)
    another.start()
    threading.Timer(0.5, batch.complete).start()
    before = gc.get_threshold()
    gc.callbacks.append(let_another_wait)
    try:
        kept: list[Any] = [[] for _ in range(200)]  # none from before can be used again
        gc.set_threshold(gc.get_count()[0] + made)
        wait_for(cell)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(let_another_wait)
        del kept
    go_on.set()
    another.join(5)
    assert not another.is_alive()


def test_topic_partition_of_failures() -> None:
    _, many, _, batch = one_batch(4)
    wrong, other = InvalidRecordError("too old"), KafkaError("because of another")
    batch.fail_records({2: wrong}, other)
    error = many.exception
    assert isinstance(error, DeliveryFailed)
    assert TopicPartition("t", 0) in error.errors and error.errors[TopicPartition("t", 0)] is other
