"""Our own program among the candidates does what the rows ask of it, on a broker that counts."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import harness
from bench.contenders import TURBO
from bench.environments import BENCH
from bench.harness import Plan
from bench.rows import ROWS, Row
from kafka import KafkaConsumer, KafkaProducer
from kafka.testing import EmbeddedCluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
]

OF_EACH_KIND = {(row.how, *sorted(row.settings)): row for row in ROWS if row.broker == "discarding"}


@pytest.fixture(autouse=True)
def few_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def file_of(kind: str) -> Path:
        size = harness.values.size_of(kind)
        lines = (json.dumps({"number": n, "text": ""}).encode() if kind == "json" else b"%d" % n for n in range(30_000))
        path = tmp_path / kind
        path.write_bytes(b"".join(line.ljust(min(size, 500)) + b"\n" for line in lines))
        return path

    monkeypatch.setattr(harness.values, "file_of", file_of)


@pytest.mark.parametrize("row", OF_EACH_KIND.values(), ids=lambda row: row.name)
def test_it_sends_in_every_way_and_the_broker_has_as_many(row: Row) -> None:
    alone = Row(row.name, row.section, row.broker, (TURBO,), row.do, row.how, {**row.settings})
    (found,) = harness.measure([alone], Plan(rounds=1, seconds=0.05))
    ours = found["contenders"][TURBO]
    assert "rate" in ours and ours["rate"]["median"] > 0, ours


@pytest.mark.parametrize("computing", [False, True])
def test_it_tells_latencies(computing: bool, tmp_path: Path) -> None:
    values = tmp_path / "values"
    values.write_bytes(b"0123456789\n" * 2000)
    with EmbeddedCluster(topics={"t": 2}) as cluster:
        scenario = {
            **harness.SETTINGS, "do": "latency", "how": "callback", "bootstrap": cluster.bootstrap, "topic": "t",
            "seconds": 0.3, "offered": 2000, "values": str(values), "computing": computing,
        }  # fmt: skip
        ours = Plan(1, 0.3).contenders[TURBO]
        (found,) = harness.carried_out(ours.command(), harness.environment(ours), scenario, 1)
        assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["p999_ms"]
        assert found["records"] + found["warm"] == sum(cluster.end_offset("t", number) for number in range(2))
        assert ("left_for_computing" in found) == computing


@pytest.mark.parametrize("how", ["value", "fields", "poll", "columns"])
def test_it_reads_in_every_way(how: str) -> None:
    with EmbeddedCluster(topics={"t": 2}) as cluster:
        with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            producer.send_many("t", [b"%010d" % number for number in range(5000)])
        scenario = {
            "do": "consume", "how": how, "bootstrap": cluster.bootstrap, "topic": "t", "seconds": 1.0, "size": 10,
            "records": 5000, "max_records": 500,
        }  # fmt: skip
        ours = Plan(1, 1.0).contenders[TURBO]
        (found,) = harness.carried_out(ours.command(), harness.environment(ours), scenario, 1)
        assert found["records"] == 5000 and found["seconds"] > 0


def waited(cluster: EmbeddedCluster, do: str, how: str, **more: Any) -> harness.Run:
    ours = Plan(1, 1.0).contenders[TURBO]
    scenario = {**harness.SETTINGS, "do": do, "how": how, "bootstrap": cluster.bootstrap, "topic": "t", "seconds": 1.0}
    scenario |= more
    with harness.offering(scenario) if do == "arrive" else contextlib.nullcontext():
        (found,) = harness.carried_out(ours.command(), harness.environment(ours), scenario, 1)
    return found


def test_it_tells_how_long_records_take_to_their_reader(tmp_path: Path) -> None:
    values = tmp_path / "values"
    values.write_bytes((b"x" * 50 + b"\n") * 2000)
    with EmbeddedCluster(topics={"t": 2}) as cluster:
        found = waited(cluster, "arrive", "poll", offered=200, values=str(values))
        assert found["records"] > 150 and 0 < found["p50_ms"] <= found["p99_ms"] <= found["p999_ms"]


@pytest.mark.parametrize("how", ["classic", "consumer"])
def test_it_tells_how_long_a_third_member_takes(how: str) -> None:
    with EmbeddedCluster(topics={"t": 6}) as cluster:
        found = waited(cluster, "join", how, times=1)
        assert found["p50_ms"] > 0 and found["taken"] == (6 if how == "classic" else 2)
        assert (found["stood_ms"] > 0) == (how == "classic")


def test_it_tells_of_beginning_holding_and_doing_nothing() -> None:
    with EmbeddedCluster(topics={"t": 6, "empty": 50}) as cluster:
        with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            producer.send_many("t", [b"%010d" % number for number in range(50)])
        assert waited(cluster, "first", "value", times=2)["p50_ms"] > 0
        assert 0 < waited(cluster, "slow", "poll", size=10)["records"] <= 6
        found = waited(cluster, "idle", "poll", topic="empty", partitions=50)
        assert 0 < found["cpu_percent"] < 100


# Stands for confluent-kafka: a topic of 1,100 records, and whoever waits for more than it has waits for ever.
STUB = """
import os, sys
class Message:
    def value(self): return b"0123456789"
