"""What is kept and what is replaced when metadata comes in."""

from __future__ import annotations

from typing import Any

from kafka.core.snapshot import EMPTY, Broker, Snapshot, merge, still_unclear, with_leader
from kafka.protocol import MetadataResponse

ID, OTHER_ID = b"1" * 16, b"2" * 16


def response(topics: list[Any], brokers: tuple[int, ...] = (0, 1)) -> Any:
    return MetadataResponse(
        brokers=[MetadataResponse.MetadataResponseBroker(node_id=id, host=f"k{id}", port=9092) for id in brokers],
        cluster_id="c",
        controller_id=0,
        topics=topics,
    )


def topic(name: str, leaders: list[tuple[int, int]], topic_id: bytes = ID, error: int = 0, first: int = 0) -> Any:
    return MetadataResponse.MetadataResponseTopic(
        error_code=error,
        name=name,
        topic_id=topic_id,
        partitions=[
            MetadataResponse.MetadataResponsePartition(partition_index=first + i, leader_id=leader, leader_epoch=epoch)
            for i, (leader, epoch) in enumerate(leaders)
        ],
    )


def snapshot(*topics: Any, version: int = 12, after: Snapshot = EMPTY, now: float = 1.0) -> Snapshot:
    return merge(after, response(list(topics)), version, now)


def test_a_first_answer() -> None:
    known = snapshot(topic("t", [(0, 3), (1, 4)]))
    assert known.brokers[1] == Broker(1, "k1", 9092, None)
    assert (known.partitions("t"), known.leader("t", 0), known.leader("t", 1)) == (2, 0, 1)
    assert (known.leader("t", 2), known.leader("t", -1), known.leader("u", 0), known.partitions("u")) == (-1, -1, -1, 0)
    assert (known.cluster_id, known.controller_id, known.version, known.time) == ("c", 0, 1, 1.0)


def test_partitions_out_of_order_find_their_place() -> None:
    entry = topic("t", [(0, 1), (1, 1), (0, 1)])
    entry.partitions = tuple(reversed(entry.partitions))
    assert [p.id for p in snapshot(entry).topics["t"].partitions] == [0, 1, 2]
    assert snapshot(entry).leader("t", 1) == 1


def test_other_topics_stay() -> None:
    known = snapshot(topic("u", [(1, 1)]), after=snapshot(topic("t", [(0, 1)])))
    assert list(known.topics) == ["t", "u"]


def test_an_older_epoch_is_not_believed() -> None:
    first = snapshot(topic("t", [(0, 5)]))
    assert snapshot(topic("t", [(1, 4)]), after=first).leader("t", 0) == 0
    assert snapshot(topic("t", [(1, 5)]), after=first).leader("t", 0) == 1  # the leader id may change alone
    assert snapshot(topic("t", [(1, 6)]), after=first).leader("t", 0) == 1
    assert snapshot(topic("t", [(1, -1)]), after=first).leader("t", 0) == 1  # no epoch to compare


def test_epochs_of_old_versions_are_not_compared() -> None:
    first = snapshot(topic("t", [(0, 5)]), version=8)
    assert first.topics["t"].partitions[0].leader_epoch == -1
    assert snapshot(topic("t", [(1, 4)]), version=8, after=first).leader("t", 0) == 1


def test_a_recreated_topic_starts_anew() -> None:
    known = snapshot(topic("t", [(1, 0)], OTHER_ID), after=snapshot(topic("t", [(0, 5), (0, 5)])))
    assert (known.partitions("t"), known.leader("t", 0), known.topics["t"].id) == (1, 1, OTHER_ID)


def test_an_error_takes_nothing_back() -> None:
    known = snapshot(topic("t", [], bytes(16), error=3), after=snapshot(topic("t", [(0, 5)])), now=7.0)
    assert known.leader("t", 0) == 0
    assert known.topics["t"].error is not None and known.topics["t"].failing_since == 7.0
    later = snapshot(topic("t", [], bytes(16), error=3), after=known, now=9.0)
    assert later.topics["t"].failing_since == 7.0
    healed = snapshot(topic("t", [(0, 5)]), after=later, now=10.0)
    assert healed.topics["t"].error is None and healed.topics["t"].failing_since is None


def test_partitions_do_not_vanish() -> None:
    known = snapshot(topic("t", [(1, 6)]), after=snapshot(topic("t", [(0, 5), (0, 5)])))
    assert [p.leader for p in known.topics["t"].partitions] == [1, 0]


def test_a_gap_in_the_partitions_is_a_partition_without_leader() -> None:
    known = snapshot(topic("t", [(1, 6)], first=2))
    assert [p.leader for p in known.topics["t"].partitions] == [-1, -1, 1]
    assert still_unclear(known.topics["t"])


def test_what_another_look_may_clear_up() -> None:
    assert still_unclear(None)
    assert still_unclear(snapshot(topic("t", [], error=3)).topics["t"])
    assert still_unclear(snapshot(topic("t", [(-1, 3)])).topics["t"])
    assert not still_unclear(snapshot(topic("t", [(0, 3)])).topics["t"])
    assert not still_unclear(snapshot(topic("t", [], error=17)).topics["t"])  # invalid name
    assert not still_unclear(snapshot(topic("t", [], error=29)).topics["t"])  # not authorized


def test_a_leader_hint_is_merged_if_newer() -> None:
    known = snapshot(topic("t", [(0, 5), (0, 5)]))
    moved = with_leader(known, "t", 1, 1, 6, None)
    assert (moved.leader("t", 0), moved.leader("t", 1), moved.version) == (0, 1, known.version + 1)
    assert with_leader(known, "t", 1, 1, 5, None) is known
    assert with_leader(known, "t", 1, 7, 6, None) is known  # nobody said where broker 7 is
    assert with_leader(known, "u", 0, 1, 6, None) is known
    assert with_leader(known, "t", 2, 1, 6, None) is known
    added = with_leader(known, "t", 1, 7, 6, Broker(7, "k7", 9092))
    assert added.brokers[7].host == "k7" and added.leader("t", 1) == 7 and list(added.brokers) == [0, 1, 7]


def test_an_answer_without_brokers_does_not_forget_them() -> None:
    known = merge(snapshot(topic("t", [(0, 5)])), response([], brokers=()), 12, 2.0)
    assert list(known.brokers) == [0, 1]
