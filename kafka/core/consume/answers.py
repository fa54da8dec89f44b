"""What becomes of the answers to Fetches, partition by partition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kafka._codec import Fetched, scan_batches
from kafka.core.cluster.snapshot import BrokerInfo
from kafka.core.consume.partition import FetchPartition
from kafka.core.consume.session import Asked, Session
from kafka.core.consume.states import FetchState
from kafka.errors import CorruptRecordError, for_code
from kafka.protocol.codes import Code

if TYPE_CHECKING:
    from kafka.core.consume.fetch import Fetch

# Another broker has the partition by now, or this one does not know yet that it is its own.
_ELSEWHERE = frozenset(
    (
        Code.NOT_LEADER_OR_FOLLOWER, Code.UNKNOWN_TOPIC_OR_PARTITION, Code.FENCED_LEADER_EPOCH,
        Code.UNKNOWN_LEADER_EPOCH, Code.UNKNOWN_TOPIC_ID, Code.INCONSISTENT_TOPIC_ID, Code.REPLICA_NOT_AVAILABLE,
        Code.LEADER_NOT_AVAILABLE, Code.KAFKA_STORAGE_ERROR, Code.OFFSET_NOT_AVAILABLE,
    )
)  # fmt: skip

# So many empty ones, for as long as the broker waits each, show that nothing is there: one may come of a broker that
# is still fetching the records from where it has archived them (KIP-405).
EMPTY_ANSWERS = 3


class Answers:
    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def entries(self, response: Any) -> Iterable[tuple[FetchPartition, Any]]:
        """The partitions that are read, each with what the answer says of it."""
        for topic in response.responses:
            partitions = self._fetch.topic(topic.topic, topic.topic_id)
            for entry in topic.partitions:
                partition = partitions.get(entry.partition_index)
                if partition is not None:
                    yield partition, entry

    def take(self, partition: FetchPartition, asked: Asked, entry: Any, response: Any, now: float) -> None:
        fetch, position = self._fetch, partition.position
        expected = (partition.next_offset, position.generation, partition.topic_id)
        if partition.state is not FetchState.FETCHING or asked != expected:
            return  # it has been sent elsewhere since
        if entry.error_code != Code.NONE:
            self._refused(partition, entry, response, now)
        elif entry.diverging_epoch.end_offset >= 0:
            fetch.places.truncated(partition, entry.diverging_epoch.end_offset, entry.diverging_epoch.epoch, now)
        else:
            position.high_watermark = entry.high_watermark
            position.last_stable = entry.last_stable_offset
            position.log_start = entry.log_start_offset
            if entry.preferred_read_replica >= 0 and entry.preferred_read_replica != partition.node(now):
                partition.preferred = entry.preferred_read_replica
                partition.preferred_until = now + fetch.services.config.metadata_max_age
            if entry.records:
                self._deliver(partition, entry, now)
        fetch.consider(partition, now)

    def nothing(self, session: Session) -> None:
        """An answer had no record of any partition, and so none was left out for want of room: where there should be
        some up to the end of a range, compaction has left none, or markers that nobody kept.
        """
        fetch = self._fetch
        for partition, (offset, times) in fetch.bounded.items():
            position, asked = partition.position, session.members.get(partition)
            expected = (partition.next_offset, position.generation, partition.topic_id)
            if asked is None or asked != expected or partition.state is not FetchState.FETCHING:
                continue
            limit = position.last_stable if fetch.config.isolation else position.high_watermark
            if asked.offset >= limit:
                continue  # it waits for records that are yet to come
            times = times + 1 if offset == asked.offset else 1
            fetch.bounded[partition] = asked.offset, times
            if times >= EMPTY_ANSWERS:
                position.nothing_from, position.nothing_until = asked.offset, limit
                fetch.deliveries.tell()

    def _deliver(self, partition: FetchPartition, entry: Any, now: float) -> None:
        next_offset, epoch, batches, records = scan_batches(entry.records)
        if next_offset <= partition.next_offset:
            what = "no whole batch" if not batches else f"nothing from offset {partition.next_offset} on"
            tp = partition.tp
            self._fetch.fail(partition, CorruptRecordError(f"An answer for {tp.topic}[{tp.partition}] holds {what}."))
            self._fetch.retry(partition, now)
            return
        aborted = [(each.producer_id, each.first_offset) for each in entry.aborted_transactions or ()]
        partition.next_offset = next_offset
        partition.epoch = epoch
        if partition.session is not None:
            partition.session.change(partition)
        fetched = self._fetch.services.events.fetched
        if fetched is not None:
            fetched(partition.tp.topic, partition.tp.partition, records, len(entry.records), next_offset, now)
        self._fetch.deliver(partition, Fetched(partition.position, self._fetch.rules, entry.records, aborted))

    def _refused(self, partition: FetchPartition, entry: Any, response: Any, now: float) -> None:
        fetch, code = self._fetch, entry.error_code
        error = for_code(code)
        assert error is not None
        if code == Code.OFFSET_OUT_OF_RANGE and partition.preferred >= 0:  # a follower that is behind, perhaps
            partition.preferred = -1
            if partition.session is not None:
                partition.session.change(partition)
        elif code == Code.OFFSET_OUT_OF_RANGE:
            fetch.places.out_of_range(partition, now)
        else:
            if code in _ELSEWHERE:
                partition.preferred = -1
                self._heed(partition, entry, response, now)
                fetch.services.metadata.refresh(partition.tp.topic, now)
            else:
                fetch.fail(partition, error)
            fetch.retry(partition, now)

    def _heed(self, partition: FetchPartition, entry: Any, response: Any, now: float) -> None:
        """A refusal may name the new leader (KIP-951)."""
        leader = entry.current_leader
        if leader.leader_id >= 0:
            found = next((node for node in response.node_endpoints if node.node_id == leader.leader_id), None)
            broker = None if found is None else BrokerInfo(found.node_id, found.host, found.port, found.rack)
            tp, metadata = partition.tp, self._fetch.services.metadata
            metadata.hint(tp.topic, tp.partition, leader.leader_id, leader.leader_epoch, broker, now)
