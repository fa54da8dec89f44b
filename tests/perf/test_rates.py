"""The hot path as a whole: sending, the IO thread, a broker that discards. No slower than its baseline.

Processor time rather than seconds: whoever else uses the machine takes seconds from both.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.timing

ROOT = Path(__file__).parents[2]


def ratio(*options: str) -> float:
    """Median of three runs of bench/hot_path.py."""
    command = [sys.executable, "bench/hot_path.py", "--records=1000000", *options]
    runs = []
    for _ in range(3):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120)
        runs.append(json.loads(done.stdout))
    print(*runs, sep="\n")
    return statistics.median(run["ratio"] for run in runs)


# The baseline's machine does 45 M calls of the calibration loop in a second of processor time, so that 22.2 of them for
# a record are 2 M records a second, and 1125 of them for a batch are 25 microseconds.
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hot path, send", ("--idle=1125",)),
        ("hot path, send, small batches", ("--idle=1125", "--batch-size=16384")),
        ("hot path, send_many", ("--many",)),
        ("hot path, send_many of a column", ("--column",)),
    ],
)
def test_the_hot_path_keeps_its_rate(
    within_baseline: Callable[[str, float], None], name: str, options: tuple[str, ...]
) -> None:
    within_baseline(name, 1 / ratio(*options))
