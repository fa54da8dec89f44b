"""The demo with one round of its data set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def demo(*options: str) -> str:
    run = subprocess.run(
        [sys.executable, "examples/demo.py", "--records", "1", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_against_the_embedded_broker() -> None:
    output = demo()
    assert "produced 336,776 records" in output
    assert "Every record is there, once, in its partition." in output


@pytest.mark.kafka
def test_against_a_real_kafka(kafka_cluster: Any) -> None:
    output = demo("--bootstrap", kafka_cluster.bootstrap, "--topic", "demo-of-the-examples")
    assert "Every record is there, once, in its partition." in output
