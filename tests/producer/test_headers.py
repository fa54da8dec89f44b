"""Headers are written twice, in one pass where they are plain and short: both ways must give the same bytes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from kafka._codec import Unsent
from tests.producer.test_accumulator import Setup, records_of

ODD: list[Any] = [
    [],
    [("", b"")],
    [("k", None)],
    [("é", b"x")],
    [("日本", b"")],
    [("k", b"\x00" * 63), ("k", b"")],
    [(type("Text", (str,), {})("of a subclass"), b"v")],
    [("k", type("Data", (bytes,), {})(b"of a subclass"))],
    [type("Pair", (tuple,), {})(("k", b"v"))],
    [("k", b"v")] * 40,
    [("k", b"v")] * 300,
    [("", b"")] * 127,
    [("", b"")] * 128,
]


def written(headers: Any) -> bytes:
    it = Setup(linger=0.0)
    future = it.send("t", b"value", headers=headers, timestamp_ms=0)
    [batch] = it.pull_all()
    batch.bind(0)
    batch.complete(0)
    assert future.get().serialized_header_size == (
        sum(len(name.encode()) + len(value or b"") for name, value in headers) if headers else -1
    )
    [record] = records_of(batch)
    assert record.headers == tuple(headers)
    return bytes(memoryview(batch))


@pytest.mark.parametrize("headers", ODD, ids=repr)
def test_as_a_list_and_as_a_tuple_they_are_the_same_bytes(headers: Any) -> None:
    assert written(headers) == written(tuple(headers))  # a tuple is never plain


@pytest.mark.parametrize("key", [0, 1, 60, 63, 64, 65, 200])
def test_at_every_size(key: int) -> None:
    for value in range(300):
        headers = [("k" * key, bytes(value))]
        assert written(headers) == written(tuple(headers))
        headers = [("h", b"123"), ("k" * key, bytes(value)), ("last", b"")]
        assert written(headers) == written(tuple(headers))


def test_of_all_kinds() -> None:
    chance = random.Random(1)
    for _ in range(500):
        headers = [
            ("".join(chance.choices("abcé", k=chance.randrange(12))), chance.randbytes(chance.choice([0, 3, 90])))
            for _ in range(chance.randrange(8))
        ]
        assert written(headers) == written(tuple(headers))


@pytest.mark.parametrize("headers", [[("plain", b"1")], [("é", b"1")], [("long", b"1" * 500)], []])
def test_those_of_a_record_that_has_to_wait(headers: Any) -> None:
    it = Setup(linger=0.0)
    it.producer.waits = False
    waiting = it.send("t", b"value", partition=0, headers=headers)  # no partition is known yet
    assert isinstance(waiting, Unsent)
    # What it was written from is gone, and where it was written is used for others.
    kept, headers[:] = tuple(headers), [("x" * 100, b"y" * 100)]
    others = [it.send("t", b"value", partition=0, headers=[("z" * 50, b"w" * 90)]) for _ in range(5)]
    it.accumulator.set_partition_count("t", 1)
    waiting.try_again()
    del others
    [batch] = it.pull_all()
    assert [record.headers for record in records_of(batch)] == [kept]
