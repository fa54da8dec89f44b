"""Writing record batches, one at a time."""

from __future__ import annotations

from kafka._codec import RecordWriter, batch_header
from kafka.records.compression import CODECS, check_level, compress
from kafka.records.crc import crc32c

HEADER_SIZE = 61
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20


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
            attributes |= TRANSACTIONAL
        if self.control:
            attributes |= CONTROL
        if log_append_time is not None:
            attributes |= LOG_APPEND_TIME
        header = batch_header(
            HEADER_SIZE + len(records),
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
        header[17:21] = crc32c(records, crc32c(memoryview(header)[21:])).to_bytes(4, "big")
        return bytes(header) + records
