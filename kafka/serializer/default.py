"""Text as bytes in one encoding."""

from __future__ import annotations

from typing import Any

from kafka.serializer.abstract import Deserializer, Headers, Serializer


class DefaultSerializer(Serializer, Deserializer):
    """Encodes `str`; lets bytes, bytearray, memoryview and None through as they are."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.encoding = encoding

    def serialize(self, topic: str, headers: Headers, data: Any) -> bytes | bytearray | memoryview | None:
        if data is None or isinstance(data, (bytes, bytearray, memoryview)):
            return data
        return data.encode(self.encoding)  # type: ignore[no-any-return]

    def deserialize(self, topic: str, headers: Headers, data: bytes | None) -> Any:
        return None if data is None else bytes(data).decode(self.encoding)
