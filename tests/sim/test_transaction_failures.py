"""Transactions in the simulator: what ends them, and what ends their producer."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.core.transactions.states import TransactionState
from kafka.errors import (
    GroupAuthorizationFailedError,
    IllegalStateError,
    InvalidProducerEpochError,
    KafkaTimeoutError,
    ProducerFencedError,
    TopicAuthorizationFailedError,
    TransactionAbortableError,
    TransactionAbortedError,
    TransactionalIdAuthorizationFailedError,
)
from kafka.protocol import (
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    EndTxnResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    InitProducerIdRequest,
)
from tests.sim.test_transactions import NEW, OLD, Producer, both, opened, refuse_partitions

# -- what ends the transaction -----------------------------------------------------------------------------------------


@both
def test_a_failed_record_means_abort(version: int) -> None:
    producer = opened(version)
    assert producer.add(0)
    failure = KafkaTimeoutError("too slow")
    producer.transactions.on_batch_failed(failure, producer.world.now)
    assert producer.transactions.state is TransactionState.ABORTABLE_ERROR
    assert not producer.transactions.admits("t", 0, producer.world.now)
    error = producer.commit()
    assert isinstance(error, TransactionAbortableError) and error.__cause__ is failure and "too slow" in str(error)
    assert isinstance(producer.transactions.refusal(), TransactionAbortableError)
    assert isinstance(producer.offsets(), TransactionAbortableError)
    producer.world.run(0.1)
    (dropped,) = producer.records.dropped
    assert isinstance(dropped, TransactionAbortedError) and dropped.__cause__ is failure
    assert producer.abort() is None
    assert producer.coordinators.counts["committed"] == 0 and producer.coordinators.counts["aborted"] == 1
    assert producer.transactions.epoch == 1, "sequence numbers have a gap now: a new epoch is needed"
    producer.begin()
    assert producer.offsets() is None and producer.commit() is None


@both
def test_a_record_that_fails_while_committing(version: int) -> None:
    producer = opened(version)
    assert producer.add(0)
    producer.records.settled = False
    committing = producer.start(producer.transactions.commit)
    producer.world.run(1.0)
    assert not committing.calls and producer.asked(EndTxnRequest) == 0
    assert "records that are not delivered" in producer.transactions.waits_for()
    producer.transactions.on_batch_failed(KafkaTimeoutError("too slow"), producer.world.now)
    producer.records.settled = True
    assert isinstance(committing.error, TransactionAbortableError)
    assert producer.abort() is None
    assert producer.coordinators.counts["committed"] == 0


@both
def test_the_end_waits_until_records_are_settled(version: int) -> None:
    producer = opened(version)
    assert producer.add(0)
    for call, asked in ((producer.transactions.abort, 1), (producer.transactions.commit, 2)):
        producer.records.settled = False
        ending = producer.start(call)
        producer.world.run(1.0)
        assert not ending.calls and producer.asked(EndTxnRequest) == asked - 1
        producer.records.settled = True
        producer.transactions.on_settled(producer.world.now)
        if asked == 2 and version == NEW:
            break  # no record ever came
        assert producer.world.run(5.0, lambda ending=ending: bool(ending.calls)) and ending.error is None
        producer.begin()
        assert producer.add(0)


@pytest.mark.parametrize("code", [17, 29, 44])
def test_what_is_wrong_with_a_topic_ends_the_transaction_only(code: int) -> None:
    producer = opened(OLD)
    producer.refuse(AddPartitionsToTxnRequest, refuse_partitions(code))
    assert not producer.add(0, 2, seconds=1.0)
    error = producer.commit()
    assert isinstance(error, TransactionAbortableError) and "t[0], t[2]" in str(error)
    if code == 29:
        assert isinstance(error.__cause__, TopicAuthorizationFailedError)
    assert producer.abort() is None
    producer.begin()
    assert producer.add(0) and producer.commit() is None


def test_a_group_that_may_not_be_read() -> None:
    producer = opened()
    coordinator = FindCoordinatorResponse.Coordinator(error_code=30, key="g")
    producer.refuse(FindCoordinatorRequest, lambda request: FindCoordinatorResponse(coordinators=[coordinator]))
    assert isinstance(producer.offsets(), GroupAuthorizationFailedError)
    assert producer.abort() is None
    producer.begin()
    assert producer.offsets() is None and producer.commit() is None


@both
def test_the_coordinator_says_abort(version: int) -> None:
    producer = opened(version)
    assert producer.offsets() is None
    producer.refuse(EndTxnRequest, lambda request: EndTxnResponse(error_code=120))
    error = producer.commit()
    assert isinstance(error, TransactionAbortableError)
    assert producer.abort() is None
    producer.begin()
    assert producer.offsets() is None and producer.commit() is None


def test_an_abort_of_what_never_began() -> None:
    """AddPartitionsToTxn was written and not answered: whether there is a transaction nobody knows."""
    producer = opened(OLD)
    lost: list[Any] = []

    def lose(original: Any, broker: Any, header: Any, request: Any) -> Any:
        lost.append(request)
        for link in list(broker.connections):
            link.reset()

    producer.patch(AddPartitionsToTxnRequest, lose)
    assert not producer.add(0, seconds=1.0)
    assert lost
    assert producer.abort() is None
    assert producer.coordinators.counts["error 48"] == 1
    assert producer.transactions.epoch == 1


def test_an_old_epoch_at_a_leader_is_not_yet_proof() -> None:
    """A leader says 47 also after a transaction that was only too slow; the coordinator knows."""
    producer = opened(NEW)
    assert producer.add(0)
    producer.transactions.on_batch_failed(InvalidProducerEpochError(), producer.world.now)
    assert producer.transactions.state is TransactionState.ABORTABLE_ERROR
    assert producer.abort() is None


def test_an_abort_while_the_markers_before_are_written() -> None:
    """A coordinator of the newer protocol says "fenced" then, for all that nobody else uses the id."""
    producer = opened(NEW)
    producer.coordinators.marker_delay = (1.0, 1.0)
    assert producer.offsets() is None and producer.commit() is None
    producer.begin()
    assert producer.add(0)
    producer.transactions.on_too_early()  # its record was refused with CONCURRENT_TRANSACTIONS
    assert producer.abort() is None
    assert producer.coordinators.counts["error 90"] > 1
    assert producer.transactions.epoch == 2 and producer.asked(InitProducerIdRequest) == 1
    producer.begin()
    assert producer.offsets() is None and producer.commit() is None


def test_an_abort_by_a_zombie_does_no_harm_to_its_heir() -> None:
    """InitProducerId with an old epoch would: coordinators then abort whatever transaction is open."""
    zombie = opened(NEW)
    assert zombie.add(0)
    heir = Producer(other=zombie)
    heir.init()
    heir.begin()
    assert heir.offsets() is None
    zombie.transactions.on_too_early()
    answer = zombie.start(zombie.transactions.abort)
    assert zombie.world.run(11.0, lambda: bool(answer.calls))
    assert isinstance(answer.error, ProducerFencedError)
    assert heir.commit() is None


# -- what ends the producer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [50, 53])
def test_a_producer_that_is_refused_from_the_start(code: int) -> None:
    producer = Producer()
    producer.patch(
        InitProducerIdRequest, lambda original, *a: (setattr(answer := original(*a), "error_code", code), answer)[1]
    )
    error = producer.do(producer.transactions.init)
    assert getattr(error, "errno", 0) == code and "Hint" in str(error)
    assert producer.transactions.state is TransactionState.FATAL_ERROR
    assert producer.do(producer.transactions.begin) is error


def test_a_fatal_answer_for_a_record() -> None:
    producer = opened()
    assert producer.add(0)
    producer.transactions.on_batch_failed(TransactionalIdAuthorizationFailedError(), producer.world.now)
    assert isinstance(producer.transactions.error, TransactionalIdAuthorizationFailedError)
    told = producer.records.told
    producer.world.run(0.1)
    assert producer.records.told > told
    assert isinstance(producer.abort(), TransactionalIdAuthorizationFailedError)


@both
def test_fenced_after_a_commit_that_went_unanswered(version: int) -> None:
    """Whether it was carried out nobody can tell then, and the error says so."""
    producer = opened(version)
    assert producer.offsets() is None
    producer.lose_answers(EndTxnRequest)
    producer.refuse(EndTxnRequest, lambda request: EndTxnResponse(error_code=14), 0)
    answers = iter([None, EndTxnResponse(error_code=14), EndTxnResponse(error_code=90)])

    def handler(original: Any, broker: Any, header: Any, request: Any) -> Any:
        answer = next(answers)
        return original(broker, header, request) if answer is None else answer

    producer.patch(EndTxnRequest, handler)
    error = producer.commit()
    assert isinstance(error, ProducerFencedError)
    assert "Whether the transaction was committed is not known" in str(error)


def test_committed_and_fenced_afterwards() -> None:
    """The commit has succeeded; the next call says what happened since."""
    producer = opened(OLD)
    assert producer.offsets() is None
    producer.lose_answers(EndTxnRequest)
    producer.patch(InitProducerIdRequest, lambda original, *a: (setattr(r := original(*a), "error_code", 90), r)[1])
    assert producer.commit() is None
    assert isinstance(producer.do(producer.transactions.begin), ProducerFencedError)


def test_the_client_is_closed() -> None:
    producer = opened()
    assert producer.offsets() is None
    for broker in producer.world.cluster.brokers:
        broker.pause()
    committing = producer.start(producer.transactions.commit)
    closed = IllegalStateError("closed")
    producer.world.core.close(closed, producer.world.now)
    producer.world.client.turn()
    assert committing.error is closed
