"""Bugs that other clients had are seen: by the big test, within the seeds of `make test`, or by tests of their own."""

from __future__ import annotations

import pytest

from tests.sim.mutants import MUTANTS, SEEDS, kill_all

# They die within the same seeds, but only after many of them.
TOUGH = {"a follower is believed", "in the log, so delivered", "leader among no brokers", "the last one proves all"}


@pytest.mark.slow
@pytest.mark.parametrize("tough", [False, pytest.param(True, marks=pytest.mark.full)])
def test_every_mutant_dies(tough: bool) -> None:
    survivors = []
    mutants = [mutant for mutant in MUTANTS if (mutant.name in TOUGH) == tough]
    for death in kill_all(mutants):
        print(f"{death.seeds or 'survived':>8}  {death.mutant.name}: {death.how}")
        if death.seeds is None:
            survivors.append(death.mutant.name)
    assert not survivors, f"not seen within {SEEDS} seeds"
    assert len(mutants) >= (len(TOUGH) if tough else 25)
