"""What is kept and what is replaced when metadata comes in."""

from __future__ import annotations

from typing import Any

from kafka.core.cluster.snapshot import EMPTY, BrokerInfo, Snapshot, merge, still_unclear, with_leader, without
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
    assert known.brokers[1] == BrokerInfo(1, "k1", 9092, None)
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
    assert known.touched == ("u",), "all else is as in the version before"
    left = without(known, ["t", "never seen"])
    assert list(left.topics) == ["u"] and left.touched == ("u", "t", "never seen")


def test_what_did_not_change_is_the_same_object() -> None:
    known = snapshot(topic("t", [(0, 1), (1, 1)]))
    same = snapshot(topic("t", [(0, 1), (1, 1)]), after=known, now=2.0)
    assert same.topics["t"].partitions is known.topics["t"].partitions
    unnamed = snapshot(topic("t", [(0, 1)], bytes(16)))
    named = snapshot(topic("t", [(0, 1)]), after=unnamed, now=2.0)
    assert named.topics["t"].partitions is not unnamed.topics["t"].partitions, "there is an id now"


def test_the_rack_of_a_broker() -> None:
    entry = MetadataResponse.MetadataResponseBroker(node_id=4, host="k4", port=9092, rack="a")
    known = merge(EMPTY, MetadataResponse(brokers=[entry]), 12, 1.0)
    assert known.brokers[4].rack == "a"
    entry.rack = None
    assert merge(known, MetadataResponse(brokers=[entry]), 12, 2.0).brokers[4].rack is None


def test_an_older_epoch_is_not_believed() -> None:
    first = snapshot(topic("t", [(0, 5)]))
    assert snapshot(topic("t", [(1, 4)]), after=first).leader("t", 0) == 0
    assert snapshot(topic("t", [(1, 5)]), after=first).leader("t", 0) == 1  # the leader id may change alone
    assert snapshot(topic("t", [(1, 6)]), after=first).leader("t", 0) == 1
    assert snapshot(topic("t", [(1, -1)]), after=first).leader("t", 0) == 1  # no epoch to compare
    without_epoch = snapshot(topic("t", [(1, -1)]), after=first)
    assert snapshot(topic("t", [(0, 4)]), after=without_epoch).leader("t", 0) == 1, "the newest epoch is remembered"


def test_an_older_epoch_is_believed_once_all_have_said_so_for_a_while() -> None:
    """As when the newer one came from a broker that spoke of a former topic of this name."""
    known = with_leader(snapshot(topic("t", [(0, 1), (0, 1)])), "t", 1, 1, 7, None)
    for now in (2.0, 6.0, 11.9):
        known = snapshot(topic("t", [(0, 1), (0, 1)]), after=known, now=now)
        assert (known.leader("t", 1), known.topics["t"].partitions[1].leader_epoch) == (1, 7)
    confirmed = snapshot(topic("t", [(0, 1), (1, 7)]), after=known, now=11.95)
    known = snapshot(topic("t", [(0, 1), (0, 1)]), after=known, now=12.1)
    assert (known.leader("t", 1), known.topics["t"].partitions[1].leader_epoch) == (0, 1)
    assert snapshot(topic("t", [(0, 1), (0, 1)]), after=confirmed, now=12.1).leader("t", 1) == 1
    hinted = with_leader(confirmed, "t", 0, 1, 2, None)
    assert snapshot(topic("t", [(0, 1), (1, 7)]), after=hinted, now=30.0).leader("t", 0) == 1


def test_epochs_of_old_versions_are_not_compared() -> None:
    first = snapshot(topic("t", [(0, 5)]), version=8)
    assert first.topics["t"].partitions[0].leader_epoch == -1
    assert snapshot(topic("t", [(1, 4)]), version=8, after=first).leader("t", 0) == 1


def test_a_recreated_topic_starts_anew() -> None:
    known = snapshot(topic("t", [(1, 0)], OTHER_ID), after=snapshot(topic("t", [(0, 5), (0, 5)])), now=61.0)
    assert (known.partitions("t"), known.leader("t", 0), known.topics["t"].id) == (1, 1, OTHER_ID)
    assert known.topic_id("t") == OTHER_ID and known.topic_id("u") == bytes(16)
    assert known.topics["t"].partitions[0].leader_epoch == 0


