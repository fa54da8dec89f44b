"""The interface of a SASL mechanism of the user's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class SaslMechanism(ABC):
    """One conversation with a broker: made for each connection, and again where its session is renewed.

    Register a subclass with `register_sasl_mechanism` and name it in `sasl_mechanism`. Its methods are called on a
    thread of their own, one after the other: they may wait.
    """

    @abstractmethod
    def __init__(self, **config: Any) -> None:
        """`config`: the client's configuration, and `host`, the broker's name as it advertises it."""

    @abstractmethod
    def auth_bytes(self) -> bytes:
        """What is to be said next."""

    @abstractmethod
    def receive(self, auth_bytes: bytes) -> Any:
        """What the broker says to it."""

    @abstractmethod
    def is_done(self) -> bool:
        """Whether nothing more is to be said."""

    @abstractmethod
    def is_authenticated(self) -> bool:
        """Whether it ended well."""

    def auth_details(self) -> str:
        """Not called by this client."""
        return "Authenticated via SASL"
