"""Metadata when nobody answers, or another cluster does: the way back to the bootstrap servers."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.core.cluster.routes import Coordinator
from kafka.errors import (
    InconsistentClusterIdError,
    KafkaError,
    RebootstrapRequiredError,
)
from kafka.protocol import InitProducerIdRequest, MetadataRequest, ProduceRequest
from kafka.result import Ok
from tests.sim.producing import SimProducer
from tests.sim.test_metadata import know, nothing, notices, on_metadata, ready
from tests.sim.test_produce import settle, start
from tests.sim.world import World, break_connections, late

# -- nobody answers ------------------------------------------------------------------------------------------------


def move_everything(world: World, old_place: str) -> None:
    """All brokers come up at other addresses; the names in bootstrap_servers now stand for those."""
    network = world.network
    for broker in world.cluster.brokers:
        break_connections(broker)
        network.servers.pop((broker.ip, broker.port))
        if old_place == "black hole":
            network.black_holes.add((broker.ip, broker.port))
        broker.ip = f"10.9.9.{broker.id}"
        broker.advertised = (f"new{broker.id}", 9092)
        network.hosts[broker.host] = network.hosts[broker.advertised[0]] = [(broker.ip,)]
        broker.start()


@pytest.mark.parametrize("old_place", ["refused", "black hole"])
def test_the_whole_cluster_moves(old_place: str) -> None:
    world = World(5, request_timeout=10.0)
    for broker in world.cluster.brokers:  # known by other names than those in bootstrap_servers
        broker.advertised = (f"inner{broker.id}", 9092)
        world.network.hosts[f"inner{broker.id}"] = [(broker.ip,)]
    assert isinstance(world.bootstrap(), Ok)
    know(world, "t", 6)
    producer = SimProducer(world)
    for _ in range(20):
        producer.put("t")
    world.run(1.0)
    move_everything(world, old_place)
    for _ in range(20):
        producer.put("t")
        producer.put("t", b"key")
    assert world.run(60.0, producer.all_done)
    producer.check("t")
    assert sorted(b.host for b in world.core.snapshot.brokers.values()) == ["new0", "new1", "new2"]


def hang(world: World) -> None:
    for broker in world.cluster.brokers:
        broker.pause()


def test_hung_brokers_are_forgotten_after_a_while() -> None:
    world = ready(metadata_max_age=1000.0, metadata_max_idle=1e6)
    know(world, "t", 6)
    world.run(500.0)  # the last answer is older than the patience with unanswered requests
    hang(world)
    world.core.metadata.refresh("t", world.now)
    world.run(290.0)
    assert len(world.core.snapshot.brokers) == 3 and world.core.metadata.error is not None
    world.run(11.0)
    assert world.core.snapshot.brokers == {} and isinstance(world.core.metadata.error, KafkaError)
    assert all(health.node_id < 0 for health in world.core.health(world.now))
    said = [notice for notice in notices(world) if "starts again from its bootstrap servers" in notice]
    assert len(said) == 1 and "for 300 s" in said[0]
    topic = world.core.snapshot.topics["t"]
    assert len(topic.partitions) == 6 and topic.id == world.cluster.topics["t"].id
    for broker in world.cluster.brokers:
        broker.resume()
    assert world.run(40.0, lambda: len(world.core.snapshot.brokers) == 3)
    assert world.core.snapshot.leader("t", 4) == 1


def test_after_starting_again_every_topic_is_asked_about() -> None:
    world = ready()
    know(world, "t", 6)
    know(world, "u", 1)

    def start_again(broker: Any, request: Any, answer: Any) -> None:
        if len(asked) == 1:
            answer.error_code = 129

    asked = on_metadata(world, start_again)
    world.core.metadata.refresh("t", world.now)
    assert world.run(2.0, lambda: len(asked) == 2)
    assert asked == [["t"], ["t", "u"]]
    assert world.run(0.1, lambda: len(world.core.snapshot.brokers) == 3)


def test_what_was_forgotten_is_not_connected_to() -> None:
    world = ready(3)
    know(world, "t", 3)
    away = next(id for id in range(3) if not world.channel(id).is_ready)
    world.network.dns_delay = 0.5
    world.brokers.ensure(away, world.now)  # its name is being looked up
    on_metadata(world, lambda broker, request, answer: setattr(answer, "error_code", 129))
    world.core.metadata.refresh("t", world.now)
    assert world.run(0.3, lambda: not world.core.snapshot.brokers)
    world.run(5.0)
    nodes = world.core.nodes.nodes.values()
    assert all(node.id < 0 for node in nodes)
    assert set(world.client._links) == {
        c.connection.id for node in nodes for c in node.channels.values() if c.connection is not None
    }


def test_an_answer_in_between_ends_the_count() -> None:
    world = ready(metadata_max_age=100.0)
    know(world, "t")
    for _ in range(4):
        hang(world)
        world.core.metadata.refresh("t", world.now)
        world.run(200.0)
        for broker in world.cluster.brokers:
            broker.resume()
        world.run(40.0)
        assert world.core.metadata.error is None
    assert not [notice for notice in notices(world) if "starts again" in notice]


def test_a_producer_outlives_hung_brokers() -> None:
    """The old machines accept connections and say nothing; the names lead elsewhere by now."""
    world = ready(request_timeout=10.0)
    world.cluster.create_topic("t", 6)
    producer = SimProducer(world, delivery_timeout=600.0)
    for _ in range(10):
        producer.put("t")
    assert world.run(5.0, producer.all_done)

    class Silent:
        def accept(self, link: Any) -> Any:
            return self

        def on_bytes(self, link: Any, data: bytes) -> None: ...
        def on_close(self, link: Any, cause: Any) -> None: ...

    old = [(broker.ip, broker.port) for broker in world.cluster.brokers]
    for broker in world.cluster.brokers:
        for link in broker.connections:
            link.half_open = True
    move_everything(world, "silent")
    for address in old:
        world.network.servers[address] = Silent()
    for _ in range(10):
        producer.put("t")
        producer.put("t", b"key")
    assert world.run(120.0, producer.all_done)
    producer.check("t", duplicates=True)


def test_a_broker_can_send_the_client_back_to_the_start() -> None:
    world = ready(metadata_max_age=30.0)
    know(world, "t", 6)
    old = [(broker.ip, broker.port) for broker in world.cluster.brokers]
    twin = World(9)  # the machines that are left behind; their brokers say nothing but "start again"
    twin.simulation, twin.network.simulation = world.simulation, world.simulation
    twin.cluster.simulation = world.simulation

    def start_again(broker: Any, request: Any, answer: Any) -> None:
        answer.error_code = 129

    asked = on_metadata(twin, start_again)
    move_everything(world, "taken")
    for address, broker in zip(old, twin.cluster.brokers, strict=True):
        twin.cluster.network = world.network
        broker.ip = address[0]
        world.network.servers[address] = broker
    world.core.metadata.refresh("t", world.now)
    assert world.run(10.0, lambda: sorted(b.host for b in world.core.snapshot.brokers.values())[:1] == ["new0"])
    assert len(asked) <= 2 and world.core.snapshot.partitions("t") == 6
    assert any("A broker asks for it" in notice for notice in notices(world)) == bool(asked)
    world.run(0.5)
    assert world.core.metadata.error is None


def test_a_cluster_that_always_asks_to_start_again_gets_it_now_and_then() -> None:
    world = ready()
    know(world, "t")

    def start_again(broker: Any, request: Any, answer: Any) -> None:
        if on:
            answer.error_code = 129

    on = True
    asked = on_metadata(world, start_again)
    world.core.metadata.refresh("t", world.now)
    world.run(60.0)
    assert 40 <= len(asked) <= 80, "with growing pauses, up to a second"
    assert isinstance(world.core.metadata.error, RebootstrapRequiredError)
    assert len([notice for notice in notices(world) if "starts again" in notice]) == 1
    on = False
    assert world.run(2.0, lambda: len(world.core.snapshot.brokers) == 3)
    for _ in range(120):  # asked again each time it has brokers to forget
        on = not on
        world.core.metadata.refresh("t", world.now)
        world.run(1.0)
    assert len([notice for notice in notices(world) if "starts again" in notice]) <= 10


# -- another cluster -----------------------------------------------------------------------------------------------


def test_answers_of_another_cluster_are_not_believed() -> None:
    world = ready(request_timeout=5.0)
    know(world, "t", 6)
    world.cluster.create_topic("u", 1)
    topics = world.core.snapshot.topics

    def foreign(broker: Any, request: Any, answer: Any) -> None:
        answer.cluster_id = "another"

    on_metadata(world, foreign)
    world.core.metadata.refresh("t", world.now)
    world.core.metadata.want("u", world.now)
    world.run(30.0)
    assert world.core.snapshot.cluster_id == "simulated" and world.core.snapshot.topics == topics
    assert "another" in str(world.core.metadata.error)
    said = [notice for notice in notices(world) if InconsistentClusterIdError.__name__ in notice]
    assert 3 <= len(said) <= 6 and len(set(said)) == len(said), "each address once"
    assert world.core.snapshot.brokers == {}, "nothing can be sent to brokers of another cluster"


def test_one_address_that_leads_to_another_cluster_does_no_harm() -> None:
    world = ready(4)
    know(world, "t", 6)

    def foreign(broker: Any, request: Any, answer: Any) -> None:
        answer.cluster_id = "another"

    asked = on_metadata(world, foreign, 1)
    for _ in range(20):
        world.brokers.ensure(1, world.now)
        world.core.metadata.refresh("t", world.now)
        world.run(1.5)
        assert world.core.metadata.error is None and sorted(world.core.snapshot.brokers) == [0, 1, 2]
    assert asked


def test_what_a_lost_broker_led_is_asked_about() -> None:
    world = ready()
    know(world, "t", 6)
    stranger = next(id for id in range(3) if world.channel(id).is_ready)
    on_metadata(world, lambda broker, request, answer: setattr(answer, "cluster_id", "another"), stranger)
    for partition in range(6):
        world.cluster.move_leader("t", partition, (stranger + 1) % 3)
    world.core.metadata.refresh(None, world.now)
    assert world.run(2.0, lambda: world.core.snapshot.leader("t", stranger) == (stranger + 1) % 3)


def test_an_answer_of_another_cluster_that_comes_late_is_not_believed_either() -> None:
    world = ready()
    know(world, "t", 6)
    asked = on_metadata(world, lambda broker, request, answer: setattr(answer, "cluster_id", "another"))
    for broker in world.cluster.brokers:
        broker.least_work = broker.most_work = 1.5 * world.core.config.any_broker_attempt
    world.core.metadata.refresh("t", world.now)
    assert world.run(20.0, lambda: len(asked) == 2), "the next broker is asked before the first has answered"
    world.run(5.0)
    assert world.core.snapshot.cluster_id == "simulated" and notices(world)


def test_nothing_is_sent_to_another_cluster_at_the_old_addresses() -> None:
    world = ready(request_timeout=5.0)
    world.cluster.create_topic("t", 6)
    producer = SimProducer(world, delivery_timeout=60.0)
    for _ in range(10):
        producer.put("t")
    assert world.run(5.0, producer.all_done)

    def foreign(broker: Any, request: Any, answer: Any) -> None:
        answer.cluster_id = "another"

    on_metadata(world, foreign)
    world.core.metadata.refresh("t", world.now)
    world.run(5.0)
    ends = [partition.end for partition in world.cluster.topics["t"]]
    for _ in range(10):
        producer.put("t")
        producer.put("t", b"key")
    assert world.run(70.0, producer.all_done)
    assert [partition.end for partition in world.cluster.topics["t"]] == ends
    assert all("another" in str(future.exception) for _, future in producer.sent[10:])


def test_topics_whose_leader_is_no_longer_among_the_brokers_are_asked_about() -> None:
    """An answer about one topic says that a broker is gone, but not who leads the partitions of another."""
    world = ready()
    know(world, "a", 3)
    know(world, "b", 3)
    asked = on_metadata(world, lambda broker, request, answer: None)
    world.cluster.brokers[2].stop()
    world.core.metadata.refresh("a", world.now)
    assert world.run(5.0, lambda: world.core.snapshot.leader("b", 2) in (0, 1))
    assert ["a"] in asked and ["b"] in asked


def test_only_metadata_is_asked_of_servers_that_may_belong_to_another_cluster() -> None:
    """The whole cluster is away, and the names of its bootstrap servers have been given to another one."""
    world = World(5)
    for broker in world.cluster.brokers:
        broker.advertised = (f"inner{broker.id}", 9092)
        world.network.hosts[f"inner{broker.id}"] = [(broker.ip,)]
    assert isinstance(world.bootstrap(), Ok)
    know(world, "t", 1)
    other = World(6)
    other.cluster.simulation, other.cluster.network = world.simulation, world.network
    on_metadata(other, lambda broker, request, answer: setattr(answer, "cluster_id", "another"))
    for broker, stranger in zip(world.cluster.brokers, other.cluster.brokers, strict=True):
        broker.stop()
        stranger.ip = f"10.8.8.{stranger.id}"
        world.network.hosts[broker.host] = [(stranger.ip,)]
        stranger.start()
    producer = SimProducer(world, idempotent=True)
    producer.put("t")
    assert producer.produce.identity is not None
    producer.produce.identity.request(world.now)
    promise = world.request(Coordinator(0, "group"), MetadataRequest, nothing, timeout=30.0)
    world.run(15.0)
    assert {key for broker in other.cluster.brokers for key, _ in broker.requests} == {3, 18}
    assert not producer.all_done() and promise.result is None
    for broker in world.cluster.brokers:
        broker.start()
    world.cluster.move_leader("t", 0, 0)
    assert world.run(10.0, lambda: producer.all_done() and isinstance(promise.result, Ok))
    producer.check("t")


def test_who_asks_any_known_broker_follows_the_cluster() -> None:
    world = World(5)
    for broker in world.cluster.brokers:
        broker.advertised = (f"inner{broker.id}", 9092)
        world.network.hosts[f"inner{broker.id}"] = [(broker.ip,)]
    assert isinstance(world.bootstrap(), Ok)
    move_everything(world, "refused")
    producer = SimProducer(world, idempotent=True)
    assert producer.produce.identity is not None
    producer.produce.identity.request(world.now)
    assert world.run(15.0, lambda: producer.produce.identity.producer_id >= 0)  # type: ignore[union-attr]


def keyless_after(producer: SimProducer) -> None:
    future = producer.put("t")
    assert producer.world.run(30.0, lambda: future.is_done) and future.succeeded()


@pytest.mark.parametrize(("partitions", "brokers"), [(1, 1), (1, 3), (6, 3)])
def test_keyless_records_flow_again_after_starting_again(partitions: int, brokers: int) -> None:
    producer = start(partitions=partitions, brokers=brokers, idempotent=True)
    world = producer.world
    producer.put("t")
    settle(producer)
    servers = dict(world.network.servers)
    for broker in world.cluster.brokers:
        break_connections(broker)
    world.network.servers.clear()
    lost = producer.put("t")
    world.run(400.0)
    assert lost.failed() and not world.core.snapshot.brokers
    world.network.servers.update(servers)
    world.run(5.0)
    keyless_after(producer)


@pytest.mark.parametrize("warm", [True, False], ids=["records on the wire", "a producer id on its way"])
@pytest.mark.parametrize("seed", range(1, 4))
def test_to_be_sent_back_to_the_start_costs_no_record(seed: int, warm: bool) -> None:
    producer = start(seed=seed, idempotent=True, linger=0.0)
    world = producer.world
    producer.learn("t")
    if warm:
        producer.put("t")
        settle(producer)
    for broker in world.cluster.brokers:
        answer_late(broker, (ProduceRequest if warm else InitProducerIdRequest).API_KEY)

    def once(broker: Any, request: Any, answer: Any) -> None:
        if len(asked) == 1:
            answer.error_code = 129

    asked = on_metadata(world, once)
    for number in range(30):
        producer.put("t", partition=number % 6)
        if number == 3:
            world.core.metadata.refresh("t", world.now)
        world.run(0.01)
    settle(producer)
    assert len(asked) > 1
    producer.check("t")
    assert all(future.succeeded() for _, future in producer.sent)


def answer_late(broker: Any, api: int) -> None:
    original = broker.handlers[api]

    def handle(broker: Any, header: Any, request: Any) -> Any:
        return late(broker, 0.2, original(broker, header, request))

    broker.handlers[api] = handle


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_leader_that_goes_unnamed_for_a_moment_gets_its_keyless_records(seed: int) -> None:
    producer = start(seed=seed, partitions=1, idempotent=True, config={"connections_max_idle": 20.0})
    world = producer.world
    producer.put("t")
    settle(producer)
    world.run(60.0)
    leader = world.cluster.topics["t"][0].leader

    def behind(broker: Any, request: Any, answer: Any) -> None:
        if len(asked) <= 2:
            answer.brokers = [place for place in answer.brokers if place.node_id != leader]

    asked = on_metadata(world, behind)
    world.core.metadata.refresh("t", world.now)
    assert world.run(2.0, lambda: bool(asked))
    world.run(0.02)
    keyless_after(producer)
