"""Objects as JSON text. None stays None, so that a record without a value (a tombstone) can be sent."""

from __future__ import annotations

from typing import Any

from kafka._codec import plain_json
from kafka.serializer.abstract import Headers, Serializer
from kafka.serializer.default import DefaultSerializer


class JsonSerializer(DefaultSerializer):
    """`json.dumps` on the way out, `json.loads` on the way in: the bytes are those of kafka-python's JsonSerializer."""

    def serialize(self, topic: str, headers: Headers, data: Any) -> bytes | bytearray | memoryview | None:
        if data is None:
            return None
        if self.encoding == "utf-8" and (plain := plain_json(data, compact=False)) is not None:
            return plain
        # json costs several milliseconds to import, and most producers never use it.
        from json import dumps

        return super().serialize(topic, headers, dumps(data))

    def deserialize(self, topic: str, headers: Headers, data: bytes | None) -> Any:
        from json import loads

        return None if data is None else loads(super().deserialize(topic, headers, data))


class CompactJsonSerializer(Serializer):
    """What `value_serializer="json"` is: JSON in UTF-8 without spaces.

    The bytes of an object are those of `json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()`, always:
    an object that is a key goes to the same partition from everywhere. Raises what that raises: TypeError for an
    object that JSON has nothing for, ValueError for one that contains itself or half a surrogate pair.
    """

    def serialize(self, topic: str, headers: Headers, data: Any) -> bytes | None:
        if data is None:
            return None
        if (plain := plain_json(data, compact=True)) is not None:
            return plain
        from json import dumps

        return dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
