"""Charts of a report, as SVG: bars of rates, and marks on lines for what has a low, a middle and a high.

Written by hand, as there is little to it: rectangles, lines, circles and text. A chart has its own light background, so
that it can be read on a dark page.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 860, 200, 190
_LINE, _GAP, _TOP = 19, 14, 64
COLORS = {
    "kafka-turbo": "#0b6e4f",
    "kafka-turbo, send_many": "#5fb08f",
    "kafka-turbo, columns": "#5fb08f",
    "franz-go": "#00758f",
    "confluent-kafka": "#c8553d",
    "Java": "#7a6c5d",
    "aiokafka": "#8e6bbf",
    "kafka-python": "#d4a017",
}
_INK, _FAINT = "#222222", "#888888"


@dataclass(frozen=True)
class Mark:
    """What is drawn of a contender: `low`, `middle` and `high`, and the words behind it."""

    name: str
    low: float
    middle: float
    high: float
    text: str


Group = tuple[str, Sequence[Mark]]


def bars(title: str, subtitle: str, groups: Sequence[Group], beneath: Sequence[str] = ()) -> str:
    """A bar from 0 to the middle, with a whisker from low to high; each group has a scale of its own."""
    out: list[str] = []
    y = _TOP
    for label, marks in groups:
        out.append(text(16, y + 13, label, weight="600"))
        y += _LINE
        scale = (WIDTH - LEFT - RIGHT) / max(mark.high for mark in marks)
        for mark in marks:
            end = LEFT + mark.middle * scale
            out += [
                text(LEFT - 8, y + 13, mark.name, anchor="end"),
                rectangle(y + 2, max(1.0, end - LEFT), color(mark.name)),
                whisker(LEFT + mark.low * scale, LEFT + mark.high * scale, y + _LINE / 2),
                text(WIDTH - RIGHT + 12, y + 13, mark.text),
            ]
            y += _LINE
        y += _GAP
    return svg(title, subtitle, out, y, beneath)


def spans(
    title: str, subtitle: str, groups: Sequence[Group], beneath: Sequence[str] = (), *, line_at: float | None = None
) -> str:
    """A line from low to high with a dot in its middle, along a logarithmic axis; `line_at` is drawn through all."""
    every = [value for _, marks in groups for mark in marks for value in (mark.low, mark.middle, mark.high)]
    ends = [value for value in (*every, *(() if line_at is None else (line_at,))) if value > 0]
    low, high = min(ends) / 1.1, max(ends) * 1.1
    scale = (WIDTH - LEFT - RIGHT) / math.log(high / low)

    def x(value: float) -> float:
        return LEFT + math.log(max(value, low) / low) * scale

    out: list[str] = []
    y = _TOP
    for label, marks in groups:
        out.append(text(16, y + 13, label, weight="600"))
        y += _LINE
        for mark in marks:
            middle = y + _LINE / 2
            out += [
                text(LEFT - 8, y + 13, mark.name, anchor="end"),
                line(x(mark.low), x(mark.high), middle, color(mark.name)),
                f'<circle cx="{x(mark.middle):.1f}" cy="{middle}" r="5.5" fill="{color(mark.name)}"/>',
                text(WIDTH - RIGHT + 12, y + 13, mark.text),
            ]
            y += _LINE
        y += _GAP
    axis = ticks(low, high)
    grid = [
        f'<line x1="{x(value):.1f}" y1="{_TOP - 6}" x2="{x(value):.1f}" y2="{y - 6}" stroke="#dddddd"/>'
        + text(x(value), y + 8, f"{value:g}", anchor="middle", fill=_FAINT)
        for value in axis
    ]
    if line_at is not None:
        at = f'x1="{x(line_at):.1f}" y1="{_TOP - 6}" x2="{x(line_at):.1f}" y2="{y - 6}"'
        grid.append(f'<line {at} stroke="{_INK}" stroke-dasharray="4 3"/>')
    return svg(title, subtitle, [*grid, *out], y + 24, beneath)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between the two: 1, 2 and 5 of each power of ten, or as many as there is room for."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps: Iterable[int] = (1, 2, 5) if high / low < 1000 else (1,)
    return [value for power in powers for step in steps if low <= (value := float(f"{step}e{power}")) <= high]


def color(name: str) -> str:
    return COLORS.get(name, "#444444")


def rectangle(y: float, width: float, fill: str) -> str:
    return f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{_LINE - 5}" rx="2" fill="{fill}"/>'


def line(x1: float, x2: float, y: float, stroke: str) -> str:
    ends = f'x1="{x1:.1f}" y1="{y}" x2="{x2:.1f}" y2="{y}"'
    return f'<line {ends} stroke="{stroke}" stroke-width="4" stroke-linecap="round"/>'


def whisker(low: float, high: float, y: float) -> str:
    return (
        f'<path d="M{low:.1f} {y - 3}v6M{low:.1f} {y}H{high:.1f}M{high:.1f} {y - 3}v6" stroke="{_INK}"'
        ' stroke-opacity="0.55" fill="none"/>'
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "400", fill: str = _INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{fill}">'
        f"{escape(words)}</text>"
    )


def svg(title: str, subtitle: str, content: Sequence[str], end: float, beneath: Sequence[str]) -> str:
    """A whole chart: `end` is where its content does, `beneath` the small print."""
    small = [line for sentence in beneath for line in textwrap.wrap(sentence, 150)]
    height = end + 12 + 14 * len(small)
    print_ = [text(16, end + 10 + 14 * number, line, fill=_FAINT) for number, line in enumerate(small)]
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    font = 'font-family="system-ui, sans-serif" font-size="13"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{height:.0f}" rx="8" fill="#ffffff"/>',
        f'<g font-size="17">{text(16, 28, title, weight="700")}</g>',
        text(16, 48, subtitle, fill=_FAINT),
        *content,
        '<g font-size="11">',
        *print_,
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
