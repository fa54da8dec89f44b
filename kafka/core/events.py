"""Whom the core tells of what happens. The one place that knows every event and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafka._codec import Batch
    from kafka.core.cluster.snapshot import Snapshot
    from kafka.core.net.node import Node
    from kafka.core.produce.partitions import Partition
    from kafka.errors import KafkaError
    from kafka.structs import OffsetAndMetadata, TopicPartition

    Partitions = tuple[TopicPartition, ...]


class Listeners:
    """One callable for each event, or None where nobody listens, so that an event nobody wants costs one comparison.

    They are called on the driver's thread, in the middle of the core's work: they must be quick, must not raise, and
    must not call the core. The last argument is the core's clock; sizes are bytes, durations seconds.
    """

    __slots__ = (
        "batch_delivered", "batch_failed", "batch_retried", "batches_sent", "committed", "connected", "disconnected",
        "failing", "fetched", "leader_changed", "metadata", "rebalanced", "recovered", "request", "response",
        "throttled",
    )  # fmt: skip

    # the batches of a request
    batches_sent: Callable[[Mapping[Partition, Batch], float], None] | None
    # topic, partition, records, size, time since its first record was sent, base offset (-1: not told)
    batch_delivered: Callable[[str, int, int, int, float, int, float], None] | None
    # topic, partition, records, size, attempts so far, why it has to be sent again
    batch_retried: Callable[[str, int, int, int, int, KafkaError, float], None] | None
    # topic, partition (-1: it never had one), records, size, time since its first record was sent, why
    batch_failed: Callable[[str, int, int, int, float, BaseException, float], None] | None
    # topic, partition, records, size, the offset behind them
    fetched: Callable[[str, int, int, int, int, float], None] | None
    # group, offsets, time it took, what went wrong
    committed: Callable[[str, Mapping[TopicPartition, OffsetAndMetadata], float, KafkaError | None, float], None] | None
    # group; partitions that were assigned, revoked, lost
    rebalanced: Callable[[str, Partitions, Partitions, Partitions, float], None] | None
    # the broker answers; time it took to connect
    connected: Callable[[Node, float, float], None] | None
    # a connection ended that was up: why; None: idle, or closed by this client
    disconnected: Callable[[Node, KafkaError | None, float], None] | None
    # request class, version, size of its frame
    request: Callable[[Node, Any, int, int, float], None] | None
    # request class, version, size of the answer's frame (0: none came), time since the request, what went wrong
    response: Callable[[Node, Any, int, int, float, KafkaError | None, float], None] | None
    # for how long
    throttled: Callable[[Node, float, float], None] | None
    # the first failure of a series
    failing: Callable[[Node, KafkaError, float], None] | None
    # how long it had been failing
    recovered: Callable[[Node, float, float], None] | None
    # topic, partition, old leader, new leader (-1: nobody), new leader epoch (-1: unknown)
    leader_changed: Callable[[str, int, int, int, int, float], None] | None
    metadata: Callable[[Snapshot, float], None] | None

    def __init__(self) -> None:
        for event in self.__slots__:
            setattr(self, event, None)
