"""What may be said of numbers that were measured a few times on a machine with other things to do."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
ENOUGH_PAIRS = 9  # for a claim


def coverage(count: int, left_out: int) -> float:
    """How likely the true median lies between the values that remain when so many are left out at each end.

    No matter how the values are distributed: each of them lies below the median with probability one half.
    """
    outside = sum(math.comb(count, number) for number in range(left_out + 1)) / 2**count
    return 1 - 2 * outside


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The narrowest between two of the values that covers their median so surely; None where they are too few."""
    ordered = sorted(values)
    best = None
    for left_out in range(len(ordered) // 2):
        if coverage(len(ordered), left_out) < confidence:
            break
        best = ordered[left_out], ordered[-1 - left_out]
    return best


@dataclass(frozen=True)
class Ratio:
    """How many times better we are than they, of pairs that were measured one after the other."""

    median: float
    low: float | None
    high: float | None
    pairs: int

    @property
    def verdict(self) -> str:
        """What may be claimed: "ahead" or "behind" (all of the interval), "tie" (it spans 1), "open" (few pairs)."""
        if self.low is None or self.high is None or self.pairs < ENOUGH_PAIRS:
            return "open"
        return "ahead" if self.low > 1 else "behind" if self.high < 1 else "tie"


def ratio(better: Sequence[float], worse: Sequence[float]) -> Ratio:
    """Of rates ours come first, of times theirs."""
    ratios = [one / other for one, other in zip(better, worse, strict=True)]
    low, high = interval(ratios) or (None, None)
    return Ratio(statistics.median(ratios), low, high, len(ratios))
