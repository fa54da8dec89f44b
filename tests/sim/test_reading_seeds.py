"""The big test of reading: READING_SEEDS seeds (default 60)."""

from __future__ import annotations

import os

import pytest

from tests.sim.oracle import Violation
from tests.sim.reading_scenario import ReadingScenario

SEEDS = int(os.environ.get("READING_SEEDS", "60"))


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_no_seed_fails(first: int) -> None:
    failed = []
    for seed in range(first, min(first + 20, SEEDS)):
        try:
            ReadingScenario(seed).play()
        except Violation as violation:
            failed.append((seed, str(violation)))
    assert not failed
