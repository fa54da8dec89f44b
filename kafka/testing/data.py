"""Produce, Fetch and ListOffsets: one handler per API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kafka.protocol import (
    FetchRequest,
    FetchResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ProduceRequest,
    ProduceResponse,
)
from kafka.protocol.header import RequestHeader
from kafka.testing.codes import Code
from kafka.testing.connection import Hangup, Later

if TYPE_CHECKING:
    from kafka.testing.log import PartitionLog
    from kafka.testing.node import Node
    from kafka.testing.topics import Partition, Topic

_NO_ID = bytes(16)
_ZSTD, _ZSTD_SINCE = 4, 7  # codec number; the first version of Produce that may carry it
_CODEC_AT = 22  # the low bits of the attributes of a batch
# The timestamps of ListOffsets that are none.
_LATEST, _EARLIEST, _NEWEST, _EARLIEST_LOCAL, _LATEST_TIERED, _EARLIEST_PENDING = -1, -2, -3, -4, -5, -6


def _find(node: Node, topic: Topic | None, index: int) -> tuple[int, Partition | None]:
    """(error code, partition): an error unless there is such a partition and this node leads it."""
    partition = topic[index] if topic is not None else None
    if partition is None:
        return Code.UNKNOWN_TOPIC_OR_PARTITION, None
    return (0 if partition.leader == node.id else Code.NOT_LEADER_OR_FOLLOWER), partition


# -- Produce ---------------------------------------------------------------------------------------------------------


def produce(node: Node, header: RequestHeader, request: ProduceRequest) -> ProduceResponse | None:
    cluster = node.cluster
    version = header.api_version
    # What names a partition twice is answered once: Kafka goes through a request into a map, where the last one stays.
    asked: dict[str | bytes, dict[int, memoryview | None]] = {}
    for given in request.topic_data:
        batches = asked.setdefault(given.name if version < 13 else given.topic_id, {})
        for partition_data in given.partition_data:
            batches[partition_data.index] = partition_data.records  # type: ignore[assignment]
    responses = []
    failed = False
    leaders: set[int] = set()
    for key, batches in asked.items():
        if isinstance(key, str):
            topic = cluster.topics.get(key)
        else:
            topic = cluster.topics_by_id.get(key)
        answers = []
        for index, batch in batches.items():
            error, partition = _find(node, topic, index)
            if topic is None and isinstance(key, bytes):
                error = Code.UNKNOWN_TOPIC_ID
            if request.acks not in (-1, 0, 1):
                error = Code.INVALID_REQUIRED_ACKS
            base, message = -1, None
            if partition is not None and not error:
                error, base, message = _append(partition.log, batch, version)
            answer = ProduceResponse.PartitionProduceResponse(
                index=index,
                error_code=error,
                base_offset=base,
                log_start_offset=-1 if partition is None or error else partition.log.start,
                error_message=message,
            )
            if error:
                failed = True
                if error == Code.NOT_LEADER_OR_FOLLOWER and partition is not None and version >= 10:
                    answer.current_leader.leader_id = partition.leader
                    answer.current_leader.leader_epoch = partition.log.leader_epoch
                    leaders.add(partition.leader)
            answers.append(answer)
        named = {"name": key} if isinstance(key, str) else {"topic_id": key}
        responses.append(ProduceResponse.TopicProduceResponse(**named, partition_responses=answers))
    if request.acks == 0:
        if failed:  # the only way to tell such a client that it should look for the leaders again
            raise Hangup("a Produce request with acks=0 failed")
        return None
    response = ProduceResponse(responses=responses)
    if leaders:
        response.node_endpoints = [
            ProduceResponse.NodeEndpoint(node_id=other.id, host=other.host, port=other.port)
            for other in cluster.nodes
            if other.id in leaders
        ]
    return response


def _append(log: PartitionLog, batch: memoryview | None, version: int) -> tuple[int, int, str | None]:
    """(error code, base offset, error message)."""
    if not batch:  # of null records, Kafka says nothing at all: it fails inside, and the client waits
        return Code.INVALID_RECORD, -1, "a partition's records must be exactly one record batch"
    if version < _ZSTD_SINCE and len(batch) > _CODEC_AT and batch[_CODEC_AT] & 7 == _ZSTD:
        return Code.UNSUPPORTED_COMPRESSION_TYPE, -1, f"Produce v{version} cannot carry zstd"
    return log.append(batch, version)


# -- Fetch -----------------------------------------------------------------------------------------------------------


def fetch(node: Node, header: RequestHeader, request: FetchRequest) -> FetchResponse | Later:
    """Waits for `min_bytes` as long as `max_wait_ms`, but not if there is an error to tell.

    There are no fetch sessions: each answer says so, which makes clients name all partitions in each request.
    """
    if request.session_id != 0:
        return FetchResponse(error_code=Code.FETCH_SESSION_ID_NOT_FOUND)
    response, gathered, failed = _collect(node, header, request)
    if failed or gathered >= request.min_bytes or request.max_wait_ms <= 0:
        return response
    return _Waiting(node, header, request, request.min_bytes - gathered)


class _Waiting(Later):
    """A fetch that waits for bytes or its time."""

    def __init__(self, node: Node, header: RequestHeader, request: FetchRequest, missing: int) -> None:
        super().__init__()
        self._what = node, header, request
        self._missing = missing
        self._logs = [partition.log for _, _, _, partition in _partitions(*self._what) if partition is not None]
        for log in self._logs:
            log.waiting.add(self._on_append)
        self._timer = asyncio.get_running_loop().call_later(request.max_wait_ms / 1000, self._finish)

    def _on_append(self, size: int) -> None:
        self._missing -= size
        if self._missing <= 0:
            self._finish()

    def _finish(self) -> None:
        self._timer.cancel()
        for log in self._logs:
            log.waiting.discard(self._on_append)
        self.resolve(_collect(*self._what)[0])


def _partitions(
    node: Node, header: RequestHeader, request: FetchRequest
) -> list[tuple[FetchRequest.FetchTopic, FetchRequest.FetchPartition, int, Partition | None]]:
    found = []
    by_id = header.api_version >= 13
    for asked in request.topics:
        topic = node.cluster.topics_by_id.get(asked.topic_id) if by_id else node.cluster.topics.get(asked.topic)
        for wanted in asked.partitions:
            error, partition = _find(node, topic, wanted.partition)
            if topic is None and by_id:
                error = Code.UNKNOWN_TOPIC_ID
            if partition is not None and not error and wanted.current_leader_epoch >= 0:
                epoch = partition.log.leader_epoch
                if wanted.current_leader_epoch < epoch:
                    error = Code.FENCED_LEADER_EPOCH
                elif wanted.current_leader_epoch > epoch:
                    error = Code.UNKNOWN_LEADER_EPOCH
            found.append((asked, wanted, error, partition))
    return found


def _collect(node: Node, header: RequestHeader, request: FetchRequest) -> tuple[FetchResponse, int, bool]:
    """(response, bytes of records in it, whether it tells of an error)."""
    answers: dict[int, FetchResponse.FetchableTopicResponse] = {}
    gathered = 0
    failed = False
    leaders: set[int] = set()
    for asked, wanted, error, partition in _partitions(node, header, request):
        answer = FetchResponse.PartitionData(
            partition_index=wanted.partition, error_code=error, high_watermark=-1, records=b""
        )
        if partition is not None and not error:
            log = partition.log
            answer.high_watermark = answer.last_stable_offset = log.end
            answer.log_start_offset = log.start
            if request.isolation_level == 0:
                answer.aborted_transactions = None
            if not log.start <= wanted.fetch_offset <= log.end:
                answer.error_code = Code.OFFSET_OUT_OF_RANGE
                answer.high_watermark = answer.last_stable_offset = answer.log_start_offset = -1
            else:
                most = min(wanted.partition_max_bytes, request.max_bytes - gathered)
                answer.records = records = log.read(wanted.fetch_offset, most, at_least_one=not gathered)
                gathered += len(records)
        elif error == Code.NOT_LEADER_OR_FOLLOWER and partition is not None and header.api_version >= 12:
            answer.current_leader.leader_id = partition.leader
            answer.current_leader.leader_epoch = partition.log.leader_epoch
            leaders.add(partition.leader)
        failed = failed or answer.error_code != 0
        topic = answers.get(id(asked))
        if topic is None:
            topic = answers[id(asked)] = FetchResponse.FetchableTopicResponse(
                topic=asked.topic, topic_id=asked.topic_id, partitions=[]
            )
        topic.partitions.append(answer)  # type: ignore[attr-defined]
    response = FetchResponse(responses=list(answers.values()))
    if leaders and header.api_version >= 16:
        response.node_endpoints = [
            FetchResponse.NodeEndpoint(node_id=other.id, host=other.host, port=other.port)
            for other in node.cluster.nodes
            if other.id in leaders
        ]
    return response, gathered, failed


# -- ListOffsets -----------------------------------------------------------------------------------------------------


def list_offsets(node: Node, header: RequestHeader, request: ListOffsetsRequest) -> ListOffsetsResponse:
    topics = []
    for asked in request.topics:
        answers = []
        for wanted in asked.partitions:
            error, partition = _find(node, node.cluster.topics.get(asked.name), wanted.partition_index)
            answer = ListOffsetsResponse.ListOffsetsPartitionResponse(
                partition_index=wanted.partition_index, error_code=error
            )
            if partition is not None and not error:
                answer.offset, answer.timestamp = _offset(partition, wanted.timestamp)
                if answer.offset >= 0 and header.api_version >= 4:
                    answer.leader_epoch = partition.log.leader_epoch
            answers.append(answer)
        topics.append(ListOffsetsResponse.ListOffsetsTopicResponse(name=asked.name, partitions=answers))
    return ListOffsetsResponse(topics=topics)


def _offset(partition: Partition, timestamp: int) -> tuple[int, int]:
    log = partition.log
    if timestamp == _LATEST:
        return log.end, -1
    if timestamp in (_EARLIEST, _EARLIEST_LOCAL):
        return log.start, -1
    if timestamp == _NEWEST:
        return log.newest()
    if timestamp in (_LATEST_TIERED, _EARLIEST_PENDING):  # nothing is on another tier
        return -1, -1
    return log.find_time(timestamp)


HANDLERS: dict[type[Any], Any] = {
    ProduceRequest: produce,
    FetchRequest: fetch,
    ListOffsetsRequest: list_offsets,
}
