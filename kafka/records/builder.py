"""Writing record batches, one at a time."""

from __future__ import annotations

from kafka._codec import (
    ATTRIBUTE_CONTROL,
    ATTRIBUTE_LOG_APPEND_TIME,
    ATTRIBUTE_TRANSACTIONAL,
    BATCH_ATTRIBUTES,
    BATCH_CRC,
    BATCH_HEADER_SIZE,
    RecordWriter,
    batch_header,
)
from kafka.records.compression import CODECS, check_level, compress
from kafka.records.crc import crc32c


class RecordBatchBuilder(RecordWriter):
    """Gathers records with `append(timestamp, key, value, headers=None)`, then `build()` gives a v2 batch.

    `compression` is one of `kafka.records.CODECS`, `level` its level (None: the codec's default). A batch of no
    producer id has -1 for `producer_id`, `producer_epoch` and `base_sequence`.
    """

    def __init__(
        self,
        compression: str = "none",
        level: int | None = None,
        *,
        transactional: bool = False,
        control: bool = False,
        producer_id: int = -1,
        producer_epoch: int = -1,
        base_sequence: int = -1,
    ) -> None:
        self.level = check_level(compression, level)
        self.compression = compression
        self.transactional = transactional
        self.control = control
        self.producer_id = producer_id
        self.producer_epoch = producer_epoch
        self.base_sequence = base_sequence

    def build(self, base_offset: int = 0, log_append_time: int | None = None) -> bytes:
        """The batch, with its CRC. The builder is unchanged: more can be appended, and built again.

        `log_append_time` (milliseconds) makes it a batch as a broker keeps it for a topic with
        message.timestamp.type=LogAppendTime. ValueError if there are no records.
        """
        if self.count == 0:
            raise ValueError("no records have been appended to the batch")
        records = compress(self.compression, self.encoded(), self.level)
        attributes = CODECS.index(self.compression)
        if self.transactional:
            attributes |= ATTRIBUTE_TRANSACTIONAL
        if self.control:
            attributes |= ATTRIBUTE_CONTROL
        if log_append_time is not None:
            attributes |= ATTRIBUTE_LOG_APPEND_TIME
        header = batch_header(
            BATCH_HEADER_SIZE + len(records),
            base_offset,
            attributes,
            self.count - 1,
            self.base_timestamp,
            self.max_timestamp if log_append_time is None else log_append_time,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            self.count,
        )
        crc = crc32c(records, crc32c(memoryview(header)[BATCH_ATTRIBUTES:]))
        header[BATCH_CRC:BATCH_ATTRIBUTES] = crc.to_bytes(4, "big")
        return bytes(header) + records
