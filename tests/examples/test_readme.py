"""What the README shows is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import kafka
from kafka.testing import EmbeddedCluster

ROOT = Path(__file__).parents[2]


def examples() -> list[str]:
    """That of the producer, and that of a transaction, which tests/broker runs: the embedded broker has none."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_producers_example() -> None:
    example, _ = examples()
    with EmbeddedCluster(topics={"greetings": 3}) as cluster:
        subprocess.run(
            [sys.executable, "-W", "error", "-c", example.replace("localhost:9092", cluster.bootstrap)],
            env={**os.environ, "PYTHONPATH": str(Path(kafka.__file__).parents[1])},
            check=True,
            timeout=60,
        )
        assert sum(cluster.end_offset("greetings", partition) for partition in range(3)) == 100_001


def test_every_verb_that_the_documents_name_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {target for line in re.findall(r"^([\w -]+):", makefile, re.MULTILINE) for target in line.split()}
    for document in ("README.md", "CONTRIBUTING.md", "DESIGN.md"):
        named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE))
        assert named <= targets, document


def test_every_file_that_the_documents_link_to_is_there() -> None:
    for document in ROOT.glob("*.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text()):
            assert (ROOT / target).exists(), f"{document.name}: {target}"
