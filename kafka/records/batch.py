"""Reading record batches: the views that `read_batches` gives, format v2; `legacy` has v0 and v1."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kafka._codec import (
    ATTRIBUTE_CODEC_MASK,
    ATTRIBUTE_CONTROL,
    ATTRIBUTE_LOG_APPEND_TIME,
    ATTRIBUTE_TRANSACTIONAL,
    BATCH_ATTRIBUTES,
    BATCH_HEADER_SIZE,
    BATCH_LENGTH_END,
    BATCH_MAGIC,
    Record,
    batch_fields,
    decode_records,
)
from kafka.errors import UnsupportedCodecError
from kafka.records import legacy
from kafka.records.compression import CODECS
from kafka.records.crc import crc32c
from kafka.records.decompression import MAX_DECOMPRESSED, decompress
from kafka.records.errors import CorruptBatchError
from kafka.result import Err, Ok, Result

if TYPE_CHECKING:
    from typing_extensions import Buffer

# What every format begins with: offset, length of what follows. The magic is where it is in v2, too.
_START = struct.Struct(">qi")


class RecordBatch:
    """One batch, a view of the bytes it was read from; its records are decoded when asked for.

    For formats v0 and v1 each message is a batch of its own, a compressed set of messages too; such a set does not
    say where it begins or how much it holds, so that its `base_offset` and `count` are -1. Fields that a format does
    not have are -1 as well.

    `timestamp_type`: 0 for the producers' times, 1 for the broker's, -1 for none (v0). `size`: bytes in all;
    `position`: where they start in the bytes read.
    """

    __slots__ = (
        "attributes",
        "base_offset",
        "base_sequence",
        "base_timestamp",
        "count",
        "last_offset",
        "leader_epoch",
        "magic",
        "max_decompressed",
        "max_timestamp",
        "partition",
        "payload",
        "position",
        "producer_epoch",
        "producer_id",
        "size",
        "topic",
    )

    def __init__(
        self,
        magic: int,
        attributes: int,
        base_offset: int,
        last_offset: int,
        count: int,
        base_timestamp: int,
        max_timestamp: int,
        payload: memoryview,
        size: int,
        position: int,
        topic: str | None,
        partition: int | None,
        max_decompressed: int,
        leader_epoch: int = -1,
        producer_id: int = -1,
        producer_epoch: int = -1,
        base_sequence: int = -1,
    ) -> None:
        self.magic = magic
        self.attributes = attributes
        self.base_offset = base_offset
        self.last_offset = last_offset
        self.count = count
        self.base_timestamp = base_timestamp
        self.max_timestamp = max_timestamp
        self.payload = payload
        self.size = size
        self.position = position
        self.topic = topic
        self.partition = partition
        self.max_decompressed = max_decompressed
        self.leader_epoch = leader_epoch
        self.producer_id = producer_id
        self.producer_epoch = producer_epoch
        self.base_sequence = base_sequence

    def __repr__(self) -> str:
        return (
            f"RecordBatch(magic={self.magic}, base_offset={self.base_offset}, last_offset={self.last_offset}, "
            f"count={self.count}, compression={self.compression!r}, size={self.size})"
        )

    @property
    def compression(self) -> str:
        """The codec's name as in `CODECS`, or `unknown (5)` with the number that the attributes have."""
        number = self.attributes & ATTRIBUTE_CODEC_MASK
        return CODECS[number] if number < len(CODECS) else f"unknown ({number})"

    @property
    def timestamp_type(self) -> int:
        if self.magic == 0:
            return -1
        return 1 if self.attributes & ATTRIBUTE_LOG_APPEND_TIME else 0

    @property
    def is_transactional(self) -> bool:
        return self.magic >= 2 and bool(self.attributes & ATTRIBUTE_TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        """Whether its records are markers (of a transaction's end, of a leader's change), not data."""
        return self.magic >= 2 and bool(self.attributes & ATTRIBUTE_CONTROL)

    def records(self) -> Result[list[Record], CorruptBatchError | UnsupportedCodecError]:
        """All records, decompressed and decoded again at each call.

        UnsupportedCodecError says which package is missing.
        """
        codec = self.attributes & ATTRIBUTE_CODEC_MASK
        if codec >= len(CODECS):
            return Err(self._corrupt(f"is compressed with an unknown codec, number {codec}"))
        payload: Buffer = self.payload
        if codec:
            match decompress(self.compression, self.payload, self.max_decompressed):
                case Ok(content):
                    payload = content
                case Err(error):
                    if isinstance(error, UnsupportedCodecError):
                        return Err(error)
                    return Err(self._corrupt(f"cannot be decompressed: {error}", too_large=error.too_large))
        if self.magic < 2:
            found = legacy.records(
                self.magic,
                bool(codec),
                self.last_offset,
                self.max_timestamp,
                self.timestamp_type,
                payload,
                self.max_decompressed,
            )
            if found is None:
                return self._takes_too_much()
            return Err(self._corrupt(found)) if isinstance(found, str) else Ok(found)
        records, reason, at = decode_records(
            payload,
            self.count,
            self.base_offset,
            self.last_offset - self.base_offset,
            self.base_timestamp,
            self.max_timestamp,
            bool(self.attributes & ATTRIBUTE_LOG_APPEND_TIME),
            self.max_decompressed,
        )
        if records is None and reason is None:
            return self._takes_too_much()
        if records is None:
            return Err(self._corrupt(f"{reason} (byte {at} of its records)"))
        return Ok(records)

    def _corrupt(self, reason: str, too_large: bool = False) -> CorruptBatchError:
        offset = self.last_offset if self.base_offset < 0 else self.base_offset
        error = CorruptBatchError(reason, self.topic, self.partition, offset, self.position)
        if too_large:
            error.hint = "Read it with a larger max_decompressed, or seek past this batch."
        return error

    def _takes_too_much(self) -> Err[CorruptBatchError]:
        reason = f"has records that take more than {self.max_decompressed} bytes of memory beside their contents"
        return Err(self._corrupt(reason, too_large=True))


def read_batches(
    data: Buffer,
    *,
    check_crc: bool = True,
    max_decompressed: int = MAX_DECOMPRESSED,
    topic: str | None = None,
    partition: int | None = None,
) -> list[Result[RecordBatch, CorruptBatchError]]:
    """The batches in `data`, one behind the other as in a fetch response, a produce request or a log segment.

    Each is `Ok(batch)` or `Err(error)`, never an exception; reading goes on behind a bad one, as long as its length is
    believable. A broker cuts a fetch response where its limit falls: a last batch that is not all there is left out,
    so that bytes which hold no whole batch give an empty list. Corruption of a batch's length is not told from that.

    `check_crc`: compare the checksum (of v0 and v1, too). `max_decompressed`: bytes that a batch may decompress to, and
    as many its records may take as objects beside what they hold. `topic`, `partition`: only for the errors to name.
    The batches hold on to `data`. The CRC does not cover the base offset and the leader epoch.
    """
    view = memoryview(data).cast("B")
    found: list[Result[RecordBatch, CorruptBatchError]] = []
    at = 0
    while len(view) - at > BATCH_MAGIC:
        offset, length = _START.unpack_from(view, at)
        magic = view[at + BATCH_MAGIC]
        if length < legacy.MIN_LENGTH:
            found.append(Err(CorruptBatchError(f"has length {length}", topic, partition, offset, at)))
            break
        end = at + BATCH_LENGTH_END + length
        if end > len(view):
            break
        batch: RecordBatch | str
        if magic == 2:
            batch = _read_v2(view, at, end, offset, check_crc, topic, partition, max_decompressed)
        elif magic < 2:
            batch = _read_legacy(view, at, end, offset, check_crc, topic, partition, max_decompressed)
        else:
            batch = f"is of an unknown format, magic {magic}"
        if isinstance(batch, str):
            found.append(Err(CorruptBatchError(batch, topic, partition, offset, at)))
        else:
            found.append(Ok(batch))
        at = end
    return found


def _read_v2(
    view: memoryview,
    at: int,
    end: int,
    offset: int,
    check_crc: bool,
    topic: str | None,
    partition: int | None,
    max_decompressed: int,
) -> RecordBatch | str:
    if end - at < BATCH_HEADER_SIZE:
        return f"has {end - at} bytes, less than a batch header"
    (
        leader_epoch,
        crc,
        attributes,
        last_offset_delta,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        count,
    ) = batch_fields(view, at)
    if check_crc:
        computed = crc32c(view[at + BATCH_ATTRIBUTES : end])
        if computed != crc:
            return f"has CRC {crc:#010x} in its header, but its bytes have {computed:#010x}"
    if count < 0 or last_offset_delta < 0:
        return f"has count {count} and last offset delta {last_offset_delta}"
    if offset + last_offset_delta >= 1 << 63:
        return f"ends at offset {offset + last_offset_delta}, which does not fit 64 bits"
    return RecordBatch(
        2,
        attributes,
        offset,
        offset + last_offset_delta,
        count,
        base_timestamp,
        max_timestamp,
        view[at + BATCH_HEADER_SIZE : end],
        end - at,
        at,
        topic,
        partition,
        max_decompressed,
        leader_epoch,
        producer_id,
        producer_epoch,
        base_sequence,
    )


def _read_legacy(
    view: memoryview,
    at: int,
    end: int,
    offset: int,
    check_crc: bool,
    topic: str | None,
    partition: int | None,
    max_decompressed: int,
) -> RecordBatch | str:
    message = legacy.parse_message(view[at + BATCH_LENGTH_END : end], check_crc)
    if isinstance(message, str):
        return message
    compressed = bool(message.attributes & ATTRIBUTE_CODEC_MASK)
    payload = view[at:end]
    if compressed:
        if message.value is None:
            return "is a compressed set of messages without a value"
        payload = message.value
        if message.magic == 0 and message.attributes & ATTRIBUTE_CODEC_MASK == CODECS.index("lz4"):
            payload = legacy.mend_lz4_header(payload)
    return RecordBatch(
        message.magic,
        message.attributes,
        -1 if compressed else offset,
        offset,
        -1 if compressed else 1,
        -1 if compressed else message.timestamp,
        message.timestamp,
        payload,
        end - at,
        at,
        topic,
        partition,
        max_decompressed,
    )
