"""Plugin: what the tests of speed are held to.

tests/perf/baseline.json has for each piece how many calls of a builtin, in the plain loop of `bench.hot_path`'s
`calibrate`, take as much processor time as it does, and by which factor a run may be slower. So a machine's speed
cancels out. `PERF_BASELINE=write` writes what is measured instead.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

BASELINE = Path(__file__).parent / "perf" / "baseline.json"


@pytest.fixture(scope="session")
def within_baseline() -> Callable[[str, float], None]:
    """Called with the name of a piece and the calls that it took: fails where those are too many."""

    def check(name: str, calls: float) -> None:
        baseline = json.loads(BASELINE.read_text("utf-8"))
        if os.environ.get("PERF_BASELINE") == "write":
            baseline.setdefault(name, {"room": 2.0})["calls"] = float(f"{calls:.3g}")
            lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(baseline[key])}" for key in sorted(baseline))
            BASELINE.write_text(f"{{\n{lines}\n}}\n", "utf-8")
            return
        stored = baseline[name]
        print(f"{name}: {calls:.3g} calls of the calibration loop, {calls / stored['calls']:.2f} times the baseline")
        assert calls <= stored["calls"] * stored["room"]

    return check
