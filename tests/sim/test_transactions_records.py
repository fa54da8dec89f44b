"""Records in transactions, in the simulator: what a read_committed consumer gets, under faults and without.

A failing seed is the whole bug report: run it with `-k "seed_17]"`.
"""

from __future__ import annotations

import os
from collections import Counter
from copy import copy
from typing import Any, NoReturn

import pytest

from kafka._codec import FutureRecordMetadata
from kafka.core.produce.path import Produce
from kafka.core.transactions.states import TransactionState
from kafka.core.transactions.transactions import Transactions
from kafka.errors import (
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    Persisted,
    ProducerFencedError,
    TransactionAbortableError,
    TransactionAbortedError,
)
from kafka.protocol import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
    ProduceRequest,
    TxnOffsetCommitRequest,
)
from kafka.records import read_batches
from kafka.result import Err
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition
from kafka.testing.sim_faults import Faults
from kafka.testing.sim_transactions import SimTransactions, read_committed
from kafka.testing.simulator import SimDriver
from tests.sim.producing import SimProducer
from tests.sim.world import World

SEEDS = int(os.environ.get("SIM_SEEDS", "30"))
OLD, NEW = 1, 2
GROUP = ConsumerGroupMetadata("g")


class TransactionalProducer(SimProducer):
    """A producer with transactions, over the simulated brokers' coordinators; its calls run the simulation."""

    def __init__(self, world: World, *, timeout: float = 60.0, **options: Any) -> None:
        super().__init__(world, idempotent=True, **options)
        self.transactions = Transactions(world.core.services, "t-id", timeout)
        self.produce = Produce(world.core.services, self.accumulator, self.produce.config, self.transactions)
        world.core.parts = (self.produce,)
        self.accumulator.close()

    def _refuse(self) -> NoReturn:
        raise self.transactions.refusal().fresh()

    def call(self, method: Any, *arguments: Any, seconds: float = 120.0) -> KafkaError | None:
        answers: list[KafkaError | None] = []

        def answer(error: KafkaError | None, now: float) -> None:
            answers.append(error)

        method(*arguments, answer, self.world.now)
        assert self.world.run(seconds, lambda: bool(answers)), (
            f"{method.__name__} did not end: {self.transactions.waits_for()}, {self.transactions.state}"
        )
        return answers[0]

    def init(self) -> KafkaError | None:
        return self.call(self.transactions.init)

    def begin(self) -> KafkaError | None:
        error = self.call(self.transactions.begin)
        if error is None:
            self.accumulator.reopen()
        return error

    def commit(self) -> KafkaError | None:
        # What lingers is ready then, and the accumulator wakes the IO thread for it.
        self.accumulator.close()
        self.world.core.tick(self.world.now)
        return self.call(self.transactions.commit)

    def abort(self) -> KafkaError | None:
        return self.call(self.transactions.abort)

    def offsets(self, offset: int) -> KafkaError | None:
        return self.call(self.transactions.send_offsets, {TopicPartition("t", 0): OffsetAndMetadata(offset)}, GROUP)

    def another(self, **options: Any) -> TransactionalProducer:
        """A second producer with the same transactional id, on connections of its own."""
        world = copy(self.world)
        world.client = SimDriver(world.network, self.world.core.config)
        world.core = world.client.core
        while isinstance(world.bootstrap(), Err):  # as an application would that is started again and again
            pass
        return TransactionalProducer(world, **options)


def start(version: int, seed: int = 1, config: Any = None, **options: Any) -> tuple[TransactionalProducer, Any]:
    world = World(seed, 3, **(config or {}))
    world.cluster.create_topic("t", 6)
    coordinators = SimTransactions(world.cluster, version)
    world.bootstrap().unwrap()
    producer = TransactionalProducer(world, **options)
    assert producer.init() is None
    return producer, coordinators


def as_fetched(partition: Any) -> list[tuple[int, bytes | None]]:
    """What a consumer with read_committed makes of a Fetch: the last stable offset and the aborted transactions."""
    upto = partition.last_stable
    aborted = sorted(partition.log.producers.aborted_between(0, upto), key=lambda entry: entry.first)
    found: list[tuple[int, bytes | None]] = []
    skipped: set[int] = set()
    for result in read_batches(partition.log.read(0, upto, 1 << 30, True)):
        batch = result.unwrap()
        while aborted and aborted[0].first <= batch.last_offset:
            skipped.add(aborted.pop(0).producer_id)
        if batch.is_control:
            skipped.discard(batch.producer_id)
        elif batch.producer_id not in skipped:
            found += [(record.offset, record.value) for record in batch.records().unwrap()]
    return found


