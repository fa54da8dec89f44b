"""Which member of a group reads which partitions: what the leader of a classic group decides.

Members of other clients may be in the same group, so each strategy decides as Java's of that name does, as far as
others can see: its name, the form of its metadata, and that its result is complete and balanced in the same sense.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from kafka._codec import decode, encode
from kafka.protocol import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from kafka.result import Err
from kafka.structs import TopicPartition


class Subscription(NamedTuple):
    """What a member says of itself when it joins."""

    topics: Collection[str]  # a set where there may be many: each is looked up for each member
    owned: tuple[TopicPartition, ...] = ()  # as of `generation`
    generation: int = -1  # -1: not told
    rack: str | None = None
    instance: str | None = None  # group.instance.id
    user_data: bytes | None = None


Members = Mapping[str, Subscription]  # by member id
Sizes = Mapping[str, int]  # partitions of each topic
Shares = dict[str, list[TopicPartition]]  # by member id; everybody has one
Racks = Mapping[TopicPartition, frozenset[str]]  # where replicas of a partition are
Assign = Callable[[Members, Sizes, Racks], Shares]
Fits = Callable[[str, TopicPartition], bool]  # whether a member has a replica in its rack, as far as that matters
NO_RACKS: Racks = {}


class Strategy(NamedTuple):
    """`is_cooperative`: members keep what they have while they join (KIP-429)."""

    name: str
    assign: Assign
    is_cooperative: bool = False
    version: int = 3  # of the metadata that is sent
    # Of users' own, which may raise: what this member says of itself, given its topics; what it is told it has, and in
    # which generation.
    user_data: Callable[[Collection[str]], bytes | None] | None = None
    told: Callable[[Collection[TopicPartition], int], None] | None = None
    says_last: bool = False  # its members' user data is what they had last: they give that up before they join


def _ordered(members: Members, topic: str | None = None) -> list[str]:
    """Static members by their instance's name, before the others by their id; so a restart changes nothing."""
    wanted = [id for id, member in members.items() if topic is None or topic in member.topics]
    return sorted(wanted, key=lambda id: (members[id].instance is None, members[id].instance or id))


def _matter(members: Members, ids: Iterable[str], partitions: Collection[TopicPartition], racks: Racks) -> bool:
    """Whether it makes a difference where members and replicas are (KIP-881)."""
    of_members = {members[id].rack for id in ids} - {None, ""}
    if not of_members or not racks:
        return False
    of_partitions = [racks.get(partition, frozenset()) for partition in partitions]
    everywhere = frozenset().union(*of_partitions)
    return not everywhere.isdisjoint(of_members) and any(each != everywhere for each in of_partitions)


def _fitting(members: Members, racks: Racks) -> Fits:
    return lambda id, partition: not members[id].rack or members[id].rack in racks.get(partition, ())


def _anywhere(id: str, partition: TopicPartition) -> bool:
    return True


class _Ranges:
    """A topic while it is shared out: to each of its readers its due of partitions."""

    def __init__(self, topic: str, size: int, readers: Sequence[str], shares: Shares) -> None:
        self.partitions = [TopicPartition(topic, number) for number in range(size)]
        self.readers = readers
        self._shares = shares
        self._left = dict.fromkeys(self.partitions)
        self._least, self._more = divmod(size, len(readers))
        self._counts = dict.fromkeys(readers, 0)

    def room(self, id: str) -> int:
        return max(0, self._least + (self._more > 0) - self._counts[id])

    def give(self, id: str, partitions: Collection[TopicPartition]) -> None:
        self._shares[id] += partitions
        self._counts[id] += len(partitions)
        self._more -= self._counts[id] > self._least and bool(partitions)
        for partition in partitions:
            del self._left[partition]

    def share_out(self, fits: Fits | None = None) -> None:
        for id in self.readers:
            wanted = (partition for partition in self._left if fits is None or fits(id, partition))
            self.give(id, list(islice(wanted, self.room(id))))


def assign_ranges(members: Members, sizes: Sizes, racks: Racks = NO_RACKS) -> Shares:
    """Of each topic a run of partitions to each member. Where racks matter, first those with a replica in its rack; of
    topics with the same readers and as many partitions the same numbers, then, as they may be read together.
    """
    shares: Shares = {id: [] for id in members}
    readers = {topic: _ordered(members, topic) for topic in sorted(sizes)}
    topics = [_Ranges(topic, sizes[topic], ids, shares) for topic, ids in readers.items() if ids]
    needy = [topic for topic in topics if _matter(members, topic.readers, topic.partitions, racks)]
    if needy:
        fits = _fitting(members, racks)
        alike: dict[tuple[tuple[str, ...], int], list[_Ranges]] = {}
        for topic in topics:
            alike.setdefault((tuple(topic.readers), len(topic.partitions)), []).append(topic)
        for together in alike.values():
            if len(together) > 1:
                _share_together(together, fits)
            elif together[0] in needy:
                together[0].share_out(fits)
    for topic in topics:
        topic.share_out()
    return {id: sorted(share) for id, share in shares.items()}


