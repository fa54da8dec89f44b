"""A produce request: being put together, and what is remembered of it until it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka.core.produce.partitions import Partition, SentOn, Topic
from kafka.protocol import ProduceRequest

if TYPE_CHECKING:
    from kafka._codec import Batch

INFINITY = float("inf")

_TopicData = ProduceRequest.TopicProduceData
_PartitionData = ProduceRequest.PartitionProduceData


class PendingRequest:
    """At most one batch a partition."""

    __slots__ = ("node_id", "connection", "sent", "topics", "size", "deadline", "on_wire", "alone")

    def __init__(self, node_id: int, connection: int) -> None:
        self.node_id = node_id
        self.connection = connection  # its id
        self.sent: dict[Partition, Batch] = {}
        self.topics: dict[bytes, Topic] = {}  # by the ids they had when it was sent
        self.size = 0  # bytes of its batches
        self.deadline = INFINITY  # of its first batch
        self.on_wire = False
        self.alone = False  # it has one batch, and the connection nothing else meanwhile

    def sent_on(self, partition: Partition) -> SentOn:
        """What a success of it would prove of this partition."""
        connection, epoch = self.connection, partition.leader_epoch
        before = partition.sent_on  # mostly the same; comparing its parts takes half as long as making another
        if (
            before is not None
            and before.connection == connection
            and before.leader_epoch == epoch
            and before.producer_id == partition.producer_id
            and before.epoch == partition.epoch
        ):
            return before
        return SentOn(connection, epoch, partition.producer_id, partition.epoch)

    def add(self, partition: Partition, batch: Batch) -> None:
        self.sent[partition] = batch
        self.size += batch.size
        if batch.deadline < self.deadline:
            self.deadline = batch.deadline

    def message(self, transactional_id: str | None, acks: int, timeout: float) -> ProduceRequest:
        """The batches stay where they are, and are written from there. `timeout`: seconds, for the broker."""
        topics: dict[Topic, list[_PartitionData]] = {}
        for partition, batch in self.sent.items():
            data = _PartitionData(index=partition.index, records=batch)
            entries = topics.get(partition.topic)
            if entries is None:
                topics[partition.topic] = [data]
            else:
                entries.append(data)
        self.topics = {topic.id: topic for topic in topics}
        return ProduceRequest(
            transactional_id=transactional_id,
            acks=acks,
            timeout_ms=int(timeout * 1000),
            topic_data=[
                _TopicData(name=topic.name, topic_id=topic.id, partition_data=data) for topic, data in topics.items()
            ],
        )
