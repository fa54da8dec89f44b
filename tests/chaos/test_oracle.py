"""The oracle sees what it is there for: each kind of wrong is made up, and reported."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.oracle import Found, Ledger

NOT, POSSIBLY = (SimpleNamespace(persisted=f"Persisted.{word}_PERSISTED") for word in ("NOT", "POSSIBLY"))


class Done:
    """A future that has ended: delivered at (partition, offset), or failed."""

    def __init__(self, place: tuple[int, int] | None = None, error: Any = None, is_done: bool = True) -> None:
        self.value = SimpleNamespace(partition=place[0], offset=place[1]) if place else None
        self.exception = error
        self.is_done = is_done

    def succeeded(self) -> bool:
        return self.value is not None


def check(logs: dict[tuple[str, int], list[tuple[bytes | None, bytes]]], *futures: Done) -> Any:
    """Of one sender with keys `even` and `odd`, which belong to partitions 0 and 1 of the topic t; and a second one."""
    ledger = Ledger()
    ledger.sender("t", [b"even", b"odd"]).futures[:] = futures
    ledger.sender("u")
    found = {place: [Found(offset, *record) for offset, record in enumerate(log)] for place, log in logs.items()}
    return ledger.check(lambda topic, key: int(key == b"odd"), found)


def even(number: int) -> tuple[bytes, bytes]:
    return b"even", b"s0:%d" % number


def odd(number: int) -> tuple[bytes, bytes]:
    return b"odd", b"s0:%d" % number


def test_all_is_well() -> None:
    futures = Done((0, 0)), Done((1, -1)), Done(error=NOT), Done(error=POSSIBLY), Done((0, 1)), Done(error=POSSIBLY)
    counts = check({("t", 0): [even(0), even(4)], ("t", 1): [odd(1), odd(3)]}, *futures)
    assert vars(counts) == {
        "sent": 6,
        "delivered": 3,
        "delivered_somewhere": 1,
        "not_persisted": 1,
        "possibly_persisted": 2,
        "possibly_persisted_and_there": 1,
    }


@pytest.mark.parametrize(
    ("problem", "logs", "futures"),
    [
        ("lost", {("t", 0): []}, [Done((0, 0))]),
        ("twice", {("t", 0): [even(0), even(0)]}, [Done((0, 0))]),
        ("out of order", {("t", 0): [even(2), even(0)]}, [Done((0, 1)), Done(error=NOT), Done((0, 0))]),
        ("in the wrong topic", {("u", 0): [even(0)]}, [Done((0, 0))]),
        ("in the wrong partition", {("t", 1): [even(0)]}, [Done((1, 0))]),
        ("with the wrong key", {("t", 1): [odd(0)]}, [Done((1, 0))]),
        ("nobody sent", {("t", 0): [even(0), even(7)]}, [Done((0, 0))]),
        ("nobody sent", {("t", 0): [even(0), (None, b"???")]}, [Done((0, 0))]),
        ("not where reported", {("t", 0): [even(0), even(2)]}, [Done((0, 0)), Done(error=NOT), Done((0, 7))]),
        ("not where reported", {("t", 0): [even(0)]}, [Done((1, -1))]),
        ("there although NOT_PERSISTED", {("t", 0): [even(0)]}, [Done(error=NOT)]),
        ("without a word", {}, [Done(error=SimpleNamespace())]),
        ("not resolved", {}, [Done(is_done=False)]),
    ],
)
def test_a_problem(problem: str, logs: Any, futures: list[Done]) -> None:
    with pytest.raises(AssertionError, match=rf"^1 .*{problem}|\n1 .*{problem}"):
        check(logs, *futures)