def _share_together(topics: Sequence[_Ranges], fits: Fits) -> None:
    for partitions in zip(*(topic.partitions for topic in topics), strict=True):
        for id in topics[0].readers:
            if all(topic.room(id) and fits(id, each) for topic, each in zip(topics, partitions, strict=True)):
                for topic, each in zip(topics, partitions, strict=True):
                    topic.give(id, [each])
                break


def assign_in_turn(members: Members, sizes: Sizes, racks: Racks = NO_RACKS) -> Shares:
    """All partitions of all topics, one to each member in turn, passing over who does not read the topic."""
    shares: Shares = {id: [] for id in members}
    order = _ordered(members)
    at = 0
    for topic in sorted(sizes):
        if not any(topic in member.topics for member in members.values()):
            continue
        for number in range(sizes[topic]):
            while topic not in members[order[at % len(order)]].topics:
                at += 1
            shares[order[at % len(order)]].append(TopicPartition(topic, number))
            at += 1
    return shares


def assign_sticky(members: Members, sizes: Sizes, racks: Racks = NO_RACKS) -> Shares:
    """As balanced as can be, with as few moves as that takes; where racks matter, with more partitions near their
    readers, as far as that makes it no less balanced.
    """
    owners = _owners(members, sizes)
    partitions = [TopicPartition(topic, number) for topic in sizes for number in range(sizes[topic])]
    fits = _fitting(members, racks) if _matter(members, members, partitions, racks) else None
    shares: Shares = {id: [] for id in _ordered(members)}
    for partition, id in owners.items():
        shares[id].append(partition)
    readers: dict[str, list[str]] = {topic: _ordered(members, topic) for topic in sorted(sizes)}
    near = {partition: _near(members, readers, racks, partition) for partition in partitions} if fits else {}
    # Those of topics with few readers first: the others can still even out what comes of that. So it is with racks.
    left = [each for each in partitions if readers[each.topic] and each not in owners]
    for each in sorted(left, key=lambda each: (len(near.get(each, ())), len(readers[each.topic]), each)):
        shares[min(near.get(each) or readers[each.topic], key=lambda id: len(shares[id]))].append(each)
    _level(shares, readers, fits or _anywhere, owners)
    if fits is not None:
        _draw_near(shares, readers, near, fits, owners)
    return {id: sorted(share) for id, share in shares.items()}


def _near(members: Members, readers: Mapping[str, list[str]], racks: Racks, partition: TopicPartition) -> list[str]:
    """Who reads a partition and has a replica of it in its rack."""
    at = racks.get(partition, ())
    return [id for id in readers[partition.topic] if members[id].rack in at]


def _draw_near(
    shares: Shares,
    readers: Mapping[str, list[str]],
    near: Mapping[TopicPartition, list[str]],
    fits: Fits,
    owners: Mapping[TopicPartition, str],
) -> None:
    """Exchange partitions between members where one comes near by that, and none gets away."""
    is_uniform = all(len(each) == len(shares) for each in readers.values())
    for id, share in shares.items():
        for far in [each for each in share if not fits(id, each)]:
            for other in near[far]:
                if is_uniform and len(shares[other]) < len(share):  # then it is one fewer, and as many after that
                    share.remove(far)
                    shares[other].append(far)
                    break
                given = [
                    each
                    for each in shares[other]
                    if id in readers[each.topic] and (fits(id, each) or not fits(other, each))
                ]
                back = min(given, key=lambda each: owners.get(each) == other, default=None)  # rather one it never had
                if back is not None:
                    share[share.index(far)] = back
                    shares[other][shares[other].index(back)] = far
                    break


def _owners(members: Members, sizes: Sizes) -> dict[TopicPartition, str]:
    """Who owns what, where that is believed: of two who say so the one of the later generation, or neither."""
    owners: dict[TopicPartition, str] = {}
    since: dict[TopicPartition, int] = {}
    for id in _ordered(members):
        member = members[id]
        for partition in member.owned:
            if partition.topic not in member.topics or not 0 <= partition.partition < sizes.get(partition.topic, 0):
                continue
            known = since.get(partition)
            if known is None or member.generation > known:
                owners[partition], since[partition] = id, member.generation
            elif member.generation == known:
                owners.pop(partition, None)
    return owners


def _level(shares: Shares, readers: Mapping[str, list[str]], fits: Fits, owners: Mapping[TopicPartition, str]) -> None:
    """Move partitions until no member has two more than another one that could read one of them; first such as fit no
    worse there, and rather those that the giver never had: what it has, it has to give up, and where it gets as many
    others for that, a cooperative group would never come to rest.
    """
    moved = True
    while moved:
        moved = False
        for giver in sorted(shares, key=lambda id: -len(shares[id])):
            most = len(shares[giver])
            for may_fit_worse in (False, True):
                for partition in sorted(shares[giver], key=lambda each: (fits(giver, each), owners.get(each) == giver)):
                    takers = [id for id in readers[partition.topic] if len(shares[id]) + 1 < most]
                    taker = min(takers, key=lambda id: (len(shares[id]), not fits(id, partition)), default=None)
                    if taker is not None and (may_fit_worse or fits(taker, partition) or not fits(giver, partition)):
                        shares[giver].remove(partition)
                        shares[taker].append(partition)
                        most -= 1
                        moved = True


