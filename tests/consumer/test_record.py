"""ConsumerRecord: as the namedtuple that users know, and no more memory than its own batch."""

from __future__ import annotations

import copy
import gc
import pickle
from collections import namedtuple
from typing import Any

import pytest

from kafka._codec import ConsumerRecord
from kafka.consumer.fetcher import ConsumerRecord as Public
from tests.consumer.batches import batch, fetched, reading

FIELDS = (
    "topic", "partition", "leader_epoch", "offset", "timestamp", "timestamp_type", "key", "value", "headers",
    "checksum", "serialized_key_size", "serialized_value_size", "serialized_header_size",
)  # fmt: skip
Theirs = namedtuple("ConsumerRecord", FIELDS)  # kafka-python's, as users know it


def record(**options: Any) -> ConsumerRecord:
    return fetched(batch([(b"key", b"value", [("h", b"1"), ("n", None)])], epoch=3), **options).take(1)[0]


def as_tuple() -> tuple[Any, ...]:
    return Theirs("t", 0, 3, 0, 1000, 0, b"key", b"value", [("h", b"1"), ("n", None)], None, 3, 5, 3)


def test_it_is_like_the_namedtuple() -> None:
    ours, theirs = record(), as_tuple()
    assert Public is ConsumerRecord
    assert tuple(ours) == theirs
    assert ours == theirs and theirs == ours
    assert [getattr(ours, name) for name in FIELDS] == list(theirs)
    assert ours._fields == FIELDS and ours._asdict() == theirs._asdict()  # type: ignore[attr-defined]
    assert repr(ours) == repr(theirs)
    assert len(ours) == 13 and ours[3] == 0 and ours[-1] == 3 and ours[6:8] == (b"key", b"value")
    assert b"value" in ours and ours.index(b"value") == 7 and ours.count(None) == 1
    topic, partition, *_ = ours
    assert (topic, partition) == ("t", 0)
    assert ours._replace(value=b"other") == theirs._replace(value=b"other")  # type: ignore[attr-defined]
    assert ConsumerRecord._make(theirs) == ours == ConsumerRecord(*theirs)
    match ours:
        case ConsumerRecord(topic, partition, _, offset):
            assert (topic, partition, offset) == ("t", 0, 0)
    with pytest.raises(TypeError, match="unhashable"):  # as theirs: its headers are a list
        hash(ours)
    with pytest.raises(AttributeError):
        ours.value = b"x"  # type: ignore[misc]
    with pytest.raises(ValueError, match="unexpected field names"):
        ours._replace(nope=1)
    with pytest.raises(TypeError):
        ours.__init__(*theirs)  # type: ignore[misc]


def test_sorted_compared_copied_and_pickled() -> None:
    one, two = fetched(batch([(None, b"a", []), (None, b"b", [])])).take(2)
    assert one < two and sorted([two, one]) == [one, two]
    assert one != two and one != "x"
    for again in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
        assert again == one and type(again) is ConsumerRecord


def test_nothing_is_made_twice() -> None:
    ours = record()
    assert ours.value is ours.value and ours.key is ours.key and ours.headers is ours.headers


def test_nulls() -> None:
    tombstone = fetched(batch([(b"k", None, [])])).take(1)[0]
    assert (tombstone.value, tombstone.serialized_value_size, tombstone.headers) == (None, -1, [])
    assert tombstone.serialized_header_size == -1
    keyless = fetched(batch([(None, b"", [])])).take(1)[0]
    assert (keyless.key, keyless.serialized_key_size, keyless.value, keyless.serialized_value_size) == (
        None,
        -1,
        b"",
        0,
    )


def test_one_whose_init_never_ran() -> None:
    empty = ConsumerRecord.__new__(ConsumerRecord)
    for look in (repr, tuple, hash, pickle.dumps, lambda r: r.topic, lambda r: r.partition, lambda r: r == ()):
        with pytest.raises(TypeError, match="__init__"):
            look(empty)
    assert not empty.value and not empty.key and empty.headers == []


def test_a_raw_record_costs_the_collector_nothing() -> None:
    assert not gc.is_tracked(record())


def test_one_that_holds_a_users_object_is_collected_with_it() -> None:
    class Holder:
        alive = 0

        def __init__(self) -> None:
            Holder.alive += 1
            self.record: Any = None

        def __del__(self) -> None:
            Holder.alive -= 1

    made = record(value_deserializer=lambda topic, headers, data: Holder())
    assert gc.is_tracked(made)
    made.value.record = made
    del made
    gc.collect()
    assert Holder.alive == 0


def test_a_kept_record_keeps_its_batch_alone() -> None:
    data = b"".join(batch([(None, bytes(1000), [])] * 100, base=number * 100) for number in range(300))
    rules = reading()
    source = fetched(data, rules=rules)
    kept = []
    while taken := source.take(100):
        kept.append(taken[50])
        del taken
    source.finish()
    pins = rules.pins
    assert 0 < pins.pinned <= pins.limit  # 30 MB went through; the oldest have bytes of their own
    assert [each.offset for each in kept] == [number * 100 + 50 for number in range(300)]
    assert all(each.value == bytes(1000) and each.headers == [] for each in kept)
    kept.clear()
    assert pins.pinned == 0


def test_records_die_in_any_order() -> None:
    data = batch([(None, b"%d" % number, []) for number in range(10)])
    for order in (range(10), reversed(range(10)), (5, 0, 9, 3, 7, 1, 8, 2, 6, 4)):
        rules = reading()
        source = fetched(data, rules=rules)
        taken: dict[int, Any] = dict(enumerate(source.take(10)))
        assert source.take(1) == []
        for number in order:
            assert all(each.value == b"%d" % index for index, each in taken.items())
            del taken[number]
        assert rules.pins.pinned == 0
