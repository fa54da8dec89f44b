"""The small immutable records that callers and clients hand each other."""

from enum import IntEnum
from typing import NamedTuple


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class TopicPartitionReplica(NamedTuple):
    """One broker's copy of a partition."""

    topic: str
    partition: int
    broker_id: int


class SubscriptionPattern(NamedTuple):
    """Topics for `KafkaConsumer.subscribe` that the brokers find: a regular expression of RE2/J, for whole names."""

    pattern: str


class OffsetAndMetadata(NamedTuple):
    """What a group commits for a partition: where it goes on reading, a note of its own, and the leader's epoch.

    `leader_epoch` is -1 where it is not known.
    """

    offset: int | None = None
    metadata: str | None = ""
    leader_epoch: int = -1


class OffsetAndTimestamp(NamedTuple):
    """The first record at or after a time: its offset, its timestamp in ms since 1970 UTC, the leader's epoch."""

    offset: int
    timestamp: int
    leader_epoch: int


class MemberState:
    """How far a consumer is with joining its group."""

    UNJOINED = "<unjoined>"
    REBALANCING = "<rebalancing>"
    STABLE = "<stable>"


class ConsumerGroupMetadata(NamedTuple):
    """A consumer's place in its group at one moment, by which brokers fence out consumers of the past (KIP-447).

    `state` is one of MemberState and takes no part in the fencing.
    """

    group_id: str | None = None
    generation_id: int = -1
    member_id: str = ""
    group_instance_id: str | None = None
    state: str = MemberState.UNJOINED


class RecordMetadata(NamedTuple):
    """Where an acknowledged record went; what a producer's future resolves to.

    `offset` is -1 when the broker did not say (acks=0). `timestamp` is in ms since 1970 UTC: the record's own, or the
    broker's where the topic says so. `checksum` is always None: records have none since Kafka 0.11. The sizes are in
    bytes before compression, -1 where there is no key, value or header.
    """

    topic: str
    partition: int
    topic_partition: TopicPartition
    offset: int
    timestamp: int
    checksum: None
    serialized_key_size: int
    serialized_value_size: int
    serialized_header_size: int


class IsolationLevel(IntEnum):
    """Which records a reader sees: all, or none of transactions that are open or aborted."""

    READ_UNCOMMITTED = 0
    READ_COMMITTED = 1

    @classmethod
    def build_from(cls, val: "IsolationLevel | int | str") -> "IsolationLevel":
        """The level of that number or name (`read-committed`, say); ValueError if there is none."""
        return cls(_number_of(cls, val))

    @classmethod
    def value_for(cls, val: "IsolationLevel | int | str") -> int:
        """The number for a level, its number or its name; ValueError if there is none."""
        return _number_of(cls, val)


class OffsetSpec(IntEnum):
    """Places in a partition to ask the offset of, in place of a timestamp."""

    LATEST = -1
    EARLIEST = -2
    MAX_TIMESTAMP = -3
    EARLIEST_LOCAL = -4
    LATEST_TIERED = -5

    @classmethod
    def build_from(cls, val: "OffsetSpec | int | str") -> "OffsetSpec":
        """The place of that number or name (`max-timestamp`, say); ValueError if there is none."""
        return cls(_number_of(cls, val))

    @classmethod
    def value_for(cls, val: "OffsetSpec | int | str") -> int:
        """The number for a place, its number or its name; ValueError if there is none."""
        return _number_of(cls, val)


def _number_of(kind: type[IntEnum], val: int | str) -> int:
    if isinstance(val, int):
        return kind(val).value
    try:
        return kind[val.strip().upper().replace("-", "_")].value
    except KeyError:
        raise ValueError(f"{val!r} is not one of {', '.join(kind.__members__)}.") from None
