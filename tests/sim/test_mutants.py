"""Bugs that other producers had are seen by the big test, each within the seeds of `make test`."""

from __future__ import annotations

import pytest

from tests.sim.mutants import MUTANTS, SEEDS, kill_all


@pytest.mark.slow
def test_every_mutant_dies() -> None:
    survivors = []
    for death in kill_all():
        print(f"{death.seeds or 'survived':>8}  {death.mutant.name}: {death.how}")
        if death.seeds is None:
            survivors.append(death.mutant.name)
    assert not survivors, f"not seen within {SEEDS} seeds"
    assert len(MUTANTS) >= 25
