"""Sessions that end (KIP-368) are renewed in time, behind what is in flight; no connection or record is lost."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.core.cluster.routes import Leader, ToBroker
from kafka.core.net.lanes import Lane
from kafka.core.net.states import ConnectionState
from kafka.errors import SaslAuthenticationFailedError
from kafka.protocol import HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, MetadataRequest
from kafka.result import Ok
from kafka.testing.model.sasl import Sasl
from tests.sim.authenticating import ALICE, USERS, Make, Provider, plain, scram, secured
from tests.sim.producing import SimProducer
from tests.sim.scenario import Scenario
from tests.sim.world import World, late


def producing(world: World, brokers: int = 1) -> SimProducer:
    world.bootstrap().unwrap()
    world.cluster.create_topic("t", brokers)
    producer = SimProducer(world, idempotent=True)
    producer.learn("t")
    return producer


def connections(world: World) -> int:
    return len([event for event in world.simulation.trace if event[1] == "opened"])


def put_for(producer: SimProducer, seconds: float, every: float = 0.05) -> None:
    world = producer.world
    until = world.now + seconds
    while world.now < until:
        producer.put("t")
        world.run(every)
    assert world.run(30.0, producer.all_done)
    producer.check("t")
    assert all(future.succeeded() for _, future in producer.sent)


@pytest.mark.parametrize("make", [plain(), plain(lambda: ALICE), scram(), Provider(lifetime=6.0)])
@pytest.mark.parametrize("seed", range(3))
def test_sessions_are_renewed_under_load(seed: int, make: Make | Provider) -> None:
    world, sasl = secured(seed, make, brokers=1)
    sasl.lifetime = 6.0
    producer = producing(world)
    before = connections(world)
    put_for(producer, 60.0)
    assert 9 <= sasl.counts["renewed"] <= 14 and not sasl.counts["expired"] and not sasl.counts["refused"]
    assert connections(world) == before


def test_an_idle_session_is_renewed_when_it_is_wanted_again() -> None:
    world, sasl = secured(1, plain(), brokers=1, metadata_max_age=1e6)
    sasl.lifetime = 6.0
    producer = producing(world)
    before = connections(world)
    world.run(60.0)
    assert not sasl.counts["renewed"] and not sasl.counts["expired"]
    put_for(producer, 0.1)
    assert sasl.counts["renewed"] == 1 and not sasl.counts["expired"] and connections(world) == before


def test_credentials_that_take_long_are_got_before_so_that_nobody_waits_for_them() -> None:
    world, sasl = secured(1, plain(lambda: ALICE), brokers=1)
    sasl.lifetime = 6.0
    world.network.work_takes = lambda: 1.5
    producer = producing(world)
    before = connections(world)
    slowest = 0.0
    for _ in range(600):
        future, sent = producer.put("t"), world.now
        assert world.run(10.0, lambda: future.is_done)  # noqa: B023
        slowest = max(slowest, world.now - sent)
        world.run(0.05)
    assert sasl.counts["renewed"] >= 5 and not sasl.counts["expired"] and connections(world) == before
    assert slowest < 0.5


@pytest.mark.parametrize("seconds", [3.0, 8.0])
def test_credentials_that_come_after_the_end(seconds: float) -> None:
    """Nothing is sent between the end of the session and the next one: the broker would hang up."""
    world, sasl = secured(1, plain(lambda: ALICE), brokers=1)
    sasl.lifetime = 6.0
    producer = producing(world)
    before = connections(world)
    put_for(producer, 3.0)
    world.network.work_takes = lambda: seconds
    put_for(producer, 30.0)
    assert sasl.counts["renewed"] >= 2 and not sasl.counts["expired"] and connections(world) == before


@pytest.mark.parametrize("hangs", [False, True])
def test_credentials_that_fail_cost_the_connection_and_no_record(hangs: bool) -> None:
    provider = Provider(lifetime=6.0)
    world, sasl = secured(1, provider, brokers=1)
    producer = producing(world)
    put_for(producer, 2.0)
    provider.fails = OSError("the issuer is down")
    if hangs:
        world.network.work_takes = lambda: float("inf") if world.now < 9.0 else 0.01
    world.simulation.at(12.0, lambda: setattr(provider, "fails", None))
    put_for(producer, 30.0)
    assert not sasl.counts["expired"] and not sasl.counts["refused"]


# -- slow answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("work", [0.25, 0.4])
def test_five_requests_in_the_queue_do_not_outlive_the_session(seed: int, work: float) -> None:
    """A request counts when it is read, and five wait: the earlier the slower they are."""
    world, sasl = secured(seed, plain(), brokers=1)
    sasl.lifetime = 12.0
    producer = producing(world)
    broker = world.cluster.brokers[0]
    broker.least_work = broker.most_work = work
    channel = world.channel(0)
    before = channel.connection
    requests = []
    until = world.now + 60.0
    while world.now < until:
        while channel.room > 0:
            requests.append(
                world.request(ToBroker(0), MetadataRequest, lambda version: MetadataRequest(topics=[]), 60.0)
            )
        producer.put("t")
        world.run(0.05)
    assert world.run(60.0, lambda: producer.all_done() and all(request.result for request in requests))
    assert all(isinstance(request.result, Ok) for request in requests)
    assert sasl.counts["renewed"] >= 4 and not sasl.counts["expired"] and channel.connection is before


def test_renewed_no_oftener_than_brokers_take_it() -> None:
    """However slow the answers are."""
    world, sasl = secured(1, plain(), brokers=1)
    sasl.lifetime = 3.0
    producer = producing(world)
    broker = world.cluster.brokers[0]
    broker.least_work = broker.most_work = 1.0
    put_for(producer, 30.0, every=1.0)
    assert 5 <= sasl.counts["renewed"] <= 22 and not sasl.counts["refused"]


def test_a_request_that_is_held_back_past_the_end() -> None:
    """The handshake waits behind it, unread, and is taken after the end."""
    world, sasl = secured(1, plain(), brokers=1)
    sasl.lifetime = 6.0
    broker = world.cluster.brokers[0]
    world.cluster.offer(JoinGroupRequest, HeartbeatRequest)
    broker.handlers[JoinGroupRequest.API_KEY] = lambda *_: late(broker, 20.0, JoinGroupResponse(member_id="m"))
    broker.handlers[HeartbeatRequest.API_KEY] = lambda *_: HeartbeatResponse()
    world.bootstrap().unwrap()

    def join(version: int) -> Any:
        return JoinGroupRequest(group_id="g", protocol_type="consumer", session_timeout_ms=10, rebalance_timeout_ms=10)

    held = world.request(ToBroker(0), JoinGroupRequest, join, 60.0, lane=Lane.GROUP, answer_within=90.0)
    channel = world.channel(0, Lane.GROUP)
    assert world.run(10.0, lambda: channel.connection is not None and channel.connection.state is _RENEWING)
    before = connections(world)
    beat = lambda version: HeartbeatRequest(group_id="g", member_id="m")  # noqa: E731
    behind = world.request(ToBroker(0), HeartbeatRequest, beat, 60.0, lane=Lane.GROUP)
    world.run(10.0)
    assert held.result is None and behind.result is None
    assert world.run(30.0, lambda: behind.result is not None)
    assert isinstance(held.result, Ok) and isinstance(behind.result, Ok)
    assert sasl.counts["renewed"] >= 1 and not sasl.counts["expired"] and connections(world) == before


_RENEWING = ConnectionState.REAUTHENTICATING


def test_a_throttle_is_waited_for() -> None:
    """Nothing is sent to a broker that does not read; and who waits for its end finds a session."""
    world, sasl = secured(1, plain(), brokers=1, request_timeout=3.0)
    sasl.lifetime = 6.0
    producer = producing(world)
    put_for(producer, 3.0)
    broker = world.cluster.brokers[0]
    broker.throttles_until, broker.most_throttle = world.now + 0.2, 20.0
    before = connections(world)
    put_for(producer, 5.0)
    assert world.cluster.events["throttled"]
    put_for(producer, 20.0)
    assert sasl.counts["renewed"] >= 2 and not sasl.counts["expired"] and connections(world) == before


# -- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_another_principal_gets_another_connection(seed: int) -> None:
    """Some tokens name a new one each time, as those of AWS: brokers do not take it on the same connection."""
    provider = Provider(lifetime=6.0)
    world, sasl = secured(seed, provider, brokers=1)
    producer = producing(world)
    world.simulation.at(3.0, lambda: setattr(provider, "subject", "bob"))
    put_for(producer, 30.0)
    assert sasl.counts["refused"] >= 1 and not sasl.counts["expired"] and sasl.counts["renewed"] >= 2
    told = [event[2] for event in world.simulation.trace if event[1] in ("info", "warning")]
    assert any("Cannot change principals" in text and "a new connection is made" in text for text in told)
    assert not any("failing" in text or "is tried again" in text for text in told)


def test_a_password_that_has_changed_meanwhile() -> None:
    now = dict(USERS)
    world, sasl = secured(1, plain(lambda: ("alice", now["alice"])), brokers=1)
    sasl.lifetime = 6.0
    producer = producing(world)

    def change() -> None:
        sasl.users["alice"] = now["alice"] = "changed"

    world.simulation.at(3.0, change)
    before = connections(world)
    put_for(producer, 20.0)
    assert not sasl.counts["refused"] and connections(world) == before


def test_one_that_is_refused_goes_on_with_a_new_connection_when_it_can() -> None:
    world, sasl = secured(1, plain(), brokers=1)
    sasl.lifetime = 6.0
    producer = producing(world)
    put_for(producer, 2.0)
    sasl.users["alice"] = "changed"
    world.simulation.at(15.0, lambda: sasl.users.update(alice=ALICE[1]))
    put_for(producer, 20.0)
    assert sasl.counts["refused"] >= 3 and not sasl.counts["expired"]


def test_health_says_ready_while_it_is_renewed_and_why_not_when_refused() -> None:
    world, sasl = secured(1, plain(), brokers=1)
    sasl.lifetime = 6.0
    producer = producing(world)
    states = set()
    until = world.now + 20.0
    while world.now < until:
        producer.put("t")
        world.run(0.001, lambda: False)
        connection = world.channel(0).connection
        assert connection is not None
        states.add(connection.state)
        (health,) = [known for known in world.core.health(world.now) if known.node_id == 0]
        assert health.state == "ready" and health.error is None
        # Whoever chooses by versions finds them.
        assert isinstance(world.brokers.version_for(0, MetadataRequest), int)
        assert world.brokers.connection_id(0) == connection.id
        assert world.core.nodes.connection_count() >= 1
    assert states == {ConnectionState.READY, _RENEWING}
    sasl.users.clear()
    world.simulation.at(world.now + 6.0, lambda: producer.put("t"))
    assert world.run(10.0, lambda: world.channel(0).error is not None)
    cause = world.channel(0).error.cause  # type: ignore[union-attr]
    assert isinstance(cause, SaslAuthenticationFailedError)


def test_a_session_without_an_end_is_not_renewed() -> None:
    world, sasl = secured(1, plain(), brokers=1)
    sasl.lifetime = 6.0
    producer = producing(world)
    world.simulation.at(3.0, lambda: setattr(sasl, "lifetime", 0.0))
    put_for(producer, 60.0, every=0.5)
    assert sasl.counts["renewed"] == 1


# -- many of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_while_leaders_move(seed: int) -> None:
    world, sasl = secured(seed, scram())
    sasl.lifetime = 4.0
    producer = producing(world, brokers=3)
    random = world.simulation.random
    for step in range(100):
        world.simulation.at(
            1.0 + step / 2, lambda: world.cluster.move_leader("t", random.randrange(3), random.randrange(3))
        )
    put_for(producer, 55.0, every=0.02)
    assert sasl.counts["renewed"] >= 20 and not sasl.counts["expired"] and not sasl.counts["refused"]
    asked = world.request(Leader("t", 0), MetadataRequest, lambda version: MetadataRequest(topics=[]))
    assert world.run(10.0, lambda: asked.result is not None)


class Secured(Scenario):
    """The big test, with sessions of two seconds."""

    sasl: Sasl

    def secure(self) -> None:
        self.sasl = self.cluster.authenticate(USERS)
        self.sasl.lifetime = 2.0

    def config(self) -> dict[str, Any]:
        return {"sasl": scram()}


def test_hundreds_of_them_with_faults_of_all_kinds() -> None:
    renewed = 0
    for seed in range(12):
        scenario = Secured(seed)
        scenario.play()
        renewed += scenario.sasl.counts["renewed"]
        assert not scenario.sasl.counts["refused"]
    assert renewed >= 300
