"""Notices an installation over kafka-python: both own the folder `kafka`, and uninstalling one deletes the other."""

from __future__ import annotations

import os
import re
import warnings

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
            f"    python -m pip install kafka-turbo",
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
    found = (re.fullmatch(r"(kafka_python(?:_ng)?)-.*\.(?:dist|egg)-info", entry) for entry in entries)
    return sorted({match[1].replace("_", "-") for match in found if match})
