"""One partition that is read, as the fetch path has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka._codec import ReadPosition
from kafka.core.cluster.snapshot import NO_ID
from kafka.core.consume.states import TRANSITIONS, FetchEvent, FetchState
from kafka.structs import TopicPartition

if TYPE_CHECKING:
    from kafka.core.consume.deliveries import Failure
    from kafka.core.consume.session import Session

INFINITY = float("inf")


class FetchPartition:
    __slots__ = (
        "buffered", "catching_up", "end", "epoch", "failure", "is_agreed", "leader", "leader_epoch", "next_offset",
        "pause_until", "position", "preferred", "preferred_until", "session", "start_time", "state", "topic_id", "tp",
    )  # fmt: skip

    def __init__(self, position: ReadPosition) -> None:
        self.position = position  # shared with the reader
        self.tp: TopicPartition = position.partition
        self.state = FetchState.UNPLACED
        self.start_time = 0  # what LOOKING_UP looks for: a timestamp, or -1 for the end, -2 for the start
        self.next_offset = -1  # of the next Fetch; ahead of the reader
        self.end: float = INFINITY  # of the range that is read: nothing from there on is fetched
        self.epoch = -1  # the leader epoch of the last batch before it, -1: unknown
        self.topic_id = NO_ID
        self.leader = -1
        self.leader_epoch = -1
        self.is_agreed = False  # that the leader has what is before `next_offset`, as far as that was read
        self.preferred = -1  # the replica that the leader sends this client to (KIP-392)
        self.preferred_until = 0.0
        self.pause_until = 0.0  # after an error that may pass
        self.failure: Failure | None = None  # the last that the reader was to be told of
        self.buffered = 0  # bytes that the reader has not come to
        self.session: Session | None = None  # whose Fetches ask for it
        self.catching_up = False  # another Fetch asks for it, while that of the session waits for others

    def __repr__(self) -> str:
        return f"{self.tp.topic}[{self.tp.partition}] {self.state!r} at {self.next_offset}"

    def handle(self, event: FetchEvent) -> None:
        self.state = TRANSITIONS[self.state][event]

    def place(self, offset: int, epoch: int) -> None:
        """Go on there, whatever was fetched so far."""
        self.next_offset = offset
        self.epoch = epoch
        self.is_agreed = False
        self.handle(FetchEvent.PLACE)

    def node(self, now: float) -> int:
        """The broker to fetch from; -1: none is known."""
        return self.preferred if self.preferred >= 0 and now < self.preferred_until else self.leader
