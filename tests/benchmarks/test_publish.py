"""Reports become pages and charts; what is published is what the program makes of the committed report."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import charts, publish
from bench.charts import Mark
from bench.rows import ROWS

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def report() -> Any:
    return json.loads((ROOT / publish.PUBLISHED).read_text())


def test_all_figures_come_from_the_committed_report(report: Any) -> None:
    for name, content in publish.published(report, ROOT).items():
        assert (ROOT / name).read_text() == content, f"{name} is not as `python -m bench.publish` writes it"


def test_its_rows_are_those_that_are_measured(report: Any) -> None:
    rows = {row.name: row for row in ROWS}
    for found in report["rows"]:
        row = rows[found["name"]]
        told = found["broker"], found["do"], found["how"], found["settings"], tuple(found["contenders"])
        assert told == (row.broker, row.do, row.how, row.settings, row.who), row.name


def test_a_report_that_no_single_run_gives_says_so_on_the_pages(report: Any) -> None:
    measured = [one for row in report["rows"] for one in row["contenders"].values() if "missing" not in one]
    rounds = {len(one[measure]["runs"]) for one in measured for measure in one}
    whole = rounds == {report["rounds"]} and len(report["rows"]) == len(ROWS)
    assert whole != ("by_hand" in report)
    if not whole:
        assert all(report["by_hand"] in (ROOT / page).read_text() for page in publish.PAGES)


def test_what_could_not_be_measured_is_not_reached() -> None:
    bars = [{"measure": "rate", "value": 9e6, "of": None, "needed": 9e6, "held": None}]
    row = {"name": "a row", "contenders": {"kafka-turbo": {"missing": "no pyarrow"}}, "bars": bars}
    assert "| a row | to be measured | no pyarrow |" in publish.short([row])


def test_no_chart_is_left_over(report: Any) -> None:
    drawn = {f"{name}.svg" for name in publish.drawn(report)}
    assert {path.name for path in (ROOT / "docs/charts").iterdir()} == drawn
    shown = re.findall(r"charts/(\w+\.svg)", "".join((ROOT / page).read_text() for page in publish.PAGES))
    assert set(shown) == drawn


def test_what_is_between_the_marks_is_written_anew() -> None:
    page = "before\n<!-- bench: a -->\nold\n<!-- end -->\nbetween\n<!-- bench: b -->\n<!-- end -->\nafter\n"
    filled = publish.filled(page, {"a": "1", "b": "2", "c": "3"})
    assert filled == (
        "before\n<!-- bench: a -->\n\n1\n\n<!-- end -->\nbetween\n<!-- bench: b -->\n\n2\n\n<!-- end -->\nafter\n"
    )
    assert publish.filled(filled, {"a": "1", "b": "2"}) == filled


def test_a_page_cannot_ask_for_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="nothing of 'a'; it has b"):
        publish.filled("<!-- bench: a -->\n<!-- end -->\n", {"b": "1"})


def test_a_bar_is_as_long_as_its_value() -> None:
    marks = [Mark("kafka-turbo", 3.5, 4.0, 4.2, "4.00 M"), Mark("franz-go", 0.9, 1.0, 1.1, "1.00 M")]
    drawn = ElementTree.fromstring(charts.bars("A & B", "beneath", [("100 B", marks)]))
    first, second = (float(bar.get("width", "")) for bar in drawn.iter(f"{SVG}rect") if bar.get("x"))
    assert first == pytest.approx(4 * second, abs=0.2)
    words = [text.text for text in drawn.iter(f"{SVG}text")]
    assert {"A & B", "beneath", "100 B", "kafka-turbo", "4.00 M"} <= set(words)


def test_a_line_reaches_from_low_to_high_on_its_axis() -> None:
    marks = [Mark("franz-go", 0.5, 1.0, 2.0, "x1.00")]
    drawn = ElementTree.fromstring(charts.spans("title", "", [("row", marks)], line_at=1.0))
    (dot,) = drawn.iter(f"{SVG}circle")
    (line,) = (line for line in drawn.iter(f"{SVG}line") if line.get("stroke-width") == "4")
    (one,) = (line for line in drawn.iter(f"{SVG}line") if line.get("stroke-dasharray"))
    low, middle, high = float(line.get("x1", "")), float(dot.get("cx", "")), float(line.get("x2", ""))
    assert middle - low == pytest.approx(high - middle, abs=0.2), "halves are as far as doubles"
    assert float(one.get("x1", "")) == pytest.approx(middle, abs=0.1)
    assert low >= charts.LEFT and high <= charts.WIDTH - charts.RIGHT


@pytest.mark.parametrize(("low", "high"), [(0.6, 12.0), (0.95, 1.3), (0.01, 50.0)])
def test_an_axis_has_round_numbers(low: float, high: float) -> None:
    found = charts.ticks(low, high)
    assert found == sorted(found) and all(low <= value <= high for value in found)
    assert 1.0 in found
    assert all(round(value / 10 ** math.floor(math.log10(value))) in (1, 2, 5) for value in found)


def test_json_has_lists_of_numbers_in_a_line() -> None:
    found = {"rows": [{"runs": [1, 2.5, 3], "name": "a [b] c", "none": []}]}
    text = publish.as_json(found)
    assert '"runs": [1, 2.5, 3]' in text and json.loads(text) == found
