"""Transactions in the simulator: the state machine against coordinators, and what consumers get to see under faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kafka.core.transactions.states import TRANSITIONS, TransactionEvent, TransactionState, diagram
from kafka.core.transactions.transactions import Transactions
from kafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    ProducerFencedError,
    TransactionAbortableError,
)
from kafka.protocol import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    EndTxnRequest,
    EndTxnResponse,
    InitProducerIdRequest,
    TxnOffsetCommitRequest,
)
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition
from kafka.testing.sim_transactions import LAST_EPOCH, SimTransactions
from tests.sim.world import World

ID = "t-id"
GROUP = ConsumerGroupMetadata("g")
OFFSETS = {TopicPartition("t", 0): OffsetAndMetadata(7, "note", 3), TopicPartition("t", 1): OffsetAndMetadata(8)}
OLD, NEW = 1, 2


class FakeRecords:
    """The produce path, as far as transactions see it."""

    def __init__(self) -> None:
        self.settled = True
        self.dropped: list[KafkaError] = []
        self.told = 0

    def on_identity(self, now: float) -> None:
        self.told += 1

    def is_settled(self) -> bool:
        return self.settled

    def drop_unsent(self, error: KafkaError, now: float) -> None:
        self.dropped.append(error)


class Answer:
    def __init__(self) -> None:
        self.calls: list[KafkaError | None] = []

    def __call__(self, error: KafkaError | None, now: float) -> None:
        self.calls.append(error)

    @property
    def error(self) -> KafkaError | None:
        (error,) = self.calls
        return error


class Producer:
    """A transactional producer without records: the state machine, its calls, and a world around it."""

    def __init__(self, version: int = NEW, seed: int = 1, other: Producer | None = None, **config: Any) -> None:
        if other is None:
            self.world = World(seed, request_timeout=2.0, **config)
            self.world.cluster.create_topic("t", 6)
            self.coordinators = SimTransactions(self.world.cluster, version)
        else:
            self.world, self.coordinators = other.world, other.coordinators
        assert self.world.bootstrap().unwrap()
        self.transactions = Transactions(self.world.core.services, ID, 60.0)
        self.records = self.transactions.records = FakeRecords()

    @property
    def model(self) -> Any:
        return self.coordinators.transactions[ID]

    def start(self, call: Callable[..., None], *arguments: Any) -> Answer:
        answer = Answer()
        call(*arguments, answer, self.world.now)
        self.world.client.turn()
        return answer

    def do(self, call: Callable[..., None], *arguments: Any, seconds: float = 20.0) -> KafkaError | None:
        answer = self.start(call, *arguments)
        assert self.world.run(seconds, lambda: bool(answer.calls)), self.transactions.waits_for()
        return answer.error

    def init(self) -> None:
        assert self.do(self.transactions.init) is None

    def begin(self) -> None:
        assert self.do(self.transactions.begin) is None

    def add(self, *partitions: int, topic: str = "t", seconds: float = 20.0) -> bool:
        """What the produce path does before it sends to these partitions."""

        def are_admitted() -> bool:
            now = self.world.now
            return min([self.transactions.admits(topic, partition, now) for partition in partitions])

        if not (are_admitted() or self.world.run(seconds, are_admitted)):
            return False
        self.transactions.on_batch_sent()
        return True

    def offsets(self, group: ConsumerGroupMetadata = GROUP) -> KafkaError | None:
        return self.do(self.transactions.send_offsets, OFFSETS, group)

    def commit(self) -> KafkaError | None:
        return self.do(self.transactions.commit)

    def abort(self) -> KafkaError | None:
        return self.do(self.transactions.abort)

    def asked(self, request: Any) -> int:
        """How many such requests brokers got."""
        return sum(key == request.API_KEY for broker in self.world.cluster.brokers for key, _ in broker.requests)

    def patch(self, request: Any, handler: Callable[[Callable[..., Any], Any, Any, Any], Any]) -> None:
        """`handler(original, broker, header, request)` answers from now on; None: never."""
        for broker in self.world.cluster.brokers:
            original = broker.handlers[request.API_KEY]
            broker.handlers[request.API_KEY] = lambda *a, original=original: handler(original, *a)

    def lose_answers(self, request: Any, count: int = 1) -> list[Any]:
        """The next `count` such requests are carried out, but the connection breaks before the answer."""
        lost: list[Any] = []

        def handler(original: Callable[..., Any], broker: Any, header: Any, message: Any) -> Any:
            answer = original(broker, header, message)
            if len(lost) >= count or getattr(answer, "error_code", 0):
                return answer
            lost.append(answer)
            for link in list(broker.connections):
                link.reset()
            return None

        self.patch(request, handler)
        return lost

    def refuse(self, request: Any, make: Callable[[Any], Any], count: int = 1) -> list[Any]:
        """The next `count` such requests are not carried out, but answered with what `make(request)` gives."""
        refused: list[Any] = []

        def handler(original: Callable[..., Any], broker: Any, header: Any, message: Any) -> Any:
            if len(refused) >= count:
                return original(broker, header, message)
            refused.append(message)
            return make(message)

        self.patch(request, handler)
        return refused


def ready(version: int = NEW, **config: Any) -> Producer:
    producer = Producer(version, **config)
    producer.init()
    return producer


def opened(version: int = NEW, **config: Any) -> Producer:
    producer = ready(version, **config)
    producer.begin()
    return producer


def refuse_partitions(code: int) -> Callable[[Any], Any]:
    result_class = AddPartitionsToTxnResponse.AddPartitionsToTxnPartitionResult
    topic_class = AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult

    def results(topic: Any) -> list[Any]:
        return [result_class(partition_index=index, partition_error_code=code) for index in topic.partitions]

    def make(request: Any) -> Any:
        topics = request.v3_and_below_topics
        return AddPartitionsToTxnResponse(
            results_by_topic_v3_and_below=[
                topic_class(name=topic.name, results_by_partition=results(topic)) for topic in topics
            ]
        )

    return make


both = pytest.mark.parametrize("version", [OLD, NEW], ids=["old protocol", "new protocol"])


# -- one transaction after the other -----------------------------------------------------------------------------------


@both
def test_transactions_one_after_the_other(version: int) -> None:
    producer = ready(version)
    epochs = [producer.transactions.epoch]
    for number in range(4):
        producer.begin()
        assert producer.offsets() is None
        assert producer.model.state == "Ongoing"
        assert (producer.commit() if number % 2 else producer.abort()) is None
        assert producer.transactions.state is TransactionState.READY
        epochs.append(producer.transactions.epoch)
    assert producer.coordinators.counts["committed"] == producer.coordinators.counts["aborted"] == 2
    assert epochs == ([0] * 5 if version == OLD else [0, 1, 2, 3, 4])


@both
def test_a_transaction_without_anything_in_it_asks_nobody(version: int) -> None:
    producer = ready(version)
    for call in (producer.commit, producer.abort):
        producer.begin()
        assert call() is None
    assert producer.asked(EndTxnRequest) == 0


def test_partitions_are_added_several_at_a_time_and_once() -> None:
    producer = opened(OLD)
    told = producer.records.told
    assert producer.add(*range(5))
    assert producer.asked(AddPartitionsToTxnRequest) == 1
    assert producer.records.told > told, "the produce path was not told that batches are admitted now"
    assert producer.add(0, 1) and producer.asked(AddPartitionsToTxnRequest) == 1
    assert producer.transactions.newest_produce_version == 11
    assert producer.model.partitions == {("t", index) for index in range(5)}
    assert producer.commit() is None


def test_keyless_records_do_not_wait_for_all_partitions() -> None:
    """They go on with the partitions that the transaction has, while others are added, twice as many each time."""
    producer = opened(OLD)
    admits = producer.transactions.admits_keyless
    sizes = []
    for _ in range(5):
        producer.world.run(0.2)
        sizes.append(sum([admits("t", index, producer.world.now) for index in range(6)]))
    assert sizes == [0, 1, 2, 4, 6]
    assert producer.asked(AddPartitionsToTxnRequest) == 4
    assert all(opened(NEW).transactions.admits_keyless("t", index, 0.0) for index in range(6))


def test_the_new_protocol_adds_nothing_beforehand() -> None:
    producer = opened(NEW)
    assert producer.transactions.admits("t", 0, producer.world.now)
    assert producer.transactions.newest_produce_version is None
    producer.transactions.on_batch_sent()
    assert producer.abort() is None
    assert producer.asked(AddPartitionsToTxnRequest) == 0
    assert producer.asked(EndTxnRequest) == 1, "a record may have begun the transaction"


def test_nothing_is_admitted_outside_of_a_transaction() -> None:
    producer = Producer(NEW)
    assert not producer.transactions.admits("t", 0, producer.world.now)
    producer.init()
    assert not producer.transactions.admits("t", 0, producer.world.now)


@both
def test_the_finalized_feature_decides_not_the_versions(version: int) -> None:
    """franz-go 1.19.0 judged by API versions, and failed on clusters that run newer brokers with the older protocol."""
    producer = opened(version)
    assert producer.transactions.is_v2 == (version == NEW)
    assert producer.offsets() is None and producer.commit() is None
    versions = {key: version for broker in producer.world.cluster.brokers for key, version in broker.requests}
    assert versions[EndTxnRequest.API_KEY] == (5 if version == NEW else 4)
    assert versions[TxnOffsetCommitRequest.API_KEY] == (5 if version == NEW else 4)
    assert versions[InitProducerIdRequest.API_KEY] == 5


def test_brokers_too_old_for_the_new_protocol_get_the_old_one() -> None:
    producer = Producer(NEW)
    for broker in producer.world.cluster.brokers:
        broker.versions[EndTxnRequest.API_KEY] = (0, 4)
    producer.init()
    producer.begin()
    assert not producer.transactions.is_v2


@both
def test_a_second_producer_fences_the_first(version: int) -> None:
    first = opened(version)
    assert first.offsets() is None
    second = Producer(other=first)
    second.init()
    assert first.coordinators.counts["fenced while open"] == 1
    error = first.commit()
    assert isinstance(error, ProducerFencedError) and "only one may use a transactional id" in str(error)
    assert repr(ID) in str(error) and "transaction_timeout_ms (60000)" in str(error)
    assert first.transactions.error is error
    for call in (first.transactions.begin, first.transactions.abort, first.transactions.init):
        assert first.do(call) is error
    assert first.transactions.refusal() is error
    second.begin()
    assert second.offsets() is None and second.commit() is None


def test_a_transaction_that_is_open_for_too_long() -> None:
    producer = opened(OLD)
    assert producer.add(0)
    producer.world.run(61.0)
    assert producer.coordinators.counts["timed out"] == 1
    assert isinstance(producer.commit(), ProducerFencedError)


# -- offsets -----------------------------------------------------------------------------------------------------------


@both
def test_offsets_are_committed_with_the_transaction(version: int) -> None:
    producer = opened(version)
    assert producer.offsets() is None
    assert not producer.coordinators.committed_offsets
    assert producer.abort() is None
    producer.world.run(1.0)
    assert not producer.coordinators.committed_offsets
    producer.begin()
    assert producer.offsets() is None and producer.offsets() is None
    assert producer.commit() is None
    producer.world.run(1.0)
    assert producer.coordinators.committed_offsets == {("g", "t", 0): 7, ("g", "t", 1): 8}
    assert producer.asked(AddOffsetsToTxnRequest) == (2 if version == OLD else 0)


def test_offsets_carry_the_member_and_the_metadata() -> None:
    producer = opened()
    seen: list[Any] = []
    producer.patch(TxnOffsetCommitRequest, lambda original, *a: (seen.append(a[2]), original(*a))[1])
    producer.coordinators.members["g"] = ("m", 4)
    assert producer.offsets(ConsumerGroupMetadata("g", 4, "m", "static")) is None
    (request,) = seen
    assert (request.member_id, request.generation_id, request.group_instance_id) == ("m", 4, "static")
    (topic,) = request.topics
    first = topic.partitions[0]
    assert (first.committed_offset, first.committed_metadata, first.committed_leader_epoch) == (7, "note", 3)


@both
@pytest.mark.parametrize("member, generation", [("m", 5), ("n", 4)])
def test_a_consumer_of_the_past_aborts_the_transaction(version: int, member: str, generation: int) -> None:
    producer = opened(version)
    producer.coordinators.members["g"] = ("m", 4)
    error = producer.offsets(ConsumerGroupMetadata("g", generation, member))
    assert isinstance(error, CommitFailedError)
    committed = producer.commit()
    assert isinstance(committed, TransactionAbortableError) and committed.__cause__ is error
    assert producer.abort() is None
    producer.begin()
    assert producer.offsets(ConsumerGroupMetadata("g", 4, "m")) is None and producer.commit() is None


@both
def test_commit_waits_for_offsets_that_are_under_way(version: int) -> None:
    producer = opened(version)
    offsets = producer.start(producer.transactions.send_offsets, OFFSETS, GROUP)
    assert producer.commit() is None
    assert offsets.error is None
    producer.world.run(1.0)
    assert producer.coordinators.committed_offsets[("g", "t", 0)] == 7


def test_no_offsets_are_nothing_to_do() -> None:
    producer = opened()
    assert producer.do(producer.transactions.send_offsets, {}, GROUP) is None
    assert producer.commit() is None and producer.asked(EndTxnRequest) == 0


# -- what may go wrong and passes --------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("request_class", [InitProducerIdRequest, TxnOffsetCommitRequest, EndTxnRequest])
def test_a_lost_answer_is_asked_for_again(version: int, request_class: Any) -> None:
    producer = Producer(version)
    lost = producer.lose_answers(request_class, 2)
    producer.init()
    producer.begin()
    assert producer.offsets() is None and producer.commit() is None
    assert len(lost) == 2
    producer.world.run(1.0)
    assert producer.coordinators.counts["committed"] == 1
    assert producer.coordinators.committed_offsets[("g", "t", 0)] == 7
    producer.begin()
    assert producer.offsets() is None and producer.commit() is None
    assert (producer.transactions.producer_id, producer.transactions.epoch) == (
        producer.model.producer_id,
        producer.model.epoch,
    )


@pytest.mark.parametrize(
    "request_class", [AddPartitionsToTxnRequest, AddOffsetsToTxnRequest, TxnOffsetCommitRequest, EndTxnRequest]
)
@pytest.mark.parametrize("commits", [True, False])
def test_doubt_in_the_old_protocol_ends_with_a_new_epoch(request_class: Any, commits: bool) -> None:
    """What was written and not answered may arrive at any time: the next transaction must not be hit (KAFKA-17754)."""
    producer = opened(OLD)
    lost = producer.lose_answers(request_class)
    assert producer.add(0) and producer.offsets() is None
    assert (producer.commit() if commits else producer.abort()) is None
    assert len(lost) == 1
    assert producer.transactions.epoch == 1 and producer.coordinators.counts["epoch renewed"] == 1
    producer.begin()
    assert producer.add(0) and producer.commit() is None
    assert producer.transactions.epoch == 1, "renewed without a reason"


def test_no_doubt_no_new_epoch() -> None:
    """Answers that say "not now" leave nothing in doubt."""
    producer = opened(OLD)
    producer.refuse(EndTxnRequest, lambda request: EndTxnResponse(error_code=14), 3)
    assert producer.add(0) and producer.commit() is None
    assert producer.transactions.epoch == 0 and producer.asked(InitProducerIdRequest) == 1


@both
def test_the_coordinator_moves(version: int) -> None:
    producer = ready(version)
    for _ in range(3):
        producer.begin()
        producer.world.cluster.move_coordinator(ID)
        producer.world.cluster.move_coordinator("g")
        if version == OLD:
            assert producer.add(0, 1)
        assert producer.offsets() is None
        producer.world.cluster.move_coordinator(ID)
        assert producer.commit() is None
    producer.world.run(1.0)
    assert producer.coordinators.counts["committed"] == 3 and producer.coordinators.counts["error 16"] > 0


@both
def test_the_coordinator_s_broker_dies(version: int) -> None:
    producer = opened(version)
    assert producer.offsets() is None
    producer.world.cluster.home(ID).stop()
    assert producer.commit() is None
    assert producer.coordinators.counts["committed"] == 1


def test_a_transaction_begun_at_once_after_another_waits_for_milliseconds() -> None:
    """The coordinator is still writing markers; the usual backoff of 100 ms and more would be most of the time."""
    producer = ready(OLD)
    producer.coordinators.marker_delay = (0.01, 0.015)
    started = producer.world.now
    for _ in range(10):
        producer.begin()
        assert producer.add(0) and producer.commit() is None
    assert producer.coordinators.counts["error 51"] >= 5
    assert producer.world.now - started < 0.6


def test_an_unknown_topic_holds_up_no_other() -> None:
    producer = opened(OLD)
    assert not producer.add(0, topic="nobody", seconds=1.0)
    assert producer.add(1)
    producer.world.cluster.create_topic("nobody", 1)
    assert producer.add(0, topic="nobody")
    assert producer.commit() is None


def test_the_epochs_of_an_id_are_used_up() -> None:
    """The next producer id comes with the answer that ends the last transaction of the old one."""
    producer = ready(NEW)
    first = producer.transactions.producer_id
    producer.model.epoch = producer.transactions.epoch = LAST_EPOCH - 1
    lost = producer.lose_answers(EndTxnRequest)
    for _ in range(3):
        producer.begin()
        assert producer.offsets() is None and producer.commit() is None
    assert lost and producer.coordinators.counts["epochs used up"] == 1
    assert producer.transactions.producer_id != first and producer.transactions.epoch == 1


# -- calls at the wrong moment, and waiting in vain --------------------------------------------------------------------


def test_calls_at_the_wrong_moment() -> None:
    producer = Producer()
    transactions = producer.transactions
    for call in (transactions.begin, transactions.commit, transactions.abort):
        error = producer.do(call)
        assert isinstance(error, IllegalStateError) and "init_transactions() must be called first" in str(error)
    assert "outside of a transaction" in str(transactions.refusal())
    producer.init()
    producer.init()  # again: nothing to do
    for call in (transactions.commit, transactions.abort):
        assert "no transaction is open" in str(producer.do(call))
    assert isinstance(producer.offsets(), IllegalStateError)
    producer.begin()
    assert "another thread" in str(transactions.refusal())
    for call in (transactions.begin, transactions.init):
        assert "a transaction is open" in str(producer.do(call))
    producer.records.settled = False
    producer.start(transactions.commit)
    assert "commit_transaction() is not over yet" in str(producer.do(transactions.abort))
    assert "commit_transaction() is not over yet" in str(transactions.refusal())


@both
def test_waiting_may_be_given_up_and_resumed(version: int) -> None:
    producer = Producer(version)
    transactions = producer.transactions
    brokers = producer.world.cluster.brokers

    def give_up(call: Callable[..., None]) -> str:
        for broker in brokers:
            broker.pause()
        answer = producer.start(call)
        assert not producer.world.run(3.0, lambda: bool(answer.calls))
        said = transactions.waits_for()
        transactions.forget(answer)
        for broker in brokers:
            broker.resume()
        return said

    said = give_up(transactions.init)
    assert "a producer id from the coordinator of transactional id 't-id'" in said
    producer.init()
    producer.begin()
    assert producer.offsets() is None
    said = give_up(transactions.commit)
    assert "to end the transaction" in said and "last failure" in said
    assert isinstance(producer.abort(), IllegalStateError), "the commit may have been carried out"
    assert producer.commit() is None
    producer.begin()
    assert producer.offsets() is None
    give_up(transactions.commit)
    assert producer.world.run(20.0, lambda: transactions.state is TransactionState.READY)
    error = producer.do(transactions.begin)
    assert isinstance(error, IllegalStateError) and "commit_transaction() timed out" in str(error)
    assert producer.commit() is None, "the outcome is kept for whoever asks again"
    producer.begin()
    assert producer.offsets() is None
    give_up(transactions.abort)
    assert producer.abort() is None
    assert producer.coordinators.counts["committed"] == 2 and producer.coordinators.counts["aborted"] == 1


def test_a_commit_that_failed_unheard_leaves_the_way_to_abort() -> None:
    producer = opened()
    assert producer.add(0)
    producer.records.settled = False
    answer = producer.start(producer.transactions.commit)
    producer.transactions.forget(answer)
    producer.transactions.on_batch_failed(KafkaTimeoutError("too slow"), producer.world.now)
    producer.records.settled = True
    assert isinstance(producer.commit(), TransactionAbortableError)
    assert producer.abort() is None


# -- the table ---------------------------------------------------------------------------------------------------------


def test_the_table_has_no_way_from_an_error_to_a_commit() -> None:
    assert TRANSITIONS[TransactionState.FATAL_ERROR] == {}
    assert TransactionEvent.COMMIT not in TRANSITIONS[TransactionState.ABORTABLE_ERROR]
    assert [state for state, row in TRANSITIONS.items() if TransactionEvent.COMMIT in row] == [
        TransactionState.IN_TRANSACTION
    ]
    reached = {TransactionState.UNINITIALIZED} | {after for row in TRANSITIONS.values() for after in row.values()}
    assert reached == set(TransactionState)


def test_the_documentation_has_this_table() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "transactions.md"
    assert diagram() in page.read_text()