def visible(producer: SimProducer, topic: str = "t") -> list[bytes | None]:
    producer.world.run(1.0)  # markers are written after the answer
    return [value for partition in producer.world.cluster.topics[topic] for _, value in read_committed(partition)]


both = pytest.mark.parametrize("version", [OLD, NEW], ids=["old protocol", "new protocol"])


@both
def test_committed_records_are_read_and_aborted_ones_are_not(version: int) -> None:
    producer, coordinators = start(version)
    committed: list[bytes] = []
    for number in range(6):
        assert producer.begin() is None
        first = len(producer.sent)
        for _ in range(50):
            producer.put("t")
            producer.world.run(0.002)
        if number % 3 == 1:
            assert producer.abort() is None
        else:
            assert producer.commit() is None
            assert all(future.succeeded() for _, future in producer.sent[first:])
            committed += [value for value, _ in producer.sent[first:]]
    assert sorted(visible(producer)) == sorted(committed)  # type: ignore[type-var]
    assert coordinators.counts["committed"] == 4 and coordinators.counts["aborted"] == 2
    assert producer.accumulator.used == 0
    versions = {v for broker in producer.world.cluster.brokers for key, v in broker.requests if key == 0}
    assert versions == ({11} if version == OLD else {13})


@both
def test_keyed_records_and_explicit_partitions(version: int) -> None:
    producer, _ = start(version)
    producer.learn("t")
    assert producer.begin() is None
    for number in range(60):
        producer.put("t", key=b"key-%d" % (number % 7))
        producer.put("t", partition=number % 6)
    assert producer.commit() is None
    assert len(visible(producer)) == 120


def test_a_batch_waits_for_its_partition_while_others_flow() -> None:
    producer, coordinators = start(OLD)
    producer.learn("t")
    assert producer.begin() is None
    producer.put("t", partition=0)
    assert producer.world.run(5.0, producer.all_done)
    producer.world.cluster.loading["t-id"] = producer.world.now + 3.0
    late = producer.put("t", partition=1)
    flowing = producer.put("t", partition=0)
    keyless = producer.put("t")
    assert producer.world.run(1.0, lambda: flowing.is_done and keyless.is_done)
    assert not late.is_done
    assert producer.commit() is None
    assert late.succeeded() and len(visible(producer)) == 4


@both
def test_an_abort_fails_what_was_not_sent(version: int) -> None:
    producer, _ = start(version, linger=60.0)
    producer.learn("t")
    assert producer.begin() is None
    futures = [producer.put("t", partition=index) for index in range(3)] + [producer.put("t")]
    assert producer.abort() is None
    for future in futures:
        assert isinstance(future.exception, TransactionAbortedError)
        assert future.exception.persisted is Persisted.NOT_PERSISTED
    assert visible(producer) == [] and producer.accumulator.used == 0
    assert sum(partition.end for partition in producer.world.cluster.topics["t"]) == 0


@both
def test_an_abort_waits_for_what_is_on_the_wire(version: int) -> None:
    producer, coordinators = start(version)
    assert producer.begin() is None
    first = producer.put("t")
    assert producer.world.run(5.0, lambda: first.is_done)
    for broker in producer.world.cluster.brokers:
        broker.least_work = broker.most_work = 0.5
    futures = [producer.put("t") for _ in range(3)]
    producer.world.run(0.1)
    assert producer.abort() is None
    assert all(future.is_done for future in futures)
    assert producer.begin() is None
    producer.put("t")
    assert producer.commit() is None
    assert visible(producer) == [b"4"]


