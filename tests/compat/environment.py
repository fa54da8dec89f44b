"""Virtual environments with other people's packages, under `.cache/compat/`, each made once per checkout and Python.

They appear whole or not at all, under a file lock, so that tests run in parallel do not make them twice.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import kafka

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# The folder in which the `kafka` under test is.
OUR_PATH = str(Path(kafka.__file__).parents[1])
CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("KAFKA_TURBO_CACHE") or CHECKOUT / ".cache") / "compat"

# What ours depends on, for environments to which it comes from the checkout.
OURS: tuple[str, ...] = tuple(
    tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
)

KAFKA_PYTHON = ("kafka-python==3.0.12", "crc32c", "lz4", "python-snappy", "zstandard")


def python_with(*requirements: str) -> Path:
    """The interpreter of an environment that holds these packages and nothing else.

    Raises:
        subprocess.CalledProcessError: pip could not install them; its output has been printed.
    """
    name = hashlib.sha256(repr((sys.version_info[:2], requirements)).encode()).hexdigest()[:12]
    home = CACHE / f"python{sys.version_info[0]}.{sys.version_info[1]}-{name}"
    python = home / "bin" / "python"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", home], check=True, timeout=120)
            pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, *requirements], check=True, timeout=300)
            (home / "complete").touch()
    return python
