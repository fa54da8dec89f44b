"""Fetching against simulated brokers: everything once and in order, nobody waits for others, memory is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from kafka._codec import Fetched
from kafka.core.consume.offsets import EARLIEST, LATEST, list_offsets
from kafka.core.flows import Task
from kafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from kafka.protocol import FetchRequest, ListOffsetsRequest
from kafka.protocol.codes import Code
from kafka.result import Ok
from kafka.structs import TopicPartition
from kafka.testing.sim_broker import Injection
from tests.sim.reading import ReadingWorld

T0, T1, T2 = (TopicPartition("t", number) for number in range(3))


def world(seed: int = 1, partitions: int = 3, **options: Any) -> ReadingWorld:
    found = ReadingWorld(seed, **options)
    found.cluster.create_topic("t", partitions)
    assert isinstance(found.bootstrap(), Ok)
    return found


def fetches(w: ReadingWorld) -> int:
    return sum(key == FetchRequest.API_KEY for broker in w.cluster.brokers for key, _ in broker.requests)


@pytest.mark.parametrize("seed", range(10))
def test_all_records_once_and_in_order_from_all_leaders(seed: int) -> None:
    w = world(seed)
    for number in range(60):
        w.append("t", number % 3, b"%d" % number, b"%d'" % number)
    w.assign("t", range(3))
    w.until(lambda: sum(map(len, w.read.values())) == 120)
    for partition in range(3):
        numbers = range(partition, 60, 3)
        assert w.values("t", partition) == [text for n in numbers for text in (b"%d" % n, b"%d'" % n)]
        assert [offset for offset, _ in w.read[TopicPartition("t", partition)]] == list(range(40))
    assert [w.positions[tp].high_watermark for tp in (T0, T1, T2)] == [40, 40, 40]


def test_a_record_that_comes_ends_the_wait() -> None:
    w = world()
    w.assign("t", range(3))
    w.run(2.0)
    before = w.now
    w.append("t", 1, b"new")
    w.until(lambda: w.values("t", 1) == [b"new"])
    assert w.now - before < 0.02


def test_an_idle_consumer_asks_each_leader_twice_a_second() -> None:
    w = world(partitions=30)
    w.assign("t", range(30))
    w.run(2.0)
    before = fetches(w)
    w.run(10.0)
    asked = fetches(w) - before
    assert 54 <= asked <= 63  # three leaders, half a second each


def test_what_is_sought_while_others_are_waited_for_comes_at_once() -> None:
    w = world(brokers=1, partitions=50)
    w.append("t", 7, b"a", b"b", b"c")
    w.assign("t", range(50))
    w.until(lambda: len(w.values("t", 7)) == 3)
    for _ in range(5):
        w.run(0.73)  # the long poll of all 50 is under way
        before, seen = w.now, len(w.values("t", 7))
        w.seek(TopicPartition("t", 7), 1)
        w.until(lambda seen=seen: len(w.values("t", 7)) == seen + 2)  # type: ignore[misc]
        assert w.now - before < 0.05


def test_a_paused_partition_is_not_asked_for_and_comes_at_once_when_resumed() -> None:
    w = world(brokers=1)
    w.assign("t", range(3))
    w.run(1.0)
    w.pause(T0, True)
    w.run(1.0)
    w.append("t", 0, b"x")
    w.run(3.0)
    assert w.values("t", 0) == []
    before = w.now
    w.pause(T0, False)
    w.until(lambda: w.values("t", 0) == [b"x"])
    assert w.now - before < 0.05


def test_a_busy_partition_does_not_wait_for_idle_ones() -> None:
    w = world(brokers=1, partitions=100, fetch={"partition_max_bytes": 1000})
    w.assign("t", range(100))
    w.run(1.0)
    for number in range(200):
        w.append("t", 0, b"%d" % number + bytes(900))
    before = w.now
    w.until(lambda: len(w.values("t", 0)) == 200)
    assert w.now - before < 200 * 0.015  # a Fetch each, none of which waits


@pytest.mark.parametrize("slots", [0, 1000])
def test_all_partitions_of_a_broker_have_their_turn(slots: int) -> None:
    """Without a session it is the client that sees to it."""
    w = world(brokers=1, partitions=5, fetch={"partition_max_bytes": 1000, "max_bytes": 1000})
    w.cluster.brokers[0].fetch_sessions.slots = slots
    for number in range(50):
        for partition in range(5):
            w.append("t", partition, b"%d" % number + bytes(900))
    w.assign("t", range(5))
    w.until(lambda: sum(map(len, w.read.values())) >= 100)
    counts = sorted(len(values) for values in w.read.values())
    assert counts[0] >= 10


def test_no_more_is_fetched_than_the_reader_has_room_for() -> None:
    w = world(brokers=3, partitions=12, fetch={"partition_max_bytes": 1000, "buffer_bytes": 5000})
    for number in range(40):
        for partition in range(12):
            w.append("t", partition, b"%d" % number + bytes(900))
    w.reads = False
    w.assign("t", range(12))
    most = 0
    for _ in range(100):
        w.run(0.1)
        held = sum(fetched.size for fetched in w.deliveries.arrived)  # type: ignore[union-attr]
        most = max(most, held)
        assert held <= w.fetch.used
    assert 2000 <= most <= 5000
    w.reads = True
    w._read()
    w.until(lambda: sum(map(len, w.read.values())) == 480)
    for partition in range(12):
        assert [int(value.rstrip(b"\0")) for value in w.values("t", partition)] == list(range(40))
    w.run(1.0)
    assert w.fetch.used <= 5000


def test_a_broker_that_leads_nothing_any_more_has_no_share_in_the_memory() -> None:
    w = world(brokers=3, partitions=1, fetch={"buffer_bytes": 60_000, "partition_max_bytes": 30_000})
    w.assign("t", [0])
    sizes: list[int] = []

    def noting(handler: Any) -> Any:
        def answer(broker: Any, header: Any, request: Any) -> Any:
            sizes.append(request.max_bytes)
            return handler(broker, header, request)

        return answer

    for broker in w.cluster.brokers:
        broker.handlers[FetchRequest.API_KEY] = noting(broker.handlers[FetchRequest.API_KEY])
    for number in range(6):
        w.cluster.move_leader("t", 0, number % 3)
        w.append("t", 0, b"%d" % number)
        w.until(lambda number=number: len(w.values("t", 0)) == number + 1)  # type: ignore[misc]
    w.run(3.0)
    assert sizes[-1] == 30_000


def test_the_reader_hears_that_a_fetch_waits_for_memory_and_can_have_what_it_gives_up_fetched_again() -> None:
    w = world(brokers=1, partitions=3, fetch={"partition_max_bytes": 2000, "buffer_bytes": 4000})
    for number in range(20):
        for partition in range(3):
            w.append("t", partition, b"%d" % number + bytes(900))
    w.reads = False
    told: list[bool] = []
    w.deliveries.tell = lambda: told.append(w.deliveries.is_starving)
    w.assign("t", range(2))
    w.run(1.0)
    assert told[-1] and w.deliveries.is_starving
    w.pause(T0, True)
    w.pause(T1, True)
    parked = [item for item in w.deliveries.arrived if isinstance(item, Fetched)]
    w.deliveries.arrived.clear()
    w.assign("t", [2])
    w.run(1.0)
    assert not w.deliveries.arrived  # it gets nothing while those are kept
    for fetched in parked:
        fetched.finish()
        w.deliveries.returned.append(fetched)
    for tp in (T0, T1):
        w.seek(tp, 0)
    w.reads = True
    w.deliveries.tell = lambda: w.simulation.after(0.0, w._read)
    w.client.turn()
    w.until(lambda: len(w.values("t", 2)) == 20)
    assert w.values("t", 0) == w.values("t", 1) == []
    assert not w.deliveries.is_starving
    w.pause(T0, False)
    w.until(lambda: len(w.values("t", 0)) == 20)
    assert [int(value.rstrip(b"\0")) for value in w.values("t", 0)] == list(range(20))


def test_nothing_more_is_fetched_of_a_partition_whose_reader_is_stuck() -> None:
    w = world(brokers=1, partitions=3, fetch={"partition_max_bytes": 2000, "buffer_bytes": 4000})
    for number in range(20):
        for partition in range(3):
            w.append("t", partition, b"%d" % number + bytes(900))
    w.assign("t", range(2))
    for tp in (T0, T1):
        w.fetch.stop(w.positions[tp], w.positions[tp].generation, w.now)
        w.fetch.stop(w.positions[tp], w.positions[tp].generation, w.now)  # of two things that were fetched, say
    w.assign("t", [2])
    w.until(lambda: len(w.values("t", 2)) == 20)
    w.run(1.0)
    assert w.values("t", 0) == w.values("t", 1) == [] and not w.deliveries.is_starving
    w.seek(T1, 4)
    w.fetch.stop(w.positions[T1], w.positions[T1].generation - 1, w.now)  # it came too late
    w.until(lambda: len(w.values("t", 1)) == 16)
    assert w.values("t", 0) == []


def test_a_batch_above_every_limit_is_read_all_the_same() -> None:
    w = world(fetch={"partition_max_bytes": 100, "buffer_bytes": 100, "max_bytes": 100})
    w.append("t", 0, bytes(5000))
    w.append("t", 0, b"after")
    w.assign("t", range(3))
    w.until(lambda: w.values("t", 0) == [bytes(5000), b"after"])


# -- where to begin ----------------------------------------------------------------------------------------------------


def test_begins_where_the_policy_says() -> None:
    for place, expected in ((EARLIEST, [b"a", b"b", b"c"]), (LATEST, [b"c"])):
        w = world(fetch={"reset": lambda place=place: place})
        w.append("t", 0, b"a", b"b")
        w.assign("t", [0], offset=None)
        w.until(lambda w=w: w.positions[T0].offset >= 0)  # type: ignore[misc]
        w.append("t", 0, b"c")
        w.until(lambda w=w, expected=expected: w.values("t", 0) == expected)  # type: ignore[misc]


@pytest.mark.parametrize("how", ["frozen", "down"])
def test_nobody_waits_for_a_partition_that_cannot_be_looked_up(how: str) -> None:
    """There is none of its number, or its leader does not answer. Then others of that leader move."""
    w = world(partitions=6)
    for number in range(6):
        w.append("t", number, b"%d" % number)
    down = w.cluster.topics["t"][0].leader
    if how == "frozen":
        w.cluster.brokers[down].pause()
    else:
        w.cluster.brokers[down].stop(keeps_leading=True)
    w.assign("t", [*range(6), 99], offset=None)
    others = [number for number in range(6) if w.cluster.topics["t"][number].leader != down]
    assert others and len(others) < 6
    w.until(lambda: all(w.values("t", number) for number in others), 5.0)
    for number in set(range(1, 6)) - set(others):  # partition 0 stays without a leader
        w.cluster.move_leader("t", number, (down + 1) % 3)
    w.core.metadata.refresh("t", w.now)
    w.until(lambda: all(w.values("t", number) for number in range(1, 6)), 5.0)
    assert w.positions[T0].offset == -1
    w.cluster.brokers[down].resume() if how == "frozen" else w.cluster.brokers[down].start()
    w.until(lambda: w.values("t", 0) == [b"0"])


def test_nobody_waits_for_a_partition_that_the_same_broker_has_no_place_for() -> None:
    w = world(brokers=1)
    for number in range(3):
        w.append("t", number, b"%d" % number)
    key, until = ListOffsetsRequest.API_KEY, w.now + 5.0
    usual = w.cluster.brokers[0].handlers[key]
    asked: list[int] = []

    def refusing(broker: Any, header: Any, request: Any) -> Any:
        response = usual(broker, header, request)
        for entry in response.topics[0].partitions:
            asked.append(entry.partition_index)
            if entry.partition_index == 0 and w.now < until:
                entry.error_code = Code.NOT_LEADER_OR_FOLLOWER
        return response

    w.cluster.brokers[0].handlers[key] = refusing
    w.assign("t", range(3), offset=None)
    w.until(lambda: w.values("t", 1) == [b"1"] and w.values("t", 2) == [b"2"], 1.0)
    w.until(lambda: w.values("t", 0) == [b"0"])
    assert w.now >= until and asked.count(1) == asked.count(2) == 1 and asked.count(0) < 100


def test_partitions_are_looked_up_by_leader_even_before_these_are_known() -> None:
    w = world(partitions=30)
    w.assign("t", range(30), offset=None)
    w.until(lambda: all(position.offset == 0 for position in w.positions.values()))
    requests = sum(key == ListOffsetsRequest.API_KEY for broker in w.cluster.brokers for key, _ in broker.requests)
    assert requests == 3


def test_without_a_policy_the_reader_is_told() -> None:
    w = world(fetch={"reset": None})
    w.append("t", 1, b"a")
    w.assign("t", [0], offset=None)
    w.assign("t", [1], offset=7)
    w.until(lambda: len(w.errors) == 2)
    assert {type(error) for error in w.errors} == {NoOffsetForPartitionError, OffsetOutOfRangeError}
    w.seek(T1, 0)
    w.until(lambda: w.values("t", 1) == [b"a"])


def test_out_of_range_goes_where_the_policy_says() -> None:
    w = world()
    w.append("t", 0, b"a", b"b")
    w.assign("t", [0], offset=100)
    w.until(lambda: w.values("t", 0) == [b"a", b"b"])
    assert not w.errors


def test_who_seeks_while_the_start_is_looked_up_is_not_taken_there() -> None:
    w = world()
    w.append("t", 0, b"a", b"b", b"c")
    w.assign("t", [0], offset=None)
    w.until(lambda: any(key == ListOffsetsRequest.API_KEY for b in w.cluster.brokers for key, _ in b.requests))
    w.seek(T0, 2)
    w.run(2.0)
    assert w.read[T0] == [(2, b"c")]


def test_answers_about_where_it_was_are_of_no_use() -> None:
    w = world(brokers=1)
    for value in (b"a", b"b", b"c"):
        w.append("t", 0, value)
    expected = [(0, b"a"), (1, b"b"), (2, b"c")]
    for moment in range(40):  # before, while and after the Fetch is under way
        w.assign("t", [0], offset=2)
        w.run(moment * 0.0002)
        w.read[T0].clear()
        w.seek(T0, 0)
        w.run(1.0)
        assert w.read[T0] == expected, moment
        w.fetch.remove(T0, w.now)
    w.assign("t", range(3))
    for moment in range(40):  # the same of a Fetch beside that of the others
        w.run(1.0)
        w.seek(T0, 2)
        w.run(moment * 0.0005)
        w.read[T0].clear()
        w.seek(T0, 0)
        w.run(1.0)
        assert w.read[T0] == expected, moment


@pytest.mark.parametrize("seed", range(5))
def test_leaders_that_move(seed: int) -> None:
    w = world(seed)
    w.assign("t", range(3))
    for number in range(30):
        partition = w.cluster.topics["t"][number % 3]
        if number % 4 == 0:
            partition.move((partition.leader + 1) % 3, w.simulation.random)
        w.append("t", number % 3, b"%d" % number)
        w.run(0.2)
    w.until(lambda: sum(map(len, w.read.values())) == 30, 30.0)
    for partition in range(3):
        assert w.values("t", partition) == [b"%d" % number for number in range(partition, 30, 3)]


def test_a_topic_made_anew_is_read_from_its_start() -> None:
    w = world(metadata_max_age=1.0)
    for number in range(5):
        w.append("t", 0, b"old %d" % number)
    w.assign("t", [0])
    w.until(lambda: len(w.values("t", 0)) == 5)
    w.run(70.0)
    w.cluster.delete_topic("t")
    w.cluster.create_topic("t", 3)
    for number in range(7):
        w.append("t", 0, b"new %d" % number)
    w.until(lambda: len(w.values("t", 0)) == 12, 200.0)
    assert w.values("t", 0)[5:] == [b"new %d" % number for number in range(7)]


def test_a_broker_that_dies_and_comes_back() -> None:
    w = world()
    w.append("t", 0, b"a")
    w.assign("t", range(3))
    w.until(lambda: w.values("t", 0) == [b"a"])
    broker = w.cluster.brokers[w.cluster.topics["t"][0].leader]
    broker.stop()
    w.run(5.0)
    broker.start()
    w.append("t", 0, b"b")
    w.until(lambda: w.values("t", 0) == [b"a", b"b"], 60.0)


# -- ListOffsets -------------------------------------------------------------------------------------------------------


def test_offsets_are_asked_of_all_leaders_at_once_and_again_where_they_moved() -> None:
    w = world(4, partitions=9)
    for partition in range(9):
        w.append("t", partition, *[b"x"] * (partition + 1))
    w.cluster.injected[ListOffsetsRequest.API_KEY] = Injection((Code.NOT_LEADER_OR_FOLLOWER,), 0.5, w.now + 0.5)
    found: list[Any] = []
    wanted = {TopicPartition("t", partition): LATEST for partition in range(9)}
    Task(list_offsets(w.core.services, wanted, 0, w.now, 20.0), lambda places, now: found.append(places)).start(w.now)
    w.until(lambda: bool(found), 20.0)
    assert {tp.partition: place.value.offset for tp, place in found[0].items()} == {n: n + 1 for n in range(9)}


@pytest.mark.parametrize("isolation", [0, 1])
def test_a_range_ends_where_the_log_has_nothing_more(isolation: int) -> None:
    w = world(fetch={"isolation": isolation})
    for number in range(3):
        w.append("t", number, b"a", b"b", b"c")
    for number in range(2):  # compaction has taken the last ones of these
        log = w.cluster.topics["t"][number]
        log.log.end += 4
        log.commit(log.end)
    w.assign("t", range(3))
    w.fetch.bound(w.positions[T0], 7, w.now)
    w.fetch.bound(w.positions[T2], 2, w.now)
    w.until(lambda: w.positions[T0].nothing_until == 7)
    assert (w.positions[T0].offset, w.positions[T0].nothing_from) == (3, 3)
    w.append("t", 2, b"d")
    w.run(3.0)
    assert w.values("t", 2) == [b"a", b"b", b"c"]  # a whole batch, and none from the end on
    assert w.positions[T1].nothing_until == w.positions[T2].nothing_until == -1
    w.fetch.bound(w.positions[T2], float("inf"), w.now)
    w.client.turn()
    w.until(lambda: w.values("t", 2) == [b"a", b"b", b"c", b"d"])


def test_an_empty_answer_or_two_end_no_range() -> None:
    """Of a broker that still fetches from its archive, or one whose answer was full before this partition's turn."""
    w = world(brokers=1, partitions=2, fetch={"max_bytes": 1})
    w.append("t", 0, *(b"%d" % number for number in range(5)))
    w.append("t", 0, *(b"%d" % number for number in range(5, 10)))
    (broker,) = w.cluster.brokers
    log = w.cluster.topics["t"][0].log
    usual, empty = log.read, [2]

    def read(offset: int, *rest: Any, **options: Any) -> bytes:
        if offset == 5 and empty[0]:
            empty[0] -= 1
            return b""
        return bytes(usual(offset, *rest, **options))

    log.read = read
    w.assign("t", [0])
    w.fetch.bound(w.positions[T0], 10, w.now)
    w.until(lambda: len(w.values("t", 0)) == 10)
    assert empty == [0] and w.positions[T0].nothing_until == -1


def test_a_range_that_retention_overtakes_goes_on_with_what_is_left() -> None:
    w = world(fetch={"reset": None})
    for _ in range(4):
        w.append("t", 0, b"x")
    w.assign("t", [0], offset=2**40)
    w.fetch.bound(w.positions[T0], 2**41, w.now)
    w.client.turn()
    w.until(lambda: len(w.values("t", 0)) == 4)
    assert not w.errors
