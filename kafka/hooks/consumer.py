"""What a consumer tells of: what it fetches, its group, its commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kafka.structs import OffsetAndMetadata, TopicPartition


class RecordsFetched(NamedTuple):
    """Batches of a partition have arrived, which the program has yet to read."""

    topic: str
    partition: int
    records: int  # as the batches say; of compacted ones what is left, with those of aborted transactions
    bytes: int
    next_offset: int  # behind them


class OffsetsCommitted(NamedTuple):
    """A commit is over, whoever asked for it."""

    group: str
    offsets: Mapping[TopicPartition, OffsetAndMetadata]
    seconds: float
    error: Exception | None  # why it failed


class Rebalanced(NamedTuple):
    """The consumer has given up partitions of its group, or got some; its listener has been told."""

    group: str
    assigned: tuple[TopicPartition, ...]
    revoked: tuple[TopicPartition, ...]
    lost: tuple[TopicPartition, ...]  # those that others may have had already


class ConsumerHooks:
    """The methods for these events."""

    def on_records_fetched(self, event: RecordsFetched) -> None: ...

    def on_offsets_committed(self, event: OffsetsCommitted) -> None: ...

    def on_rebalance(self, event: Rebalanced) -> None: ...


# What the core calls: the method of hooks, and what makes its argument.
EVENTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "fetched": ("on_records_fetched", lambda *args: RecordsFetched(*args[:-1])),
    "committed": ("on_offsets_committed", lambda *args: OffsetsCommitted(*args[:-1])),
    "rebalanced": ("on_rebalance", lambda *args: Rebalanced(*args[:-1])),
}
