"""Between TCP and ApiVersions hands are shaken (TLS); the core sees bytes only afterwards."""

from __future__ import annotations

import ssl

import pytest

from kafka.core.cluster.routes import ANY
from kafka.core.net.connection import Connection
from kafka.core.net.states import ConnectionState
from kafka.errors import KafkaConnectionError, NoBrokersAvailable
from kafka.protocol import MetadataRequest
from kafka.result import Err, Ok
from tests.sim.world import World

BAD = ssl.SSLError(1, "certificate verify failed")


def failed(reason: str, text: str, kind: type[ssl.SSLError] = ssl.SSLError, **more: object) -> ssl.SSLError:
    """As Python's ssl makes them."""
    error = kind(1, f"[SSL: {reason}] {text} (_ssl.c:1006)")
    for name, value in {"library": "SSL", "reason": reason, **more}.items():
        setattr(error, name, value)
    return error


UNTRUSTED = failed(
    "CERTIFICATE_VERIFY_FAILED", "certificate verify failed: unable to get local issuer certificate",
    ssl.SSLCertVerificationError, verify_code=20, verify_message="unable to get local issuer certificate",
)  # fmt: skip
ALERT = failed("TLSV13_ALERT_CERTIFICATE_REQUIRED", "tlsv13 alert certificate required")


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
    assert "plain text" not in str(result.error)  # which is said of peers that close the connection
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


@pytest.mark.parametrize(
    ("error", "said", "hint"),
    [
        (UNTRUSTED, "certificate verify failed: unable to get local issuer certificate", "ssl_cafile"),
        (ALERT, "the peer answered with the alert 'certificate required'", "ssl_certfile"),
    ],
)
def test_a_mistake_is_told_once_every_broker_has_said_so(error: ssl.SSLError, said: str, hint: str) -> None:
    world = World(5, tls=True)
    for broker in world.cluster.brokers:
        world.network.handshakes[broker.host] = error
    result = world.bootstrap(60.0)
    assert isinstance(result, Err) and isinstance(result.error, NoBrokersAvailable)
    assert world.now < 1.0  # and not after all of the patience
    assert str(result.error).count(f"failed in stage tls handshake: {said}") == len(world.cluster.brokers)
    assert hint in str(result.error) and "_ssl.c" not in str(result.error)


def test_what_may_pass_is_tried_for_as_long_as_there_is_patience() -> None:
    world = World(6, tls=True, bootstrap_patience=3.0)
    for broker in world.cluster.brokers:
        world.network.handshakes[broker.host] = UNTRUSTED
    world.network.handshakes[world.cluster.brokers[0].host] = ConnectionResetError(104, "Connection reset by peer")
    result = world.bootstrap(60.0)
    assert isinstance(result, Err) and world.now >= 3.0
    assert "A listener for plain text does this" in str(result.error)


def test_a_mistake_that_comes_later_is_outlived() -> None:
    """A certificate may be renewed: what is under way waits for that."""
    world = World(7, brokers=1, tls=True)
    assert isinstance(world.bootstrap(), Ok)
    [broker] = world.cluster.brokers
    world.network.handshakes[broker.host] = UNTRUSTED
    for link in world.network.links:
        link.reset()
    promise = world.request(ANY, MetadataRequest, lambda version: MetadataRequest(topics=[]), timeout=60.0)
    assert not world.run(10.0, lambda: promise.result is not None)
    [health] = [known for known in world.core.health(world.now) if known.node_id >= 0]
    assert isinstance(health.error, KafkaConnectionError) and health.error.stage == "tls handshake"
    del world.network.handshakes[broker.host]
    assert world.run(30.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Ok)


def test_a_verdict_that_comes_after_the_handshake_belongs_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With TLS 1.3 a broker looks at our certificate when we have begun to ask already. No older request helps."""
    world = World(8, brokers=1, tls=True)
    [broker] = world.cluster.brokers
    negotiate = Connection.negotiate

    def refuse(self: Connection, *args: object) -> object:
        buffers = negotiate(self, *args)  # type: ignore[arg-type]
        world.simulation.after(0.0, lambda: hang_up(self))
        return buffers

    def hang_up(connection: Connection) -> None:
        link = world.client._links.get(connection.id)
        if link is not None and connection.state is ConnectionState.NEGOTIATING:
            link.close(0)
            world.client.on_close(link, ALERT)

    monkeypatch.setattr(Connection, "negotiate", refuse)
    result = world.bootstrap(60.0)
    assert isinstance(result, Err) and world.now < 1.0
    assert "failed in stage tls handshake: the peer answered with the alert 'certificate required'" in str(result.error)
    assert sum(event[1] == "connect" for event in world.simulation.trace) == 1
    assert broker.host in str(result.error)