@both
def test_what_is_lost_on_the_wire_of_an_aborted_transaction_stays_behind(version: int) -> None:
    """It is not sent again: under its old number it would only fail the next transaction."""
    producer, _ = start(version)
    producer.learn("t")
    assert producer.begin() is None
    first = [producer.put("t", partition=index) for index in range(6)]
    assert producer.world.run(5.0, lambda: all(future.is_done for future in first))
    for broker in producer.world.cluster.brokers:
        broker.least_work = broker.most_work = 0.5
    lost = [producer.put("t", partition=index) for index in range(6)]
    producer.world.run(0.1)

    def resets() -> None:
        for broker in producer.world.cluster.brokers:
            for link in list(broker.connections):
                link.reset()
            broker.least_work = broker.most_work = 0.001

    producer.world.simulation.after(0.1, resets)
    assert producer.abort() is None
    for future in lost:
        assert isinstance(future.exception, TransactionAbortedError)
        assert future.exception.persisted is Persisted.POSSIBLY_PERSISTED
    assert producer.begin() is None
    for index in range(6):
        producer.put("t", partition=index)
    assert producer.commit() is None
    assert len(visible(producer)) == 6


@both
def test_an_abort_does_not_wait_for_another_attempt(version: int) -> None:
    producer, coordinators = start(version)
    producer.learn("t")
    assert producer.begin() is None
    home = producer.world.cluster.home("t-id")
    partitions = producer.world.cluster.topics["t"]
    index = next(index for index, partition in enumerate(partitions) if partition.leader != home.id)
    first = producer.put("t", partition=index)
    assert producer.world.run(5.0, lambda: first.is_done)
    producer.world.cluster.brokers[partitions[index].leader].stop(keeps_leading=True)
    waiting = producer.put("t", partition=index)
    producer.world.run(2.0)
    assert not waiting.is_done
    answers: list[Any] = []
    producer.transactions.abort(lambda error, now: answers.append(error), producer.world.now)
    assert producer.world.run(1.0, lambda: waiting.is_done)
    assert isinstance(waiting.exception, TransactionAbortedError)
    # It is over when the coordinator can write its markers, which an old one must before there is a new epoch.
    if version == OLD:
        producer.world.cluster.brokers[partitions[index].leader].start()
    assert producer.world.run(5.0, lambda: bool(answers)) and answers == [None]


@both
def test_a_record_that_fails_ends_the_transaction(version: int) -> None:
    producer, _ = start(version, delivery_timeout=3.0, config={"request_timeout": 1.0})
    producer.learn("t")
    assert producer.begin() is None
    good = producer.put("t", partition=0)
    assert producer.world.run(5.0, lambda: good.is_done)
    leader = producer.world.cluster.brokers[producer.world.cluster.topics["t"][1].leader]
    leader.pause()
    bad = producer.put("t", partition=1)
    assert producer.world.run(10.0, lambda: bad.is_done)
    producer.world.run(0.1)
    assert isinstance(bad.exception, KafkaTimeoutError)
    with pytest.raises(TransactionAbortableError):
        producer.put("t", partition=0)
    error = producer.commit()
    assert isinstance(error, TransactionAbortableError) and "delivery_timeout_ms" in str(error)
    leader.resume()
    assert producer.abort() is None
    assert producer.begin() is None
    futures = [producer.put("t", partition=index) for index in range(6)]
    assert producer.commit() is None
    assert all(future.succeeded() for future in futures)
    assert len(visible(producer)) == 6


def test_records_are_taken_in_a_transaction_only() -> None:
    producer, _ = start(NEW)
    with pytest.raises(IllegalStateError, match="outside of a transaction"):
        producer.put("t")
    assert producer.begin() is None
    producer.put("t")
    assert producer.commit() is None
    with pytest.raises(IllegalStateError, match="outside of a transaction"):
        producer.put("t")


@both
def test_a_zombie_s_records_are_never_seen(version: int) -> None:
    zombie, _ = start(version, delivery_timeout=20.0, config={"request_timeout": 2.0})
    zombie.learn("t")
    assert zombie.begin() is None
    for index in range(6):
        zombie.put("t", partition=index)
    assert zombie.world.run(5.0, zombie.all_done)
    heir = zombie.another()
    assert heir.init() is None
    assert heir.begin() is None
    heir.learn("t")
    for index in range(6):
        heir.put("t", partition=index)
    late = [zombie.put("t", partition=index) for index in range(6)]
    error = zombie.commit()
    assert isinstance(error, (ProducerFencedError, TransactionAbortableError))
    if isinstance(error, TransactionAbortableError):
        assert isinstance(zombie.abort(), ProducerFencedError)
    assert all(future.exception is not None for future in late)
    with pytest.raises(ProducerFencedError):
        zombie.put("t")
    assert heir.commit() is None
    assert len(visible(heir)) == 6


