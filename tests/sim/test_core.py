"""The core's conversations, one by one, on the simulated network."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kafka.core.cluster.routes import ADVERTISED, ANY, CONTROLLER, Coordinator, Leader, ToBroker
from kafka.errors import (
    Cancelled,
    KafkaConnectionError,
    KafkaTimeoutError,
    NoBrokersAvailable,
    NodeNotReadyError,
    UnsupportedVersionError,
)
from kafka.protocol import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    FindCoordinatorResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    MetadataRequest,
    MetadataResponse,
    ProduceRequest,
)
from kafka.result import Err, Ok
from kafka.testing.sim_broker import ForeignPeer, _Served
from tests.sim.pump import Pump
from tests.sim.world import World, batch, produce_request


def init(version: int) -> Any:
    return InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000)


def nothing(version: int) -> Any:
    return MetadataRequest(topics=[])


def ready(seed: int = 1, **config: Any) -> World:
    world = World(seed, **config)
    assert isinstance(world.bootstrap(), Ok)
    return world


# -- reaching a cluster --------------------------------------------------------------------------------------------


def test_bootstrap_learns_the_brokers_and_reaches_one() -> None:
    world = ready()
    assert sorted(world.core.snapshot.brokers) == [0, 1, 2]
    assert any(health.node_id >= 0 and health.connected for health in world.core.health(world.now))
    world.run(1.0)
    assert all(health.state == "disconnected" for health in world.core.health(world.now) if health.node_id < 0)


def failed_bootstrap(world: World) -> Any:
    result = world.bootstrap(10.0)
    assert isinstance(result, Err)
    assert world.now < 6.0, "that took too long to find out"
    assert isinstance(result.error, NoBrokersAvailable) and isinstance(result.error, KafkaTimeoutError)
    return str(result.error)


def test_nobody_listens() -> None:
    world = World(1)
    for broker in world.cluster.brokers:
        broker.stop()
    said = failed_bootstrap(world)
    assert "Asking the bootstrap servers" in said and said.count("KafkaConnectionError") == 3
    for host in ("kafka0:9092", "kafka1:9092", "kafka2:9092"):
        assert host in said
    assert "tcp connect" in said and "Connection refused" in said


def test_the_name_does_not_resolve() -> None:
    world = World(1, brokers=1)
    world.network.hosts.clear()
    said = failed_bootstrap(world)
    assert "kafka0:9092" in said and "dns" in said and "Name or service not known" in said


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"\x15\x03\x03\x00\x02\x02\x50", ("TLS", "security_protocol")),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", ("HTTP server",)),
        (b"", ("closes them on the first request", "TLS or SASL")),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ("api versions", "frame")),
    ],
)
def test_the_peer_is_no_kafka(reply: bytes, words: tuple[str, ...]) -> None:
    world = World(1, brokers=1)
    world.network.servers[("10.0.0.0", 9092)] = ForeignPeer(reply)
    said = failed_bootstrap(world)
    for word in ("kafka0:9092", "api versions", *words):
        assert word in said


def test_the_peer_is_silent() -> None:
    world = World(1, brokers=1)
    world.network.servers[("10.0.0.0", 9092)] = ForeignPeer(None)
    result = world.bootstrap(5.0)
    assert isinstance(result, Err)
    assert "does not answer" in str(result.error) and "api versions" in str(result.error)


def test_a_silent_peer_does_not_hold_up_the_others() -> None:
    world = World(1)
    world.network.servers[("10.0.0.0", 9092)] = ForeignPeer(None)
    world.network.black_holes.add(("10.0.0.1", 9092))
    world.cluster.brokers[0].advertised = ("kafka2", 9092)
    assert isinstance(world.bootstrap(25.0), Ok)


@pytest.mark.parametrize("advertised", [("nowhere", 9092), ("kafka0", 9999)])
def test_the_advertised_address_is_wrong(advertised: tuple[str, int]) -> None:
    world = World(1, brokers=1)
    world.cluster.brokers[0].advertised = advertised
    said = failed_bootstrap(world)
    assert "Reaching a broker by the address it advertises" in said
    assert "roker 0" in said and f"{advertised[0]}:{advertised[1]}" in said and "advertised.listeners" in said
    assert ("dns" if advertised[0] == "nowhere" else "tcp connect") in said


def test_every_address_of_a_name_is_tried() -> None:
    world = World(1, brokers=1)
    world.network.hosts["kafka0"] = [("10.9.9.9",), ("10.0.0.0",)]
    assert isinstance(world.bootstrap(2.0), Ok)
    world = World(1, brokers=1)
    world.network.hosts["kafka0"] = [("10.9.9.9",), ("10.9.9.8",)]
    said = failed_bootstrap(world)
    assert "10.9.9.9" in said and "10.9.9.8" in said


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("silent", ["peer", "hole"])
def test_an_address_that_keeps_silent_leaves_time_for_the_others_of_its_name(seed: int, silent: str) -> None:
    world = World(seed, brokers=1)
    world.network.hosts["kafka0"] = [("10.9.9.9",), ("10.9.9.8",), ("10.0.0.0",)]
    for address in ("10.9.9.9", "10.9.9.8"):
        if silent == "peer":
            world.network.servers[(address, 9092)] = ForeignPeer(None)
        else:
            world.network.black_holes.add((address, 9092))
    assert isinstance(world.bootstrap(15.0), Ok)


def test_whoever_waits_is_told_of_each_address_what_is_wrong() -> None:
    for seed in range(6):
        world = World(seed, brokers=1)
        world.network.hosts["kafka0"] = [("10.9.9.9",), ("10.9.9.8",), ("10.9.9.7",)]
        world.network.servers[("10.9.9.9", 9092)] = ForeignPeer(None)
        world.network.black_holes.add(("10.9.9.8", 9092))
        start = world.now
        result = world.bootstrap(15.0)
        assert isinstance(result, Err)
        assert world.now - start == pytest.approx(15.0), "one that keeps silent may yet answer"
        said = str(result.error)
        for address in ("10.9.9.9", "10.9.9.8", "10.9.9.7"):
            assert said.count(address) == 1
        assert "(10.9.9.9) failed in stage api versions: no answer within" in said
        assert "(10.9.9.8) failed in stage tcp connect: no answer within" in said
        assert "(10.9.9.7) failed in stage tcp connect: Connection refused" in said


def test_of_many_silent_servers_each_gets_its_turn() -> None:
    for seed in range(6):
        world = World(seed, brokers=7)
        for broker in world.cluster.brokers[1:]:
            world.network.servers[(broker.ip, 9092)] = ForeignPeer(None)
            broker.advertised = ("kafka0", 9092)
        assert isinstance(world.bootstrap(6.0), Ok)


def test_a_name_server_that_takes_its_time() -> None:
    world = World(1, brokers=1)
    world.network.dns_delay = 5.0
    assert isinstance(world.bootstrap(15.0), Ok)
    world = World(1, brokers=1)
    world.network.dns_delay = 500.0
    result = world.bootstrap(15.0)
    assert isinstance(result, Err)
    assert world.now == pytest.approx(15.0) and "name server does not answer" in str(result.error)


def test_a_cluster_that_comes_up_late_is_found() -> None:
    world = World(1)
    for broker in world.cluster.brokers:
        broker.stop()
    for broker in world.cluster.brokers:
        world.simulation.at(2.0, broker.start)
    assert isinstance(world.bootstrap(10.0), Ok)


def test_a_moved_cluster_is_found_again_through_the_bootstrap_addresses() -> None:
    world = World(1, bootstrap=(("boot", 9092),))
    world.network.hosts["boot"] = [("10.0.0.1",)]
    assert isinstance(world.bootstrap(), Ok)
    for broker in world.cluster.brokers:
        world.network.servers.pop((broker.ip, broker.port))
        for link in list(broker.connections):
            link.reset()
        broker.advertised = (f"new{broker.id}", 9092)
        world.network.hosts[f"new{broker.id}"] = [(f"10.1.0.{broker.id}",)]
        world.network.servers[(f"10.1.0.{broker.id}", 9092)] = broker
    world.network.hosts["boot"] = [("10.1.0.1",)]
    world.core.metadata.refresh(None, world.now)
    assert world.run(20.0, lambda: world.core.snapshot.brokers[0].host == "new0")


# -- ApiVersions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", [(0, 0), (0, 2), (0, 3), (0, 4)])
def test_an_older_broker_is_asked_again(theirs: tuple[int, int]) -> None:
    world = World(1, brokers=1)
    world.cluster.brokers[0].versions[18] = theirs
    assert isinstance(world.bootstrap(), Ok)
    asked = [version for key, version in world.cluster.brokers[0].requests if key == 18]
    assert asked[:2] == ([4, theirs[1]] if theirs[1] < 4 else [4, 4])


@pytest.mark.parametrize("theirs", [(0, 0), (0, 3)])
def test_a_peer_that_resets_on_unknown_versions_is_asked_again(theirs: tuple[int, int]) -> None:
    world = World(1, brokers=1)
    world.cluster.brokers[0].versions[18] = theirs
    world.cluster.brokers[0].resets_unknown_versions = True
    assert isinstance(world.bootstrap(), Ok)


def test_every_connection_starts_with_api_versions() -> None:
    world = ready()
    for id in range(3):
        promise = world.request(ToBroker(id), InitProducerIdRequest, init)
        assert world.run(5.0, lambda promise=promise: promise.result is not None)
    for broker in world.cluster.brokers:
        assert broker.requests[0] == (18, 4)


def test_the_cluster_s_features_are_those_of_the_newest_word() -> None:
    """A broker that has not heard of a change yet does not take it back; one too old to say changes nothing."""

    def features(epoch: int, **levels: int) -> Any:
        def handler(broker: Any, header: Any, request: Any) -> Any:
            response = api_versions(broker, header, request)
            response.finalized_features_epoch = epoch
            response.finalized_features = [
                ApiVersionsResponse.FinalizedFeatureKey(name=name, max_version_level=level, min_version_level=level)
                for name, level in levels.items()
            ]
            return response

        return handler

    world = World(6)
    brokers = world.cluster.brokers
    api_versions = brokers[0].handlers[ApiVersionsRequest.API_KEY]
    brokers[0].handlers[ApiVersionsRequest.API_KEY] = features(7, transaction=1)
    brokers[1].handlers[ApiVersionsRequest.API_KEY] = features(9, transaction=2)
    brokers[2].versions[ApiVersionsRequest.API_KEY] = (0, 2)
    assert world.core.nodes.finalized_feature("transaction") == 0
    assert isinstance(world.bootstrap(), Ok)
    seen = []
    for broker in (2, 0, 1, 0):
        world.channel(broker).disconnect(world.now)
        world.brokers.ensure(broker, world.now)
        assert world.run(2.0, lambda broker=broker: world.brokers.connection_id(broker) >= 0)  # type: ignore[misc]
        seen.append(world.channel(broker).connection.features)  # type: ignore[union-attr]
    assert seen == [{}, {"transaction": 1}, {"transaction": 2}, {"transaction": 1}]
    assert world.core.nodes.finalized_feature("transaction") == 2
    assert world.core.nodes.finalized_feature("unheard.of") == 0


def test_a_request_the_broker_does_not_know_is_an_error_value() -> None:
    world = ready()
    for broker in world.cluster.brokers:
        del broker.versions[22]
    world = World(1)
    for broker in world.cluster.brokers:
        del broker.versions[22]
    world.bootstrap()
    promise = world.request(ToBroker(0), InitProducerIdRequest, init)
    assert world.run(5.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Err) and isinstance(promise.result.error, UnsupportedVersionError)


def test_any_broker_means_one_that_knows_the_request() -> None:
    world = World(1)
    for broker in world.cluster.brokers[:2]:
        del broker.versions[22]
    world.bootstrap()
    promise = world.request(ANY, InitProducerIdRequest, init)
    assert world.run(5.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Ok)


# -- routes --------------------------------------------------------------------------------------------------------


def test_a_request_reaches_the_leader_even_after_it_moved() -> None:
    world = ready()
    world.cluster.create_topic("t", 3)
    promise = world.request(Leader("t", 1), MetadataRequest, nothing)
    assert world.run(5.0, lambda: promise.result is not None)
    world.cluster.move_leader("t", 1, 2)
    world.core.metadata.refresh("t", world.now)
    assert world.run(5.0, lambda: world.core.snapshot.leader("t", 1) == 2)
    before = len(world.cluster.brokers[2].requests)
    promise = world.request(Leader("t", 1), MetadataRequest, nothing)
    assert world.run(5.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Ok) and len(world.cluster.brokers[2].requests) > before


def test_a_request_before_anything_is_known() -> None:
    world = World(1)
    world.cluster.create_topic("t", 3)
    promises = [world.request(route, MetadataRequest, nothing) for route in (Leader("t", 2), CONTROLLER, ToBroker(1))]
    world.run(5.0)
    assert [promise.result.is_ok() for promise in promises] == [True] * 3  # type: ignore[union-attr]


def test_the_leader_of_a_topic_that_cannot_be() -> None:
    world = ready()

    def metadata(broker: Any, header: Any, request: Any) -> Any:
        answer = original(broker, header, request)
        answer.topics = [MetadataResponse.MetadataResponseTopic(error_code=17, name=t.name) for t in request.topics]
        return answer

    original = world.cluster.brokers[0].handlers[3]
    for broker in world.cluster.brokers:
        broker.handlers[3] = metadata
    promise = world.request(Leader("no such/name", 0), MetadataRequest, nothing)
    assert world.run(2.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Err) and promise.result.error.errno == 17  # type: ignore[attr-defined]


def test_the_coordinator_is_looked_up_once_and_again_when_it_moved() -> None:
    world = ready()
    key = Coordinator(1, "tx")
    moved_to = 1
    lookups = 0

    def find(broker: Any, header: Any, request: Any) -> Any:
        nonlocal lookups
        lookups += 1
        b = world.cluster.brokers[moved_to]
        found = FindCoordinatorResponse.Coordinator(key="tx", node_id=b.id, host=b.host, port=b.port)
        return FindCoordinatorResponse(coordinators=[found])

    def answer(broker: Any, header: Any, request: Any) -> Any:
        if broker.id != moved_to:
            return InitProducerIdResponse(error_code=16)
        return InitProducerIdResponse(producer_id=broker.id, producer_epoch=0)

    for broker in world.cluster.brokers:
        broker.handlers[10], broker.handlers[22] = find, answer
    for _ in range(3):
        promise = world.request(key, InitProducerIdRequest, init)
        assert world.run(5.0, lambda: promise.result is not None)  # noqa: B023
        assert promise.result.unwrap().producer_id == 1
    assert lookups == 1
    moved_to = 2
    promise = world.request(key, InitProducerIdRequest, init)
    assert world.run(5.0, lambda: promise.result is not None)
    assert promise.result.unwrap().producer_id == 2
    assert lookups == 2


def test_a_coordinator_that_is_not_allowed_is_an_error() -> None:
    world = ready()

    def find(broker: Any, header: Any, request: Any) -> Any:
        return FindCoordinatorResponse(coordinators=[FindCoordinatorResponse.Coordinator(key="tx", error_code=53)])

    for broker in world.cluster.brokers:
        broker.handlers[10] = find
    promises = [world.request(Coordinator(1, "tx"), InitProducerIdRequest, init) for _ in range(2)]
    world.run(2.0)
    assert [promise.result.error.errno for promise in promises] == [53, 53]  # type: ignore[union-attr]


def test_retriable_answers_are_retried_until_the_deadline() -> None:
    world = ready()
    asked = 0

    def loading(broker: Any, header: Any, request: Any) -> Any:
        nonlocal asked
        asked += 1
        return InitProducerIdResponse(error_code=14 if asked < 9 else 0, producer_id=5)

    for broker in world.cluster.brokers:
        broker.handlers[22] = loading
    promise = world.request(ANY, InitProducerIdRequest, init)
    assert world.run(10.0, lambda: promise.result is not None)
    assert promise.result.unwrap().producer_id == 5 and asked == 9
    asked = -1000
    promise = world.request(ANY, InitProducerIdRequest, init, timeout=2.0)
    world.run(3.0)
    assert isinstance(promise.result, Err) and "COORDINATOR" in str(promise.result.error).upper()


def test_an_answer_with_a_final_error_is_that_error() -> None:
    world = ready()
    for broker in world.cluster.brokers:
        broker.handlers[22] = lambda broker, header, request: InitProducerIdResponse(error_code=53)
    promise = world.request(ANY, InitProducerIdRequest, init)
    assert world.run(10.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Err) and promise.result.error.errno == 53  # type: ignore[attr-defined]


def test_any_broker_takes_the_next_one_when_one_hangs() -> None:
    world = ready(request_timeout=30.0)
    hung = next(b for b in world.cluster.brokers if b.connections)
    for broker in world.cluster.brokers:
        promise = world.request(ToBroker(broker.id), InitProducerIdRequest, init)
        assert world.run(5.0, lambda promise=promise: promise.result is not None)
    hung.pause()
    next(broker for broker in world.cluster.brokers if broker is not hung).pause()
    start = world.now
    promise = world.request(ANY, InitProducerIdRequest, init, timeout=60.0)
    assert world.run(60.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Ok)
    assert world.now - start < 31.0


def test_any_broker_never_asks_the_same_twice_in_a_round() -> None:
    world = ready()
    rounds: list[int] = []

    def refuse(broker: Any, header: Any, request: Any) -> Any:
        rounds.append(broker.id)
        return InitProducerIdResponse(error_code=14)

    for broker in world.cluster.brokers:
        broker.handlers[22] = refuse
    world.request(ADVERTISED, InitProducerIdRequest, init, timeout=3.0)
    world.run(4.0)
    assert len(rounds) >= 9
    for start in range(0, len(rounds) - 2, 3):
        assert sorted(rounds[start : start + 3]) == [0, 1, 2]


def test_a_peer_that_answers_another_request_than_it_was_asked() -> None:
    world = World(1, 1)
    original = _Served._answer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Served, "_answer", lambda self, r, v, id: original(self, r, v, id + 7))
        result = world.bootstrap()
    assert isinstance(result, Err)
    assert "sent response 7 where 0 was due" in str(result.error) and "api versions" in str(result.error)


# -- the data path's part ------------------------------------------------------------------------------------------


def pumping(seed: int = 1, acks: int = -1, **config: Any) -> tuple[World, Pump]:
    world = World(seed, **config)
    world.cluster.create_topic("t", 6)
    for broker in world.cluster.brokers:
        broker.least_work = broker.most_work = 0.05  # keeps the number of steps down
    assert isinstance(world.bootstrap(), Ok)
    return world, Pump(world, "t", acks)


@pytest.mark.parametrize("acks", [-1, 0])
def test_the_data_path_gets_room_and_keeps_to_it(acks: int) -> None:
    world, pump = pumping(acks=acks)
    world.run(2.0)
    assert pump.succeeded > 20 and pump.failed == 0
    assert pump.most_in_flight == (5 if acks else 1)
    appended = sum(partition.end for partition in world.cluster.topics["t"])
    assert appended >= pump.succeeded - pump.failed and appended <= pump.sent


def test_without_a_connection_there_is_no_room_and_no_sending() -> None:
    world = ready()
    results: list[Any] = []
    world.core.parts = ()
    away = next(id for id in range(3) if not world.channel(id).is_ready)
    assert world.brokers.room(away) == 0 and world.brokers.room(99) == 0 and world.brokers.room(-1) == 0
    world.brokers.send(away, InitProducerIdRequest, init, lambda r, now: results.append(r), world.now)
    assert isinstance(results[0].error, NodeNotReadyError)
    version = world.brokers.version_for(away, InitProducerIdRequest)
    assert isinstance(version, UnsupportedVersionError)


def test_a_late_answer_closes_the_connection_and_fails_all_its_requests() -> None:
    world, pump = pumping()
    world.run(1.0)
    world.cluster.brokers[1].pause()
    pump.timeout = 2.0
    world.run(1.0)
    waiting = len(world.channel(1).connection.in_flight)  # type: ignore[union-attr]
    world.run(7.0)
    assert pump.downs and pump.downs[0][0] == 1
    assert re.search(r"no answer to ProduceRequest within \d+\.\d s", str(pump.downs[0][1]))
    failed = pump.failed
    assert failed >= waiting > 1
    health = next(health for health in world.core.health(world.now) if health.node_id == 1)
    assert health.failing_since is not None and isinstance(health.error, KafkaConnectionError)
    world.cluster.brokers[1].resume()
    world.run(15.0)
    succeeded = pump.succeeded
    world.run(2.0)
    assert pump.succeeded > succeeded
    health = next(health for health in world.core.health(world.now) if health.node_id == 1)
    assert (health.error, health.failing_since, health.failures) == (None, None, 0)


def test_a_connection_is_known_by_an_id_that_never_comes_back() -> None:
    world = ready(seed=8, brokers=1, connections_max_idle=5.0)
    assert world.brokers.connection_id(0) == -1 or world.brokers.room(0) > 0
    assert world.brokers.connection_id(7) == world.brokers.connection_id(-1) == -1
    seen = []
    for end in ("reset", "idle", "reset"):
        world.brokers.ensure(0, world.now)
        assert world.run(5.0, lambda: world.brokers.connection_id(0) >= 0)
        seen.append(world.brokers.connection_id(0))
        if end == "reset":
            world.network.links[-1].reset()
        assert world.run(10.0, lambda: world.brokers.connection_id(0) == -1)
        assert world.brokers.room(0) == 0
    assert len(set(seen)) == 3


def test_reconnecting_backs_off() -> None:
    world, _ = pumping(reconnect_backoff_max=1.0)
    world.run(1.0)
    broker = world.cluster.brokers[2]
    world.network.servers.pop((broker.ip, 9092))  # dead, and nobody moves its leaders
    for link in list(broker.connections):
        link.reset()
    world.run(20.0)
    refusals = [entry for entry in world.simulation.trace if entry[1] == "refused"]
    assert 15 <= len(refusals) <= 35
    health = next(health for health in world.core.health(world.now) if health.node_id == 2)
    assert health.failures > 10 and "Connection refused" in str(health.error)


def test_an_idle_connection_is_closed_and_made_again() -> None:
    world = ready(connections_max_idle=5.0, metadata_max_age=1000.0)
    world.run(12.0)
    assert all(
        health.state == "disconnected" and health.failing_since is None for health in world.core.health(world.now)
    )
    promise = world.request(ToBroker(0), InitProducerIdRequest, init)
    assert world.run(5.0, lambda: promise.result is not None) and isinstance(promise.result, Ok)


# -- the end -------------------------------------------------------------------------------------------------------


def test_closing_fails_everything_and_nothing_happens_afterwards() -> None:
    world, pump = pumping()
    world.run(1.0)
    for broker in world.cluster.brokers:
        broker.pause()
    promises = [world.request(route, InitProducerIdRequest, init) for route in (ANY, ToBroker(0), Leader("u", 0))]
    reason = Cancelled("The client was closed.")
    pump.on = False
    world.core.close(reason, world.now)
    assert [promise.result for promise in promises] == [Err(reason)] * 3
    late = world.request(ANY, InitProducerIdRequest, init)
    assert late.result == Err(reason)
    before = len(world.simulation.trace)
    world.run(60.0)
    assert not world.client._links
    assert world.core.next_deadline() == float("inf")
    assert not [entry for entry in world.simulation.trace[before:] if entry[1] in ("send", "connect", "resolve")]
    assert all(promise.result is not None for promise in world.checker.promises)


def test_raw_requests_are_answered_with_their_errors_inside() -> None:
    world = World(3)
    world.cluster.create_topic("t", 3)
    world.bootstrap()
    for id in range(3):
        world.brokers.ensure(id, world.now)
    world.core.metadata.want("t", world.now)
    world.run(2.0)
    results: list[Any] = []
    topic_id = world.core.snapshot.topics["t"].id
    for id in range(3):
        world.brokers.send(
            id,
            ProduceRequest,
            lambda version: produce_request("t", topic_id, 0, batch(3), version),
            lambda result, now: results.append(result.unwrap().responses[0].partition_responses[0].error_code),
            world.now,
        )
    world.run(2.0)
    assert sorted(results) == [0, 6, 6]


def test_a_half_open_connection_is_found_out_while_there_is_time_to_try_again() -> None:
    world = ready(request_timeout=4.0)
    first = world.request(ToBroker(0), InitProducerIdRequest, init)
    assert world.run(5.0, lambda: first.result is not None)
    for link in world.cluster.brokers[0].connections:
        link.half_open = True
    start = world.now
    promise = world.request(ToBroker(0), InitProducerIdRequest, init, timeout=10.0)
    assert world.run(10.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Ok) and 4.0 <= world.now - start < 5.0


def test_an_impatient_call_takes_no_others_with_it() -> None:
    world = ready(request_timeout=30.0)
    broker = world.cluster.brokers[0]
    first = world.request(ToBroker(0), InitProducerIdRequest, init)
    assert world.run(5.0, lambda: first.result is not None)
    broker.pause()
    impatient = world.request(ToBroker(0), InitProducerIdRequest, init, timeout=1.0)
    patient = world.request(ToBroker(0), InitProducerIdRequest, init, timeout=20.0)
    world.run(2.0)
    assert isinstance(impatient.result, Err) and patient.result is None
    broker.resume()
    assert world.run(1.0, lambda: isinstance(patient.result, Ok))


def unreachable_leader(world: World) -> None:
    """Partition 0 of "t" is led by broker 2, which answers no SYN; the client knows."""
    world.cluster.create_topic("t", 1)
    world.cluster.move_leader("t", 0, 2)
    world.core.metadata.want("t", world.now)
    assert world.run(1.0, lambda: world.core.snapshot.leader("t", 0) == 2)
    world.network.black_holes.add(("10.0.0.2", 9092))
    for link in list(world.cluster.brokers[2].connections):
        link.reset()
    world.run(0.1)


def test_a_call_that_waits_for_a_connection_follows_the_leader() -> None:
    world = ready(2)
    unreachable_leader(world)
    promise = world.request(Leader("t", 0), MetadataRequest, nothing, timeout=8.0)
    world.run(1.0)
    assert promise.result is None
    world.cluster.move_leader("t", 0, 0)
    world.core.metadata.refresh("t", world.now)
    assert world.run(2.0, lambda: isinstance(promise.result, Ok))


def test_a_call_does_not_wait_for_a_broker_that_is_gone() -> None:
    world = ready(2, reconnect_backoff=20.0, reconnect_backoff_max=20.0)
    world.network.servers.pop(("10.0.0.2", 9092))
    for link in list(world.cluster.brokers[2].connections):
        link.reset()
    world.brokers.ensure(2, world.now)
    world.run(1.0)
    promise = world.request(ToBroker(2), InitProducerIdRequest, init, timeout=15.0)
    world.run(1.0)  # waits for the next attempt to connect
    world.cluster.brokers[2].is_up = False
    world.core.metadata.refresh(None, world.now)
    assert world.run(2.0, lambda: 2 not in world.core.nodes.nodes)
    world.cluster.brokers[2].start()
    assert world.run(5.0, lambda: isinstance(promise.result, Ok))


def test_unwritten_requests_take_room_too() -> None:
    """A frozen broker must not fill the memory with requests that nobody answers (acks=0)."""
    world = ready(max_in_flight=3)
    there = next(id for id in range(3) if world.brokers.room(id) == 3)
    results: list[Any] = []
    for left in (2, 1, 0):
        world.brokers.send(
            there, InitProducerIdRequest, init, lambda r, now: results.append(r), world.now, answered=False
        )
        assert world.brokers.room(there) == left and results == []
    world.cluster.brokers[there].handlers[22] = lambda broker, header, request: None
    world.run(1.0)
    assert results == [Ok(None)] * 3 and world.brokers.room(there) == 3


def test_an_error_inside_that_says_not_i_sends_the_call_elsewhere() -> None:
    world = ready()
    world.cluster.create_topic("t", 1)
    world.core.metadata.want("t", world.now)
    world.run(1.0)
    world.cluster.move_leader("t", 0, 1)  # the client does not know

    def answer(broker: Any, header: Any, request: Any) -> Any:
        error = 0 if broker.id == 1 else 6
        return MetadataResponse(topics=[MetadataResponse.MetadataResponseTopic(error_code=error, name="inner")])

    original = world.cluster.brokers[0].handlers[3]

    def handle(broker: Any, header: Any, request: Any) -> Any:
        inner = request.topics is not None and [topic.name for topic in request.topics] == ["inner"]
        return (answer if inner else original)(broker, header, request)

    for broker in world.cluster.brokers:
        broker.handlers[3] = handle
    asked = MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name="inner")])
    promise = world.request(Leader("t", 0), MetadataRequest, lambda version: asked)
    assert world.run(5.0, lambda: promise.result is not None)
    assert promise.result.unwrap().topics[0].error is None