def assign_sticky_eagerly(members: Members, sizes: Sizes, racks: Racks = NO_RACKS) -> Shares:
    """As `assign_sticky`, by what members say that they had last."""
    said = {id: decode_last(each.user_data) for id, each in members.items() if each.user_data is not None}
    return assign_sticky(
        {
            id: each._replace(owned=said[id][0], generation=said[id][1]) if id in said else each
            for id, each in members.items()
        },
        sizes,
        racks,
    )


def assign_cooperatively(members: Members, sizes: Sizes, racks: Racks = NO_RACKS) -> Shares:
    """As `assign_sticky`; but what another member still has is nobody's before that one has given it up."""
    owners = _owners(members, sizes)
    return {
        id: [partition for partition in share if owners.get(partition, id) == id]
        for id, share in assign_sticky(members, sizes, racks).items()
    }


RANGE = Strategy("range", assign_ranges)
ROUND_ROBIN = Strategy("roundrobin", assign_in_turn)
STICKY = Strategy("sticky", assign_sticky_eagerly, says_last=True)
COOPERATIVE_STICKY = Strategy("cooperative-sticky", assign_cooperatively, is_cooperative=True)
STRATEGIES = {strategy.name: strategy for strategy in (RANGE, ROUND_ROBIN, STICKY, COOPERATIVE_STICKY)}


# -- on the wire -------------------------------------------------------------------------------------------------------


def by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    topics: dict[str, list[int]] = {}
    for topic, number in partitions:
        topics.setdefault(topic, []).append(number)
    return topics


def encode_subscription(subscription: Subscription, version: int = 3) -> bytes:
    owned = by_topic(subscription.owned)
    message = ConsumerProtocolSubscription(
        topics=sorted(subscription.topics),
        user_data=subscription.user_data,
        owned_partitions=[
            ConsumerProtocolSubscription.TopicPartition(topic=topic, partitions=sorted(numbers))
            for topic, numbers in sorted(owned.items())
        ],
        generation_id=subscription.generation,
        rack_id=subscription.rack or None,
    )
    return encode(message, version).unwrap()


def decode_subscription(data: bytes, instance: str | None = None) -> Subscription:
    """What another member says; what cannot be read counts as a member that subscribes nothing."""
    result = decode(ConsumerProtocolSubscription, None, data)
    if isinstance(result, Err):
        return Subscription((), instance=instance)
    message = result.value
    return Subscription(
        frozenset(message.topics),
        tuple(TopicPartition(each.topic, number) for each in message.owned_partitions for number in each.partitions),
        message.generation_id,
        message.rack_id,
        instance,
        None if message.user_data is None else bytes(message.user_data),
    )


def as_assignment(share: Iterable[TopicPartition]) -> ConsumerProtocolAssignment:
    return ConsumerProtocolAssignment(
        assigned_partitions=[
            ConsumerProtocolAssignment.TopicPartition(topic=topic, partitions=sorted(numbers))
            for topic, numbers in sorted(by_topic(share).items())
        ]
    )


def encode_share(share: Iterable[TopicPartition], version: int = 3) -> bytes:
    return encode(as_assignment(share), version).unwrap()


def decode_share(data: bytes) -> list[TopicPartition]:
    """The partitions of an assignment; none in empty data, as who was forgotten gets it. ValueError for noise."""
    if not data:
        return []
    result = decode(ConsumerProtocolAssignment, None, data)
    if isinstance(result, Err):
        raise ValueError(str(result.error))
    return [
        TopicPartition(each.topic, number) for each in result.value.assigned_partitions for number in each.partitions
    ]


# The user data of Java's StickyAssignor: an array of topics with their partitions, then the generation (not in its
# first version). Kafka has no schema for it.


def encode_last(share: Iterable[TopicPartition], generation: int) -> bytes:
    topics = sorted(by_topic(share).items())
    parts = [struct.pack(">i", len(topics))]
    for topic, numbers in topics:
        name = topic.encode()
        parts.append(struct.pack(f">h{len(name)}si{len(numbers)}i", len(name), name, len(numbers), *sorted(numbers)))
    return b"".join((*parts, struct.pack(">i", generation)))


def decode_last(data: bytes) -> tuple[tuple[TopicPartition, ...], int]:
    """What a member had, and as of which generation (-1: it does not say); nothing for noise."""
    found: list[TopicPartition] = []
    at = 4
    try:
        for _ in range(struct.unpack_from(">i", data)[0]):
            (length,) = struct.unpack_from(">H", data, at)  # never negative, or noise would lead back and back
            topic = data[at + 2 : at + 2 + length].decode()
            (count,) = struct.unpack_from(">i", data, at + 2 + length)
            at += 6 + length
            found += (TopicPartition(topic, number) for number in struct.unpack_from(f">{count}i", data, at))
            at += 4 * count
        generation = struct.unpack_from(">i", data, at)[0] if at < len(data) else -1
    except (struct.error, UnicodeDecodeError):
        return (), -1
    return tuple(found), generation
