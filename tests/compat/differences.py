"""The differences between two surfaces, and the table in docs/compatibility.md that must list exactly these."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from compat.environment import CHECKOUT

DOCUMENT = CHECKOUT / "docs" / "compatibility.md"

Surface = dict[str, dict[str, Any]]


class Difference(NamedTuple):
    kind: str
    name: str
    theirs: str
    ours: str


class Row(NamedTuple):
    """One line of the table. `name` may hold `*`; `theirs` and `ours` may be `*` alone."""

    kind: str
    name: str
    theirs: str
    ours: str
    reason: str

    def covers(self, difference: Difference) -> bool:
        return (
            self.kind == difference.kind
            and fnmatchcase(difference.name, self.name.replace("[", "[[]"))
            and self.theirs in ("*", difference.theirs)
            and self.ours in ("*", difference.ours)
        )


def differences(theirs: Surface, ours: Surface) -> list[Difference]:
    """What of theirs is missing or other in ours; an addition of ours counts for configuration keys only."""
    found = []
    # The members of a class that is missing under every path are missing with it: one line says so.
    present = {path.rpartition(".")[2] for path in ours["name"]}
    for kind, names in theirs.items():
        for name, value in names.items():
            if kind in ("signature", "attribute", "fields", "exception") and name.split(".")[0] not in present:
                continue
            found += compared(kind, name, value, ours[kind].get(name, "absent"))
    added = ours["config"].keys() - theirs["config"].keys()
    found += [Difference("config", name, "absent", str(ours["config"][name])) for name in added]
    return sorted(found)


def compared(kind: str, name: str, theirs: Any, ours: Any) -> list[Difference]:
    if kind == "exception" and name.endswith(".ancestors") and ours != "absent":
        return [Difference(kind, f"{name}.{base}", "there", "absent") for base in theirs if base not in ours]
    return [] if theirs == ours else [Difference(kind, name, str(theirs), str(ours))]


def rows(text: str) -> list[Row]:
    """The lines of all tables in the document whose first heading is `kind`."""
    found = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            inside = False
        elif cells[0] == "kind":
            inside = True
        elif inside and not cells[0].startswith("-"):
            row = Row(*(cell[1:-1] if cell[:1] == cell[-1:] == "`" else cell for cell in cells))
            assert row.reason, f"no reason given: {line}"
            found.append(row)
    return found


def judged(found: Iterable[Difference], listed: Iterable[Row]) -> list[str]:
    """A sentence for each difference that no row lists, and each row that no difference needs."""
    found, listed = list(found), list(listed)
    said = [
        f"not listed: | {d.kind} | `{d.name}` | `{d.theirs}` | `{d.ours}` | |"
        for d in found
        if not any(row.covers(d) for row in listed)
    ]
    return said + [f"listed, but there is no such difference: {r}" for r in listed if not any(map(r.covers, found))]
