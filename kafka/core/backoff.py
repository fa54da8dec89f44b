"""How long to wait before trying again."""

from __future__ import annotations

from typing import Protocol


class Random(Protocol):
    """The part of `random.Random` that the core uses; handed in, so that a simulation can repeat itself."""

    def random(self) -> float: ...

    def randrange(self, stop: int, /) -> int: ...


class Backoff:
    """Exponential from `first` to `limit` seconds, times a random factor of 0.8 to 1.2 (KIP-144, KIP-580).

    The jitter is applied after the limit, as Java does, so that many clients at the limit do not fall into step.
    """

    __slots__ = ("first", "limit", "_random")

    def __init__(self, first: float, limit: float, random: Random) -> None:
        self.first = first
        self.limit = max(first, limit)
        self._random = random

    def delay(self, failures: int) -> float:
        """Seconds to wait after `failures` failures in a row (1 = the first)."""
        exponent = min(max(failures, 1) - 1, 32)  # 2**32 times any sensible start is past any sensible limit
        return min(self.first * 2.0**exponent, self.limit) * (0.8 + 0.4 * self._random.random())
