"""Measures rows: contenders take turns, round after round, each run a process of its own.

Every round starts with another contender, so that none is always the first or behind the same one. A run counts only if
the broker has as many records more as the contender says it delivered.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from kafka.errors import KafkaError

from . import environments, figures, values
from .brokers import BROKERS, Broker, settled
from .contenders import BEFORE, CONTENDERS, JAVA, TURBO, Contender, environment
from .environments import Missing
from .rows import SETTINGS, Bar, Row

Run = dict[str, float]
QUICK_FILL = 1_000_000  # records
PATIENCE = 180.0  # seconds for a run, beyond what it is to take
LOWER_IS_BETTER = ("p50_ms", "p99_ms", "p999_ms", "stood_ms", "taken", "cpu_us", "cpu_percent", "peak_mb")
SENDS = ("produce", "latency")  # and the broker is asked how many have come


class Failed(Exception):
    """A run that counts for nothing; the message says why, in one line."""


@dataclass
class Plan:
    rounds: int
    seconds: float
    quick: bool = False
    contenders: dict[str, Contender] = field(default_factory=lambda: dict(CONTENDERS))
    say: Callable[[str], None] = lambda text: None

    @property
    def latency_seconds(self) -> float:
        """A run's, where the slowest thousandth is asked for."""
        return 5.0 if self.seconds >= 1 else 2.0


def measure(rows: Sequence[Row], plan: Plan) -> Iterator[dict[str, Any]]:
    """What was found of each row, one after the other; those of a broker are measured while it is up."""
    steps = progress(rows, plan)
    for name in dict.fromkeys(row.broker for row in rows):
        there = [row for row in rows if row.broker == name]
        try:
            plan.say(f"starting: {name}")
            with BROKERS[name]() as broker:
                bench = Bench(broker, plan, steps)
                bench.warm_up(there[0])
                while there:
                    yield bench.measure(there[0])
                    del there[0]
        except (Missing, Failed, KafkaError) as missing:
            for row in there:
                yield result(row, {}, dict.fromkeys(row.who, str(missing)))


def progress(rows: Sequence[Row], plan: Plan) -> Iterator[str]:
    """For each run how far we are, and how long the rest may take."""
    total = sum(plan.rounds * len(row.who) for row in rows)
    start = time.monotonic()
    for done in range(total):
        left = (time.monotonic() - start) / done * (total - done) if done else 0.0
        yield f"[{done + 1}/{total}{f', {left / 60:.0f} min left' if done else ''}]"
    while True:
        yield ""


