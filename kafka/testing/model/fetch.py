"""Fetch: what is there, or what comes while it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kafka.protocol import FetchRequest, FetchResponse
from kafka.protocol.codes import Code
from kafka.protocol.header import RequestHeader
from kafka.testing.model.fetch_sessions import Reading, Wanted
from kafka.testing.model.world import Later

if TYPE_CHECKING:
    from kafka.testing.model.broker import Broker
    from kafka.testing.model.cluster import Partition

_NAMES_LEADERS, _WITH_ADDRESSES = 12, 16  # the first versions whose refusals say who leads, and where it is


def fetch(broker: Broker, header: RequestHeader, request: FetchRequest) -> FetchResponse | Later:
    """Waits for `min_bytes` as long as `max_wait_ms`, but not if there is an error to tell."""
    reading = broker.fetch_sessions.begin(header.api_version, request, broker.cluster.topics_by_id)
    if not isinstance(reading, Reading):
        return FetchResponse(error_code=reading)
    reader = _Reader(broker, header.api_version, request, reading)
    if reader.is_ready() or request.max_wait_ms <= 0 or not reading.wanted:
        return reader.answer()
    return _Waiting(reader)


class _Waiting(Later):
    """A fetch that waits for bytes, an error or its time."""

    def __init__(self, reader: _Reader) -> None:
        super().__init__(reader.answer)
        self._reader = reader
        self._logs = [entry.partition.log for entry in reader.entries() if entry.partition is not None]
        for log in self._logs:
            log.waiting.add(self._more)
        reader.broker.cluster.world.after(reader.request.max_wait_ms / 1000, self._finish)

    def _more(self) -> None:
        if self._reader.is_ready():
            self._finish()

    def _finish(self) -> None:
        if not self.is_ready:
            for log in self._logs:
                log.waiting.discard(self._more)
            self.ready()


class _Entry(NamedTuple):
    """One partition: an error, a place where the client's log and this one part, or a log to read up to `limit`."""

    wanted: Wanted
    partition: Partition | None
    error: int = 0
    diverging: tuple[int, int] | None = None  # the last epoch that both have, and its end here
    limit: int = 0


class _Reader:
    """What a request reads, as it is at present."""

    def __init__(self, broker: Broker, version: int, request: FetchRequest, reading: Reading) -> None:
        self.broker = broker
        self.request = request
        self._version = version
        self._reading = reading

    def entries(self) -> list[_Entry]:
        return [self._entry(wanted) for wanted in self._reading.wanted]

    def _entry(self, wanted: Wanted) -> _Entry:
        cluster, asked = self.broker.cluster, wanted.asked
        topic = cluster.topics.get(wanted.name)
        if topic is None:
            # A session knows the name of what was there once.
            unknown_id = wanted.by_id and not (wanted.in_session and wanted.name)
            return _Entry(wanted, None, Code.UNKNOWN_TOPIC_ID if unknown_id else Code.UNKNOWN_TOPIC_OR_PARTITION)
        if wanted.by_id and topic.id != wanted.topic_id:
            return _Entry(wanted, None, Code.INCONSISTENT_TOPIC_ID)
        partition = topic.get(asked.partition)
        if partition is None:
            return _Entry(wanted, None, Code.UNKNOWN_TOPIC_OR_PARTITION)
        if error := self.broker.refuses(partition, asked.current_leader_epoch):
            return _Entry(wanted, partition, error)
        if asked.last_fetched_epoch >= 0:
            epoch, end = partition.epoch_end(asked.last_fetched_epoch)
            if epoch < 0:
                return _Entry(wanted, partition, Code.OFFSET_OUT_OF_RANGE)
            if epoch < asked.last_fetched_epoch or end < asked.fetch_offset:
                return _Entry(wanted, partition, diverging=(epoch, end))
        if not partition.log.start <= asked.fetch_offset <= partition.end:
            return _Entry(wanted, partition, Code.OFFSET_OUT_OF_RANGE)
        limit = partition.last_stable if self.request.isolation_level else partition.high_watermark
        return _Entry(wanted, partition, limit=limit)

    def is_ready(self) -> bool:
        there = 0
        for entry in self.entries():
            if entry.error or entry.diverging:
                return True
            assert entry.partition is not None
            size = entry.partition.log.bytes_between(entry.wanted.asked.fetch_offset, entry.limit)
            there += min(size, entry.wanted.asked.partition_max_bytes)
        return there >= self.request.min_bytes

    def answer(self) -> FetchResponse:
        request, session = self.request, self._reading.session
        topics: dict[str | bytes, FetchResponse.FetchableTopicResponse] = {}
        gathered = 0
        leaders: set[int] = set()
        for entry in self.entries():
            wanted, asked, partition = entry.wanted, entry.wanted.asked, entry.partition
            records = b""
            answer = FetchResponse.PartitionData(
                partition_index=asked.partition, error_code=entry.error, high_watermark=-1, records=records
            )
            if not request.isolation_level:
                answer.aborted_transactions = None
            if partition is not None and not entry.error:
                log = partition.log
                answer.high_watermark, answer.last_stable_offset = partition.high_watermark, partition.last_stable
                answer.log_start_offset = log.start
                if entry.diverging:
                    answer.diverging_epoch.epoch, answer.diverging_epoch.end_offset = entry.diverging
                else:
                    most = min(asked.partition_max_bytes, request.max_bytes - gathered)
                    answer.records = records = log.read(
                        asked.fetch_offset, entry.limit, most, at_least_one=not gathered
                    )
                    gathered += len(records)
                if request.isolation_level and records:
                    upto = log.offset_after(asked.fetch_offset, len(records))
                    answer.aborted_transactions = [
                        FetchResponse.AbortedTransaction(producer_id=aborted.producer_id, first_offset=aborted.first)
                        for aborted in log.producers.aborted_between(asked.fetch_offset, upto)
                    ]
            elif (
                entry.error == Code.NOT_LEADER_OR_FOLLOWER
                and self._version >= _NAMES_LEADERS
                and (found := self.broker.leader_of(wanted.name, asked.partition)) is not None
            ):
                answer.current_leader.leader_id, answer.current_leader.leader_epoch = found
                leaders.add(found[0])
            told = (answer.high_watermark, answer.log_start_offset)
            is_news = bool(entry.error or entry.diverging or answer.records) or told != wanted.told
            wanted.told = told
            if self._reading.changes_only and not is_news:
                continue
            if session is not None and answer.records:
                session.rotate(wanted)
            key = wanted.key[0]
            if key not in topics:
                topics[key] = FetchResponse.FetchableTopicResponse(
                    topic="" if wanted.by_id else wanted.name, topic_id=wanted.topic_id, partitions=[]
                )
            topics[key].partitions.append(answer)  # type: ignore[attr-defined]
        response = FetchResponse(responses=list(topics.values()), session_id=0 if session is None else session.id)
        if leaders and self._version >= _WITH_ADDRESSES:
            response.node_endpoints = [
                FetchResponse.NodeEndpoint(node_id=other.id, host=other.advertised[0], port=other.advertised[1])
                for other in self.broker.cluster.brokers
                if other.id in leaders
            ]
        return response