@both
def test_the_next_transaction_begins_at_once(version: int) -> None:
    """The markers of the one before take their time; meanwhile records are refused, to be sent again shortly."""
    producer, coordinators = start(version)
    coordinators.marker_delay = (0.01, 0.015)
    begun = producer.world.now
    for _ in range(10):
        assert producer.begin() is None
        producer.put("t")
        assert producer.commit() is None
    assert coordinators.counts["error 51"] >= 5
    assert producer.world.now - begun < 1.0
    assert len(visible(producer)) == 10


# -- seeds -------------------------------------------------------------------------------------------------------------

COUNTS: Counter[str] = Counter()
# A topic that is made anew has lost what was committed to it, so there is nothing to be checked.
KINDS = tuple(kind for kind in Faults.KINDS if kind != "recreate")
TRANSACTION_APIS = (
    InitProducerIdRequest, AddPartitionsToTxnRequest, AddOffsetsToTxnRequest, EndTxnRequest, TxnOffsetCommitRequest,
)  # fmt: skip


class Story:
    """One seed: transactions one after the other while things go wrong, and what must be seen of each in the end."""

    def __init__(self, seed: int) -> None:
        self.version = NEW if seed % 2 else OLD
        config = {"request_timeout": 2.0, "connection_setup_timeout": 1.0}
        patience = 3.0 if seed % 4 < 2 else 15.0
        self.options: dict[str, Any] = {"delivery_timeout": patience, "batch_size": 300, "timeout": 8.0 + patience}
        self.producer, self.coordinators = start(self.version, seed, config, **self.options)
        self.world = self.producer.world
        self.random = self.world.simulation.random
        self.committed: list[bytes] = []
        self.aborted: list[bytes] = []
        self.unknown: list[list[bytes]] = []
        self.offset = -1  # the last committed one; None: unknown
        self.offset_is_known = True
        self.number = 0
        self.transactions = 0
        self.transaction_of: dict[bytes, int] = {}
        self.bound: set[bytes] = set()  # records that were sent to a partition by its number
        self.until = 40.0
        self.faults = Faults(self.world.cluster, until=self.until, every=0.8, kinds=KINDS)
        self.heir: TransactionalProducer | None = None
        self._lose_answers()
        self._move_coordinators()

    def _move_coordinators(self) -> None:
        if self.world.now < self.until:
            self.world.cluster.move_coordinator(self.random.choice(("t-id", "g")))
            self.world.simulation.after(self.random.expovariate(0.5), self._move_coordinators)

    def _lose_answers(self) -> None:
        """Now and then what was asked is done, and the answer lost with the connection."""
        for broker in self.world.cluster.brokers:
            for request in (*TRANSACTION_APIS, ProduceRequest):
                original = broker.handlers[request.API_KEY]

                def handler(broker: Any, header: Any, message: Any, original: Any = original) -> Any:
                    answer = original(broker, header, message)
                    if self.world.now >= self.until or self.random.random() > 0.05:
                        return answer
                    COUNTS[f"lost answer of {type(message).__name__}"] += 1
                    for link in list(broker.connections):
                        link.reset()
                    return None

                broker.handlers[request.API_KEY] = handler

    def play(self) -> None:
        while self.world.now < self.until + 5.0 and self.number < 400:
            self.transaction()
        for _ in range(5):  # half-open connections are found out
            self.transaction()
            self.world.run(2.0)
        for _ in range(2):  # all is well again
            assert self.transaction(commits=True) == "committed"
        self.check()

    def transaction(self, commits: bool | None = None) -> str:
        producer, random = self.producer, self.random
        error = producer.begin()
        if error is not None:
            self.replace(error)
            return self.transaction(commits)
        first = len(producer.sent)
        self.transactions += 1
        offset = None
        values = self.records()
        if random.random() < 0.3:
            self.number += 1
            if producer.offsets(self.number) is None:
                offset = self.number
        values += self.records()
        if commits is None and random.random() < 0.03:  # another producer takes over while this one knows nothing
            COUNTS["taken over"] += 1
            self.heir = producer.another(**self.options)
            assert self.heir.init() is None
            values += self.records()
        commits = random.random() < 0.8 if commits is None else commits
        if commits:
            error = producer.commit()
            if error is None:
                outcome = "committed"
                assert self.heir is None or not values, "committed after another producer took over"
                assert all(future.succeeded() for _, future in producer.sent[first:])
            elif isinstance(error, TransactionAbortableError):
                outcome = "aborted after an error"
                error = producer.abort()
            elif "not known" in str(error):
                outcome = "unknown"
            else:
                outcome = "fatal"
        else:
            outcome = "aborted"
            error = producer.abort()
        if error is None:
            assert all(future.is_done for _, future in producer.sent[first:])
        else:  # what is on the wire may still be answered
            assert self.world.run(5.0, lambda: all(future.is_done for _, future in producer.sent[first:]))
        if error is not None:
            self.replace(error)
        if outcome == "committed":
            self.committed += values
            if offset is not None:
                self.offset, self.offset_is_known = offset, True
        elif outcome == "unknown":
            self.unknown.append(values)
            self.offset_is_known &= offset is None
        else:
            self.aborted += values
        if self.heir is not None:  # which goes on where the other one has not noticed yet
            self.producer, self.heir = self.heir, None
        COUNTS[outcome] += 1
        return outcome

    def records(self) -> list[bytes]:
        values = []
        for _ in range(self.random.randrange(12)):
            value = b"%d" % self.number
            self.number += 1
            self.producer.keep_time()
            partition = self.random.choice((None, None, 0, 3))
            if partition is not None and self.producer.accumulator.partition_count("t") < 0:
                partition = None
            try:
                future: FutureRecordMetadata = self.producer.send("t", value, partition=partition)
            except KafkaError:
                break
            self.producer.sent.append((value, future))
            self.transaction_of[value] = self.transactions
            if partition is not None:
                self.bound.add(value)
            values.append(value)
            self.producer.world.run(self.random.choice((0.0, 0.001, 0.05, 0.2)))
        return values

    def replace(self, error: KafkaError) -> None:
        """A fatal error: the application makes a new producer."""
        assert self.producer.transactions.state is TransactionState.FATAL_ERROR, error
        assert isinstance(error, ProducerFencedError), error
        COUNTS["fenced"] += 1
        self.producer, self.heir = self.heir or self.producer.another(**self.options), None
        assert self.producer.init() is None

    def check(self) -> None:
        seen = Counter(visible(self.producer))
        assert max(seen.values()) == 1, [value for value, count in seen.items() if count > 1]
        missing = set(self.committed) - set(seen)
        assert not missing, f"committed, and not there: {missing}"
        wrong = set(seen) & set(self.aborted)
        assert not wrong, f"aborted, and there: {wrong}"
        for values in self.unknown:
            assert len(set(values) & set(seen)) in (0, len(values)), "half a transaction"
        assert set(seen) <= set(self.committed).union(*self.unknown)
        for partition in self.world.cluster.topics["t"]:
            assert as_fetched(partition) == read_committed(partition)
            values = [value or b"" for _, value in read_committed(partition)]
            transactions = [self.transaction_of[value] for value in values]
            assert transactions == sorted(transactions), "transactions out of order"
            numbers = [int(value) for value in values if value in self.bound]
            assert numbers == sorted(numbers), "records out of order"
        if self.offset_is_known:
            assert self.coordinators.committed_offsets.get(("g", "t", 0), -1) == self.offset
        COUNTS.update(self.coordinators.counts)
        COUNTS.update(self.faults.counts)


@pytest.mark.parametrize("seed", range(SEEDS), ids=lambda seed: f"seed_{seed}")
def test_what_is_committed_is_seen_once_and_what_is_aborted_never(seed: int) -> None:
    Story(seed).play()


def test_the_seeds_show_every_kind_of_trouble() -> None:
    """Runs after the seeds: what never happened would prove nothing."""
    if not COUNTS:
        pytest.skip("run together with the seeds")
    wanted = [*KINDS, "committed", "aborted", "aborted after an error", "coordinator moved"]
    wanted += ["epoch renewed", "fenced", "taken over", "timed out"]
    wanted += ["ended again", "error 14", "error 16", "error 51"]
    wanted += [f"lost answer of {request.__name__}" for request in (*TRANSACTION_APIS, ProduceRequest)]
    missing = [what for what in wanted if not COUNTS[what]]
    assert not missing, (missing, COUNTS)
