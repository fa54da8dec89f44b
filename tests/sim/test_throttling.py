"""Quotas (KIP-219): the broker says how long it will not listen, and the client leaves it alone for that time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from kafka.core.cluster.routes import ANY, ToBroker
from kafka.core.net.health import BrokerHealth
from kafka.errors import KafkaTimeoutError
from kafka.protocol import InitProducerIdRequest, MetadataRequest, ProduceRequest
from kafka.result import Err, Ok
from kafka.testing.sim_broker import HANDLERS, SimBroker
from tests.sim.producing import SimProducer
from tests.sim.pump import Pump
from tests.sim.world import World, changed

PRODUCE = ProduceRequest.API_KEY


def init(version: int) -> Any:
    return InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000)


def health(world: World, node_id: int) -> BrokerHealth:
    return next(health for health in world.core.health(world.now) if health.node_id == node_id)


def throttle(broker: SimBroker, api_key: int, *seconds: float, mutes: bool = False) -> list[float]:
    """The next answers to this API are throttled so long, one after the other; returns the list of when."""
    original, left, when = broker.handlers[api_key], list(seconds), []
    broker.mutes = mutes

    def handler(broker: SimBroker, header: Any, request: Any) -> Any:
        answer = original(broker, header, request)
        if not left:
            return answer
        when.append(broker.cluster.simulation.now)
        milliseconds = round(left.pop(0) * 1000)
        return changed(answer, lambda response: setattr(response, "throttle_time_ms", milliseconds))

    broker.handlers[api_key] = handler
    return when


def arrivals(broker: SimBroker, api_key: int) -> list[float]:
    """When requests of this API are served from now on."""
    original, when = broker.handlers[api_key], []

    def handler(broker: SimBroker, header: Any, request: Any) -> Any:
        when.append(broker.cluster.simulation.now)
        return original(broker, header, request)

    broker.handlers[api_key] = handler
    return when


def pumping(seed: int = 1, **config: Any) -> tuple[World, Pump]:
    world = World(seed, **config)
    world.cluster.create_topic("t", 6)
    for broker in world.cluster.brokers:
        broker.least_work = broker.most_work = 0.01
    world.bootstrap().unwrap()
    pump = Pump(world, "t")
    assert world.run(5.0, lambda: all(world.brokers.connection_id(broker) >= 0 for broker in range(3)))
    world.run(1.0)
    return world, pump


def test_a_throttled_broker_gets_nothing_until_its_time_is_over() -> None:
    world, pump = pumping()
    told = throttle(world.cluster.brokers[1], PRODUCE, 2.0)
    served = {broker.id: arrivals(broker, PRODUCE) for broker in world.cluster.brokers}
    assert world.run(1.0, lambda: bool(told))
    world.run(0.2)  # what was in flight is answered
    start = told[0]
    assert world.brokers.room(1) == 0 and health(world, 1).state == "ready"
    assert health(world, 1).throttled_until == pytest.approx(start + 2.0, abs=0.1)
    world.run(4.0)
    quiet = [moment for moment in served[1] if start + 0.2 < moment < start + 2.0]
    assert quiet == [], "a throttled broker was sent something"
    assert any(start + 2.0 <= moment < start + 2.1 for moment in served[1]), "on_room did not follow"
    for other in (0, 2):
        assert len([moment for moment in served[other] if start + 0.2 < moment < start + 2.0]) > 50
    known = health(world, 1)
    assert (known.throttled_until, known.throttles) == (None, 1)
    assert known.throttle_seconds == pytest.approx(2.0)
    assert known.failures == 0 and pump.failed == 0


def test_older_versions_were_throttled_by_the_broker_already() -> None:
    for newest, waits in ((5, False), (6, True)):
        world = World(1, brokers=1)
        world.cluster.create_topic("t", 1)
        world.cluster.brokers[0].versions[PRODUCE] = (3, newest)
        told = throttle(world.cluster.brokers[0], PRODUCE, 5.0)
        world.bootstrap().unwrap()
        pump = Pump(world, "t")
        assert world.run(5.0, lambda told=told: bool(told))  # type: ignore[misc]
        pump.on = False
        world.run(0.5)
        assert (world.brokers.room(0) == 0) == waits == (health(world, 0).throttles == 1)


def test_the_deadline_never_comes_nearer() -> None:
    world, _ = pumping()
    told = throttle(world.cluster.brokers[1], PRODUCE, 3.0, 0.5, 1.0)  # the later ones answer what was in flight
    assert world.run(1.0, lambda: len(told) == 3)
    assert world.run(10.0, lambda: health(world, 1).throttled_until is None)
    assert world.now - told[0] == pytest.approx(3.0, abs=0.05)
    assert health(world, 1).throttle_seconds == pytest.approx(3.0, abs=0.05)


def test_a_longer_time_extends_it() -> None:
    world, _ = pumping()
    told = throttle(world.cluster.brokers[1], PRODUCE, 1.0, 2.5)
    assert world.run(1.0, lambda: len(told) == 2)
    assert world.run(10.0, lambda: health(world, 1).throttled_until is None)
    assert world.now - told[1] == pytest.approx(2.5, abs=0.05)


def test_calls_wait_for_a_throttled_broker_and_go_round_it_where_any_will_do() -> None:
    world, pump = pumping()
    pump.on = False
    told = throttle(world.cluster.brokers[1], InitProducerIdRequest.API_KEY, 2.0)
    first = world.request(ToBroker(1), InitProducerIdRequest, init)
    assert world.run(1.0, lambda: first.result is not None and bool(told))
    served = arrivals(world.cluster.brokers[1], InitProducerIdRequest.API_KEY)
    second = world.request(ToBroker(1), InitProducerIdRequest, init)
    others = [world.request(ANY, InitProducerIdRequest, init) for _ in range(20)]
    assert world.run(0.5, lambda: all(isinstance(promise.result, Ok) for promise in others))
    assert served == [] and second.result is None
    assert world.run(3.0, lambda: second.result is not None)
    assert isinstance(second.result, Ok) and world.now - told[0] == pytest.approx(2.0, abs=0.1)


def test_where_all_are_throttled_a_call_waits_for_the_first_that_is_not() -> None:
    world, pump = pumping()
    pump.on = False
    world.run(0.5)
    for broker, seconds in zip(world.cluster.brokers, (9.0, 1.0, 9.0), strict=True):
        throttle(broker, InitProducerIdRequest.API_KEY, seconds)
        promise = world.request(ToBroker(broker.id), InitProducerIdRequest, init)
        assert world.run(1.0, lambda promise=promise: promise.result is not None)  # type: ignore[misc]
    start = world.now
    anywhere = world.request(ANY, InitProducerIdRequest, init)
    assert world.run(5.0, lambda: isinstance(anywhere.result, Ok))
    assert 0.8 < world.now - start < 1.1


def test_a_call_that_waited_in_vain_says_what_for() -> None:
    world, pump = pumping()
    pump.on = False
    throttle(world.cluster.brokers[1], InitProducerIdRequest.API_KEY, 60.0)
    assert world.run(1.0, lambda: world.request(ToBroker(1), InitProducerIdRequest, init) is not None)
    world.run(0.5)
    promise = world.request(ToBroker(1), InitProducerIdRequest, init, timeout=2.0)
    assert world.run(3.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Err) and "throttled by the broker's quota" in str(promise.result.error)


def test_throttled_time_does_not_count_towards_request_timeouts() -> None:
    """The broker does not read what is in flight while the time runs, so the time it takes to answer says nothing."""
    world, pump = pumping(request_timeout=1.0)
    pump.timeout = 1.0
    pump.world.checker.promise = lambda name, timeout: lambda result, now: None  # type: ignore[assignment, return-value]
    connection = world.brokers.connection_id(1)
    told = throttle(world.cluster.brokers[1], PRODUCE, 4.0, mutes=True)
    assert world.run(1.0, lambda: bool(told))
    world.run(3.0)
    assert health(world, 1).in_flight > 0, "the test needs requests in flight"
    world.run(3.0)
    assert pump.downs == [] and pump.failed == 0 and world.brokers.connection_id(1) == connection
    # and what it does not answer afterwards times out as ever
    world.cluster.brokers[1].pause()
    world.run(1.5)
    assert [node for node, _ in pump.downs] == [1]


def test_a_new_connection_does_not_get_round_it() -> None:
    world, pump = pumping()
    told = throttle(world.cluster.brokers[1], PRODUCE, 3.0)
    assert world.run(1.0, lambda: bool(told))
    world.run(0.1)
    before = world.brokers.connection_id(1)
    for link in list(world.cluster.brokers[1].connections):
        link.reset()
    assert world.run(1.0, lambda: world.brokers.connection_id(1) not in (-1, before))
    assert world.brokers.room(1) == 0
    served = arrivals(world.cluster.brokers[1], PRODUCE)
    sent = pump.sent
    assert world.run(5.0, lambda: bool(served))
    assert world.now - told[0] == pytest.approx(3.0, abs=0.1) and pump.sent > sent


def paused() -> tuple[World, Pump, float]:
    """Broker 1 has asked for 3 s of rest; until when."""
    world, pump = pumping()
    told = throttle(world.cluster.brokers[1], PRODUCE, 3.0)
    assert world.run(1.0, lambda: bool(told))
    world.run(0.1)
    until = health(world, 1).throttled_until
    assert until is not None
    return world, pump, until


def test_to_be_unnamed_for_a_while_does_not_get_round_it() -> None:
    world, _, until = paused()
    nodes, node = world.core.nodes, world.core.nodes.nodes[1]
    world.cluster.brokers[1].stop()
    assert world.run(1.0, lambda: not any(c.connection or c.is_connecting for c in node.channels.values()))
    nodes.forget_all_but({0, 2}, world.now)
    nodes.learn(1, node.host, node.port, world.now)
    assert health(world, 1).throttled_until == until
    world.run(3.0)
    assert health(world, 1).throttled_until is None
    world.run(0.5, lambda: not any(c.connection or c.is_connecting for c in node.channels.values()))
    nodes.forget_all_but({0, 2}, world.now)
    assert 1 not in nodes.nodes


def test_to_start_again_from_the_bootstrap_servers_does_not_get_round_it() -> None:
    world, pump, until = paused()
    world.cluster.sends_back = True
    world.core.metadata.refresh(None, world.now)
    assert world.run(1.0, lambda: 1 not in world.core.nodes.nodes)
    assert world.run(1.0, lambda: 1 in world.core.nodes.nodes)
    assert health(world, 1).throttled_until == until
    sent = pump.sent
    world.run(until - world.now + 0.5)
    assert health(world, 1).throttled_until is None and pump.sent > sent


def test_it_counts_towards_the_delivery_timeout() -> None:
    world = World(1, brokers=1)
    world.cluster.create_topic("t", 1)
    world.bootstrap().unwrap()
    producer = SimProducer(world, delivery_timeout=2.0)
    throttle(world.cluster.brokers[0], PRODUCE, 10.0)
    first = producer.put("t")
    assert world.run(1.0, lambda: first.is_done)
    late = producer.put("t")
    start = world.now
    assert world.run(5.0, lambda: late.is_done)
    assert isinstance(late.exception, KafkaTimeoutError) and world.now - start == pytest.approx(2.0, abs=0.1)


def test_keyless_batches_go_round_a_throttled_broker() -> None:
    world = World(2)
    world.cluster.create_topic("t", 3)
    world.bootstrap().unwrap()
    producer = SimProducer(world, linger=0.0)
    for _ in range(30):
        producer.put("t")
        world.run(0.02)
    throttle(world.cluster.brokers[2], PRODUCE, 5.0)
    while health(world, 2).throttles == 0:
        producer.put("t")
        world.run(0.02)
    before = [len(log) for log in producer.logs("t")]
    for _ in range(50):
        producer.put("t")
        world.run(0.02)
    assert world.run(1.0, producer.all_done), "something waited for the throttled broker"
    gained = Counter({index: len(log) - before[index] for index, log in enumerate(producer.logs("t"))})
    throttled = next(index for index, part in enumerate(world.cluster.topics["t"]) if part.leader == 2)
    assert gained[throttled] == 0 and sum(gained.values()) == 50
    producer.check("t")


def test_it_is_told_of_once_a_minute() -> None:
    world, pump = pumping()
    pump.on = False
    throttle(world.cluster.brokers[1], MetadataRequest.API_KEY, *[0.5] * 300)
    start = world.now
    while world.now - start < 150.0:
        promise = world.request(ToBroker(1), MetadataRequest, lambda version: MetadataRequest(topics=[]))
        assert world.run(5.0, lambda promise=promise: promise.result is not None)  # type: ignore[misc]
    lines = [entry for entry in world.simulation.trace if entry[1] == "info" and "throttles this client" in entry[2]]
    assert len(lines) == 3 and "0.5 s now" in lines[0][2] and "Broker 1 at kafka1:9092" in lines[0][2]
    assert not [entry for entry in world.simulation.trace if entry[1] == "warning"]


def test_nothing_in_the_model_throttles_by_itself() -> None:
    """The handlers that the tests above override are the model's own."""
    world, pump = pumping()
    world.run(1.0)
    assert all(known.throttles == 0 for known in world.core.health(world.now)) and pump.failed == 0
    assert world.cluster.brokers[0].handlers == HANDLERS


@pytest.mark.parametrize("partition", [None, 0])
def test_a_pause_longer_than_connections_stay_idle(partition: int | None) -> None:
    world = World(1, 1, connections_max_idle=5.0)
    world.cluster.create_topic("t", 1)
    world.bootstrap().unwrap()
    producer = SimProducer(world, idempotent=True, delivery_timeout=100.0)
    producer.learn("t")
    told = throttle(world.cluster.brokers[0], PRODUCE, 20.0)
    first = producer.put("t")
    assert world.run(1.0, lambda: bool(told) and first.is_done)
    begun = world.now
    future = producer.put("t", partition=partition)
    assert world.run(60.0, lambda: future.is_done) and future.succeeded()
    assert world.now - begun < 22.0
