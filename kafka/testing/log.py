"""The log of one partition: what a leader checks before it appends, and what it remembers of producers.

The checks read a batch's header and its CRC; no record is decoded. What is accepted and refused, with which error, is
what Apache Kafka 4.3 was seen to do.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from kafka.records import RecordBatch, read_batches
from kafka.records.crc import crc32c
from kafka.result import Ok
from kafka.testing.codes import Code

if TYPE_CHECKING:
    from kafka.testing.storage import Storage

# Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, base and max timestamp, producer id and
# epoch, base sequence, count.
HEADER = struct.Struct(">qiibIhiqqqhii")
# What a leader writes, outside the CRC: base offset, and leader epoch.
_BASE_OFFSET = struct.Struct(">q")
_LEADER_EPOCH = struct.Struct(">i")
_LEADER_EPOCH_AT = 12
_CRC_START = 21
_LENGTH_END = 12
_MAX_SEQUENCE = 0x7FFFFFFF
_CONTROL = 0x20
_LAST_CODEC = 4
# How many batches of a producer a partition recognises when they come again.
_REMEMBERED = 5
MAX_BATCH = 1024 * 1024 + 12  # message.max.bytes of Kafka


class _Stored(NamedTuple):
    """One batch of a producer, as far as a resend is recognised by it."""

    first_sequence: int
    last_sequence: int
    base_offset: int


class PartitionLog:
    """Log start and end, the batches between them, and the producers that wrote them. One thread at a time.

    `append` gives `(error code, base offset, error message)`.
    """

    def __init__(self, storage: Storage | None) -> None:
        self.storage = storage  # None: batches are checked, counted and thrown away
        self.end = 0
        self.leader_epoch = 0
        self.bases: list[int] = []  # base offset of each stored batch
        self.max_timestamps: list[int] = []
        self._producers: dict[int, tuple[int, deque[_Stored]]] = {}  # id -> epoch, last batches
        self.waiting: set[Callable[[int], None]] = set()  # each is told the size of a new batch

    @property
    def start(self) -> int:
        return self.bases[0] if self.bases else self.end

    @property
    def highest_producer_id(self) -> int:
        return max(self._producers, default=-1)

    def append(self, batch: memoryview, version: int) -> tuple[int, int, str | None]:
        """Checks `batch`, the records of one partition in a Produce request of that version, and appends it.

        The log keeps `batch` and writes its base offset and leader epoch into it.
        """
        size = len(batch)
        if size < HEADER.size:
            return Code.INVALID_RECORD, -1, f"{size} bytes are less than the header of a record batch"
        (
            base_offset,
            length,
            _,
            magic,
            crc,
            attributes,
            last_delta,
            _,
            max_timestamp,
            producer_id,
            epoch,
            sequence,
            count,
        ) = HEADER.unpack_from(batch)
        if magic != 2:
            return Code.INVALID_RECORD, -1, f"Produce v{version} takes batches of magic 2, not {magic}"
        if length + _LENGTH_END != size:
            return Code.INVALID_RECORD, -1, f"there must be one batch of {length + _LENGTH_END} bytes, not {size} bytes"
        if size > MAX_BATCH:
            return Code.MESSAGE_TOO_LARGE, -1, f"the batch has {size} bytes, more than {MAX_BATCH}"
        if crc != crc32c(batch[_CRC_START:]):
            return Code.CORRUPT_MESSAGE, -1, f"the CRC in the batch, {crc:#010x}, is not that of its bytes"
        if base_offset != 0:
            return Code.INVALID_RECORD, -1, f"the base offset must be 0, not {base_offset}"
        if count < 1 or count != last_delta + 1:
            return Code.INVALID_RECORD, -1, f"the batch has count {count} and last offset delta {last_delta}"
        if attributes & _CONTROL:
            return Code.INVALID_RECORD, -1, "clients must not write control records"
        if attributes & 7 > _LAST_CODEC:
            return Code.UNKNOWN_SERVER_ERROR, -1, f"there is no compression codec {attributes & 7}"
        base = self.end
        if producer_id >= 0:
            if sequence < 0:
                return Code.INVALID_RECORD, -1, f"the base sequence of producer {producer_id} is {sequence}"
            known_epoch, batches = self._producers.get(producer_id) or (epoch, deque(maxlen=_REMEMBERED))
            last_sequence = (sequence + last_delta) & _MAX_SEQUENCE
            if epoch < known_epoch:
                return Code.INVALID_PRODUCER_EPOCH, -1, f"producer {producer_id} has epoch {epoch}, after {known_epoch}"
            if epoch > known_epoch:
                if sequence != 0:
                    return Code.OUT_OF_ORDER_SEQUENCE_NUMBER, -1, f"sequence {sequence} is the first of epoch {epoch}"
                batches = deque(maxlen=_REMEMBERED)
            elif batches:
                for stored in batches:
                    if stored.first_sequence == sequence and stored.last_sequence == last_sequence:
                        return 0, stored.base_offset, None
                expected = (batches[-1].last_sequence + 1) & _MAX_SEQUENCE
                if sequence != expected:
                    return (
                        Code.OUT_OF_ORDER_SEQUENCE_NUMBER,
                        -1,
                        f"producer {producer_id} sent sequence {sequence}, {expected} is next",
                    )
            batches.append(_Stored(sequence, last_sequence, base))
            self._producers[producer_id] = (epoch, batches)
        self.end = base + count
        if self.storage is not None:
            _BASE_OFFSET.pack_into(batch, 0, base)
            _LEADER_EPOCH.pack_into(batch, _LEADER_EPOCH_AT, self.leader_epoch)
            self.storage.append(batch, base)
            self.bases.append(base)
            self.max_timestamps.append(max_timestamp)
        if self.waiting:
            for told in list(self.waiting):
                told(size)
        return 0, base, None

    def restore(self, batch: RecordBatch) -> None:
        """Takes note of a batch that is in the storage already.

        As in Kafka, of what a producer wrote before a restart only its last batch is recognised.
        """
        self.bases.append(batch.base_offset)
        self.max_timestamps.append(batch.max_timestamp)
        self.end = batch.last_offset + 1
        if batch.producer_id >= 0:
            last_sequence = (batch.base_sequence + batch.count - 1) & _MAX_SEQUENCE
            stored = _Stored(batch.base_sequence, last_sequence, batch.base_offset)
            self._producers[batch.producer_id] = (batch.producer_epoch, deque([stored], maxlen=_REMEMBERED))

    def read(self, offset: int, most: int, at_least_one: bool) -> bytes:
        """Whole batches from the one with `offset` on, at most `most` bytes; the first one in any case if asked."""
        if self.storage is None or not self.start <= offset < self.end:
            return b""
        return self.storage.read(bisect_right(self.bases, offset) - 1, most, at_least_one)

    def read_all(self) -> bytes:
        return b"" if self.storage is None else self.storage.read(0, 1 << 62, True)

    def find_time(self, timestamp: int) -> tuple[int, int]:
        """(offset, timestamp) of the first record not older than `timestamp` (ms); (-1, -1) if there is none."""
        for index, newest in enumerate(self.max_timestamps):
            if newest >= timestamp:
                for offset, found in self._times(index):
                    if found >= timestamp:
                        return offset, found
        return -1, -1

    def newest(self) -> tuple[int, int]:
        """(offset, timestamp) of the first record with the highest timestamp; (-1, -1) of an empty log."""
        if not self.max_timestamps:
            return -1, -1
        highest = max(self.max_timestamps)
        times = self._times(self.max_timestamps.index(highest))
        return next(((offset, found) for offset, found in times if found == highest), (-1, -1))

    def _times(self, index: int) -> list[tuple[int, int]]:
        assert self.storage is not None
        times = []
        for result in read_batches(self.storage.read(index, 1, True)):
            match result:
                case Ok(batch):
                    times += [(record.offset, record.timestamp) for record in batch.records().unwrap()]
        return times
