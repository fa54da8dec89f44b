"""What the Fetches to one broker ask for: a fetch session (KIP-227), of which each request says only what has changed.

Who is a member stays one from request to request and costs nothing while nothing is heard of it. Where the broker keeps
no session (it answers with id 0), or none is wanted, every request names all members.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kafka.core.cluster.snapshot import NO_ID
from kafka.core.consume.partition import FetchPartition
from kafka.protocol import FetchRequest
from kafka.protocol.codes import Code

NEWEST_BY_NAME = 12
DIVERGES = 12  # the first version whose answers say where the reader's log and the leader's part
# Session epochs: of a full request that asks for a session, and of one that wants none.
FULL, NONE = 0, -1
_HIGHEST = 2**31 - 1

# The session is not what the broker takes it for; a full request begins another one.
SESSION_ERRORS = frozenset(
    (
        Code.FETCH_SESSION_ID_NOT_FOUND,
        Code.INVALID_FETCH_SESSION_EPOCH,
        Code.FETCH_SESSION_TOPIC_ID_ERROR,
        Code.INCONSISTENT_TOPIC_ID,
    )
)


class Asked(NamedTuple):
    """What a request asked of a partition; an answer to anything else is of no use any more."""

    offset: int
    generation: int
    topic_id: bytes


class Session:
    def __init__(self, node: int, *, incremental: bool, partition_max_bytes: int) -> None:
        self.node = node
        self.members: dict[FetchPartition, Asked] = {}  # as they were last asked for
        self.changed: dict[FetchPartition, None] = {}  # what the next request must say
        # They came while a Fetch was under way, and could not be in it; whether another one is to be sent for them.
        self.waiting: dict[FetchPartition, bool] = {}
        self.since: float | None = None  # since when a Fetch is under way
        self.until = 0.0  # when its broker answers at the latest
        self.is_catching_up = False  # another one is, for those that waited
        self._incremental = incremental
        self._partition_max_bytes = partition_max_bytes
        self._known: set[_Key] = set()  # what the broker takes for members
        self._left: dict[_Key, None] = {}  # those of them that it is to forget
        self._id = 0
        self._ended = 0  # the one before, which a broker keeps among its few until it is told, or for minutes
        self._epoch = FULL
        self._by_id = True  # whether topics are named by their ids

    @property
    def is_in_use(self) -> bool:
        return bool(self.members or self.waiting) or self.since is not None or self.is_catching_up

    def join(self, partition: FetchPartition) -> None:
        partition.session = self
        self.members[partition] = _NOTHING
        self.changed[partition] = None

    def change(self, partition: FetchPartition) -> None:
        """It is to be asked for at another offset."""
        self.changed[partition] = None

    def leave(self, partition: FetchPartition) -> None:
        partition.session = None
        self.waiting.pop(partition, None)
        self.changed.pop(partition, None)
        asked = self.members.pop(partition, _NOTHING)
        key = self._key(partition, asked.topic_id)
        if key in self._known:
            self._left[key] = None

    def _key(self, partition: FetchPartition, topic_id: bytes) -> _Key:
        return partition.tp.topic, topic_id if self._by_id else NO_ID, partition.tp.partition

    def reset(self) -> None:
        """Whatever the broker has of it is not to be relied on: the next request begins anew, and ends the other."""
        self._ended = self._id or self._ended
        self._id = 0
        self._epoch = FULL
        self._known.clear()
        self._left.clear()

    def request(
        self, version: int, *, max_wait: float, min_bytes: int, max_bytes: int, isolation: int, rack: str
    ) -> FetchRequest:
        """The next Fetch."""
        if self._by_id != (version > NEWEST_BY_NAME):  # a broker answers with an error where they are mixed
            self._by_id = not self._by_id
            self.reset()
        is_full = self._id == 0
        if is_full:
            self._known.clear()
            self._left.clear()
            listed: Iterable[FetchPartition] = list(self.members)
        else:
            listed = self.changed
        for partition in listed:
            self.members[partition] = Asked(partition.next_offset, partition.position.generation, partition.topic_id)
            key = self._key(partition, partition.topic_id)
            self._known.add(key)
            self._left.pop(key, None)
        request = FetchRequest(
            max_wait_ms=round(max_wait * 1000),
            min_bytes=min_bytes,
            max_bytes=max_bytes,
            isolation_level=isolation,
            session_id=self._ended if is_full else self._id,
            session_epoch=self._epoch if self._incremental else NONE,
            topics=topics_of(listed, self._partition_max_bytes, version),
            forgotten_topics_data=[] if is_full else _forgotten(self._left),
            rack_id=rack,
        )
        self.changed.clear()
        self._known.difference_update(self._left)
        self._left.clear()
        return request

    def answered(self, session_id: int) -> None:
        """A Fetch was answered without an error of the session."""
        self._ended = 0
        if not self._incremental or session_id == 0:
            self.reset()
        elif session_id == self._id:
            self._epoch = self._epoch % _HIGHEST + 1
        else:
            self._id, self._epoch = session_id, 1

    def rotate(self, partition: FetchPartition) -> None:
        """It has had its turn; where the broker keeps no session, it comes last in the next request."""
        if self._id == 0:
            self.members[partition] = self.members.pop(partition)


_NOTHING = Asked(-1, -1, NO_ID)
_Key = tuple[str, bytes, int]


def topics_of(partitions: Iterable[FetchPartition], max_bytes: int, version: int) -> list[FetchRequest.FetchTopic]:
    """The partitions as a request of this version names them, in this order."""
    topics: dict[str, FetchRequest.FetchTopic] = {}
    for partition in partitions:
        name = partition.tp.topic
        topic = topics.get(name)
        if topic is None:
            topic = topics[name] = FetchRequest.FetchTopic(topic=name, topic_id=partition.topic_id, partitions=[])
        topic.partitions.append(  # type: ignore[attr-defined]
            FetchRequest.FetchPartition(
                partition=partition.tp.partition,
                current_leader_epoch=partition.leader_epoch,
                fetch_offset=partition.next_offset,
                last_fetched_epoch=partition.epoch if version >= DIVERGES else -1,
                partition_max_bytes=max_bytes,
            )
        )
    return list(topics.values())


def _forgotten(left: Iterable[_Key]) -> list[FetchRequest.ForgottenTopic]:
    topics: dict[tuple[str, bytes], FetchRequest.ForgottenTopic] = {}
    for name, topic_id, index in left:
        topic = topics.setdefault(
            (name, topic_id), FetchRequest.ForgottenTopic(topic=name, topic_id=topic_id, partitions=[])
        )
        topic.partitions.append(index)  # type: ignore[attr-defined]
    return list(topics.values())
