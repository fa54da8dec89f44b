"""The big test: SIM_SEEDS seeds (default 300) on all cores, and that a seed is a schedule."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.run import report, run

SEEDS = int(os.environ.get("SIM_SEEDS", "300"))
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_no_seed_fails_and_everything_occurs() -> None:
    summary = run(range(SEEDS), os.cpu_count() or 1)
    report(summary)
    assert not summary.failures, [f"seed {outcome.seed}: {outcome.violation}" for outcome in summary.failures]
    assert not summary.missing()


def test_a_seed_replays_exactly_in_another_process() -> None:
    """Nothing may depend on the hash seed: a failing seed must fail on every machine."""
    traces = [
        subprocess.run(
            [sys.executable, "-m", "tests.sim.run", "--seed", "3", "--trace"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert traces[0] == traces[1]
    assert "all is well" in traces[0]
