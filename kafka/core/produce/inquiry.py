"""Asks the leader of a partition which is the last batch it has of this producer.

DescribeProducers is answered by every broker with a copy of the log, from its own copy, so the answer alone proves
nothing: a follower may lag. Before and after it the broker is asked for the log's end as the leader of the epoch that
metadata names, which no other broker answers without an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kafka.core.cluster.call import Answer
from kafka.core.cluster.calls import Calls
from kafka.core.cluster.routes import ToBroker
from kafka.core.produce.partitions import SEQUENCES, Partition
from kafka.errors import KafkaError, OutOfOrderSequenceNumberError
from kafka.protocol import DescribeProducersRequest, ListOffsetsRequest
from kafka.protocol.codes import Code
from kafka.result import Err, Result

if TYPE_CHECKING:
    from kafka._codec import Batch

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


async def inquire(calls: Calls, request_timeout: float, partition: Partition, head: Batch) -> Finding:
    """Takes three times the request timeout at most."""
    leader, epoch = ToBroker(partition.leader), partition.leader_epoch

    def end_of_log(version: int) -> Any:
        place = ListOffsetsRequest.ListOffsetsPartition(
            partition_index=partition.index, current_leader_epoch=epoch, timestamp=_LATEST
        )
        topic = ListOffsetsRequest.ListOffsetsTopic(name=partition.topic.name, partitions=[place])
        return ListOffsetsRequest(replica_id=-1, topics=[topic])

    def producers(version: int) -> Any:
        topic = DescribeProducersRequest.TopicRequest(name=partition.topic.name, partition_indexes=[partition.index])
        return DescribeProducersRequest(topics=[topic])

    answer, _ = await calls.ask(leader, ListOffsetsRequest, end_of_log, request_timeout)
    if (error := _error_of(answer)) is not None:
        return _no_answer(error)
    described, _ = await calls.ask(leader, DescribeProducersRequest, producers, request_timeout)
    if (error := _error_of(described)) is not None:
        return _no_answer(error)
    finding = _last_number(partition, head, described.unwrap().response)
    answer, _ = await calls.ask(leader, ListOffsetsRequest, end_of_log, request_timeout)
    if (error := _error_of(answer)) is not None:
        return _no_answer(error)
    return finding


def _error_of(result: Result[Answer, KafkaError]) -> KafkaError | None:
    if isinstance(result, Err):
        return result.error
    return next((error for _, error in result.value.response.errors()), None)


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
