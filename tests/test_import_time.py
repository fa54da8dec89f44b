"""What an import costs above the bare interpreter: short jobs pay it on every start."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import kafka

FOLDER = Path(kafka.__file__).parent.parent
LIMIT = 0.060  # seconds


def seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=FOLDER, check=True)
    return time.perf_counter() - started


def cost(code: str) -> float:
    """Seconds that `code` takes above an empty program: the best of interleaved runs, as noise only ever adds."""
    seconds(code)  # compiles what is not compiled yet
    bare, full = zip(*((seconds("pass"), seconds(code)) for _ in range(8)), strict=True)
    return min(full) - min(bare)


@pytest.mark.slow
@pytest.mark.timing
def test_the_clients_import_quickly():
    assert cost("from kafka import KafkaProducer, KafkaConsumer") < LIMIT


@pytest.mark.parametrize("module", ["ssl", "asyncio", "importlib.metadata", "zstandard", "crc32c", "cramjam"])
def test_what_is_slow_to_import_loads_on_first_use(module: str):
    code = f"import sys; from kafka import KafkaProducer, KafkaConsumer; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=FOLDER).returncode == 0
