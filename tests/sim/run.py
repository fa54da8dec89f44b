"""Plays many seeds of the big test on several processes, and says what occurred in them.

    python -m tests.sim.run --seeds 0:10000 --jobs 2
    python -m tests.sim.run --seed 17 --trace

Ends with 1 if a seed fails, or if something that the seeds are to show never occurred.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from kafka.errors import for_code
from kafka.testing.sim_faults import INJECTED, Faults
from tests.sim.scenario import Outcome, play

API_NAMES = {
    0: "Produce",
    2: "ListOffsets",
    3: "Metadata",
    10: "FindCoordinator",
    22: "InitProducerId",
    61: "DescribeProducers",
}
# From this many seeds on, each of these must have occurred.
ENOUGH = 300
EXPECTED = (
    *(f"fault {kind}" for kind in Faults.KINDS),
    *(f"answer 0 {code}" for code in (0, 7, 10, 19, 20, 87, *INJECTED[0])),
    *(f"answer 3 {code}" for code in (0, 129, *INJECTED[3])),
    *(f"answer 22 {code}" for code in (0, *INJECTED[22])),
    *(f"answer 61 {code}" for code in (0, 29)),
    *(
        f"rule {rule}"
        for rule in (
            "NOT_PERSISTED",
            "POSSIBLY_PERSISTED",
            "epoch bumped",
            "gate opened",
            "leader asked",
            "leader cannot tell",
            "leader does not have it",
            "leader has it",
            "leader hint taken",
            "left in doubt",
            "number given up",
            "old leader drained first",
            "producer id renewed",
            "proven by a later batch",
            "record errors",
            "sequence wrapped",
            "split",
            "tombstone",
            "tombstone found its end",
            "topic recreated",
            "waits for the one before",
        )
    ),
    "event appended by a former leader",
    "event compressed batch recognised",
    "event compressed batch too large",
    "event duplicate recognised",
    "event leader moved after a refusal",
    "event leader lost after append",
    "event leader named",
    "event throttled",
    "records delivered",
    "records failed",
)


class Summary(NamedTuple):
    seeds: int
    failures: list[Outcome]
    counts: Counter[str]
    seconds: float

    def missing(self) -> list[str]:
        """What should have occurred and did not."""
        return [what for what in EXPECTED if not self.counts[what]] if self.seeds >= ENOUGH else []


def _play_some(seeds: range) -> list[Outcome]:
    outcomes = []
    for seed in seeds:
        outcomes.append(play(seed))
        gc.collect()
    return outcomes


def _outcomes(seeds: range, jobs: int) -> Iterator[Outcome]:
    pieces = [seeds[at : at + 10] for at in range(0, len(seeds), 10)]
    if jobs <= 1:
        for piece in pieces:
            yield from _play_some(piece)
        return
    with multiprocessing.get_context("fork").Pool(jobs, initializer=gc.disable) as pool:
        for outcomes in pool.imap(_play_some, pieces):
            yield from outcomes


def run(seeds: range, jobs: int, most_failures: int = 10) -> Summary:
    started = time.monotonic()
    failures: list[Outcome] = []
    counts: Counter[str] = Counter()
    played = 0
    for outcome in _outcomes(seeds, jobs):
        played += 1
        counts += outcome.counts
        if played % 1000 == 0:
            print(f"{played} seeds", flush=True)
        if outcome.violation is not None:
            failures.append(outcome)
            if len(failures) >= most_failures:
                break
    return Summary(played, failures, counts, time.monotonic() - started)


def describe(what: str) -> str:
    kind, _, rest = what.partition(" ")
    if kind != "answer":
        return what
    api_key, code = map(int, rest.split())
    error = for_code(code)
    return f"answer {API_NAMES[api_key]} {code} {type(error).__name__ if error is not None else 'no error'}"


def report(summary: Summary) -> None:
    for what in sorted({*summary.counts, *(EXPECTED if summary.seeds >= ENOUGH else ())}):
        print(f"{summary.counts[what]:>10}  {describe(what)}")
    rate = summary.seconds / max(summary.seeds, 1)
    print(f"{summary.seeds} seeds in {summary.seconds:.1f} s ({rate:.2f} s each), {len(summary.failures)} failed")
    for outcome in summary.failures:
        print(f"\nseed {outcome.seed}: {outcome.violation}")
        print(f"    python -m tests.sim.run --seed {outcome.seed} --trace")
    for what in summary.missing():
        print(f"never occurred: {describe(what)}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.run")
    parser.add_argument("--seeds", default=f"0:{ENOUGH}", help="FROM:TO, without TO")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print all that happens")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        outcome = play(options.seed, tracing=options.trace)
        for entry in outcome.trace:
            print(*entry)
        print(f"seed {options.seed}: {outcome.violation or 'all is well'}")
        return int(outcome.violation is not None)
    first, _, last = options.seeds.partition(":")
    summary = run(range(int(first), int(last)), options.jobs)
    report(summary)
    return int(bool(summary.failures or summary.missing()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
