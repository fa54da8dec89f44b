"""The threaded driver: one IO thread that runs the core, its sockets, and what other threads ask of it."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kafka._log import Log
from kafka.core.effects import Close, Complete, Connect, Notice, Resolve, Send
from kafka.drivers._turn import Turn

if TYPE_CHECKING:
    from kafka._codec import Accumulator
    from kafka.core.core import Core

log = Log("kafka.driver")

# The longest a turn sleeps: a bound on how long a lost wake-up could go unnoticed.
LONGEST_SLEEP = 5.0


class Driver:
    """Runs a `Core` on a thread of its own. All methods but the private ones may be called from any thread."""

    def __init__(
        self,
        core: Core,
        turn: Turn,
        accumulator: Accumulator | None = None,
        *,
        socket_options: Sequence[tuple[int, int, int]] = (),
        name: str = "kafka-io",
    ) -> None:
        self.core = core
        self.error: BaseException | None = None  # what ended the thread, where it was not `stop`
        self._turn = turn
        self._accumulator = accumulator
        self._socket_options = socket_options
        self._sockets: dict[int, socket.socket] = {}
        self._notify: deque[int] = deque()  # connections with a Send that wants to hear of its writing
        self._look_again = False  # whether such a Send was queued in the last turn
        self._calls: deque[Callable[[float], None]] = deque()
        self._stopping = False
        self._lookups: set[tuple[str, int]] = set()  # under way
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def call(self, function: Callable[[float], None]) -> None:
        """Have the IO thread call `function(now)` between two turns."""
        self._calls.append(function)
        self._turn.wake()

    def wake(self) -> None:
        """Have the IO thread look for work."""
        self._turn.wake()

    def stop(self, timeout: float | None = None) -> bool:
        """End the thread after the calls made before; False where it still runs after `timeout` seconds."""
        self._stopping = True
        self._turn.wake()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- the IO thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        accumulator = self._accumulator
        if accumulator is not None:
            accumulator.io_thread = threading.get_ident()
        try:
            while True:
                while self._calls:
                    self._calls.popleft()(self._turn.now())
                self._carry_out()
                if self._stopping and not self._calls:
                    return
                self._one_turn()
        except BaseException as error:
            # A bug: nobody would ever hear of the records that wait, so every one of them is told.
            self.error = error
            log.exception("the IO thread ended")
            self._fail_everything(error)
        finally:
            if accumulator is not None:
                accumulator.close()
                accumulator.io_thread = 0
            for connection in self._sockets.values():
                connection.close()
            self._sockets.clear()

    def _fail_everything(self, error: BaseException) -> None:
        from kafka.errors import KafkaError, Persisted

        ended = KafkaError(
            f"The producer's IO thread ended by a bug in kafka-turbo: {error!r}. Nothing is sent any more."
        )
        ended.__cause__ = error
        ended.persisted = Persisted.POSSIBLY_PERSISTED
        if self._accumulator is not None:
            self._accumulator.close()  # what came after a look at what there is would never be told
        try:
            for part in self.core.parts:
                part.close(ended, self._turn.now())
        except BaseException:
            log.exception("and what it left behind cannot be put in order")
        if self._accumulator is not None:
            for batch in self._accumulator.take_expired(float("inf")):
                batch.fail(ended)
            for cell in self._accumulator.unresolved():
                cell.give_up(ended)

    def _one_turn(self) -> None:
        core, turn, accumulator = self.core, self._turn, self._accumulator
        now = turn.now()
        until = min(core.next_deadline(), now + LONGEST_SLEEP)
        wait = until - now
        if wait > 0 and accumulator is not None and not accumulator.sleep(until):
            wait = 0.0
        # No answer will wake the thread after a request that has none: look at once whether it was written.
        events = turn.run(0.0 if self._calls or self._look_again else wait)
        self._look_again = False
        if accumulator is not None:
            accumulator.awake()
        now = turn.now()
        for connection_id, event in events:
            if type(event) is bytes:
                core.received(connection_id, event, now)
            elif event is True:
                core.connected(connection_id, now)
            else:
                self._drop(connection_id)
                core.closed(connection_id, OSError(event, _strerror(event)) if event else None, now)
        if self._notify:
            notify, self._notify = self._notify, deque()
            for connection_id in notify:
                if turn.unwritten(connection_id):
                    self._notify.append(connection_id)
                else:
                    core.written(connection_id, now)
        core.tick(now)
        self._carry_out()
        del events
        if accumulator is not None:
            accumulator.wake_waiters()

    def _carry_out(self) -> None:
        core = self.core
        effects = core.effects()
        while effects:
            for effect in effects:
                kind = type(effect)
                if kind is Send:
                    self._turn.send(effect.connection_id, effect.buffers)  # type: ignore[union-attr]
                    if effect.notify:  # type: ignore[union-attr]
                        self._notify.append(effect.connection_id)  # type: ignore[union-attr]
                        self._look_again = True
                elif kind is Connect:
                    self._connect(effect)  # type: ignore[arg-type]
                elif kind is Close:
                    self._drop(effect.connection_id)  # type: ignore[union-attr]
                elif kind is Resolve:
                    self._resolve(effect.host, effect.port)  # type: ignore[union-attr]
                elif kind is Notice:
                    (log.warning if effect.level == "warning" else log.info)("%s", effect.text)  # type: ignore[union-attr]
                elif kind is Complete:
                    effect.promise(effect.result)  # type: ignore[union-attr]
            effects = core.effects()

    def _connect(self, effect: Connect) -> None:
        family = socket.AF_INET6 if len(effect.address) == 4 else socket.AF_INET
        connection = None
        try:
            connection = socket.socket(family, socket.SOCK_STREAM)
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

    def _drop(self, connection_id: int) -> None:
        connection = self._sockets.pop(connection_id, None)
        if connection is not None:
            self._turn.remove(connection_id)
            connection.close()
            self._notify = deque(id for id in self._notify if id != connection_id)

    def _resolve(self, host: str, port: int) -> None:
        # getaddrinfo may take many seconds, and cannot be interrupted: no name waits for another's answer.
        if (host, port) not in self._lookups:
            self._lookups.add((host, port))
            thread = threading.Thread(target=self._look_up, args=(host, port), name="kafka-resolver", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there are too many already, or (from Python 3.12 on) the interpreter is ending
                self._look_up(host, port)

    def _look_up(self, host: str, port: int) -> None:
        answer: list[Any] | BaseException
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
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
