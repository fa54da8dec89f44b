"""How many requests are in flight: as many as get more through, no more than wait their turn for long."""

from __future__ import annotations

import pytest

from kafka.core.net.window import Window
from tests.sim.pump import Pump
from tests.sim.world import World


def pumping(work: float, latency: float = 0.0005, seed: int = 1) -> tuple[World, Pump]:
    world = World(seed, 1)
    world.cluster.create_topic("t", 6)
    broker = world.cluster.brokers[0]
    broker.least_work = broker.most_work = work
    world.network.least_latency = world.network.most_latency = latency
    world.bootstrap().unwrap()
    return world, Pump(world, "t", timeout=30.0)


def in_flight(world: World, seconds: float) -> float:
    """The mean over so many seconds."""
    seen = []
    for _ in range(200):
        world.run(seconds / 200)
        seen.append(len(world.channel(0).connection.in_flight))  # type: ignore[union-attr]
    return sum(seen) / len(seen)


def rate(world: World, pump: Pump, seconds: float) -> float:
    before = pump.succeeded
    world.run(seconds)
    return (pump.succeeded - before) / seconds


def with_five(work: float, seconds: float) -> float:
    """The rate where five are always in flight."""
    world, pump = pumping(work)
    assert world.run(5.0, lambda: world.brokers.connection_id(0) >= 0)
    window = world.channel(0).connection.window  # type: ignore[union-attr]
    window._changed = float("inf")  # it learns nothing more
    assert window.limit == 5
    world.run(10.0)
    assert in_flight(world, 1.0) > 4.5
    return rate(world, pump, seconds)


@pytest.mark.parametrize(("work", "most"), [(0.3, 2.0), (0.15, 2.0), (0.06, 3.5)])
def test_a_slow_broker_has_no_queue_and_no_pause(work: float, most: float) -> None:
    world, pump = pumping(work)
    world.run(30.0)
    assert 1.0 <= in_flight(world, 20.0) <= most
    assert rate(world, pump, 60.0) > 0.98 * with_five(work, 60.0)


def test_a_fast_broker_is_kept_full() -> None:
    world, _ = pumping(0.005)
    world.run(2.0)
    assert in_flight(world, 2.0) > 4.5


@pytest.mark.parametrize("latency", [0.03, 0.15, 0.5])
def test_a_long_line_is_kept_full(latency: float) -> None:
    """All answers take long there, but none of that is waiting."""
    world, pump = pumping(0.001, latency)
    trip = 2 * latency
    world.run(50 * trip)
    assert in_flight(world, 20 * trip) > 4.5
    assert rate(world, pump, 50 * trip) > 0.95 * 5 / (trip + 5 * 0.001)


def test_when_a_broker_is_fast_again_it_is_kept_full_again() -> None:
    world, _ = pumping(0.005)
    broker = world.cluster.brokers[0]
    for _ in range(2):
        world.run(2.0)
        broker.least_work = broker.most_work = 0.4
        world.run(20.0)
        assert in_flight(world, 20.0) <= 2.5
        broker.least_work = broker.most_work = 0.005
        world.run(2.0)
        assert in_flight(world, 2.0) > 4.5


def test_when_the_line_becomes_longer_it_is_kept_full_again() -> None:
    world, _ = pumping(0.001, 0.005)
    world.run(2.0)
    world.network.least_latency = world.network.most_latency = 0.2
    world.run(20.0)
    assert in_flight(world, 5.0) > 4.5


def test_one_hold_up_of_the_broker_costs_one_step() -> None:
    window = Window(5)
    window.answered(0.0, 1, 0.01)
    for late in range(5):  # all sent before any of them was answered
        window.answered(1.0, late + 1, 2.0 + late * 0.01)
    assert window.limit == 4
    window.answered(2.5, 4, 2.51)
    assert window.limit == 5
