"""Callbacks of many records: their order, their arguments, what they keep alive, and what they are given."""

from __future__ import annotations

import gc
import pickle
import weakref
from typing import Any

import pytest

import kafka._codec
from kafka.errors import KafkaError
from kafka.structs import RecordMetadata, TopicPartition
from tests.producer.test_accumulator import MIB, Setup
from tests.producer.test_outcomes import one_batch


def test_they_run_in_the_order_in_which_they_were_added_whatever_they_are() -> None:
    it, many, singles, batch = one_batch(300)
    told: list[Any] = []
    for number, single in enumerate(singles):
        single.add_callback(lambda metadata, number=number: told.append((number, metadata.offset)))
        single.add_errback(lambda error: told.append("never"))
        single.add_both(lambda more, metadata, *, named: told.append((more, named)), number, named=-number)
    many.add_callback(lambda all_of_them: told.append(len(all_of_them)))
    assert told == []
    batch.complete(1000)
    expected: list[Any] = []
    for number in range(300):
        expected += [(number, 1300 + number), (number, -number)]
    assert told == [*expected, 300]


def test_one_callback_may_add_another_to_any_future_and_send() -> None:
    it, _, singles, batch = one_batch(3)
    told: list[Any] = []

    def again(metadata: RecordMetadata) -> None:
        told.append(metadata.offset)
        singles[0].add_callback(told.append)  # known already: at once
        it.send("t", b"later", partition=0).add_callback(lambda later: told.append(("later", later.offset)))

    for single in singles:
        single.add_callback(again)
    batch.complete(0)
    first = singles[0].value
    assert told == [3, first, 4, first, 5, first]
    it.accumulator.begin_flush()
    [later] = it.pull_all()
    assert later.records == 3
    later.complete(70)
    assert told[6:] == [("later", 70), ("later", 71), ("later", 72)]


class Nameless:
    """As a weakref.proxy whose object is gone, it raises whatever is asked of it."""

    def __call__(self, *args: Any) -> None:
        raise ReferenceError

    def __getattr__(self, name: str) -> Any:
        raise ReferenceError


def test_one_that_raises_even_when_its_name_is_asked_stops_none_of_the_others() -> None:
    _, _, singles, batch = one_batch(3)
    told: list[int] = []
    for single in singles:
        single.add_callback(Nameless()).add_callback(lambda metadata: told.append(metadata.offset))
    batch.complete(0)
    assert told == [3, 4, 5]


def test_what_is_left_of_them_by_an_exception_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    class Marker:
        def __call__(self, metadata: RecordMetadata) -> None:
            raise ZeroDivisionError

    def end(*args: object) -> None:
        raise KeyboardInterrupt  # in a handler of the log, say

    monkeypatch.setattr(kafka._codec, "callback_failed", end)
    _, _, singles, batch = one_batch(20)
    markers = [Marker() for _ in singles]
    alive = weakref.WeakSet(markers)
    for single, marker in zip(singles, markers, strict=True):
        single.add_callback(marker)
    del markers, marker
    with pytest.raises(KeyboardInterrupt):
        batch.complete(0)
    gc.collect()
    assert not alive


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit(), KeyboardInterrupt()])
@pytest.mark.parametrize("fails", [False, True])
def test_one_that_raises_stops_none_of_the_others(error: BaseException, fails: bool) -> None:
    _, _, singles, batch = one_batch(50)
    told: list[int] = []

    def failing(number: int, outcome: Any) -> None:
        told.append(number)
        raise error

    for number, single in enumerate(singles):
        single.add_both(failing, number)
    if fails:
        batch.fail(KafkaError("no"))
    else:
        batch.complete(0)
    assert told == list(range(50)) and batch.cell.told


