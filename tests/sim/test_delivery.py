"""What becomes of batches and partitions in corners that seeds seldom come to."""

from __future__ import annotations

from kafka.errors import ClusterAuthorizationFailedError, InvalidRecordError, Persisted
from kafka.protocol import InitProducerIdRequest
from kafka.testing.sim_broker import Injection
from tests.sim.producing import SimProducer
from tests.sim.test_produce import settle, start


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
