"""What a producer tells of: batches of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from kafka._codec import Batch
    from kafka.core.produce.partitions import Partition


class BatchSent(NamedTuple):
    """A batch is in a request that has been handed to the socket."""

    topic: str
    partition: int
    records: int
    bytes: int  # on the wire
    uncompressed: int  # bytes
    waited: float  # seconds from its first record to now
    attempt: int  # 1: the first


class BatchRetried(NamedTuple):
    """A batch was not taken, or nobody knows whether it was; it will be sent again."""

    topic: str
    partition: int
    records: int
    bytes: int
    attempts: int  # so far
    error: Exception


class BatchDelivered(NamedTuple):
    """A broker has acknowledged a batch (with acks=0: it has been written to the socket); its futures follow."""

    topic: str
    partition: int
    records: int
    bytes: int
    seconds: float  # since its first record was sent
    base_offset: int  # of its first record; -1 where brokers do not say


class BatchFailed(NamedTuple):
    """The records of a batch have failed; their futures get this error, or (bad records) errors of their own."""

    topic: str
    partition: int  # -1: it never had one
    records: int
    bytes: int
    seconds: float  # since its first record was sent
    error: BaseException


class ProducerHooks:
    """The methods for these events."""

    def on_batch_sent(self, event: BatchSent) -> None: ...

    def on_batch_retried(self, event: BatchRetried) -> None: ...

    def on_batch_delivered(self, event: BatchDelivered) -> None: ...

    def on_batch_failed(self, event: BatchFailed) -> None: ...


def _batches(sent: Mapping[Partition, Batch], now: float) -> list[BatchSent]:
    return [
        BatchSent(
            batch.topic,
            batch.partition,
            batch.records,
            batch.size,
            batch.plain or batch.size,
            now - batch.created,
            batch.attempts,
        )
        for batch in sent.values()
    ]


# What the core calls: the method of hooks, and what makes its argument; a list of several where it calls once for them.
EVENTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "batches_sent": ("on_batch_sent", _batches),
    "batch_retried": ("on_batch_retried", lambda *args: BatchRetried(*args[:-1])),
    "batch_delivered": ("on_batch_delivered", lambda *args: BatchDelivered(*args[:-1])),
    "batch_failed": ("on_batch_failed", lambda *args: BatchFailed(*args[:-1])),
}
