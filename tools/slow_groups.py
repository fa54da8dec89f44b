"""Which slow groups of tests are due: a run of CI has time for a few of them, so they take turns.

tools/slow_groups.toml says for each group at which commit it last passed, and how many seconds it took. A run takes the
two groups whose commits are oldest and, while the time suffices, those of whose files some have changed since then.
`tools/run_tests.py` writes the file; whoever works on the project commits it.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "tools/slow_groups.toml"
HEAD = """\
# At which commit each slow group of tests last passed, and how many seconds it took.
# Written by tools/run_tests.py when a group passes where nothing is uncommitted; please commit it.
"""
# Taken whether their files have changed or not, and whatever they cost: every group has its turn.
ALWAYS = 2
# Seconds of a group of which nothing is written down.
UNMEASURED = 300


class Passed(NamedTuple):
    """When a group last passed."""

    commit: str
    seconds: int


class Since(NamedTuple):
    """What came after a commit."""

    commits: int
    files: list[str]  # those that differ now


class Choice(NamedTuple):
    group: str
    state: str  # "runs", "not due" or "LEFT OUT"
    why: str


def choose(
    groups: Mapping[str, Iterable[str]], passed: Mapping[str, Passed], history: Mapping[str, Since], budget: int
) -> list[Choice]:
    """What happens to each group in a run that has `budget` seconds for all of them.

    `groups`: the patterns of the files that a group depends on. `history`: by commit; a group that passed at one that
    is not in there counts as older than all others.
    """

    def age(group: str) -> float:
        return history[passed[group].commit].commits if is_known(group) else math.inf

    def is_known(group: str) -> bool:
        return group in passed and passed[group].commit in history

    choices: dict[str, Choice] = {}
    left = budget
    for place, group in enumerate(sorted(groups, key=age, reverse=True)):
        seconds = passed[group].seconds if group in passed else UNMEASURED
        if is_known(group):
            commit = passed[group].commit
            commits, files = history[commit]
            changed = [file for file in files if any(fnmatchcase(file, pattern) for pattern in groups[group])]
            since = f"passed at {commit}, {commits} commit{'' if commits == 1 else 's'} ago; " + (
                f"of its files {len(changed)} changed, {changed[0]} for one" if changed else "its files are the same"
            )
            due = bool(changed)
        else:
            since = f"passed at {passed[group].commit}, not in this clone" if group in passed else "no pass on record"
            due = True
        if place < ALWAYS:
            state = "runs"
            since = f"among the {ALWAYS} oldest: {since}"
        elif not due:
            state = "not due"
        elif seconds <= left:
            state = "runs"
        else:
            state = "LEFT OUT"
            since = f"it takes {seconds} s, {max(left, 0)} of {budget} s are left: {since}"
        if state == "runs":
            left -= seconds
        choices[group] = Choice(group, state, since)
    return [choices[group] for group in groups]


def read(root: Path) -> dict[str, Passed]:
    file = root / FILE
    found = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    return {group: Passed(entry["commit"], entry["seconds"]) for group, entry in found.items()}


def write(root: Path, passed: Mapping[str, Passed]) -> None:
    lines = [
        f'{group:<10} = {{ commit = "{entry.commit}", seconds = {entry.seconds} }}\n' for group, entry in passed.items()
    ]
    (root / FILE).write_text(HEAD + "".join(lines), "utf-8")


def history(root: Path, commits: Iterable[str]) -> dict[str, Since]:
    """What came after each commit, uncommitted changes too; without those that this clone does not know."""
    new = _git(root, "ls-files", "-z", "--others", "--exclude-standard") or ""
    found = {}
    for commit in set(commits):
        count = _git(root, "rev-list", "--count", f"{commit}..HEAD")
        differ = _git(root, "diff", "--name-only", "--no-renames", "-z", commit, "--")
        if count is not None and differ is not None:
            found[commit] = Since(int(count), sorted(filter(None, (differ + new).split("\0"))))
    return found


def clean_commit(root: Path) -> str | None:
    """The commit that is checked out; None where something besides the file itself is not committed."""
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", ".", f":(exclude){FILE}")
    return commit.strip() if commit and changes == "" else None


def _git(root: Path, *command: str) -> str | None:
    """What git says; None where it fails."""
    done = subprocess.run(["git", *command], cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return None if done.returncode else done.stdout
