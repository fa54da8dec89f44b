"""The two interfaces a user's own serializer implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

Headers = list[tuple[str, bytes]]


class Serializer(ABC):
    """Makes bytes of a key or value, as `key_serializer=` or `value_serializer=` of a producer."""

    @abstractmethod
    def serialize(self, topic: str, headers: Headers, data: Any) -> bytes | bytearray | memoryview | None:
        """The bytes to send for `data`, or None for a record without key or value.

        `headers` is the record's own list: what is appended to it is sent with the record.
        """

    def close(self) -> None:  # noqa: B027 - nothing to do unless a subclass says so
        """Called once, when the producer closes."""


class Deserializer(ABC):
    """Makes an object of a record's key or value, as `key_deserializer=` or `value_deserializer=` of a consumer."""

    @abstractmethod
    def deserialize(self, topic: str, headers: Headers, data: bytes) -> Any:
        """The object that `data` stands for; `data` is None where the record has no key or value."""

    def close(self) -> None:  # noqa: B027 - nothing to do unless a subclass says so
        """Called once, when the consumer closes."""
