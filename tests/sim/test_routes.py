"""Routes by intent: coordinators of many keys, and the controller, whoever that is."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.core.cluster.routes import CONTROLLER, GROUP, TRANSACTION, Coordinator
from kafka.core.net.lanes import Lane
from kafka.protocol import (
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    MetadataRequest,
    MetadataResponse,
)
from kafka.protocol.codes import Code
from kafka.result import Err
from tests.sim.world import Promise, World

FIND, INIT = FindCoordinatorRequest.API_KEY, InitProducerIdRequest.API_KEY


def init(version: int) -> InitProducerIdRequest:
    return InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1)


def ready(brokers: int = 3) -> World:
    world = World(1, brokers)
    world.bootstrap().unwrap()
    world.run(0.5)
    return world


def ask(world: World, key: str, kind: int = GROUP, timeout: float = 20.0) -> Promise:
    return world.request(Coordinator(kind, key), InitProducerIdRequest, init, timeout)


def count(world: World, api_key: int) -> int:
    """How many requests of this API brokers have had."""
    return sum(key == api_key for broker in world.cluster.brokers for key, *_ in broker.requests)


def lookups(world: World) -> list[list[str]]:
    """The keys of each lookup from now on."""
    seen: list[list[str]] = []
    original = world.cluster.brokers[0].handlers[FIND]

    def handler(broker: Any, header: Any, request: Any) -> Any:
        seen.append(list(request.coordinator_keys) if header.api_version >= 4 else [request.key])
        return original(broker, header, request)

    for broker in world.cluster.brokers:
        broker.handlers[FIND] = handler
    return seen


def test_many_coordinators_are_looked_up_in_one_request() -> None:
    world = ready()
    seen = lookups(world)
    promises = [ask(world, f"g{number}") for number in range(200)]
    promises += [ask(world, "tx", TRANSACTION)]
    assert world.run(5.0, lambda: all(promise.result is not None for promise in promises))
    assert all(promise.result.is_ok() for promise in promises)  # type: ignore[union-attr]
    assert sorted(map(len, seen)) == [1, 200]


def test_brokers_that_take_one_key_are_asked_for_each() -> None:
    world = ready()
    for broker in world.cluster.brokers:
        broker.versions[FIND] = (0, 3)
    seen = lookups(world)
    for link in list(world.network.links):
        link.reset()
    promises = [ask(world, key) for key in ("a", "b", "c")]
    assert world.run(5.0, lambda: all(promise.result is not None for promise in promises))
    assert all(promise.result.is_ok() for promise in promises)  # type: ignore[union-attr]
    assert sorted(seen) == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("code", [Code.GROUP_AUTHORIZATION_FAILED, Code.COORDINATOR_NOT_AVAILABLE])
def test_what_is_wrong_with_one_key_is_no_others_affair(code: Code) -> None:
    """Brokers that take one key say what is wrong with it of the whole answer."""
    world = ready()
    original = world.cluster.brokers[0].handlers[FIND]

    def handler(broker: Any, header: Any, request: Any) -> Any:
        return FindCoordinatorResponse(error_code=code) if request.key == "bad" else original(broker, header, request)

    for broker in world.cluster.brokers:
        broker.versions[FIND] = (0, 3)
        broker.handlers[FIND] = handler
    for link in list(world.network.links):
        link.reset()
    world.run(0.2)
    bad, *good = [ask(world, key, timeout=5.0) for key in ("bad", "good", "better")]
    assert world.run(0.2, lambda: all(promise.result is not None for promise in good))
    assert all(promise.result.is_ok() for promise in good)  # type: ignore[union-attr]
    world.run(5.0)
    assert isinstance(bad.result, Err)


def test_a_coordinator_that_is_not_there_yet_holds_up_no_other() -> None:
    world = ready()
    original = world.cluster.brokers[0].handlers[FIND]

    def handler(broker: Any, header: Any, request: Any) -> Any:
        response = original(broker, header, request)
        for found in response.coordinators:
            if found.key == "late" and world.now < late_until:
                found.error_code = Code.COORDINATOR_NOT_AVAILABLE
        return response

    for broker in world.cluster.brokers:
        broker.handlers[FIND] = handler
    late_until = world.now + 6.0
    late, beside = ask(world, "late"), ask(world, "beside")
    assert world.run(0.2, lambda: beside.result is not None)
    world.run(3.0)
    after = ask(world, "after")
    assert world.run(0.2, lambda: after.result is not None)
    assert late.result is None
    assert world.run(5.0, lambda: late.result is not None)
    assert late.result.unwrap()  # type: ignore[union-attr]


def test_nobody_is_looked_for_when_nobody_waits() -> None:
    world = ready()
    seen = lookups(world)
    for broker in world.cluster.brokers:
        broker.handlers[FIND] = lambda broker, header, request: (
            seen.append([]) or FindCoordinatorResponse(  # type: ignore[func-returns-value]
                coordinators=[FindCoordinatorResponse.Coordinator(key="g", error_code=Code.COORDINATOR_NOT_AVAILABLE)]
            )
        )  # fmt: skip
    promise = ask(world, "g", timeout=2.0)
    world.run(3.0)
    assert isinstance(promise.result, Err) and len(seen) > 1
    world.run(2.0)
    before = len(seen)
    world.run(30.0)
    assert len(seen) == before


def test_an_answer_that_does_not_name_the_key() -> None:
    world = ready()
    for broker in world.cluster.brokers:
        broker.handlers[FIND] = lambda broker, header, request: FindCoordinatorResponse()
    promise = ask(world, "g", timeout=5.0)
    world.run(6.0)
    assert isinstance(promise.result, Err) and "'g'" in str(promise.result.error)


# -- the controller ----------------------------------------------------------------------------------------------------


def refusing(world: World, *who: int) -> list[int]:
    """These brokers say NOT_CONTROLLER; returns the list of who was asked."""
    order: list[int] = []

    def handler(broker: Any, header: Any, request: Any) -> Any:
        order.append(broker.id)
        if broker.id in who:
            return InitProducerIdResponse(error_code=Code.NOT_CONTROLLER)
        return InitProducerIdResponse(producer_id=broker.id, producer_epoch=0)

    for broker in world.cluster.brokers:
        broker.handlers[INIT] = handler
    return order


def connect_all(world: World) -> None:
    for broker in world.cluster.brokers:
        world.brokers.ensure(broker.id, world.now)
    world.run(0.5)


def test_the_controller_that_metadata_names_is_asked_first() -> None:
    for named in range(3):
        world = ready()
        connect_all(world)
        world.core.metadata.snapshot = world.core.snapshot._replace(controller_id=named)
        order = refusing(world)
        promise = world.request(CONTROLLER, InitProducerIdRequest, init)
        assert world.run(2.0, lambda promise=promise: promise.result is not None)  # type: ignore[misc]
        assert order == [named]


def test_not_controller_means_another_one_at_once() -> None:
    world = ready()
    connect_all(world)
    order = refusing(world, 0, 1)
    start = world.now
    promise = world.request(CONTROLLER, InitProducerIdRequest, init)
    assert world.run(2.0, lambda: promise.result is not None)
    assert promise.result.unwrap().producer_id == 2  # type: ignore[union-attr]
    assert len(order) == len(set(order)) and world.now - start < 0.05


def test_not_controller_inside_an_answer_means_another_one_too() -> None:
    """As CreateTopics has it: for each topic, not for the whole."""
    world = ready()
    connect_all(world)
    order: list[int] = []
    original = world.cluster.brokers[0].handlers[MetadataRequest.API_KEY]

    def handler(broker: Any, header: Any, request: Any) -> Any:
        if not request.topics:
            return original(broker, header, request)
        order.append(broker.id)
        code = Code.NONE if broker.id == 2 else Code.NOT_CONTROLLER
        return MetadataResponse(topics=[MetadataResponse.MetadataResponseTopic(name="t", error_code=code)])

    for broker in world.cluster.brokers:
        broker.handlers[MetadataRequest.API_KEY] = handler
    asked_for = [MetadataRequest.MetadataRequestTopic(name="t")]
    promise = world.request(CONTROLLER, MetadataRequest, lambda version: MetadataRequest(topics=asked_for))
    assert world.run(2.0, lambda: promise.result is not None)
    assert promise.result.unwrap().topics[0].error_code == 0  # type: ignore[union-attr]
    assert order[-1] == 2 and len(order) == len(set(order))


def test_while_all_say_not_controller_they_are_asked_with_pauses() -> None:
    world = ready()
    connect_all(world)
    order = refusing(world, 0, 1, 2)
    before = count(world, MetadataRequest.API_KEY)
    promise = world.request(CONTROLLER, InitProducerIdRequest, init, 5.0)
    world.run(6.0)
    assert isinstance(promise.result, Err) and "NotController" in str(promise.result.error)
    rounds = [sorted(order[index : index + 3]) for index in range(0, len(order) - 2, 3)]
    assert all(each == [0, 1, 2] for each in rounds) and 4 < len(rounds) < 30
    assert count(world, MetadataRequest.API_KEY) > before, "nobody asked who the controller is"


@pytest.mark.parametrize("seconds", [8.0])
def test_what_changes_the_cluster_is_asked_of_one_broker_at_a_time(seconds: float) -> None:
    world = ready()
    connect_all(world)
    order = refusing(world)
    for broker in world.cluster.brokers:
        broker.least_work = broker.most_work = seconds
    promise = world.request(CONTROLLER, InitProducerIdRequest, init, 20.0)
    assert world.run(10.0, lambda: promise.result is not None)
    assert promise.result.is_ok() and len(order) == 1  # type: ignore[union-attr]


def test_a_controller_that_cannot_be_reached_is_passed_over() -> None:
    world = ready()
    connect_all(world)
    world.core.metadata.snapshot = world.core.snapshot._replace(controller_id=1)
    world.cluster.brokers[1].stop()
    world.run(1.0)
    world.core.metadata.snapshot = world.core.snapshot._replace(controller_id=1)
    order = refusing(world)
    promise = world.request(CONTROLLER, InitProducerIdRequest, init, 20.0)
    assert world.run(1.0, lambda: promise.result is not None)
    assert promise.result.is_ok() and order and 1 not in order  # type: ignore[union-attr]
    assert world.channel(1, Lane.CONTROL).failures > 0


def test_a_call_that_waits_for_the_controller_follows_it() -> None:
    world = ready()
    connect_all(world)
    refusing(world)
    broker = world.cluster.brokers[1]
    world.network.black_holes.add((broker.ip, broker.port))
    world.channel(1).disconnect(world.now)
    world.core.metadata.snapshot = world.core.snapshot._replace(controller_id=1)
    promise = world.request(CONTROLLER, InitProducerIdRequest, init, 20.0)
    world.run(0.2)
    assert promise.result is None
    world.core.metadata.snapshot = world.core.snapshot._replace(controller_id=2)
    world.core.calls.on_metadata(world.now)
    assert world.run(0.1, lambda: promise.result is not None)
    assert promise.result.unwrap().producer_id == 2  # type: ignore[union-attr]


def test_what_may_be_under_way_is_not_asked_of_another_at_once() -> None:
    """CreateTopics twice is TopicAlreadyExists."""
    world = ready()
    connect_all(world)
    order = refusing(world)
    for broker in world.cluster.brokers:
        broker.least_work = broker.most_work = 0.05
    start = world.now
    promise = world.request(CONTROLLER, InitProducerIdRequest, init, 20.0)
    assert world.run(1.0, lambda: len(order) == 1)
    for link in list(world.cluster.brokers[order[0]].connections):
        link.reset()
    assert world.run(2.0, lambda: promise.result is not None)
    assert promise.result.is_ok() and len(order) == 2  # type: ignore[union-attr]
    assert world.now - start > 0.08 + 0.05
