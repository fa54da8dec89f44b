"""Where partitions begin and end, and where in them a time is: ListOffsets, asked of all leaders at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from kafka.core.cluster.call import Answer
from kafka.core.cluster.routes import Leader
from kafka.core.flows import Wish, all_of, pause
from kafka.core.parts import Services
from kafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError, for_code
from kafka.protocol import ListOffsetsRequest
from kafka.result import Err, Ok, Result
from kafka.structs import TopicPartition

# Times that stand for places.
LATEST, EARLIEST, MAX_TIMESTAMP = -1, -2, -3
RETRY = 0.1  # seconds before those are asked about again whose leader has moved


class Found(NamedTuple):
    """`offset` -1: no record is that young. `timestamp` -1: not told. `epoch` -1: unknown."""

    offset: int
    timestamp: int
    epoch: int


Places = dict[TopicPartition, Result[Found, KafkaError]]


async def list_offsets(
    services: Services,
    wanted: Mapping[TopicPartition, int],
    isolation: int,
    now: float,
    timeout: float,
    once: bool = False,
) -> Places:
    """For each partition the offset of the first record at or after a time (ms since 1970), or of a place (above).

    What may pass is tried again for `timeout` seconds; with `once` only what fails before a leader was asked.
    `isolation` 1: the end is where transactions are undecided.
    """
    deadline = now + timeout
    places: Places = {}
    left = dict(wanted)
    while left:
        groups = _by_leader(services, left)
        answers, now = await all_of(
            [_ask(services, group, left, isolation, max(0.0, deadline - now), once) for group in groups]
        )
        for group, answer in zip(groups, answers, strict=True):
            places.update(_read(group, answer))
        left = {tp: left[tp] for tp in left if _may_pass(places.get(tp))}
        if once or (left and now + RETRY >= deadline):
            break
        if left:
            for tp in left:
                services.metadata.refresh(tp.topic, now)
            _, now = await pause(services.timers, RETRY)
    return places


def _may_pass(place: Result[Found, KafkaError] | None) -> bool:
    return isinstance(place, Err) and place.error.retriable and not isinstance(place.error, KafkaTimeoutError)


def _by_leader(services: Services, partitions: Iterable[TopicPartition]) -> list[list[TopicPartition]]:
    """The partitions by leader; those without a known one each for itself."""
    snapshot = services.metadata.snapshot
    groups: dict[Any, list[TopicPartition]] = {}
    for tp in partitions:
        leader = snapshot.leader(tp.topic, tp.partition)
        groups.setdefault(leader if leader >= 0 else tp, []).append(tp)
    return list(groups.values())


def _ask(
    services: Services,
    group: Collection[TopicPartition],
    wanted: Mapping[TopicPartition, int],
    isolation: int,
    timeout: float,
    once: bool,
) -> Wish[Result[Answer, KafkaError]]:
    def build(version: int) -> ListOffsetsRequest:
        topics: dict[str, ListOffsetsRequest.ListOffsetsTopic] = {}
        for tp in group:
            topic = topics.setdefault(tp.topic, ListOffsetsRequest.ListOffsetsTopic(name=tp.topic, partitions=[]))
            entry = ListOffsetsRequest.ListOffsetsPartition(partition_index=tp.partition, timestamp=wanted[tp])
            topic.partitions.append(entry)  # type: ignore[attr-defined]
        return ListOffsetsRequest(
            replica_id=-1, isolation_level=isolation, topics=list(topics.values()), timeout_ms=round(timeout * 1000)
        )

    return services.calls.ask(Leader(*next(iter(group))), ListOffsetsRequest, build, timeout, once=once)


def _read(group: Collection[TopicPartition], answer: Result[Answer, KafkaError]) -> Places:
    if isinstance(answer, Err):
        return dict.fromkeys(group, answer)
    places: Places = {}
    for topic in answer.value.response.topics:
        for entry in topic.partitions:
            error = for_code(entry.error_code)
            found = Found(entry.offset, entry.timestamp, entry.leader_epoch)
            places[TopicPartition(topic.name, entry.partition_index)] = Ok(found) if error is None else Err(error)
    for tp in group:
        if tp not in places:
            places[tp] = Err(
                UnknownTopicOrPartitionError(f"The answer about offsets leaves out {tp.topic}[{tp.partition}].")
            )
    return places
