"""What may wait behind what: each lane of a broker has a connection, a throttle and an end of its own."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.core.cluster.routes import ADVERTISED, ToBroker
from kafka.core.net.lanes import CONNECTION_OF, Lane
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.protocol import InitProducerIdRequest, InitProducerIdResponse, ListOffsetsRequest, ProduceRequest
from kafka.result import Err
from kafka.testing.model.world import Later
from kafka.testing.sim_broker import SimBroker
from tests.sim.pump import Pump
from tests.sim.world import Promise, World, late

SLOW = InitProducerIdRequest.API_KEY  # the API that the tests hold back


def init(version: int) -> InitProducerIdRequest:
    return InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1)


def offsets(version: int) -> ListOffsetsRequest:
    return ListOffsetsRequest(replica_id=-1)


def held(broker: SimBroker, seconds: float, throttle_ms: int = 0) -> None:
    """Answers of one API come so much later, each holding up its own connection."""

    def handle(broker: SimBroker, header: Any, request: Any) -> Later:
        response = InitProducerIdResponse(producer_id=5, producer_epoch=0, throttle_time_ms=throttle_ms)
        return late(broker, seconds, response)

    broker.handlers[SLOW] = handle


def ready(brokers: int = 1, seed: int = 1, **config: Any) -> World:
    world = World(seed, brokers, **config)
    world.bootstrap().unwrap()
    world.run(0.5)
    return world


def slow(world: World, lane: Lane, answer_within: float | None = None, timeout: float = 60.0, node: int = 0) -> Promise:
    return world.request(ToBroker(node), InitProducerIdRequest, init, timeout, lane=lane, answer_within=answer_within)


def connects(world: World, since: float = 0.0) -> int:
    return sum(entry[0] > since and entry[1] == "connect" for entry in world.simulation.trace)


def closes(world: World, since: float = 0.0) -> int:
    return sum(entry[0] > since and entry[1] in ("close", "closed") for entry in world.simulation.trace)


# -- answers that are rightly slow -------------------------------------------------------------------------------------


def test_an_answer_that_may_take_long_is_awaited_on_one_connection() -> None:
    world = ready(request_timeout=2.0)
    held(world.cluster.brokers[0], 6.0)
    start = world.now
    promise = slow(world, Lane.GROUP, answer_within=8.0)
    assert world.run(20.0, lambda: promise.result is not None)
    assert promise.result.unwrap().producer_id == 5
    assert 6.0 < world.now - start < 6.1
    assert [key for key, *_ in world.cluster.brokers[0].requests].count(SLOW) == 1
    assert connects(world, start) == 1 and closes(world, start) == 0


def test_an_answer_that_may_not_take_so_long_costs_the_connection() -> None:
    world = ready(request_timeout=2.0)
    held(world.cluster.brokers[0], 6.0)
    start = world.now
    slow(world, Lane.GROUP, answer_within=3.0)
    assert not world.run(2.9, lambda: closes(world, start) > 0)
    assert world.run(0.2, lambda: closes(world, start) > 0)


@pytest.mark.parametrize("seed", range(5))
def test_a_short_request_does_not_wait_behind_a_long_poll(seed: int) -> None:
    def took(polls: bool) -> float:
        world = ready(seed=seed)
        held(world.cluster.brokers[0], 0.4)
        if polls:
            slow(world, Lane.FETCH, answer_within=30.5)
        world.run(0.1)  # the poll is with the broker
        start = world.now
        world.simulation.random.seed(seed)
        promise = world.request(ToBroker(0), ListOffsetsRequest, offsets)
        assert world.run(5.0, lambda: promise.result is not None)
        return world.now - start

    assert took(True) == pytest.approx(took(False), abs=0.001)


def test_on_one_lane_the_next_request_waits_without_harm() -> None:
    world = ready(request_timeout=2.0)
    held(world.cluster.brokers[0], 6.0)
    slow(world, Lane.GROUP, answer_within=8.0)
    world.run(0.1)
    start = world.now
    behind = world.request(ToBroker(0), ListOffsetsRequest, offsets, 20.0, lane=Lane.GROUP)
    assert world.run(20.0, lambda: behind.result is not None)
    behind.result.unwrap()
    assert 5.8 < world.now - start < 6.1 and closes(world, start) == 0


def test_what_waited_behind_an_answer_that_came_early_is_due_as_ever() -> None:
    world = ready(request_timeout=2.0)
    held(world.cluster.brokers[0], 0.5)
    slow(world, Lane.GROUP, answer_within=62.0)
    behind = slow(world, Lane.GROUP, timeout=20.0)
    world.run(0.7)
    world.cluster.brokers[0].pause()
    start = world.now
    assert world.run(3.0, lambda: closes(world, start) > 0), "the second request was granted the first one's time"
    assert behind.result is None


def test_it_is_noticed_in_time_although_the_watch_was_set_for_later() -> None:
    world = ready(request_timeout=2.0)
    held(world.cluster.brokers[0], 5.0)
    slow(world, Lane.GROUP, answer_within=62.0)
    slow(world, Lane.GROUP, timeout=20.0)
    world.run(5.1)
    world.cluster.brokers[0].pause()
    start = world.now
    assert world.run(2.5, lambda: closes(world, start) > 0)


def test_a_broker_that_rightly_holds_an_answer_is_not_silent() -> None:
    world = ready(brokers=2, any_broker_attempt=20.0)
    for node in (0, 1):
        world.brokers.ensure(node, world.now)
    world.run(0.5)
    held(world.cluster.brokers[0], 20.0)
    slow(world, Lane.CONTROL, answer_within=60.0)
    world.run(5.0)
    node = world.core.nodes.nodes[0]
    assert node.health(world.now).in_flight == 1 and node.health(world.now).waiting_since is None
    asked = world.channel(0).connection
    assert asked is not None and world.now - asked.waiting_since < 0
    world.run(16.0)
    slow(world, Lane.CONTROL)  # this one is held back without right
    since = world.now
    world.run(2.0)
    assert node.health(world.now).waiting_since == pytest.approx(since)


@pytest.mark.parametrize(("answer_within", "limit"), [(None, 1), (40.0, 5), (10.97, 5)])
def test_what_is_rightly_slow_does_not_narrow_the_window(answer_within: float | None, limit: int) -> None:
    world = ready(request_timeout=10.0)
    brokers = world.core.services.brokers(Lane.FETCH)
    brokers.ensure(0, world.now)
    world.run(0.5)
    answers: list[Any] = []
    for round, seconds in enumerate((0.0, *[1.0] * 12)):
        held(world.cluster.brokers[0], seconds)
        for _ in range(2):
            brokers.send(0, InitProducerIdRequest, init, lambda r, now: answers.append(r), world.now, answer_within)
        assert world.run(2.5, lambda round=round: len(answers) == 2 * (round + 1))  # type: ignore[misc]
    connection = world.channel(0, Lane.FETCH).connection
    assert connection is not None and connection.window.limit == limit


# -- a stalled lane delays no other ------------------------------------------------------------------------------------


def pumping(world: World) -> Pump:
    world.cluster.create_topic("t", 3)
    pump = Pump(world, "t")
    world.run(1.0)
    assert pump.succeeded > 0
    return pump


@pytest.mark.parametrize("lane", [Lane.FETCH, Lane.GROUP])
def test_a_stalled_lane_delays_no_produce_and_no_metadata(lane: Lane) -> None:
    world = ready(brokers=3)
    pump = pumping(world)
    for node in range(3):
        held(world.cluster.brokers[node], 30.0)
        slow(world, lane, answer_within=60.0, node=node)
    world.run(0.1)
    before = pump.succeeded
    world.run(5.0)
    alone = (pump.succeeded - before) / 5.0
    assert alone > 100
    for _ in range(5):
        promise = world.request(ADVERTISED, ListOffsetsRequest, offsets)
        assert world.run(0.1, lambda promise=promise: promise.result is not None)  # type: ignore[misc]
    version = world.core.snapshot.version
    world.core.metadata.refresh("t", world.now)
    assert world.run(0.5, lambda: world.core.snapshot.version > version)
    assert pump.downs == [] and pump.failed == 0


@pytest.mark.parametrize("lane", [Lane.FETCH, Lane.GROUP])
def test_each_lane_dies_alone(lane: Lane) -> None:
    world = ready(request_timeout=2.0)
    pump = pumping(world)
    held(world.cluster.brokers[0], 30.0)
    waiting = slow(world, lane, answer_within=3.0, timeout=2.9)
    world.run(0.5)
    other = next(known for known in (Lane.FETCH, Lane.GROUP) if known is not lane)
    beside = slow(world, other, answer_within=60.0)
    world.run(0.5)
    control, polling = world.brokers.connection_id(0), world.channel(0, other).connection
    assert world.run(3.5, lambda: world.channel(0, lane).failures > 0), "the lane does not die"
    assert isinstance(waiting.result, Err)
    assert pump.downs == [] and pump.failed == 0 and world.brokers.connection_id(0) == control
    assert world.channel(0).failures == world.channel(0, other).failures == 0
    assert not world.brokers.is_failing(0)
    # and the others' deaths leave it alone
    back = world.request(ToBroker(0), ListOffsetsRequest, offsets, 20.0, lane=lane)
    assert world.run(2.0, lambda: back.result is not None)
    mine = world.channel(0, lane).connection
    world.client._links[control].reset()  # type: ignore[union-attr]
    world.run(1.0)
    assert [node for node, _ in pump.downs] == [0] and world.brokers.connection_id(0) != control
    assert world.channel(0, lane).connection is mine and mine is not None
    assert world.run(40.0, lambda: beside.result is not None)
    beside.result.unwrap()
    assert world.channel(0, other).connection is polling


def test_a_lane_that_comes_up_ends_the_others_waiting() -> None:
    """It shows that the broker can be reached."""
    world = ready(reconnect_backoff=5.0, reconnect_backoff_max=50.0, connections_max_idle=1e6)
    broker = world.cluster.brokers[0]
    poll = slow(world, Lane.FETCH, answer_within=600.0, timeout=600.0)
    held(broker, 0.1)
    assert world.run(2.0, lambda: poll.result is not None)
    broker.stop()
    again = world.request(ToBroker(0), ListOffsetsRequest, offsets, 600.0, lane=Lane.FETCH)
    world.run(40.0)  # the pause has grown
    control = world.request(ToBroker(0), ListOffsetsRequest, offsets, 600.0)
    world.run(8.0)
    fetch = world.channel(0, Lane.FETCH)
    assert fetch.failures > 1 and world.channel(0).failures >= 1 and fetch.retry_at > world.now + 1.0
    broker.start()
    assert world.run(60.0, lambda: control.result is not None or again.result is not None)
    assert world.run(0.1, lambda: control.result is not None and again.result is not None)
    assert world.core.nodes.nodes[0].health(world.now).failing_since is None


class Wanting:
    """A part that always has a request for the broker."""

    def __init__(self, world: World, lane: Lane) -> None:
        self.lane = lane
        self.brokers = world.core.services.brokers(lane)
        self.due = world.now
        world.core.attach(self)

    def on_room(self, node_id: int, now: float) -> None:
        self.brokers.send(0, InitProducerIdRequest, init, lambda result, now: None, now)

    def on_node_down(self, node_id: int, error: KafkaError, now: float) -> None:
        self.due = now

    def on_metadata(self, snapshot: Any, now: float) -> None: ...

    def uses(self, topic: str) -> bool:
        return False

    def tick(self, now: float) -> None:
        if self.due <= now:
            self.due = float("inf")
            if self.brokers.room(0) > 0:
                self.on_room(0, now)
            else:
                self.brokers.ensure(0, now)

    def next_deadline(self) -> float:
        return self.due

    def close(self, error: KafkaError, now: float) -> None: ...


def hang_up(broker: SimBroker, header: Any, request: Any) -> None:
    for link in list(broker.connections):
        link.reset()


def test_lanes_do_not_hurry_each_other_to_a_broker_that_lets_nobody_stay() -> None:
    """It answers ApiVersions, and resets on the next request."""
    counts = []
    for lanes in ([Lane.PRODUCE], [Lane.PRODUCE, Lane.FETCH, Lane.GROUP]):
        world = ready()
        world.cluster.brokers[0].handlers[SLOW] = hang_up
        for lane in lanes:
            Wanting(world, lane)
        start = world.now
        world.run(10.0)
        counts.append(connects(world, start) / len(lanes))
    assert 20 < counts[0] < 250 and counts[1] < 1.5 * counts[0]


def test_a_broker_that_moves_while_it_holds_an_answer_is_followed_at_once() -> None:
    world = ready()
    held(world.cluster.brokers[0], 300.0)
    slow(world, Lane.GROUP, answer_within=330.0, timeout=400.0)
    world.run(1.0)
    before = world.channel(0, Lane.GROUP).connection
    broker = world.cluster.brokers[0]
    world.network.hosts["elsewhere"] = [(broker.ip,)]
    world.core.nodes.learn(0, "elsewhere", broker.port, world.now)
    world.client.turn()
    other = world.request(ToBroker(0), ListOffsetsRequest, offsets, 20.0, lane=Lane.GROUP)
    held(broker, 0.0)
    assert world.run(1.0, lambda: other.result is not None)
    assert world.channel(0, Lane.GROUP).connection is not before


def test_a_failure_that_nobody_tries_to_mend_is_no_news_while_the_broker_answers() -> None:
    world = ready(request_timeout=2.0)
    pumping(world)
    held(world.cluster.brokers[0], 30.0)
    slow(world, Lane.FETCH, answer_within=3.0, timeout=2.9)
    assert world.run(5.0, lambda: world.channel(0, Lane.FETCH).failures > 0)
    world.run(10.0)
    known = world.core.nodes.nodes[0].health(world.now)
    assert (known.failing_since, known.failures, known.error) == (None, 0, None)


def test_lanes_are_made_on_first_use_and_closed_when_idle() -> None:
    world = ready(connections_max_idle=10.0)
    assert set(world.core.nodes.nodes[0].channels) == {CONNECTION_OF[Lane.CONTROL]}
    held(world.cluster.brokers[0], 0.1)
    promise = slow(world, Lane.GROUP)
    assert world.run(2.0, lambda: promise.result is not None)
    pump = pumping(world)
    world.run(12.0)
    assert world.channel(0, Lane.GROUP).connection is None
    assert pump.downs == [] and world.brokers.connection_id(0) >= 0


# -- throttling --------------------------------------------------------------------------------------------------------


def test_a_throttled_fetch_holds_up_no_heartbeat_and_no_produce() -> None:
    world = ready()
    pump = pumping(world)
    held(world.cluster.brokers[0], 0.0, throttle_ms=5000)
    first = slow(world, Lane.FETCH)
    assert world.run(1.0, lambda: first.result is not None)
    until = world.now + 5.0
    node = world.core.nodes.nodes[0]
    assert node.health(world.now).throttled_until == pytest.approx(until, abs=0.1)
    second = slow(world, Lane.FETCH)
    before = pump.succeeded
    while world.now < until - 0.2:
        beat = world.request(ToBroker(0), ListOffsetsRequest, offsets)
        assert world.run(0.1, lambda beat=beat: beat.result is not None), "it waited for the fetch lane"  # type: ignore[misc]
    assert pump.succeeded - before > 100 and second.result is None
    assert world.run(1.0, lambda: second.result is not None)


def test_a_new_connection_does_not_get_round_a_throttled_lane() -> None:
    world = ready()
    held(world.cluster.brokers[0], 0.0, throttle_ms=5000)
    first = slow(world, Lane.FETCH)
    assert world.run(1.0, lambda: first.result is not None)
    until = world.channel(0, Lane.FETCH).throttled_until
    node = world.core.nodes.nodes[0]
    world.core.nodes.drop(node, KafkaConnectionError(address="x", stage="request", cause="test"), world.now)
    again = world.core.nodes.learn(0, node.host, node.port, world.now)
    assert again is not node and again.channel(Lane.FETCH).throttled_until == until
    assert again.channel(Lane.CONTROL).throttle is None
    held(world.cluster.brokers[0], 0.0)
    second = slow(world, Lane.FETCH)
    assert not world.run(until - world.now - 0.1, lambda: second.result is not None)
    assert world.run(1.0, lambda: second.result is not None)


def test_a_producer_has_one_connection_a_broker() -> None:
    world = ready()
    pumping(world)
    assert ProduceRequest.API_KEY in [key for key, *_ in world.cluster.brokers[0].requests]
    assert len(world.cluster.brokers[0].connections) <= 2  # one by the bootstrap address
    assert list(world.core.nodes.nodes[0].channels) == [Lane.CONTROL]
