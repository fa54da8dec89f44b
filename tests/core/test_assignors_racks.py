"""Who reads what where members and replicas are in racks (KIP-881), compared with what Java's own assignors decide."""

from __future__ import annotations

import json
import lzma
import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka.core.groups.assignors import (
    COOPERATIVE_STICKY,
    NO_RACKS,
    RANGE,
    STICKY,
    Members,
    Racks,
    Shares,
    Strategy,
    Subscription,
)
from kafka.structs import TopicPartition

TP = TopicPartition
GOLDEN = Path(__file__).parents[1] / "golden" / "assignments.jsonl.xz"


def cases(name: str) -> list[tuple[Members, dict[str, int], Racks, Shares]]:
    """Members, topics, racks, and what Java gives to whom."""
    found = []
    for line in lzma.decompress(GOLDEN.read_bytes()).splitlines():
        case = json.loads(line)
        members = {
            id: Subscription(
                tuple(each["topics"]), tuple(TP(*tp) for tp in each["owned"]), 1, each["rack"], each["instance"]
            )
            for id, each in case["members"].items()
        }
        topics: dict[str, list[list[str]]] = case["topics"]
        racks = {TP(topic, number): frozenset(at) for topic, each in topics.items() for number, at in enumerate(each)}
        shares = {id: [TP(*tp) for tp in share] for id, share in case["shares"].items()}
        if case["assignor"] == name:
            found.append((members, {topic: len(each) for topic, each in topics.items()}, racks, shares))
    assert len(found) == 600
    return found


def near(members: Members, racks: Racks, shares: Shares) -> int:
    """How many partitions have a replica in their reader's rack."""
    return sum(members[id].rack in racks[tp] for id, share in shares.items() for tp in share)


def test_ranges_are_those_that_java_gives() -> None:
    for members, sizes, racks, shares in cases("range"):
        assert RANGE.assign(members, sizes, racks) == shares


def test_sticky_ones_are_as_even_as_javas_and_have_no_fewer_replicas_near_nor_more_moves() -> None:
    ours_near = javas_near = ours_kept = javas_kept = 0
    for members, sizes, racks, shares in cases("sticky"):
        ours = STICKY.assign(members, sizes, racks)
        assert ours == STICKY.assign(members, sizes, racks)
        if len({each.topics for each in members.values()}) > 1:
            continue  # to who subscribes nothing Java's gives partitions, and it leaves some uneven
        assert sorted(map(len, ours.values())) == sorted(map(len, shares.values()))
        assert {tp for share in ours.values() for tp in share} == {tp for share in shares.values() for tp in share}
        ours_near += near(members, racks, ours)
        javas_near += near(members, racks, shares)
        ours_kept += sum(tp in members[id].owned for id, share in ours.items() for tp in share)
        javas_kept += sum(tp in members[id].owned for id, share in shares.items() for tp in share)
    assert ours_near >= javas_near > 0 and ours_kept >= javas_kept > 0


def test_an_assignment_in_racks_stays_as_it_is() -> None:
    """Also of partitions that are near nobody: they do not wander with each rebalance."""
    for members, sizes, racks, _ in cases("sticky"):
        shares = STICKY.assign(members, sizes, racks)
        for _ in range(4):
            again = {id: each._replace(owned=tuple(shares[id])) for id, each in members.items()}
            shares, before = STICKY.assign(again, sizes, racks), shares
        assert shares == before


def racked(count: int, racks: str, *topics: str) -> dict[str, Subscription]:
    return {f"m{index}": Subscription(topics, rack=racks[index % len(racks)]) for index in range(count)}


@pytest.mark.parametrize("strategy", [RANGE, STICKY, COOPERATIVE_STICKY])
def test_each_reads_what_is_in_its_rack(strategy: Strategy) -> None:
    racks = {TP(topic, number): frozenset("abc"[number % 3]) for topic in "tu" for number in range(6)}
    shares = strategy.assign(racked(3, "abc", "t", "u"), {"t": 6, "u": 6}, racks)
    for id, rack in zip(sorted(shares), range(3), strict=True):
        assert {tp.partition % 3 for tp in shares[id]} == {rack} and len(shares[id]) == 4


@pytest.mark.parametrize("strategy", [STICKY, COOPERATIVE_STICKY])
def test_evenness_comes_before_nearness(strategy: Strategy) -> None:
    racks = {TP("t", number): frozenset("a") for number in range(4)}
    shares = strategy.assign(racked(2, "ab", "t"), {"t": 4}, racks)
    assert [len(share) for share in shares.values()] == [2, 2]


