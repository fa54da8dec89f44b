"""The benchmarks' turns and counts, on contenders that only say numbers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bench import harness, report, rows
from bench.brokers import Broker
from bench.contenders import CONFLUENT, CONTENDERS, FRANZ, TURBO, Contender
from bench.rows import Bar, Row


class Counting(Broker):
    """Has what the contenders below write into a file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.lost = 0

    def start(self) -> None:
        self.file.write_text("")

    def topic(self, name: str, partitions: int, *, kept: bool = False) -> str:
        return name

    def count(self, topic: str) -> int:
        return sum(int(line.split()[1]) for line in self.file.read_text().splitlines()) - self.lost


PROGRAM = """
import json, sys
scenario = json.load(sys.stdin)
name, rate, file, answer = sys.argv[1:]
with open(file, "a") as f:
    print(name, int(rate) + 7, file=f)
found = {"records": int(rate), "warm": 7, "seconds": 1.0, "cpu_us": 1.5, "peak_mb": 10.0}
print(json.dumps(found | json.loads(answer)))
"""


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counting:
    broker = Counting(tmp_path / "came")
    monkeypatch.setattr(harness, "BROKERS", {"discarding": lambda: broker})
    monkeypatch.setattr(harness.values, "file_of", lambda kind: tmp_path)
    monkeypatch.setattr(harness, "settled", lambda broker, topic, expected: broker.count(topic))
    return broker


def contender(broker: Counting, name: str, rate: int, **answer: float) -> Contender:
    command = [sys.executable, "-c", PROGRAM, name.replace(" ", "-"), str(rate), str(broker.file), json.dumps(answer)]
    return Contender(name, lambda: command, 1.0)


def measured(row: Row, rounds: int, those: Iterable[Contender], said: list[str] | None = None) -> dict[str, Any]:
    plan = harness.Plan(rounds, 0.1, contenders={one.name: one for one in those})
    if said is not None:
        plan.say = said.append
    (found,) = harness.measure([row], plan)
    return found


def test_contenders_take_turns_and_each_round_starts_with_another(broker: Counting) -> None:
    row = Row("a row", "Producing", "discarding", (TURBO, FRANZ, CONFLUENT), bars=rows.times(2, FRANZ))
    those = [contender(broker, name, rate) for name, rate in ((TURBO, 3000), (FRANZ, 1000), (CONFLUENT, 6000))]
    said: list[str] = []
    found = measured(row, 9, those, said)
    order = [line.split()[0] for line in broker.file.read_text().splitlines()]
    assert order[:9] == [TURBO, FRANZ, CONFLUENT, FRANZ, CONFLUENT, TURBO, CONFLUENT, TURBO, FRANZ]
    assert found["contenders"][FRANZ]["rate"]["runs"] == [1000] * 9
    assert found["ratios"][FRANZ]["rate"] == {"median": 3.0, "low": 3.0, "high": 3.0, "pairs": 9, "verdict": "ahead"}
    assert found["ratios"][CONFLUENT]["rate"]["verdict"] == "behind"
    assert found["bars"] == [{"measure": "rate", "value": 2, "of": FRANZ, "needed": 2000, "held": True}]
    assert said[1].startswith("[1/27]") and "round 9 of 9" in said[-1], "each run is told"


def test_what_the_broker_does_not_have_counts_for_nothing(broker: Counting) -> None:
    row = Row("a row", "Producing", "discarding", (TURBO, FRANZ))
    broker.lost = 0
    liar = contender(broker, FRANZ, 1000, records=1001)
    found = measured(row, 1, [contender(broker, TURBO, 1000), liar])
    assert found["contenders"][FRANZ] == {"missing": "1008 records were delivered, the broker has 1007"}
    assert found["ratios"] == {}


