"""A broker that accepts everything and answers nothing holds up no work that another one can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kafka.core.cluster.routes import ANY, Coordinator
from kafka.core.net.lanes import Lane
from kafka.protocol import FindCoordinatorRequest, InitProducerIdRequest, MetadataRequest
from kafka.result import Ok
from kafka.testing.sim_broker import SimBroker
from tests.sim.producing import SimProducer
from tests.sim.world import Promise, World

# One attempt's time, and a little for the next broker.
SOON = 2.0 + 0.1


def init(version: int) -> Any:
    return InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000)


def connected(seed: int = 1, brokers: int = 3, **config: Any) -> World:
    """A client with a ready connection to every broker."""
    world = World(seed, brokers, **config)
    world.cluster.create_topic("t", 6)
    world.bootstrap().unwrap()
    world.core.metadata.want("t", world.now)
    for id in range(brokers):
        world.brokers.ensure(id, world.now)
    assert world.run(5.0, lambda: all(world.brokers.connection_id(id) >= 0 for id in range(brokers)))
    world.run(0.5)
    return world


def pause_whoever_is_asked(world: World, api_key: int) -> list[SimBroker]:
    """The first broker to be asked this pauses, without an answer (SIGSTOP)."""
    paused: list[SimBroker] = []

    def wrap(original: Callable[[SimBroker, Any, Any], Any]) -> Callable[[SimBroker, Any, Any], Any]:
        def handler(broker: SimBroker, header: Any, request: Any) -> Any:
            if not paused:
                paused.append(broker)
                broker.pause()
            return None if broker in paused else original(broker, header, request)

        return handler

    for broker in world.cluster.brokers:
        broker.handlers[api_key] = wrap(broker.handlers[api_key])
    return paused


def timed(world: World, promise: Promise) -> float:
    start = world.now
    assert world.run(30.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Ok), promise.result
    return world.now - start


@pytest.mark.parametrize("seed", range(10))
def test_metadata_is_learnt_though_the_broker_that_was_asked_is_paused(seed: int) -> None:
    world = connected(seed)
    paused = pause_whoever_is_asked(world, MetadataRequest.API_KEY)
    world.core.metadata.refresh("t", world.now)
    world.client.turn()
    assert world.run(1.0, lambda: bool(paused))
    for waiting in (SOON, 0.1):  # the second time nobody asks the paused one
        moved = next(i for i, part in enumerate(world.cluster.topics["t"]) if part.leader != paused[0].id)
        to = next(id for id in range(3) if id not in (paused[0].id, world.cluster.topics["t"][moved].leader))
        world.cluster.move_leader("t", moved, to)
        world.core.metadata.refresh("t", world.now)
        world.client.turn()
        assert world.run(waiting, lambda moved=moved, to=to: world.core.snapshot.leader("t", moved) == to)  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(10))
def test_a_producer_id_is_had_though_the_broker_that_was_asked_is_paused(seed: int) -> None:
    world = connected(seed)
    paused = pause_whoever_is_asked(world, InitProducerIdRequest.API_KEY)
    assert timed(world, world.request(ANY, InitProducerIdRequest, init)) < SOON
    assert len(paused) == 1
    assert timed(world, world.request(ANY, InitProducerIdRequest, init)) < 0.1


@pytest.mark.parametrize("seed", range(10))
def test_a_coordinator_is_found_though_the_broker_that_was_asked_is_paused(seed: int) -> None:
    world = connected(seed)
    # The coordinator itself has to be another one than the one that is asked for it.
    paused = pause_whoever_is_asked(world, FindCoordinatorRequest.API_KEY)
    for waiting in (SOON, 0.1):
        key = f"transaction-{waiting}"
        while paused and world.cluster.brokers[sum(key.encode()) % 3] in paused:
            key += "y"
        route = Coordinator(1, key)
        promise = world.request(route, InitProducerIdRequest, init, timeout=60.0)
        if not paused:
            assert world.run(1.0, lambda: bool(paused))
            if world.cluster.brokers[sum(key.encode()) % 3] in paused:
                paused[0].resume()
                return  # this seed asked the coordinator
        assert timed(world, promise) < waiting


def test_a_busy_broker_is_not_taken_for_a_silent_one_and_a_silent_one_not_for_an_idle_one() -> None:
    """The silent one has the fewest requests in flight: that must not make it the favourite."""
    world = connected()
    world.core.parts = ()
    for broker in world.cluster.brokers:
        broker.least_work = broker.most_work = 0.05
    world.cluster.brokers[2].pause()
    results: list[Any] = []

    def again(node: int) -> None:
        world.brokers.send(node, InitProducerIdRequest, init, lambda r, now: results.append((node, r)), world.now)

    again(2)
    for _ in range(5):
        again(0)
        again(1)
    world.client.turn()
    start, answered = world.now, 0
    while world.now - start < 1.0:
        assert world.run(1.0, lambda answered=answered: len(results) > answered)  # type: ignore[misc]
        for node, _ in results[answered:]:
            again(node)
        answered = len(results)
        world.client.turn()
    for _ in range(10):
        assert timed(world, world.request(ANY, InitProducerIdRequest, init)) < 0.5


@pytest.mark.parametrize("seed", range(10))
def test_where_all_are_slow_a_late_answer_counts(seed: int) -> None:
    world = connected(seed)
    for broker in world.cluster.brokers:
        broker.least_work = broker.most_work = 3.0
    assert timed(world, world.request(ANY, InitProducerIdRequest, init, timeout=20.0)) < 3.2


def test_whoever_becomes_ready_first_gets_the_call() -> None:
    """It waits for a connection to one broker that answers no SYN; another one is connected to for other reasons."""
    world = World(1, any_broker_attempt=20.0)
    world.bootstrap().unwrap()
    world.run(1.0)
    (first,) = [id for id in range(3) if world.brokers.connection_id(id) >= 0]
    for broker in world.cluster.brokers:
        world.network.black_holes.add((broker.ip, broker.port))
    for link in list(world.network.links):
        link.reset()
    world.run(0.5)
    promise = world.request(ANY, InitProducerIdRequest, init, timeout=25.0)
    world.run(1.0)
    asked = next(node.id for node in world.core.nodes.nodes.values() if node.channel(Lane.CONTROL).is_connecting)
    other = next(id for id in range(3) if id != asked)
    world.network.black_holes.discard((f"10.0.0.{other}", 9092))
    world.brokers.ensure(other, world.now)
    world.client.turn()
    assert timed(world, promise) < 0.5


def test_a_lost_broker_is_looked_up_again() -> None:
    """Its name may stand for another address by now; and of several every one gets its turn."""
    world = connected(brokers=1)
    broker = world.cluster.brokers[0]
    broker.stop()
    world.network.hosts["kafka0"] = [("10.0.0.99",), ("10.0.0.98",)]
    broker.ip = "10.0.0.98"
    broker.start()
    world.brokers.ensure(0, world.now)
    world.client.turn()
    assert world.run(1.0, lambda: world.brokers.connection_id(0) >= 0)


@pytest.mark.parametrize("seed", range(10))
def test_a_producer_goes_on_with_the_others_while_one_broker_is_paused(seed: int) -> None:
    """Its leaders move away; the client hears of it though the one it asks may be the paused one."""
    world = connected(seed)
    producer = SimProducer(world, linger=0.0)
    paused = world.cluster.brokers[seed % 3]
    paused.pause()
    world.run(0.2)
    for index, partition in enumerate(world.cluster.topics["t"]):
        if partition.leader == paused.id:
            world.cluster.move_leader("t", index, (paused.id + 1) % 3)
    world.core.metadata.refresh("t", world.now)
    world.client.turn()
    assert world.run(SOON, lambda: all(p.leader != paused.id for p in world.core.snapshot.topics["t"].partitions))
    for _ in range(20):
        producer.put("t")
        world.run(0.01)
    assert world.run(1.0, producer.all_done)
    producer.check("t")


def test_a_late_answer_says_in_which_version_it_is() -> None:
    """The request that was built last may have been of another."""
    world = connected()
    slow, *others = world.cluster.brokers
    slow.least_work = slow.most_work = 3.0
    for broker in others:
        broker.pause()
        world.channel(broker.id).connection._chosen[InitProducerIdRequest] = 3  # type: ignore[union-attr]
    original = slow.handlers[InitProducerIdRequest.API_KEY]
    built: list[int] = []
    answered: list[int] = []

    def build(version: int) -> Any:
        built.append(version)
        return init(version)

    def handler(broker: SimBroker, header: Any, request: Any) -> Any:
        answered.append(header.api_version)
        return original(broker, header, request)

    slow.handlers[InitProducerIdRequest.API_KEY] = handler
    answers: list[Any] = []
    world.core.calls.start(
        ANY, InitProducerIdRequest, build, lambda answer, now: answers.append(answer), world.now, 60.0
    )
    assert world.run(60.0, lambda: bool(answers))
    assert isinstance(answers[0], Ok) and set(built) == {3, InitProducerIdRequest.VERSIONS[1]}
    assert answers[0].value.version == answered[0] != built[-1]
    assert answers[0].value.node_id == slow.id
