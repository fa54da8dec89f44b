"""Producer ids, and what producers ask the coordinators of transactions. One handler per API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka.protocol import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    EndTxnRequest,
    EndTxnResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)
from kafka.protocol.codes import Code
from kafka.protocol.header import RequestHeader

if TYPE_CHECKING:
    from kafka.testing.model.broker import Broker


def init_producer_id(broker: Broker, header: RequestHeader, request: InitProducerIdRequest) -> InitProducerIdResponse:
    cluster = broker.cluster
    id = request.transactional_id
    if id is None:
        return InitProducerIdResponse(producer_id=cluster.new_producer_id(), producer_epoch=cluster.first_epoch)
    transactions = cluster.transactions
    code = transactions.refusal(broker, id)
    if not code:
        timeout = request.transaction_timeout_ms / 1000
        code, txn = transactions.init(id, request.producer_id, request.producer_epoch, timeout)
        if not code:
            return InitProducerIdResponse(producer_id=txn.producer_id, producer_epoch=txn.epoch)
        if code == Code.PRODUCER_FENCED and header.api_version < 4:
            code = Code.INVALID_PRODUCER_EPOCH
        transactions.count(code)
    return InitProducerIdResponse(error_code=code, producer_id=-1, producer_epoch=-1)


def add_partitions(
    broker: Broker, header: RequestHeader, request: AddPartitionsToTxnRequest
) -> AddPartitionsToTxnResponse:
    transactions = broker.cluster.transactions
    id = request.v3_and_below_transactional_id
    places = [(topic.name, index) for topic in request.v3_and_below_topics for index in topic.partitions]
    codes = dict.fromkeys(places, transactions.refusal(broker, id))
    if not any(codes.values()):
        producer = request.v3_and_below_producer_id, request.v3_and_below_producer_epoch
        codes = transactions.add_partitions(id, *producer, places)
    by_topic: dict[str, list[AddPartitionsToTxnResponse.AddPartitionsToTxnPartitionResult]] = {}
    for (name, index), code in codes.items():
        by_topic.setdefault(name, []).append(
            AddPartitionsToTxnResponse.AddPartitionsToTxnPartitionResult(
                partition_index=index, partition_error_code=code
            )
        )
    return AddPartitionsToTxnResponse(
        results_by_topic_v3_and_below=[
            AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult(name=name, results_by_partition=results)
            for name, results in by_topic.items()
        ]
    )


def add_offsets(broker: Broker, header: RequestHeader, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse:
    transactions = broker.cluster.transactions
    id = request.transactional_id
    code = transactions.refusal(broker, id)
    if not code:
        code = transactions.add_group(id, request.producer_id, request.producer_epoch, request.group_id)
    return AddOffsetsToTxnResponse(error_code=code)


def commit_offsets(broker: Broker, header: RequestHeader, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse:
    transactions = broker.cluster.transactions
    code = transactions.refusal(broker, request.group_id)
    if not code:
        code = transactions.add_offsets(
            request.transactional_id,
            request.producer_id,
            request.producer_epoch,
            request.group_id,
            (request.member_id, request.generation_id),
            {
                (topic.name, partition.partition_index): partition.committed_offset
                for topic in request.topics
                for partition in topic.partitions
            },
            adds_group=header.api_version >= 5,
        )
    return TxnOffsetCommitResponse(
        topics=[
            TxnOffsetCommitResponse.TxnOffsetCommitResponseTopic(
                name=topic.name,
                partitions=[
                    TxnOffsetCommitResponse.TxnOffsetCommitResponsePartition(
                        partition_index=partition.partition_index, error_code=code
                    )
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def end(broker: Broker, header: RequestHeader, request: EndTxnRequest) -> EndTxnResponse:
    transactions = broker.cluster.transactions
    id = request.transactional_id
    newer = header.api_version >= 5
    code = transactions.refusal(broker, id)
    if not code:
        code = transactions.end(id, request.producer_id, request.producer_epoch, request.committed, newer)
    if code or not newer:
        return EndTxnResponse(error_code=code)
    txn = transactions.transactions[id]
    if txn.next_producer_id >= 0:
        return EndTxnResponse(producer_id=txn.next_producer_id, producer_epoch=0)
    return EndTxnResponse(producer_id=txn.producer_id, producer_epoch=txn.epoch)
