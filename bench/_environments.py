"""Virtual environments for the clients that the benchmarks measure beside ours, made under .cache/ on first use."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache"


def python_with(requirement: str) -> Path:
    """The python of an environment that has just this requirement (`name==version`)."""
    folder = CACHE / f"bench-{requirement.replace('==', '-')}-{platform.python_version()}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, stdout=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-q", requirement], check=True, stdout=sys.stderr)
        done.touch()
    return python
