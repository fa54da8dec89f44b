"""The benchmarks' turns and counts, on contenders that only say numbers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bench import contenders, environments, harness, report, rows, values
from bench.brokers import BROKERS, Broker, Discarding
from bench.contenders import CONFLUENT, CONTENDERS, FRANZ, TURBO, Contender
from bench.rows import Bar, Row
from kafka.errors import KafkaTimeoutError


class Counting(Broker):
    """Has what the contenders below write into a file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.troubled: set[str] = set()  # topics

    def start(self) -> None:
        self.file.write_text("")

    def topic(self, name: str, partitions: int, *, kept: bool = False) -> str:
        if name in self.troubled:
            raise KafkaTimeoutError("no answer")
        return name

    def count(self, topic: str) -> int:
        return sum(int(line.split()[1]) for line in self.file.read_text().splitlines())


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


def silent(name: str, program: str) -> Contender:
    return Contender(name, lambda: [sys.executable, "-c", program], 1.0)


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
    liar = contender(broker, FRANZ, 1000, records=1001)
    found = measured(row, 1, [contender(broker, TURBO, 1000), liar])
    assert found["contenders"][FRANZ] == {"missing": "1008 records were delivered, the broker has 1007"}
    assert found["ratios"] == {}


def test_a_contender_that_fails_is_left_out_with_its_reason(broker: Counting) -> None:
    row = Row("a row", "Producing", "discarding", (TURBO, FRANZ), bars=(Bar("rate", 1, FRANZ), Bar("rate", 2000)))
    failing = silent(FRANZ, "raise SystemExit('no Go here')")
    found = measured(row, 2, [contender(broker, TURBO, 1000), failing])
    assert found["contenders"][FRANZ] == {"missing": "no Go here"}
    assert found["contenders"][TURBO]["rate"]["median"] == 1000
    assert [bar["held"] for bar in found["bars"]] == [None, False]


