"""Who reads what: every strategy gives each partition to one member that wants it, and is as even as it can be."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka.core.groups.assignors import (
    COOPERATIVE_STICKY,
    NO_RACKS,
    RANGE,
    ROUND_ROBIN,
    STICKY,
    STRATEGIES,
    Strategy,
    Subscription,
    decode_last,
    decode_share,
    decode_subscription,
    encode_last,
    encode_share,
    encode_subscription,
)
from kafka.structs import TopicPartition

TP = TopicPartition


def numbers(shares: dict[str, list[TopicPartition]]) -> dict[str, list[str]]:
    return {id: [f"{tp.topic}{tp.partition}" for tp in sorted(share)] for id, share in shares.items()}


def everybody(count: int, *topics: str) -> dict[str, Subscription]:
    return {f"m{index}": Subscription(topics) for index in range(count)}


def test_ranges() -> None:
    found = RANGE.assign(everybody(2, "a", "b"), {"a": 3, "b": 3})
    assert numbers(found) == {"m0": ["a0", "a1", "b0", "b1"], "m1": ["a2", "b2"]}
    members = {"m0": Subscription(("a",)), "m1": Subscription(("a", "b")), "m2": Subscription(())}
    assert numbers(RANGE.assign(members, {"a": 2, "b": 2})) == {"m0": ["a0"], "m1": ["a1", "b0", "b1"], "m2": []}


def test_in_turn() -> None:
    found = ROUND_ROBIN.assign(everybody(2, "a", "b"), {"a": 3, "b": 3})
    assert numbers(found) == {"m0": ["a0", "a2", "b1"], "m1": ["a1", "b0", "b2"]}
    members = {"m0": Subscription(("a",)), "m1": Subscription(("a", "b"))}
    assert numbers(ROUND_ROBIN.assign(members, {"a": 1, "b": 2, "c": 5})) == {"m0": ["a0"], "m1": ["b0", "b1"]}


def test_static_members_keep_their_place_whatever_their_ids() -> None:
    before = {"x1": Subscription(("a",), instance="one"), "x2": Subscription(("a",), instance="two")}
    after = {"y9": Subscription(("a",), instance="one"), "x2": Subscription(("a",), instance="two")}
    for strategy in (RANGE, ROUND_ROBIN):
        one, two = strategy.assign(before, {"a": 5}), strategy.assign(after, {"a": 5})
        assert one["x1"] == two["y9"] and one["x2"] == two["x2"]


def owning(shares: dict[str, list[TopicPartition]], *topics: str, generation: int = 1) -> dict[str, Subscription]:
    return {id: Subscription(topics, tuple(share), generation) for id, share in shares.items()}


@pytest.mark.parametrize("strategy", [STICKY, COOPERATIVE_STICKY])
def test_whoever_stays_keeps_what_it_has(strategy: Strategy) -> None:
    first = strategy.assign(everybody(3, "a"), {"a": 9})
    assert [len(share) for share in first.values()] == [3, 3, 3]
    members = owning(first, "a")
    gone = {id: member for id, member in members.items() if id != "m1"}
    left = strategy.assign(gone, {"a": 9})
    assert all(set(first[id]) <= set(left[id]) for id in gone)
    assert sorted(map(len, left.values())) == [4, 5]
    joined = {**members, "m3": Subscription(("a",))}
    more = strategy.assign(joined, {"a": 9})
    assert sum(len(set(first[id]) - set(more[id])) for id in first) == 2  # as few as make it even


def test_cooperation_gives_nobody_what_another_one_still_has() -> None:
    first = COOPERATIVE_STICKY.assign(everybody(1, "a"), {"a": 4})
    members = {**owning(first, "a"), "m1": Subscription(("a",))}
    second = COOPERATIVE_STICKY.assign(members, {"a": 4})
    assert len(second["m0"]) == 2 and second["m1"] == []
    third = COOPERATIVE_STICKY.assign(owning(second, "a", generation=2), {"a": 4})
    assert len(third["m0"]) == 2 and len(third["m1"]) == 2


def test_of_two_who_claim_a_partition_the_later_generation_is_believed() -> None:
    members = {
        "m0": Subscription(("a",), (TP("a", 0), TP("a", 1)), 7),
        "m1": Subscription(("a",), (TP("a", 0), TP("a", 1)), 5),
    }
    found = STICKY.assign(members, {"a": 2})
    assert len(found["m0"]) == len(found["m1"]) == 1
    both = {id: Subscription(("a",), (TP("a", 0),), 5) for id in ("m0", "m1")}
    assert sorted(map(len, STICKY.assign(both, {"a": 2}).values())) == [1, 1]


TOPICS = ("a", "b", "c")


@given(
    sizes=st.dictionaries(st.sampled_from(TOPICS), st.integers(0, 12)),
    wanted=st.lists(st.lists(st.sampled_from((*TOPICS, "unknown")), unique=True), min_size=1, max_size=7),
    claims=st.lists(st.lists(st.tuples(st.sampled_from(TOPICS), st.integers(0, 14)), max_size=12), max_size=7),
    generations=st.lists(st.integers(-1, 3), min_size=7, max_size=7),
    name=st.sampled_from(sorted(STRATEGIES)),
)
def test_whatever_members_say_the_assignment_is_whole(
    sizes: Any, wanted: Any, claims: Any, generations: Any, name: str
) -> None:
    members = {}
    for index, topics in enumerate(wanted):
        owned = tuple(TP(*claim) for claim in (claims[index] if index < len(claims) else ()))
        members[f"m{index}"] = Subscription(tuple(topics), owned, generations[index])
    shares = STRATEGIES[name].assign(members, sizes)
    assert shares.keys() == members.keys()
    given_out = [tp for share in shares.values() for tp in share]
    assert len(given_out) == len(set(given_out))
    read = {topic for member in members.values() for topic in member.topics}
    everything = {TP(topic, number) for topic, size in sizes.items() for number in range(size) if topic in read}
    assert all(tp.topic in members[id].topics for id, share in shares.items() for tp in share)
    if not STRATEGIES[name].is_cooperative:
        assert set(given_out) == everything
    else:  # what it leaves out is what somebody has to give up first
        claimed = {tp for member in members.values() for tp in member.owned}
        assert everything - set(given_out) <= claimed
    if name == "sticky":
        for giver, share in shares.items():
            for tp in share:
                readers = [id for id in members if tp.topic in members[id].topics]
                assert min(len(shares[id]) for id in readers) + 1 >= len(shares[giver])


@given(claims=st.lists(st.integers(0, 19), min_size=4, max_size=4))
def test_cooperation_comes_to_an_end(claims: list[int]) -> None:
    """However it begins, a few rounds later everything is read, and nothing moves any more."""
    shares = {f"m{index}": [TP("a", claim)] for index, claim in enumerate(claims)}
    for generation in range(5):
        members = owning(shares, "a", generation=generation)
        shares, before = COOPERATIVE_STICKY.assign(members, {"a": 20}), shares
    assert shares == before
    assert sorted(tp for share in shares.values() for tp in share) == [TP("a", number) for number in range(20)]


@pytest.mark.timing
def test_a_large_group_is_assigned_within_a_second() -> None:
    members = everybody(100, *(f"t{number}" for number in range(10)))
    sizes = {f"t{number}": 100 for number in range(10)}
    for strategy in STRATEGIES.values():
        began = time.perf_counter()
        shares = strategy.assign(members, sizes)
        strategy.assign(owning(shares, *sizes) | {"new": Subscription(tuple(sizes))}, sizes)
        assert time.perf_counter() - began < 2.0


@pytest.mark.timing
def test_a_group_that_reads_thousands_of_topics_is_assigned_within_a_second() -> None:
    """As a pattern finds them: a thousand more take as much longer, not the square of it."""
    names = [f"some-topic-name-{number}" for number in range(4000)]
    said = encode_subscription(Subscription(names))
    members = {f"m{number}": decode_subscription(said) for number in range(100)}
    for strategy in STRATEGIES.values():
        began = time.process_time()
        strategy.assign(members, dict.fromkeys(names, 3))
        assert time.process_time() - began < 2.0, strategy.name


def test_on_the_wire() -> None:
    said = Subscription(("a", "b"), (TP("a", 0), TP("a", 2)), 5, "rack1")
    for version in range(4):
        heard = decode_subscription(encode_subscription(said, version), "me")
        assert heard.topics == {"a", "b"} and heard.instance == "me"
        assert heard.owned == (said.owned if version >= 1 else ())
        assert heard.generation == (5 if version >= 2 else -1)
    assert decode_share(encode_share(said.owned)) == list(said.owned)
    assert decode_share(b"") == []
    assert not decode_subscription(b"\0\1nonsense").topics
    with pytest.raises(ValueError, match="."):
        decode_share(b"\0\1nonsense")


def test_what_sticky_members_had_last_on_the_wire() -> None:
    had = (TP("a", 0), TP("a", 2), TP("\u00e4", 7))
    data = encode_last(had, 5)
    # By Java's StickyAssignor.serializeTopicPartitionAssignment of the same.
    assert data.hex() == "000000020001610000000200000000000000020002c3a4000000010000000700000005"
    assert decode_last(data) == (had, 5)
    assert decode_last(data[:-4]) == (had, -1)  # before generations
    for end in range(len(data) - 4):
        assert decode_last(data[:end]) == ((), -1)
    for at in range(len(data) - 4):
        for byte in (0, 0x7F, 0xFF):
            decode_last(data[:at] + bytes([byte]) + data[at + 1 :])


def test_sticky_members_that_gave_everything_up_get_it_back() -> None:
    had = {"m0": [TP("a", 3), TP("a", 0)], "m1": [TP("a", 1), TP("a", 2)]}
    members = {id: Subscription(("a",), user_data=encode_last(share, 4)) for id, share in had.items()}
    stale = Subscription(("a",), user_data=encode_last([TP("a", 0), TP("a", 1)], 3))
    shares = STICKY.assign({**members, "m2": stale}, {"a": 5}, NO_RACKS)
    assert set(had["m0"]) <= set(shares["m0"]) and set(had["m1"]) <= set(shares["m1"]) and shares["m2"] == [TP("a", 4)]
