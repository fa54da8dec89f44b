"""What the IO thread has for greenlets, brought to the thread they run on: gevent's hub, or eventlet's."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any

from kafka._log import Log
from kafka.drivers import forks
from kafka.drivers.native import get_ident

log = Log("kafka.driver")


class Hub:
    """Runs functions that other threads bring, on the thread of a hub.

    Those that wake somebody run in the hub itself, where nothing may wait.
    """

    def __init__(self) -> None:
        self._wakes: deque[Callable[[], None]] = deque()
        self._threads = 0  # of ours that are alive, and may bring something

    def is_here(self) -> bool:
        """Whether this thread is the hub's."""
        raise NotImplementedError

    def poke(self) -> None:
        """Have the hub call `_poked`. From any thread."""
        raise NotImplementedError

    def spawn(self, function: Callable[[], None]) -> Any:
        """Run it in a greenlet, which is returned."""
        raise NotImplementedError

    def current(self) -> Any:
        """The greenlet that runs."""
        raise NotImplementedError

    def callbacks(self) -> Callbacks:
        """For those of one client."""
        return Callbacks(self)

    def waking(self, function: Callable[[], None]) -> Callable[[], None]:
        """`function` as another thread may call it."""

        def wake() -> None:
            self._wakes.append(function)
            self.poke()

        return wake

    def _poked(self, *_: Any) -> None:
        while self._wakes:
            try:
                self._wakes.popleft()()
            except Exception:
                log.exception("a greenlet that waits could not be woken")

    def thread_began(self) -> None:
        self._threads += 1
        self._hold(True)

    def thread_ended(self) -> None:
        self._threads -= 1
        self._hold(self._threads > 0)

    def _hold(self, held: bool) -> None:
        """Whether something may come, so that greenlets that wait for it do not wait in vain."""

    def after_fork_in_child(self) -> Hub | None:
        """The threads are the parent's, and so is what they brought. The child's hub; None: to be made anew."""
        self._wakes.clear()
        self._threads = 0
        self._hold(False)
        return self


class _GeventHub(Hub):
    def __init__(self, hub: Any) -> None:
        super().__init__()
        self.hub = hub
        self._watcher = hub.loop.async_(ref=False)
        self._watcher.start(self._poked)

    def is_here(self) -> bool:
        from gevent._hub_local import get_hub_if_exists

        return get_hub_if_exists() is self.hub

    def poke(self) -> None:
        self._watcher.send()

    def spawn(self, function: Callable[[], None]) -> Any:
        import gevent

        return gevent.spawn(function)

    def current(self) -> Any:
        import gevent

        return gevent.getcurrent()

    def _hold(self, held: bool) -> None:
        self._watcher.ref = held


class _EventletHub(Hub):
    def __init__(self, hub: Any, plain_os: Any) -> None:
        super().__init__()
        self.hub = hub
        self._os = plain_os
        self._ident = get_ident()
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self.hub.add("read", self._read_end, self._readable, self._readable, self._readable)

    def is_here(self) -> bool:
        from eventlet import hubs

        return getattr(hubs._threadlocal, "hub", None) is self.hub

    def is_replaced(self) -> bool:
        """Whether this thread is the hub's, and has another by now."""
        return get_ident() == self._ident and not self.is_here()

    def poke(self) -> None:
        try:
            self._os.write(self._write_end, b"\0")
        except BlockingIOError:  # it is full: the hub has been told more than once
            pass

    def _readable(self, *_: Any) -> None:
        try:
            self._os.read(self._read_end, 65536)
        except BlockingIOError:
            pass
        self._poked()

    def spawn(self, function: Callable[[], None]) -> Any:
        import eventlet

        return eventlet.spawn(function)

    def current(self) -> Any:
        from eventlet import getcurrent

        return getcurrent()

    def after_fork_in_child(self) -> None:
        return None  # what is written to this pipe is for the parent, and the child may get another hub


class Callbacks:
    """A client's, one after the other in a greenlet of their own: they may wait, as those in a thread may."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._todo: deque[Callable[[], None]] = deque()
        self._greenlet: Any = None
        self._wake = hub.waking(self._begin)

    def run(self, function: Callable[[], None]) -> None:
        """`function` does not raise."""
        self._todo.append(function)
        self._wake()

    def is_current(self) -> bool:
        """Whether the caller is such a callback."""
        return self._greenlet is not None and self._hub.current() is self._greenlet

    def _begin(self) -> None:
        if self._greenlet is None and self._todo:
            self._greenlet = self._hub.spawn(self._work)

    def _work(self) -> None:
        try:
            while self._todo:
                self._todo.popleft()()
        finally:
            self._greenlet = None
            self._begin()


_hub: Hub | None = None


def hub_of(patches: Any) -> Hub | None:
    """The hub of this thread, if it is the one that greenlets run on: the main thread's, whoever asked first.

    `patches`: gevent's or eventlet's module that has patched threads.
    """
    global _hub
    if patches.__name__ == "gevent.monkey":
        import gevent

        found = gevent.get_hub()
        if not found.main_hub:
            return None
        if not isinstance(_hub, _GeventHub) or _hub.hub is not found:
            _hub = _GeventHub(found)
        return _hub
    from eventlet import hubs

    if not isinstance(_hub, _EventletHub) or _hub.is_replaced():
        _hub = _EventletHub(hubs.get_hub(), patches.original("os"))
    return _hub if _hub.is_here() else None


def _after_fork_in_child() -> None:
    global _hub
    _hub = _hub and _hub.after_fork_in_child()


forks.after_in_child(_after_fork_in_child)
