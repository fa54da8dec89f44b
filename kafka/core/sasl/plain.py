"""PLAIN (RFC 4616): the password as it is, so for connections that TLS protects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kafka.core.sasl import Failed, Line
from kafka.core.sasl.credentials import Credentials
from kafka.errors import CredentialsError

if TYPE_CHECKING:
    from kafka.core.net.network import Network


class Plain:
    name = "PLAIN"

    def __init__(self, network: Network, given: tuple[str, str] | Callable[[], tuple[str, str]]) -> None:
        self._credentials = Credentials(network, given)

    async def prepare(self, line: Line, now: float) -> tuple[tuple[str, str], float]:
        return await self._credentials.get(line, now)

    async def authenticate(self, line: Line, prepared: tuple[str, str], now: float) -> float:
        user, password = prepared
        if "\0" in user + password:  # it ends the user's name on the wire
            raise Failed(CredentialsError("PLAIN cannot carry a NUL character in a user's name or password."))
        _, now = await line.exchange(f"\0{user}\0{password}".encode())
        return now

    def refused(self, prepared: tuple[str, str]) -> None:
        pass
