"""Logs that lose their ends on brokers whose answers to Fetches do not say so (before version 12): KIP-320."""

from __future__ import annotations

import random
from typing import Any

import pytest

from kafka.errors import LogTruncationError
from kafka.protocol import FetchRequest, OffsetForLeaderEpochRequest
from kafka.protocol.codes import Code
from kafka.structs import TopicPartition
from kafka.testing.sim_log import SimPartition
from tests.sim.reading import ReadingWorld
from tests.sim.test_fetch import fetches, world

T0 = TopicPartition("t", 0)


def old(newest: int = 11, **options: Any) -> ReadingWorld:
    w = world(partitions=1, **options)
    for broker in w.cluster.brokers:
        broker.versions[FetchRequest.API_KEY] = (4, newest)
    return w


def asked(w: ReadingWorld) -> int:
    return sum(key == OffsetForLeaderEpochRequest.API_KEY for broker in w.cluster.brokers for key, _ in broker.requests)


def lose(w: ReadingWorld, end: int) -> None:
    """Another broker leads, whose log ends there."""
    partition = w.cluster.topics["t"][0]
    assert isinstance(partition, SimPartition)
    partition.committed = end
    other = next(broker.id for broker in w.cluster.brokers if broker.id != partition.leader)
    chance = random.Random(1)
    while partition.end > end:
        partition.move(other, chance)
    partition.commit(partition.end)


def test_what_a_new_leader_does_not_have_is_read_anew() -> None:
    w = old()
    for number in range(10):
        w.append("t", 0, b"%d" % number)
    w.assign("t", [0])
    w.until(lambda: len(w.values("t", 0)) == 10)
    lose(w, 6)
    for number in range(8):  # past where the reader was: nothing else would tell
        w.append("t", 0, b"new %d" % number)
    w.until(lambda: len(w.values("t", 0)) == 18)
    assert w.values("t", 0)[10:] == [b"new %d" % number for number in range(8)]
    assert any("6 to 9" in str(event) and "are no more" in str(event) for event in w.simulation.trace)


def test_without_a_policy_the_reader_is_told() -> None:
    w = old(fetch={"reset": None})
    for number in range(10):
        w.append("t", 0, b"%d" % number)
    w.assign("t", [0])
    w.until(lambda: len(w.values("t", 0)) == 10)
    lose(w, 6)
    w.until(lambda: bool(w.errors))
    assert isinstance(w.errors[0], LogTruncationError)
    w.run(3.0)
    assert len(w.errors) == 1 and len(w.values("t", 0)) == 10


@pytest.mark.parametrize("newest", [11, 17])
def test_without_a_policy_nobody_hears_of_what_nobody_has_read(newest: int) -> None:
    """What was fetched and is lost is let go of; the reader goes on with what is there instead."""
    w = old(newest, fetch={"reset": None, "max_wait": 0.1})
    for number in range(10):
        w.append("t", 0, b"%d" % number)
    w.reads = False
    w.assign("t", [0])
    w.until(lambda: sum(item.size for item in w.deliveries.arrived) > 0)  # type: ignore[union-attr]
    w.run(1.0)
    lose(w, 6)
    for number in range(8):
        w.append("t", 0, b"new %d" % number)
    w.run(3.0)
    w.reads = True
    w._read()
    w.until(lambda: len(w.values("t", 0)) == 14, 5.0)
    assert w.values("t", 0) == [b"%d" % number for number in range(6)] + [b"new %d" % number for number in range(8)]
    assert not w.errors


def test_a_log_that_was_truncated_twice_is_followed_to_where_it_agrees() -> None:
    w = old()
    for number in range(4):
        w.append("t", 0, b"%d" % number)
    lose(w, 4)
    w.cluster.move_leader("t", 0, 1)
    for number in range(4, 8):
        w.append("t", 0, b"%d" % number)
    w.assign("t", [0])
    w.until(lambda: len(w.values("t", 0)) == 8)
    lose(w, 2)  # of the epoch before the last one, too
    for _ in range(9):
        w.append("t", 0, b"new")
    w.until(lambda: len(w.values("t", 0)) >= 8 + 9)
    assert w.values("t", 0)[-9:] == [b"new"] * 9 and w.read[T0][-9][0] == 2


def test_an_offset_that_is_given_with_its_epoch_is_looked_at_too() -> None:
    w = old()
    w.append("t", 0, *[b"%d" % number for number in range(5)])
    w.assign("t", [0], offset=3)
    w.until(lambda: len(w.values("t", 0)) == 2)
    position = w.positions[T0]
    w.fetch.place(position, position.move(1000, 0), 1000, 0, w.now)
    w.client.turn()
    w.until(lambda: position.offset == 5)
    w.append("t", 0, b"5")
    w.until(lambda: len(w.values("t", 0)) == 3)  # out of range would have begun at the start


