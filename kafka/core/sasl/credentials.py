"""What connections authenticate with: fixed, or asked of the user's own code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kafka.core.flows import Resume, Wish
from kafka.core.sasl import Line
from kafka.errors import KafkaError
from kafka.result import Result

if TYPE_CHECKING:
    from kafka.core.net.network import Network

T = TypeVar("T")


def in_words(cause: BaseException) -> str:
    """What a user's code raised; its type alone where it cannot be printed."""
    try:
        return str(cause) if isinstance(cause, KafkaError) else f"{type(cause).__name__}: {cause}"
    except Exception:  # of the cause's own __str__
        return type(cause).__name__


class Source(Generic[T]):
    """A function of the user's, called on another thread, once at a time: who asks meanwhile gets the same answer.

    So one that hangs keeps one thread, however many connections wait for it; one more whenever they have waited in vain
    (`connection_setup_timeout`), for the next call may well return.
    """

    __slots__ = ("_network", "_function", "_waiting", "_calls", "_asked_at")

    def __init__(self, network: Network, function: Callable[[], T]) -> None:
        self._network = network
        self._function = function
        self._waiting: list[Resume[Result[T, BaseException]]] = []
        self._calls = 0
        self._asked_at: float | None = None  # clock second of the last call, while it is under way

    def ask(self) -> Wish[Result[T, BaseException]]:
        def start(resume: Resume[Result[T, BaseException]], now: float) -> Callable[[], None]:
            self._waiting.append(resume)
            limit = self._network.config.connection_setup_timeout
            if self._asked_at is None or now - self._asked_at >= limit:
                self._calls += 1
                self._asked_at = now
                self._network.work(self._function).start(partial(self._answered, self._calls), now)
            return lambda: self._waiting.remove(resume) if resume in self._waiting else None

        return Wish(start)

    def _answered(self, call: int, result: Result[Any, BaseException], now: float) -> None:
        if call == self._calls:
            self._asked_at = None
        waiting, self._waiting = self._waiting, []
        for resume in waiting:
            resume(result, now)


class Credentials:
    """User name and password: as they are, or what a function returns for each connection anew."""

    __slots__ = ("_fixed", "_source")

    def __init__(self, network: Network, given: tuple[str, str] | Callable[[], tuple[str, str]]) -> None:
        self._fixed = None if callable(given) else given
        self._source = Source(network, given) if callable(given) else None

    async def get(self, line: Line, now: float) -> tuple[tuple[str, str], float]:
        if self._fixed is not None:
            return self._fixed, now
        assert self._source is not None
        return await line.obtain(self._source.ask(), "sasl_plain_username or sasl_plain_password")
