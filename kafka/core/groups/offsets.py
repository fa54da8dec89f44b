"""How far a group has come: offsets committed to its coordinator, and read back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from kafka.core.cluster.call import Answer
from kafka.core.cluster.routes import GROUP, Coordinator
from kafka.core.flows import pause
from kafka.core.groups.assignors import by_topic
from kafka.core.parts import Services
from kafka.errors import CommitFailedError, KafkaError, KafkaTimeoutError, ProtocolError, for_code
from kafka.protocol import OffsetCommitRequest, OffsetFetchRequest
from kafka.protocol.codes import Code
from kafka.result import Err, Ok, Result
from kafka.structs import OffsetAndMetadata, TopicPartition

# The newest versions that name topics by their names, not their ids.
COMMIT_BY_NAME, FETCH_BY_NAME = 9, 9
_UNKNOWN = 3.0  # seconds after which a coordinator that has never heard of a partition is believed
_AS_MEMBER = 9  # the first version of OffsetFetch that says who asks
_MANY_GROUPS = 8  # the first version of OffsetFetch that may ask for several

# A member's epoch has moved, or it joins again: its next heartbeat tells.
_NOT_NOW = frozenset((Code.STALE_MEMBER_EPOCH, Code.UNKNOWN_MEMBER_ID, Code.FENCED_MEMBER_EPOCH))
# The group has gone on without this member.
_GONE = frozenset((Code.ILLEGAL_GENERATION, Code.UNKNOWN_MEMBER_ID, Code.FENCED_INSTANCE_ID))


class Membership(NamedTuple):
    """Who commits; the defaults are those of somebody who assigns partitions by itself."""

    member_id: str = ""
    generation: int = -1
    instance: str | None = None


class Turn:
    """One commit among those of its consumer; all of this is for the driver's thread."""

    __slots__ = ("_begun", "_number", "_sent", "was_sent")

    def __init__(self, number: int, begun: Mapping[TopicPartition, int], sent: dict[TopicPartition, int]) -> None:
        self.was_sent = False
        self._number = number
        self._begun = begun
        self._sent = sent

    def is_late(self, tp: TopicPartition) -> bool:
        """Whether a later commit has gone ahead, which must not be undone: was sent; after this one was, has begun."""
        last = self._begun if self.was_sent else self._sent
        return last.get(tp, 0) > self._number

    def is_lost(self, tp: TopicPartition) -> bool:
        """Whether it was sent, and its consumer has given up the partition since then."""
        return self.was_sent and tp not in self._begun

    def sends(self, partitions: Collection[TopicPartition]) -> None:
        self.was_sent = True
        self._sent.update(dict.fromkeys(partitions, self._number))


class Commits:
    """The order in which a consumer commits: requests wait for their coordinator, each for as long as it happens to."""

    def __init__(self) -> None:
        self._number = 0
        self._begun: dict[TopicPartition, int] = {}  # the last one of each
        self._sent: dict[TopicPartition, int] = {}  # the same, of those that were sent

    def begin(self, partitions: Collection[TopicPartition]) -> Turn:
        self._number += 1
        self._begun.update(dict.fromkeys(partitions, self._number))
        return Turn(self._number, self._begun, self._sent)

    def forget(self, tp: TopicPartition) -> None:
        """The consumer has it no more."""
        self._begun.pop(tp, None)
        self._sent.pop(tp, None)


