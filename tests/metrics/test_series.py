"""Rates, averages and maxima over windows that come and go, with the clock in our hands."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.metrics.series import Average, Gauge, Peak, Rate, Series, Total

INFINITY = float("inf")


class Some(Series):
    SUMS = ("bytes", "batches")
    PEAKS = ("largest",)
    __slots__ = (*SUMS, *PEAKS)

    bytes: int
    batches: int
    largest: float


def record(series: Some, size: int, now: float) -> None:
    if now >= series.ends:
        series.advance(now)
    series.bytes += size
    series.batches += 1
    series.largest = max(series.largest, size)


def of(*series: Series) -> Any:
    return lambda: series


def test_a_rate_is_never_of_less_than_all_windows_but_one() -> None:
    some = Some(samples=2, length=30.0)
    record(some, 600, now=1000.0)
    assert Rate(of(some), "bytes").measure(None, 1000_000) == 20  # not 600 bytes in no time
    assert Rate(of(some), "bytes").measure(None, 1010_000) == 15
    record(some, 300, now=1030.0)
    assert Rate(of(some), "bytes").measure(None, 1030_000) == pytest.approx(30)
    assert Rate(of(some), "bytes").measure(None, 1060_000 - 1) == pytest.approx(15, rel=1e-3)


def test_windows_that_are_over_do_not_count() -> None:
    some = Some(samples=2, length=30.0)
    record(some, 600, now=1000.0)
    record(some, 100, now=1030.0)
    record(some, 200, now=1061.0)  # the third: the first is forgotten
    assert Rate(of(some), "bytes").measure(None, 1061_000) == pytest.approx(300 / 31)
    assert Peak(of(some), "largest").measure(None, 1061_000) == 200
    assert Average(of(some), "bytes", "batches").measure(None, 1061_000) == 150
    assert Total(of(some), "bytes").measure(None, 1061_000) == 900
    # Nothing for a while: the window of 1030 ends to count at 1090, the last at 1121.
    assert Peak(of(some), "largest").measure(None, 1100_000) == 200
    assert Average(of(some), "bytes", "batches").measure(None, 1100_000) == 200
    assert Average(of(some), "bytes", "batches").measure(None, 1121_000) == 0
    assert Rate(of(some), "bytes").measure(None, 1121_000) == 0
    assert Peak(of(some), "largest").measure(None, 1121_000) == -INFINITY
    assert Total(of(some), "bytes").measure(None, 1121_000) == 900


def test_the_maximum_of_a_window_outlives_it() -> None:
    some = Some(samples=2, length=30.0)
    record(some, 600, now=1000.0)
    record(some, 100, now=1031.0)
    assert some.largest == 100
    assert Peak(of(some), "largest").measure(None, 1031_000) == 600


def test_one_window_is_enough() -> None:
    some = Some(samples=1, length=10.0)
    record(some, 50, now=5.0)
    assert Rate(of(some), "bytes").measure(None, 5_000) == 0  # no time has passed
    assert Rate(of(some), "bytes").measure(None, 10_000) == 10
    assert Rate(of(some), "bytes").measure(None, 15_000) == 0


def test_several_series_are_one() -> None:
    one, other = Some(samples=2, length=30.0), Some(samples=2, length=30.0)
    record(one, 100, now=0.0)
    record(other, 500, now=10.0)
    record(other, 600, now=10.0)
    assert Total(of(one, other), "bytes").measure(None, 10_000) == 1200
    assert Average(of(one, other), "bytes", "batches", 2).measure(None, 10_000) == 800
    assert Peak(of(one, other), "largest", 1000).measure(None, 10_000) == 600_000
    assert Rate(of(one, other), "bytes").measure(None, 10_000) == pytest.approx(100 / 40 + 1100 / 30)
    assert Rate(of(one), "bytes", "batches").measure(None, 0) == pytest.approx(101 / 30)


def test_nothing_recorded() -> None:
    some = Some(samples=2, length=30.0)
    assert Rate(of(some), "bytes").measure(None, 7_000) == 0
    assert Average(of(some), "bytes", "batches").measure(None, 7_000) == 0
    assert Peak(of(some), "largest").measure(None, 7_000) == -INFINITY
    assert Total(of(), "bytes").measure(None, 7_000) == 0
    assert Peak(of(), "largest").measure(None, 7_000) == -INFINITY


def test_a_gauge_is_read_when_asked() -> None:
    assert Gauge(lambda now: now + 1).measure(None, 7_000) == 8