class Bench:
    """One broker, and what is measured on it."""

    def __init__(self, broker: Broker, plan: Plan, steps: Iterator[str]) -> None:
        self.broker, self.plan, self.steps = broker, plan, steps
        self.commands: dict[str, list[str]] = {}
        self.expected: dict[tuple[str, str], float] = {}
        self.filled: dict[str, int] = {}

    def warm_up(self, row: Row) -> None:
        """So that the first row's first round finds the broker as the last one does: Java compiles while it works."""
        if row.broker != "discarding":
            warm = Row(
                "warming up", row.section, row.broker, (TURBO,), settings={"seconds": 2 if self.plan.quick else 10}
            )
            self.run(warm, TURBO, self.broker.topic("warm-up", SETTINGS["partitions"]), SETTINGS["values"])

    def measure(self, row: Row) -> dict[str, Any]:
        settings = {**SETTINGS, **row.settings}
        runs: dict[str, list[Run]] = {name: [] for name in row.who}
        reasons: dict[str, str] = {}
        try:
            topic = self.topic(row, settings)
        except (Missing, Failed, KafkaError) as error:
            return result(row, {}, dict.fromkeys(row.who, f"there is nothing to read: {error}"))
        for number in range(self.plan.rounds):
            turn = number % len(row.who)
            for name in (*row.who[turn:], *row.who[:turn]):
                step = next(self.steps)
                if name in reasons:
                    continue
                try:
                    if not number and (row.do == "consume" or (name == JAVA and row.do in SENDS)):
                        # It is told how many records, not how long: by its rate, which nobody knows yet.
                        self.expected[row.name, name] = self.run(row, name, topic, settings["values"])["rate"]
                    run = self.run(row, name, topic, settings["values"])
                except (Missing, Failed) as error:
                    reasons[name] = str(error)
                    self.plan.say(f"{step} {row.name}: {name} is left out: {error}")
                    continue
                runs[name].append(run)
                if "rate" in run:
                    self.expected[row.name, name] = run["rate"]
                self.plan.say(f"{step} {row.name}, round {number + 1} of {self.plan.rounds}: {name} {shown(row, run)}")
        return result(row, {name: run for name, run in runs.items() if name not in reasons}, reasons)

    def topic(self, row: Row, settings: dict[str, Any]) -> str:
        if "fill" not in settings:
            return self.broker.topic(f"bench-{settings['partitions']}p", settings["partitions"])
        kind = settings["values"], settings["compression"], settings["batch_size"], settings["fill"], row_filler(row)
        topic = self.broker.topic("-".join(map(str, ("read", *kind))), settings["partitions"], kept=True)
        if topic not in self.filled:
            count = min(settings["fill"], QUICK_FILL) if self.plan.quick else settings["fill"]
            self.plan.say(f"filling a topic for: {row.name}")
            self.fill(row, topic, settings, count)
            self.filled[topic] = self.broker.count(topic)
            if row.do != "slow":
                self.run(
                    row, row.who[0], topic, settings["values"]
                )  # so that everybody reads what has been read before
        return topic

    def fill(self, row: Row, topic: str, settings: dict[str, Any], count: int) -> None:
        if row_filler(row) == JAVA:
            produce = Row("filling", row.section, row.broker, (JAVA,), settings={**row.settings, "seconds": 1.0})
            self.expected["filling", JAVA] = count / 1.5  # half as much again is for warming up
            self.run(produce, JAVA, topic, settings["values"])
            return
        from kafka import KafkaProducer

        lines = values.file_of(settings["values"]).read_bytes().split(b"\n")[:-1]
        with KafkaProducer(
            bootstrap_servers=self.broker.bootstrap, linger_ms=settings["linger_ms"], batch_size=settings["batch_size"],
            compression_type=settings["compression"], buffer_memory=settings["buffer_memory"],
        ) as producer:  # fmt: skip
            for start in range(0, count, len(lines)):
                producer.send_many(topic, lines[: count - start])

    def run(self, row: Row, name: str, topic: str, kind: str) -> Run:
        contender = self.plan.contenders[name]
        how = contender.how or (self.plan.contenders[row.who[0]].how if name == BEFORE else None) or row.how
        settings = {**SETTINGS, "seconds": self.plan.seconds, **row.settings}
        if row.do == "latency":
            settings["seconds"] = self.plan.latency_seconds
        size = values.size_of(kind)
        guess = min(contender.guess, contender.guess * 300 / size)
        expected = self.expected.get((row.name, name), guess)
        scenario = {
            **settings, "do": row.do, "how": how, "topic": topic, "size": size,
            "expected": expected,
            "bootstrap": self.broker.bootstrap, "ca": self.broker.ca, "values": str(values.file_of(kind)),
        }  # fmt: skip
        if name == JAVA:
            scenario["java"] = environments.java_tools()
        if row.do == "consume":
            scenario["records"] = max(1, min(self.filled[topic], int(expected * settings["seconds"] * 1.2)))
        if name not in self.commands:
            self.commands[name] = contender.command()
        count = settings.get("processes", 1)
        before = self.broker.count(topic) if row.do in SENDS else 0
        with offering(scenario) if row.do == "arrive" else nullcontext():
            found = carried_out(self.commands[name], environment(contender), scenario, count)
        if row.do in SENDS:
            sent = int(sum(run["records"] + run.get("warm", 0) for run in found))
            came = settled(self.broker, topic, before + sent) - before
            # A transaction, of 10,000 records, leaves a record of its own in each partition that it has written to.
            markers = sent // 10_000 * settings["partitions"] if row.how == "transactions" else 0
            if not sent <= came <= sent + markers:
                raise Failed(f"{sent} records were delivered, the broker has {came}")
        if row.settings.get("computing"):
            for run in found:
                run.pop("cpu_us", None)  # most of it is the other thread's
        return together(found)


def row_filler(row: Row) -> str:
    return str(row.settings.get("filled_by", TURBO))


