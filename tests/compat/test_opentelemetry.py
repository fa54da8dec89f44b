"""OpenTelemetry's instrumentor for kafka-python, as its users call it, on both libraries."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from compat.environment import KAFKA_PYTHON, OUR_PATH, OURS, python_with
from compat.running import outcome, start

from kafka.testing import EmbeddedCluster

INSTRUMENTOR = ("opentelemetry-instrumentation-kafka-python==0.66b1", "opentelemetry-sdk")


@pytest.fixture(scope="module")
def pythons() -> dict[str, Path]:
    # Ours comes from the checkout: the environment has what it depends on.
    return {
        "theirs": python_with(KAFKA_PYTHON[0], *INSTRUMENTOR),
        "ours": python_with(*OURS, *INSTRUMENTOR),
    }


@pytest.mark.kafka
def test_the_same_spans_headers_and_hooks(pythons, kafka_cluster, ask):
    results, logs = {}, {}
    for side, python in pythons.items():
        topic = f"opentelemetry-{side}"
        ask(create=topic, partitions=3, configs={})
        path = OUR_PATH if side == "ours" else ""
        results[side] = outcome(start(python, "opentelemetry_spans", kafka_cluster.bootstrap, topic, path=path))
        logs[side] = ask(read=topic)
    assert results["ours"] == results["theirs"]
    assert len(results["ours"]["spans"]) == 4
    assert results["ours"]["child"]

    without_ids = {
        side: [[partition, value, [key for key, _ in headers]] for partition, _, _, value, headers, _ in log]
        for side, log in logs.items()
    }
    assert without_ids["ours"] == without_ids["theirs"]
    assert [1, "with headers", ["mine", "traceparent"]] in without_ids["ours"]
    assert [2, "not traced", []] in without_ids["ours"]


@pytest.mark.kafka
def test_the_same_spans_and_hooks_of_consuming(pythons, kafka_cluster, ask):
    results = {}
    for side, python in pythons.items():
        topic = f"opentelemetry-consume-{side}"
        ask(create=topic, partitions=1, configs={})
        path = OUR_PATH if side == "ours" else ""
        results[side] = outcome(start(python, "opentelemetry_consume", kafka_cluster.bootstrap, topic, path=path))
    assert results["ours"] == results["theirs"]
    assert results["ours"]["hooked"] == [[0, 0, []]] and results["ours"]["value"] == "traced"


@pytest.mark.kafka
def test_without_skip_dep_check_its_log_says_that_kafka_python_is_missing_and_nothing_is_traced(
    pythons, kafka_cluster, ask
):
    ask(create="opentelemetry-checked", partitions=3, configs={})
    running = start(
        pythons["ours"],
        "opentelemetry_spans",
        kafka_cluster.bootstrap,
        "opentelemetry-checked",
        "checked",
        path=OUR_PATH,
    )
    out, err = running.communicate(timeout=90)
    assert 'only instruments "kafka-python >= 2.0, < 4.0", but no installed version was found' in err
    assert '"spans": [["outer"' in out


def test_keyless_records_have_their_partition_and_send_many_its_span(pythons):
    with EmbeddedCluster(topics={"t": 3}) as cluster:
        found = outcome(start(pythons["ours"], "opentelemetry_ours", cluster.bootstrap, "t", path=OUR_PATH))
        records = [record for partition in range(3) for record in cluster.records("t", partition)]
    assert found["right"] == [True] * 20
    assert found["one partition for a batch"] <= 2
    attributes = {
        "messaging.system": "kafka",
        "messaging.destination": "t",
        "messaging.url": "",
        "messaging.batch.message_count": 2,
    }
    assert found["many"] == [["t send", attributes], ["t send", {**attributes, "messaging.kafka.partition": 1}]]
    assert found["failed"] == ["ERROR", "ERROR"]
    assert found["after"] == 0
    assert found["headers"] == [[["mine", "1"]], None]  # the caller's own
    headers = {record.value: [key for key, _ in record.headers] for record in records}
    assert headers[b"a"] == ["mine", "traceparent"]
    assert headers[b"b"] == headers[b"c"] == ["traceparent"]
    assert headers[b"e"] == []


def test_our_distribution_is_not_named_kafka_python(pythons):
    found = subprocess.run(
        [pythons["ours"], "-m", "pip", "list", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "kafka-python " not in found.stdout.replace("instrumentation-kafka-python", "")
