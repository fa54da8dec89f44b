"""What the produce path knows of a topic and of a partition: batches on their way, and their numbers.

A batch that was taken from the accumulator is `outstanding` in its partition until its outcome is known: in flight, or
waiting to be sent (again). Its notes:

`sequence`   the number of its first record under the partition's producer id and epoch; never wraps here, only on the
             wire. With `records` it is what brokers recognise a batch by, so it never changes once the batch may be in
             a log.
`stamped`    whether it carries that number; not before its first sending, and not after numbering started again.
`in_flight`  whether a request with it is unanswered.
`doubtful`   whether it may be in the log: a request with it was lost, or its answer left that open. A batch that is not
             doubtful was never sent or refused each time.
`provable`   whether a later batch's success would show that a doubtful one is in the log: not after it was refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka.core.cluster.snapshot import NO_ID
from kafka.errors import KafkaError

if TYPE_CHECKING:
    from kafka._codec import Batch, Queue
    from kafka.core.timers import Timer

# How many of a producer's batches a leader recognises when they come again.
MOST_IN_FLIGHT = 5
# Sequence numbers on the wire wrap to 0 here.
SEQUENCES = 1 << 31


class SentOn(NamedTuple):
    """What a success proves to work: all of it must be the same for more than one batch to be in flight."""

    connection: int
    leader_epoch: int
    producer_id: int
    epoch: int


class Partition:
    """One partition's part of the path; it keeps its batches when its leader moves."""

    __slots__ = (
        "topic", "index", "leader", "leader_epoch", "queue", "outstanding", "in_flight", "sent_on", "proven", "listed",
        "not_before", "failures", "last_error", "timer", "taken_bytes", "entry", "away", "producer_id", "epoch",
        "next_sequence", "broken", "asking", "confirm", "former", "gap", "suspect", "hangups",
    )  # fmt: skip

    def __init__(self, topic: Topic, index: int) -> None:
        self.topic = topic
        self.index = index
        self.leader = -1
        self.leader_epoch = -1
        self.queue: Queue | None = None  # the accumulator's, while it may have something to send
        self.outstanding: deque[Batch] = deque()  # in the order of their numbers
        self.in_flight = 0  # of them
        self.sent_on: SentOn | None = None  # those in flight
        self.proven: SentOn | None = None  # since the last failure
        self.listed = False  # in its leader's list of partitions with work
        self.not_before = 0.0  # backoff
        self.failures = 0  # in a row
        self.last_error: KafkaError | None = None
        self.timer: Timer | None = None  # of the backoff, and of the waiting batches' time limits
        # For the choice of a partition for keyless batches.
        self.taken_bytes = 0
        self.entry = 0  # its valid entry in the topic's heaps, the others are stale
        self.away = False  # it could not take its share for a while
        # Its numbering.
        self.producer_id = -1
        self.epoch = -1
        self.next_sequence = 0
        self.broken = False  # a number will never come: nothing new may follow until numbering starts again
        self.asking: object | None = None  # its leader is being asked for the last number it has: the question
        self.confirm: Batch | None = None  # to be sent before the others: the last that the leader has
        self.former: set[Batch] = set()  # those in flight to a topic of this name that is no more
        self.gap = False  # its log may lack a number before the last one
        # The batch that is perhaps too large for its broker, and how often that hung up on it.
        self.suspect: Batch | None = None
        self.hangups = 0

    def __repr__(self) -> str:
        return f"{self.topic.name}[{self.index}]"

    @property
    def waiting(self) -> int:
        """How many of the outstanding batches are to be sent."""
        return len(self.outstanding) - self.in_flight

    def let_go(self) -> None:
        """Nothing is sent any more: keep no batch, whose memory somebody may wait for."""
        self.queue = self.confirm = None
        self.outstanding.clear()
        self.former.clear()

    def may_send(self, link: SentOn, most: int) -> bool:
        """Whether one more batch may be in flight on this link.

        One, until something has succeeded on it: of two that come to a leader which knows nothing of the producer yet,
        the second might be taken and the first refused (KAFKA-15591). And what another link still has comes first.
        """
        if self.asking is not None:
            return False
        if self.in_flight == 0:
            return True
        return self.in_flight < most and self.sent_on == link and self.proven == link

    def next_waiting(self) -> Batch | None:
        """The outstanding batch to send next; None where there is none that may be."""
        if self.confirm is not None:
            return None if self.confirm.in_flight else self.confirm
        for batch in self.outstanding:
            # When numbering has to start again, what may be in the log is settled first, under its old number.
            if not batch.in_flight and (batch.doubtful or not self.broken):
                return batch
        return None

    def restart_numbering(self, producer_id: int, epoch: int) -> None:
        """Nothing of this partition may be in the log under the numbers given so far, but for what was acknowledged."""
        assert self.in_flight == 0
        self.producer_id, self.epoch = producer_id, epoch
        self.next_sequence = 0
        self.broken = self.gap = False
        self.proven = self.confirm = None
        for batch in self.outstanding:
            assert not batch.doubtful
            batch.stamped = False
            batch.sequence = self.next_sequence
            self.next_sequence += batch.records


class Topic:
    """A topic, and for its keyless batches the partitions that could take one, by leader, least busy first."""

    __slots__ = (
        "name",
        "id",
        "named",
        "partitions",
        "known",
        "waiters",
        "unbound",
        "leaders",
        "free",
        "floor",
        "rotation",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = NO_ID
        self.named = False  # requests have given its name, not its id
        self.partitions: list[Partition] = []
        self.known: Any = None  # the partitions of the snapshot they were last taken from
        # (how many partitions must be known, whom to tell)
        self.waiters: list[tuple[int, Callable[[KafkaError | None], None]]] = []
        self.unbound: Queue | None = None  # the accumulator's, while it may have something to send
        self.leaders: frozenset[int] = frozenset()  # of all its partitions
        # By leader, heaps of (in flight, bytes taken, turn, partition's index); None until a keyless batch came.
        self.free: dict[int, list[tuple[int, int, int, int]]] | None = None
        self.floor = 0  # the bytes that the last chosen partition had taken
        self.rotation = 0

    def offer(self, partition: Partition) -> None:
        """This partition could take a keyless batch, as busy as it is now."""
        if self.free is None or partition.leader < 0:
            return
        if partition.away:
            # It would otherwise get everything until its bytes had caught up with the others'.
            partition.away = False
            partition.taken_bytes = max(partition.taken_bytes, self.floor)
        self.rotation += 1
        partition.entry = self.rotation
        heap = self.free.setdefault(partition.leader, [])
        heappush(heap, (partition.in_flight, partition.taken_bytes, self.rotation, partition.index))
        if len(heap) > 64 and len(heap) > 4 * len(self.partitions):
            heap[:] = [entry for entry in heap if self.partitions[entry[3]].entry == entry[2]]
            heapify(heap)

    def least_busy(self, leader: int) -> tuple[int, int, int, int] | None:
        """The best entry among this leader's partitions."""
        heap = self.free.get(leader) if self.free is not None else None
        while heap:
            best = heap[0]
            partition = self.partitions[best[3]]
            if partition.entry == best[2] and partition.leader == leader:
                return best
            heappop(heap)
        return None

    def take(self, entry: tuple[int, int, int, int]) -> Partition:
        """The partition of this entry, which is offered no longer."""
        partition = self.partitions[entry[3]]
        partition.entry = 0
        self.floor = partition.taken_bytes
        return partition