@contextmanager
def offering(scenario: dict[str, Any]) -> Iterator[None]:
    """Meanwhile our producer sends to those that read, the same to all of them, until it is ended."""
    producer = CONTENDERS[TURBO]
    process = subprocess.Popen(
        producer.command(), env=environment(producer), start_new_session=True, stdin=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(json.dumps({**scenario, "do": "offer"}))
        try:
            yield
        except Failed as error:
            if process.poll() is None:
                raise
            raise Failed("the producer of what is read has ended") from error
    finally:
        process.kill()
        process.wait()


def carried_out(command: list[str], environment: dict[str, str], scenario: dict[str, Any], count: int) -> list[Run]:
    """What `count` processes found that carried it out at the same time."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # In a session of its own, which ends as a whole: a candidate may have a process of its own, such as Java's tool.
    processes = []
    answers: list[Run] = []
    try:
        for _ in range(count):
            try:
                processes.append(subprocess.Popen(command, env=environment, start_new_session=True, **pipes))
            except OSError as error:
                raise Failed(f"it cannot be started: {error}") from None
        for process in processes:
            stdin, process.stdin = process.stdin, None
            with suppress(BrokenPipeError), stdin:  # what it ended with says why
                stdin.write(json.dumps(scenario))
        for process in processes:
            out, err = process.communicate(timeout=scenario["seconds"] + PATIENCE)
            if process.returncode or not out.strip():
                last = (err.strip() or out.strip() or f"no answer, exit code {process.returncode}").splitlines()[-1]
                raise Failed(last[:300])
            answers.append(json.loads(out.splitlines()[-1]))
    except json.JSONDecodeError as error:
        raise Failed(f"an answer that is not JSON: {error.doc[:300]}") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"no answer within {scenario['seconds'] + PATIENCE:.0f} s") from None
    finally:
        for process in processes:
            with suppress(ProcessLookupError):  # it may have ended, and what it has started not
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return answers


def together(found: Sequence[Run]) -> Run:
    """Processes that worked at the same time, as one: rates and memory add up."""
    merged: Run = {}
    if records := sum(run.get("records", 0) for run in found):
        merged["rate"] = sum(run["records"] / run["seconds"] for run in found)
    for name in found[0].keys() - {"records", "warm", "seconds"}:
        if name == "cpu_us":
            merged[name] = sum(run[name] * run["records"] for run in found) / records
        elif name == "peak_mb":
            merged[name] = sum(run[name] for run in found)
        else:
            merged[name] = max(run[name] for run in found)
    return merged


def shown(row: Row, run: Run) -> str:
    if row.measures == ("rate",):
        return f"{run['rate']:,.0f}/s"
    return ", ".join(f"{measure} {run[measure]:.2f}" for measure in row.measures)


def result(row: Row, runs: dict[str, list[Run]], reasons: dict[str, str]) -> dict[str, Any]:
    """A row of the report."""
    contenders: dict[str, Any] = {}
    for name in row.who:
        if reason := reasons.get(name):
            contenders[name] = {"missing": reason}
            continue
        by_measure = {measure: [run[measure] for run in runs[name]] for measure in runs[name][0]}
        contenders[name] = {
            measure: {"median": rounded(statistics.median(them)), "least": rounded(min(them)),
                      "most": rounded(max(them)), "runs": [rounded(one) for one in them]}
            for measure, them in sorted(by_measure.items())
        }  # fmt: skip
    ours = row.who[0]
    ratios: dict[str, Any] = {}
    for name in row.who[1:] if ours in runs else ():
        if name in runs:
            pairs = (*runs[ours], *runs[name])
            ratios[name] = {
                measure: against(measure, runs[ours], runs[name])
                for measure in row.measures
                if all(run[measure] for run in pairs)  # there is no ratio to nothing
            }
    return {
        "name": row.name, "section": row.section, "broker": row.broker, "do": row.do, "how": row.how,
        "settings": row.settings, "contenders": contenders, "ratios": ratios,
        "bars": [judged(bar, ours, contenders) for bar in row.bars],
    }  # fmt: skip


def against(measure: str, ours: Sequence[Run], theirs: Sequence[Run]) -> dict[str, Any]:
    """How many times better ours is."""
    pair = [[run[measure] for run in runs] for runs in (ours, theirs)]
    if measure in LOWER_IS_BETTER:
        pair.reverse()
    found = figures.ratio(*pair)
    return {**{key: rounded(value) for key, value in asdict(found).items()}, "verdict": found.verdict}


def judged(bar: Bar, ours: str, contenders: dict[str, Any]) -> dict[str, Any]:
    """A bar, what it asks for in this run, and whether it is reached; None where there is nothing to compare with."""
    needed: float | None = bar.value
    if bar.of is not None:
        theirs = contenders.get(bar.of, {}).get(bar.measure)
        needed = theirs["median"] * bar.value if theirs else None
    mine = contenders[ours].get(bar.measure)
    held = None
    if needed is not None and mine:
        held = mine["median"] <= needed if bar.measure in LOWER_IS_BETTER else mine["median"] >= needed
    return {"measure": bar.measure, "value": bar.value, "of": bar.of, "needed": rounded(needed), "held": held}


def rounded(value: float | None) -> float | int | None:
    """Four digits that mean something."""
    if value is None or isinstance(value, int):
        return value
    short = float(f"{value:.4g}")
    return int(short) if abs(short) >= 1000 else short
