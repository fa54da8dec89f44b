"""Puts a report where people read it: docs/performance.json, charts beside it, tables into README.md and docs/.

    python -m bench.publish [REPORT]

A page has its figures between `<!-- bench: NAME -->` and `<!-- end -->`; what is between them is written anew. Without
a REPORT the published one is taken again, as after a change of a page.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import charts, report
from .charts import Group, Mark
from .contenders import AIOKAFKA, BEFORE, COLUMNS, CONFLUENT, FRANZ, JAVA, KAFKA_PYTHON, MANY, TURBO
from .environments import ROOT
from .report import MEASURES, Report, number
from .rows import KAFKA, LATENCY, PRODUCE, READ, ROWS, WAIT

PUBLISHED = "docs/performance.json"
PAGES = ("README.md", "docs/performance.md")
_IN_README = (
    "100 B", "1 KB", "10 KB", "100 B, a callback each", "JSON, zstd", "Kafka, 100 B", "reading 100 B",
)  # fmt: skip
_COLUMNS = (TURBO, FRANZ, CONFLUENT, JAVA, AIOKAFKA, KAFKA_PYTHON)
SECTIONS = tuple(dict.fromkeys(row.section for row in ROWS))
# Rows that stand for their section in a chart.
_DRAWN = {
    PRODUCE: ("100 B", "100 B, a callback each", "1 KB", "10 KB", "JSON, zstd"),
    READ: ("reading 100 B", "reading 100 B as columns", "reading JSON, zstd", "reading 10 KB"),
}


def publish(found: Report, root: Path) -> None:
    for name, content in published(found, root).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def published(found: Report, root: Path) -> dict[str, str]:
    """The files and what is in them, by their paths below the root."""
    files = {PUBLISHED: as_json(found)}
    files |= {f"docs/charts/{name}.svg": chart for name, chart in drawn(found).items()}
    texts = dict(blocks(found))
    for page in PAGES:
        files[page] = filled((root / page).read_text(), texts)
    return files


def as_json(found: Report) -> str:
    """A line for each list of numbers."""
    text = json.dumps(found, indent=1)
    return re.sub(r"\[\s+([^\[\]{}\"]*?)\s+\]", lambda list_: "[" + re.sub(r"\s+", " ", list_[1]) + "]", text) + "\n"


def filled(page: str, texts: dict[str, str]) -> str:
    def block(found: re.Match[str]) -> str:
        name = found[1]
        if name not in texts:
            raise ValueError(f"the report has nothing of {name!r}; it has {', '.join(texts)}")
        return f"<!-- bench: {name} -->\n\n{texts[name]}\n\n<!-- end -->"

    return re.sub(r"<!-- bench: (.+?) -->\n.*?<!-- end -->", block, page, flags=re.DOTALL)


def blocks(found: Report) -> Iterator[tuple[str, str]]:
    """Each text that a page can ask for, and its name."""
    by_name = {row["name"]: row for row in found["rows"]}
    yield "rates", overview([by_name[name] for name in _IN_README if name in by_name])
    yield "beneath", "\n".join(report.beneath(found))
    for section in SECTIONS:
        rows = [row for row in found["rows"] if row["section"] == section]
        yield section, table(rows) if rows else "Not in this report."
    yield "limits", limits(found["limits"])
    yield "short", short(found["rows"])


def overview(rows: Sequence[dict[str, Any]]) -> str:
    """A row's medians in one line."""
    lines = [["", *_COLUMNS], ["---", *(["---:"] * len(_COLUMNS))]]
    for row in rows:
        cells = [row["contenders"].get(name, {}).get("rate") for name in _COLUMNS]
        lines.append([row["name"], *(number(cell["median"]) if cell else "" for cell in cells)])
    return markdown(lines)


def table(rows: Sequence[dict[str, Any]]) -> str:
    measured, of = {
        LATENCY: ("p50 / p99 / p99.9, ms", "better (p50)"),
        WAIT: ("what the row says", "better (the first figure)"),
    }.get(rows[0]["section"], ("records/s", "faster"))
    of = f"ours is so many times {of}"
    lines = [["", "", measured, "from, to", "CPU, µs", "memory, MB", of], ["---", "---", *["---:"] * 4, "---"]]
    for row in rows:
        for at, (name, *cells) in enumerate(report.lines_of(row)):
            lines.append(["" if at else row["name"], name, *cells])
    return markdown(lines)


