"""ListOffsets, OffsetForLeaderEpoch and DescribeProducers: what a partition's log can tell without being read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka.protocol import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)
from kafka.protocol.codes import Code
from kafka.protocol.header import RequestHeader

if TYPE_CHECKING:
    from kafka.testing.model.broker import Broker
    from kafka.testing.model.cluster import Partition

# The timestamps of ListOffsets that are none.
_LATEST, _EARLIEST, _NEWEST, _EARLIEST_LOCAL, _LATEST_TIERED, _EARLIEST_PENDING = -1, -2, -3, -4, -5, -6


def list_offsets(broker: Broker, header: RequestHeader, request: ListOffsetsRequest) -> ListOffsetsResponse:
    topics = []
    for asked in request.topics:
        topic = broker.cluster.topics.get(asked.name)
        answers = []
        for wanted in asked.partitions:
            answer = ListOffsetsResponse.ListOffsetsPartitionResponse(partition_index=wanted.partition_index)
            partition = None if topic is None else topic.get(wanted.partition_index)
            if partition is None:
                answer.error_code = Code.UNKNOWN_TOPIC_OR_PARTITION
            else:
                answer.error_code = broker.refuses(partition, wanted.current_leader_epoch)
            if partition is not None and not answer.error_code:
                limit = partition.last_stable if request.isolation_level else partition.high_watermark
                answer.offset, answer.timestamp = _offset(partition, wanted.timestamp, limit)
                if answer.offset >= 0 and header.api_version >= 4:
                    answer.leader_epoch = partition.epoch
            answers.append(answer)
        topics.append(ListOffsetsResponse.ListOffsetsTopicResponse(name=asked.name, partitions=answers))
    return ListOffsetsResponse(topics=topics)


def _offset(partition: Partition, timestamp: int, limit: int) -> tuple[int, int]:
    """(offset, timestamp), or (-1, -1). A consumer reads up to `limit`."""
    log = partition.log
    if timestamp == _LATEST:
        return limit, -1
    if timestamp in (_EARLIEST, _EARLIEST_LOCAL):
        return log.start, -1
    if timestamp in (_LATEST_TIERED, _EARLIEST_PENDING):  # nothing is on another tier
        return -1, -1
    found = log.newest() if timestamp == _NEWEST else log.find_time(timestamp)
    return found if found[0] < limit else (-1, -1)


def epoch_ends(
    broker: Broker, header: RequestHeader, request: OffsetForLeaderEpochRequest
) -> OffsetForLeaderEpochResponse:
    topics = []
    for asked in request.topics:
        topic = broker.cluster.topics.get(asked.topic)
        answers = []
        for wanted in asked.partitions:
            answer = OffsetForLeaderEpochResponse.EpochEndOffset(partition=wanted.partition)
            partition = None if topic is None else topic.get(wanted.partition)
            if partition is None:
                answer.error_code = Code.UNKNOWN_TOPIC_OR_PARTITION
            else:
                answer.error_code = broker.refuses(partition, wanted.current_leader_epoch)
            if partition is not None and not answer.error_code:
                answer.leader_epoch, answer.end_offset = partition.epoch_end(wanted.leader_epoch)
            answers.append(answer)
        topics.append(OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult(topic=asked.topic, partitions=answers))
    return OffsetForLeaderEpochResponse(topics=topics)


def describe_producers(
    broker: Broker, header: RequestHeader, request: DescribeProducersRequest
) -> DescribeProducersResponse:
    """What this broker's copy of the log has of each producer, be it the leader or not.

    A leader says so of batches that are not on all replicas yet; a follower may not have them.
    """
    topics = []
    for asked in request.topics:
        topic = broker.cluster.topics.get(asked.name)
        answers = []
        for index in asked.partition_indexes:
            partition = None if topic is None else topic.get(index)
            answer = DescribeProducersResponse.PartitionResponse(partition_index=index)
            if partition is None:
                answer.error_code = Code.UNKNOWN_TOPIC_OR_PARTITION
            else:
                producers = broker.producers(partition)
                answer.active_producers = [
                    DescribeProducersResponse.ProducerState(
                        producer_id=id,
                        producer_epoch=producer.epoch,
                        last_sequence=producer.last,
                        current_txn_start_offset=producers.open.get(id, -1),
                    )
                    for id, producer in producers.known.items()
                ]
            answers.append(answer)
        topics.append(DescribeProducersResponse.TopicResponse(name=asked.name, partitions=answers))
    return DescribeProducersResponse(topics=topics)
