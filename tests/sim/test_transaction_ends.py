"""What is left over when a transaction ends, and what its end leaves open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kafka.core.transactions.states import TransactionState
from kafka.errors import KafkaError, ProducerFencedError, TransactionAbortedError, UnknownError
from kafka.protocol import EndTxnRequest, ProduceRequest
from tests.sim.test_metadata import on_metadata
from tests.sim.test_transactions_records import OLD, TransactionalProducer, both, start, visible
from tests.sim.world import changed, late


def answer_late(producer: TransactionalProducer, api: int, seconds: float) -> None:
    """Brokers do at once what they are asked, and say so after so many seconds."""
    for broker in producer.world.cluster.brokers:

        def handle(broker: Any, header: Any, request: Any, original: Any = broker.handlers[api]) -> Any:
            return late(broker, seconds, original(broker, header, request))

        broker.handlers[api] = handle


def throttle_once(broker: Any, seconds: float) -> None:
    """The broker takes the next batches, and then nothing for so long."""
    original = broker.handlers[ProduceRequest.API_KEY]

    def handle(broker: Any, header: Any, request: Any) -> Any:
        broker.handlers[ProduceRequest.API_KEY] = original
        answer = original(broker, header, request)
        return changed(answer, lambda response: setattr(response, "throttle_time_ms", int(seconds * 1000)))

    broker.handlers[ProduceRequest.API_KEY] = handle


def begin_to_commit(producer: TransactionalProducer) -> list[KafkaError | None]:
    """What `commit` will have answered."""
    answers: list[KafkaError | None] = []
    producer.accumulator.close()
    producer.transactions.commit(lambda error, now: answers.append(error), producer.world.now)
    return answers


def away_from_the_coordinator(producer: TransactionalProducer, coordinators: Any) -> int:
    """A partition that another broker leads."""
    home = producer.world.cluster.home("t-id").id
    return next(index for index, one in enumerate(producer.world.cluster.topics["t"]) if one.leader != home)


@both
def test_an_empty_transaction_after_one_that_was_aborted_in_flight(version: int) -> None:
    producer, _ = start(version)
    producer.learn("t")
    producer.begin()
    producer.put("t", partition=0)
    assert producer.world.run(5.0, lambda: bool(producer.produce.in_flight))
    assert producer.abort() is None
    for _ in range(2):
        assert producer.begin() is None
        producer.world.run(1.0)
        assert producer.commit() is None
    assert producer.begin() is None
    producer.put("t", partition=0)
    assert producer.commit() is None and visible(producer) == [b"1"]


@both
def test_a_broker_that_is_throttled_past_the_end_of_a_transaction(version: int) -> None:
    producer, coordinators = start(version)
    producer.learn("t")
    away = away_from_the_coordinator(producer, coordinators)
    broker = producer.world.cluster.brokers[producer.world.cluster.topics["t"][away].leader]
    home = next(i for i, one in enumerate(producer.world.cluster.topics["t"]) if one.leader != broker.id)
    throttle_once(broker, 3.0)
    producer.begin()
    producer.put("t", partition=away)
    assert producer.world.run(5.0, lambda: bool(producer.produce.in_flight))
    assert producer.abort() is None
    producer.begin()
    second = producer.put("t", partition=home)
    assert producer.world.run(1.0, lambda: second.is_done)
    answer_late(producer, EndTxnRequest.API_KEY, 4.0)
    assert producer.commit() is None
    producer.world.run(1.0)
    assert not coordinators.transactions["t-id"].partitions  # nothing was added outside of a transaction
    producer.world.run(70.0)  # longer than a transaction may be open
    assert producer.begin() is None
    producer.put("t", partition=home)
    assert producer.commit() is None and len(visible(producer)) == 2


@both
def test_a_topic_made_anew_while_a_transaction_ends(version: int) -> None:
    producer, coordinators = start(version)
    world = producer.world
    producer.learn("t")
    world.run(70.0)
    away = away_from_the_coordinator(producer, coordinators)
    throttle_once(world.cluster.brokers[world.cluster.topics["t"][away].leader], 3.0)
    producer.begin()
    future = producer.put("t", partition=away)
    assert world.run(5.0, lambda: future.is_done)
    answer_late(producer, EndTxnRequest.API_KEY, 5.0)
    answers = begin_to_commit(producer)
    world.run(0.5)
    world.cluster.delete_topic("t")
    world.cluster.create_topic("t", 6)
    world.core.metadata.refresh("t", world.now)
    world.run(20.0)
    assert answers == [None] and producer.transactions.state is TransactionState.READY


@both
def test_an_abort_does_not_wait_for_a_batch_that_is_too_large(version: int) -> None:
    producer, coordinators = start(version)
    producer.learn("t")
    producer.world.cluster.limits["t"] = 300
    producer.begin()
    producer.keep_time()
    futures = [producer.send("t", b"x" * 100, partition=0) for _ in range(6)]
    producer.world.client.turn()
    assert producer.world.run(5.0, lambda: bool(producer.produce.in_flight))
    begun = producer.world.now
    assert producer.abort() is None
    assert producer.world.now - begun < 2.0
    assert all(isinstance(future.exception, TransactionAbortedError) for future in futures)


@both
def test_a_commit_outlives_a_broker_that_asks_to_start_again(version: int) -> None:
    producer, _ = start(version)
    world = producer.world
    producer.learn("t")
    producer.begin()
    future = producer.put("t", partition=0)
    assert world.run(5.0, lambda: future.is_done)
    answer_late(producer, EndTxnRequest.API_KEY, 1.0)

    def start_again(broker: Any, request: Any, answer: Any) -> None:
        if len(asked) == 1:
            answer.error_code = 129

    asked = on_metadata(world, start_again)
    answers = begin_to_commit(producer)
    world.run(0.1)
    world.core.metadata.refresh("t", world.now)
    assert world.run(60.0, lambda: bool(answers)) and answers == [None] and asked
    assert visible(producer) == [b"0"]


def change_first_answer(producer: TransactionalProducer, change: Callable[[Any], None]) -> None:
    """To the first EndTxn, which is carried out."""
    told = False
    for broker in producer.world.cluster.brokers:

        def handle(broker: Any, header: Any, request: Any, original: Any = broker.handlers[26]) -> Any:
            nonlocal told
            answer = original(broker, header, request)
            if not told:
                told = True
                change(answer)
            return answer

        broker.handlers[EndTxnRequest.API_KEY] = handle


@both
@pytest.mark.parametrize("code", [15, -1, 999])
def test_answers_that_leave_the_outcome_open(version: int, code: int) -> None:
    producer, coordinators = start(version)
    producer.learn("t")
    producer.begin()
    future = producer.put("t", partition=0)
    assert producer.world.run(5.0, lambda: future.is_done)

    def change(answer: Any) -> None:
        answer.error_code = code
        # Another producer takes over before the next attempt.
        producer.world.simulation.after(0.05, lambda: coordinators._init(coordinators.transactions["t-id"], -1, -1))

    change_first_answer(producer, change)
    error = producer.commit()
    assert isinstance(error, ProducerFencedError if code == 15 else UnknownError)
    assert "Whether the transaction was committed is not known" in str(error)
    assert getattr(error, "errno", None) == (90 if code == 15 else code)
    assert visible(producer) == [b"0"]  # it was


def test_a_refusal_that_says_all_leaves_nothing_open() -> None:
    producer, coordinators = start(OLD)
    producer.learn("t")
    producer.begin()
    future = producer.put("t", partition=0)
    assert producer.world.run(5.0, lambda: future.is_done)
    assert producer.another().init() is None
    error = producer.commit()
    assert isinstance(error, ProducerFencedError) and "not known" not in str(error)
