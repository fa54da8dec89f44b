"""What the simulated tests share: a cluster with a client on it, and a checker of every callback."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from kafka.core.config import Config
from kafka.core.net.channel import Channel
from kafka.core.net.lanes import Lane
from kafka.errors import KafkaError
from kafka.protocol import ProduceRequest
from kafka.result import Err, Result
from kafka.testing.model.world import Later
from kafka.testing.sim_broker import SimBroker
from kafka.testing.simulator import Network, SimCluster, SimDriver, Simulation


class World:
    def __init__(self, seed: int, brokers: int = 3, *, tracing: bool = True, **config: Any) -> None:
        self.simulation = Simulation(seed, tracing=tracing)
        self.network = Network(self.simulation)
        self.cluster = SimCluster(self.network, brokers)
        config.setdefault("bootstrap", self.cluster.bootstrap)
        self.client = SimDriver(self.network, Config(**config))
        self.core = self.client.core
        self.brokers = self.core.services.brokers(Lane.PRODUCE)
        self.checker = Checker(self.simulation)

    @property
    def now(self) -> float:
        return self.simulation.now

    def run(self, seconds: float, done: Any = lambda: False) -> bool:
        self.client.turn()
        return self.simulation.run(self.now + seconds, done)

    def channel(self, node_id: int, lane: Lane = Lane.CONTROL) -> Channel:
        return self.core.nodes.nodes[node_id].channel(lane)

    def bootstrap(self, timeout: float = 10.0) -> Result[Any, KafkaError]:
        promise = self.checker.promise("bootstrap", timeout)
        self.core.bootstrap(promise, self.now, timeout)
        assert self.run(timeout + 1, lambda: promise.result is not None)
        return promise.result

    def request(self, route: Any, message_class: Any, build: Any, timeout: float = 10.0, **options: Any) -> Promise:
        promise = self.checker.promise(f"{message_class.__name__} {route}", timeout)
        self.core.calls.request(route, message_class, build, promise, self.now, timeout, **options)
        self.client.turn()
        return promise


class Promise:
    """A callback that may be called once, in time."""

    def __init__(self, simulation: Simulation, name: str, timeout: float) -> None:
        self.simulation = simulation
        self.name = name
        self.deadline = simulation.now + timeout
        self.result: Result[Any, KafkaError] | None = None

    def __call__(self, result: Result[Any, KafkaError], now: float) -> None:
        assert self.result is None, f"{self.name} was called twice: {self.result}, then {result}"
        assert now == self.simulation.now
        assert now <= self.deadline + 1e-6, f"{self.name} was called {now - self.deadline:.3f} s late: {result}"
        self.result = result
        self.simulation.note("result", self.name, str(result.error) if isinstance(result, Err) else "Ok")


class Checker:
    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.promises: list[Promise] = []

    def promise(self, name: str, timeout: float) -> Promise:
        promise = Promise(self.simulation, name, timeout)
        self.promises.append(promise)
        return promise

    def check(self) -> None:
        """Every promise whose time is over has been called."""
        for promise in self.promises:
            if promise.result is None:
                assert self.simulation.now <= promise.deadline + 1e-6, f"{promise.name} was never called"


def late(broker: SimBroker, seconds: float, answer: Any) -> Later:
    """The handler's answer, so much later: the connection does nothing else meanwhile."""
    later = Later(answer.complete if isinstance(answer, Later) else lambda: answer)
    broker.cluster.simulation.after(seconds, later.ready)
    return later


def changed(answer: Any, change: Callable[[Any], None]) -> Any:
    """What a handler answered, now or later, after `change(response)`."""
    if not isinstance(answer, Later):
        change(answer)
        return answer
    complete = answer.complete

    def completed() -> Any:
        response = complete()
        change(response)
        return response

    answer.complete = completed
    return answer


def break_connections(broker: SimBroker) -> None:
    """What the broker was sent and has not looked at is lost, and the answers it owes."""
    for link in list(broker.connections):
        link.reset()
    broker.connections.clear()


def batch(count: int = 1, producer_id: int = -1, epoch: int = -1, sequence: int = -1, tail: bytes = b"") -> bytes:
    """A v2 batch header, good enough for a simulated broker."""
    return (
        struct.pack(
            ">qiibIhiqqqhii", 0, 49 + len(tail), -1, 2, 0, 0, count - 1, 0, 0, producer_id, epoch, sequence, count
        )
        + tail
    )


def produce_request(topic: str, topic_id: bytes, partition: int, records: bytes, version: int, acks: int = -1) -> Any:
    data = ProduceRequest.PartitionProduceData(index=partition, records=records)
    by_id = {"topic_id": topic_id} if version >= 13 else {"name": topic}
    return ProduceRequest(
        acks=acks, timeout_ms=30000, topic_data=[ProduceRequest.TopicProduceData(**by_id, partition_data=[data])]
    )