@pytest.mark.parametrize("newest", [11, 17])
def test_a_leader_that_has_another_epoch_there_is_read_from(newest: int) -> None:
    """Two elections of replicas that were not in sync: of the first leader, and back."""
    w = old(newest)
    partition = w.cluster.topics["t"][0]
    w.append("t", 0, b"0")
    w.append("t", 0, b"1")
    for to in (1, 2):
        w.cluster.move_leader("t", 0, to)
    w.append("t", 0, b"2")
    w.assign("t", [0])
    w.until(lambda: len(w.values("t", 0)) == 3)
    lose(w, 1)
    newer, partition.epoch = partition.epoch, 1
    for number in range(5):
        w.append("t", 0, b"other %d" % number)
    partition.epoch = newer
    w.until(lambda: len(w.values("t", 0)) == 6)
    assert w.values("t", 0)[-1] == b"other 4"
    before = fetches(w)
    w.run(5.0)
    assert fetches(w) - before < 40


def test_a_leader_is_asked_once_and_only_where_something_was_read() -> None:
    w = old()
    w.assign("t", [0])
    w.run(3.0)
    assert asked(w) == 0
    w.append("t", 0, b"1")
    w.until(lambda: w.values("t", 0) == [b"1"])
    for number in (1, 2, 3):
        w.cluster.move_leader("t", 0, number % 3)
        w.run(2.0)
        w.append("t", 0, b"%d" % number)
        w.until(lambda number=number: len(w.values("t", 0)) == number + 1)  # type: ignore[misc]
    assert asked(w) == 3


@pytest.mark.parametrize("newest", [12, 17])
def test_newer_brokers_say_it_by_themselves(newest: int) -> None:
    w = old(newest)
    w.append("t", 0, b"1")
    w.assign("t", [0])
    w.until(lambda: w.values("t", 0) == [b"1"])
    w.cluster.move_leader("t", 0, 2)
    w.append("t", 0, b"2")
    w.until(lambda: len(w.values("t", 0)) == 2)
    assert asked(w) == 0


@pytest.mark.parametrize("error", [Code.UNKNOWN_LEADER_EPOCH, Code.TOPIC_AUTHORIZATION_FAILED])
def test_a_leader_that_does_not_say_is_asked_again_or_believed(error: int) -> None:
    w = old()
    w.append("t", 0, b"1")
    w.assign("t", [0])
    w.until(lambda: w.values("t", 0) == [b"1"])
    times: list[int] = []

    def refusing(handler: Any) -> Any:
        def answer(broker: Any, header: Any, request: Any) -> Any:
            response = handler(broker, header, request)
            times.append(1)
            if len(times) <= 2:
                response.topics[0].partitions[0].error_code = error
            return response

        return answer

    for broker in w.cluster.brokers:
        key = OffsetForLeaderEpochRequest.API_KEY
        broker.handlers[key] = refusing(broker.handlers[key])
    w.cluster.move_leader("t", 0, 2)
    w.append("t", 0, b"2")
    w.until(lambda: len(w.values("t", 0)) == 2)
    w.run(3.0)
    assert len(times) == (3 if error == Code.UNKNOWN_LEADER_EPOCH else 1)


def test_brokers_that_cannot_be_asked_are_read_from() -> None:
    w = old()
    for broker in w.cluster.brokers:
        del broker.versions[OffsetForLeaderEpochRequest.API_KEY]
    w.append("t", 0, b"1")
    w.assign("t", [0])
    w.until(lambda: w.values("t", 0) == [b"1"])
    w.cluster.move_leader("t", 0, 2)
    w.append("t", 0, b"2")
    w.until(lambda: len(w.values("t", 0)) == 2)


@pytest.mark.parametrize("what", ["seek", "remove", "pause"])
def test_what_is_decided_meanwhile_counts(what: str) -> None:
    w = old()
    w.append("t", 0, *[b"%d" % number for number in range(5)])
    w.assign("t", [0])
    w.until(lambda: len(w.values("t", 0)) == 5)
    w.cluster.move_leader("t", 0, 2)
    w.until(lambda: asked(w) == 1, 5.0)
    if what == "seek":
        w.seek(T0, 3)
        w.until(lambda: len(w.values("t", 0)) == 7)
        assert w.values("t", 0)[-2:] == [b"3", b"4"]
    elif what == "remove":
        w.fetch.remove(T0, w.now)
        w.run(2.0)
    else:
        w.pause(T0, True)
        w.append("t", 0, b"5")
        w.run(2.0)
        assert len(w.values("t", 0)) == 5
        w.pause(T0, False)
        w.until(lambda: len(w.values("t", 0)) == 6)
