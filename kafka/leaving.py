"""Clients that nobody closed: dropped, left to the end of a process, or inherited by the child of a fork.

Only the end of a process waits, and at most EXIT_PATIENCE: in `atexit`, and where that does not run in a
`multiprocessing.util.Finalize`, or in Celery's signal. None of them runs after `os._exit` or a signal that kills:
`docs/delivery.md` has the list.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from kafka._log import Log
from kafka.drivers import forks
from kafka.errors import IllegalStateError, KafkaError

if TYPE_CHECKING:
    from kafka.client import Client
    from kafka.drivers.threads import Driver

log = Log("kafka.client")
T = TypeVar("T")

# How long the end of a process waits for clients that nobody closed.
EXIT_PATIENCE = 5.0

_clients: weakref.WeakSet[Client] = weakref.WeakSet()  # those that nobody has closed yet
_leaving: set[Remains] = set()
_finalized_in = 0  # the process whose end multiprocessing tells us


class Remains:
    """What is left of a client that was dropped: its IO thread, which brings to an end what was begun, and then ends.

    A finalizer makes it, in the middle of anything perhaps: of a log handler's work, of the IO thread's own turn. So it
    neither waits nor logs. All else is done on the IO thread.
    """

    def __init__(self, driver: Driver, name: str) -> None:
        self.driver = driver
        self.name = name  # of the client, for the log

    def hand_over(self) -> None:
        if self.driver.is_alive():
            _leaving.add(self)
            self.driver.leave(self)
            if not self.driver.is_alive():  # it has ended just now, perhaps without having heard of it
                _leaving.discard(self)

    def begin(self, now: float) -> None:
        """Take nothing more."""

    def is_over(self, now: float) -> bool:
        """Whether all is brought to its end."""
        return True

    def error(self) -> KafkaError:
        """What becomes of that which is not."""
        trouble = self.driver.core.trouble(time.monotonic())
        return IllegalStateError(f"{self.name} was dropped without close(), and this was not done in time.{trouble}")

    def gone(self) -> None:
        """The IO thread has nothing more to do."""
        _leaving.discard(self)

    def forked(self) -> None:
        """In the child of a fork: all of it is the parent's."""
        self.driver.forked()


def keep(client: Client) -> None:
    """It is open from now on."""
    _clients.add(client)


def forget(client: Client) -> None:
    """It is closed."""
    _clients.discard(client)


# -- the end of a process ----------------------------------------------------------------------------------------------


def on_start() -> None:
    """A client starts in this process, which is to tell of its end; a child forgets what was registered before."""
    global _finalized_in
    if _finalized_in == os.getpid():
        return
    if _is_child():
        from multiprocessing.util import Finalize, is_exiting

        _finalized_in = os.getpid()
        Finalize(None, close_behind_threads, exitpriority=-1000)  # last
        if is_exiting():  # what was to run has run: the process only waits for its threads, of which this is one
            _await_threads()
    # The workers of Celery's process pools end with os._exit(), a second after this signal.
    signal = getattr(sys.modules.get("celery.signals"), "worker_process_shutdown", None)
    if signal is not None:  # not: another thread is just importing it
        signal.connect(_worker_ends, weak=False)


def _is_child() -> bool:
    """Whether multiprocessing has started this process, or billiard, Celery's copy of it, with the same finalizers."""
    parent = getattr(sys.modules.get("multiprocessing.process"), "parent_process", None)
    if parent is not None and parent() is not None:
        return True
    current = getattr(sys.modules.get("billiard.process"), "current_process", None)
    return current is not None and current()._parent_pid is not None


def _worker_ends(**_: object) -> None:
    close_all()


def close_behind_threads() -> None:
    """Of a process where no atexit runs: close what is open, once the threads that Python waits for have ended."""
    if _threads():
        _await_threads()
    else:
        close_all()


class _Exit(threading.Thread):
    """Waits for the threads that Python waits for, and so keeps the process until it has closed what is open."""

    def run(self) -> None:
        while threads := _threads():
            for thread in threads:
                thread.join()
        close_all()


def _await_threads() -> None:
    _Exit(name="kafka-exit", daemon=False).start()


def _threads() -> list[threading.Thread]:
    here = (threading.main_thread(), threading.current_thread())
    return [
        thread
        for thread in threading.enumerate()
        if not thread.daemon and thread not in here and not isinstance(thread, _Exit)  # two would wait for each other
    ]


def close_all() -> None:
    deadline = time.monotonic() + EXIT_PATIENCE
    clients, leaving = _alive(_clients), _alive(_leaving)
    for client in clients:  # all at the same time
        if client._pid == os.getpid():
            _guarded(client, client._hurry)
    for client in clients:
        _guarded(client, partial(client._close_at_exit, deadline))
    for remains in leaving:
        driver = remains.driver
        if not driver.join(max(0.0, deadline - time.monotonic())) and not driver.stop(remains.error(), 1.0):
            log.warning("%s was dropped without close(), and its IO thread does not end: a callback keeps it busy",
                        remains.name)  # fmt: skip


def _guarded(client: Client, step: Callable[[], None]) -> None:
    try:
        step()
    except Exception:
        log.exception("%r was not closed before the interpreter's end", client)


# -- forks -------------------------------------------------------------------------------------------------------------


def _after_fork_in_child() -> None:
    """The child has neither the IO threads nor the right to the parent's connections."""
    for client in _alive(_clients):
        client._forked()
    for remains in _alive(_leaving):
        remains.forked()
    _leaving.clear()


def _alive(those: weakref.WeakSet[T] | set[T]) -> list[T]:
    while True:
        try:
            return list(those)
        except RuntimeError:  # another thread has just made or closed one
            continue


atexit.register(close_all)
forks.after_in_child(_after_fork_in_child)
