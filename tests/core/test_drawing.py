"""The diagram in DESIGN.md is the table of states."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_design_shows_the_table_of_states() -> None:
    check = [sys.executable, str(ROOT / "tools" / "draw_states.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
