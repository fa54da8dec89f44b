"""Brokers hang up on a request above their socket.request.max.bytes, and say nothing: who is told, how soon, what."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.errors import MessageSizeTooLargeError, Persisted, TransactionAbortableError
from kafka.protocol import ProduceRequest
from kafka.result import Err
from kafka.testing.sim_transactions import SimTransactions
from tests.sim.producing import SimProducer
from tests.sim.test_produce import settle, start
from tests.sim.test_transactions_records import TransactionalProducer
from tests.sim.world import World

KINDS = {"idempotent": {"idempotent": True}, "plain": {}}
LIMIT = 20_000


def limited(limit: int = LIMIT, **options: Any) -> SimProducer:
    producer = start(**{"delivery_timeout": 120.0, "linger": 0.0, "memory": 4 << 20, **options})
    for broker in producer.world.cluster.brokers:
        broker.largest_request = limit
    producer.learn("t")
    return producer


def send(producer: SimProducer, size: int, partition: int = 0, count: int = 1) -> Any:
    producer.keep_time()
    future = producer.send_many("t", [bytes(size)] * count, partition=partition)
    producer.world.client.turn()
    return future


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_a_record_above_the_limit_is_told_so_within_seconds_and_blocks_nobody(kind: str, seed: int) -> None:
    producer = limited(seed=seed, **KINDS[kind])
    world = producer.world
    neighbours = [producer.put("t", partition=number) for number in range(6)]
    assert world.run(5.0, producer.all_done)
    begun = world.now
    large = send(producer, 2 * LIMIT)
    behind = [producer.put("t", partition=number) for number in range(6)]
    assert world.run(10.0, lambda: large.is_done and producer.all_done())
    assert world.now - begun < 5.0
    error = large[0].error
    assert isinstance(error, MessageSizeTooLargeError)
    said = str(error)
    for words in ("broker 0 at kafka0:9092", f" {2 * LIMIT}"[:3], "1 record for t[0]", "socket.request.max.bytes"):
        assert words in said
    assert "max_request_size" in said and "raise" in said
    if kind == "idempotent":
        assert error.persisted is Persisted.NOT_PERSISTED
    assert all(future.succeeded() for future in neighbours + behind)
    assert sum(map(len, producer.logs("t"))) == len(neighbours + behind)
    again = producer.put("t", partition=0)
    settle(producer, 5.0)
    assert again.succeeded() and producer.accumulator.used == 0 and producer.produce.sizes.suspects == 0


@pytest.mark.parametrize("kind", ["idempotent", "plain"])
def test_a_batch_above_the_limit_is_sent_in_parts(kind: str) -> None:
    producer = limited(**KINDS[kind])
    many = send(producer, 1000, count=100)
    assert producer.world.run(30.0, lambda: many.is_done)
    assert many.succeeded()
    assert [metadata.offset for metadata in many.get(0)] == sorted(metadata.offset for metadata in many.get(0))
    assert len(producer.logs("t")[0]) == 100 and producer.accumulator.used == 0


def test_one_large_record_among_small_ones_of_its_batch_fails_alone() -> None:
    producer = limited(idempotent=True)
    producer.keep_time()
    many = producer.send_many("t", [bytes(10)] * 20 + [bytes(2 * LIMIT)] + [bytes(10)] * 20, partition=0)
    producer.world.client.turn()
    assert producer.world.run(30.0, lambda: many.is_done)
    assert [number for number in range(41) if isinstance(many[number], Err)] == [20]
    assert isinstance(many[20].error, MessageSizeTooLargeError)
    assert len(producer.logs("t")[0]) == 40


@pytest.mark.parametrize("kind", ["idempotent", "plain"])
def test_batches_that_are_too_large_together_are_sent_apart(kind: str) -> None:
    producer = limited(partitions=12, brokers=1, **KINDS[kind])
    broker = producer.world.cluster.brokers[0]
    producer.world.network.least_latency = producer.world.network.most_latency = 0.05
    futures = [send(producer, 5000, number) for _ in range(4) for number in range(12)]
    assert producer.world.run(20.0, lambda: all(future.is_done for future in futures))
    assert all(future.succeeded() for future in futures)
    links = producer.world.simulation.trace
    hung_up = sum(entry[1] == "opened" for entry in links)
    served = len(broker.requests)
    for _ in range(100):
        futures = [send(producer, 5000, number) for number in range(12)]
        assert producer.world.run(20.0, lambda futures=futures: all(future.is_done for future in futures))
    assert sum(entry[1] == "opened" for entry in links) - hung_up <= 3, "it goes on running into the limit"
    assert len(broker.requests) - served > 300


def test_a_transaction_with_a_record_above_the_limit_can_be_aborted() -> None:
    world = World(1)
    SimTransactions(world.cluster)
    world.cluster.create_topic("t", 3)
    world.bootstrap().unwrap()
    producer = TransactionalProducer(world)
    assert producer.init() is None
    producer.learn("t")
    for broker in world.cluster.brokers:
        broker.largest_request = LIMIT
    assert producer.begin() is None
    large = send(producer, 2 * LIMIT)
    assert world.run(10.0, lambda: large.is_done)
    assert isinstance(large[0].error, MessageSizeTooLargeError)
    assert isinstance(producer.call(producer.transactions.commit), MessageSizeTooLargeError | TransactionAbortableError)
    assert producer.call(producer.transactions.abort) is None
    assert producer.begin() is None
    small = producer.put("t", partition=0)
    assert world.run(10.0, lambda: small.is_done) and small.succeeded()


def test_who_is_hung_up_on_for_another_reason_is_sent_until_it_arrives() -> None:
    """A broker that goes down and comes back, again and again, says nothing of sizes."""
    producer = limited(limit=1 << 30, idempotent=True, brokers=1, partitions=1)
    world = producer.world
    (broker,) = world.cluster.brokers
    large = send(producer, 2 * LIMIT)
    for _ in range(20):
        for link in list(broker.connections):
            link.close(1)
        broker.connections.clear()
        broker.stop()
        world.run(1.0)
        broker.start()
        broker.pause()
        world.run(0.4)
    broker.resume()
    assert world.run(30.0, lambda: large.is_done) and large.succeeded()


def test_what_a_broker_has_taken_before_is_not_too_large() -> None:
    producer = limited(limit=1 << 30, idempotent=True, brokers=1, partitions=2)
    world = producer.world
    (broker,) = world.cluster.brokers
    first = send(producer, LIMIT)
    assert world.run(5.0, lambda: first.is_done) and first.succeeded()
    closes = True
    original = broker.handlers[ProduceRequest.API_KEY]

    def handler(broker: Any, header: Any, request: Any) -> Any:
        if closes:
            for link in list(broker.connections):
                link.close(1)
            broker.connections.clear()
            return None
        return original(broker, header, request)

    broker.handlers[ProduceRequest.API_KEY] = handler
    second = send(producer, LIMIT)
    world.run(30.0)
    assert not second.is_done
    closes = False
    assert world.run(10.0, lambda: second.is_done) and second.succeeded()


def test_what_the_leader_has_is_not_called_too_large_nor_sent_in_parts() -> None:
    """It took the batch, the answer was lost, and from then on it hangs up."""
    producer = limited(limit=1 << 30, idempotent=True, brokers=1, partitions=1)
    world = producer.world
    (broker,) = world.cluster.brokers
    original = broker.handlers[ProduceRequest.API_KEY]

    def takes_and_hangs_up(broker: Any, header: Any, request: Any) -> Any:
        original(broker, header, request)
        broker.largest_request = LIMIT
        for link in list(broker.connections):
            link.close(1)
        broker.connections.clear()
        return None

    broker.handlers[ProduceRequest.API_KEY] = takes_and_hangs_up
    batch = send(producer, 1000, count=50)
    world.run(30.0)
    assert producer.produce.counts["leader has it"] > 0 and not batch.is_done
    broker.largest_request = 1 << 30
    broker.handlers[ProduceRequest.API_KEY] = original
    assert world.run(30.0, lambda: batch.is_done) and batch.succeeded()
    assert len(producer.logs("t")[0]) == 50
