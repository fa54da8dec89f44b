"""What becomes of batches and partitions in corners that seeds seldom come to."""

from __future__ import annotations

import pytest

from kafka.errors import ClusterAuthorizationFailedError, InvalidRecordError, Persisted
from kafka.protocol import InitProducerIdRequest, MetadataRequest
from kafka.testing.sim_broker import ForeignPeer, Injection
from tests.sim.producing import SimProducer
from tests.sim.test_produce import settle, start
from tests.sim.world import World


def lose_the_answer(producer: SimProducer) -> None:
    """The connection breaks before the broker has looked at what was just sent."""
    (broker,) = producer.world.cluster.brokers
    broker.pause()
    producer.world.run(0.5)
    for link in list(broker.connections):
        link.reset()
    broker.connections.clear()
    broker.resume()


def test_a_batch_in_doubt_that_is_refused_for_good_holds_up_nothing() -> None:
    producer = start(idempotent=True, delivery_timeout=20.0, partitions=1, brokers=1, config={"request_timeout": 2.0})
    producer.put("t")
    settle(producer)
    producer.keep_time()
    bad = producer.send("t", b"\0refused", partition=0)
    producer.world.client.turn()
    lose_the_answer(producer)
    producer.world.run(1.0)
    good = producer.put("t", partition=0)
    assert producer.world.run(5.0, lambda: good.is_done and bad.is_done)
    assert good.succeeded()
    assert isinstance(bad.exception, InvalidRecordError) and bad.exception.persisted is Persisted.NOT_PERSISTED
    assert producer.produce.counts["leader does not have it"] == 1


def test_who_was_refused_a_producer_id_asks_again_with_the_next_record() -> None:
    producer = start(idempotent=True, delivery_timeout=20.0, brokers=1, partitions=3)
    cluster = producer.world.cluster
    cluster.injected[InitProducerIdRequest.API_KEY] = Injection((31,), 1.0, producer.world.now + 1.0)
    first = producer.put("t")
    assert producer.world.run(3.0, lambda: first.is_done)
    assert isinstance(first.exception, ClusterAuthorizationFailedError)
    assert first.exception.persisted is Persisted.NOT_PERSISTED
    producer.world.run(5.0)
    second = producer.put("t")
    assert producer.world.run(3.0, lambda: second.is_done) and second.succeeded()


def test_an_id_is_asked_for_while_no_broker_is_known() -> None:
    producer = start(
        idempotent=True, delivery_timeout=3000.0, config={"request_timeout": 30.0, "rebootstrap_after": 20.0}
    )
    world = producer.world
    producer.learn("t")
    for broker in world.cluster.brokers:
        broker.loading_until = world.now + 200.0
    future = producer.put("t", partition=0)
    world.run(2.0)
    for broker in world.cluster.brokers:
        broker.stop()
    world.run(400.0)
    assert not future.is_done
    for broker in world.cluster.brokers:
        broker.start()
    for index, partition in enumerate(world.cluster.topics["t"]):
        partition.leader = index % 3
    assert world.run(100.0, lambda: future.is_done) and future.succeeded()


def test_keyless_records_leave_the_rack_when_its_broker_is_lost_while_they_wait() -> None:
    world = World(1, 3, request_timeout=5.0)
    for broker, rack in zip(world.cluster.brokers, ("a", "b", "b"), strict=True):
        broker.rack = rack
    world.cluster.create_topic("t", 3)
    world.bootstrap().unwrap()
    producer = SimProducer(world, rack="a", linger=0.0, idempotent=True, delivery_timeout=20.0)
    for _ in range(5):
        producer.put("t")
        world.run(0.01)
    settle(producer)
    near = world.cluster.brokers[0]
    near.pause()
    for _ in range(10):  # more than may be in flight
        producer.put("t")
        world.run(0.01)
    world.network.servers.pop((near.ip, near.port))
    for link in list(near.connections):
        link.reset()
    world.run(1.0)
    late = producer.put("t")
    assert world.run(5.0, lambda: late.is_done) and late.succeeded()


def test_a_topic_that_was_denied_for_a_while_gets_keyless_records_again() -> None:
    producer = start(idempotent=True, delivery_timeout=60.0, partitions=1, brokers=2, linger=0.0)
    world = producer.world
    producer.put("t")
    settle(producer)
    partition = world.cluster.topics["t"][0]
    leader = world.cluster.brokers[partition.leader]
    partition.trouble, partition.trouble_until = 19, world.now + 1000.0
    producer.put("t")
    ours = producer.produce.topics["t"].partitions[0]
    assert world.run(30.0, lambda: ours.failures > 0)
    producer.put("t")
    world.run(0.02)
    world.network.servers.pop((leader.ip, leader.port))
    for link in list(leader.connections):
        link.reset()
    world.run(1.0)
    world.cluster.injected[MetadataRequest.API_KEY] = Injection((29,), 1.0, world.now + 2.0)
    world.core.refresh("t", world.now)
    world.run(3.0)
    assert [future.failed() for _, future in producer.sent] == [False, True, True]
    partition.trouble_until = 0.0
    world.network.servers[leader.ip, leader.port] = leader
    world.core.refresh("t", world.now)
    world.run(10.0)
    again = producer.put("t")
    assert world.run(5.0, lambda: again.is_done) and again.succeeded()


def test_a_broker_that_moves_while_its_old_name_is_looked_up() -> None:
    world = World(1, 1)
    node = world.core.nodes.learn(5, "old", 9092)
    world.core.nodes.ensure(node, world.now)
    world.core.nodes.learn(5, "new", 9092)
    world.core.tick(world.now + 60.0)  # the look-up has taken too long
    assert node.failures == 1
    world.network.hosts["old"] = world.network.hosts["new"] = [("10.0.0.0",)]
    other = world.core.nodes.learn(6, "old", 9092)
    world.core.nodes.ensure(other, world.now)
    world.core.nodes.learn(6, "new", 9092)
    world.client.turn()
    assert world.run(5.0, lambda: other.is_ready)
    assert ("resolve", "new", 9092) in [entry[1:] for entry in world.simulation.trace]


@pytest.mark.parametrize("size", [4, 5])
def test_an_answer_too_short_for_an_error_code(size: int) -> None:
    world = World(1, 1)
    (broker,) = world.cluster.brokers
    broker.stop()
    world.network.servers[broker.ip, broker.port] = ForeignPeer(size.to_bytes(4, "big") + bytes(size))
    assert "error_code: needs 2 bytes" in str(world.bootstrap())