def test_a_contender_that_fails_is_left_out_with_its_reason(broker: Counting) -> None:
    row = Row("a row", "Producing", "discarding", (TURBO, FRANZ), bars=(Bar("rate", 1, FRANZ), Bar("rate", 2000)))
    failing = Contender(FRANZ, lambda: [sys.executable, "-c", "raise SystemExit('no Go here')"], 1.0)
    found = measured(row, 2, [contender(broker, TURBO, 1000), failing])
    assert found["contenders"][FRANZ] == {"missing": "no Go here"}
    assert found["contenders"][TURBO]["rate"]["median"] == 1000
    assert [bar["held"] for bar in found["bars"]] == [None, False]


def test_a_contender_that_hangs_is_ended_with_what_it_started(
    broker: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "PATIENCE", 3.0)
    started = tmp_path / "started"
    program = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(started)!r}, "w").write(str(child.pid))
child.wait()
"""
    hanging = Contender(TURBO, lambda: [sys.executable, "-c", program], 1.0)
    found = measured(Row("a row", "Producing", "discarding", (TURBO,)), 1, [hanging])
    assert found["contenders"][TURBO] == {"missing": "no answer within 3 s"}
    state = Path(f"/proc/{started.read_text()}/stat")
    deadline = time.monotonic() + 10
    while state.exists() and state.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_of_times_the_lesser_is_better(broker: Counting) -> None:
    row = Row("a row", "Delivery latency", "discarding", (TURBO, FRANZ), "latency", bars=(Bar("p50_ms", 1, FRANZ),))
    times = {"p50_ms": 1.0, "p99_ms": 4.0, "p999_ms": 5.0}
    slow = {"p50_ms": 2.0, "p99_ms": 2.0, "p999_ms": 5.0}
    found = measured(row, 9, [contender(broker, TURBO, 10, **times), contender(broker, FRANZ, 10, **slow)])
    verdicts = {measure: ratio["verdict"] for measure, ratio in found["ratios"][FRANZ].items()}
    assert verdicts == {"p50_ms": "ahead", "p99_ms": "behind", "p999_ms": "tie"}
    assert found["bars"][0]["held"] is True


def test_processes_that_work_at_the_same_time_count_as_one(broker: Counting) -> None:
    row = Row("a row", "Producing", "discarding", (TURBO,), settings={"processes": 3})
    found = measured(row, 1, [contender(broker, TURBO, 1000)])["contenders"][TURBO]
    assert found["rate"]["median"] == 3000 and found["peak_mb"]["median"] == 30 and found["cpu_us"]["median"] == 1.5


def test_the_terminal_shows_all_of_it(broker: Counting) -> None:
    row = Row("a row", "Producing", "discarding", (TURBO, FRANZ), bars=(Bar("rate", 2e6),))
    those = [contender(broker, TURBO, 1_500_000), contender(broker, FRANZ, 1_200_000)]
    found = report.report(
        [measured(row, 6, those)],
        command="make bench",
        rounds=6,
        seconds=0.1,
        took=60,
        load={"others": 0.25},
        limits={},
    )
    text = report.terminal(found)
    assert "1.50 M" in text and "x1.25 [1.25, 1.25]" in text and "SHORT OF rate 2.00 M" in text
    assert "others took 25% of the processors" in text and "nothing here is a claim" in text
    assert "`make bench`" in text and "batches of 128 KiB" in text


def test_numbers_are_written_as_people_write_them() -> None:
    numbers = (1_975_000_000, 5_296_000, 48_120_000, 371_000, 17_890, 0.1649, 5.64, 64.2, 640.0, None)
    expected = ["1.98 G", "5.30 M", "48.1 M", "371 k", "17.9 k", "0.16", "5.64", "64.2", "640", "-"]
    assert [report.number(number) for number in numbers] == expected


def test_rows_name_contenders_and_brokers_that_there_are() -> None:
    names = [row.name for row in rows.ROWS]
    assert len(names) == len(set(names))
    for row in rows.ROWS:
        assert set(row.who) <= CONTENDERS.keys() and row.broker in {"discarding", *_kafkas()}, row.name
        assert all(bar.of is None or bar.of in row.who for bar in row.bars), row.name


def _kafkas() -> set[str]:
    from bench.brokers import BROKERS

    return set(BROKERS)
