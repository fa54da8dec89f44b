"""What users have reported of other consumers, as simulated tests; see `tests/consumer/test_reports.py` for names."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.protocol import FetchRequest, FindCoordinatorRequest
from kafka.protocol.codes import Code
from tests.sim.test_consumer_protocol import ConsumerWorld
from tests.sim.test_fetch import world
from tests.sim.test_membership import GroupWorld, until
from tests.sim.world import changed


def group(seed: int, protocol: str) -> GroupWorld:
    w = GroupWorld(seed) if protocol == "classic" else ConsumerWorld(seed)
    for _ in range(3):
        w.add()
    until(w, w.settled, 20.0)
    return w


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize("seed", range(5))
def test_01_brokers_are_restarted_one_by_one(seed: int, protocol: str) -> None:
    """K#1310, K#1134: "coordinator unknown" for days after a rolling restart."""
    w = group(seed, protocol)
    for broker in w.cluster.brokers:
        coordinated = w.cluster.home("g") is broker
        broker.stop()
        for other in w.cluster.brokers:
            other.requests.clear()
        w.run(8.0)  # longer than a session
        alive = {other.id for other in w.cluster.alive()}
        asked = {
            other.id
            for other in w.cluster.brokers
            for key, _ in other.requests
            if key == FindCoordinatorRequest.API_KEY
        }
        assert asked <= alive and (asked or not coordinated)
        until(w, w.settled, 15.0)
        broker.start()
        until(w, w.settled, 15.0)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize("how", ["silent", "unreachable"])
def test_02_a_coordinator_that_cannot_be_reached_is_no_reason_for_haste(protocol: str, how: str) -> None:
    """K#2695: a busy loop while the coordinator is unreachable."""
    w = group(3, protocol)
    coordinator = w.cluster.home("g")
    if how == "silent":
        coordinator.pause()
    else:
        w.network.black_holes.add((coordinator.ip, coordinator.port))
        for link in list(coordinator.connections):
            link.reset()
    w.simulation.trace.clear()
    w.run(30.0)
    happened = [entry for entry in w.simulation.trace if entry[1] in ("connect", "send", "tick")]
    assert len(happened) < 30 * len(w.members) * 6  # each wakes up a few times a second, to beat and to try again
    connects = sum(entry[1] == "connect" for entry in happened)
    assert connects < 30 * len(w.members) * 2 and (connects or how == "silent")
    coordinator.resume()
    w.network.black_holes.clear()
    until(w, w.settled, 45.0)


@pytest.mark.parametrize("follower", ["is behind", "says the same as the leader"])
def test_33_a_follower_that_has_not_got_there_yet(follower: str) -> None:
    """KAFKA-14372, review of KAFKA-8365: out of range at a follower resets the position to the leader's start."""
    w = world(partitions=1)
    partition = w.cluster.topics["t"][0]
    leader, near = partition.leader, (partition.leader + 1) % 3
    for number in range(10):
        w.append("t", 0, b"%d" % number)
    asked: list[tuple[int, int]] = []
    sends = [True]

    def answering(broker: Any, own: Any) -> Any:
        def answer(at: Any, header: Any, request: Any) -> Any:
            partitions = [entry for topic in request.topics for entry in topic.partitions]
            asked.extend((broker.id, entry.fetch_offset) for entry in partitions)
            if broker.id == near:
                return changed(own(at, header, request), refused)
            if sends and partitions:
                return changed(own(at, header, request), sent_away)
            return own(at, header, request)

        return answer

    def refused(found: Any) -> None:
        for topic in found.responses:
            for entry in topic.partitions:
                entry.error_code, entry.records = Code.OFFSET_OUT_OF_RANGE, None

    def sent_away(found: Any) -> None:
        for topic in found.responses:
            for entry in topic.partitions:
                entry.error_code, entry.preferred_read_replica, entry.records = 0, near, None
                sends.clear()

    for broker in w.cluster.brokers:
        broker.handlers[FetchRequest.API_KEY] = answering(broker, broker.handlers[FetchRequest.API_KEY])
    offset = 4 if follower == "is behind" else 50
    w.assign("t", [0], offset=offset)
    w.until(lambda: len(w.values("t", 0)) == (6 if follower == "is behind" else 10))
    first = [place for place in asked if place[1] == offset]
    assert [node for node, _ in first[:2]] == [leader, near] and (leader, offset) in first[2:]
    assert (near, 0) not in asked
