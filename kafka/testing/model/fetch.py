"""Fetch: what is there, or what comes while it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka.protocol import FetchRequest, FetchResponse
from kafka.protocol.codes import Code
from kafka.protocol.header import RequestHeader
from kafka.testing.model.world import Later

if TYPE_CHECKING:
    from kafka.testing.model.broker import Broker
    from kafka.testing.model.cluster import Partition

_BY_ID = 13  # the first version that names topics by their ids
_NAMES_LEADERS, _WITH_ADDRESSES = 12, 16  # the first versions whose refusals say who leads, and where it is


def fetch(broker: Broker, header: RequestHeader, request: FetchRequest) -> FetchResponse | Later:
    """Waits for `min_bytes` as long as `max_wait_ms`, but not if there is an error to tell.

    There are no fetch sessions: each answer says so, which makes clients name all partitions in each request.
    """
    if request.session_id != 0:
        return FetchResponse(error_code=Code.FETCH_SESSION_ID_NOT_FOUND)
    response, gathered, failed = _collect(broker, header, request)
    if failed or gathered >= request.min_bytes or request.max_wait_ms <= 0:
        return response
    return _Waiting(broker, header, request)


class _Waiting(Later):
    """A fetch that waits for bytes, an error or its time."""

    def __init__(self, broker: Broker, header: RequestHeader, request: FetchRequest) -> None:
        super().__init__(lambda: _collect(broker, header, request)[0])
        self._what = broker, header, request
        self._least = request.min_bytes
        self._logs = [entry.partition.log for entry in _partitions(*self._what) if entry.partition is not None]
        for log in self._logs:
            log.waiting.add(self._more)
        broker.cluster.world.after(request.max_wait_ms / 1000, self._finish)

    def _more(self) -> None:
        there = 0
        for entry in _partitions(*self._what):
            if entry.error:
                self._finish()
                return
            assert entry.partition is not None
            size = entry.partition.log.bytes_between(entry.wanted.fetch_offset, entry.limit)
            there += min(size, entry.wanted.partition_max_bytes)
        if there >= self._least:
            self._finish()

    def _finish(self) -> None:
        if not self.is_ready:
            for log in self._logs:
                log.waiting.discard(self._more)
            self.ready()


class _Entry:
    """One partition of a request: an error, or a log to read from `wanted.fetch_offset` up to `limit`."""

    __slots__ = ("asked", "wanted", "partition", "error", "limit")

    def __init__(self, asked: FetchRequest.FetchTopic, wanted: FetchRequest.FetchPartition) -> None:
        self.asked = asked
        self.wanted = wanted
        self.partition: Partition | None = None
        self.error = 0
        self.limit = 0


def _partitions(broker: Broker, header: RequestHeader, request: FetchRequest) -> list[_Entry]:
    found = []
    for asked in request.topics:
        by_id = header.api_version >= _BY_ID
        cluster = broker.cluster
        topic = cluster.topics_by_id.get(asked.topic_id) if by_id else cluster.topics.get(asked.topic)
        for wanted in asked.partitions:
            entry = _Entry(asked, wanted)
            found.append(entry)
            entry.partition = partition = None if topic is None else topic.get(wanted.partition)
            if partition is None:
                unknown_id = topic is None and by_id
                entry.error = Code.UNKNOWN_TOPIC_ID if unknown_id else Code.UNKNOWN_TOPIC_OR_PARTITION
                continue
            entry.error = broker.refuses(partition, wanted.current_leader_epoch)
            if not entry.error and not partition.log.start <= wanted.fetch_offset <= partition.end:
                entry.error = Code.OFFSET_OUT_OF_RANGE
            entry.limit = partition.last_stable if request.isolation_level else partition.high_watermark
    return found


def _collect(broker: Broker, header: RequestHeader, request: FetchRequest) -> tuple[FetchResponse, int, bool]:
    """(response, bytes of records in it, whether it tells of an error)."""
    answers: dict[int, FetchResponse.FetchableTopicResponse] = {}
    gathered = 0
    failed = False
    leaders: set[int] = set()
    for entry in _partitions(broker, header, request):
        asked, wanted, partition = entry.asked, entry.wanted, entry.partition
        answer = FetchResponse.PartitionData(
            partition_index=wanted.partition, error_code=entry.error, high_watermark=-1, records=b""
        )
        if not request.isolation_level:
            answer.aborted_transactions = None
        if partition is not None and not entry.error:
            log = partition.log
            answer.high_watermark, answer.last_stable_offset = partition.high_watermark, partition.last_stable
            answer.log_start_offset = log.start
            most = min(wanted.partition_max_bytes, request.max_bytes - gathered)
            answer.records = records = log.read(wanted.fetch_offset, entry.limit, most, at_least_one=not gathered)
            gathered += len(records)
            if request.isolation_level and records:
                upto = log.offset_after(wanted.fetch_offset, len(records))
                answer.aborted_transactions = [
                    FetchResponse.AbortedTransaction(producer_id=aborted.producer_id, first_offset=aborted.first)
                    for aborted in log.producers.aborted_between(wanted.fetch_offset, upto)
                ]
        elif entry.error == Code.NOT_LEADER_OR_FOLLOWER and header.api_version >= _NAMES_LEADERS:
            name = asked.topic or broker.cluster.topics_by_id[asked.topic_id].name
            if found := broker.leader_of(name, wanted.partition):
                answer.current_leader.leader_id, answer.current_leader.leader_epoch = found
                leaders.add(found[0])
        failed = failed or entry.error != 0
        topic = answers.get(id(asked))
        if topic is None:
            topic = answers[id(asked)] = FetchResponse.FetchableTopicResponse(
                topic=asked.topic, topic_id=asked.topic_id, partitions=[]
            )
        topic.partitions.append(answer)  # type: ignore[attr-defined]
    response = FetchResponse(responses=list(answers.values()))
    if leaders and header.api_version >= _WITH_ADDRESSES:
        response.node_endpoints = [
            FetchResponse.NodeEndpoint(node_id=other.id, host=other.advertised[0], port=other.advertised[1])
            for other in broker.cluster.brokers
            if other.id in leaders
        ]
    return response, gathered, failed
