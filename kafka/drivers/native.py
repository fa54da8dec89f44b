"""Threads of the operating system in programs whose threads are greenlets, by the patches of gevent or eventlet.

A greenlet runs until it waits for something of its library's, and the IO thread waits in C: as a greenlet it would let
no other run, ever again. As a thread it must not touch what greenlets wait on, which belongs to the thread of their
hub. So whatever wakes one, and callbacks, are run there (`kafka.drivers.greenlets`).
"""

from __future__ import annotations

import _thread  # its functions are looked up when they are called: a program may be patched after this
import importlib
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kafka.drivers.greenlets import Hub


class Thread(Protocol):
    @property
    def ident(self) -> int | None: ...
    def start(self) -> None: ...
    def is_alive(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None: ...


def thread(target: Callable[[], None], name: str) -> Thread:
    """A thread that runs `target`, does not keep the interpreter from ending, and has yet to be started."""
    if _patches() is None:
        return threading.Thread(target=target, name=name, daemon=True)
    return _BesideGreenlets(target)


def get_ident() -> int:
    """The operating system's thread, whichever greenlet runs on it."""
    found: int = unpatched("_thread", "get_ident")()
    return found


def hub() -> Hub | None:
    """Where greenlets that wait on this thread are woken, and callbacks run; None where threads are threads."""
    patches = _patches()
    if patches is None or get_ident() in _beside:  # which must not get a hub of its own: it would stay
        return None
    from kafka.drivers.greenlets import hub_of

    return hub_of(patches)


def waking(function: Callable[[], None]) -> Callable[[], None]:
    """`function`, which wakes this thread or one of its greenlets (a lock's release), as another thread may call it."""
    greenlets = hub()
    return function if greenlets is None else greenlets.waking(function)


class Signal:
    """Something happens, once: any number of threads or greenlets wait for it, and any thread says that it has."""

    def __init__(self) -> None:
        self.is_set = False
        # A thread of our own that waits is none of the greenlets.
        self._lock = _thread.allocate_lock() if get_ident() not in _beside else unpatched("_thread", "allocate_lock")()
        self._lock.acquire()
        self._release = waking(self._lock.release)

    def set(self) -> None:
        if not self.is_set:
            self.is_set = True
            self._release()

    def wait(self, timeout: float | None = None) -> bool:
        """False where it has not happened after `timeout` seconds."""
        if not self.is_set and self._lock.acquire(True, -1 if timeout is None else timeout):
            self._lock.release()  # for whoever waits as well
        return self.is_set


_beside: set[int] = set()  # the threads of this kind that run


class _BesideGreenlets:
    def __init__(self, target: Callable[[], None]) -> None:
        self.ident: int | None = None
        self._target = target
        self._started = False
        self._over = Signal()
        self._hub = hub()

    def start(self) -> None:
        unpatched("_thread", "start_new_thread")(self._run, ())
        self._started = True
        if self._hub is not None:
            self._hub.thread_began()

    def _run(self) -> None:
        self.ident = get_ident()
        _beside.add(self.ident)
        try:
            self._target()
        finally:
            del self._target  # which refers to this
            _beside.discard(self.ident)
            self._over.set()
            if self._hub is not None:
                self._hub.waking(self._hub.thread_ended)()

    def is_alive(self) -> bool:
        return self._started and not self._over.is_set

    def join(self, timeout: float | None = None) -> None:
        self._over.wait(timeout)


def _patches() -> Any:
    """The module of whichever library has made greenlets of threads; None where none has."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return monkey
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("thread"):
        return patcher
    return None


def unpatched(module: str, name: str) -> Any:
    """A function as it was before it was replaced: in a thread of our own the other would make a hub that stays."""
    patches = _patches()
    if patches is None:
        return getattr(importlib.import_module(module), name)
    if patches.__name__ == "gevent.monkey":
        return patches.get_original(module, name)
    return getattr(patches.original(module), name)
