"""What the simulated tests of fetching share: a client that reads, and a reader that takes what arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kafka._codec import Fetched, ReadPosition
from kafka.consumer.reading import rules
from kafka.core.consume.deliveries import Deliveries, Failure
from kafka.core.consume.fetch import Fetch, FetchConfig
from kafka.core.consume.offsets import EARLIEST
from kafka.errors import KafkaError
from kafka.protocol import FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest
from kafka.records import RecordBatchBuilder
from kafka.structs import TopicPartition
from tests.sim.world import World


def batch(*values: bytes, **options: Any) -> bytes:
    builder = RecordBatchBuilder(**options)
    for value in values:
        builder.append(1000, None, value)
    return bytes(builder.build())


class ReadingWorld(World):
    """A cluster, a client on it that fetches, and what it has read."""

    def __init__(self, seed: int, brokers: int = 3, *, fetch: dict[str, Any] | None = None, **config: Any) -> None:
        super().__init__(seed, brokers, **config)
        options: dict[str, Any] = {"reset": lambda: EARLIEST, **(fetch or {})}
        self.cluster.offer(FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest)
        self.deliveries = Deliveries()
        self.fetch = Fetch(
            self.core.services,
            FetchConfig(**options),
            rules(
                check_crc=True,
                read_committed=options.get("isolation", 0) == 1,
                key_deserializer=None,
                value_deserializer=None,
            ),
            self.deliveries,
        )
        self.core.attach(self.fetch)
        self.positions: dict[TopicPartition, ReadPosition] = {}
        self.read: dict[TopicPartition, list[tuple[int, bytes]]] = {}
        self.arrivals: list[tuple[float, TopicPartition]] = []
        self.errors: list[KafkaError] = []
        self.reads = True  # the reader takes what arrives as soon as it does
        self.deliveries.tell = lambda: self.simulation.after(0.0, self._read) if self.reads else None

    def assign(self, topic: str, partitions: Iterable[int], offset: int | None = 0) -> None:
        for number in partitions:
            tp = TopicPartition(topic, number)
            position = self.positions[tp] = ReadPosition(tp)
            self.read[tp] = []
            self.fetch.add(position, self.now)
            if offset is None:
                self.fetch.look_up(position, position.generation, None, self.now)
            else:
                self.seek(tp, offset)
        self.client.turn()

    def seek(self, tp: TopicPartition, offset: int) -> None:
        position = self.positions[tp]
        self.fetch.place(position, position.move(offset, -1), offset, -1, self.now)
        self.client.turn()

    def pause(self, tp: TopicPartition, paused: bool) -> None:
        self.positions[tp].paused = paused
        self.fetch.reconsider(self.positions[tp], self.now)
        self.client.turn()

    def append(self, topic: str, partition: int, *values: bytes, **options: Any) -> None:
        """On the log and all its replicas at once."""
        log = self.cluster.topics[topic][partition]
        log.append(batch(*values, **options))
        log.commit(log.end)

    def _read(self) -> None:
        self.take()
        self.client.turn()

    def take(self) -> None:
        arrived = self.deliveries.arrived
        while arrived:
            item = arrived.popleft()
            if isinstance(item, Failure):
                item.is_told = True
                if not item.is_stale:
                    self.errors.append(item.error)
                continue
            assert isinstance(item, Fetched)
            tp = item.position.partition
            self.arrivals.append((self.now, tp))
            while records := item.take(100):
                self.read[tp] += [(record.offset, record.value) for record in records]
            item.finish()
            self.deliveries.returned.append(item)

    def values(self, topic: str, partition: int) -> list[bytes]:
        return [value for _, value in self.read[TopicPartition(topic, partition)]]

    def until(self, done: Callable[[], bool], seconds: float = 10.0) -> None:
        assert self.run(seconds, done), "it did not come to that"
