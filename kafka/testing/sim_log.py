"""A partition as the simulated brokers keep it: the model's log, on replicas that may lag, with a leader that moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kafka.protocol.codes import Code
from kafka.records.crc import crc32c
from kafka.testing.model.cluster import Partition
from kafka.testing.model.log import Batch, Log
from kafka.testing.model.producers import HEADER_SIZE, Appended, Buffer, Header, Producer, Producers, header_of
from kafka.testing.storage import MemoryStorage

if TYPE_CHECKING:
    from random import Random

_CRC_FROM = 21


def checked(data: Buffer) -> Header | None:
    """None: no batch, or a damaged one. No client may send what real brokers have a message about."""
    if len(data) < HEADER_SIZE:
        return None
    header = header_of(data)
    if header.magic != 2 or not 1 <= header.records == header.last_delta + 1 or header.length != len(data) - 12:
        return None
    if header.crc and header.crc != crc32c(memoryview(data)[_CRC_FROM:]):  # 0: a test's hand-made header
        return None
    if header.producer_id >= 0 and not (header.epoch >= 0 and header.first >= 0):
        return None
    return header


class SimPartition(Partition):
    """A partition on all its replicas: the leader's log, of which `committed` offsets are on every replica in sync.

    A new leader has all that is committed and, of the rest, what happened to have reached it.
    """

    def __init__(self, leader: int, replicas: Sequence[int] = ()) -> None:
        self._kept = MemoryStorage()
        super().__init__(Log(self._kept), replicas or (leader,))
        self.leader = leader
        self.committed = 0
        self.lost: list[Batch] = []  # what a former leader had and a new one had not
        self.restarts: dict[int, int] = {}  # broker -> the log's end when it last started
        self.aware_at = 0.0  # from when on the leader knows that it is one
        self.former: int | None = None  # a broker that still believes itself the leader, until `former_until`
        self.former_until = 0.0
        # What goes wrong with this partition, until `trouble_until`: an error code, and whether after the append.
        self.trouble = 0
        self.trouble_after_append = False
        self.trouble_until = 0.0

    @property
    def high_watermark(self) -> int:
        return self.committed

    @property
    def producers(self) -> dict[int, Producer]:
        """What its leader knows of them."""
        return self.log.producers.known

    def append(self, batch: Buffer | None, version: int = 0) -> Appended:
        header = None if batch is None else checked(batch)
        if batch is None or header is None:
            return Appended(Code.CORRUPT_MESSAGE)
        return self.log.take(header, memoryview(bytearray(batch)), self.epoch)

    def commit(self, upto: int) -> None:
        """All replicas have what is before offset `upto`."""
        self.committed = max(self.committed, upto)
        self.log.tell()

    def end_transaction(self, producer_id: int, epoch: int, committed: bool) -> None:
        self.committed = self.end + 1  # on all replicas at once, and then told of
        super().end_transaction(producer_id, epoch, committed)

    def move(self, leader: int, random: Random) -> None:
        """Another broker leads now. It may lack the newest batches, if they were not on all replicas yet."""
        log = self.log
        keep = len(log)
        while keep and log.bases[keep - 1] >= self.committed:
            keep -= 1
        keep += random.randint(0, len(log) - keep)
        self.lost += list(log)[keep:]
        self._kept.truncate(keep)
        log.truncate(keep)
        self.leader = leader
        self.epoch += 1
        self.restarts = {broker: min(end, self.end) for broker, end in self.restarts.items()}
        self._load()
        log.tell()

    def drop(self, number: int) -> None:
        """Retention or compaction takes a batch."""
        self._kept.drop(number)
        self.log.drop(number)

    def restarted(self, broker: int) -> None:
        """This broker started again: of each producer it knows the last batch only."""
        self.restarts[broker] = self.end
        if self.leader == broker:
            self._load()

    def _load(self) -> None:
        """What the present leader knows of the producers."""
        self.log.replay(self.restarts.get(self.leader, 0))

    def followed(self, random: Random) -> Producers:
        """What a follower knows of the producers: of what is committed, perhaps of more, or (out of sync) of less."""
        producers = Producers()
        upto = random.choice((self.committed, self.end, random.randint(0, self.committed)))
        for batch in self.log:
            if batch.base < upto:
                producers.learn(header_of(batch.data), batch.base, batch.data)
        return producers
