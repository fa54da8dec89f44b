"""Timers in one heap, ordered by (deadline, order of creation), so that equal deadlines fire in a fixed order."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

KEPT_FOR = 600.0  # seconds for which a long pause is remembered in place of shorter ones after it


class Timer:
    """One callback at one moment. `cancel()` may be called at any time, also after it has fired."""

    __slots__ = ("deadline", "_sequence", "_callback", "_timers")

    def __init__(self, deadline: float, sequence: int, callback: Callable[[float], None], timers: Timers) -> None:
        self.deadline = deadline
        self._sequence = sequence
        self._callback: Callable[[float], None] | None = callback
        self._timers = timers

    def __lt__(self, other: Timer) -> bool:
        if self.deadline != other.deadline:
            return self.deadline < other.deadline
        return self._sequence < other._sequence

    def cancel(self) -> None:
        if self._callback is not None:
            self._callback = None
            self._timers._cancelled_one()


class Timers:
    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._sequence = 0
        self._cancelled = 0
        self._held_up = (0.0, float("-inf"))  # the longest pause of late: seconds, and when it was over

    def at(self, deadline: float, callback: Callable[[float], None]) -> Timer:
        """Calls `callback(now)` from the first `fire(now)` with `now >= deadline`."""
        self._sequence += 1
        timer = Timer(deadline, self._sequence, callback, self)
        heappush(self._heap, timer)
        return timer

    def next_deadline(self) -> float:
        """When `fire` is next due, in clock seconds; inf if no timer is set."""
        heap = self._heap
        while heap and heap[0]._callback is None:
            heappop(heap)
            self._cancelled -= 1
        return heap[0].deadline if heap else float("inf")

    def fire(self, now: float) -> None:
        """Runs what is due. A timer set by one of these callbacks waits for the next call, even if already due."""
        due = []
        while self.next_deadline() <= now:
            due.append(heappop(self._heap))
        for timer in due:
            callback, timer._callback = timer._callback, None
            if callback is not None:  # not cancelled by one that fired just before
                callback(now)

    def on_held_up(self, seconds: float, now: float) -> None:
        """Nothing could fire for so long, because whoever runs this was kept."""
        before, over = self._held_up
        if seconds >= before or now - over > KEPT_FOR:
            self._held_up = (seconds, now)

    def held_up(self, since: float) -> str:
        """A sentence about a pause that ended after this clock second, with a space before it; "" for none."""
        seconds, over = self._held_up
        if over < since:
            return ""
        return (
            f" Nothing could be sent or received for {seconds:.1f} s: a callback or hook kept the IO thread (the log"
            " names a callback that does), or the process stood still."
        )

    def _cancelled_one(self) -> None:
        # Long timers that are nearly always cancelled would otherwise pile up until their deadline.
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [timer for timer in self._heap if timer._callback is not None]
            heapify(self._heap)
            self._cancelled = 0
