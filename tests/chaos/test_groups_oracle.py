"""What the oracle of groups says of diaries that are not as they should be (tests/chaos/groups.py)."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from tests.chaos.groups import Event, check, check_apart

LOGS = {0: [b"%d" % number for number in range(10)], 1: [b"x", b"y"]}


def read(when: float, partition: int, first: int, last: int) -> Event:
    return ["read", when, partition, first, last, zlib.crc32(b"".join(LOGS[partition][first : last + 1]))]


def committed(when: float, **offsets: Any) -> Event:
    return ["committed", when, {name.removeprefix("p"): offset for name, offset in offsets.items()}]


BEGIN: list[Event] = [["assigned", 1.0, [0, 1]], read(2.0, 1, 0, 1), read(2.0, 0, 0, 3)]


def test_all_is_well() -> None:
    first = [*BEGIN, committed(3.0, p0=4, p1=2), read(4.0, 0, 4, 6)]  # and it is killed
    second = [["assigned", 5.0, [0]], read(6.0, 0, 4, 9), committed(7.0, p0=10), ["revoked", 8.0, [0]]]
    assert check([first, second], LOGS) == 3


def test_a_commit_whose_answer_was_lost_may_count() -> None:
    assert check([[*BEGIN, read(3.0, 0, 4, 6)], [["assigned", 5.0, [0]], read(6.0, 0, 7, 9)]], LOGS) == 0


def test_a_commit_of_the_same_moment_may_be_too_late() -> None:
    first = [*BEGIN, committed(5.5, p0=4)]
    assert check([first, [["assigned", 5.0, [0]], read(6.0, 0, 0, 9)]], LOGS) == 4


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ("skipped: partition 0, \\[4, 5, 6, 7, 8, 9\\], 6 in all", [[]]),
        ("not in order: partition 0, 5 to 9, of 10 instead of 4", [[read(3.0, 0, 5, 9)]]),
        ("not in order: partition 0, 3 to 9, of 10 instead of 4", [[read(3.0, 0, 3, 9)]]),
        (
            "again without a reason: partition 0, 3 to 9, of 10, although 4 was committed",
            [[committed(3.0, p0=4)], [["assigned", 5.0, [0]], read(6.0, 0, 3, 9)]],
        ),
        (
            "again without a reason: partition 0, 3 to 9",
            [[committed(3.0, p0=4), ["revoked", 4.0, [0]], ["assigned", 5.0, [0]], read(6.0, 0, 3, 9)]],
        ),
        ("committed before it was read: partition 0, 10, \\[4, 5", [[committed(3.0, p0=10), read(4.0, 0, 4, 9)]]),
        ("committed before it was read: partition 1, 3, \\[2\\]", [[committed(3.0, p1=3), read(4.0, 0, 4, 9)]]),
        ("other values: partition 0, 4 to 9", [[["read", 3.0, 0, 4, 9, 1]]]),
        ("other values: partition 1, 2 to 2", [[["read", 3.0, 1, 2, 2, zlib.crc32(b"")], read(3.0, 0, 4, 9)]]),
    ],
)
def test_what_is_wrong_is_said(said: str, more: list[list[Event]]) -> None:
    with pytest.raises(AssertionError, match=said):
        check([[*BEGIN, *more[0]], *more[1:]], LOGS)


def test_members_read_a_partition_one_after_the_other() -> None:
    first = [*BEGIN, ["revoked", 3.0, [0]], read(6.0, 1, 1, 1)]
    check_apart([first, [["assigned", 2.5, [0]], read(4.0, 0, 4, 9)]])
    with pytest.raises(AssertionError, match="members 0 and 1 read partition 1 at a time"):
        check_apart([first, [["assigned", 2.5, [1]], read(4.0, 1, 0, 1)]])
