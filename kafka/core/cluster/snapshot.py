"""What is known of the cluster: immutable, so that any thread may read it, and replaced as a whole."""

from collections.abc import Collection, Iterable
from types import MappingProxyType
from typing import Any, NamedTuple

from kafka.errors import KafkaError, UnknownTopicOrPartitionError
from kafka.protocol.codes import Code

NO_ID = bytes(16)
_EPOCHS_RELIABLE = 9  # older Metadata versions may show a stale leader with a newer epoch (KAFKA-9212)
_BEHIND_AT_MOST = 60.0  # seconds by which a broker's view of the cluster may lag
_OLDER_FOR = 10.0  # seconds for which answers may give an older leader epoch before it is believed after all
_UNKNOWN = frozenset((Code.UNKNOWN_TOPIC_OR_PARTITION, Code.UNKNOWN_TOPIC_ID))


class BrokerInfo(NamedTuple):
    id: int
    host: str
    port: int
    rack: str | None = None


class PartitionInfo(NamedTuple):
    id: int
    leader: int  # broker id, -1: none at present
    leader_epoch: int  # -1: unknown
    replicas: tuple[int, ...] = ()
    isr: tuple[int, ...] = ()
    offline: tuple[int, ...] = ()
    error: KafkaError | None = None
    older_since: float | None = None  # since when all answers have given an older epoch, clock seconds


class TopicInfo(NamedTuple):
    name: str
    id: bytes  # 16 bytes, all zero: unknown. Another id under the same name is another topic: it was recreated
    partitions: tuple[PartitionInfo, ...]  # by partition id; empty: nothing known yet
    error: KafkaError | None  # of the last answer about it; partitions may still be those of an earlier one
    failing_since: float | None  # since when `error` has been set, clock seconds; again when "unknown" comes or goes
    is_internal: bool = False
    id_since: float = float("-inf")  # since when `id` has been believed, clock seconds
    former_id: bytes = NO_ID  # what `id` was before
    rival_id: bytes = NO_ID  # what the last answer said instead of `id`; not believed yet
    as_of: float = float("-inf")  # when the last answer about it came, clock seconds

    @property
    def is_gone(self) -> bool:
        """Whether brokers have denied it for so long that it counts as not existing: `error` is then not retriable."""
        return is_unknown(self) and not self.error.retriable  # type: ignore[union-attr]


class Snapshot(NamedTuple):
    cluster_id: str | None
    controller_id: int  # -1: unknown
    brokers: MappingProxyType[int, BrokerInfo]
    topics: MappingProxyType[str, TopicInfo]
    version: int  # grows with every change
    time: float  # when the last of it was learned, clock seconds
    touched: tuple[str, ...] = ()  # the topics that the version before may have known differently

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

    def topic_id(self, topic: str) -> bytes:
        """The topic's id, 16 bytes; all zero while it is not known: the topic can then only be named by its name."""
        known = self.topics.get(topic)
        return known.id if known is not None else NO_ID


EMPTY = Snapshot(None, -1, MappingProxyType({}), MappingProxyType({}), 0, float("-inf"))


def merge(old: Snapshot, response: Any, version: int, now: float, grace: float = 30.0) -> Snapshot:
    """`old` with what a MetadataResponse of this version adds. Topics it does not speak of stay as they are.

    A topic that has been unknown to brokers for `grace` seconds is gone: see `Topic.is_gone`.
    """
    brokers = {b.node_id: BrokerInfo(b.node_id, b.host, b.port, b.rack) for b in response.brokers}
    topics = old.topics.copy()  # many times faster than dict(), as this is no dict
    for entry in response.topics:
        if entry.name is not None:
            topics[entry.name] = _merge_topic(topics.get(entry.name), entry, version, now, grace)
    return Snapshot(
        response.cluster_id if response.cluster_id is not None else old.cluster_id,
        response.controller_id,
        MappingProxyType(brokers or old.brokers.copy()),
        MappingProxyType(topics),
        old.version + 1,
        now,
        tuple(entry.name for entry in response.topics if entry.name is not None),
    )


def without(old: Snapshot, topics: Iterable[str]) -> Snapshot:
    """`old` without these topics."""
    left = old.topics.copy()
    for topic in topics:
        left.pop(topic, None)
    return old._replace(topics=MappingProxyType(left), version=old.version + 1, touched=(*old.touched, *topics))