@given(
    sizes=st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)),
    members=st.lists(
        st.tuples(
            st.lists(st.sampled_from("abc"), unique=True),
            st.sampled_from(["x", "y", "", None]),
            st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10)), max_size=9),
            st.integers(-1, 2),
        ),
        min_size=1,
        max_size=6,
    ),
    where=st.lists(st.frozensets(st.sampled_from("xyz"), max_size=2), min_size=27, max_size=27),
    strategy=st.sampled_from([RANGE, STICKY]),
)
def test_wherever_they_are_the_assignment_is_whole_and_even(
    sizes: Any, members: Any, where: Any, strategy: Strategy
) -> None:
    group = {
        f"m{index}": Subscription(tuple(topics), tuple(TP(*each) for each in claims), generation, rack)
        for index, (topics, rack, claims, generation) in enumerate(members)
    }
    racks = dict(zip((TP(topic, number) for topic in "abc" for number in range(9)), where, strict=True))
    shares = strategy.assign(group, sizes, racks)
    given_out = [tp for share in shares.values() for tp in share]
    read = {topic for each in group.values() for topic in each.topics}
    assert shares.keys() == group.keys() and len(given_out) == len(set(given_out))
    assert set(given_out) == {TP(topic, number) for topic in sizes.keys() & read for number in range(sizes[topic])}
    assert all(tp.topic in group[id].topics for id, share in shares.items() for tp in share)
    if strategy is RANGE:
        for topic in read:
            counts = [sum(tp.topic == topic for tp in shares[id]) for id in group if topic in group[id].topics]
            assert max(counts) - min(counts) <= 1
        return
    for id, share in shares.items():
        for tp in share:
            assert min(len(shares[each]) for each in group if tp.topic in group[each].topics) + 1 >= len(shares[id])


def in_any_racks(chance: random.Random) -> tuple[dict[str, Subscription], dict[str, int], Racks]:
    topics = [f"t{number}" for number in range(chance.randint(1, 3))]
    sizes = {topic: chance.randint(1, 6) for topic in topics}
    racks = {
        TP(topic, number): frozenset(chance.sample("abc", chance.randint(1, 2)))
        for topic in topics
        for number in range(sizes[topic])
    }
    is_uniform = chance.random() < 0.5
    members = {
        f"m{number}": Subscription(
            tuple(topics if is_uniform else chance.sample(topics, chance.randint(1, len(topics)))),
            rack=chance.choice(("a", "b", "c", None)),
        )
        for number in range(chance.randint(1, 5))
    }
    return members, sizes, racks


def rounds(members: Members, sizes: dict[str, int], racks: Racks) -> tuple[int, Members]:
    """How often a cooperative group joins until nobody has to give anything up, 12 times at most; and what all have."""
    for count in range(1, 13):
        shares = COOPERATIVE_STICKY.assign(members, sizes, racks)
        is_settled = all(set(each.owned) <= set(shares[id]) for id, each in members.items())
        members = {id: each._replace(owned=tuple(shares[id]), generation=count) for id, each in members.items()}
        if is_settled:
            break
    return count, members


@pytest.mark.parametrize("first", range(0, 1500, 500))
def test_cooperative_rounds_end(first: int) -> None:
    """Whoever comes or goes, and whatever is added: then everything is read."""
    for seed in range(first, first + 500):
        chance = random.Random(seed)
        members, sizes, racks = in_any_racks(chance)
        for _ in range(3):
            count, members = rounds(members, sizes, racks)
            assert count < 12, seed
            read = [tp for each in members.values() for tp in each.owned]
            topics = {topic for each in members.values() for topic in each.topics}
            assert len(read) == len(set(read)) == sum(sizes[topic] for topic in topics), seed
            changed = dict(members)
            if len(changed) > 1 and chance.random() < 0.5:
                del changed[chance.choice(sorted(changed))]
            if chance.random() < 0.6:
                changed[f"n{chance.random()}"] = Subscription(tuple(sizes), rack=chance.choice(("a", "b", None)))
            if chance.random() < 0.5:
                topic = chance.choice(sorted(sizes))
                racks = {**racks, TP(topic, sizes[topic]): frozenset("a"), TP(topic, sizes[topic] + 1): frozenset("b")}
                sizes = {**sizes, topic: sizes[topic] + 2}
            members = changed


@pytest.mark.parametrize("strategy", [RANGE, STICKY, COOPERATIVE_STICKY])
def test_racks_that_make_no_difference_make_none(strategy: Strategy) -> None:
    members = racked(3, "ab", "t")
    everywhere = {TP("t", number): frozenset("ab") for number in range(7)}
    elsewhere = {TP("t", number): frozenset("cd"[number % 2]) for number in range(7)}
    without = {id: each._replace(rack=None) for id, each in members.items()}
    plain = strategy.assign(without, {"t": 7}, NO_RACKS)
    assert plain == strategy.assign(members, {"t": 7}, NO_RACKS)
    assert plain == strategy.assign(members, {"t": 7}, everywhere) == strategy.assign(members, {"t": 7}, elsewhere)
    assert plain == strategy.assign(without, {"t": 7}, {**everywhere, TP("t", 3): frozenset("a")})


@pytest.mark.timing
@pytest.mark.parametrize("strategy", [RANGE, STICKY, COOPERATIVE_STICKY])
@pytest.mark.parametrize("is_uniform", [True, False])
def test_a_large_group_in_racks_is_assigned_within_a_second(strategy: Strategy, is_uniform: bool) -> None:
    topics = [f"t{number}" for number in range(10)]
    members = racked(100, "abc", *topics)
    if not is_uniform:
        members["m0"] = Subscription(("t1",), rack="a")
    sizes = dict.fromkeys(topics, 100)
    racks = {TP(topic, number): frozenset("abcd"[number % 4]) for topic in topics for number in range(100)}
    began = time.perf_counter()
    strategy.assign(members, sizes, racks)
    assert time.perf_counter() - began < 2.0
