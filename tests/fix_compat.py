"""Plugin: other people's clients, each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compat.environment import KAFKA_PYTHON, python_with

READER = Path(__file__).parent / "compat" / "reader.py"


@pytest.fixture(scope="session")
def kafka_python() -> Path:
    """The interpreter of an environment that has kafka-python, made on first use."""
    return python_with(*KAFKA_PYTHON)


@pytest.fixture(scope="session")
def ask(kafka_python: Path, kafka_cluster: Any) -> Iterator[Callable[..., Any]]:
    """Asks compat/reader.py, a process that runs as long as the tests: `ask(read="topic")`, `ask(create=...)`."""
    with subprocess.Popen(
        [kafka_python, READER, kafka_cluster.bootstrap],
        env={**os.environ, "PYTHONPATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as reader:
        requests, answers = reader.stdin, reader.stdout
        assert requests is not None
        assert answers is not None

        def ask(**request: Any) -> Any:
            requests.write(json.dumps(request) + "\n")
            return json.loads(answers.readline())

        yield ask
        requests.close()