async def commit(
    services: Services,
    group: str,
    member: Membership,
    offsets: Mapping[TopicPartition, OffsetAndMetadata],
    now: float,
    timeout: float,
    turn: Turn | None = None,
    renewed: Callable[[Collection[TopicPartition]], Membership | None] = lambda partitions: None,
) -> Result[None, KafkaError]:
    """Commit these; what may pass is tried again for `timeout` seconds, unless a later commit has gone ahead, which
    must not be undone, however long the request waits for a coordinator, or the group has taken the partition away.

    `renewed(partitions)` is who commits once the member's epoch has moved; None where it has lost one of them.
    """
    began, deadline = now, now + timeout
    left = dict(offsets)
    mine = Commits().begin(offsets) if turn is None else turn
    is_member = bool(member.member_id)

    def is_out(tp: TopicPartition) -> bool:
        return mine.is_late(tp) or (is_member and mine.is_lost(tp))

    while left:

        def build(version: int, member: Membership = member) -> OffsetCommitRequest:
            due = {tp: each for tp, each in left.items() if not is_out(tp)}
            mine.sends(due)
            return _commit_request(group, member, due)

        route = Coordinator(GROUP, group)
        result: Result[Answer, KafkaError]
        result, now = await services.calls.ask(
            route, OffsetCommitRequest, build, max(0.0, deadline - now), newest=COMMIT_BY_NAME
        )
        if isinstance(result, Err):
            return result
        error = _wrong(result.value.response, left)
        if error is None:
            return Ok(None) if not left else Err(_left_out(group, left, mine))
        if error.errno == Code.STALE_MEMBER_EPOCH and not all(map(is_out, left)):
            again = renewed(left)  # until the next heartbeat has told us the new epoch, it is the same one
            if again is None:
                return Err(no_member(group))
            member = again
        elif not error.retriable or error.errno == Code.REBALANCE_IN_PROGRESS or all(map(is_out, left)):
            return Err(_told(error, group, member))
        if error.errno == Code.UNKNOWN_TOPIC_OR_PARTITION and now >= began + _UNKNOWN:
            return Err(error)
        if now + services.config.retry_backoff >= deadline:
            return Err(KafkaTimeoutError(f"Offsets of group {group!r} could not be committed in time: {error}"))
        _, now = await pause(services.timers, services.config.retry_backoff)
        if all(map(is_out, left)):
            return Err(error)
    return Ok(None)


def _commit_request(
    group: str, member: Membership, offsets: Mapping[TopicPartition, OffsetAndMetadata]
) -> OffsetCommitRequest:
    return OffsetCommitRequest(
        group_id=group,
        generation_id_or_member_epoch=member.generation,
        member_id=member.member_id,
        group_instance_id=member.instance,
        topics=[
            OffsetCommitRequest.OffsetCommitRequestTopic(
                name=topic,
                partitions=[
                    OffsetCommitRequest.OffsetCommitRequestPartition(
                        partition_index=number,
                        committed_offset=offsets[TopicPartition(topic, number)].offset or 0,
                        committed_leader_epoch=offsets[TopicPartition(topic, number)].leader_epoch,
                        committed_metadata=offsets[TopicPartition(topic, number)].metadata or "",
                    )
                    for number in numbers
                ],
            )
            for topic, numbers in by_topic(offsets).items()
        ],
    )


def _wrong(response: Any, left: dict[TopicPartition, OffsetAndMetadata]) -> KafkaError | None:
    """The worst that was said of a partition; those that were stored are taken out of `left`."""
    worst: KafkaError | None = None
    for topic in response.topics:
        for entry in topic.partitions:
            error = for_code(entry.error_code)
            if error is None:
                left.pop(TopicPartition(topic.name, entry.partition_index), None)
            elif worst is None or worst.retriable:
                worst = error.about(f"{topic.name}[{entry.partition_index}]")
    return worst


def _left_out(group: str, left: Collection[TopicPartition], turn: Turn) -> KafkaError:
    """Nothing is wrong, but these were not committed."""
    for tp in left:
        if turn.is_late(tp) or turn.is_lost(tp):
            why = (
                "a later commit of this consumer has overtaken it, and must not be undone"
                if turn.is_late(tp)
                else "the group has taken the partition from this consumer. What was read since the last commit is"
                " delivered again"
            )
            return CommitFailedError(
                f"The offset of {tp.topic}[{tp.partition}] was not committed for group {group!r}: {why}."
            )
    return ProtocolError(f"The coordinator of group {group!r} does not say whether {next(iter(left))} was committed.")


