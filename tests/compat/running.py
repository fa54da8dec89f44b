"""Runs the programs of `scripts/` under one library or the other."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("scripts")


def start(python: Path | str, script: str, bootstrap: str, topic: str, *more: str, path: str) -> subprocess.Popen[str]:
    """`path` is the PYTHONPATH: where our package is, or empty for the library that the interpreter has."""
    return subprocess.Popen(
        [python, FOLDER / f"{script}.py", bootstrap, topic, *more],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(running: subprocess.Popen[str]) -> dict[str, Any]:
    """What the program printed; an AssertionError with its standard error if it failed or did not end."""
    try:
        out, err = running.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        running.kill()
        raise AssertionError(f"still running after 90 s:\n{running.communicate()[1]}") from None
    assert running.returncode == 0, err
    return json.loads(out)
