"""Minutes at nearly full rate while leaders die: nothing is lost, nothing is there twice, and memory stays as it is."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificates

from tests.broker.secured import SESSION
from tests.chaos.load import VALUE
from tests.chaos.three import Three

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.sustained, pytest.mark.timing]

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("SUSTAINED_SECONDS", "300"))
FULL_SECONDS = 10.0
WARM_UP = 60.0  # before memory is looked at
BETWEEN_KILLS = 20.0
FREEZE = 12.0
PARTITIONS = 6
SECURED_SECONDS = min(SECONDS, 100.0)
SESSIONS_RATE = 100_000.0  # of all of them together
PRODUCERS = 8  # with sessions, each a process
MOST_A_SECOND = 1_000_000  # a faster machine is not used up: all of it has to fit on the disk, and to be read back
MB = 1_000_000
BYTES = 30  # of a record in the log, at most


class Load:
    """The producing process, and the reports it has made so far."""

    def __init__(self, configs: dict[str, str], topic: str, rate: float, seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.load", json.dumps(configs), topic, str(rate), str(seconds)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # What malloc was given once it keeps: what is seen is what was needed at most, not when it gave some back.
            env={**os.environ, "MALLOC_TRIM_THRESHOLD_": str(10**9)},
        )
        self.reports: list[dict[str, Any]] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.reports.append(json.loads(line))

    def last(self, timeout: float) -> dict[str, Any]:
        """The last report, when it has come."""
        self.reader.join(timeout)
        assert self.reports and self.reports[-1].get("last"), "the producing process did not come to its end"
        return self.reports[-1]

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *error: object) -> None:
        with self.process:  # waits, and closes the pipes
            self.process.kill()
        self.reader.join()


def slope(points: list[tuple[float, float]]) -> float:
    """Of the straight line through the points, by least squares."""
    middle = sum(x for x, _ in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    return sum((x - middle) * y for x, y in points) / spread


def check(three: Three, topic: str, last: dict[str, Any]) -> None:
    """All that was sent was delivered, and is there once and in order. `last`: the load's last report."""
    sent = last["sent"]
    assert not last["errors"]
    assert last["failed"] == [0, 0]
    assert last["delivered"] == sent
    seen = [bytearray(count) for count in sent]
    for _, batches in three.batches(topic):
        newest = [-1, -1]
        for batch in batches:
            for record in batch.records().unwrap():
                sender, number = VALUE.unpack(record.value)
                seen[sender][number] += 1
                assert number > newest[sender], "out of order"
                newest[sender] = number
    assert [numbers.count(1) for numbers in seen] == sent, "lost or twice"


def test_minutes_at_nearly_full_rate_while_leaders_die(certificates: Certificates) -> None:
    three = Three(certificates)
    with three.cluster:
        configs = {"bootstrap_servers": three.cluster.bootstrap}
        three.create_topic("full", PARTITIONS)
        with Load(configs, "full", 0, FULL_SECONDS) as load:
            last = load.last(120)
        full = sum(last["delivered"]) / last["time"]
        aim = min(0.9 * full, MOST_A_SECOND)
        needed, free = aim * SECONDS * BYTES * 3, shutil.disk_usage(three.cluster.folder).free
        assert free > needed, f"three copies need {needed / MB:,.0f} MB of disk, there are {free / MB:,.0f}"
        three.create_topic("sustained", PARTITIONS)
        kills = 0
        with Load(configs, "sustained", aim, SECONDS) as load:
            began = time.monotonic()
            # While this leader says nothing the others answer, until `buffer_memory` is full of what waits for it, and
            # the calls whose records went to all of them are many: later no more memory is needed either.
            three.freeze([three.leader("sustained", 0)], FREEZE)
            while (due := began + (kills + 0.5) * BETWEEN_KILLS) < began + SECONDS:
                time.sleep(max(0.0, due - time.monotonic()))
                three.kill(three.leader("sustained", kills % PARTITIONS))
                kills += 1
            last = load.last(180)

        sent = last["sent"]
        rate = sum(sent) / last["time"]
        print(
            f"full rate {full:,.0f} records/s; with {kills} kills {rate:,.0f}/s, {sum(sent):,} in {last['time']:.0f} s"
        )
        check(three, "sustained", last)
        for node in three.nodes:
            node.kill()

    memory = [(report["time"] / 60, report["rss"] / MB) for report in load.reports if report["time"] > WARM_UP]
    if SECONDS >= 2 * WARM_UP:
        print(f"memory: {memory[0][1]:.1f} MB, at last {memory[-1][1]:.1f} MB, {slope(memory):+.2f} MB a minute")
        assert slope(memory) < 1.0


def test_sessions_end_hundreds_of_times_while_leaders_die(certificates: Certificates) -> None:
    """Over TLS. Where nothing happens connections stay: to the third node, of those who produce to it alone.

    Elsewhere there is a new one after each trouble at most. A broker works on one request of a connection at a time,
    and a session may end while others wait behind one that a dead follower holds up.
    """
    three = Three(certificates)
    with three.cluster, contextlib.ExitStack() as stack:
        topics = [f"sessions-{number}" for number in range(PRODUCERS)]
        for topic in topics:
            three.create_topic(topic, PARTITIONS)
        three.create_topic_on(three.nodes[2], "calm")
        topics.append("calm")
        began = time.monotonic()
        loads = []
        for number, topic in enumerate(topics):
            configs = three.cluster.client("PLAIN" if number % 2 else "SCRAM-SHA-256")
            loads.append(stack.enter_context(Load(configs, topic, SESSIONS_RATE / PRODUCERS, SECURED_SECONDS)))
        kills = 0
        while (due := began + (kills + 0.5) * BETWEEN_KILLS) < began + SECURED_SECONDS:
            time.sleep(max(0.0, due - time.monotonic()))
            node = three.nodes[kills % 2]
            if kills % 3 == 2:
                three.freeze([node], 5)
            else:
                three.kill(node)
            kills += 1
        lasts = [load.last(180) for load in loads]
        for topic, last in zip(topics, lasts, strict=True):
            check(three, topic, last)
        for node in three.nodes:
            node.kill()
    renewals = sum(sum(last["renewals"].values()) for last in lasts)
    print(f"{renewals} renewals, {kills} kills, {[(last['connections'], last['ends']) for last in lasts]}")
    assert renewals > 1.5 * PRODUCERS * SECURED_SECONDS / SESSION  # 200 in 100 s
    for last in lasts:
        assert all(last["connections"].get(str(node.node_id), 0) <= 1 + kills for node in three.nodes)
    calm = lasts[-1]
    assert calm["connections"]["3"] == 1 and not calm["ends"].get("3")
    assert calm["renewals"]["3"] >= SECURED_SECONDS / SESSION - 1
