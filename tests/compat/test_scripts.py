"""Short programs that produce or consume, run under kafka-python and this package against the real Kafka, compared."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from compat.differences import DOCUMENT, Difference, judged, rows
from compat.environment import OUR_PATH
from compat.running import FOLDER, outcome, start

SCRIPTS = sorted(path.stem for path in FOLDER.glob("s[0-9][0-9]_*.py"))


def comparable(log: list[list[Any]], how: str, timestamps: bool) -> list[Any]:
    records = [[partition, offset, key, value, headers] for partition, offset, key, value, headers, _ in log]
    if how == "keyless":
        return sorted(record[2:] for record in records)
    if how == "per key":
        # Threads take turns as they like: each key's own order is what counts.
        in_order = sorted(records, key=lambda record: (record[2], record[0], record[1]))
        return [[partition, *rest] for partition, _, *rest in in_order]
    assert how == "exact"
    return [record[-1] for record in log if timestamps] + records


def differing(path: str, theirs: Any, ours: Any) -> list[Difference]:
    """Leaf by leaf; of errors, what catches theirs has to catch ours."""
    if isinstance(theirs, dict) and isinstance(ours, dict) and theirs.keys() == ours.keys():
        if theirs.keys() == {"raised"}:
            if set(theirs["raised"]) <= set(ours["raised"]):
                return []
            return [Difference("script", path, *("raises " + side["raised"][0] for side in (theirs, ours)))]
        return [found for key in theirs for found in differing(f"{path}.{key}", theirs[key], ours[key])]
    if theirs == ours:
        return []
    shown = ("raises " + v["raised"][0] if isinstance(v, dict) and "raised" in v else str(v) for v in (theirs, ours))
    return [Difference("script", path, *shown)]


@pytest.mark.kafka
@pytest.mark.parametrize("script", SCRIPTS)
def test_both_libraries_do_the_same(script, kafka_cluster, kafka_python, ask):
    topics = {side: f"{script}-{side}" for side in ("theirs", "ours")}
    for topic in topics.values():
        # Some records are decades old: Kafka looks every five minutes whether any are to go.
        ask(create=topic, partitions=3, configs={"retention.ms": "-1"})
    running = {
        "theirs": start(kafka_python, script, kafka_cluster.bootstrap, topics["theirs"], path=""),
        "ours": start(sys.executable, script, kafka_cluster.bootstrap, topics["ours"], path=OUR_PATH),
    }
    results = {side: outcome(running[side]) for side in running}

    name = script.partition("_")[0]
    found = differing(name, results["theirs"], results["ours"])
    how, timestamps = results["theirs"].get("log"), "timestamps" in results["theirs"]
    if how is not None:
        logs = {side: comparable(ask(read=topics[side]), how, timestamps) for side in topics}
        assert logs["theirs"]
        if logs["theirs"] != logs["ours"]:
            found.append(Difference("script", f"{name}.log", *(f"{len(logs[side])} records" for side in logs)))
            if len(logs["theirs"]) == len(logs["ours"]):  # such a difference is never one to be listed
                assert logs["theirs"] == logs["ours"]
    listed = [row for row in rows(DOCUMENT.read_text()) if row.kind == "script" and row.name.startswith(f"{name}.")]
    wrong = judged(found, listed)
    assert not wrong, "\n".join(wrong)


def test_there_are_twenty_scripts_of_either_kind_and_lines_only_for_these():
    names = {script.partition("_")[0] for script in SCRIPTS}
    assert len(names) == len(SCRIPTS) >= 44
    listed = {row.name.partition(".")[0] for row in rows(DOCUMENT.read_text()) if row.kind == "script"}
    assert listed <= names


@pytest.mark.parametrize(
    ("theirs", "ours", "count"),
    [
        ({"a": 1}, {"a": 1}, 0),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, 1),
        ({"a": {"raised": ["X", "Exception"]}}, {"a": {"raised": ["Y", "X", "Exception"]}}, 0),
        ({"a": {"raised": ["X", "Exception"]}}, {"a": {"raised": ["Exception"]}}, 1),
        ({"a": {"raised": ["X"]}}, {"a": 5}, 1),
        ({"a": 1}, {"b": 1}, 1),
    ],
)
def test_what_counts_as_a_difference(theirs, ours, count):
    assert len(differing("s00", theirs, ours)) == count
