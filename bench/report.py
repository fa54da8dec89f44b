"""A report: what was measured, on which machine, with what. JSON, and a table for a terminal."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import limits
from .contenders import versions
from .rows import MEASURED, SETTINGS

Report = dict[str, Any]
BUSY = 0.05  # of the processors' time, before the run
MEASURES = {
    "rate": "records/s", "p50_ms": "p50, ms", "p99_ms": "p99, ms", "p999_ms": "p99.9, ms", "stood_ms": "ms without",
    "taken": "partitions taken", "cpu_percent": "% of a processor", "peak_mb": "MB",
}  # fmt: skip


def processors_busy(seconds: float = 2.0) -> float:
    """Which share of the processors' time others take, while we take none."""
    first, second = _ticks(), (time.sleep(seconds), _ticks())[1]
    spent = [now - then for now, then in zip(second, first, strict=True)]
    return 1 - (spent[3] + spent[4]) / max(1, sum(spent)) if len(spent) > 4 else 0.0


def _ticks() -> list[int]:
    path = Path("/proc/stat")
    return [int(text) for text in path.read_text().splitlines()[0].split()[1:9]] if path.exists() else []


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "processors": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def circumstances() -> Report:
    """Where and with what; asked before anything is measured, so that nothing is lost where it cannot be told."""
    load = {"others": round(processors_busy(), 3), "average": os.getloadavg()[0]}
    return {"load": load, "machine": machine(), "versions": versions(), "limits": limits.measured()}


def report(
    rows: list[dict[str, Any]], *, command: str, rounds: int, seconds: float, latency_seconds: float, took: float,
    circumstances: Report,
) -> Report:  # fmt: skip
    return {
        "date": time.strftime("%Y-%m-%d"), "command": command, "rounds": rounds, "seconds_a_run": seconds,
        "seconds_a_latency_run": latency_seconds, "minutes": round(took / 60, 1), **circumstances,
        "settings": SETTINGS, "rows": rows,
    }  # fmt: skip


def number(value: float | None) -> str:
    """As people write it: 5.30 M, 16 k, 0.16."""
    if value is None:
        return "-"
    for factor, unit in ((1, ""), (1e3, " k"), (1e6, " M"), (1e9, " G")):
        for digits, end in ((2, 10), (1, 100), (0, 1000)):
            # What it is once it is rounded: 9.996 is 10.0, and 999,950 a million.
            if float(text := f"{value / factor:.{digits}f}") < end:
                return f"{text}{unit}"
    return f"{value / 1e9:.0f} G"


def measures_of(row: dict[str, Any]) -> tuple[str, ...]:
    return MEASURED.get(row["do"], ("rate",))


def ratio_text(ratio: dict[str, Any] | None) -> str:
    """The median of how many times better ours is, with its interval."""
    if ratio is None:
        return ""
    if ratio["low"] is None:
        return f"x{ratio['median']:.2f}"
    tie = ", a tie" if ratio["verdict"] == "tie" else ""
    return f"x{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]{tie}"


def lines_of(row: dict[str, Any]) -> list[list[str]]:
    """A line for each contender: name, what was measured, spread, processor time, memory, ratio of ours to it."""
    lines = []
    for name, found in row["contenders"].items():
        if "missing" in found:
            lines.append([name, "-", "", "", "", found["missing"]])
            continue
        shown, *_ = measures = measures_of(row)
        said = ratio_text(row["ratios"].get(name, {}).get(shown))
        if left := found.get("left_for_computing"):
            said = ", ".join(filter(None, [said, f"{left['median']:.0%} left for the other thread"]))
        spread = f"{number(found[shown]['least'])} to {number(found[shown]['most'])}"
        lines.append([
            name, " / ".join(number(found[measure]["median"]) for measure in measures), spread,
            number(found.get("cpu_us", {}).get("median")), number(found["peak_mb"]["median"]), said,
        ])  # fmt: skip
    return lines


HEADS = ["", "records/s, or ms", "spread", "CPU, us", "peak, MB", "ours to it"]


def terminal(found: Report) -> str:
    """All rows, one below the other, and whether the bars are reached."""
    tables = [(row, lines_of(row)) for row in found["rows"]]
    every = [HEADS, *(line for _, lines in tables for line in lines)]
    widths = [max(len(line[at]) for line in every) for at in range(5)]
    out, section = [], ""
    for row, lines in tables:
        if row["section"] != section:
            section = row["section"]
            out += ["", section.upper(), laid_out(HEADS, widths)]
        out.append(f"{row['name']}{told_bars(row)}")
        out += [laid_out(line, widths) for line in lines]
    return "\n".join([*out, "", *beneath(found)])


def laid_out(line: Sequence[str], widths: Sequence[int]) -> str:
    name, *figures = [text.rjust(width) for text, width in zip(line, widths, strict=False)]
    return "  ".join(["", name.strip().ljust(widths[0]), *figures, line[5]]).rstrip()


def told_bars(row: dict[str, Any]) -> str:
    known = [bar for bar in row["bars"] if bar["held"] is not None]
    if not known:
        return ""
    short = [
        f"{bar['measure']} {number(bar['needed'])}" + (f" (x{bar['value']:g} {bar['of']})" if bar["of"] else "")
        for bar in known
        if not bar["held"]
    ]
    return f"   SHORT OF {', '.join(short)}" if short else "   as it is to be"


def beneath(found: Report) -> list[str]:
    """Machine, versions, settings, command, or how a report came to be that no run has written (`by_hand`)."""
    at, load, settings = found["machine"], found["load"], found["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if name not in ("go", "cc"))
    batch, buffer = settings["batch_size"] >> 10, settings["buffer_memory"] >> 20
    machine = (
        f"{at['processors']} processors ({at['processor']}), {at['memory_gib']} GiB, {at['system']}, CPython "
        f"{at['python']}; others took {load['others']:.0%} of the processors before the run."
    )
    everybody = (
        f"acks={settings['acks']}, idempotence, linger {settings['linger_ms']} ms, batches of {batch} KiB, "
        f"{settings['partitions']} partitions and {buffer} MiB of buffer (where a client has one) for everybody, where "
        "a row does not say otherwise; values are distinct."
    )
    command = (
        f"Medians of {found['rounds']} rounds of {found['seconds_a_run']:g} s, of latencies "
        f"{found['seconds_a_latency_run']:g} s, in which the clients took turns; {found['date']}, `{found['command']}`."
    )
    busy = ["The machine was busy with other work: nothing here is a claim."] if load["others"] > BUSY else []
    return [machine, f"{versions}.", everybody, found.get("by_hand", command), *busy]
