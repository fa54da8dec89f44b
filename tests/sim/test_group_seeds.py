"""The big test of groups: GROUP_SEEDS seeds (default 300; 40 of them are quick)."""

from __future__ import annotations

import os

import pytest

from tests.sim.group_scenario import GroupScenario
from tests.sim.oracle import Violation

SEEDS = int(os.environ.get("GROUP_SEEDS", "300"))


@pytest.mark.parametrize(
    "first", [pytest.param(first, marks=() if first < 40 else pytest.mark.slow) for first in range(0, SEEDS, 20)]
)
def test_no_seed_fails(first: int) -> None:
    failed = []
    for seed in range(first, min(first + 20, SEEDS)):
        try:
            GroupScenario(seed).play()
        except Violation as violation:
            failed.append((seed, str(violation)))
    assert not failed
