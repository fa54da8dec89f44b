"""A producer on the simulated network: the real accumulator, with the simulation's clock, under the real core."""

from __future__ import annotations

from typing import Any

from kafka._codec import Accumulator, FutureRecordMetadata, ManualHost
from kafka.core.produce.path import Produce, ProduceConfig
from kafka.producer.waiting import WaitingProducer, Waits
from kafka.records import read_batches
from tests.sim.world import World


class SimProducer(WaitingProducer):
    """`send` and the futures are the product's own; what may wait in them runs the simulation instead."""

    def __init__(
        self,
        world: World,
        *,
        acks: int = -1,
        retries: float = float("inf"),
        idempotent: bool = False,
        rack: str | None = None,
        **options: Any,
    ) -> None:
        self.world = world
        self.host = ManualHost()
        settings = {"memory": 1 << 20, "linger": 0.005, "delivery_timeout": 120.0, **options}
        self.accumulator = Accumulator(self.host, waits=Waits(), **settings)
        super().__init__(self.accumulator)
        self.produce = Produce(
            world.core.services,
            self.accumulator,
            ProduceConfig(
                acks=acks, retries=retries, idempotent=idempotent, request_timeout=world.core.config.request_timeout,
                delivery_timeout=settings["delivery_timeout"], rack=rack,
            ),
        )  # fmt: skip
        world.core.attach(self.produce)
        self.sent: list[tuple[bytes, FutureRecordMetadata]] = []
        self.keep_time()

    def keep_time(self) -> None:
        """Only a batch's creation asks the host's clock; all else is told the time."""
        self.host.now = self.world.simulation.now
        self.host.wall_ms = int(1_700_000_000_000 + self.host.now * 1000)

    def put(self, topic: str, key: bytes | None = None, partition: int | None = None) -> FutureRecordMetadata:
        """Send a record whose value is its own number."""
        self.keep_time()
        value = b"%d" % len(self.sent)
        future = self.send(topic, value, key, partition=partition)
        self.sent.append((value, future))
        self.world.client.turn()
        return future

    def learn(self, topic: str) -> None:
        """What a keyed record needs before it can be sent."""
        answers: list[Any] = []
        self.produce.await_topic(topic, answers.append, self.world.now)
        assert self.world.run(30.0, lambda: bool(answers))
        assert answers == [None]

    def all_done(self) -> bool:
        return all(future.is_done for _, future in self.sent)

    def logs(self, topic: str) -> list[list[tuple[int, bytes | None]]]:
        """(offset, value) of every record in every partition's log."""
        found = []
        for partition in self.world.cluster.topics[topic]:
            records = []
            for _, _, data in partition.log:
                (batch,) = read_batches(data)
                records += [(record.offset, record.value) for record in batch.unwrap().records().unwrap()]
            found.append(records)
        return found

    def check(self, topic: str, *, duplicates: bool = False) -> None:
        """Every delivered record is where its future says; nothing is there that was not sent; no memory is left."""
        logs = [dict(log) for log in self.logs(topic)]
        everything = [value for log in logs for value in log.values()]
        assert set(everything) <= {value for value, _ in self.sent}
        if not duplicates:
            assert len(everything) == len(set(everything))
        for value, future in self.sent:
            assert future.is_done, value
            if future.exception is None:
                metadata = future.get(0)
                if metadata.offset >= 0:
                    assert logs[metadata.partition][metadata.offset] == value
        assert self.accumulator.unresolved() == []
        assert self.accumulator.used == 0
