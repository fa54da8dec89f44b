"""What the benchmarks make of the numbers they measure."""

from __future__ import annotations

import random
import statistics

import pytest

from bench import figures


@pytest.mark.parametrize(
    ("count", "left_out", "expected"),
    [(6, 0, 0.96875), (9, 1, 0.9609375), (5, 0, 0.9375), (12, 2, 0.9614257), (15, 3, 0.9648437)],
)
def test_the_coverage_of_an_interval_is_that_of_the_binomial_distribution(
    count: int, left_out: int, expected: float
) -> None:
    assert figures.coverage(count, left_out) == pytest.approx(expected)


def test_an_interval_leaves_out_as_many_as_it_may() -> None:
    values = [5.0, 1, 9, 3, 7, 2, 8, 4, 6]
    assert figures.interval(values) == (2, 8), "of nine one at each end"
    assert figures.interval(values[:6]) == (1, 9), "of six none"
    assert figures.interval(values[:5]) is None, "five are too few"
    assert figures.interval([]) is None


def test_an_interval_covers_the_median_as_often_as_it_says() -> None:
    rng = random.Random(1)
    covered = 0
    for _ in range(2000):
        found = figures.interval([rng.lognormvariate(0, 1) for _ in range(9)])
        assert found is not None
        covered += found[0] <= 1 <= found[1]
    assert covered / 2000 == pytest.approx(figures.coverage(9, 1), abs=0.015)


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [([1.1] * 9, "ahead"), ([0.9] * 9, "behind"), ([0.9] * 2 + [1.2] * 7, "tie"), ([0.9] + [1.2] * 8, "ahead")],
)
def test_a_ratio_is_a_tie_where_its_interval_spans_one(ours: list[float], verdict: str) -> None:
    found = figures.ratio(ours, [1.0] * 9)
    assert (found.median, found.pairs, found.verdict) == (statistics.median(ours), 9, verdict)


def test_a_ratio_is_of_pairs() -> None:
    """The machine was twice as fast in every second round: the medians' ratio would be another."""
    theirs = [1.0, 2.0] * 5
    assert figures.ratio([value * 1.5 for value in theirs], theirs).median == pytest.approx(1.5)


@pytest.mark.parametrize(("pairs", "low"), [(3, None), (5, None), (6, 2.0), (8, 2.0)])
def test_few_pairs_claim_nothing(pairs: int, low: float | None) -> None:
    found = figures.ratio([2.0] * pairs, [1.0] * pairs)
    assert (found.median, found.low, found.verdict) == (2.0, low, "open")


def test_each_of_ours_has_one_of_theirs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        figures.ratio([1.0, 2.0], [1.0])
