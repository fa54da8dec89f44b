"""The log of one partition: what a leader checks before it appends, and what it can tell of what is there.

The checks read a batch's header and its CRC; no record is decoded. What is accepted and refused, with which error, is
what Apache Kafka 4.3 was seen to do.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from kafka.protocol.codes import Code
from kafka.records import read_batches
from kafka.records.crc import crc32c
from kafka.result import Ok
from kafka.testing.model.producers import (
    CONTROL,
    HEADER_SIZE,
    Appended,
    Buffer,
    Header,
    Producers,
    header_of,
    marker,
)

# What a leader writes into a batch, outside the CRC: base offset, and leader epoch.
_BASE_OFFSET = struct.Struct(">q")
_LEADER_EPOCH = struct.Struct(">i")
_LEADER_EPOCH_AT = 12
_CRC_START = 21
_LENGTH_END = 12
_LAST_CODEC = 4
MAX_BATCH = 1024 * 1024 + 12  # message.max.bytes of Kafka


class Storage(Protocol):
    """Batches by their number. `read`: whole batches from number `first` on, up to before number `until`, at most
    `most` bytes in all, but the first one in any case when `at_least_one` is set. OSError if it cannot be done."""

    def append(self, batch: memoryview, base: int) -> None: ...
    def read(self, first: int, most: int, at_least_one: bool, until: int | None = None) -> bytes: ...
    def close(self) -> None: ...


class Batch(NamedTuple):
    base: int  # offset of its first record
    records: int
    data: bytes


class Log:
    """Log start and end, the batches between them, and the producers that wrote them. One thread at a time.

    Iterating gives every `Batch`.
    """

    def __init__(self, storage: Storage | None) -> None:
        self.storage = storage  # None: batches are checked, counted and thrown away
        self.end = 0
        self.bases: list[int] = []  # base offset of each stored batch
        self.max_timestamps: list[int] = []
        self._ends: list[int] = []  # the offset after each, which is not the next one's where compaction was
        self._epochs: list[int] = []  # of the leader that appended it
        self._sizes: list[int] = []  # of each batch and all before it, in bytes
        self.producers = Producers()
        self.waiting: set[Callable[[], None]] = set()  # each is called when there may be more to read

    @property
    def start(self) -> int:
        return self.bases[0] if self.bases else self.end

    def __len__(self) -> int:
        return len(self.bases)

    def __iter__(self) -> Iterator[Batch]:
        for number in range(len(self.bases)):
            data = self.batch(number)
            yield Batch(self.bases[number], header_of(data).records, data)

    def batch(self, number: int) -> bytes:
        assert self.storage is not None
        return self.storage.read(number, 1, True, number + 1)

    # -- writing -------------------------------------------------------------------------------------------------------

    def append(self, batch: memoryview, version: int, leader_epoch: int = 0) -> Appended:
        """Checks `batch`, the records of one partition in a Produce request of that version, and appends it.

        The log keeps `batch` and writes its base offset and leader epoch into it. OSError if the storage cannot take
        it: nothing is remembered then, and it may come again.
        """
        size = len(batch)
        if size < HEADER_SIZE:
            return _refused(f"{size} bytes are less than the header of a record batch")
        header = header_of(batch)
        if header.magic != 2:
            return _refused(f"Produce v{version} takes batches of magic 2, not {header.magic}")
        if header.length + _LENGTH_END != size:
            return _refused(f"there must be one batch of {header.length + _LENGTH_END} bytes, not {size} bytes")
        if size > MAX_BATCH:
            return Appended(Code.MESSAGE_TOO_LARGE, message=f"the batch has {size} bytes, more than {MAX_BATCH}")
        if header.crc != crc32c(batch[_CRC_START:]):
            message = f"the CRC in the batch, {header.crc:#010x}, is not that of its bytes"
            return Appended(Code.CORRUPT_MESSAGE, message=message)
        if header.base_offset != 0:
            return _refused(f"the base offset must be 0, not {header.base_offset}")
        if header.records < 1 or header.records != header.last_delta + 1:
            return _refused(f"the batch has count {header.records} and last offset delta {header.last_delta}")
        if header.attributes & CONTROL:
            return _refused("clients must not write control records")
        if header.attributes & 7 > _LAST_CODEC:
            message = f"there is no compression codec {header.attributes & 7}"
            return Appended(Code.UNKNOWN_SERVER_ERROR, message=message)
        if header.producer_id >= 0 and header.first < 0:
            return _refused(f"the base sequence of producer {header.producer_id} is {header.first}")
        return self.take(header, batch, leader_epoch)

    def take(self, header: Header, batch: memoryview, leader_epoch: int) -> Appended:
        """Appends a batch if it is its producer's next one."""
        if header.producer_id >= 0 and (answer := self.producers.check(header)) is not None:
            return answer
        base = self.end
        self._write(header, batch, leader_epoch)
        return Appended(0, base, self.end)

    def end_transaction(self, producer_id: int, epoch: int, committed: bool, leader_epoch: int) -> None:
        """Appends the marker. The producer's batches of older epochs are refused from then on. OSError as above."""
        timestamp = self.max_timestamps[-1] if self.max_timestamps else 0
        data = memoryview(bytearray(marker(producer_id, epoch, committed, timestamp)))
        self._write(header_of(data), data, leader_epoch)

    def _write(self, header: Header, batch: memoryview, leader_epoch: int) -> None:
        base = self.end
        if self.storage is not None:
            _BASE_OFFSET.pack_into(batch, 0, base)
            _LEADER_EPOCH.pack_into(batch, _LEADER_EPOCH_AT, leader_epoch)
            self.storage.append(batch, base)  # before anything is noted: it may fail
        self._note(header, base, batch)
        self.tell()

    def _note(self, header: Header, base: int, batch: Buffer) -> None:
        if self.storage is not None:
            self.bases.append(base)
            self.max_timestamps.append(header.max_timestamp)
            self._ends.append(base + header.last_delta + 1)
            self._epochs.append(*_LEADER_EPOCH.unpack_from(batch, _LEADER_EPOCH_AT))
            self._sizes.append(len(batch) + (self._sizes[-1] if self._sizes else 0))
        self.end = base + header.last_delta + 1
        self.producers.learn(header, base, batch)

    def tell(self) -> None:
        """There may be more to read than before."""
        if self.waiting:
            for told in list(self.waiting):
                told()

    def restore(self, batch: Buffer) -> None:
        """Takes note of a batch that is in the storage already.

        As in Kafka, of what a producer wrote before a restart only its last batch is recognised.
        """
        header = header_of(batch)
        self._note(header, header.base_offset, batch)
        if header.producer_id >= 0:
            self.producers.known[header.producer_id].forget()

    def truncate(self, batches: int) -> None:
        """Only the first `batches` are left, of which the storage has no more. `replay` has to follow."""
        for known in (self.bases, self.max_timestamps, self._ends, self._epochs, self._sizes):
            del known[batches:]
        self.end = 0
        if batches:
            assert self.storage is not None
            self.end = self.bases[-1] + header_of(self.storage.read(batches - 1, 1, True)).last_delta + 1

    def drop(self, number: int) -> None:
        """The storage lets go of a batch, as retention and compaction do. What is known of producers stays."""
        size = self._sizes[number] - (self._sizes[number - 1] if number else 0)
        for known in (self.bases, self.max_timestamps, self._ends, self._epochs, self._sizes):
            del known[number]
        self._sizes[number:] = [each - size for each in self._sizes[number:]]

    def replay(self, restarted: int = 0) -> None:
        """Learns of the producers from the batches alone; those before offset `restarted`, then a restart."""
        self.producers = producers = Producers()
        for batch in self:
            if restarted and batch.base >= restarted:
                producers.forget()
                restarted = 0
            producers.learn(header_of(batch.data), batch.base, batch.data)
        if restarted:
            producers.forget()

    # -- reading -------------------------------------------------------------------------------------------------------

    def last_stable(self, upto: int) -> int:
        """The offset up to which all transactions are over, at most `upto`."""
        return min((upto, *self.producers.open.values()))

    def read(self, offset: int, upto: int, most: int, at_least_one: bool) -> bytes:
        """Whole batches from the one with `offset` on, none that begins at offset `upto` or later, at most `most`
        bytes; the first one in any case if asked."""
        if self.storage is None or not self.start <= offset < upto:
            return b""
        until = bisect_left(self.bases, upto)
        return self.storage.read(bisect_right(self._ends, offset), most, at_least_one, until)

    def bytes_between(self, offset: int, upto: int) -> int:
        """How many bytes there are to read, without limits."""
        if not self.start <= offset < upto:
            return 0
        first, until = bisect_right(self._ends, offset), bisect_left(self.bases, upto)
        return self._sizes[until - 1] - (self._sizes[first - 1] if first else 0) if until else 0

    def offset_after(self, offset: int, size: int) -> int:
        """The offset behind `size` bytes of whole batches from the one with `offset` on."""
        first = bisect_right(self._ends, offset)
        last = bisect_left(self._sizes, size + (self._sizes[first - 1] if first else 0))
        return self.bases[last + 1] if last + 1 < len(self.bases) else self.end

    def epoch_end(self, epoch: int) -> tuple[int, int]:
        """(the last leader epoch up to this one with records, or it where all are later; the end of its records)."""
        later = bisect_right(self._epochs, epoch)
        end = self.bases[later] if later < len(self.bases) else self.end
        return (self._epochs[later - 1] if later else epoch), end

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


def _refused(message: str) -> Appended:
    return Appended(Code.INVALID_RECORD, message=message)
