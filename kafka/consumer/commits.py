"""What `commit_async` returns, and whose callback runs in the thread that reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

from kafka._codec import FutureBase
from kafka._log import Log, name_of
from kafka.drivers.loops import wait_in_loop
from kafka.drivers.native import Signal, unpatched
from kafka.drivers.threads import Driver
from kafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError
from kafka.structs import OffsetAndMetadata, TopicPartition

log = Log("kafka.consumer")

Offsets = dict[TopicPartition, OffsetAndMetadata]
CommitCallback = Callable[[Offsets, Any], None]


class CommitFuture(FutureBase):
    """The outcome of one `commit_async`: None, or the error that says why not.

    As in kafka-python, with `get()` and `await` besides. `add_callback` and `add_errback` run on the IO thread (under
    gevent and eventlet in a greenlet), or here and now where the outcome is known.
    """

    def __init__(
        self,
        offsets: Offsets,
        callback: CommitCallback | None,
        driver: Driver,
        run: Callable[[Callable[[], None]], None],
    ) -> None:
        self.offsets = offsets
        self._callback = callback
        self._driver = driver
        self._run = run  # where callbacks run
        self._error: KafkaError | None = None
        self._over = Signal()
        # No greenlet's: the IO thread takes it.
        self._lock: threading.Lock = unpatched("_thread", "allocate_lock")()
        self._functions: list[Callable[[], None]] | None = []  # None: the outcome is known

    def end(self, error: KafkaError | None) -> None:
        """Called once, on the IO thread."""
        self._error = error
        with self._lock:
            self._over.set()
            functions, self._functions = self._functions, None
        for function in functions or ():
            self._run(function)

    def tell(self) -> None:
        """Call the callback of `commit_async`, which may raise."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback(self.offsets, self._error)

    def wait(self, timeout: float) -> bool:
        """False where the outcome is not known after so many seconds."""
        return self._over.wait(timeout)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # it does not pass for one of concurrent.futures
        return CommitFuture

    @property
    def is_done(self) -> bool:
        return self._over.is_set

    @property
    def value(self) -> None:
        return None

    @property
    def exception(self) -> KafkaError | None:
        return self._error if self.is_done else None

    def succeeded(self) -> bool:
        return self.is_done and self._error is None

    def add_callback(self, f: Callable[..., object], *args: Any, **kwargs: Any) -> CommitFuture:
        return self._add(f, args, kwargs, success=True)

    def add_errback(self, f: Callable[..., object], *args: Any, **kwargs: Any) -> CommitFuture:
        return self._add(f, args, kwargs, failure=True)

    def add_both(self, f: Callable[..., object], *args: Any, **kwargs: Any) -> CommitFuture:
        return self._add(f, args, kwargs, success=True, failure=True)

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        self._add(lambda outcome: fn(self), (), {}, success=True, failure=True)

    def _add(
        self,
        f: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        success: bool = False,
        failure: bool = False,
    ) -> CommitFuture:
        if not callable(f):
            raise TypeError(f"a callback must be callable, not {type(f).__name__}")

        def call(is_told: bool = True) -> None:
            try:
                if self._error is None and success:
                    f(*args, None, **kwargs)
                elif self._error is not None and failure:
                    f(*args, self._error, **kwargs)
            except BaseException as error:
                # In a caller's thread Ctrl-C and sys.exit() are the caller's.
                if not isinstance(error, Exception) and not is_told:
                    raise
                log.exception("callback %s of a commit raised", name_of(f))

        if not self._notify(call):
            call(is_told=False)
        return self

    def get(self, timeout: float | None = None) -> None:
        """Wait for the outcome, at most `timeout` seconds; raises why the offsets were not committed."""
        if self._driver.is_current() and not self.is_done:
            raise IllegalStateError("get() in a callback would wait for the thread it runs on.")
        deadline = None if timeout is None else time.monotonic() + timeout
        # The driver's end is looked for: where it ended by a fault nothing more is heard of what it was asked.
        while not self.wait(1.0 if deadline is None else max(0.0, min(1.0, deadline - time.monotonic()))):
            if not self._driver.is_alive() and not self.is_done:
                raise IllegalStateError("The consumer ended before its commit was answered.") from self._driver.error
            if deadline is not None and time.monotonic() >= deadline:
                raise KafkaTimeoutError(f"No answer to the commit within {timeout} seconds; it may still come.")
        if self._error is not None:
            raise self._error.fresh()

    def __await__(self) -> Generator[Any, None, None]:
        yield from wait_in_loop(self._notify, self._forget)
        self.get(0)

    def _notify(self, release: Callable[[], None]) -> bool:
        with self._lock:
            if self._functions is not None:
                self._functions.append(release)
            return self._functions is not None

    def _forget(self, release: Callable[[], None]) -> None:
        with self._lock:
            if self._functions is not None:
                self._functions.remove(release)

    def __repr__(self) -> str:
        state = "pending" if not self.is_done else "committed" if self._error is None else f"failed: {self._error}"
        return f"<CommitFuture of {len(self.offsets)} partitions {state}>"
