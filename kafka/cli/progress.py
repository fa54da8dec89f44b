"""One line on the terminal that is written over and over; nothing at all where standard error is no terminal."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from kafka.cli.streams import STDERR, STDIN, show

if TYPE_CHECKING:
    from kafka.cli.produce import Delivery

_INTERVAL = 0.1  # seconds between two writings
_ERASE = "\r\x1b[K"


def human(number: float) -> str:
    return f"{number:,.0f}"


class Progress:
    """`files` are what is read, for the percentage; standard input has none."""

    def __init__(self, quiet: bool, files: Iterable[str] = ()) -> None:
        self.on = not quiet and os.isatty(STDERR)
        self._total = _size(files) if self.on else None
        self._next = 0.0
        self._shown = False
        self._recent = (0.0, 0)  # time and count at the last writing, for the present rate

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._shown:
            show(_ERASE)

    def show_delivery(self, delivery: Delivery) -> None:
        now = time.monotonic()
        if not self.on or now < self._next:
            return
        self._next = now + _INTERVAL
        self._shown = True
        since, before = self._recent
        rate = (delivery.acknowledged - before) / (now - since) if since else 0
        self._recent = now, delivery.acknowledged
        done = f"{100 * delivery.size / self._total:3.0f}%  " if self._total else ""
        show(
            f"{_ERASE}{done}{human(delivery.read)} read  {human(delivery.acknowledged)} acknowledged  "
            f"{human(rate)} records/s" + (f"  {human(delivery.failed)} failed" if delivery.failed else "")
        )


def _size(files: Iterable[str]) -> int | None:
    """Bytes in all the files; None where one of them has no size (a pipe, a terminal)."""
    total = 0
    for name in files:
        status = os.fstat(STDIN) if name == "-" else os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            return None
        total += status.st_size
    return total
