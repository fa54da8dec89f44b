"""Draws the life of a connection, from the table in kafka/core/states.py, into DESIGN.md.

    python tools/draw_states.py [--check]

With --check nothing is written, and the exit code is 1 where DESIGN.md shows something else.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kafka.core.states import TRANSITIONS  # noqa: E402

START = "<!-- drawn by tools/draw_states.py: start -->\n"
END = "<!-- end -->\n"


def diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(TRANSITIONS)).name}"]
    for state, events in TRANSITIONS.items():
        lines += [f"    {state.name} --> {to.name}: {event.value}" for event, to in events.items()]
        if not events:
            lines.append(f"    {state.name} --> [*]")
    return "\n".join([*lines, "```", ""])


def redrawn(text: str) -> str:
    """`text` with the present diagram between the markers; ValueError where they are missing."""
    before, after = text.split(START)
    return before + START + diagram() + END + after.split(END, 1)[1]


def main() -> int:
    path = ROOT / "DESIGN.md"
    text = path.read_text()
    new = redrawn(text)
    if new == text:
        return 0
    if "--check" in sys.argv:
        print("DESIGN.md shows another table of states than kafka/core/states.py: run python tools/draw_states.py")
        return 1
    path.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
