"""The threaded driver: one IO thread that runs the core, its sockets, and what other threads ask of it."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from kafka._log import Log
from kafka.core.effects import Close, Connect, Notice, Resolve, Secure, Send, Work
from kafka.drivers._turn import Turn
from kafka.drivers.base import BaseDriver, Desk
from kafka.drivers.native import get_ident, thread, unpatched
from kafka.errors import KafkaError, Persisted
from kafka.result import Err, Ok, Result

if TYPE_CHECKING:
    import ssl

    from kafka.core.core import Core
    from kafka.drivers.tls import TlsTurn
    from kafka.security.tls import Contexts

log = Log("kafka.driver")


class Remains(Protocol):
    """What a client that was dropped leaves to its IO thread, which calls this; `kafka.leaving` has the real one."""

    def begin(self, now: float) -> None: ...

    def is_over(self, now: float) -> bool: ...

    def error(self) -> KafkaError: ...

    def gone(self) -> None: ...


# The longest a turn sleeps: a bound on how long a lost wake-up could go unnoticed.
LONGEST_SLEEP = 5.0
# Where the thread was kept from its work for so many seconds, errors of that time say so.
SLOW = 1.0


class Driver(BaseDriver):
    """Runs a `Core` on a thread of its own. Any thread may call the methods without an underscore.

    Where a callback forks and returns in the child, the thread that it runs on is all there is of that process, and
    calls `in_child` last.
    """

    def __init__(
        self,
        core: Core,
        turn: Turn,
        desk: Desk | None = None,
        *,
        socket_options: Sequence[tuple[int, int, int | bytes]] = (),
        tls: Contexts | None = None,
        name: str = "kafka-io",
        in_child: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(core)
        self.error: BaseException | None = None  # what ended the thread, where it was not `stop`
        self._turn: Turn | TlsTurn = turn
        self._contexts = tls
        if tls is not None:
            from kafka.drivers.tls import TlsTurn

            self._turn = TlsTurn(turn)
        self._desk = desk
        self._socket_options = socket_options
        self._sockets: dict[int, socket.socket] = {}
        self._notify: deque[int] = deque()  # connections with a Send that wants to hear of its writing
        self._looked = turn.now()  # when this thread last looked for what had come
        self._look_again = False  # whether such a Send was queued in the last turn
        self._calls: deque[Callable[[float], None]] = deque()
        self._stopped_by: KafkaError | None = None  # what `stop` was given
        self._remains: Remains | None = None
        self._forked = False
        self._in_child = in_child
        self._lookups: set[tuple[str, int]] = set()  # under way
        self._thread = thread(self._run, name)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return not self._forked and self._thread.is_alive()

    def is_current(self) -> bool:
        """Whether the caller is on the IO thread."""
        return not self._forked and self._thread.ident == get_ident()

    def call(self, function: Callable[[float], None]) -> None:
        """Have the IO thread call `function(now)` between two turns."""
        self._calls.append(function)
        self._turn.wake()

    def wake(self) -> None:
        """Have the IO thread look for work."""
        self._turn.wake()

    def stop(self, error: KafkaError, timeout: float | None = None) -> bool:
        """End the thread after the calls made before; what is under way then fails with `error`.

        False where it still runs after `timeout` seconds.
        """
        if self._stopped_by is None:
            self._stopped_by = error
        self._turn.wake()
        return self.join(timeout)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the thread has ended; False where it still runs after `timeout` seconds."""
        if self.is_alive() and not self.is_current():
            self._thread.join(timeout)
        return not self.is_alive()

    def leave(self, remains: Remains) -> None:
        """End the thread by itself, once `remains.is_over`. For finalizers: this neither waits nor takes a lock."""
        self._calls.append(remains.begin)
        self._remains = remains
        self._turn.wake()

    def forked(self) -> None:
        """In the child of a fork: the thread and what is said on the connections are the parent's alone."""
        self._forked = True
        for connection in self._sockets.values():
            connection.close()  # else one that the parent closes would stay open as long as the child lives
        self._sockets.clear()

    # -- the IO thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        desk = self._desk
        if desk is not None:
            desk.begin()
        error: KafkaError | None
        try:
            error = self._until_stopped()
        except BaseException as bug:
            # Nobody would ever hear of what waits, so all of it is told.
            self.error = bug
            log.exception("the IO thread ended")
            error = KafkaError(
                f"The client's IO thread ended by a bug in kafka-turbo: {bug!r}. Nothing is sent any more."
            )
            error.hint = "Make a new client; and please report this, with the traceback in the log."
            error.__cause__ = bug
            error.persisted = Persisted.POSSIBLY_PERSISTED
        if error is not None:
            self._end(desk, error, self._turn.now())
        for connection_id in list(self._sockets):
            self._drop(connection_id)
        # Nothing is to refer to this driver, or to what it was used for, in a circle: that would keep their memory.
        remains, self._remains = self._remains, None
        self._calls.clear()
        if self._forked:
            self._in_child()
        elif remains is not None:
            remains.gone()

    def _until_stopped(self) -> KafkaError | None:
        while not self._forked:  # by a callback, which returned in the child
            while self._calls:
                self._calls.popleft()(self._turn.now())
            self.carry_out()
            if not self._calls:
                if self._stopped_by is not None:
                    return self._stopped_by
                if self._remains is not None and self._remains.is_over(self._turn.now()):
                    return self._remains.error()
            self._one_turn()
        return None

    def _one_turn(self) -> None:
        core, turn, desk = self.core, self._turn, self._desk
        begun = now = turn.now()
        self._tell_held_up(now, self._looked)
        until = min(core.next_deadline(), now + LONGEST_SLEEP)
        wait = until - now
        if wait > 0 and desk is not None and not desk.sleep(until):
            wait = 0.0
        # No answer will wake the thread after a request that has none: look at once whether it was written.
        events = turn.run(0.0 if self._calls or self._look_again else wait)
        self._look_again = False
        if desk is not None:
            desk.awake()
        self._looked = now = turn.now()
        self._tell_held_up(now, max(until, begun))
        for connection_id, event in events:
            if type(event) is bytes:
                core.received(connection_id, event, now)
            elif event is True:
                core.connected(connection_id, now)
            elif type(event) is int:
                self._drop(connection_id)
                core.closed(connection_id, OSError(event, _strerror(event)) if event else None, now)
            elif isinstance(event, Exception):  # of TLS
                self._drop(connection_id)
                core.closed(connection_id, event, now)
            else:  # hands were shaken
                core.secured(connection_id, now, event)
        if self._notify:
            notify, self._notify = self._notify, deque()
            for connection_id in notify:
                if turn.unwritten(connection_id):
                    self._notify.append(connection_id)
                else:
                    core.written(connection_id, now)
        core.tick(now)
        self.carry_out()
        del events
        if desk is not None:
            desk.after_turn()

    def _tell_held_up(self, now: float, since: float) -> None:
        if now - since >= SLOW:
            self.core.held_up(now - since, now)

    # -- effects -----------------------------------------------------------------------------------------------------

    def _send(self, effect: Send) -> None:
        self._turn.send(effect.connection_id, effect.buffers)
        if effect.notify:
            self._notify.append(effect.connection_id)
            self._look_again = True

    def _close(self, effect: Close) -> None:
        self._drop(effect.connection_id)

    def _notice(self, effect: Notice) -> None:
        (log.warning if effect.level == "warning" else log.info)("%s", effect.text)

    def _connect(self, effect: Connect) -> None:
        family = socket.AF_INET6 if len(effect.address) == 4 else socket.AF_INET
        connection: socket.socket | None = None
        try:
            connection = unpatched("socket", "socket")(family, socket.SOCK_STREAM)
            connection.setblocking(False)
            for option in self._socket_options:
                connection.setsockopt(*option)
            try:
                connection.connect(effect.address)
            except BlockingIOError:
                pass
        except (OSError, OverflowError, TypeError, ValueError) as error:  # of an option or an address, the others
            if connection is not None:
                connection.close()
            self.core.closed(effect.connection_id, error, self._turn.now())
            return
        self._sockets[effect.connection_id] = connection
        self._turn.add(effect.connection_id, connection.fileno())

    def _secure(self, effect: Secure) -> None:
        assert self._contexts is not None
        context = self._contexts.current()
        if context is not None:
            self._shake_hands(effect, context, self._turn.now())
        else:  # files are read, perhaps slow ones, and perhaps the application asked for a password
            self._beside(partial(self._renew, effect), "kafka-certificates")

    def _renew(self, effect: Secure) -> None:
        assert self._contexts is not None
        self.call(partial(self._shake_hands, effect, self._contexts.renewed()))

    def _shake_hands(self, effect: Secure, context: ssl.SSLContext, now: float) -> None:
        connection = self._sockets.get(effect.connection_id)
        if connection is None:
            return  # given up in the meantime
        assert not isinstance(self._turn, Turn)
        try:
            self._turn.secure(effect.connection_id, connection, context, effect.host)
        except Exception as error:  # the name cannot be in a certificate; or the context, which is the user's, is bad
            self._drop(effect.connection_id)
            self.core.closed(effect.connection_id, error, now)

    def _drop(self, connection_id: int) -> None:
        connection = self._sockets.pop(connection_id, None)
        if connection is not None:
            self._turn.remove(connection_id)
            connection.close()
            self._notify = deque(id for id in self._notify if id != connection_id)

    def _beside(self, function: Callable[[], None], name: str) -> None:
        """Have a thread of its own call `function`, which may take long."""
        try:
            thread(function, name).start()
        except RuntimeError:  # there are too many already, or (from Python 3.12 on) the interpreter is ending
            function()

    def _work(self, effect: Work) -> None:
        self._beside(partial(self._do_work, effect), "kafka-worker")

    def _do_work(self, effect: Work) -> None:
        result: Result[Any, BaseException]
        try:
            result = Ok(effect.function())
        except BaseException as error:  # whatever it is, somebody waits for it
            result = Err(error)
        self.call(partial(self.core.worked, effect.work_id, result))

    def _resolve(self, effect: Resolve) -> None:
        # getaddrinfo may take many seconds, and cannot be interrupted: no name waits for another's answer.
        host, port = effect.host, effect.port
        if (host, port) not in self._lookups:
            self._lookups.add((host, port))
            self._beside(partial(self._look_up, host, port), "kafka-resolver")

    def _look_up(self, host: str, port: int) -> None:
        answer: list[Any] | BaseException
        try:
            found = unpatched("socket", "getaddrinfo")(host, port, type=socket.SOCK_STREAM)
            answer = list(dict.fromkeys(entry[4] for entry in found))
        except (OSError, UnicodeError) as error:
            answer = error
        self.call(partial(self._looked_up, host, port, answer))

    def _looked_up(self, host: str, port: int, answer: list[Any] | BaseException, now: float) -> None:
        self._lookups.discard((host, port))
        self.core.resolved(host, port, answer, now)


def _strerror(number: int) -> str:
    import os

    return os.strerror(number)
