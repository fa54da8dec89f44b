"""What is said to transaction coordinators and to group coordinators, in which versions, and what their errors mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from kafka.errors import BrokerResponseError, ProducerFencedError, for_code
from kafka.protocol import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
    ProduceRequest,
    TxnOffsetCommitRequest,
)
from kafka.protocol.codes import Code
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

Place = tuple[str, int]  # topic, partition


class Producer(Protocol):
    """Who asks."""

    transactional_id: str
    timeout: float  # seconds that a transaction may be open
    producer_id: int
    epoch: int


# The newest versions under the older protocol; those after them mean the newer one. InitProducerId 6 is of a protocol
# of its own (two-phase commit), AddPartitionsToTxn 4 is spoken among brokers.
NEWEST_PRODUCE, NEWEST_END, NEWEST_OFFSET_COMMIT, NEWEST_INIT, NEWEST_ADD_PARTITIONS = 11, 4, 4, 5, 3
V2_NEEDS = ((ProduceRequest, 12), (TxnOffsetCommitRequest, 5), (EndTxnRequest, 5))

# What the coordinator has never heard of.
UNKNOWN_TO_COORDINATOR = frozenset((Code.INVALID_PRODUCER_ID_MAPPING, Code.UNKNOWN_PRODUCER_ID))
FENCED = frozenset((Code.INVALID_PRODUCER_EPOCH, Code.PRODUCER_FENCED))
# Answers after which an EndTxn may have been carried out all the same: what the coordinator wrote down was replicated
# too late, or by another one.
OUTCOME_UNKNOWN = frozenset((Code.REQUEST_TIMED_OUT, Code.COORDINATOR_NOT_AVAILABLE, Code.NOT_COORDINATOR))
STALE_MEMBER = frozenset(
    (Code.ILLEGAL_GENERATION, Code.UNKNOWN_MEMBER_ID, Code.FENCED_MEMBER_EPOCH, Code.STALE_MEMBER_EPOCH)
)
# What ends the transaction but not the producer: authorization for a topic or a group; a consumer that is no member of
# its group any more; what the coordinator has forgotten; and where it says so itself (KIP-890).
ABORTABLE = (
    STALE_MEMBER
    | UNKNOWN_TO_COORDINATOR
    | frozenset(
        (
            Code.OFFSET_METADATA_TOO_LARGE,
            Code.REBALANCE_IN_PROGRESS,
            Code.INVALID_COMMIT_OFFSET_SIZE,
            Code.TOPIC_AUTHORIZATION_FAILED,
            Code.GROUP_AUTHORIZATION_FAILED,
            Code.FENCED_INSTANCE_ID,
            Code.TRANSACTION_ABORTABLE,
        )
    )
)
# Of what AddPartitionsToTxn gives for a partition: these concern the producer, and not the partition.
_NOT_OF_A_PARTITION = frozenset((Code.INVALID_TXN_STATE, Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED))
# Of what a partition's leader answers: authorization for the cluster or the transactional id, fencing, versions.
FATAL_FOR_RECORDS = frozenset(
    (
        Code.CLUSTER_AUTHORIZATION_FAILED,
        Code.UNSUPPORTED_VERSION,
        Code.INVALID_PRODUCER_ID_MAPPING,
        Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        Code.PRODUCER_FENCED,
    )
)


def severity(code: int) -> int:
    """0: fine; 1: may pass; 2: ends the transaction; 3: ends the producer."""
    error = for_code(code)
    if error is None:
        return 0
    return 1 if error.retriable else 2 if code in ABORTABLE else 3


def fenced(producer: Producer, error: BaseException) -> ProducerFencedError:
    found = ProducerFencedError(
        f"Another producer took over transactional id {producer.transactional_id!r}, or the transaction was open "
        f"for more than transaction_timeout_ms ({producer.timeout * 1000:.0f}) and the coordinator has aborted it."
    )
    found.__cause__ = error
    return found


def init_producer_id(producer: Producer) -> Any:
    """For the first id, or the next epoch of ours (KIP-360): that is refused if another producer has it by now."""
    return InitProducerIdRequest(
        transactional_id=producer.transactional_id,
        transaction_timeout_ms=int(producer.timeout * 1000),
        producer_id=producer.producer_id,
        producer_epoch=producer.epoch,
    )


def end(producer: Producer, committed: bool) -> Any:
    return EndTxnRequest(
        transactional_id=producer.transactional_id,
        producer_id=producer.producer_id,
        producer_epoch=producer.epoch,
        committed=committed,
    )


def add_partitions(producer: Producer, places: Iterable[Place]) -> Any:
    topic_class = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic
    return AddPartitionsToTxnRequest(
        v3_and_below_transactional_id=producer.transactional_id,
        v3_and_below_producer_id=producer.producer_id,
        v3_and_below_producer_epoch=producer.epoch,
        v3_and_below_topics=[topic_class(name=name, partitions=found) for name, found in _by_topic(places)],
    )


def partition_codes(response: Any) -> dict[Place, int]:
    return {
        (topic.name, partition.partition_index): partition.partition_error_code
        for topic in response.results_by_topic_v3_and_below
        for partition in topic.results_by_partition
    }


def partitions_refused(codes: Mapping[Place, int]) -> tuple[BrokerResponseError | None, bool]:
    """The worst of these, and whether it concerns its partitions alone; they are then named in its message."""
    # One that is refused keeps all others out of the transaction: those were "not attempted".
    refused = {place: code for place, code in codes.items() if code not in (0, Code.OPERATION_NOT_ATTEMPTED)}
    worst = max(refused.values(), key=severity, default=0)
    error = for_code(worst)
    if error is None or error.retriable or worst in FENCED or worst in _NOT_OF_A_PARTITION:
        return error, False
    named = sorted(f"{name}[{partition}]" for (name, partition), code in refused.items() if code == worst)
    return for_code(worst, f"{', '.join(named[:5])} cannot be part of the transaction: {error.description}"), True


def add_group(producer: Producer, group: str) -> Any:
    return AddOffsetsToTxnRequest(
        transactional_id=producer.transactional_id,
        producer_id=producer.producer_id,
        producer_epoch=producer.epoch,
        group_id=group,
    )


def commit_offsets(
    producer: Producer, group: ConsumerGroupMetadata, offsets: Mapping[TopicPartition, OffsetAndMetadata]
) -> Any:
    topic_class = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic
    return TxnOffsetCommitRequest(
        transactional_id=producer.transactional_id,
        group_id=group.group_id or "",
        producer_id=producer.producer_id,
        producer_epoch=producer.epoch,
        generation_id=group.generation_id,
        member_id=group.member_id,
        group_instance_id=group.group_instance_id,
        topics=[
            topic_class(
                name=name, partitions=[_committed(index, offsets[TopicPartition(name, index)]) for index in partitions]
            )
            for name, partitions in _by_topic(offsets)
        ],
    )


def _committed(partition: int, offset: OffsetAndMetadata) -> Any:
    return TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition(
        partition_index=partition,
        committed_offset=offset.offset,  # type: ignore[arg-type]  # checked when it was handed in
        committed_leader_epoch=offset.leader_epoch,
        committed_metadata=offset.metadata,
    )


def offsets_refused(response: Any) -> BrokerResponseError | None:
    """The worst error of a TxnOffsetCommitResponse."""
    codes = [partition.error_code for topic in response.topics for partition in topic.partitions]
    return for_code(max(codes, key=severity, default=0))


def _by_topic(places: Iterable[Place]) -> list[tuple[str, list[int]]]:
    found: dict[str, list[int]] = {}
    for name, partition in places:
        found.setdefault(name, []).append(partition)
    return list(found.items())
