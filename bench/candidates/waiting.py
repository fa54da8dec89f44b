"""What the candidates in Python share where it is not a rate that is asked for. Only the standard library, too.

`do` is "arrive" (how long records take to their reader; "offer" is the producer of it), "first" (from the making of a
consumer to its first record), "join" (a third member), "idle" or "slow" (ours alone).
"""

from __future__ import annotations

import random
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import scenario as shared
from scenario import Measured, Scenario

STAMP = 19  # digits, at the start of a value: nanoseconds since 1970
WARM = 1.5  # seconds
_PATIENCE = 30.0


class Arrivals:
    """From the stamp in a value to the call that handed it out; the first 1.5 seconds do not count."""

    def __init__(self, scenario: Scenario) -> None:
        self.seconds, self.offered = scenario["seconds"], scenario["offered"]
        self.measured = Measured()
        self.latencies: list[float] = []
        self.begin = self.end = 0

    def come(self, values: Sequence[bytes], now: int) -> bool:
        """Whether it goes on; `now` is what time.time_ns() says as the call returns."""
        if not self.end and values:
            self.begin = now + int(WARM * 1e9)
            self.end = self.begin + int(self.seconds * 1e9)
        if not self.end or now < self.begin:
            return True
        if not self.measured.seconds:
            self.measured.start()
        self.latencies += [(now - int(value[:STAMP])) / 1e9 for value in values]
        return now < self.end

    def found(self) -> dict[str, float]:
        count, expected = len(self.latencies), self.offered * self.seconds
        if count < 0.9 * expected:
            raise RuntimeError(f"{count} of {expected:.0f} records have come")
        return {**self.measured.stop(count), **shared.percentiles(self.latencies)}


def offered(scenario: Scenario, send: Callable[[bytes], None]) -> None:
    """The producer's part, until it is ended."""
    values = [value[STAMP:] for chunk in shared.chunks_of(scenario)[:10] for value in chunk]

    def stamped(value: bytes) -> None:
        send(b"%0*d" % (STAMP, time.time_ns()) + value)

    # Longer than the harness has patience; not for ever, where that was killed.
    shared.paced({**scenario, "seconds": 240}, values, stamped, lambda: time.sleep(0.0001))


def told(measured: Measured, seconds: Sequence[float]) -> dict[str, float]:
    return {
        "p50_ms": statistics.median(seconds) * 1e3,
        "most_ms": max(seconds) * 1e3,
        "peak_mb": shared.peak_mb() - measured.before,
    }


class Client(Protocol):
    def poll(self, seconds: float) -> None: ...

    def close(self) -> None: ...


Told = Callable[[int], None]
# Makes a member of a group; it calls what it is given with the number of partitions that were assigned, and taken.
MakeMember = Callable[[str, Told, Told], Client]


class Member:
    """How many partitions it has, how many were taken from it, and for how long it has had none since."""

    def __init__(self, make: MakeMember, group: str) -> None:
        self.held = 0
        self.forget()
        self.client = make(group, self.assigned, self.revoked)

    def forget(self) -> None:
        self.taken, self.stood, self.since = 0, 0.0, 0.0

    def assigned(self, count: int) -> None:
        self.held += count
        if count and self.since:
            self.stood, self.since = max(self.stood, time.perf_counter() - self.since), 0.0

    def revoked(self, count: int) -> None:
        self.held -= count
        self.taken += count
        if count and not self.held:
            self.since = time.perf_counter()


def joined(scenario: Scenario, make: MakeMember) -> dict[str, float]:
    """A third member joins two that read, again and again, at any time between two of their heartbeats."""
    measured, group, over = Measured(), uuid.uuid4().hex, threading.Event()
    partitions = scenario["partitions"]
    joins, stood, taken = [], [], []

    def reads() -> None:
        member = Member(make, group)
        two.append(member)
        while not over.is_set():
            member.client.poll(0.05)
        member.client.close()

    two: list[Member] = []
    threads = [threading.Thread(target=reads, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(scenario["times"]):
        until(lambda: [member.held for member in two] == [partitions // 2] * 2, lambda: time.sleep(0.01))
        time.sleep(0.5 + random.random() / 2)
        for member in two:
            member.forget()
        start = time.perf_counter()
        third = Member(make, group)
        until(lambda: third.held == partitions // 3, lambda: third.client.poll(0.01))  # noqa: B023
        joins.append(time.perf_counter() - start)
        all_three = [*two, third]
        until(
            lambda: [member.held for member in all_three] == [partitions // 3] * 3,  # noqa: B023
            lambda: third.client.poll(0.01),  # noqa: B023
        )
        stood.append(max(member.stood for member in two))
        taken.append(sum(member.taken for member in two))
        third.client.close()
    over.set()
    for thread in threads:
        thread.join(_PATIENCE)
    return {
        **told(measured, joins),
        "stood_ms": statistics.median(stood) * 1e3,
        "taken": statistics.median(taken),
    }


def until(holds: Callable[[], Any], wait: Callable[[], Any]) -> None:
    end = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"the group has not come to rest within {_PATIENCE:.0f} s")
        wait()
