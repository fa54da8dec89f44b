"""What the candidates in Python share. Only the standard library: it runs in the environments of all of them.

A candidate is a program that reads a scenario, JSON, from standard input, carries it out, and prints what it found as
JSON. Of a scenario all have `do` ("produce", "latency" or "consume"; the others are told in waiting.py), `how` (what
the candidate calls), `bootstrap`, `topic`, `seconds` (how long, about) and the settings of `bench/rows.py`; `values`
names the file with the values, one a line. What is found: `records`, `warm` (those sent before the clock started),
`seconds`, `cpu_us` (microseconds of processor time, of all threads, for a record), `peak_mb` (memory at its peak, less
what there was before there was a client), and of a latency the percentiles in milliseconds.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Scenario = dict[str, Any]
Chunk = list[bytes]

WARM_CHUNKS = 10  # at least
_KEYS = 10_000


def chunks_of(scenario: Scenario) -> list[Chunk]:
    """The values in lists of a thousand, or of 256 KiB where they are large."""
    values = Path(scenario["values"]).read_bytes().split(b"\n")[:-1]
    count = max(1, min(1000, (1 << 18) // len(values[0])))
    return [values[at : at + count] for at in range(0, len(values) - count + 1, count)]


def during(seconds: float, chunks: Sequence[Any], least: int = 1) -> Iterator[Any]:
    """Chunks, over and over, until that time is over."""
    end = time.perf_counter() + seconds
    for number, chunk in enumerate(itertools.cycle(chunks), 1):
        yield chunk
        if number >= least and time.perf_counter() > end:
            return


def keys_for(chunks: list[Chunk]) -> Iterator[Chunk]:
    """Lists of keys, 10,000 different ones, as long as the chunks."""
    size = len(chunks[0])
    keys = [b"key-%06d" % number for number in range(_KEYS)]
    return itertools.cycle([keys[at : at + size] for at in range(0, _KEYS - size + 1, size)])


def topics_for(scenario: Scenario, chunks: list[Chunk]) -> Iterator[list[str]]:
    """Lists of topics of one partition each, `topics` different ones, as long as the chunks."""
    size = len(chunks[0])
    names = [f"{scenario['topic']}-{number:05}-1" for number in range(scenario["topics"])]
    return itertools.cycle([names[at : at + size] for at in range(0, len(names) - size + 1, size)])


def tens(chunks: list[Chunk]) -> list[Chunk]:
    """Ten chunks in one: what goes into a transaction."""
    return [[*itertools.chain(*chunks[at : at + 10])] for at in range(0, len(chunks) - 9, 10)]


class Outcomes:
    """Deliveries, counted; `__call__` is the client's, and reads each one's offset."""

    def __init__(self) -> None:
        self.count = self.offset = 0

    def check(self, sent: int) -> None:
        if self.count != sent:
            raise RuntimeError(f"{self.count} outcomes of {sent} records")


class Measured:
    """Made before the client; `start` and `stop` are the clock."""

    def __init__(self) -> None:
        self.before = peak_mb(reset=True)
        self.warm = 0
        self.seconds = self.cpu = 0.0

    def start(self) -> None:
        self.seconds, self.cpu = time.perf_counter(), processor_time()

    def stop(self, records: int) -> dict[str, float]:
        seconds, cpu = time.perf_counter() - self.seconds, processor_time() - self.cpu
        return {
            "records": records,
            "warm": self.warm,
            "seconds": seconds,
            "cpu_us": cpu / records * 1e6,
            "peak_mb": peak_mb() - self.before,
        }


def peak_mb(*, reset: bool = False) -> float:
    """The most memory there has been; `reset`: from now on. The system's ru_maxrss would have the parent's in it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def unchecked(sent: int) -> None:
    """`flush` has said all there is to say."""


def produced(
    scenario: Scenario,
    measured: Measured,
    chunks: Sequence[Any],
    each: Callable[[Any], None],
    flush: Callable[[], None],
    check: Callable[[int], None] = unchecked,
) -> dict[str, float]:
    """Sends chunks by `each` for as long as it should; the clock stops when `flush` says that all are acknowledged."""
    for chunk in during(scenario["seconds"] / 5, chunks, WARM_CHUNKS):
        each(chunk)
        measured.warm += len(chunk)
    flush()
    sent = 0
    measured.start()
    for chunk in during(scenario["seconds"], chunks):
        each(chunk)
        sent += len(chunk)
    flush()
    found = measured.stop(sent)
    check(measured.warm + sent)
    return found


