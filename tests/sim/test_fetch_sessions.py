"""Fetch sessions against simulated brokers: what is asked for costs nothing while nothing changes."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.protocol import FetchRequest
from kafka.result import Ok
from kafka.structs import TopicPartition
from tests.sim.reading import ReadingWorld
from tests.sim.world import break_connections

KEY = FetchRequest.API_KEY
T0 = TopicPartition("t", 0)


class Watched(ReadingWorld):
    """One broker, and what each Fetch to it says: (session id, session epoch, partitions named, partitions left)."""

    def __init__(self, partitions: int = 30, **options: Any) -> None:
        super().__init__(1, 1, **options)
        self.asked: list[tuple[int, int, list[int], list[int]]] = []
        (self.broker,) = self.cluster.brokers
        handle = self.broker.handlers[KEY]

        def watched(broker: Any, header: Any, request: Any) -> Any:
            named = [p.partition for topic in request.topics for p in topic.partitions]
            left = [p for topic in request.forgotten_topics_data for p in topic.partitions]
            self.asked.append((request.session_id, request.session_epoch, named, left))
            return handle(broker, header, request)

        self.broker.handlers[KEY] = watched
        self.cluster.create_topic("t", partitions)
        assert isinstance(self.bootstrap(), Ok)

    def all_is_read(self, count: int) -> None:
        self.until(lambda: sum(map(len, self.read.values())) == count)


def test_only_what_has_changed_is_said() -> None:
    w = Watched()
    w.assign("t", range(30))
    w.run(3.0)
    first, *others = w.asked
    assert first[:2] == (0, 0) and len(first[2]) == 30
    assert [epoch for _, epoch, _, _ in others] == list(range(1, len(others) + 1))
    assert len({id for id, *_ in others}) == 1
    assert all(named == [] and left == [] for _, _, named, left in others)
    w.append("t", 7, b"a")
    w.all_is_read(1)
    w.run(1.0)
    assert [named for _, _, named, _ in w.asked if named][1:] == [[7]]


def test_who_is_no_longer_read_is_left_out() -> None:
    w = Watched(3)
    w.assign("t", range(3))
    w.run(2.0)
    w.fetch.remove(T0, w.now)
    w.pause(TopicPartition("t", 1), True)
    w.run(2.0)
    assert sorted(p for _, _, _, left in w.asked for p in left) == [0, 1]
    w.append("t", 2, b"c")
    w.all_is_read(1)
    w.pause(TopicPartition("t", 1), False)
    w.append("t", 1, b"b")
    w.all_is_read(2)


@pytest.mark.parametrize("trouble", ["forgotten", "connection", "restart"])
def test_a_session_that_is_lost_begins_anew(trouble: str) -> None:
    w = Watched(5)
    for number in range(20):
        w.assign("t", range(5)) if number == 0 else None
        w.append("t", number % 5, b"%d" % number)
        w.run(0.3 + number / 100)
        if number % 4 == 2:
            if trouble == "forgotten":
                w.broker.fetch_sessions.clear()
            elif trouble == "connection":
                break_connections(w.broker)
            else:
                w.broker.stop()
                w.broker.start()
    w.until(lambda: sum(map(len, w.read.values())) == 20, 30.0)
    for partition in range(5):
        assert w.values("t", partition) == [b"%d" % number for number in range(partition, 20, 5)]
    w.run(5.0)
    assert len(w.broker.fetch_sessions) == 1  # a broker has few of them: those that were lost are ended


def test_a_broker_that_has_no_session_left_is_asked_for_all_each_time() -> None:
    w = Watched(5, fetch={"partition_max_bytes": 1000, "max_bytes": 1000})
    w.broker.fetch_sessions.slots = 0
    for number in range(30):
        for partition in range(5):
            w.append("t", partition, b"%d" % number + bytes(900))
    w.assign("t", range(5))
    w.all_is_read(150)
    w.run(2.0)
    assert all(asked[:2] == (0, 0) and len(asked[2]) == 5 for asked in w.asked[-3:])


def test_without_sessions() -> None:
    w = Watched(5, fetch={"sessions": False})
    w.assign("t", range(5))
    w.append("t", 3, b"x")
    w.all_is_read(1)
    w.run(2.0)
    assert {asked[:2] for asked in w.asked} == {(0, -1)} and len(w.broker.fetch_sessions) == 0


@pytest.mark.parametrize("max_wait", [0.05, 0.5])
def test_what_was_asked_for_beside_the_others_joins_them_again(max_wait: float) -> None:
    w = Watched(5, fetch={"max_wait": max_wait})
    w.append("t", 3, b"x")
    w.assign("t", range(5))
    for delay in (0.313, 1.777, 2.003):
        w.run(delay)
        w.seek(TopicPartition("t", 3), 0)
    w.run(2.0)
    assert len(w.values("t", 3)) == 4
    before = len(w.asked)
    w.run(10.0)
    assert len(w.asked) - before <= 10 / max_wait
    assert all(epoch > 0 for _, epoch, _, _ in w.asked[before:])


def test_who_leaves_while_a_session_begins_is_left_out_of_it() -> None:
    w = Watched(3)
    w.assign("t", range(3))
    w.until(lambda: len(w.asked) == 1)
    w.fetch.remove(T0, w.now)
    w.run(2.0)
    assert w.asked[1][3] == [0]
    assert len(w.asked) < 8


def test_who_comes_back_and_leaves_again_is_left_out() -> None:
    w = Watched(3)
    w.assign("t", range(3))
    w.run(2.0)
    for paused in (True, False, True):
        w.positions[T0].paused = paused
        w.fetch.reconsider(w.positions[T0], w.now)
    w.run(2.0)
    assert [left for _, _, _, left in w.asked if left] == [[0]]
