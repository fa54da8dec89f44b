"""Who is measured: a program each in `candidates/`, and where it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import environments
from .environments import BENCH, ROOT

TURBO, MANY, COLUMNS = "kafka-turbo", "kafka-turbo, send_many", "kafka-turbo, columns"
BEFORE = "kafka-turbo, before"
FRANZ, CONFLUENT, JAVA = "franz-go", "confluent-kafka", "Java"
KAFKA_PYTHON, AIOKAFKA = "kafka-python", "aiokafka"

PEERS = {
    CONFLUENT: "confluent-kafka==2.16.1",
    KAFKA_PYTHON: "kafka-python==3.0.12",
    AIOKAFKA: "aiokafka[lz4,zstd]==0.14.0",
}


@dataclass(frozen=True)
class Contender:
    name: str
    # Makes what is missing and gives the command; raises environments.Missing where that cannot be.
    command: Callable[[], list[str]]
    # Records of 100 bytes a second, before anything is known: for those that are told a number.
    guess: float
    how: str | None = None  # what it calls, where that is not the row's
    path: Path | None = None  # PYTHONPATH


def _python(name: str, requirement: str | None = None) -> Callable[[], list[str]]:
    program = str(BENCH / "candidates" / f"with_{name}.py")
    return lambda: [str(environments.python_with(requirement)) if requirement else sys.executable, program]


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(TURBO, _python("turbo"), 3e6, path=ROOT),
        Contender(MANY, _python("turbo"), 3e6, "send_many", ROOT),
        Contender(COLUMNS, _python("turbo"), 3e6, "columns", ROOT),
        Contender(FRANZ, lambda: [str(environments.franz_go())], 2e6),
        Contender(JAVA, _python("java"), 5e5),
        Contender(CONFLUENT, _python("confluent_kafka", PEERS[CONFLUENT]), 2e5),
        Contender(AIOKAFKA, _python("aiokafka", PEERS[AIOKAFKA]), 2e5),
        Contender(KAFKA_PYTHON, _python("kafka_python", PEERS[KAFKA_PYTHON]), 1e5),
    )
}


def before(checkout: Path) -> Contender:
    """This client as it is in another checkout, built there."""
    python = checkout / ".venv" / "bin" / "python"
    program = str(BENCH / "candidates" / "with_turbo.py")
    return Contender(BEFORE, lambda: [str(python if python.exists() else sys.executable), program], 3e6, path=checkout)


def environment(contender: Contender) -> dict[str, str]:
    """Only ours sees a checkout: kafka-python has the same import name."""
    names = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return names | ({"PYTHONPATH": str(contender.path)} if contender.path else {})


def versions() -> dict[str, str]:
    import kafka

    found = {name: requirement.partition("==")[2] for name, requirement in PEERS.items()}
    found[TURBO] = f"{kafka.__version__} ({_commit()})"
    found[FRANZ] = environments.version_of_franz_go()
    import kafka_jars

    found["Apache Kafka"] = found[JAVA] = kafka_jars.VERSION
    for tool, *options in (("go", "version"), ("cc", "--version"), ("java", "-version")):
        try:
            done = subprocess.run([tool, *options], capture_output=True, text=True)
        except OSError:
            continue
        found[tool] = (done.stdout or done.stderr).splitlines()[0]
    return found


def _commit() -> str:
    """The commit, and whether what is measured is another: benchmarks and pages may be."""

    def git(*arguments: str) -> str:
        try:
            return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        except FileNotFoundError:
            return ""

    changed = git("status", "--porcelain", "--", "kafka", "setup.py")
    return (git("rev-parse", "--short", "HEAD") or "no repository") + ("-dirty" if changed else "")
