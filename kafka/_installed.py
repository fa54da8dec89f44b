"""Notices an installation over kafka-python: both own the folder `kafka`, and uninstalling one deletes the other."""

from __future__ import annotations

import os
import re
import warnings

# kafka-python, its fork of 2024, and what its first releases were called.
_OTHERS = re.compile(r"(kafka|kafka[-_.]python|kafka[-_.]python[-_.]ng)-\d[^-]*(?:-py[\d.]+)?\.(?:dist|egg)-info", re.I)

_checked = False


def warn_if_overwritten() -> None:
    """Warns once per process, with the commands that repair it. Called by each client's constructor."""
    global _checked
    if _checked:
        return
    _checked = True
    others = _installed_beside(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if others:
        warnings.warn(
            f"kafka-turbo is installed over {' and '.join(others)}: both own the package 'kafka', and uninstalling or "
            f"upgrading one deletes files of the other. Repair it with:\n"
            f"    python -m pip uninstall -y {' '.join(others)} kafka-turbo\n"
            f"    python -m pip install kafka-turbo\n"
            "Where another package requires kafka-python, docs/migration.md of kafka-turbo says how to satisfy it.",
            RuntimeWarning,
            stacklevel=4,  # whoever called the constructor of a subclass of Client
        )


def _installed_beside(folder: str) -> list[str]:
    # The folder's own listing rather than importlib.metadata: that takes 20 ms and more to import, and also finds
    # distributions elsewhere on the path, whose files are not in danger.
    try:
        entries = os.listdir(folder)
    except OSError:  # inside a zip file
        return []
    found = ((_OTHERS.fullmatch(entry), entry) for entry in entries)
    return sorted(
        {re.sub("[_.]", "-", match[1].lower()) for match, entry in found if match and _has_package(folder, entry)}
    )


def _has_package(folder: str, entry: str) -> bool:
    """Whether files of the package are this distribution's: not of our own of that name, which has none."""
    for record in ("RECORD", "installed-files.txt"):
        try:
            with open(os.path.join(folder, entry, record), encoding="utf-8", errors="replace") as file:
                return any(re.match(r'"?(?:\.\./)?kafka/', line) for line in file)
        except OSError:
            continue
    return True  # nothing says so