def limits(found: dict[str, float]) -> str:
    return markdown([["what", "at most"], ["---", "---:"], *([name, number(value)] for name, value in found.items())])


def short(rows: Sequence[dict[str, Any]]) -> str:
    """The rows that are not as fast as they are meant to be, or of which nothing is known."""
    lines = [["row", "meant", "found"], ["---", "---", "---:"]]
    for row in rows:
        ours = next(iter(row["contenders"].values()))
        if "missing" in ours:
            lines.append([row["name"], "to be measured", ours["missing"]])
        for bar in row["bars"]:
            if bar["held"] is False:
                unit = MEASURES.get(bar["measure"], "µs of CPU a record")
                times = "" if bar["value"] == 1 else f"{bar['value']:g} times "
                of = f" ({times}{bar['of']}'s)" if bar["of"] else ""
                meant = f"{number(bar['needed'])} {unit}{of}"
                lines.append([row["name"], meant, number(ours[bar["measure"]]["median"])])
    return markdown(lines) if len(lines) > 2 else "None."


def markdown(lines: Sequence[Sequence[str]]) -> str:
    rows = ([f" {cell.replace('|', '/')} " if cell else " " for cell in line] for line in lines)
    return "\n".join(f"|{'|'.join(row)}|" for row in rows)


def drawn(found: Report) -> dict[str, str]:
    """The charts by name; one whose rows are not in the report is left out."""
    by_name = {row["name"]: row for row in found["rows"]}
    beneath = report.beneath(found)
    out = {}
    for section, name, title in (
        (PRODUCE, "producing", "Records a second, produced (to a broker that discards)"),
        (READ, "reading", "Records a second, read from Apache Kafka"),
    ):
        groups = [group for row in _DRAWN[section] if row in by_name and (group := rates(by_name[row]))[1]]
        if groups:
            out[name] = charts.bars(
                title, "medians; the thin line is from the least to the most of all rounds", groups, beneath
            )
    in_kafka = [group for row in found["rows"] if row["section"] == KAFKA and (group := ratios(row))[1]]
    if in_kafka:
        title = "Producing to Apache Kafka: how many times faster kafka-turbo is"
        out["kafka"] = charts.spans(title, "medians of pairs, and their intervals", in_kafka, beneath, line_at=1.0)
    late = [group for row in found["rows"] if row["section"] == LATENCY and (group := latencies(row))[1]]
    if late:
        title = "From send() to the acknowledgement, milliseconds"
        out["latency"] = charts.spans(
            title, "the dot is the median, the line ends with p99.9; p50 / p99 / p99.9", late, beneath
        )
    return out


def rates(row: dict[str, Any]) -> Group:
    there = {name: one["rate"] for name, one in row["contenders"].items() if "rate" in one and name != BEFORE}
    marks = [
        Mark(name, rate["least"], rate["median"], rate["most"], number(rate["median"])) for name, rate in there.items()
    ]
    return row["name"], marks


def ratios(row: dict[str, Any]) -> Group:
    there = {name: ratio["rate"] for name, ratio in row["ratios"].items() if name not in (MANY, COLUMNS, BEFORE)}
    marks = [
        Mark(name, ratio["low"] or ratio["median"], ratio["median"], ratio["high"] or ratio["median"], said)
        for name, ratio in there.items()
        if (said := report.ratio_text(ratio))
    ]
    return row["name"].removeprefix("Kafka, "), marks


def latencies(row: dict[str, Any]) -> Group:
    there = {name: one for name, one in row["contenders"].items() if "p50_ms" in one and name != BEFORE}
    marks = []
    for name, one in there.items():
        middle, p99, high = (one[measure]["median"] for measure in ("p50_ms", "p99_ms", "p999_ms"))
        marks.append(Mark(name, middle, middle, high, " / ".join(map(number, (middle, p99, high)))))
    return row["name"], marks


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / PUBLISHED
    publish(json.loads(path.read_text()), ROOT)


if __name__ == "__main__":
    main()