def test_a_transaction_has_a_marker_in_each_partition_at_most(broker: Counting) -> None:
    row = Row("a row", "Producing", "discarding", (TURBO, FRANZ, CONFLUENT), how="transactions")
    those = [
        contender(broker, TURBO, 19_993 + 12, records=19_993),  # and 7: two transactions, in 6 partitions
        contender(broker, FRANZ, 19_993 + 13, records=19_993),
        contender(broker, CONFLUENT, 19_993 + 10_000, records=19_993),  # one came twice
    ]
    found = measured(row, 1, those)["contenders"]
    assert "rate" in found[TURBO]
    assert found[FRANZ] == {"missing": "20000 records were delivered, the broker has 20013"}
    assert found[CONFLUENT] == {"missing": "20000 records were delivered, the broker has 30000"}


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("", "no answer, exit code 0"),
        ("import os; os.close(0); raise SystemExit('no Go here')", "no Go here"),
        ("print('fine')", "an answer that is not JSON: fine"),
    ],
)
def test_a_contender_that_says_nothing_is_left_out(
    broker: Counting, program: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(subprocess.Popen[str]):
        """It has come to its end before it is told anything."""

        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.wait()

    monkeypatch.setattr(harness.subprocess, "Popen", Ended)
    found = measured(Row("a row", "Producing", "discarding", (TURBO,)), 1, [silent(TURBO, program)])
    assert found["contenders"][TURBO] == {"missing": reason}


def test_a_contender_that_cannot_be_started_is_left_out(broker: Counting, tmp_path: Path) -> None:
    gone = Contender(TURBO, lambda: [str(tmp_path / "gone")], 1.0)
    found = measured(Row("a row", "Producing", "discarding", (TURBO,)), 1, [gone])
    assert found["contenders"][TURBO]["missing"].startswith("it cannot be started: [Errno 2]")


def test_a_row_whose_topic_cannot_be_had_leaves_the_others(broker: Counting) -> None:
    broker.troubled.add("bench-5p")
    those = [
        Row("first", "Producing", "discarding", (TURBO,), settings={"partitions": 5}),
        Row("second", "Producing", "discarding", (TURBO,)),
    ]
    plan = harness.Plan(1, 0.1, contenders={TURBO: contender(broker, TURBO, 1000)})
    first, second = (row["contenders"][TURBO] for row in harness.measure(those, plan))
    assert "no answer" in first["missing"] and second["rate"]["median"] == 1000


def test_a_broker_that_answers_no_more_is_the_reason_of_all_rows_that_are_left(
    broker: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count(topic: str) -> int:
        if len(broker.file.read_text().splitlines()) > 1:
            raise KafkaTimeoutError("no answer")
        return Counting.count(broker, topic)

    monkeypatch.setattr(broker, "count", count)
    those = [Row(name, "Producing", "discarding", (TURBO,)) for name in ("first", "second", "third")]
    plan = harness.Plan(1, 0.1, contenders={TURBO: contender(broker, TURBO, 1000)})
    first, *others = (row["contenders"][TURBO] for row in harness.measure(those, plan))
    assert first["rate"]["median"] == 1000
    assert len(others) == 2 and all("no answer" in other["missing"] for other in others)


STARTS_ANOTHER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
open({file!r}, "w").write(str(child.pid))
"""


def ended(pid: int) -> bool:
    """Within 10 seconds."""
    state = Path(f"/proc/{pid}/stat")
    deadline = time.monotonic() + 10
    while alive := state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return not alive


def test_what_a_contender_leaves_behind_is_ended(broker: Counting, tmp_path: Path) -> None:
    """As with_java.py, killed for its memory, leaves its JVM."""
    file = tmp_path / "started"
    program = STARTS_ANOTHER.format(file=str(file)) + "import os; os.kill(os.getpid(), 9)"
    found = measured(Row("a row", "Producing", "discarding", (TURBO,)), 1, [silent(TURBO, program)])
    assert found["contenders"][TURBO] == {"missing": "no answer, exit code -9"}
    assert ended(int(file.read_text()))


MAIN = """
import sys
from bench import __main__ as bench, harness
bench.report.circumstances = lambda: {{}}
def measure(rows, plan):
    yield harness.carried_out([sys.executable, "-c", {program!r}], {{}}, {{"seconds": 1}}, 1)
bench.measure = measure
sys.argv = ["bench", "--quick", "--output", {output!r}]
bench.main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_bench_ends_its_candidates(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "started"
    program = STARTS_ANOTHER.format(file=str(file)) + "child.wait()"
    main = MAIN.format(program=program, output=str(tmp_path / "report.json"))
    with subprocess.Popen([sys.executable, "-c", main], cwd=environments.ROOT) as process:
        deadline = time.monotonic() + 30
        while not (file.exists() and file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert ended(int(file.read_text()))


@pytest.mark.parametrize(
    "make", [environments.discarding_broker, environments.franz_go, lambda: values.file_of("100")],
    ids=["broker", "franz-go", "values"],
)  # fmt: skip
def test_two_at_once_make_the_same_file(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "BUILT", tmp_path)
    monkeypatch.setattr(values, "BUILT", tmp_path)
    seen: list[str] = []

    def written(path: Path, data: bytes) -> int:
        with path.open("wb", buffering=0) as file:
            file.write(data[:2])
            if not seen:
                seen.append("")
                with monkeypatch.context() as other:
                    other.setattr("os.getpid", lambda: -1)
                    seen[0] = make().read_text()
            return file.write(data[2:])

    def run(tool: str, *command: object, folder: Path = tmp_path) -> str:
        written(Path(str(command[command.index("-o") + 1])), b"whole")
        return ""

    monkeypatch.setattr(environments, "run", run)
    monkeypatch.setattr(Path, "write_bytes", written)
    monkeypatch.setattr(values, "_letters", lambda size: b"whole")
    assert make().read_text() == "whole" and seen == ["whole"]
    assert len(list(tmp_path.iterdir())) == 1, "and nothing is left over"


def test_a_broker_that_has_ended_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "broker"
    program.write_text("#!/bin/sh\necho 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(environments, "discarding_broker", lambda: program)
    with Discarding() as broker, pytest.raises(environments.Missing, match="has ended"):
        for _ in range(2):
            broker.count("")


def test_a_contender_that_hangs_is_ended_with_what_it_started(
    broker: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "PATIENCE", 3.0)
    file = tmp_path / "started"
    program = STARTS_ANOTHER.format(file=str(file)) + "child.wait()"
    found = measured(Row("a row", "Producing", "discarding", (TURBO,)), 1, [silent(TURBO, program)])
    assert found["contenders"][TURBO] == {"missing": "no answer within 3 s"}
    assert ended(int(file.read_text()))


def test_of_times_the_lesser_is_better(broker: Counting) -> None:
    row = Row("a row", "Delivery latency", "discarding", (TURBO, FRANZ), "latency", bars=(Bar("p50_ms", 1, FRANZ),))
    times = {"p50_ms": 1.0, "p99_ms": 4.0, "p999_ms": 5.0}
    slow = {"p50_ms": 2.0, "p99_ms": 2.0, "p999_ms": 5.0}
    found = measured(row, 9, [contender(broker, TURBO, 10, **times), contender(broker, FRANZ, 10, **slow)])
    verdicts = {measure: ratio["verdict"] for measure, ratio in found["ratios"][FRANZ].items()}
    assert verdicts == {"p50_ms": "ahead", "p99_ms": "behind", "p999_ms": "tie"}
    assert found["bars"][0]["held"] is True


def test_what_is_no_rate_is_told_by_its_own_measures(broker: Counting) -> None:
    """A member of which nothing was taken away has stood still for no time, and there is no ratio to that."""
    row = Row("a row", rows.WAIT, "discarding", (TURBO, CONFLUENT), "join", bars=(Bar("taken", 2),))
    program = 'print(\'{"p50_ms": %d, "stood_ms": 0.0, "taken": 2, "peak_mb": 3.0}\')'
    found = measured(row, 9, [silent(TURBO, program % 200), silent(CONFLUENT, program % 400)])
    assert found["ratios"][CONFLUENT].keys() == {"p50_ms", "taken"}
    assert found["ratios"][CONFLUENT]["p50_ms"]["median"] == 2 and found["bars"][0]["held"] is True
    assert report.lines_of(found)[0][:2] == [TURBO, "200 / 0.00 / 2.00"]


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
        latency_seconds=2.0,
        took=60,
        circumstances={
            "load": {"others": 0.25}, "machine": report.machine(), "versions": contenders.versions(), "limits": {},
        },
    )  # fmt: skip
    text = report.terminal(found)
    assert "1.50 M" in text and "x1.25 [1.25, 1.25]" in text and "SHORT OF rate 2.00 M" in text
    assert "others took 25% of the processors" in text and "nothing here is a claim" in text
    assert "`make bench`" in text and "batches of 128 KiB" in text
    assert "6 rounds of 0.1 s, of latencies 2 s" in text and "by hand" not in text
    nothing = report.terminal({**found, "rows": []})
    assert nothing.strip().splitlines() == report.beneath(found), "as where a run stops before its first row"


def test_a_machine_that_tells_little_of_itself_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "Path", lambda name: tmp_path / "gone")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert report.machine()["processors"] and "(no repository)" in contenders.versions()[TURBO]


def test_numbers_are_written_as_people_write_them() -> None:
    numbers = (
        1_975_000_000,
        5_296_000,
        48_120_000,
        371_000,
        17_890,
        0.1649,
        5.64,
        64.2,
        640.0,
        None,
        9.996,
        999.6,
        999_950,
    )
    expected = [
        "1.98 G",
        "5.30 M",
        "48.1 M",
        "371 k",
        "17.9 k",
        "0.16",
        "5.64",
        "64.2",
        "640",
        "-",
        "10.0",
        "1.00 k",
        "1.00 M",
    ]
    assert [report.number(number) for number in numbers] == expected


def test_rows_name_contenders_and_brokers_that_there_are() -> None:
    names = [row.name for row in rows.ROWS]
    assert len(names) == len(set(names))
    for row in rows.ROWS:
        assert set(row.who) <= CONTENDERS.keys() and row.broker in BROKERS, row.name
        assert all(bar.of is None or bar.of in row.who for bar in row.bars), row.name
