"""Objects as JSON text. None stays None, so that a record without a value (a tombstone) can be sent."""

from __future__ import annotations

from typing import Any

from kafka.serializer.abstract import Headers
from kafka.serializer.default import DefaultSerializer


class JsonSerializer(DefaultSerializer):
    """`json.dumps` on the way out, `json.loads` on the way in."""

    def serialize(self, topic: str, headers: Headers, data: Any) -> bytes | bytearray | memoryview | None:
        # json costs several milliseconds to import, and most producers never use it.
        from json import dumps

        return None if data is None else super().serialize(topic, headers, dumps(data))

    def deserialize(self, topic: str, headers: Headers, data: bytes | None) -> Any:
        from json import loads

        return None if data is None else loads(super().deserialize(topic, headers, data))