class Consumer:
    def __init__(self, config):
        assert config["check.crcs"] is True, config
        self.left = 1100
    def subscribe(self, topics): pass
    def close(self): pass
    def consume(self, count, timeout):
        assert 0 < count <= self.left, f"{count} of {self.left}"
        self.left -= count
        return [Message()] * count
class Producer:
    def __init__(self, config): self.came = open(os.environ["CAME"], "wb")
    def produce(self, topic, value): self.came.write(value + b"\\n")
    def poll(self, timeout): pass
    def flush(self, timeout):
        self.came.flush()
        return 0
"""


def with_confluent(folder: Path, scenario: dict[str, Any]) -> harness.Run:
    """What the program with confluent-kafka finds, on a module that stands for it."""
    (folder / "confluent_kafka.py").write_text(STUB)
    environment = {**os.environ, "PYTHONPATH": str(folder), "CAME": str(folder / "came")}
    command = [sys.executable, str(BENCH / "candidates" / "with_confluent_kafka.py")]
    scenario = {**harness.SETTINGS, "bootstrap": "", "topic": "t", "seconds": 0.01, "size": 10, **scenario}
    (found,) = harness.carried_out(command, environment, scenario, 1)
    return found


def test_confluent_kafka_checks_checksums_and_is_not_asked_for_more_than_there_is(tmp_path: Path) -> None:
    found = with_confluent(tmp_path, {"do": "consume", "how": "value", "records": 1100})
    assert found["records"] == 1100


def test_dicts_are_the_same_bytes_whoever_sends_them(tmp_path: Path) -> None:
    row = {"name": "Zoë", "list": [1, 2.5], "none": None}
    values = tmp_path / "values"
    values.write_text((json.dumps(row) + "\n") * 1000)
    with_confluent(tmp_path, {"do": "produce", "how": "dicts", "values": str(values)})
    assert set((tmp_path / "came").read_bytes().splitlines()) == {as_ours_sends_it(row)}


def as_ours_sends_it(row: dict[str, Any]) -> bytes:
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        with KafkaProducer(bootstrap_servers=cluster.bootstrap, value_serializer="json") as producer:
            producer.send("t", row).get(10)
        with KafkaConsumer("t", bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest") as consumer:
            value: bytes = next(consumer).value
            return value


@pytest.mark.parametrize("how", ["send_many", "transactions"])
def test_it_sends_in_the_ways_that_the_broker_that_discards_has_no_rows_for(how: str, tmp_path: Path) -> None:
    values = tmp_path / "values"
    values.write_bytes(b"0123456789\n" * 20_000)
    with EmbeddedCluster(topics={"t": 6}) as cluster:
        scenario = {
            **harness.SETTINGS, "do": "produce", "how": how, "bootstrap": cluster.bootstrap, "topic": "t",
            "seconds": 0.05, "values": str(values),
        }  # fmt: skip
        ours = Plan(1, 0.05).contenders[TURBO]
        (found,) = harness.carried_out(ours.command(), harness.environment(ours), scenario, 1)
        sent, came = found["records"] + found["warm"], sum(cluster.end_offset("t", number) for number in range(6))
        markers = sent / 10_000 * 6 if how == "transactions" else 0
        assert 0 < sent <= came <= sent + markers