def _merge_topic(known: TopicInfo | None, entry: Any, version: int, now: float, grace: float) -> TopicInfo:
    if entry.error is not None:
        return _merge_error(known, entry.name, entry.error, now, grace)
    topic_id, id_since, former_id = entry.topic_id, now, NO_ID
    if known is not None:
        if known.is_gone and topic_id == NO_ID:
            known = None  # from brokers without ids: all that can be known is that it was not there for long
        elif topic_id in (known.id, NO_ID):
            topic_id, id_since, former_id = known.id, known.id_since, known.former_id
        elif known.id != NO_ID:
            if not _is_recreated(known, topic_id, now):
                return known._replace(error=None, failing_since=None, rival_id=topic_id, as_of=now)
            former_id, known = known.id, None
    before = known.partitions if known is not None else ()
    highest = max((p.partition_index for p in entry.partitions), default=-1)
    # A restarted broker may briefly know of fewer partitions; a topic's count never shrinks.
    partitions = [
        before[index] if index < len(before) else PartitionInfo(index, -1, -1)
        for index in range(max(len(before), highest + 1))
    ]
    for p in entry.partitions:
        index = p.partition_index
        if index < 0:
            continue
        newest = partitions[index].leader_epoch
        epoch = p.leader_epoch if version >= _EPOCHS_RELIABLE else -1
        if 0 <= epoch < newest:  # older news than we have
            since = partitions[index].older_since
            if since is None:
                partitions[index] = partitions[index]._replace(older_since=now)
            if since is None or now - since < _OLDER_FOR:
                continue
            newest = -1  # nobody else knows of that epoch: it was perhaps of a former topic of this name
        # An answer without an epoch is believed (it comes from an older release), and the newest epoch remembered.
        partitions[index] = PartitionInfo(
            index, p.leader_id, max(epoch, newest), p.replica_nodes, p.isr_nodes, p.offline_replicas, p.error
        )
    # The same tuple where nothing changed, the id included, so that "is it the same" is a cheap question.
    after = tuple(partitions)
    if known is not None and known.id == topic_id and before == after:
        after = before
    return TopicInfo(entry.name, topic_id, after, None, None, entry.is_internal, id_since, former_id, as_of=now)


def _merge_error(known: TopicInfo | None, name: str, error: KafkaError, now: float, grace: float) -> TopicInfo:
    """One broker's word that a topic is gone or out of order does not take back what is known of its partitions."""
    if known is None:
        known = TopicInfo(name, NO_ID, (), None, None)
    since = known.failing_since
    unknown = error.errno in _UNKNOWN
    if since is None or unknown != is_unknown(known):
        since = now
    if unknown and known.is_gone:
        error = known.error  # type: ignore[assignment]
    elif unknown and now - since >= grace:
        error = UnknownTopicOrPartitionError(
            f"Brokers have answered for {now - since:.0f} s that there is no topic {name!r}."
        )
        error.retriable = False
    return known._replace(error=error, failing_since=since, as_of=now)


def _is_recreated(known: TopicInfo, topic_id: bytes, now: float) -> bool:
    """Whether to believe that the topic was deleted and recreated, because an answer has another id for it.

    The answer may as well be older than what is known. But brokers are behind for seconds only, so an id that was held
    for long is given up at once; before that it takes a second answer, or one that denied the topic. Never does the
    former id come back so: it is an old acquaintance of a broker that is behind.
    """
    if now - known.id_since >= _BEHIND_AT_MOST:
        return True
    return topic_id != known.former_id and (topic_id == known.rival_id or is_unknown(known))


def with_leader(
    old: Snapshot, topic: str, partition: int, leader: int, epoch: int, broker: BrokerInfo | None
) -> Snapshot:
    """`old` with a leader named in a produce or fetch answer (KIP-951), if that is strictly newer and reachable.

    Everything else stays: the other partitions, and the other brokers.
    """
    known = old.topics.get(topic)
    if known is None or not 0 <= partition < len(known.partitions):
        return old
    if broker is not None and broker.id != leader:
        broker = None
    if epoch <= known.partitions[partition].leader_epoch or (broker is None and leader not in old.brokers):
        return old
    partitions = list(known.partitions)
    partitions[partition] = partitions[partition]._replace(
        leader=leader, leader_epoch=epoch, error=None, older_since=None
    )
    brokers = old.brokers
    if broker is not None and brokers.get(broker.id) != broker:
        brokers = MappingProxyType({**brokers, broker.id: broker})
    topics = old.topics.copy()
    topics[topic] = known._replace(partitions=tuple(partitions))
    return old._replace(
        brokers=brokers,
        topics=MappingProxyType(topics),
        version=old.version + 1,
        touched=(topic,),
    )


def is_unknown(topic: TopicInfo) -> bool:
    """Whether the last answer said that there is no such topic (yet)."""
    return topic.error is not None and topic.error.errno in _UNKNOWN


def still_unclear(topic: TopicInfo | None, brokers: Collection[int]) -> bool:
    """Whether another look may tell more: no answer yet, an error that passes, a partition without a leader among the
    known `brokers`, or an id that contradicts the one that is known."""
    if topic is None:
        return True
    if topic.error is not None:
        return topic.error.retriable
    return topic.rival_id != NO_ID or not topic.partitions or any(p.leader not in brokers for p in topic.partitions)
