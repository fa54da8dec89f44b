"""Between TCP and ApiVersions hands are shaken (TLS); the core sees bytes only afterwards."""

from __future__ import annotations

import ssl

import pytest

from kafka.errors import NoBrokersAvailable
from kafka.result import Err, Ok
from tests.sim.world import World

BAD = ssl.SSLError(1, "certificate verify failed")


def test_nothing_is_sent_before_the_handshake_is_over() -> None:
    world = World(1, tls=True)
    assert isinstance(world.bootstrap(), Ok)
    for id in {event[2] for event in world.simulation.trace if event[1] == "opened"}:
        order = [event[1] for event in world.simulation.trace if event[2:3] == (id,)]
        assert order[:4] == ["connect", "opened", "secured", "send"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(BAD, "tls handshake: certificate verify failed"), (None, "tls handshake: no answer within")],
)
def test_a_handshake_that_fails_or_never_ends_is_named(wrong: OSError | None, said: str) -> None:
    world = World(1, tls=True)
    for broker in world.cluster.brokers:
        world.network.handshakes[broker.host] = wrong
    result = world.bootstrap(60.0)
    assert isinstance(result, Err) and isinstance(result.error, NoBrokersAvailable)
    assert str(result.error).count(said) == len(world.cluster.brokers)
    assert not any(event[1] == "send" for event in world.simulation.trace)


def test_one_broker_that_cannot_be_trusted_fails_nobody() -> None:
    world = World(2, tls=True)
    world.network.handshakes[world.cluster.brokers[0].host] = BAD
    assert isinstance(world.bootstrap(), Ok)


def test_a_link_that_breaks_in_mid_handshake() -> None:
    world = World(3, brokers=1, tls=True)
    world.network.handshakes[world.cluster.brokers[0].host] = None
    promise = world.checker.promise("bootstrap", 60.0)
    world.core.bootstrap(promise, world.now, 60.0)
    assert world.run(5.0, lambda: bool(world.network.links))
    world.network.handshakes.clear()
    world.network.links[0].reset()
    assert world.run(60.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Ok)
