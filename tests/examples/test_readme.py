"""What the README and the documents show is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kafka
from kafka import KafkaProducer
from kafka.testing import EmbeddedCluster

ROOT = Path(__file__).parents[2]


def examples(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def run(example: str, cluster: EmbeddedCluster) -> str:
    """What it prints, run as it stands but for the broker's address."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example.replace("localhost:9092", cluster.bootstrap)],
        env={**os.environ, "PYTHONPATH": str(Path(kafka.__file__).parents[1])},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return done.stdout


def test_the_examples_of_a_producer_and_a_consumer() -> None:
    example, _, reading = examples("README.md")
    with EmbeddedCluster(topics={"greetings": 3}) as cluster:
        run(example, cluster)
        assert sum(cluster.end_offset("greetings", partition) for partition in range(3)) == 100_001
        assert "b'en' b'hello'" in (said := run(reading, cluster)) and said.count("\n") == 100_001


def test_the_example_of_a_transaction() -> None:
    _, example, _ = examples("README.md")
    with EmbeddedCluster(topics={"debits": 1, "credits": 1}) as cluster:
        run(example, cluster)
        for topic in ("debits", "credits"):
            (record,) = cluster.records(topic, 0)
            assert record.value == b"100"
            assert cluster.end_offset(topic, 0) == 2, "a record, and the marker that commits it"


def test_the_example_of_columns() -> None:
    example = next(example for example in examples("docs/consumer.md") if "pyarrow" in example)
    with EmbeddedCluster(topics={"greetings": 2}) as cluster:
        with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            producer.send_many("greetings", [b"hello"] * 1000)
        names = "['topic', 'partition', 'offset', 'timestamp', 'key', 'value', 'headers']"
        assert run(example, cluster) == f"{names} 1000\n"


def test_the_example_of_arguments_with_types() -> None:
    (example,) = examples("docs/configuration.md")
    with EmbeddedCluster() as cluster:
        run(f"{example}\nassert producer.config['linger_ms'] == 5\nproducer.close()", cluster)


def test_the_example_of_a_cluster_inside_a_test() -> None:
    (example,) = (code for code in examples("docs/testing.md") if "def test_orders_are_sent" in code)
    names: dict[str, Any] = {}
    exec(example, names)
    names["test_orders_are_sent"]()


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