def _told(error: KafkaError, group: str, member: Membership) -> KafkaError:
    if error.errno not in _GONE:
        return error
    why = getattr(error, "message", error)
    if member.member_id:
        told = no_member(group, f" ({why})")
    else:
        told = CommitFailedError(
            f"The offsets were not committed: group {group!r} has members, which subscribe to topics ({why}). Who"
            " assigns partitions itself commits to a group without members only: use another group_id."
        )
    told.__cause__ = error
    return told


def no_member(group: str, why: str = "") -> CommitFailedError:
    """What who is no member of its group is told when it commits."""
    return CommitFailedError(
        f"The offsets were not committed: group {group!r} has gone on without this consumer"
        f"{why}, and others have its partitions by now. Either poll() was not called"
        " for max_poll_interval_ms, or no heartbeat reached the coordinator for session_timeout_ms. What was read since"
        " the last commit is delivered again."
    )


Committed = dict[TopicPartition, OffsetAndMetadata | None]


async def fetch_committed(
    services: Services,
    group: str,
    partitions: Collection[TopicPartition],
    now: float,
    timeout: float,
    *,
    require_stable: bool = True,
    asks_as: Callable[[], Membership] = Membership,
) -> Result[Committed, KafkaError]:
    """What was committed for each; None for nothing. `require_stable`: transactions under way are waited for.

    `asks_as()` is who asks, which the coordinator checks: it is asked again where it takes that for another's word.
    """
    deadline = now + timeout
    topics = by_topic(partitions)

    def build(version: int) -> OffsetFetchRequest:
        if version < _MANY_GROUPS:
            return OffsetFetchRequest(
                group_id=group,
                topics=[
                    OffsetFetchRequest.OffsetFetchRequestTopic(name=topic, partition_indexes=numbers)
                    for topic, numbers in topics.items()
                ],
                require_stable=require_stable and version >= _STABLE,
            )
        member = asks_as() if version >= _AS_MEMBER else Membership()
        asked = OffsetFetchRequest.OffsetFetchRequestGroup(
            group_id=group,
            member_id=member.member_id if member.generation >= 0 else None,
            member_epoch=member.generation,
            topics=[
                OffsetFetchRequest.OffsetFetchRequestTopics(name=topic, partition_indexes=numbers)
                for topic, numbers in topics.items()
            ],
        )
        return OffsetFetchRequest(groups=[asked], require_stable=require_stable)

    if not topics:
        return Ok({})
    while True:
        result: Result[Answer, KafkaError]
        result, now = await services.calls.ask(
            Coordinator(GROUP, group), OffsetFetchRequest, build, max(0.0, deadline - now), newest=FETCH_BY_NAME
        )
        if isinstance(result, Err):
            return result
        response = result.value.response
        answer = response.groups[0] if result.value.version >= _MANY_GROUPS else response
        error, found = _read(answer, partitions)
        if error is None:
            return Ok(found)
        if not error.retriable and error.errno not in _NOT_NOW:
            return Err(error)
        if now + services.config.retry_backoff >= deadline:
            return Err(KafkaTimeoutError(f"The committed offsets of group {group!r} did not come in time: {error}"))
        _, now = await pause(services.timers, services.config.retry_backoff)


_STABLE = 7  # the first version of OffsetFetch that can wait for transactions


def _read(answer: Any, partitions: Collection[TopicPartition]) -> tuple[KafkaError | None, Committed]:
    error = for_code(answer.error_code)
    found: Committed = dict.fromkeys(partitions)
    for topic in answer.topics:
        for entry in topic.partitions:
            error = error or for_code(entry.error_code)
            if entry.committed_offset >= 0:
                found[TopicPartition(topic.name, entry.partition_index)] = OffsetAndMetadata(
                    entry.committed_offset, entry.metadata or "", entry.committed_leader_epoch
                )
    return error, found
