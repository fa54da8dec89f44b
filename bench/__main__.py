"""How fast is this client, beside others, on this machine?

    python -m bench [--quick] [--rows WORD ...] [--rounds N] [--seconds S] [--before CHECKOUT] [--publish]

Installs the other clients in environments of their own, starts brokers, lets the clients take turns, and writes a
report to build/bench/report.json; progress and the table go to the terminal. `--quick` takes some rows, in under 3
minutes once everything is installed. `--before` measures the client as it is in another checkout, too. `--publish`
writes the report into docs/, draws its charts and puts its figures into README.md and docs/performance.md.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from . import contenders, publish, report
from .environments import ROOT
from .harness import Plan, measure
from .rows import NOT_QUICK, ROWS, Row


def chosen(words: list[str], quick: bool) -> list[Row]:
    """The rows whose names or sections have one of the words in them."""
    rows = [row for row in ROWS if row.quick or not quick or words]
    if words:
        rows = [row for row in rows if any(word.lower() in f"{row.section}: {row.name}".lower() for word in words)]
    if quick:
        rows = [replace(row, who=tuple(name for name in row.who if name not in NOT_QUICK)) for row in rows]
    return rows


def say(text: str) -> None:
    end = "\033[K\r" if sys.stderr.isatty() else "\n"
    print(text[:160], end=end, file=sys.stderr, flush=True)


def stop(number: int, frame: object) -> None:
    """As an exception, so that brokers and candidates end with us: they are in sessions of their own."""
    raise SystemExit(128 + number)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="some rows, 3 rounds, under 3 minutes")
    parser.add_argument("--rows", nargs="+", default=[], metavar="WORD", help="rows whose name has one of these in it")
    parser.add_argument("--rounds", type=int, help="9; with fewer nothing is claimed")
    parser.add_argument("--seconds", type=float, help="of a run, about")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another checkout, built, to compare with")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench" / "report.json", metavar="FILE")
    parser.add_argument("--publish", action="store_true", help="the report into docs/ and README.md")
    options = parser.parse_args()
    if options.publish and (options.quick or options.rows or options.before):
        parser.error(
            "what is published has all rows and nothing else: --publish goes with no --quick, --rows or --before"
        )
    rows = chosen(options.rows, options.quick)
    if not rows:
        raise SystemExit(f"no row has one of {options.rows} in its name: {', '.join(row.name for row in ROWS)}")
    plan = Plan(
        rounds=options.rounds or (3 if options.quick else 9),
        seconds=options.seconds or (0.5 if options.quick else 1.5),
        quick=options.quick,
        say=say,
    )
    if options.before:
        plan.contenders[contenders.BEFORE] = contenders.before(options.before.resolve())
        rows = [replace(row, who=(row.who[0], contenders.BEFORE, *row.who[1:])) for row in rows]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    say("measuring what the machine can do")
    circumstances, start = report.circumstances(), time.monotonic()
    measured, failed = [], None
    try:
        for row in measure(rows, plan):
            measured.append(row)
    except (Exception, KeyboardInterrupt) as error:
        failed = error
        say("stopped: the report has the rows that were measured by now")
    names = [row.name for row in rows]
    measured.sort(key=lambda row: names.index(row["name"]))
    told = [argument for argument in sys.argv[1:] if argument != "--publish"]
    found = report.report(
        measured, command=shlex.join(["python", "-m", "bench", *told]) if told else "make bench", rounds=plan.rounds,
        seconds=plan.seconds, latency_seconds=plan.latency_seconds, took=time.monotonic() - start,
        circumstances=circumstances,
    )  # fmt: skip
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(publish.as_json(found))
    print(report.terminal(found))
    print(f"\n{options.output}", file=sys.stderr)
    if failed is not None:
        raise failed
    if options.publish:
        publish.publish(found, ROOT)


if __name__ == "__main__":
    main()
