"""What a handler is given and what it may answer: time and chance from outside, an answer now, later or never."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from kafka.protocol._message import Response

if TYPE_CHECKING:
    from random import Random

    from kafka.protocol.header import RequestHeader


class World(Protocol):
    """The simulation's virtual time, or an event loop's. All that happens is on one thread."""

    random: Random

    @property
    def now(self) -> float:
        """Seconds from some moment on; never goes back."""

    def after(self, delay: float, happens: Callable[[], None]) -> object:
        """`happens()` in `delay` seconds. It cannot be called off: what is no longer wanted has to see that itself."""


class Later:
    """An answer that is not there yet. The connection's next request is not looked at before it has been sent.

    Whoever holds the answer back calls `ready()`, once, perhaps before the handler returns. `complete()` then makes the
    response, but only if the connection still stands and its broker is awake; None is no answer at all.
    """

    def __init__(self, complete: Callable[[], Response | None], *, is_last: bool = False) -> None:
        self.complete = complete
        self.is_last = is_last  # the connection ends right behind it
        self._deliver: Callable[[], None] | None = None  # the connection's
        self.is_ready = False

    def ready(self) -> None:
        self.is_ready = True
        if self._deliver is not None:
            self._deliver()

    def when_ready(self, deliver: Callable[[], None]) -> None:
        """The connection has `deliver()` called once the answer is there."""
        self._deliver = deliver
        if self.is_ready:
            deliver()


class Hangup(Exception):
    """Raised by a handler whose answer is to close the connection."""


Answer = Response | Later | None
#: `handler(broker, header, request)`; the header has the request's version. None: no answer at all.
Handler = Callable[[Any, "RequestHeader", Any], Answer]
