"""Topics, their partitions, and what all brokers of a cluster share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from kafka.protocol.codes import Code
from kafka.testing.model.groups import Groups
from kafka.testing.model.log import Log
from kafka.testing.model.producers import Appended, codec_of
from kafka.testing.model.sasl import Sasl
from kafka.testing.model.transactions import Transactions

if TYPE_CHECKING:
    from kafka.testing.model.broker import Broker
    from kafka.testing.model.world import World

NO_ID = bytes(16)
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_ZSTD, _ZSTD_SINCE = 4, 7  # codec number; the first version of Produce that may carry it


class Partition:
    """A log and the nodes that have it. All replicas share one log: what was appended is on all of them at once."""

    def __init__(self, log: Log, replicas: Sequence[int]) -> None:
        self.log = log
        self.replicas = tuple(replicas)
        self.leader = self.replicas[0]
        self.epoch = 0  # of the leader

    @property
    def end(self) -> int:
        return self.log.end

    @property
    def high_watermark(self) -> int:
        """Consumers read up to here."""
        return self.log.end

    @property
    def last_stable(self) -> int:
        """Consumers with read_committed read up to here."""
        return self.log.last_stable(self.high_watermark)

    def epoch_end(self, epoch: int) -> tuple[int, int]:
        """(the last leader epoch up to this one, the offset after its last record); (-1, -1): there was none such."""
        if epoch >= self.epoch:
            return (epoch, self.end) if epoch == self.epoch else (-1, -1)
        return self.log.epoch_end(epoch)

    def append(self, batch: memoryview | None, version: int) -> Appended:
        """As its leader, what a Produce request of that version has for it."""
        if not batch:  # of null records, Kafka says nothing at all: it fails inside, and the client waits
            return Appended(Code.INVALID_RECORD, message="a partition's records must be exactly one record batch")
        if version < _ZSTD_SINCE and codec_of(batch) == _ZSTD:
            return Appended(Code.UNSUPPORTED_COMPRESSION_TYPE, message=f"Produce v{version} cannot carry zstd")
        try:
            return self.log.append(batch, version, self.epoch)
        except OSError as error:
            return Appended(Code.KAFKA_STORAGE_ERROR, message=str(error))

    def end_transaction(self, producer_id: int, epoch: int, committed: bool) -> None:
        """OSError if the marker cannot be written."""
        self.log.end_transaction(producer_id, epoch, committed, self.epoch)


class Topic:
    """A sequence of its partitions."""

    def __init__(
        self, name: str, id: bytes, partitions: Sequence[Partition], configs: Mapping[str, str | None]
    ) -> None:
        self.name = name
        self.id = id
        self.partitions = list(partitions)
        self.configs = dict(configs)

    def __getitem__(self, index: int) -> Partition:
        return self.partitions[index]

    def __iter__(self) -> Iterator[Partition]:
        return iter(self.partitions)

    def __len__(self) -> int:
        return len(self.partitions)

    def get(self, index: int) -> Partition | None:
        return self.partitions[index] if 0 <= index < len(self.partitions) else None


class Cluster:
    """What all brokers share. `auto_create`: a client's first mention of a topic creates it."""

    brokers: Sequence[Broker]
    default_partitions = 1

    def __init__(self, world: World, id: str) -> None:
        self.world = world
        self.id = id
        self.topics: dict[str, Topic] = {}
        self.topics_by_id: dict[bytes, Topic] = {}
        self.auto_create: int = 0
        self.next_producer_id = 1000
        self.first_epoch = 0  # of new producer ids
        self.transactions = Transactions(self)
        self.groups = Groups(world)
        self.sasl: Sasl | None = None  # how clients authenticate, where they have to

    def broker(self, id: int) -> Broker:
        return next(broker for broker in self.brokers if broker.id == id)

    def alive(self) -> Sequence[Broker]:
        return [broker for broker in self.brokers if broker.is_up]

    def new_producer_id(self) -> int:
        self.next_producer_id += 1
        return self.next_producer_id - 1

    # -- coordinators --------------------------------------------------------------------------------------------------

    def home(self, key: str) -> Broker:
        """The broker that coordinates this transactional id or group."""
        return self.brokers[sum(key.encode()) % len(self.brokers)]

    def refusal(self, broker: Broker, key: str) -> int:
        """What this broker answers instead, if it does not coordinate that key (now); 0: it does."""
        return 0 if self.home(key) is broker else Code.NOT_COORDINATOR

    # -- topics --------------------------------------------------------------------------------------------------------

    @staticmethod
    def is_valid_name(name: str) -> bool:
        return _NAME.fullmatch(name) is not None and name not in (".", "..")

    def add_topic(
        self,
        name: str,
        partitions: int | None = None,
        *,
        copies: int | None = None,
        replicas: Sequence[Sequence[int]] | None = None,
        configs: Mapping[str, str | None] | None = None,
        dry_run: bool = False,
    ) -> Topic:
        """Leaders go round the brokers, each topic beginning one further. `replicas`: each partition's broker ids."""
        count = len(self.brokers)
        if replicas is None:
            copies = min(3, count) if copies is None else copies
            replicas = [
                [self.brokers[(len(self.topics) + index + copy) % count].id for copy in range(copies)]
                for index in range(partitions or self.default_partitions)
            ]
        topic = Topic(name, self.new_topic_id(), [], configs or {})
        for index, ids in enumerate(replicas):
            partition = Partition(Log(None), ids) if dry_run else self.new_partition(topic, index, ids)
            topic.partitions.append(partition)
        if not dry_run:
            self.topics[name] = self.topics_by_id[topic.id] = topic
        return topic

    def new_topic_id(self) -> bytes:
        return self.world.random.randbytes(16)

    def new_partition(self, topic: Topic, index: int, replicas: Sequence[int]) -> Partition:
        raise NotImplementedError

    def mention(self, name: str) -> Topic:
        """Creates a topic that a client asked for."""
        return self.add_topic(name)

    def remove_topic(self, topic: Topic) -> None:
        del self.topics[topic.name], self.topics_by_id[topic.id]
        for partition in topic:
            partition.log.tell()
