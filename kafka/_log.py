"""Loggers that load `logging` with the first line they write: it costs more to import than our core does."""

from __future__ import annotations

import time
from collections.abc import Hashable
from functools import partial
from typing import Any


class Log:
    """Stands for `logging.getLogger(name)`, but no method raises: whoever logs has something to bring to its end."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        return partial(_write, self._name, method)


def _write(logger: str, method: str, *args: Any) -> None:
    try:
        import logging

        getattr(logging.getLogger(logger), method)(*args, stacklevel=2)
    except Exception:  # of a handler or a filter
        import traceback

        traceback.print_exc()


class Repeats:
    """Which of many alike lines to write: of those with the same key one in every `seconds`."""

    __slots__ = ("seconds", "_quiet")

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self._quiet: dict[Hashable, tuple[float, int]] = {}  # when the last was written, how many were left out since

    def due(self, key: Hashable) -> str | None:
        """None: leave this line out. Else write it, with this at its end: "", or how many were left out before it."""
        now = time.monotonic()
        written, left_out = self._quiet.get(key, (float("-inf"), 0))
        if now - written < self.seconds:
            self._quiet[key] = (written, left_out + 1)
            return None
        if len(self._quiet) >= 1000:  # of many thousand places in trouble
            self._quiet.clear()
        self._quiet[key] = (now, 0)
        return f" ({left_out} such lines before this one were left out)" if left_out else ""


_callbacks = Log("kafka.producer")
_failed_callbacks = Repeats()
_slow_callbacks = Repeats()


def callback_failed(function: Any, future: Any) -> None:
    """To be called where a future's callback has raised. Says which, but not with what: arguments may be payloads."""
    name = name_of(function)
    left_out = _failed_callbacks.due(name)
    if left_out is not None:
        _callbacks.exception("callback %s of %r failed%s", name, future, left_out)


def callback_slow(function: Any, seconds: float) -> None:
    """To be called where a future's callback has kept the IO thread for so long."""
    name = name_of(function)
    left_out = _slow_callbacks.due(name)
    if left_out is not None:
        _callbacks.warning(
            "callback %s kept the IO thread for %.1f s: meanwhile nothing was sent or received. Hand what takes so long"
            " to another thread%s", name, seconds, left_out
        )  # fmt: skip


def name_of(function: Any) -> str:
    """For a message; of whatever can be called, such as a weakref.proxy whose object is gone."""
    try:
        inner = getattr(function, "func", function)  # of a partial
        return str(getattr(inner, "__qualname__", type(inner).__qualname__))
    except Exception:
        return type(function).__qualname__
