"""Batches, and what a consumer makes of them, without a broker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kafka._codec import BATCH_LEADER_EPOCH, Fetched, ReadPosition, ReadRules
from kafka.consumer.reading import rules
from kafka.records import RecordBatchBuilder
from kafka.structs import TopicPartition

Entry = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]


def batch(entries: Sequence[Entry], *, base: int = 0, epoch: int = 0, codec: str = "none", **options: Any) -> bytes:
    builder = RecordBatchBuilder(codec, **options)
    for index, (key, value, headers) in enumerate(entries):
        builder.append(1000 + index, key, value, headers)
    data = bytearray(builder.build(base))
    data[BATCH_LEADER_EPOCH : BATCH_LEADER_EPOCH + 4] = epoch.to_bytes(4, "big", signed=True)
    return bytes(data)


def values(*items: bytes, **options: Any) -> bytes:
    return batch([(None, item, []) for item in items], **options)


class Deserializer:
    def __init__(self, function: Any) -> None:
        self.deserialize = function


def reading(**options: Any) -> ReadRules:
    found: dict[str, Any] = {"check_crc": True, "read_committed": False, **options}
    for kind in ("key_deserializer", "value_deserializer"):
        function = options.get(kind)
        found[kind] = None if function is None else Deserializer(function)
    return rules(**found)


def fetched(
    data: bytes, *, at: int = 0, aborted: Iterable[tuple[int, int]] = (), rules: ReadRules | None = None, **options: Any
) -> Fetched:
    """What a Fetch of t[0] brought, read from offset `at` on."""
    position = ReadPosition(TopicPartition("t", 0))
    position.move(at, -1)
    return Fetched(position, rules or reading(**options), data, aborted)
