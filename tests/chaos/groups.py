"""Groups whose members are processes, and whether what these have written down is as it should be.

with Group(configs, topic, folder) as group:
    group.start(); group.start()
    ...                                   # trouble
    group.check({0: values, ...})         # of each partition, in the order of their offsets
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_SAME_MOMENT = 0.01  # seconds; Java's members tell milliseconds


@dataclass
class Stay:
    """A partition with a member, from when it got it until it gave it up or died."""

    partition: int
    since: float
    until: float | None = None
    reads: list[tuple[float, int, int, int]] = field(default_factory=list)  # time, first, last, checksum


Event = list[Any]


def stays(diary: Iterable[Event]) -> list[Stay]:
    """Those of one member."""
    had: dict[int, Stay] = {}
    found: list[Stay] = []
    for name, when, *more in diary:
        if name == "assigned":
            for partition in more[0]:
                if partition not in had:
                    had[partition] = Stay(partition, when)
                    found.append(had[partition])
        elif name in ("revoked", "lost"):
            for partition in more[0]:
                had.pop(partition).until = when
        elif name == "read":
            partition, first, last, check = more
            had[partition].reads.append((when, first, last, check))
    return found


def commits(diary: Iterable[Event]) -> list[tuple[float, int, int]]:
    """Time, partition, offset."""
    return [
        (when, int(partition), offset)
        for name, when, *more in diary
        if name == "committed"
        for partition, offset in more[0].items()
    ]


def check(diaries: Sequence[Sequence[Event]], logs: Mapping[int, Sequence[bytes]]) -> int:
    """AssertionError with whatever is wrong; how many records were read more than once, each with a reason.

    `diaries`: what each member has written (see member.py). `logs`: the values of each partition, by offset.
    """
    committed = [commit for diary in diaries for commit in commits(diary)]
    wrong: list[str] = []
    # partition -> offset -> when it was first read
    first_read: dict[int, dict[int, float]] = {partition: {} for partition in logs}
    count = 0
    for stay in (stay for diary in diaries for stay in stays(diary)):
        values, seen = logs[stay.partition], first_read[stay.partition]
        expected: int | None = None
        for when, first, last, checksum in stay.reads:
            where = f"partition {stay.partition}, {first} to {last}, of {len(values)}"
            if expected is None:
                # It begins where the last commit that was known by then says, or further on, at one that was not.
                least = max((o for t, p, o in committed if p == stay.partition and t < stay.since), default=0)
                if first < least:
                    wrong.append(f"again without a reason: {where}, although {least} was committed")
            elif first != expected:
                wrong.append(f"not in order: {where} instead of {expected}")
            expected = last + 1
            if zlib.crc32(b"".join(values[first:expected])) != checksum or last >= len(values):
                wrong.append(f"other values: {where}")
            count += expected - first
            for offset in range(first, expected):
                seen[offset] = min(when, seen.get(offset, when))
    for partition, values in logs.items():
        if missing := set(range(len(values))) - first_read[partition].keys():
            wrong.append(f"skipped: partition {partition}, {sorted(missing)[:10]}, {len(missing)} in all")
    for when, partition, offset in committed:
        late = [at for at in range(offset) if first_read[partition].get(at, float("inf")) > when]
        if late:
            wrong.append(f"committed before it was read: partition {partition}, {offset}, {late[:10]}")
    assert not wrong, "\n".join(wrong[:20])
    return count - sum(map(len, logs.values()))


def check_apart(diaries: Sequence[Sequence[Event]]) -> None:
    """AssertionError where a member reads of a partition while another one does, too: of members that stayed well."""
    spans: dict[int, list[tuple[float, float, int]]] = {}
    for index, diary in enumerate(diaries):
        for stay in stays(diary):
            if stay.reads:
                spans.setdefault(stay.partition, []).append((stay.reads[0][0], stay.reads[-1][0], index))
    for partition, found in spans.items():
        found.sort()
        for (_, ends, one), (begins, _, other) in pairwise(found):
            assert ends <= begins + _SAME_MOMENT, f"members {one} and {other} read partition {partition} at a time"


class Member:
    """One of ours. See `foreign` for others."""

    STOPPED = 0  # how its process ends when it is told to

    def __init__(self, configs: Mapping[str, Any], topic: str, path: Path) -> None:
        self.path = path
        with path.with_suffix(".output").open("w") as output, path.with_suffix(".errors").open("w") as errors:
            self.process = subprocess.Popen(
                self.command(configs, topic), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
            )

    def command(self, configs: Mapping[str, Any], topic: str) -> list[str]:
        return [sys.executable, "-m", "tests.chaos.member", json.dumps(configs), topic, str(self.path)]

    def events(self) -> Iterator[Event]:
        """What it has written so far."""
        if self.path.exists():
            for line in self.path.read_text().splitlines(keepends=True):
                if line.endswith("\n"):
                    yield json.loads(line)

    def partitions(self) -> set[int]:
        """Those that it has."""
        return {stay.partition for stay in stays(self.events()) if stay.until is None}

    def of(self, *names: str) -> list[Event]:
        return [event for event in self.events() if event[0] in names]

    def commits(self) -> list[tuple[float, int, int]]:
        return commits(self.events())

    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """As it should be: it commits and leaves."""
        self.process.terminate()
        assert self.process.wait(60) == self.STOPPED, self.said()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self, seconds: float) -> None:
        """SIGSTOP: the others get what it has; then it goes on where it was."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def output(self) -> str:
        return self.path.with_suffix(".output").read_text()

    def said(self) -> str:
        return self.path.with_suffix(".errors").read_text() + self.output()[-3000:]


class Group:
    def __init__(self, configs: Mapping[str, Any], topic: str, folder: Path) -> None:
        self.configs = configs
        self.topic = topic
        self.folder = folder
        self.members: list[Member] = []

    def start(self, kind: type[Member] = Member, **configs: Any) -> Member:
        """`configs` are those of this member alone."""
        path = self.folder / f"{self.topic}-{len(self.members)}"
        self.members.append(kind({**self.configs, **configs}, self.topic, path))
        return self.members[-1]

    @property
    def living(self) -> list[Member]:
        return [member for member in self.members if member.process.poll() is None]

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *error: object) -> None:
        for member in self.members:
            member.kill()

    def is_shared(self, partitions: int) -> bool:
        """Each of so many partitions has one reader, and no member has two more than another."""
        self.all_well()
        shares = [member.partitions() for member in self.living]
        sizes = sorted(map(len, shares))
        return set().union(*shares) == set(range(partitions)) and sum(sizes) == partitions and sizes[-1] - sizes[0] < 2

    def read(self) -> dict[int, set[int]]:
        """The offsets of each partition that have been read so far."""
        found: dict[int, set[int]] = {}
        for member in self.members:
            for _, _, partition, first, last, _ in member.of("read"):
                found.setdefault(partition, set()).update(range(first, last + 1))
        return found

    def all_well(self) -> None:
        """Nobody has ended who was not told to."""
        for member in self.members:
            assert member.process.poll() in (None, member.STOPPED, -signal.SIGKILL), member.said()

    def has_read(self, counts: Mapping[int, int]) -> bool:
        self.all_well()
        found = self.read()
        return all(len(found.get(partition, ())) >= count for partition, count in counts.items())

    def check(self, logs: Mapping[int, Sequence[bytes]]) -> int:
        """When all have ended; see the function."""
        assert not self.living
        self.all_well()
        return check([list(member.events()) for member in self.members], logs)