def produced_by_threads(
    scenario: Scenario,
    measured: Measured,
    chunks: list[Chunk],
    each: Callable[[Chunk], None],
    flush: Callable[[], None],
) -> dict[str, float]:
    """The same by several threads at once."""

    def work(first: int) -> None:
        count = 0
        for chunk in during(scenario["seconds"], chunks[first :: scenario["threads"]]):
            each(chunk)
            count += len(chunk)
        counts.append(count)

    for chunk in chunks[:WARM_CHUNKS]:
        each(chunk)
        measured.warm += len(chunk)
    flush()
    counts: list[int] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(scenario["threads"])]
    measured.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flush()
    return measured.stop(sum(counts))


class Computing:
    """Another thread that computes in Python, where the scenario asks for one; knows how much of it was left."""

    def __init__(self, scenario: Scenario) -> None:
        self.done = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._compute) if scenario.get("computing") else None
        self.alone = self.before = self.since = 0.0

    def _compute(self) -> None:
        while not self.over.is_set():
            sum(range(1000))
            self.done += 1

    def __enter__(self) -> Computing:
        if self.thread is not None:
            self.thread.start()
            time.sleep(0.1)
            self.reset()
            time.sleep(0.3)
            self.alone = self.rate()
        return self

    def reset(self) -> None:
        self.before, self.since = self.done, time.perf_counter()

    def rate(self) -> float:
        return (self.done - self.before) / (time.perf_counter() - self.since)

    def found(self) -> dict[str, float]:
        """What was left of that thread since `reset`, as a share of what it does alone."""
        return {"left_for_computing": self.rate() / self.alone} if self.thread is not None else {}

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        if self.thread is not None:
            self.thread.join()


def paced(scenario: Scenario, values: Chunk, send: Callable[[bytes], None], pause: Callable[[], object]) -> int:
    """Sends at the scenario's rate, a millisecond's worth at a time; `pause` takes a millisecond."""
    rate, sent = scenario["offered"], 0
    start = now = time.perf_counter()
    while now < start + scenario["seconds"]:
        due = int((now - start) * rate)
        while sent < due:
            send(values[sent % len(values)])
            sent += 1
        pause()
        now = time.perf_counter()
    return sent


def delivered(
    scenario: Scenario,
    measured: Measured,
    chunks: list[Chunk],
    send: Callable[[bytes, float], None],
    latencies: list[float],
    flush: Callable[[], None],
    pause: Callable[[], object] = lambda: time.sleep(0.001),
) -> dict[str, float]:
    """Latencies at an offered rate: `send(value, now)` puts the time from then to the answer into `latencies`."""
    values = [value for chunk in chunks for value in chunk]
    clock = time.perf_counter

    def one(value: bytes) -> None:
        send(value, clock())

    with Computing(scenario) as computing:
        measured.warm = paced({**scenario, "seconds": 0.5}, values, one, pause)
        flush()
        latencies.clear()
        computing.reset()
        measured.start()
        sent = paced(scenario, values, one, pause)
        left = computing.found()
        flush()
        found = measured.stop(sent)
    if len(latencies) != sent:
        raise RuntimeError(f"{len(latencies)} of {sent} records were acknowledged")
    return {**found, **percentiles(latencies), **left}


def begin(measured: Measured, computing: Computing) -> None:
    """The clock of a reader, with its first records."""
    computing.reset()
    measured.start()


def ended(scenario: Scenario, measured: Measured, computing: Computing, seen: int, size: int) -> dict[str, float]:
    """All values are of one size, so their bytes tell how many there were."""
    found = {**measured.stop(seen), **computing.found()}
    if seen < scenario["records"] or size != seen * scenario["size"]:
        raise RuntimeError(f"{seen} of {scenario['records']} records were read, {size} bytes")
    return found


def percentiles(latencies: list[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    return {f"{name}_ms": ordered[int(share * len(ordered))] * 1e3 for name, share in shares.items()}


def run(verbs: dict[str, Callable[[Scenario], dict[str, float]]]) -> None:
    scenario = json.load(sys.stdin)
    print(json.dumps(verbs[scenario["do"]](scenario)))
