"""The simplest data path there can be: keeps every leader's connection full of one-batch produce requests."""

from __future__ import annotations

from typing import Any

from kafka.core.cluster.snapshot import Snapshot
from kafka.core.net.lanes import Lane
from kafka.errors import KafkaError
from kafka.protocol import ProduceRequest
from kafka.result import Ok, Result
from tests.sim.world import World, batch, produce_request


class Pump:
    lane = Lane.PRODUCE

    def __init__(self, world: World, topic: str, acks: int = -1, timeout: float = 5.0) -> None:
        self.world = world
        self.core = world.core
        self.brokers = world.brokers
        self.topic = topic
        self.acks = acks
        self.timeout = timeout
        self.on = True
        self.most_in_flight = 0
        self.in_flight: dict[int, int] = {}
        self.sent = self.succeeded = self.failed = 0
        self.room_calls = 0
        self.downs: list[tuple[int, KafkaError]] = []
        self._turn = 0
        self._quiet_until: dict[int, float] = {}
        self.core.attach(self)
        self.core.metadata.want(topic, world.now)

    def on_room(self, node_id: int, now: float) -> None:
        self.room_calls += 1
        assert self.brokers.room(node_id) > 0
        known = self.core.snapshot.topics.get(self.topic)
        if known is None or not self.on:
            return
        led = [p.id for p in known.partitions if p.leader == node_id]
        while led and self.brokers.room(node_id) > 0:
            if self.acks == 0:  # unanswered requests would fill the simulated kernel's buffers without end
                if now < self._quiet_until.get(node_id, 0.0):
                    return
                self._quiet_until[node_id] = now + 0.2
            self._turn += 1
            self._send(node_id, led[self._turn % len(led)], known.id, now)

    def _send(self, node_id: int, partition: int, topic_id: bytes, now: float) -> None:
        # A response later than the timeout closes the connection; the callback is then due at once.
        promise = self.world.checker.promise(f"produce {self.topic}[{partition}] to {node_id}", self.timeout)
        self.sent += 1
        self.in_flight[node_id] = self.in_flight.get(node_id, 0) + 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight[node_id])

        def answered(result: Result[Any, KafkaError], now: float) -> None:
            promise(result, now)
            self.in_flight[node_id] -= 1
            if not isinstance(result, Ok):
                self.failed += 1
                self.core.metadata.refresh(self.topic, now)
                return
            if self.acks == 0:
                assert result.value is None
                self.succeeded += 1
                return
            answer = result.value.responses[0].partition_responses[0]
            assert answer.index == partition
            if answer.error_code == 0:
                self.succeeded += 1
            else:
                self.failed += 1
                self.core.metadata.refresh(self.topic, now)

        def build(version: int) -> Any:
            return produce_request(self.topic, topic_id, partition, batch(), version, self.acks)

        self.brokers.send(node_id, ProduceRequest, build, answered, now, self.timeout, answered=self.acks != 0)

    def on_metadata(self, snapshot: Snapshot, now: float) -> None:
        topic = snapshot.topics.get(self.topic)
        for partition in topic.partitions if topic is not None else ():
            if partition.leader >= 0:
                self.brokers.ensure(partition.leader, now)
        for broker in snapshot.brokers:
            if self.brokers.room(broker) > 0:
                self.on_room(broker, now)

    def close(self, error: KafkaError, now: float) -> None:
        self.on = False

    def on_node_down(self, node_id: int, error: KafkaError, now: float) -> None:
        assert self.in_flight.get(node_id, 0) == 0, "a node is down before its requests were called back"
        self.downs.append((node_id, error))
        self.core.metadata.refresh(self.topic, now)
        if self.core.snapshot.brokers.get(node_id):
            self.brokers.ensure(node_id, now)

    def uses(self, topic: str) -> bool:
        return topic == self.topic

    def tick(self, now: float) -> None:
        for node_id, until in list(self._quiet_until.items()):
            if until <= now:
                del self._quiet_until[node_id]
                if self.brokers.room(node_id) > 0:
                    self.on_room(node_id, now)

    def next_deadline(self) -> float:
        return min(self._quiet_until.values(), default=float("inf"))
