"""SASL mechanisms: what the client and a broker say to each other, and what has to be got for it; without IO.

A mechanism is made once for a client and used by all its connections (`core/net/authenticate.py`). What may take long,
or asks a user's code, is a `work` on another thread, never on the IO thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from kafka.core.flows import Wish
from kafka.errors import KafkaError
from kafka.result import Result

T = TypeVar("T")


class Failed(Exception):
    """Ends a conversation: raised by what a mechanism awaits, and by the mechanism; caught by who runs it."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__(error)
        self.error = error


class Line(Protocol):
    """One conversation on one connection, as its mechanism sees it. Each step has a deadline; raises `Failed`."""

    host: str  # the broker's name, as it advertises it

    async def exchange(self, token: bytes) -> tuple[bytes, float]:
        """The broker's next token, and the time."""

    async def work(self, function: Callable[[], T], what: str) -> tuple[T, float]:
        """What `function` returns, called on another thread; and the time. `what` it is, for error messages."""

    async def obtain(self, wish: Wish[Result[T, BaseException]], what: str) -> tuple[T, float]:
        """`work` that was begun in another way, perhaps for others as well."""


class Mechanism(Protocol):
    """`prepare` is called first, and on a connection that is in use while that still carries requests."""

    name: str  # as brokers have it in sasl.enabled.mechanisms

    async def prepare(self, line: Line, now: float) -> tuple[Any, float]:
        """What the conversation is to prove, however long it takes to get that; and the time."""

    async def authenticate(self, line: Line, prepared: Any, now: float) -> float:
        """The conversation after SaslHandshake. Gives the time when it has succeeded."""

    def refused(self, prepared: Any) -> None:
        """The broker did not accept this: the next `prepare` is to get it anew."""
