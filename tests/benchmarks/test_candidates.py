"""Our own program among the candidates does what the rows ask of it, on a broker that counts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench import harness
from bench.contenders import TURBO
from bench.harness import Plan
from bench.rows import ROWS, Row
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
    from kafka import KafkaProducer

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
