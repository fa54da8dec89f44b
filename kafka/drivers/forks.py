"""Forks that Python is not told of, and threads that never run: uWSGI, which has both unless it is told otherwise."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from kafka.errors import IllegalStateError

_functions: list[Callable[[], None]] = []
_told_in = os.getpid()  # the last process that was made ready


def after_in_child(function: Callable[[], None]) -> None:
    """Call it in the child of each fork, in the order of these calls."""
    _functions.append(function)


def _after_fork() -> None:
    global _told_in
    if _told_in != os.getpid():  # uWSGI may tell it twice
        _told_in = os.getpid()
        for function in _functions:
            function()


def prepare(client: str) -> None:
    """Before a client starts: see that its thread can run here, and that forks will be told of.

    Raises IllegalStateError where threads only run while a request does.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None or not hasattr(uwsgi, "opt"):
        return
    if "threads" not in uwsgi.opt and not _is_on(uwsgi, "enable-threads"):
        raise IllegalStateError(
            f"uWSGI runs without --enable-threads: between requests no thread runs, and what a {client} has to send in "
            "the background would wait for the next request. Start it with --enable-threads."
        )
    if uwsgi.masterpid() and not uwsgi.worker_id() and not _is_on(uwsgi, "py-call-uwsgi-fork-hooks"):
        _hear_of_workers(client)


def _is_on(uwsgi: Any, option: str) -> bool:
    value = uwsgi.opt.get(option, False)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return bool(value) and str(value).lower() not in ("0", "false", "no", "off")


def _hear_of_workers(client: str) -> None:
    """This is uWSGI's master: it forks workers without telling Python."""
    global _hears_of_workers
    if not _hears_of_workers:
        try:
            from uwsgidecorators import postfork
        except ImportError as error:
            raise IllegalStateError(
                f"uWSGI forks its workers without telling Python, so a {client} made before would do nothing in them. "
                "Start it with --py-call-uwsgi-fork-hooks or --lazy-apps."
            ) from error
        postfork(_after_fork)
        _hears_of_workers = True


_hears_of_workers = False
os.register_at_fork(after_in_child=_after_fork)
