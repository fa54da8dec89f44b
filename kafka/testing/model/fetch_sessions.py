"""Fetch sessions (KIP-227): the broker knows what a client reads, and each request says only what has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafka.protocol import FetchRequest
from kafka.protocol.codes import Code

if TYPE_CHECKING:
    from kafka.testing.model.cluster import Topic

BY_ID = 13  # the first version that names topics by their ids
_FULL, _NONE = 0, -1  # epochs of a request that begins a session, or wants none
_SLOTS = 1000  # max.incremental.fetch.session.cache.slots of Kafka
_HIGHEST = 2**31 - 1


@dataclass(slots=True)
class Wanted:
    """A partition that is read."""

    name: str  # "": it is not known which topic has this id
    topic_id: bytes
    by_id: bool
    asked: FetchRequest.FetchPartition
    in_session: bool = False
    told: tuple[int, int] = (-1, -1)  # high watermark and log start as the client has them

    @property
    def key(self) -> tuple[str | bytes, int]:
        return (self.topic_id if self.by_id else self.name), self.asked.partition


class FetchSession:
    def __init__(self, id: int, by_id: bool) -> None:
        self.id = id
        self.epoch = 1  # of the next request
        self.by_id = by_id
        self.wanted: dict[tuple[str | bytes, int], Wanted] = {}  # in the order in which they are read

    def rotate(self, wanted: Wanted) -> None:
        """It has given records: next time the others come first."""
        if self.wanted.get(wanted.key) is wanted:
            self.wanted[wanted.key] = self.wanted.pop(wanted.key)


@dataclass(slots=True)
class Reading:
    """What one request reads; with `changes_only` its answer leaves out what the client knows already."""

    wanted: list[Wanted]
    session: FetchSession | None = None
    changes_only: bool = False


class FetchSessions:
    """Those of a broker; they end with it."""

    def __init__(self) -> None:
        self.slots = _SLOTS
        self._sessions: dict[int, FetchSession] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def clear(self) -> None:
        self._sessions.clear()

    def begin(self, version: int, request: FetchRequest, topics: Mapping[bytes, Topic]) -> Reading | int:
        """What the request reads, or the error that is its answer. `topics`: by their ids."""
        by_id = version >= BY_ID
        listed = list(_listed(request, by_id, topics))
        if request.session_epoch in (_FULL, _NONE):
            self._sessions.pop(request.session_id, None)
            if request.session_epoch == _NONE or len(self._sessions) >= self.slots:
                return Reading(listed)
            self._last += 1
            session = self._sessions[self._last] = FetchSession(self._last, by_id)
        else:
            found = self._sessions.get(request.session_id)
            if found is None:
                return Code.FETCH_SESSION_ID_NOT_FOUND
            if found.epoch != request.session_epoch:
                return Code.INVALID_FETCH_SESSION_EPOCH
            if found.by_id != by_id:
                return Code.FETCH_SESSION_TOPIC_ID_ERROR
            session = found
            session.epoch = session.epoch % _HIGHEST + 1
        for wanted in listed:
            wanted.in_session = True
            before = session.wanted.get(wanted.key)
            if before is not None:
                before.asked = wanted.asked
            else:
                session.wanted[wanted.key] = wanted
        for topic in request.forgotten_topics_data:
            for partition in topic.partitions:
                session.wanted.pop((topic.topic_id if by_id else topic.topic, partition), None)
        if not session.wanted and request.session_epoch != _FULL:
            del self._sessions[session.id]
            return Reading([])
        return Reading(list(session.wanted.values()), session, request.session_epoch != _FULL)


def _listed(request: FetchRequest, by_id: bool, topics: Mapping[bytes, Topic]) -> Iterable[Wanted]:
    for topic in request.topics:
        name = topic.topic
        if by_id:
            known = topics.get(topic.topic_id)
            name = "" if known is None else known.name
        for asked in topic.partitions:
            yield Wanted(name, topic.topic_id, by_id, asked)
