"""`Client`: what every client of a cluster is, whatever it is for: a core, its IO thread, and their life in a process.

What happens when one is made, forked, interrupted or closed is here, once; `kafka.leaving` sees to those that nobody
closes. What it is for is in its subclass, which has these places for that: `_listeners` and `_equip` when it starts,
`_finish` before it ends, `_forked` in the child of a fork, `_remains` when it is dropped, `_hurry` and `_close_at_exit`
at the end of the process.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from kafka import leaving
from kafka._installed import warn_if_overwritten
from kafka._log import Log
from kafka.config import ClientConfig
from kafka.core.cluster.snapshot import BrokerInfo, Snapshot
from kafka.core.core import Core
from kafka.core.events import Listeners
from kafka.core.net.health import BrokerHealth
from kafka.drivers import forks
from kafka.drivers._turn import Turn
from kafka.drivers.base import Desk
from kafka.drivers.native import Signal
from kafka.drivers.threads import Driver
from kafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError
from kafka.leaving import Remains
from kafka.result import Err, Result

if TYPE_CHECKING:
    from typing_extensions import Self

log = Log("kafka.client")

# Takes an answer; the core gives the time, too, which is of no use here.
Answer = Callable[..., None]


class Client:
    """Base of the clients. Thread-safe.

    A subclass calls `__init__` with its checked configuration; from then on the IO thread runs and, unless
    `api_version` was given, the cluster has answered. Raises NoBrokersAvailable, or another KafkaTimeoutError, where it
    has not.
    """

    _checked: ClientConfig
    _core: Core
    _driver: Driver
    _pid: int  # of the process whose IO thread this is
    _closed = True  # until it has started
    _MADE = frozenset(("_checked", "_core", "_driver", "_pid", "_starting", "_is_starting"))  # by __init__

    def __init__(self, checked: ClientConfig) -> None:
        warn_if_overwritten()
        forks.prepare(type(self).__name__)
        self._checked = checked
        self.config: dict[str, Any] = checked.values
        self._starting = threading.RLock()
        self._is_starting = False
        try:
            self._start()
            self._pid = os.getpid()
            self._closed = False
            leaving.keep(self)
            if checked.api_version is None:
                self._bootstrap()
        except BaseException:
            if "_driver" in vars(self):
                self._shut_down(1.0)
            raise

    def __getattr__(self, name: str) -> Any:
        # Of a subclass whose __init__ does not call ours, or of an object that it has failed to make.
        if name in self._MADE:
            raise IllegalStateError(f"{type(self).__name__}.__init__() has not been called, or has failed.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    # -- starting ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """A new core and IO thread: when it is made, and in the child after a fork."""
        turn = Turn()
        self._core = Core(self._checked.for_core(), random.Random(), self._listeners())
        self._driver = Driver(
            self._core,
            turn,
            self._equip(turn),
            socket_options=self._checked.for_sockets(),
            tls=self._checked.tls,
            name=f"{self._checked.client_id}-io",
            in_child=leaving.close_behind_threads,
        )
        self._driver.start()
        leaving.on_start()

    def _listeners(self) -> Listeners:
        """Who is told what the new core does."""
        return Listeners()

    def _equip(self, turn: Turn) -> Desk | None:
        """Give the new core its parts; what threads share with the IO thread, if anything."""
        return None

    def _bootstrap(self) -> None:
        timeout = self._checked.bootstrap_timeout_ms / 1000
        self._obtain(
            lambda answer, now: self._core.bootstrap(answer, now, timeout), timeout + 5, "the cluster's brokers"
        )

    def _check_open(self) -> None:
        """Raise where it is closed; start again in the child of a fork."""
        if self._closed and self._checked is not None:  # which raises where there was no __init__
            raise IllegalStateError(f"{type(self).__name__} is closed already; make a new one.")
        if self._pid != os.getpid():
            self._start_in_child()

    def _start_in_child(self) -> None:
        with self._starting:  # several threads may find out that the process forked
            if self._pid == os.getpid():
                return
            if self._is_starting:  # a signal handler, say, or a __del__
                raise IllegalStateError(
                    f"The process forked, and this thread is just starting the {type(self).__name__} again."
                )
            self._is_starting = True
            try:
                self._start()
                self._pid = os.getpid()
            finally:
                self._is_starting = False

    def _forked(self) -> None:
        """In the child, right after a fork: let go what was the parent's. What is used again starts again."""
        self._starting = threading.RLock()  # whoever held it is not here any more
        self._is_starting = False
        self._driver.forked()

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask(
        self,
        question: Callable[[Answer, float], None],
        timeout: float,
        what: str,
        forget: Callable[[Answer], None] | None = None,
    ) -> Any:
        """Have the IO thread call `question(answer, now)`, and wait for what `answer` is called with.

        `forget(answer)`, if given, is called on the IO thread where no answer is waited for any more: it was
        interrupted (Ctrl-C is heard at once), or `timeout` seconds are over. Then this raises KafkaTimeoutError, unless
        the answer came before it was forgotten. Raises IllegalStateError on the IO thread, which cannot wait for
        itself, and where there is none any more.
        """
        self._refuse_on_io_thread(f"waiting for {what}")
        self._check_open()
        driver = self._driver
        answers: list[Any] = []
        answered = Signal()

        def answer(value: Any, now: float | None = None) -> None:
            answers.append(value)
            answered.set()

        driver.call(lambda now: question(answer, now))
        deadline = time.monotonic() + timeout
        try:
            while driver.is_alive() and not answered.wait(max(0.0, min(deadline - time.monotonic(), 1.0))):
                if time.monotonic() >= deadline:
                    break
        except BaseException:
            if forget is not None and not answers:
                driver.call(lambda now: forget(answer))  # who interrupts does not wait for that
            raise
        else:
            if not answers and forget is not None and driver.is_alive():
                forgotten = Signal()

                def stop(now: float) -> None:
                    forget(answer)
                    forgotten.set()

                driver.call(stop)
                forgotten.wait(1.0)
        if answers:
            return answers[0]
        if driver.is_alive():
            raise KafkaTimeoutError(f"Nothing was heard of {what} within {timeout:g} s." + self._trouble())
        if driver is not self._driver or self._pid != os.getpid():
            raise IllegalStateError(f"The process forked while it waited for {what}; only its parent hears of that.")
        if self._closed:
            raise IllegalStateError(f"{type(self).__name__} was closed while a thread waited for {what}.")
        raise IllegalStateError(f"{self._ended()} Nothing will be heard of {what}.") from driver.error

    def _obtain(self, question: Callable[[Answer, float], None], timeout: float, what: str) -> Any:
        """`_ask`, where the answer is a Result: its value, or its error is raised."""
        result: Result[Any, KafkaError] = self._ask(question, timeout, what)
        if isinstance(result, Err):
            raise result.error.fresh()
        return result.unwrap()

    def _is_io_thread(self) -> bool:
        return self._driver.is_current()

    def _refuse_on_io_thread(self, what: str) -> None:
        if self._is_io_thread():
            raise IllegalStateError(
                f"{what} in a callback would wait for the thread it runs on. Hand it to another thread."
            )

    def _ended(self) -> str:
        return f"The IO thread of {self!r} has ended; its log says why."

    def _trouble(self) -> str:
        """What is known to be wrong, for the end of an error message."""
        return self._core.trouble(time.monotonic())

    # -- what is known -----------------------------------------------------------------------------------------------

    def bootstrap_connected(self) -> bool:
        """Whether the cluster answers: a broker is connected."""
        return any(health.state == "ready" for health in self._core.health(time.monotonic()))

    def health(self) -> list[BrokerHealth]:
        """How each broker is doing: which one fails, since when and why; whether a quota holds this client back.

        Moments in it are as `time.time()` has them. The addresses of bootstrap_servers (negative node_id) are listed
        until a broker is known. Never waits; also after `close()`.
        """
        zero = time.time() - time.monotonic()  # the core's clock is the monotonic one
        found = self._core.health(time.monotonic())
        return [
            health._replace(
                failing_since=None if health.failing_since is None else health.failing_since + zero,
                waiting_since=None if health.waiting_since is None else health.waiting_since + zero,
                throttled_until=None if health.throttled_until is None else health.throttled_until + zero,
            )
            for health in [broker for broker in found if broker.node_id >= 0] or found
        ]

    def __repr__(self) -> str:
        if "_checked" not in vars(self):
            return f"<{type(self).__name__} without __init__()>"
        state = "closed" if self._closed else "open"
        return f"<{type(self).__name__} {self._checked.client_id} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled: it has a thread and sockets. Make one in each process."
        )

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the IO thread. Closing again does nothing."""
        self._close()

    def _close(self, timeout: float | None = None, quiet: bool = False) -> bool:
        """`_finish` and end the IO thread; False where it was closed already.

        `_finish` gets the arguments: how many seconds it may take, None for as many as it needs, and whether it is to
        write nothing into the log.
        """
        if self._closed:
            return False
        self._refuse_on_io_thread("close()")
        try:
            if self._pid == os.getpid():
                self._finish(timeout, quiet)
        finally:
            self._shut_down(5.0)
        return True

    def _finish(self, timeout: float | None, quiet: bool) -> None:
        """Bring to its end what was begun. It is still open, and closed once this returns or raises."""

    def _closed_error(self) -> KafkaError:
        """What becomes of that which is under way when it is closed."""
        return IllegalStateError(f"{type(self).__name__} was closed.")

    def _shut_down(self, patience: float) -> None:
        """End the IO thread, for which this waits at most so many seconds."""
        self._closed = True
        if self._driver.is_alive() and not self._driver.stop(self._closed_error(), patience):
            log.warning("the IO thread did not end within %g s: a callback keeps it busy", patience)
        leaving.forget(self)  # last: a child that is forked meanwhile has no such thread

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._close_because_of(error)

    def _close_because_of(self, error: BaseException) -> None:
        """A `with` block is left by this error."""
        self.close()

    def __del__(self) -> None:
        if not self._closed and self._pid == os.getpid():
            self._closed = True
            self._remains(f"<{type(self).__name__} {self._checked.client_id}>").hand_over()

    def _remains(self, name: str) -> Remains:
        """What its IO thread has to do where it was dropped. This neither waits nor logs, as `Remains` says."""
        return Remains(self._driver, name)

    def _hurry(self) -> None:
        """The process is ending: begin at once with what has to be done before. Called for all, before the next."""

    def _close_at_exit(self, deadline: float) -> None:
        """Close it, which should not take longer than to clock second `deadline`."""
        self.close()


class Cluster:
    """What a partitioner may ask, answered from one immutable snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def controller(self) -> BrokerInfo | None:
        """Its id, host, port and rack, in this order; None while it is not known."""
        return self._snapshot.brokers.get(self._snapshot.controller_id)

    def topics(self) -> set[str]:
        return set(self._snapshot.topics)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        known = self._snapshot.topics.get(topic)
        return None if known is None else set(range(len(known.partitions)))

    def available_partitions_for_topic(self, topic: str) -> set[int] | None:
        known = self._snapshot.topics.get(topic)
        return None if known is None else {partition.id for partition in known.partitions if partition.leader >= 0}
