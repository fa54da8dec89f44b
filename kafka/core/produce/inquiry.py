"""Asks the leader of a partition which is the last batch it has of this producer.

DescribeProducers is answered by every broker with a copy of the log, from its own copy, so the answer alone proves
nothing: a follower may lag. Before and after it the broker is asked for the log's end as the leader of the epoch that
metadata names, which no other broker answers without an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka.core.cluster.calls import Broker
from kafka.core.produce.partitions import SEQUENCES, Partition
from kafka.errors import KafkaError, OutOfOrderSequenceNumberError
from kafka.protocol import DescribeProducersRequest, ListOffsetsRequest
from kafka.protocol.codes import Code
from kafka.result import Err, Result

if TYPE_CHECKING:
    from kafka._codec import Batch
    from kafka.core.core import Core

_LATEST = -1
# What a broker answers that is not the leader, or not in this epoch.
_NOT_LEADER = frozenset(
    (
        Code.UNKNOWN_TOPIC_OR_PARTITION,
        Code.LEADER_NOT_AVAILABLE,
        Code.NOT_LEADER_OR_FOLLOWER,
        Code.REPLICA_NOT_AVAILABLE,
        Code.FENCED_LEADER_EPOCH,
        Code.UNKNOWN_LEADER_EPOCH,
        Code.UNKNOWN_TOPIC_ID,
    )
)


class Finding(NamedTuple):
    last: int | None  # the last number the leader has, as `Batch.sequence` counts; None: it does not say
    retry: bool  # it could not be asked now
    error: KafkaError | None  # why it does not say


class Inquiry:
    """One question. `callback(finding, now)` is called once, at the latest after three times the request timeout."""

    __slots__ = ("_callback", "_core", "_described", "_epoch", "_head", "_partition", "_route")

    def __init__(
        self, core: Core, partition: Partition, head: Batch, callback: Callable[[Finding, float], None], now: float
    ) -> None:
        self._core = core
        self._partition = partition
        self._head = head
        self._callback = callback
        self._route = Broker(partition.leader)
        self._epoch = partition.leader_epoch
        self._described: Finding | None = None
        self._ask_end(now)

    def _ask_end(self, now: float) -> None:
        timeout = self._core.config.request_timeout
        self._core.request(self._route, ListOffsetsRequest, self._build_end, self._end_told, now, timeout)

    def _build_end(self, version: int) -> Any:
        place = ListOffsetsRequest.ListOffsetsPartition(
            partition_index=self._partition.index, current_leader_epoch=self._epoch, timestamp=_LATEST
        )
        topic = ListOffsetsRequest.ListOffsetsTopic(name=self._partition.topic.name, partitions=[place])
        return ListOffsetsRequest(replica_id=-1, topics=[topic])

    def _end_told(self, result: Result[Any, KafkaError], now: float) -> None:
        error = _error_of(result)
        if error is not None:
            self._callback(_no_answer(error), now)
        elif self._described is not None:
            self._callback(self._described, now)
        else:
            self._ask_producers(now)

    def _ask_producers(self, now: float) -> None:
        self._core.request(
            self._route, DescribeProducersRequest, self._build_producers, self._producers_told, now,
            self._core.config.request_timeout,
        )  # fmt: skip

    def _build_producers(self, version: int) -> Any:
        topic = DescribeProducersRequest.TopicRequest(
            name=self._partition.topic.name, partition_indexes=[self._partition.index]
        )
        return DescribeProducersRequest(topics=[topic])

    def _producers_told(self, result: Result[Any, KafkaError], now: float) -> None:
        error = _error_of(result)
        if error is not None:
            self._callback(_no_answer(error), now)
        else:
            self._described = _last_number(self._partition, self._head, result.unwrap())
            self._ask_end(now)


def _error_of(result: Result[Any, KafkaError]) -> KafkaError | None:
    if isinstance(result, Err):
        return result.error
    return next((error for _, error in result.value.errors()), None)


def _no_answer(error: KafkaError) -> Finding:
    passes = error.retriable or error.errno in _NOT_LEADER
    return Finding(None, passes, error)


def _last_number(partition: Partition, head: Batch, response: Any) -> Finding:
    for topic in response.topics:
        for answer in topic.partitions:
            for state in answer.active_producers:
                if state.producer_id != partition.producer_id:
                    continue
                if state.producer_epoch < partition.epoch:
                    return Finding(-1, False, None)  # nothing of this epoch
                if state.producer_epoch == partition.epoch and state.last_sequence >= 0:
                    # The one number of all that look so on the wire which is nearest to the batch's own.
                    half = SEQUENCES // 2
                    ahead = (state.last_sequence - head.sequence + half) % SEQUENCES - half
                    return Finding(head.sequence + ahead, False, None)
    # It may have been there longer than the leader remembers its producers.
    return Finding(None, False, None)


def unknown(partition: Partition, head: Batch, cause: KafkaError | None) -> KafkaError:
    """The error of a batch of which nobody can say any more whether it is in the log."""
    error = OutOfOrderSequenceNumberError(
        f"{partition} refuses a batch of {head.records} records that it may have taken before, and no longer knows."
    )
    error.__cause__ = cause
    return error
