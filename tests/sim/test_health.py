"""What a client says of brokers that fail: enough, once, and nothing when all is well."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from kafka.core.cluster.routes import ToBroker
from kafka.core.net.health import BrokerHealth
from kafka.errors import KafkaConnectionError
from kafka.protocol import InitProducerIdRequest
from kafka.result import Ok
from kafka.testing.sim_broker import ForeignPeer
from tests.sim.producing import SimProducer
from tests.sim.pump import Pump
from tests.sim.world import World


def init(version: int) -> Any:
    return InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000)


def health(world: World, node_id: int) -> BrokerHealth:
    return next(health for health in world.core.health(world.now) if health.node_id == node_id)


def lines(world: World) -> list[tuple[str, str]]:
    return [(entry[1], entry[2]) for entry in world.simulation.trace if entry[1] in ("warning", "info")]


def pumping(seed: int = 1, **config: Any) -> tuple[World, Pump]:
    world = World(seed, **config)
    world.cluster.create_topic("t", 6)
    for broker in world.cluster.brokers:
        broker.least_work = broker.most_work = 0.05
    world.bootstrap().unwrap()
    pump = Pump(world, "t")
    assert world.run(5.0, lambda: all(world.brokers.connection_id(broker) >= 0 for broker in range(3)))
    return world, pump


def go_down(world: World, broker: int) -> None:
    """It listens no more; the cluster goes on naming it, as it does for some seconds after a crash."""
    world.network.servers.pop((f"10.0.0.{broker}", 9092), None)
    for link in list(world.cluster.brokers[broker].connections):
        link.reset()


def come_back(world: World, broker: int) -> None:
    world.network.servers[(f"10.0.0.{broker}", 9092)] = world.cluster.brokers[broker]


def test_one_line_when_a_broker_starts_failing_and_one_when_it_is_back() -> None:
    world, _ = pumping()
    world.run(10.0)
    assert lines(world) == []
    start = world.now
    go_down(world, 1)
    world.run(20.0)
    ((level, text),) = lines(world)
    assert level == "warning" and "broker 1 at kafka1:9092" in text and "Connection reset by peer" in text
    known = health(world, 1)
    assert known.failing_since == pytest.approx(start, abs=0.1) and known.failures > 10
    assert isinstance(known.error, KafkaConnectionError) and "Connection refused" in str(known.error)
    come_back(world, 1)
    world.run(5.0)
    level, text = lines(world)[1]
    assert level == "info" and text.startswith("Broker 1 at kafka1:9092 is back after 2") and len(lines(world)) == 2
    known = health(world, 1)
    assert (known.failing_since, known.failures, known.error) == (None, 0, None)


@pytest.mark.parametrize("gone", ["refuses", "silent", "hangs up"])
def test_a_broker_that_was_reached_where_it_says_it_is_gets_no_blame_for_that_when_it_dies(gone: str) -> None:
    world, _ = pumping()
    world.run(1.0)
    go_down(world, 1)
    if gone == "silent":
        world.network.black_holes.add(("10.0.0.1", 9092))
    if gone == "hangs up":
        world.network.servers["10.0.0.1", 9092] = ForeignPeer(b"")
    world.run(20.0)
    said = str(health(world, 1).error)
    assert "advertised" not in said and "TLS" not in said
    assert ("did answer before" if gone == "hangs up" else "It was reached there before") in said


def test_a_broker_that_was_reached_elsewhere_may_advertise_a_wrong_address() -> None:
    world, _ = pumping()
    world.cluster.brokers[1].advertised = ("kafka1", 9999)
    world.core.metadata.refresh(None, world.now)
    world.run(20.0)
    assert "its advertised.listeners" in str(health(world, 1).error)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "This process has as many files open as it may"),
        (OSError(errno.ENFILE, "Too many open files in system"), "This machine has as many files open as it may"),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "no address to connect from"),
        (PermissionError(errno.EPERM, "Operation not permitted"), "a firewall rule, or a sandbox"),
        (OSError(errno.ENOPROTOOPT, "Protocol not available"), "socket_options"),
        (TypeError("an integer is required"), "socket_options"),
    ],
)
def test_what_is_wrong_with_this_machine_is_not_put_down_to_the_broker(error: OSError, hint: str) -> None:
    world = World(1)
    world.bootstrap().unwrap()
    world.network.connect = lambda client, address, opened: world.simulation.after(0, lambda: opened(error))  # type: ignore[method-assign, assignment, return-value, misc]
    pump = Pump(world, "t")
    world.run(3.0)
    del pump
    found = [broker.error for broker in world.core.health(world.now) if broker.node_id >= 0 and broker.error]
    assert found
    for error_of_broker in found:
        assert hint in str(error_of_broker) and "advertised" not in str(error_of_broker)


def test_a_long_absence_is_recalled_ever_more_rarely() -> None:
    world, pump = pumping(seed=3, reconnect_backoff_max=20.0, retry_backoff_max=20.0)
    world.run(1.0)
    go_down(world, 2)
    world.run(5.0)
    pump.on = False  # Pump goes on asking for the connection; the rest need not run for hours
    world.run(4 * 3600.0)
    told = lines(world)
    assert 7 <= len(told) <= 10 and {level for level, _ in told} == {"warning"}
    assert "It is tried again" in told[0][1]
    assert "It has been failing for" in told[1][1] and "more failures in between" in told[1][1]
    assert "Connection refused" in told[-1][1]


def test_a_broker_that_comes_and_goes_is_told_of_once_a_minute() -> None:
    world, _ = pumping()
    for _ in range(60):
        go_down(world, 1)
        world.run(1.0)
        come_back(world, 1)
        world.run(2.0)
    told = lines(world)
    assert 3 <= len([1 for level, _ in told if level == "warning"]) <= 4
    assert len([1 for level, _ in told if level == "info"]) <= 4
    assert [level for level, _ in told[:2]] == ["warning", "info"]


def test_an_idle_connection_that_the_peer_closes_is_no_failure() -> None:
    world, pump = pumping()
    pump.on = False
    world.run(1.0)
    for orderly in (True, False):
        before = world.brokers.connection_id(1)
        for link in list(world.cluster.brokers[1].connections):
            link.close(1) if orderly else link.reset()
        assert world.run(1.0, lambda before=before: world.brokers.connection_id(1) != before)  # type: ignore[misc]
        assert health(world, 1).failing_since is None and health(world, 1).failures == 0
        promise = world.request(ToBroker(1), InitProducerIdRequest, init)
        assert world.run(1.0, lambda promise=promise: isinstance(promise.result, Ok))  # type: ignore[misc]
    assert lines(world) == []


def test_a_peer_that_closes_every_connection_once_it_is_ready_is_not_hammered() -> None:
    world, pump = pumping()
    pump.on = False
    world.run(1.0)
    start = world.now
    while world.now - start < 5.0:  # Pump connects again at once
        for link in list(world.cluster.brokers[1].connections):
            link.close(1)
        world.run(0.01)
    attempts = [entry for entry in world.simulation.trace if entry[1] == "connect" and entry[0] > start]
    assert 20 < len(attempts) < 130


def test_a_broker_that_does_not_answer_shows() -> None:
    world, pump = pumping()
    pump.on = False
    world.run(1.0)
    assert health(world, 1).waiting_since is None and health(world, 1).in_flight == 0
    world.cluster.brokers[1].pause()
    start = world.now
    world.request(ToBroker(1), InitProducerIdRequest, init, timeout=60.0)
    world.run(3.0)
    world.request(ToBroker(1), InitProducerIdRequest, init, timeout=60.0)
    known = health(world, 1)
    assert known.state == "ready" and known.in_flight == 2 and known.waiting_since == pytest.approx(start)
    world.cluster.brokers[1].resume()
    world.run(1.0)
    assert health(world, 1).waiting_since is None


def test_no_line_holds_what_was_sent() -> None:
    world = World(5)
    world.cluster.create_topic("t", 6)
    world.bootstrap().unwrap()
    producer = SimProducer(world, linger=0.0)
    producer.learn("t")
    for number in range(100):
        producer.send("t", b"secret value", b"secret key %d" % number, headers=[("secret header", b"secret")])
        world.client.turn()
        world.run(0.01)
        if number == 50:
            go_down(world, 1)
    world.run(5.0)
    assert lines(world) and not any("secret" in text for _, text in lines(world))