def test_another_id_so_soon_takes_a_second_answer() -> None:
    known = snapshot(topic("t", [(0, 5), (0, 5)]))
    doubtful = snapshot(topic("t", [(1, 0)], OTHER_ID), after=known, now=5.0)
    assert doubtful.topic_id("t") == ID and doubtful.topics["t"].partitions is known.topics["t"].partitions
    assert still_unclear(doubtful.topics["t"], (0, 1, 2, 3))
    believed = snapshot(topic("t", [(1, 0)], OTHER_ID), after=doubtful, now=5.1)
    assert believed.topic_id("t") == OTHER_ID and believed.partitions("t") == 1
    assert not still_unclear(believed.topics["t"], (0, 1, 2, 3))
    denied = snapshot(topic("t", [(0, 5), (0, 5)]), after=doubtful, now=5.1)
    assert denied.topic_id("t") == ID and not still_unclear(denied.topics["t"], (0, 1, 2, 3))
    third = snapshot(topic("t", [(1, 0)], b"3" * 16), after=doubtful, now=5.1)
    assert third.topic_id("t") == ID, "two different ids do not bear each other out"


def test_a_topic_that_was_denied_may_have_another_id_at_once() -> None:
    known = snapshot(topic("t", [(0, 5), (0, 5)]))
    denied = snapshot(topic("t", [], bytes(16), error=3), after=known, now=2.0)
    assert snapshot(topic("t", [(1, 0)], OTHER_ID), after=denied, now=2.1).topic_id("t") == OTHER_ID


def test_brokers_that_are_behind_do_not_bring_the_former_id_back() -> None:
    known = snapshot(topic("t", [(0, 5), (0, 5)]))
    for now in (2.0, 2.1):
        known = snapshot(topic("t", [(1, 0)], OTHER_ID), after=known, now=now)
    for now in (3.0, 4.0, 5.0):
        known = snapshot(topic("t", [(0, 5), (0, 5)]), after=known, now=now)
        assert known.topic_id("t") == OTHER_ID and known.partitions("t") == 1
    known = snapshot(topic("t", [], bytes(16), error=3), after=known, now=6.0)
    assert snapshot(topic("t", [(0, 5)]), after=known, now=7.0).topic_id("t") == OTHER_ID
    # Had it been the other way round after all, so would every answer say a minute later.
    assert snapshot(topic("t", [(0, 5)]), after=known, now=63.0).topic_id("t") == ID


def test_an_id_that_is_not_known_contradicts_none() -> None:
    known = snapshot(topic("t", [(0, 5)], bytes(16)))
    assert known.topic_id("t") == bytes(16)
    named = snapshot(topic("t", [(0, 4), (1, 1)]), after=known, now=2.0)
    assert named.topic_id("t") == ID and named.leader("t", 0) == 0 and named.partitions("t") == 2
    again = snapshot(topic("t", [(1, 6), (1, 1)], bytes(16)), version=9, after=named, now=100.0)
    assert again.topic_id("t") == ID and again.leader("t", 0) == 1


def test_an_error_takes_nothing_back() -> None:
    known = snapshot(topic("t", [], bytes(16), error=3), after=snapshot(topic("t", [(0, 5)])), now=7.0)
    assert known.leader("t", 0) == 0
    assert known.topics["t"].error is not None and known.topics["t"].failing_since == 7.0
    later = snapshot(topic("t", [], bytes(16), error=3), after=known, now=9.0)
    assert later.topics["t"].failing_since == 7.0
    healed = snapshot(topic("t", [(0, 5)]), after=later, now=10.0)
    assert healed.topics["t"].error is None and healed.topics["t"].failing_since is None


def test_a_topic_that_stays_unknown_is_gone() -> None:
    unknown = topic("t", [], bytes(16), error=3)
    known = snapshot(unknown, after=snapshot(topic("t", [(0, 5), (0, 5)])), now=7.0)
    known = snapshot(unknown, after=known, now=36.9)
    assert not known.topics["t"].is_gone and still_unclear(known.topics["t"], (0, 1, 2, 3))
    gone = snapshot(unknown, after=known, now=37.0)
    entry = gone.topics["t"]
    assert entry.is_gone and not still_unclear(entry, (0, 1, 2, 3)) and not entry.error.retriable  # type: ignore[union-attr]
    assert "no topic 't'" in str(entry.error) and "30 s" in str(entry.error) and "Hint: Create" in str(entry.error)
    assert not entry.error.fresh().retriable  # type: ignore[union-attr]
    assert snapshot(unknown, after=gone, now=38.0).topics["t"].is_gone, "and stays so"
    back = snapshot(topic("t", [(0, 6), (1, 6)]), after=gone, now=39.0)
    assert back.topics["t"].error is None and back.leader("t", 1) == 1
    assert snapshot(topic("t", [(0, 0)], bytes(16)), after=back, now=40.0).partitions("t") == 2