@pytest.mark.parametrize("end", ["delivered", "failed", "abandoned", "dropped"])
def test_what_a_callback_refers_to_is_let_go_of(end: str) -> None:
    class Target:
        def __call__(self, *outcome: Any, **named: Any) -> None:
            called.append(outcome)

    called: list[Any] = []
    it, many, singles, batch = one_batch(20)
    target, argument, named = Target(), Target(), Target()
    gone = [weakref.ref(item) for item in (target, argument, named)]
    for single in singles:
        single.add_callback(target).add_callback(target, argument).add_both(target, argument, named=named)
    many.add_both(target, named=named)
    del target, argument, named, single
    assert all(item() is not None for item in gone)
    if end == "delivered":
        batch.complete(0)
    elif end == "failed":
        batch.fail(KafkaError("no"))
    elif end == "abandoned":
        it.accumulator.abandon(KafkaError("the parent's"))
    else:
        batch.cell.give_up(KafkaError("the driver has ended"))
    assert len(called) == {"delivered": 61, "failed": 21, "abandoned": 0, "dropped": 21}[end]
    called.clear()
    assert [item() for item in gone] == [None] * 3


def test_callbacks_handed_to_others_run_when_they_say_so() -> None:
    handed: list[Any] = []
    it, _, singles, batch = one_batch(5)
    it.accumulator.run_callbacks = handed.append
    told: list[int] = []
    for single in singles:
        single.add_callback(lambda metadata: told.append(metadata.offset))
    batch.complete(0)
    assert batch.done and told == [] and not batch.cell.told
    singles[0].add_callback(lambda metadata: told.append(-1))  # the outcome is known: at once
    [run] = handed
    run()
    assert told == [-1, 5, 6, 7, 8, 9] and batch.cell.told


def test_a_circle_through_a_callback_ends_with_the_outcome() -> None:
    class Marker:
        pass

    _, _, singles, batch = one_batch(10)
    marker = Marker()
    gone = weakref.ref(marker)
    offsets: list[int] = []
    for single in singles:
        single.add_callback(lambda metadata, me=single, marker=marker: offsets.append(me.get().offset))
    del single, singles, marker
    gc.collect()
    batch.complete(0)
    assert offsets == list(range(10, 20)) and gone() is None


def test_a_collector_has_nothing_to_do_with_them() -> None:
    _, _, singles, batch = one_batch(1000)
    told: list[Any] = []
    append = told.append
    gc.collect()
    before = len(gc.get_objects())
    for single in singles:
        single.add_callback(append)
    assert len(gc.get_objects()) == before
    batch.complete(0)
    assert len(told) == 1000 and len(gc.get_objects()) < before + 10


# -- what they are given -----------------------------------------------------------------------------------------------


def test_metadata_is_what_its_constructor_makes() -> None:
    it = Setup(linger=60.0, batch_size=MIB)
    it.accumulator.set_partition_count("t", 4)
    headers = [("h", b"12"), ("i", None)]
    futures = [
        it.send("t", bytes(1000), b"key", headers, 3, 1_600_000_000_123),
        it.send("t", None, b"key", None, 3),
        it.send("t", b"", None, None, 3, 2**62),
    ]
    it.accumulator.begin_flush()
    [batch] = it.pull_all()
    given: list[RecordMetadata] = []
    for future in futures:
        future.add_callback(given.append)
    batch.complete(2**40)
    place = TopicPartition("t", 3)
    assert given == [
        RecordMetadata("t", 3, place, 2**40, 1_600_000_000_123, None, 3, 1000, 4),
        RecordMetadata("t", 3, place, 2**40 + 1, it.host.wall_ms, None, 3, -1, -1),
        RecordMetadata("t", 3, place, 2**40 + 2, 2**62, None, -1, 0, -1),
    ]
    for metadata, future in zip(given, futures, strict=True):
        made = RecordMetadata(*metadata)
        assert type(metadata) is RecordMetadata and metadata == made and hash(metadata) == hash(made)
        assert repr(metadata) == repr(made) and metadata._asdict() == made._asdict()
        assert metadata._replace(offset=1).offset == 1 and pickle.loads(pickle.dumps(metadata)) == made
        assert future.get() == future.value == made
        assert metadata.topic_partition is given[0].topic_partition is future.topic_partition  # one for the batch
        assert not gc.is_tracked(metadata)
