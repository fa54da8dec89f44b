"""Counters that only grow, what they stood at when each of the last few windows began, and what that comes to.

Recording costs an addition for each counter; rates and averages are worked out when somebody asks. One thread records,
any may ask. Times are seconds of the same clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar


class Series:
    """Subclasses name their counters in SUMS and their maxima in PEAKS, and have them as slots.

    Whoever records does it so:

        if now >= series.ends:
            series.advance(now)
        series.records += 5

    A window begins with the first thing recorded in it and is `length` seconds long; the last `samples` ones count.
    """

    SUMS: ClassVar[tuple[str, ...]] = ()
    PEAKS: ClassVar[tuple[str, ...]] = ()

    __slots__ = ("samples", "length", "ends", "_marks")

    def __init__(self, samples: int, length: float) -> None:
        self.samples = samples
        self.length = length
        self.ends = float("-inf")  # of the present window
        # Of each window, oldest first: when it began, the counters then, the maxima in it (once it is over).
        self._marks: tuple[tuple[float, tuple[float, ...], tuple[float, ...]], ...] = ()
        for name in self.SUMS:
            setattr(self, name, 0)
        for name in self.PEAKS:
            setattr(self, name, float("-inf"))

    def advance(self, now: float) -> None:
        """Begins a new window."""
        marks = self._marks
        if marks:
            started, sums, _ = marks[-1]
            marks = (*marks[:-1], (started, sums, self._peaks()))
        for name in self.PEAKS:
            setattr(self, name, float("-inf"))
        self._marks = (*marks, (now, tuple(getattr(self, name) for name in self.SUMS), ()))[-self.samples :]
        self.ends = now + self.length

    def _peaks(self) -> tuple[float, ...]:
        return tuple(getattr(self, name) for name in self.PEAKS)

    def _still_counts(self, started: float, now: float) -> bool:
        return now - started < self.samples * self.length

    def recent(self, name: str, now: float) -> tuple[float, float]:
        """By how much the counter grew, and within how many seconds: from the oldest window that counts until now.

        Never less than `samples` - 1 whole windows, or the first second's rate would be taken for a window's.
        """
        total = getattr(self, name)
        grown, elapsed = 0.0, 0.0
        for started, sums, _ in self._marks:
            if self._still_counts(started, now):
                grown, elapsed = total - sums[self.SUMS.index(name)], max(now - started, 0.0)
                break
        missing = self.samples - 1 - int(elapsed / self.length)
        return grown, elapsed + max(missing, 0) * self.length

    def peak(self, name: str, now: float) -> float:
        """The largest value in the windows that count; -inf if there was none."""
        marks = self._marks
        index = self.PEAKS.index(name)
        over = [peaks[index] for started, _, peaks in marks[:-1] if self._still_counts(started, now)]
        if marks and self._still_counts(marks[-1][0], now):
            over.append(getattr(self, name))
        return max(over, default=float("-inf"))


class Rate:
    """The growth of some counters in a second, summed over several series."""

    __slots__ = ("_series", "_names")

    def __init__(self, series: Callable[[], Iterable[Series]], *names: str) -> None:
        self._series = series
        self._names = names

    def measure(self, config: Any, now: float) -> float:
        rate = 0.0
        for series in self._series():
            for name in self._names:
                grown, elapsed = series.recent(name, now / 1000)
                rate += grown / elapsed if elapsed else 0.0
        return rate


class Total:
    """A counter, summed over several series."""

    __slots__ = ("_series", "_name")

    def __init__(self, series: Callable[[], Iterable[Series]], name: str) -> None:
        self._series = series
        self._name = name

    def measure(self, config: Any, now: float) -> float:
        return float(sum(getattr(series, self._name) for series in self._series()))


class Average:
    """What one counter grew for each by which another grew, times `factor`; 0 where that other one did not."""

    __slots__ = ("_series", "_name", "_each", "_factor")

    def __init__(self, series: Callable[[], Iterable[Series]], name: str, each: str, factor: float = 1.0) -> None:
        self._series = series
        self._name = name
        self._each = each
        self._factor = factor

    def measure(self, config: Any, now: float) -> float:
        amount = count = 0.0
        for series in self._series():
            amount += series.recent(self._name, now / 1000)[0]
            count += series.recent(self._each, now / 1000)[0]
        return amount / count * self._factor if count else 0.0


class Peak:
    """The largest value of several series, times `factor`; -inf where there was none."""

    __slots__ = ("_series", "_name", "_factor")

    def __init__(self, series: Callable[[], Iterable[Series]], name: str, factor: float = 1.0) -> None:
        self._series = series
        self._name = name
        self._factor = factor

    def measure(self, config: Any, now: float) -> float:
        return max((series.peak(self._name, now / 1000) for series in self._series()), default=float("-inf")) * (
            self._factor
        )


class Gauge:
    """What a function says at the time: `read(now)`, seconds of the same clock."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[float], float]) -> None:
        self._read = read

    def measure(self, config: Any, now: float) -> float:
        return float(self._read(now / 1000))
