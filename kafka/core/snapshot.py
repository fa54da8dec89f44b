"""What is known of the cluster: immutable, so that any thread may read it, and replaced as a whole."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from kafka.errors import KafkaError

NO_ID = bytes(16)
_EPOCHS_RELIABLE = 9  # older Metadata versions may show a stale leader with a newer epoch (KAFKA-9212)
_UNKNOWN = frozenset((3, 100))  # unknown topic, unknown topic id


class Broker(NamedTuple):
    id: int
    host: str
    port: int
    rack: str | None = None


class Partition(NamedTuple):
    id: int
    leader: int  # broker id, -1: none at present
    leader_epoch: int  # -1: unknown
    replicas: tuple[int, ...] = ()
    isr: tuple[int, ...] = ()
    offline: tuple[int, ...] = ()
    error: KafkaError | None = None


class Topic(NamedTuple):
    name: str
    id: bytes  # 16 bytes, all zero: unknown
    partitions: tuple[Partition, ...]  # by partition id; empty: nothing known yet
    error: KafkaError | None  # of the last answer about it; partitions may still be those of an earlier one
    failing_since: float | None  # since when `error` has been set, clock seconds
    is_internal: bool = False


class Snapshot(NamedTuple):
    cluster_id: str | None
    controller_id: int  # -1: unknown
    brokers: Mapping[int, Broker]
    topics: Mapping[str, Topic]
    version: int  # grows with every change
    time: float  # when the last of it was learned, clock seconds

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has; 0 while that is not known."""
        known = self.topics.get(topic)
        return len(known.partitions) if known is not None else 0

    def leader(self, topic: str, partition: int) -> int:
        """The broker that leads the partition; -1 while that is not known."""
        known = self.topics.get(topic)
        if known is None or not 0 <= partition < len(known.partitions):
            return -1
        return known.partitions[partition].leader


EMPTY = Snapshot(None, -1, MappingProxyType({}), MappingProxyType({}), 0, float("-inf"))


def merge(old: Snapshot, response: Any, version: int, now: float) -> Snapshot:
    """`old` with what a MetadataResponse of this version adds. Topics it does not speak of stay as they are."""
    brokers = {b.node_id: Broker(b.node_id, b.host, b.port, b.rack) for b in response.brokers}
    topics = dict(old.topics)
    for entry in response.topics:
        if entry.name is not None:
            topics[entry.name] = _merge_topic(topics.get(entry.name), entry, version, now)
    return Snapshot(
        response.cluster_id if response.cluster_id is not None else old.cluster_id,
        response.controller_id,
        MappingProxyType(brokers or dict(old.brokers)),
        MappingProxyType(topics),
        old.version + 1,
        now,
    )


def _merge_topic(known: Topic | None, entry: Any, version: int, now: float) -> Topic:
    error = entry.error
    if error is not None:
        # One broker's word that a topic is gone or out of order does not take back what is known of its partitions.
        since = known.failing_since if known is not None and known.failing_since is not None else now
        if known is None:
            return Topic(entry.name, NO_ID, (), error, since)
        return known._replace(error=error, failing_since=since)
    same = known is not None and (known.id == entry.topic_id or NO_ID in (known.id, entry.topic_id))
    before = known.partitions if known is not None and same else ()
    highest = max((p.partition_index for p in entry.partitions), default=-1)
    # A restarted broker may briefly know of fewer partitions; a topic's count never shrinks.
    partitions = [
        before[index] if index < len(before) else Partition(index, -1, -1)
        for index in range(max(len(before), highest + 1))
    ]
    for p in entry.partitions:
        index = p.partition_index
        if index < 0:
            continue
        epoch = p.leader_epoch if version >= _EPOCHS_RELIABLE else -1
        if 0 <= epoch < partitions[index].leader_epoch:
            continue  # older news than we have
        partitions[index] = Partition(
            index, p.leader_id, epoch, p.replica_nodes, p.isr_nodes, p.offline_replicas, p.error
        )
    topic_id = entry.topic_id if entry.topic_id != NO_ID or known is None else known.id
    return Topic(entry.name, topic_id, tuple(partitions), None, None, entry.is_internal)


def with_leader(old: Snapshot, topic: str, partition: int, leader: int, epoch: int, broker: Broker | None) -> Snapshot:
    """`old` with a leader named in a produce or fetch answer (KIP-951), if that is strictly newer and reachable."""
    known = old.topics.get(topic)
    if known is None or not 0 <= partition < len(known.partitions):
        return old
    if epoch <= known.partitions[partition].leader_epoch or (broker is None and leader not in old.brokers):
        return old
    partitions = list(known.partitions)
    partitions[partition] = partitions[partition]._replace(leader=leader, leader_epoch=epoch, error=None)
    brokers = old.brokers
    if broker is not None and broker.id not in brokers:
        brokers = MappingProxyType({**brokers, broker.id: broker})
    return old._replace(
        brokers=brokers,
        topics=MappingProxyType({**old.topics, topic: known._replace(partitions=tuple(partitions))}),
        version=old.version + 1,
    )


def is_unknown(topic: Topic) -> bool:
    """Whether the last answer said that there is no such topic (yet)."""
    return topic.error is not None and getattr(topic.error, "errno", None) in _UNKNOWN


def still_unclear(topic: Topic | None) -> bool:
    """Whether another look may tell more: no answer yet, an error that passes, or a partition without a leader."""
    if topic is None:
        return True
    if topic.error is not None:
        return topic.error.retriable
    return any(p.leader < 0 for p in topic.partitions)