def test_other_troubles_do_not_count_as_unknown() -> None:
    known = snapshot(topic("t", [], error=5), now=0.0)
    known = snapshot(topic("t", [], error=3), after=known, now=40.0)
    assert known.topics["t"].failing_since == 40.0 and not known.topics["t"].is_gone
    known = snapshot(topic("t", [], error=5), after=known, now=60.0)  # somebody knows it
    known = snapshot(topic("t", [], error=3), after=known, now=71.0)
    assert not known.topics["t"].is_gone


def test_without_ids_a_topic_that_was_gone_is_a_new_one() -> None:
    known = snapshot(topic("t", [(0, 5), (0, 5)], bytes(16)), version=9)
    for now in (2.0, 33.0):
        known = snapshot(topic("t", [], bytes(16), error=3), version=9, after=known, now=now)
    anew = snapshot(topic("t", [(1, 0)], bytes(16)), version=9, after=known, now=34.0)
    assert (anew.partitions("t"), anew.leader("t", 0)) == (1, 1)


def test_partitions_do_not_vanish() -> None:
    known = snapshot(topic("t", [(1, 6)]), after=snapshot(topic("t", [(0, 5), (0, 5)])))
    assert [p.leader for p in known.topics["t"].partitions] == [1, 0]


def test_a_gap_in_the_partitions_is_a_partition_without_leader() -> None:
    known = snapshot(topic("t", [(1, 6)], first=2))
    assert [p.leader for p in known.topics["t"].partitions] == [-1, -1, 1]
    assert still_unclear(known.topics["t"], (0, 1, 2, 3))


def test_what_another_look_may_clear_up() -> None:
    assert still_unclear(None, (0, 1, 2, 3))
    assert still_unclear(snapshot(topic("t", [], error=3)).topics["t"], (0, 1, 2, 3))
    assert still_unclear(snapshot(topic("t", [(-1, 3)])).topics["t"], (0, 1, 2, 3))
    assert not still_unclear(snapshot(topic("t", [(0, 3)])).topics["t"], (0, 1, 2, 3))
    assert still_unclear(snapshot(topic("t", [(0, 3)])).topics["t"], (1, 2))  # a leader that is down
    assert not still_unclear(snapshot(topic("t", [], error=17)).topics["t"], (0, 1, 2, 3))  # invalid name
    assert not still_unclear(snapshot(topic("t", [], error=29)).topics["t"], (0, 1, 2, 3))  # not authorized


def test_a_leader_hint_is_merged_if_newer() -> None:
    known = snapshot(topic("t", [(0, 5), (0, 5)]))
    moved = with_leader(known, "t", 1, 1, 6, None)
    assert (moved.leader("t", 0), moved.leader("t", 1), moved.version) == (0, 1, known.version + 1)
    assert moved.touched == ("t",)
    assert with_leader(known, "t", 1, 1, 5, None) is known
    assert with_leader(known, "t", 1, 7, 6, None) is known  # nobody said where broker 7 is
    assert with_leader(known, "u", 0, 1, 6, None) is known
    assert with_leader(known, "t", 2, 1, 6, None) is known
    added = with_leader(known, "t", 1, 7, 6, BrokerInfo(7, "k7", 9092))
    assert added.brokers[7].host == "k7" and added.leader("t", 1) == 7 and list(added.brokers) == [0, 1, 7]
    assert with_leader(known, "t", 1, 7, 6, BrokerInfo(8, "k8", 9092)) is known  # still not
    elsewhere = with_leader(known, "t", 1, 1, 6, BrokerInfo(1, "new", 9093, "a"))
    assert elsewhere.brokers == {0: known.brokers[0], 1: BrokerInfo(1, "new", 9093, "a")}


def test_an_answer_without_brokers_does_not_forget_them() -> None:
    known = merge(snapshot(topic("t", [(0, 5)])), response([], brokers=()), 12, 2.0)
    assert list(known.brokers) == [0, 1]
