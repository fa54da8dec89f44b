"""Consumers in a group, on the embedded broker: who reads what, what is committed, what is told."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka import (
    ConsumerRebalanceListener,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
)
from kafka.consumer import subscription_state
from kafka.errors import CommitFailedError, ConfigurationValueError, IllegalStateError, InvalidGroupIdError
from kafka.testing import EmbeddedCluster

PARTITIONS = 6
ALL = [TopicPartition("t", number) for number in range(PARTITIONS)]

DEFAULTS = {"group_id": "g", "auto_offset_reset": "earliest", "heartbeat_interval_ms": 100}


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(nodes=2, topics={"t": PARTITIONS}) as cluster:
        yield cluster


@pytest.fixture
def consumer_defaults() -> dict[str, Any]:
    return DEFAULTS


class Log(ConsumerRebalanceListener):
    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[int, ...]]] = []
        self.threads: set[int] = set()
        self.then: Callable[[str], None] = lambda what: None

    def _note(self, what: str, partitions: Any) -> None:
        self.told.append((what, tuple(sorted(tp.partition for tp in partitions))))
        self.threads.add(threading.get_ident())
        self.then(what)

    def on_partitions_revoked(self, revoked: Any) -> None:
        self._note("revoked", revoked)

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._note("assigned", assigned)

    def on_partitions_lost(self, lost: Any) -> None:
        self._note("lost", lost)


def fill(producer: KafkaProducer, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        producer.send("t", b"%d" % number, partition=number % PARTITIONS)
    producer.flush()


def until(done: Callable[[], bool], *consumers: KafkaConsumer, seconds: float = 20.0) -> list[int]:
    """Polls until `done()`; what came."""
    read: list[int] = []
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come to that"
        for consumer in consumers:
            for records in consumer.poll(50).values():
                read += [int(record.value) for record in records]
    return read


def reads(count: int, *consumers: KafkaConsumer) -> list[int]:
    read: list[int] = []
    deadline = time.monotonic() + 20
    while len(read) < count:
        assert time.monotonic() < deadline, f"{len(read)} of {count}"
        for consumer in consumers:
            for records in consumer.poll(50).values():
                read += [int(record.value) for record in records]
    return read


def shares(*consumers: KafkaConsumer) -> list[int]:
    return sorted(len(consumer.assignment()) for consumer in consumers)


def test_alone_in_a_group_it_reads_everything(producer: KafkaProducer, make: Any) -> None:
    fill(producer, 60)
    consumer = make("t")
    assert sorted(reads(60, consumer)) == list(range(60))
    assert consumer.assignment() == set(ALL)
    assert consumer.group_metadata().state == "<stable>" and consumer.group_metadata().generation_id >= 1


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "sticky", "cooperative-sticky"])
def test_members_share_and_take_over(strategy: str, producer: KafkaProducer, make: Any) -> None:
    logs = [Log() for _ in range(3)]
    consumers = [make(partition_assignment_strategy=[strategy]) for _ in range(3)]
    read: list[int] = []
    for index, consumer in enumerate(consumers):
        consumer.subscribe(["t"], listener=logs[index])
        members = consumers[: index + 1]
        read += until(lambda m=members: shares(*m) == [PARTITIONS // len(m)] * len(m), *members)  # type: ignore[misc]
        fill(producer, 30, index * 30)
        while len(read) < 30 * (index + 1):
            read += reads(1, *members)
    consumers[0].close()
    read += until(lambda: shares(*consumers[1:]) == [3, 3], *consumers[1:])
    fill(producer, 30, 90)
    while len(read) < 120:
        read += reads(1, *consumers[1:])
    assert sorted(read) == list(range(120))  # none twice, none lost
    for log in logs:
        owned: set[int] = set()
        for what, partitions in log.told:
            if what == "assigned":
                assert not owned & set(partitions)
                owned |= set(partitions)
            else:
                assert set(partitions) <= owned
                owned -= set(partitions)
        assert log.threads == {threading.get_ident()}
        if strategy != "cooperative-sticky":
            assert all(what != "revoked" or partitions for what, partitions in log.told)


def test_where_the_group_was(producer: KafkaProducer, make: Any) -> None:
    fill(producer, 60)
    first = make("t")
    reads(60, first)
    first.close()
    fill(producer, 6, 60)
    second = make("t", auto_offset_reset="latest")
    assert sorted(reads(6, second)) == list(range(60, 66))
    assert [second.committed(tp) for tp in ALL] == [10] * 6


def test_committed_by_itself(cluster: EmbeddedCluster, producer: KafkaProducer, make: Any) -> None:
    fill(producer, 60)
    consumer = make("t", auto_commit_interval_ms=100, consumer_timeout_ms=3000)
    for _ in range(60):
        next(consumer)
    offsets = cluster.groups.get("g").offsets
    until(lambda: sum(each.offset for each in offsets.values()) == 60, consumer)


def test_nothing_is_committed_that_was_not_read(cluster: EmbeddedCluster, producer: KafkaProducer, make: Any) -> None:
    fill(producer, 600)
    consumer = make("t", auto_commit_interval_ms=1, max_poll_records=7)
    seen = 0
    offsets = cluster.groups.get("g").offsets
    while seen < 200:
        before = seen
        seen += sum(map(len, consumer.poll(1000).values()))
        assert sum(each.offset for each in offsets.values()) <= before
    consumer.close(autocommit=False)
    assert sum(each.offset for each in offsets.values()) <= seen


def test_commit_in_all_its_forms(producer: KafkaProducer, make: Any) -> None:
    fill(producer, 12)
    told: list[Any] = []
    consumer = make(
        "t", enable_auto_commit=False, default_offset_commit_callback=lambda *a: told.append(("default", *a))
    )
    reads(12, consumer)
    assert consumer.committed(ALL[0]) is None
    consumer.commit()
    assert [consumer.committed(tp) for tp in ALL] == [2] * 6
    wanted = {ALL[0]: OffsetAndMetadata(1, "note", -1)}
    consumer.commit(wanted)
    assert consumer.committed(ALL[0], metadata=True) == OffsetAndMetadata(1, "note", -1)
    consumer.commit_async(wanted, lambda offsets, error: told.append((offsets, error)))
    consumer.commit_async()
    assert not told
    until(lambda: len(told) == 2, consumer)
    assert told[0] == (wanted, None) and told[1][0] == "default" and told[1][2] is None
    for offsets, error in (
        ({ALL[0]: 5}, TypeError),
        ({ALL[0]: OffsetAndMetadata(-1)}, ValueError),
        ({TopicPartition("other", 0): OffsetAndMetadata(1)}, IllegalStateError),
        ({"t": OffsetAndMetadata(1)}, TypeError),
    ):
        with pytest.raises(error):
            consumer.commit(offsets)


def test_with_assigned_partitions(producer: KafkaProducer, make: Any) -> None:
    fill(producer, 12)
    consumer = make(enable_auto_commit=False)
    consumer.assign([ALL[0]])
    assert sorted(reads(2, consumer)) == [0, 6]
    consumer.commit()
    again = make()
    again.assign([ALL[0]])
    assert again.position(ALL[0]) == 2
    with pytest.raises(IllegalStateError, match="no group_id"):
        make(group_id=None).commit()


def test_a_listener_may_commit_and_seek(producer: KafkaProducer, make: Any) -> None:
    fill(producer, 12)
    consumer, log = make(enable_auto_commit=False), Log()

    def then(what: str) -> None:
        if what == "assigned":
            consumer.seek(ALL[0], 1)
        else:
            consumer.commit()

    log.then = then
    consumer.subscribe(["t"], listener=log)
    assert sorted(reads(11, consumer)) == list(range(1, 12))
    consumer.unsubscribe()
    assert log.told == [("assigned", tuple(range(6))), ("revoked", tuple(range(6)))]
    assert consumer.assignment() == set() and consumer.committed(ALL[0]) == 2


def test_a_listener_with_coroutines(producer: KafkaProducer, make: Any) -> None:
    told: list[str] = []

    class Listener(subscription_state.AsyncConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked: Any) -> None:
            told.append("revoked")

        async def on_partitions_assigned(self, assigned: Any) -> None:
            told.append("assigned")

    consumer = make()
    consumer.subscribe(["t"], listener=Listener())
    until(lambda: told == ["assigned"], consumer)
    consumer.close()
    assert told == ["assigned", "revoked"]


def test_a_listener_that_raises_is_heard_and_stops_nothing(producer: KafkaProducer, make: Any) -> None:
    consumer, log = make(), Log()
    log.then = lambda what: 1 / 0  # type: ignore[assignment,return-value]
    consumer.subscribe(["t"], listener=log)
    with pytest.raises(ZeroDivisionError):
        until(lambda: False, consumer)
    fill(producer, 6)
    assert sorted(reads(6, consumer)) == list(range(6))
    with pytest.raises(ZeroDivisionError):
        consumer.close()
    consumer.close()


def test_who_does_not_poll_is_told_and_joins_again(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any, caplog: Any
) -> None:
    fill(producer, 12)
    consumer, log = make(enable_auto_commit=False, max_poll_interval_ms=400), Log()
    consumer.subscribe(["t"], listener=log)
    reads(12, consumer)
    group = cluster.groups.get("g")
    deadline = time.monotonic() + 10
    while group.members and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group.members
    with pytest.raises(CommitFailedError, match="max_poll_interval_ms"):
        consumer.commit()
    assert sorted(reads(12, consumer)) == list(range(12))  # again from what was committed: nothing
    assert [what for what, _ in log.told] == ["assigned", "lost", "assigned"]
    assert "poll() was not called" in caplog.text


def test_who_is_thrown_out_joins_again(cluster: EmbeddedCluster, producer: KafkaProducer, make: Any) -> None:
    consumer, log = make(), Log()
    consumer.subscribe(["t"], listener=log)
    until(lambda: bool(log.told), consumer)
    cluster._on_thread(
        lambda: [cluster.groups.get("g").leave(id, None) for id in list(cluster.groups.get("g").members)]
    )
    until(lambda: len(log.told) == 3, consumer)
    assert [what for what, _ in log.told] == ["assigned", "lost", "assigned"]
    fill(producer, 6)
    assert sorted(reads(6, consumer)) == list(range(6))


def test_a_static_member_comes_back_to_what_it_had(cluster: EmbeddedCluster, make: Any) -> None:
    one, two = make("t", group_instance_id="one"), make("t", group_instance_id="two")
    until(lambda: shares(one, two) == [3, 3], one, two)
    had, generation = one.assignment(), cluster.groups.get("g").generation
    one.close()
    assert len(cluster.groups.get("g").members) == 2
    again = make("t", group_instance_id="one")
    until(lambda: again.assignment() == had, again, two)
    assert cluster.groups.get("g").generation == generation


def test_a_group_with_members_of_another_strategy(make: Any) -> None:
    make("t", partition_assignment_strategy=["range"]).poll(500)
    other = make("t", partition_assignment_strategy=["sticky"])
    with pytest.raises(Exception, match="do not fit those of the group"):
        until(lambda: False, other, seconds=10)


def test_configuration() -> None:
    for wrong, error in (
        ({"group_id": ""}, InvalidGroupIdError),
        ({"group_id": 5}, ConfigurationValueError),
        ({"group_id": "g", "heartbeat_interval_ms": 50000}, ConfigurationValueError),
        ({"group_instance_id": "x"}, ConfigurationValueError),
        ({"group_id": "g", "partition_assignment_strategy": ["fair"]}, ConfigurationValueError),
        ({"group_id": "g", "partition_assignment_strategy": []}, ConfigurationValueError),
    ):
        with pytest.raises(error):
            KafkaConsumer(**wrong)


def test_a_member_that_stops_while_its_reader_looks_for_changes(make: Any) -> None:
    class ThrownAway(deque[Any]):
        def popleft(self) -> Any:
            self.clear()  # as the IO thread does it, just then
            return super().popleft()

    one = make("t")
    until(lambda: bool(one.assignment()), one)
    one._member.changes = ThrownAway([object()])
    one.poll(10)
