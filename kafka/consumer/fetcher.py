"""What a consumer hands out."""

from __future__ import annotations

from typing import Any, NamedTuple


class ConsumerRecord(NamedTuple):
    """One record as read.

    `timestamp` is in ms since 1970 UTC; `timestamp_type` is 0 where the producer set it, 1 where the broker did.
    `key` and `value` are as the deserializers returned them. `checksum` is always None: records have none since
    Kafka 0.11. The sizes are in bytes, -1 where there is no key, value or header.
    """

    topic: str
    partition: int
    leader_epoch: int | None
    offset: int
    timestamp: int
    timestamp_type: int
    key: Any
    value: Any
    headers: list[tuple[str, bytes | None]]
    checksum: None
    serialized_key_size: int
    serialized_value_size: int
    serialized_header_size: int
