"""What the batches of a log tell of the producers that wrote them: numbers, epochs, transactions.

As measured on brokers 3.9 to 4.3: an unknown producer's first batch is taken whatever its sequence; the last five
batches of a producer are recognised when they come again, as the same range of sequences; any other sequence but the
next is error 45; a restart forgets all but the last batch.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import deque
from typing import NamedTuple

from kafka.protocol.codes import Code
from kafka.records import RecordBatchBuilder, read_batches

Buffer = bytes | bytearray | memoryview

SEQUENCES = 1 << 31
TRANSACTIONAL, CONTROL = 0x10, 0x20
_HEADER = struct.Struct(">qiibIhiqqqhii")
_MARKER = struct.Struct(">hh")  # the key of a control record: version, and 0 (aborted) or 1 (committed)
_REMEMBERED = 5  # batches of a producer that are recognised when they come again


class Header(NamedTuple):
    """The header of a v2 batch."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int  # -1: no idempotence
    epoch: int
    first: int  # sequence of the first record
    records: int

    @property
    def last(self) -> int:
        """The sequence of the last record."""
        return (self.first + self.last_delta) % SEQUENCES


HEADER_SIZE = _HEADER.size
_LOW_ATTRIBUTES_AT = 22


def codec_of(batch: Buffer) -> int:
    """The number of the codec that a batch is compressed with; 0: none, or no batch."""
    return batch[_LOW_ATTRIBUTES_AT] & 7 if len(batch) >= HEADER_SIZE else 0


def is_transactional(batch: Buffer) -> bool:
    return len(batch) >= HEADER_SIZE and batch[_LOW_ATTRIBUTES_AT] & TRANSACTIONAL != 0


def header_of(batch: Buffer) -> Header:
    """Of at least `HEADER_SIZE` bytes."""
    return Header._make(_HEADER.unpack_from(batch))


class Appended(NamedTuple):
    """What became of a batch: error code, base offset (-1: not in the log), and the log's end once it is replicated."""

    error: int
    base: int = -1
    end: int = -1
    duplicate: bool = False
    message: str | None = None
    refused: tuple[tuple[int, str], ...] = ()  # records by their place in the batch, and why (KIP-467)


class Producer:
    """What a partition's leader remembers of one producer."""

    __slots__ = ("epoch", "last", "batches")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.last = -1
        self.batches: deque[tuple[int, int, int]] = deque(maxlen=_REMEMBERED)  # first, last sequence, base offset

    def check(self, header: Header) -> Appended | None:
        """None: the batch is the next one."""
        if header.epoch < self.epoch:
            message = f"producer {header.producer_id} has epoch {header.epoch}, after {self.epoch}"
            return Appended(Code.INVALID_PRODUCER_EPOCH, message=message)
        expected = 0
        if header.epoch == self.epoch:
            for first, last, base in self.batches:
                if first == header.first and last == header.last:
                    return Appended(0, base, base + header.records, duplicate=True)
            expected = (self.last + 1) % SEQUENCES
        if header.first != expected:
            message = f"producer {header.producer_id} sent sequence {header.first}, {expected} is next"
            return Appended(Code.OUT_OF_ORDER_SEQUENCE_NUMBER, message=message)
        return None

    def add(self, header: Header, base: int) -> None:
        if header.epoch != self.epoch:
            self.epoch = header.epoch
            self.batches.clear()
        self.last = header.last
        self.batches.append((header.first, header.last, base))

    def raise_epoch(self, epoch: int) -> None:
        if epoch > self.epoch:
            self.epoch = epoch
            self.last = -1
            self.batches.clear()

    def forget(self) -> None:
        while len(self.batches) > 1:
            self.batches.popleft()


class Aborted(NamedTuple):
    producer_id: int
    first: int  # offset of its first record in this log
    last: int  # of its marker


class Producers:
    """`learn` is told of each batch in the order of offsets."""

    def __init__(self) -> None:
        self.known: dict[int, Producer] = {}
        self.open: dict[int, int] = {}  # producer id -> first offset of its open transaction
        self.aborted: list[Aborted] = []  # in the order in which they ended

    def check(self, header: Header) -> Appended | None:
        """What a batch with that header is answered; None: it is to be appended."""
        if header.producer_id in self.open and not header.attributes & TRANSACTIONAL:
            return Appended(Code.INVALID_TXN_STATE, message="a batch outside of its producer's open transaction")
        producer = self.known.get(header.producer_id)
        return None if producer is None else producer.check(header)

    def learn(self, header: Header, base: int, batch: Buffer) -> None:
        if header.producer_id < 0:
            return
        producer = self.known.get(header.producer_id)
        if producer is None:
            producer = self.known[header.producer_id] = Producer(header.epoch)
        if header.attributes & CONTROL:  # the end of a transaction, which has no number
            producer.raise_epoch(header.epoch)
            first = self.open.pop(header.producer_id, None)
            if first is not None and not is_committed(batch):
                self.aborted.append(Aborted(header.producer_id, first, base))
            return
        producer.add(header, base)
        if header.attributes & TRANSACTIONAL:
            self.open.setdefault(header.producer_id, base)

    def is_open(self, producer_id: int, epoch: int) -> bool:
        """Whether the log has part of a transaction that this producer has not ended."""
        return producer_id in self.open and self.known[producer_id].epoch == epoch

    def aborted_between(self, start: int, end: int) -> list[Aborted]:
        """The transactions that were aborted and may have records from offset `start` to before `end`."""
        late = self.aborted[bisect_left(self.aborted, start, key=lambda entry: entry.last) :]
        return [entry for entry in late if entry.first < end]

    def forget(self) -> None:
        """A restart: of each producer the last batch is remembered."""
        for producer in self.known.values():
            producer.forget()


def marker(producer_id: int, epoch: int, committed: bool, timestamp: int) -> bytes:
    """The control batch that ends a transaction in one partition."""
    builder = RecordBatchBuilder(transactional=True, control=True, producer_id=producer_id, producer_epoch=epoch)
    builder.append(timestamp, _MARKER.pack(0, committed), struct.pack(">hi", 0, 0))
    return builder.build()


def is_committed(batch: Buffer) -> bool:
    (control,) = read_batches(batch)
    outcome: int = _MARKER.unpack(control.unwrap().records().unwrap()[0].key or b"")[1]
    return outcome == 1
