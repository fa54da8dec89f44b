"""Threads of the operating system, under gevent too.

gevent's monkey patches turn threads into greenlets, of which one runs until it waits for something of gevent's. The IO
thread waits in C, so no other greenlet would ever run again. As a thread it works with programs that are patched:
gevent's locks and events, on which greenlets wait for it, may be set from another thread.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol


class Thread(Protocol):
    @property
    def ident(self) -> int | None: ...
    def start(self) -> None: ...
    def is_alive(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None: ...


def thread(target: Callable[[], None], name: str) -> Thread:
    """A thread that runs `target`, does not keep the interpreter from ending, and has yet to be started."""
    if _gevent() is None:
        return threading.Thread(target=target, name=name, daemon=True)
    return _BesideGreenlets(target)


def get_ident() -> int:
    """The operating system's thread, whichever greenlet runs on it."""
    found: int = unpatched("_thread", "get_ident")()
    return found


class _BesideGreenlets:
    def __init__(self, target: Callable[[], None]) -> None:
        self.ident: int | None = None
        self._target = target
        self._started = False
        self._over = threading.Event()

    def start(self) -> None:
        unpatched("_thread", "start_new_thread")(self._run, ())
        self._started = True

    def _run(self) -> None:
        self.ident = get_ident()
        try:
            self._target()
        finally:
            del self._target  # which refers to this
            self._over.set()

    def is_alive(self) -> bool:
        return self._started and not self._over.is_set()

    def join(self, timeout: float | None = None) -> None:
        self._over.wait(timeout)


def _gevent() -> Any:
    """gevent's module of patches where it has patched threads, else None."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey if monkey is not None and monkey.is_module_patched("threading") else None


def unpatched(module: str, name: str) -> Any:
    """A function as it was before gevent replaced it: in a thread of our own gevent's would make a hub that stays."""
    monkey = _gevent()
    return getattr(importlib.import_module(module), name) if monkey is None else monkey.get_original(module, name)
