"""What becomes of batches and partitions in corners that seeds seldom come to."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.core.net.lanes import Lane
from kafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidRecordError,
    KafkaTimeoutError,
    Persisted,
    TopicAuthorizationFailedError,
    UnsupportedVersionError,
)
from kafka.protocol import InitProducerIdRequest, MetadataRequest, ProduceRequest, ProduceResponse
from kafka.testing.sim_broker import HANDLERS, ForeignPeer, Injection
from kafka.testing.sim_transactions import SimTransactions
from tests.sim.producing import SimProducer
from tests.sim.test_produce import settle, start
from tests.sim.test_transactions_records import TransactionalProducer
from tests.sim.world import World, break_connections, late


def lose_the_answer(producer: SimProducer) -> None:
    """The connection breaks before the broker has looked at what was just sent."""
    (broker,) = producer.world.cluster.brokers
    broker.pause()
    producer.world.run(0.5)
    break_connections(broker)
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
    assert "Write on the topic" in str(first.exception) and "enable_idempotence=False" in str(first.exception)
    assert first.exception.persisted is Persisted.NOT_PERSISTED
    producer.world.run(5.0)
    second = producer.put("t")
    assert producer.world.run(3.0, lambda: second.is_done) and second.succeeded()


def test_where_no_broker_gives_producer_ids_a_record_is_told_so_at_once() -> None:
    producer = start(idempotent=True, delivery_timeout=120.0, partitions=3)
    world = producer.world
    for broker in world.cluster.brokers:
        del broker.versions[InitProducerIdRequest.API_KEY]
    begun = world.now
    for key in (None, b"k"):
        producer.learn("t")
        future = producer.put("t", key)
        assert world.run(10.0, producer.all_done), "it waits for what no broker can ever answer"
        assert isinstance(future.exception, UnsupportedVersionError)
        assert future.exception.persisted is Persisted.NOT_PERSISTED
        assert "InitProducerIdRequest" in str(future.exception)
        assert "enable_idempotence=False" in str(future.exception)
    assert world.now - begun < 5.0
    assert producer.accumulator.used == 0


def test_while_one_broker_may_still_give_producer_ids_it_is_waited_for() -> None:
    producer = start(idempotent=True, delivery_timeout=120.0, partitions=3)
    world = producer.world
    for broker in world.cluster.brokers[:2]:
        del broker.versions[InitProducerIdRequest.API_KEY]
    producer.learn("t")
    world.network.servers.pop(("10.0.0.2", 9092))
    for link in list(world.cluster.brokers[2].connections):
        link.reset()
    future = producer.put("t", partition=0)
    world.run(10.0)
    assert not future.is_done
    world.network.servers["10.0.0.2", 9092] = world.cluster.brokers[2]
    assert world.run(10.0, lambda: future.is_done) and future.succeeded()


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
    world.core.metadata.refresh("t", world.now)
    world.run(3.0)
    assert [future.failed() for _, future in producer.sent] == [False, True, True]
    partition.trouble_until = 0.0
    world.network.servers[leader.ip, leader.port] = leader
    world.core.metadata.refresh("t", world.now)
    world.run(10.0)
    again = producer.put("t")
    assert world.run(5.0, lambda: again.is_done) and again.succeeded()


def test_who_sends_again_to_a_topic_that_is_denied_holds_up_nothing() -> None:
    producer = start(idempotent=True, delivery_timeout=60.0, partitions=1, brokers=1, linger=0.0)
    world = producer.world
    world.cluster.create_topic("other", 1)
    world.cluster.injected[MetadataRequest.API_KEY] = Injection((29,), 1.0, world.now + 2.0)
    again = 0

    def send_again(error: BaseException) -> None:
        nonlocal again
        assert isinstance(error, TopicAuthorizationFailedError)
        again += 1
        if again < 1000:
            producer.send("t", b"again").add_errback(send_again)

    producer.send("t", b"first").add_errback(send_again)
    world.run(1.0)
    assert 0 < again < 100
    world.cluster.injected.clear()
    other = producer.put("other")
    assert world.run(10.0, lambda: other.is_done) and other.succeeded()


def test_a_broker_that_moves_while_its_old_name_is_looked_up() -> None:
    world = World(1, 1)
    node = world.core.nodes.learn(5, "old", 9092, world.now)
    channel = node.channel(Lane.CONTROL)
    channel.ensure(world.now)
    world.core.nodes.learn(5, "new", 9092, world.now)
    world.core.tick(world.now + 60.0)  # the look-up has taken too long
    assert channel.failures == 1
    world.network.hosts["old"] = world.network.hosts["new"] = [("10.0.0.0",)]
    other = world.core.nodes.learn(6, "old", 9092, world.now)
    other.channel(Lane.CONTROL).ensure(world.now)
    world.core.nodes.learn(6, "new", 9092, world.now)
    world.client.turn()
    assert world.run(5.0, lambda: other.channel(Lane.CONTROL).is_ready)
    assert ("resolve", "new", 9092) in [entry[1:] for entry in world.simulation.trace]


@pytest.mark.parametrize("size", [4, 5])
def test_an_answer_too_short_for_an_error_code(size: int) -> None:
    world = World(1, 1)
    (broker,) = world.cluster.brokers
    broker.stop()
    world.network.servers[broker.ip, broker.port] = ForeignPeer(size.to_bytes(4, "big") + bytes(size))
    assert "error_code: needs 2 bytes" in str(world.bootstrap())


def test_a_hint_for_one_partition_leaves_the_answer_for_another_alone() -> None:
    """What it tells runs through all that waits; a batch whose own answer comes next does not wait."""
    producer = start(1, brokers=2, partitions=2, idempotent=True, linger=0.01)
    world = producer.world
    partitions = world.cluster.topics["t"]
    for partition in partitions:
        partition.leader = 0
    producer.learn("t")
    for index in range(2):
        producer.put("t", partition=index)
    settle(producer)

    def handler(broker: Any, header: Any, request: Any) -> Any:
        partitions[0].move(1, world.simulation.random)
        return late(broker, 1.0, HANDLERS[ProduceRequest.API_KEY](broker, header, request))

    world.cluster.brokers[0].handlers[ProduceRequest.API_KEY] = handler
    for index in range(2):
        producer.put("t", partition=index)
    world.run(0.3)
    world.cluster.injected[MetadataRequest.API_KEY] = Injection((29,), 1.0, world.now + 20.0)
    world.core.metadata.refresh("t", world.now)
    world.run(5.0)
    producer.check("t")
    assert all(future.succeeded() for _, future in producer.sent)
    assert producer.produce.counts["leader hint taken"] == 1


def test_a_hint_about_a_former_topic_is_not_taken() -> None:
    """Its epochs mean nothing for the topic that has the name now."""
    producer = start(1, brokers=2, partitions=1, idempotent=True)
    world = producer.world
    for broker in world.cluster.brokers:
        broker.versions[ProduceRequest.API_KEY] = (3, 12)  # by name
    producer.put("t")
    settle(producer)
    topic, (partition,) = producer.produce.topics["t"], world.cluster.topics["t"]
    partition.epoch += 7
    asked = []

    def handler(broker: Any, header: Any, request: Any) -> Any:
        asked.append(request)
        topic.id = bytes(15) + b"\2"  # is learned while the answer is on its way
        return HANDLERS[ProduceRequest.API_KEY](broker, header, request)

    world.cluster.brokers[partition.leader].handlers[ProduceRequest.API_KEY] = handler
    partition.move(1 - partition.leader, world.simulation.random)
    producer.put("t")
    assert world.run(2.0, lambda: bool(asked))
    world.run(0.02)
    assert producer.produce.counts["leader hint taken"] == 0 and topic.partitions[0].leader_epoch == 0


def test_a_hint_saves_the_pause_before_another_try() -> None:
    producer = start(partitions=1, idempotent=True, linger=0.0)
    world = producer.world
    (partition,) = world.cluster.topics["t"]
    for leader in range(3):  # connections to all
        partition.leader = leader
        producer.put("t")
        settle(producer)
    partition.move(0, world.simulation.random)
    future = producer.put("t")
    assert world.run(0.05, lambda: future.is_done) and future.succeeded()


def test_an_abort_does_not_wait_for_a_batch_that_is_out_of_order() -> None:
    world = World(1, 2, request_timeout=5.0)
    world.cluster.create_topic("t", 1)
    world.cluster.topics["t"][0].leader = 1
    SimTransactions(world.cluster, 2)
    world.bootstrap().unwrap()
    producer = TransactionalProducer(world, linger=0.0, delivery_timeout=60.0)
    producer.init()
    producer.begin()
    first = producer.put("t")
    assert world.run(5.0, lambda: first.is_done)
    broker = world.cluster.brokers[1]
    broker.pause()
    producer.put("t")
    world.run(0.1)
    answers: list[Any] = []

    def handler(broker: Any, header: Any, request: Any) -> Any:
        broker.handlers[ProduceRequest.API_KEY] = HANDLERS[ProduceRequest.API_KEY]
        world.simulation.after(
            0.0, lambda: producer.transactions.abort(lambda error, now: answers.append(error), world.now)
        )
        (topic,) = request.topic_data
        answer = ProduceResponse.PartitionProduceResponse(index=0, error_code=45, base_offset=-1)
        entry = ProduceResponse.TopicProduceResponse(
            name=topic.name, topic_id=topic.topic_id, partition_responses=[answer]
        )
        return late(broker, 0.05, ProduceResponse(responses=[entry]))

    broker.handlers[ProduceRequest.API_KEY] = handler
    break_connections(broker)
    broker.resume()
    assert world.run(10.0, lambda: bool(answers)) and answers == [None]


def test_a_new_leader_does_not_speak_for_what_the_old_one_still_has() -> None:
    producer = start(
        idempotent=True, delivery_timeout=8.0, partitions=1, brokers=2, linger=0.0, config={"request_timeout": 60.0}
    )
    world = producer.world
    producer.learn("t")
    producer.put("t", partition=0)
    settle(producer)
    (place,) = world.cluster.topics["t"]
    old, new = world.cluster.brokers[place.leader], world.cluster.brokers[1 - place.leader]
    old.pause()
    futures = []
    for _ in range(3):
        futures.append(producer.put("t", partition=0))
        world.run(0.001)
    (partition,) = producer.produce.topics["t"].partitions
    assert partition.in_flight == 3
    world.run(0.05)
    break_connections(old)
    old.resume()
    take = old.handlers[ProduceRequest.API_KEY]
    asked = 0

    def handle(broker: Any, header: Any, request: Any) -> Any:
        """Takes the first; refuses the two after it, the second of them much later."""
        nonlocal asked
        asked += 1
        if asked == 1:
            return take(broker, header, request)
        (topic,) = request.topic_data
        refusal = ProduceResponse.PartitionProduceResponse(index=0, error_code=29, base_offset=-1)
        entry = ProduceResponse.TopicProduceResponse(
            name=topic.name, topic_id=topic.topic_id, partition_responses=[refusal]
        )
        return late(broker, 9.0 if asked == 2 else 3.0, ProduceResponse(responses=[entry]))

    old.handlers[ProduceRequest.API_KEY] = handle
    world.run(5.0)
    assert asked == 2 and partition.in_flight == 2
    world.cluster.move_leader("t", 0, new.id)
    place.former, place.aware_at = None, 0
    world.core.metadata.refresh("t", world.now)
    world.run(31.0)
    assert producer.produce.counts["leader does not have it"] > 0
    assert [future.succeeded() for future in futures] == [True, False, False]
    assert not partition.outstanding and partition.in_flight == 0
    again = producer.put("t", partition=0)
    assert world.run(10.0, lambda: again.is_done) and again.succeeded()


def test_keyed_records_of_a_topic_made_anew_with_fewer_partitions() -> None:
    producer = start(idempotent=True, delivery_timeout=20.0)
    world = producer.world
    producer.learn("t")
    for number in range(12):
        producer.put("t", b"key %d" % number)
    settle(producer)
    world.run(100.0)
    world.cluster.delete_topic("t")
    world.cluster.create_topic("t", 3)
    early = {partition: producer.put("t", partition=partition) for partition in (0, 5)}
    world.core.metadata.refresh("t", world.now)
    world.run(5.0)
    assert early[0].succeeded() and not early[5].is_done  # nobody leads partition 5 any more
    later = [producer.put("t", b"key %d" % number) for number in range(12)]
    assert world.run(5.0, lambda: all(future.is_done for future in later))
    assert all(future.succeeded() for future in later)
    assert producer.accumulator.partition_count("t") == 3
    assert world.run(20.0, lambda: early[5].is_done) and isinstance(early[5].exception, KafkaTimeoutError)


def test_brokers_that_come_back_at_each_others_addresses() -> None:
    producer = start(idempotent=True, partitions=2, brokers=2, delivery_timeout=20.0)
    world = producer.world
    producer.learn("t")
    for number in range(12):
        producer.put("t", b"key %d" % number)
    settle(producer)
    one, other = world.cluster.brokers
    for broker in (one, other):
        break_connections(broker)
    one.ip, other.ip = other.ip, one.ip
    one.host, other.host = other.host, one.host
    one.advertised, other.advertised = other.advertised, one.advertised
    for broker in (one, other):
        world.network.servers[broker.ip, broker.port] = broker
    futures = [producer.put("t", b"key %d" % number) for number in range(12)]
    assert world.run(15.0, lambda: all(future.is_done for future in futures))
    assert all(future.succeeded() for future in futures)


def test_a_connection_to_where_a_broker_was_owes_its_answers_first() -> None:
    producer = start(idempotent=True, partitions=1, brokers=2, linger=0.0)
    world = producer.world
    producer.learn("t")
    producer.put("t", partition=0)
    settle(producer)
    broker = world.cluster.brokers[world.cluster.topics["t"][0].leader]
    channel = world.channel(broker.id)
    connection = channel.connection
    broker.pause()
    first = producer.put("t", partition=0)
    world.run(0.1)
    world.network.hosts["elsewhere"] = [(broker.ip,)]
    world.core.nodes.learn(broker.id, "elsewhere", broker.port, world.now)
    second = producer.put("t", partition=0)
    world.run(0.1)
    assert channel.connection is connection and connection is not None and len(connection.in_flight) == 1
    broker.resume()
    assert world.run(5.0, lambda: second.is_done) and first.succeeded() and second.succeeded()
    assert channel.connection is not connection and producer.produce.counts["left in doubt"] == 0
