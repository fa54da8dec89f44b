"""A partition as the simulated brokers keep it: its log, who leads it, and what is known of its producers.

As measured on brokers 3.9 to 4.3: an unknown producer's first batch is taken whatever its sequence; the last five
batches of a producer are recognised when they come again, as the same range of sequences; any other sequence but the
next is error 45; a restart forgets all but the last batch.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from kafka.records.crc import crc32c

if TYPE_CHECKING:
    from random import Random

# The header of a v2 batch: base offset, length, leader epoch, magic, crc, attributes, last offset delta, first and last
# timestamp, producer id, producer epoch, base sequence, record count.
HEADER = struct.Struct(">qiibIhiqqqhii")
_CRC_FROM = 21

CORRUPT, OUT_OF_ORDER, OLD_EPOCH = 2, 45, 47
SEQUENCES = 1 << 31
CONTROL = 0x20


class Batch(NamedTuple):
    """A batch as it came, at its place in the log."""

    base: int  # offset of its first record
    records: int
    data: bytes


class Header(NamedTuple):
    records: int
    producer_id: int  # -1: no idempotence
    epoch: int
    first: int  # sequence of the first record
    last: int


def header_of(data: bytes) -> Header | None:
    """None: no batch, or a damaged one."""
    if len(data) < HEADER.size:
        return None
    _, length, _, magic, crc, _, last_delta, _, _, pid, epoch, first, count = HEADER.unpack_from(data)
    if magic != 2 or count != last_delta + 1 or count < 1 or length != len(data) - 12:
        return None
    if crc and crc != crc32c(memoryview(data)[_CRC_FROM:]):  # 0: a test's hand-made header
        return None
    if pid >= 0 and not (epoch >= 0 and first >= 0):
        return None
    return Header(count, pid, epoch, first, (first + last_delta) % SEQUENCES)


def is_compressed(data: bytes) -> bool:
    return len(data) >= HEADER.size and data[22] & 7 != 0


class ProducerState:
    """What a partition's leader remembers of one producer."""

    __slots__ = ("epoch", "last", "batches")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.last = -1
        self.batches: deque[tuple[int, int, int]] = deque(maxlen=5)  # (first sequence, last sequence, base offset)

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


class Appended(NamedTuple):
    """What became of a batch: error code, base offset (-1: not in the log), and the log's end once it is replicated."""

    error: int
    base: int = -1
    end: int = -1
    duplicate: bool = False


class SimPartition:
    """A partition on all its replicas: the leader's log, of which `committed` offsets are on every replica in sync.

    A new leader has all that is committed and, of the rest, what happened to have reached it.
    """

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.epoch = 0
        self.log: list[Batch] = []
        self.end = 0
        self.committed = 0
        self.lost: list[Batch] = []  # what a former leader had and a new one had not
        self.producers: dict[int, ProducerState] = {}
        self.restarts: dict[int, int] = {}  # broker -> the log's end when it last started
        self.aware_at = 0.0  # from when on the leader knows that it is one
        self.former: int | None = None  # a broker that still believes itself the leader, until `former_until`
        self.former_until = 0.0
        # What goes wrong with this partition, until `trouble_until`: an error code, and whether after the append.
        self.trouble = 0
        self.trouble_after_append = False
        self.trouble_until = 0.0

    def append(self, data: bytes) -> Appended:
        header = header_of(data)
        if header is None:
            return Appended(CORRUPT)
        state = None
        if header.producer_id >= 0:
            state = self.producers.get(header.producer_id)
            if state is None:
                state = self.producers[header.producer_id] = ProducerState(header.epoch)
            elif header.epoch < state.epoch:
                return Appended(OLD_EPOCH)
            elif header.epoch > state.epoch:
                if header.first != 0:
                    return Appended(OUT_OF_ORDER)
            else:
                for first, last, base in state.batches:
                    if first == header.first and last == header.last:
                        return Appended(0, base, base + header.records, duplicate=True)
                if header.first != (state.last + 1) % SEQUENCES:
                    return Appended(OUT_OF_ORDER)
        base = self.end
        self.log.append(Batch(base, header.records, data))
        self.end += header.records
        if state is not None:
            state.add(header, base)
        return Appended(0, base, self.end)

    def move(self, leader: int, random: Random) -> None:
        """Another broker leads now. It may lack the newest batches, if they were not on all replicas yet."""
        keep = len(self.log)
        while keep and self.log[keep - 1].base >= self.committed:
            keep -= 1
        keep += random.randint(0, len(self.log) - keep)
        self.lost += self.log[keep:]
        del self.log[keep:]
        self.end = self.log[-1].base + self.log[-1].records if self.log else 0
        self.leader = leader
        self.epoch += 1
        self.restarts = {broker: min(end, self.end) for broker, end in self.restarts.items()}
        self.load()

    def restarted(self, broker: int) -> None:
        """This broker started anew: of each producer it knows the last batch only."""
        self.restarts[broker] = self.end
        if self.leader == broker:
            self.load()

    def load(self) -> None:
        """What the present leader knows of the producers."""
        self.producers = {}
        forgotten = self.restarts.get(self.leader, 0)
        for batch in self.log:
            if forgotten and batch.base >= forgotten:
                self._forget()
                forgotten = 0
            _add(self.producers, batch)
        if forgotten:
            self._forget()

    def _forget(self) -> None:
        for state in self.producers.values():
            state.forget()

    def followed(self, random: Random) -> dict[int, ProducerState]:
        """What a follower knows of the producers: of what is committed, perhaps of more, or (out of sync) of less."""
        producers: dict[int, ProducerState] = {}
        upto = random.choice((self.committed, self.end, random.randint(0, self.committed)))
        for batch in self.log:
            if batch.base < upto:
                _add(producers, batch)
        return producers


def _add(producers: dict[int, ProducerState], batch: Batch) -> None:
    _, _, _, _, _, attributes, last_delta, _, _, pid, epoch, first, count = HEADER.unpack_from(batch.data)
    if pid >= 0:
        state = producers.get(pid)
        if state is None:
            state = producers[pid] = ProducerState(epoch)
        if attributes & CONTROL:  # the end of a transaction, which has no number
            state.raise_epoch(epoch)
            return
        state.add(Header(count, pid, epoch, first, (first + last_delta) % SEQUENCES), batch.base)
