"""Mechanisms of the user's own, with kafka-python's interface: each step is called on another thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kafka.core.sasl import Failed, Line
from kafka.errors import CredentialsError


class Steps(Protocol):
    """One conversation, as `kafka.net.sasl.SaslMechanism` has it."""

    def auth_bytes(self) -> bytes: ...
    def receive(self, auth_bytes: bytes) -> Any: ...
    def is_done(self) -> bool: ...
    def is_authenticated(self) -> bool: ...


def _message(steps: Steps) -> bytes:
    return bytes(memoryview(steps.auth_bytes()))  # bytes(3) would be three zeros


class Registered:
    """`make(host)` begins a conversation with the broker of that name."""

    def __init__(self, name: str, make: Callable[[str], Steps]) -> None:
        self.name = name
        self._make = make
        self._what = f"the SASL mechanism {name}"

    async def prepare(self, line: Line, now: float) -> tuple[tuple[Steps, bytes], float]:
        host = line.host

        def begin() -> tuple[Steps, bytes]:
            steps = self._make(host)
            return steps, _message(steps)

        return await line.work(begin, self._what)

    async def authenticate(self, line: Line, prepared: tuple[Steps, bytes], now: float) -> float:
        steps, token = prepared
        while True:
            answer, now = await line.exchange(token)

            def go_on(answer: bytes = answer) -> bytes | bool:
                """What is to be said next; or, where that is nothing, whether it succeeded."""
                steps.receive(answer)
                return bool(steps.is_authenticated()) if steps.is_done() else _message(steps)

            next_step, now = await line.work(go_on, self._what)
            if isinstance(next_step, bool):
                if not next_step:
                    raise Failed(CredentialsError(f"{self._what} says that it did not authenticate the client."))
                return now
            token = next_step

    def refused(self, prepared: tuple[Steps, bytes]) -> None:
        pass
