"""Which member of a group reads which partitions: what the leader of a classic group decides.

Members of other clients may be in the same group, so each strategy decides as Java's of that name does, as far as
others can see: its name, the form of its metadata, and that its result is complete and balanced in the same sense.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from kafka._codec import decode, encode
from kafka.protocol import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from kafka.result import Err
from kafka.structs import TopicPartition


class Subscription(NamedTuple):
    """What a member says of itself when it joins."""

    topics: tuple[str, ...]
    owned: tuple[TopicPartition, ...] = ()  # as of `generation`
    generation: int = -1  # -1: not told
    rack: str | None = None
    instance: str | None = None  # group.instance.id
    user_data: bytes | None = None


Members = Mapping[str, Subscription]  # by member id
Sizes = Mapping[str, int]  # partitions of each topic
Shares = dict[str, list[TopicPartition]]  # by member id; everybody has one
Assign = Callable[[Members, Sizes], Shares]


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


def _ordered(members: Members, topic: str | None = None) -> list[str]:
    """Static members by their instance's name, before the others by their id; so a restart changes nothing."""
    wanted = [id for id, member in members.items() if topic is None or topic in member.topics]
    return sorted(wanted, key=lambda id: (members[id].instance is None, members[id].instance or id))


def assign_ranges(members: Members, sizes: Sizes) -> Shares:
    """Of each topic a run of partitions to each member."""
    shares: Shares = {id: [] for id in members}
    for topic in sorted(sizes):
        readers = _ordered(members, topic)
        if not readers:
            continue
        least, more = divmod(sizes[topic], len(readers))
        start = 0
        for index, id in enumerate(readers):
            end = start + least + (index < more)
            shares[id] += [TopicPartition(topic, number) for number in range(start, end)]
            start = end
    return shares


def assign_in_turn(members: Members, sizes: Sizes) -> Shares:
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


def assign_sticky(members: Members, sizes: Sizes) -> Shares:
    """As balanced as can be, with as few moves as that takes."""
    owners = _owners(members, sizes)
    shares: Shares = {id: [] for id in _ordered(members)}
    for partition, id in owners.items():
        shares[id].append(partition)
    readers: dict[str, list[str]] = {topic: _ordered(members, topic) for topic in sorted(sizes)}
    # Those of topics with few readers first: the others can still even out what comes of that.
    for topic in sorted(sizes, key=lambda name: (len(readers[name]), name)):
        for number in range(sizes[topic]):
            partition = TopicPartition(topic, number)
            if readers[topic] and partition not in owners:
                shares[min(readers[topic], key=lambda id: len(shares[id]))].append(partition)
    _level(shares, readers)
    return {id: sorted(share) for id, share in shares.items()}


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


def _level(shares: Shares, readers: Mapping[str, list[str]]) -> None:
    """Move partitions until no member has two more than another one that could read one of them."""
    moved = True
    while moved:
        moved = False
        for giver in sorted(shares, key=lambda id: -len(shares[id])):
            most = len(shares[giver])
            for partition in list(shares[giver]):
                taker = min(readers[partition.topic], key=lambda id: len(shares[id]))
                if len(shares[taker]) + 1 < most:
                    shares[giver].remove(partition)
                    shares[taker].append(partition)
                    most -= 1
                    moved = True


def assign_cooperatively(members: Members, sizes: Sizes) -> Shares:
    """As `assign_sticky`; but what another member still has is nobody's before that one has given it up."""
    owners = _owners(members, sizes)
    return {
        id: [partition for partition in share if owners.get(partition, id) == id]
        for id, share in assign_sticky(members, sizes).items()
    }


RANGE = Strategy("range", assign_ranges)
ROUND_ROBIN = Strategy("roundrobin", assign_in_turn)
STICKY = Strategy("sticky", assign_sticky)
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
        tuple(message.topics),
        tuple(TopicPartition(each.topic, number) for each in message.owned_partitions for number in each.partitions),
        message.generation_id,
        message.rack_id,
        instance,
        None if message.user_data is None else bytes(message.user_data),
    )


def encode_share(share: Iterable[TopicPartition], version: int = 3) -> bytes:
    message = ConsumerProtocolAssignment(
        assigned_partitions=[
            ConsumerProtocolAssignment.TopicPartition(topic=topic, partitions=sorted(numbers))
            for topic, numbers in sorted(by_topic(share).items())
        ]
    )
    return encode(message, version).unwrap()


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
