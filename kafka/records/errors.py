"""What is wrong with record batches, as values."""

from __future__ import annotations

from kafka.errors import CorruptRecordError


class CorruptBatchError(CorruptRecordError):
    """A record batch that cannot be read: its checksum, its form, or what its compression holds.

    `reason`: what is wrong. `topic`, `partition`: where the caller said that the bytes come from, else None. `offset`:
    the batch's base offset as its header gives it, None where not even that is there. `position`: where the batch
    starts in the bytes that were given. It is retriable because the bytes may have suffered on the way; where a second
    fetch brings the same, reading on means seeking past the batch.
    """

    hint = "Fetch it again; if it stays, the log on the broker is damaged: seek past this batch to read on."

    def __init__(
        self,
        reason: str,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
        position: int | None = None,
    ) -> None:
        super().__init__(reason, topic, partition, offset, position)
        self.reason = reason
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.position = position

    def _sentence(self) -> str:
        where = f" of {self.topic}[{'?' if self.partition is None else self.partition}]" if self.topic else ""
        offset = "" if self.offset is None else f" at offset {self.offset}"
        position = "" if self.position is None else f" (byte {self.position})"
        return f"The record batch{where}{offset}{position} {self.reason}"


class DecompressionError(CorruptRecordError):
    """Compressed bytes that are broken, or that hold more than the `limit` of bytes that was set.

    `too_large`: whether nothing is wrong with them but that.
    """

    def __init__(self, codec: str, limit: int, reason: str, too_large: bool = False) -> None:
        super().__init__(codec, limit, reason, too_large)
        self.codec = codec
        self.limit = limit
        self.reason = reason
        self.too_large = too_large

    def _sentence(self) -> str:
        return f"{self.codec} data does not decompress into at most {self.limit} bytes: {self.reason}"
