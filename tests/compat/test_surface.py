"""Names, signatures, keys with defaults and exceptions, compared with kafka-python's mechanically."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from compat.differences import DOCUMENT, Difference, Surface, differences, judged, rows
from compat.environment import OUR_PATH

KINDS = ("module", "name", "signature", "attribute", "fields", "config", "exception", "logging")


def dump(python: Path) -> Surface:
    done = subprocess.run(
        [python, Path(__file__).with_name("dump.py")],
        env={**os.environ, "PYTHONPATH": OUR_PATH if python == Path(sys.executable) else ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def theirs(kafka_python: Path) -> Surface:
    return dump(kafka_python)


@pytest.fixture(scope="module")
def ours() -> Surface:
    return dump(Path(sys.executable))


def test_each_difference_is_listed_with_its_reason_and_nothing_else_is(theirs, ours):
    listed = [row for row in rows(DOCUMENT.read_text()) if row.kind in KINDS]
    wrong = judged(differences(theirs, ours), listed)
    assert not wrong, "\n".join(wrong)


def test_the_surface_is_the_one_we_mean(theirs):
    assert len([key for key in theirs["config"] if key.startswith("KafkaProducer.")]) == 55
    assert len([path for path in theirs["name"] if path.startswith("kafka.errors.")]) >= 157
    assert theirs["signature"]["KafkaProducer.flush"] == "(timeout=None)"
    assert set(theirs) == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("module", "kafka.errors", None),
        ("name", "kafka.TopicPartition", None),
        ("signature", "KafkaProducer.send", "(topic)"),
        ("fields", "OffsetAndMetadata", {"fields": []}),
        ("config", "KafkaProducer.linger_ms", "5"),
        ("config", "KafkaProducer.linger_ms", None),
        ("exception", "UnknownTopicOrPartitionError.errno", 4),
        ("exception", "KafkaTimeoutError.ancestors", ["Exception"]),
    ],
)
def test_a_change_of_ours_is_a_difference(theirs, kind, name, value):
    changed = copy.deepcopy(theirs)
    if value is None:
        del changed[kind][name]
    else:
        changed[kind][name] = value
    found = differences(theirs, changed)
    assert {d.kind for d in found} == {kind}
    assert all(d.name.startswith(name) for d in found)
    assert differences(theirs, theirs) == []


def test_a_key_of_ours_alone_is_a_difference(theirs):
    changed = copy.deepcopy(theirs)
    changed["config"]["KafkaProducer.new"] = "1"
    assert differences(theirs, changed) == [Difference("config", "KafkaProducer.new", "absent", "1")]


def test_lines_of_the_table():
    table = (
        "| kind | name | theirs | ours | reason |\n|---|---|---|---|---|\n| config | `A.*` | `a\\|b` | * | because |\n"
    )
    (row,) = rows("| other | table |\n|---|---|\n| x | y |\n\n" + table)
    there, elsewhere = Difference("config", "A.x", "a|b", "1"), Difference("config", "B.x", "a|b", "1")
    assert judged([there], [row]) == []
    assert judged([there, elsewhere], [row])[0].startswith("not listed: | config | `B.x`")
    assert judged([], [row])[0].startswith("listed, but there is no such difference")
