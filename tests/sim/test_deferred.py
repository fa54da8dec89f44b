"""Records that callbacks have sent to a topic whose partitions are not known yet."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from kafka._codec import Deferred, FutureRecordMetadata, Unsent
from kafka.core.produce.path import closed_error
from kafka.core.transactions.states import TransactionState
from kafka.errors import (
    IllegalStateError,
    KafkaTimeoutError,
    Persisted,
    TransactionAbortableError,
    TransactionAbortedError,
    UnknownTopicOrPartitionError,
)
from tests.sim.producing import SimProducer
from tests.sim.test_produce import settle, start
from tests.sim.test_transactions_records import NEW, OLD, TransactionalProducer
from tests.sim.test_transactions_records import start as start_transactional
from tests.trying import try_send

KEY = b"one key"


def send(producer: SimProducer, topic: str = "dead", patience: float = 60.0) -> FutureRecordMetadata:
    """As a callback does."""
    producer.keep_time()
    value = b"%d" % len(producer.sent)
    future = try_send(producer, topic, value, KEY)
    if isinstance(future, Unsent):
        future = future.defer(lambda record: producer.produce.deferred.add(record, patience))
    assert isinstance(future, FutureRecordMetadata)
    producer.sent.append((value, future))
    return future


def in_order(producer: SimProducer, topic: str = "dead") -> list[bytes | None]:
    (values,) = [[value for _, value in log] for log in producer.logs(topic) if log]
    return values


def test_they_are_put_in_their_places_in_their_order() -> None:
    producer = start()
    for _ in range(3):
        send(producer)
    assert producer.accumulator.unresolved_records() == 3 and producer.produce.next_deadline() == 0.0
    producer.world.client.turn()
    assert producer.world.run(20.0, lambda: "dead" in producer.produce.topics)
    for _ in range(3):
        send(producer)
    producer.world.cluster.create_topic("dead", 3)
    while producer.accumulator.partition_count("dead") < 0:
        producer.world.run(0.001)
        send(producer)  # in the turn before it is known, too
    send(producer)
    settle(producer)
    assert in_order(producer) == [value for value, _ in producer.sent]
    producer.check("dead")


def test_those_that_came_with_the_metadata_are_not_overtaken() -> None:
    """The topic becomes known in the turn in which a callback has sent to it."""
    producer = start()
    send(producer)
    producer.world.client.turn()
    producer.world.cluster.create_topic("dead", 3)
    learn = producer.produce.on_metadata

    def on_metadata(snapshot: Any, now: float) -> None:
        if "dead" in snapshot.touched and producer.accumulator.partition_count("dead") < 0:
            send(producer)
        learn(snapshot, now)
        if producer.accumulator.partition_count("dead") > 0 and len(producer.sent) == 2:
            send(producer)

    producer.produce.on_metadata = on_metadata  # type: ignore[method-assign]
    settle(producer)
    assert in_order(producer) == [b"0", b"1", b"2"]


def test_each_fails_when_its_time_is_over() -> None:
    producer = start()
    first, second = send(producer, patience=4.0), send(producer, patience=8.0)
    other = send(producer, "other", patience=6.0)
    began = producer.world.now
    for future, seconds in ((first, 4.0), (other, 6.0), (second, 8.0)):
        producer.world.client.turn()
        assert producer.world.run(20.0, partial(getattr, future, "is_done"))
        assert producer.world.now - began == pytest.approx(seconds, abs=0.1)
        assert isinstance(future.exception, KafkaTimeoutError)
        assert f"still not after {seconds:g} s: [Error 3]" in str(future.exception)
        assert future.exception.persisted is Persisted.NOT_PERSISTED
    assert producer.accumulator.used == 0 and producer.accumulator.unresolved() == []
    assert not producer.produce.uses("dead")


def test_they_fail_once_the_topic_is_denied_for_good() -> None:
    producer = start()
    future = send(producer, patience=1000.0)
    producer.world.client.turn()
    settle(producer, 100.0)
    assert isinstance(future.exception, UnknownTopicOrPartitionError)


def test_memory_is_set_aside_for_them() -> None:
    producer = start(memory=16 * 1024)
    records: list[Deferred] = []
    for _ in range(16):
        unsent = try_send(producer, "dead", b"v", KEY)
        assert unsent.defer(records.append) is not None
    assert producer.accumulator.used == producer.accumulator.memory
    unsent = try_send(producer, "dead", b"v", KEY)
    assert unsent.defer(records.append) is None
    unsent.give_up()
    producer.accumulator.set_partition_count("dead", 2)
    for record in records:
        record.put()
        record.put()
    producer.accumulator.make_all_ready()
    for queue in producer.accumulator.take_ready(producer.world.now):
        batch = queue.pull(producer.world.now)
        assert batch.records == 16 and producer.accumulator.unresolved_records() == 16
        batch.complete(5)
        del batch
    assert all(record.done for record in records) and producer.accumulator.used == 0


def test_closed_they_fail() -> None:
    producer = start()
    futures = [send(producer), send(producer, "other")]
    producer.world.client.turn()
    futures.append(send(producer))
    producer.world.core.close(closed_error(), producer.world.now)
    assert [type(future.exception) for future in futures] == [IllegalStateError] * 3
    assert producer.accumulator.used == 0


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_commit_waits_for_them(version: int) -> None:
    producer = begun(version)
    future = send(producer)
    producer.world.run(0.5)
    producer.world.simulation.at(producer.world.now + 2.0, lambda: producer.world.cluster.create_topic("dead", 2))
    assert producer.commit() is None
    assert future.succeeded()


@pytest.mark.parametrize("version", [OLD, NEW])
def test_one_that_fails_is_no_part_of_a_commit(version: int) -> None:
    producer = begun(version)
    future = send(producer, patience=2.0)
    producer.world.run(0.5)
    assert isinstance(producer.commit(), TransactionAbortableError)
    assert isinstance(future.exception, KafkaTimeoutError)
    assert producer.abort() is None


@pytest.mark.parametrize("version", [OLD, NEW])
def test_an_abort_fails_them(version: int) -> None:
    producer = begun(version)
    future = send(producer)
    producer.world.run(0.5)
    assert producer.abort() is None
    assert isinstance(future.exception, TransactionAbortedError)
    assert producer.transactions.state is TransactionState.READY and producer.accumulator.used == 0


def begun(version: int) -> TransactionalProducer:
    producer, _ = start_transactional(version)
    assert producer.begin() is None
    return producer
