"""Whether a new leader has what was read (KIP-320), where its answers to Fetches do not say so.

From version 12 on they do. Before, a leader is asked where its records of an epoch end (OffsetForLeaderEpoch): of the
epoch that was read last, once for each leader, before anything more is fetched from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from kafka.core.cluster.call import Answer
from kafka.core.cluster.routes import ToBroker
from kafka.core.consume.partition import FetchPartition
from kafka.core.consume.states import FetchEvent, FetchState
from kafka.errors import KafkaError, for_code
from kafka.protocol import OffsetForLeaderEpochRequest
from kafka.result import Err, Result

if TYPE_CHECKING:
    from kafka.core.consume.fetch import Fetch

_Asked = dict[FetchPartition, tuple[int, int]]  # the generation of its position, the leader's epoch


class Epochs:
    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def check(self, node: int, partitions: Iterable[FetchPartition], now: float) -> None:
        """Ask about those of which it is not known; nothing is fetched of them meanwhile."""
        asked: _Asked = {}
        for partition in partitions:
            if partition.is_agreed:
                continue
            # Nothing was read yet, or the brokers are of a time when epochs were not to be relied on.
            if partition.epoch < 0 or partition.leader_epoch < 0 or partition.leader != node:
                partition.is_agreed = True
                continue
            asked[partition] = (partition.position.generation, partition.leader_epoch)
        for partition in asked:
            partition.handle(FetchEvent.CHECK)
            self._fetch.leave(partition)
        if asked:
            self._fetch.services.calls.start(
                ToBroker(node),
                OffsetForLeaderEpochRequest,
                partial(_request, asked),
                partial(self._answered, asked),
                now,
                self._fetch.services.config.request_timeout,
                once=True,
            )

    def _answered(self, asked: _Asked, result: Result[Answer, KafkaError], now: float) -> None:
        found: dict[FetchPartition, Any] = {}
        if not isinstance(result, Err):
            for topic in result.value.response.topics:
                partitions = self._fetch.topic(topic.topic, b"")
                for entry in topic.partitions:
                    if (partition := partitions.get(entry.partition)) in asked:
                        found[partition] = entry
        for partition, expected in asked.items():
            if partition.state is not FetchState.CHECKING or self._fetch.partitions.get(partition.tp) is not partition:
                continue
            if (partition.position.generation, partition.leader_epoch) != expected:
                self._again(partition, now)  # it has moved, or its leader has
                continue
            entry = found.get(partition)
            error = result.error if isinstance(result, Err) else None if entry is None else for_code(entry.error_code)
            is_unsaid = error is None and entry is None
            if is_unsaid or (error is not None and error.retriable):
                self._again(partition, now)
                self._fetch.services.metadata.refresh(partition.tp.topic, now)
            else:
                self._decided(partition, None if error is not None else entry, now)

    def _decided(self, partition: FetchPartition, entry: Any, now: float) -> None:
        partition.handle(FetchEvent.CHECKED)
        # A broker that cannot be asked, or knows nothing of that epoch, does not say that anything is lost.
        is_known = entry is not None and entry.leader_epoch >= 0 and entry.end_offset >= 0
        if is_known and (entry.end_offset < partition.next_offset or entry.leader_epoch < partition.epoch):
            self._fetch.places.truncated(partition, entry.end_offset, entry.leader_epoch, now)
        else:
            partition.is_agreed = True
            self._fetch.consider(partition, now)

    def _again(self, partition: FetchPartition, now: float) -> None:
        partition.handle(FetchEvent.CHECKED)
        self._fetch.retry(partition, now)


def _request(asked: _Asked, version: int) -> OffsetForLeaderEpochRequest:
    topics: dict[str, OffsetForLeaderEpochRequest.OffsetForLeaderTopic] = {}
    for partition in asked:
        name = partition.tp.topic
        topic = topics.setdefault(name, OffsetForLeaderEpochRequest.OffsetForLeaderTopic(topic=name, partitions=[]))
        topic.partitions.append(  # type: ignore[attr-defined]
            OffsetForLeaderEpochRequest.OffsetForLeaderPartition(
                partition=partition.tp.partition,
                current_leader_epoch=partition.leader_epoch,
                leader_epoch=partition.epoch,
            )
        )
    return OffsetForLeaderEpochRequest(replica_id=-1, topics=list(topics.values()))
