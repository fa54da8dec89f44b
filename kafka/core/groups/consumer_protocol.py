"""A member of a group by the consumer protocol (KIP-848): the coordinator assigns, heartbeats are all there is.

Two flows, as with the classic protocol. `_beat` sends heartbeats and notes what the coordinator says: the member's
epoch and, where it has changed, its partitions. `_reconcile` has the reader give up what is not among them any more,
and only then take on what is new; what the reader has given up is acknowledged with the next heartbeat, sent at once.

After anything that goes wrong the next heartbeat says everything: an answer that was lost may have brought partitions,
and the coordinator says those only once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from kafka.core.backoff import Random
from kafka.core.cluster.call import Answer
from kafka.core.cluster.routes import ANY
from kafka.core.cluster.snapshot import NO_ID, Snapshot
from kafka.core.flows import Signal, first, pause
from kafka.core.groups.membership import Goodbye, Member
from kafka.core.groups.offsets import Membership
from kafka.core.groups.states import MemberEvent, MemberState
from kafka.errors import KafkaError, UnsupportedVersionError
from kafka.protocol import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    MetadataRequest,
)
from kafka.protocol.codes import Code
from kafka.result import Err, Result
from kafka.structs import TopicPartition

Place = tuple[bytes, int]  # topic id, partition
_JOINS, _LEAVES, _PAUSES = 0, -1, -2  # member epochs that say so; who pauses keeps its partitions for a session
# The coordinator does not know it (any more), or not in this epoch: it joins again, by the same id.
_EXPELLED = frozenset((Code.UNKNOWN_MEMBER_ID, Code.FENCED_MEMBER_EPOCH))
_FIRST_INTERVAL = 5.0  # seconds between heartbeats until the coordinator has said it
_HEX = "0123456789abcdef"
_SESSIONS = 2  # that somebody waits for the session of a namesake to end
_PATTERNS = 1  # the first version in which the coordinator matches patterns
_Said = tuple[frozenset[str], str, frozenset[Place]]  # topics, a pattern of them, what it has
_NOTHING: _Said = (frozenset(), "", frozenset())


class ConsumerMember(Member):
    """`Member`, by the newer protocol; by the classic one, where the brokers do not have that."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.is_classic = False  # the brokers know no other protocol
        self._own_id = _new_id(self._services.random)  # for as long as this member lives (KIP-1082)
        self._target: frozenset[Place] | None = None  # what the coordinator wants it to have; None: it did not say
        self._held: dict[Place, TopicPartition] = {}  # what it has
        self._names: dict[bytes, str] = {}  # of topics that the coordinator has named by their ids
        self._is_asking = False  # for names
        self._pattern = ""  # of topics, for the coordinator to match; "": these are subscribed by their names
        self._said: _Said | None = None  # what the coordinator knows of it; None: that is not known
        self._saying: _Said = _NOTHING  # with the heartbeat under way
        self._is_heard = False  # the coordinator has answered the last one that said what the member has
        self._interval = _FIRST_INTERVAL
        self._failures = 0  # heartbeats in a row
        self._expulsions = 0  # the same, of lives
        self._unreleased_since: float | None = None  # since when another member has its instance's name
        self._speaks = Signal()  # there is something to say

    @property
    def _leaves_if_static(self) -> bool:
        return not self.is_classic  # by a word that keeps its partitions for it

    def renewed(self, partitions: Collection[TopicPartition]) -> Membership | None:
        is_member = self.generation >= 0 and not self._expelled
        return self.membership if is_member and self.owned.issuperset(partitions) else None

    @property
    def asks_as(self) -> Membership:
        return Membership() if self.is_classic else self.membership

    def _goodbye(self, reason: str, for_good: bool = False) -> Goodbye:
        if self.is_classic:
            return super()._goodbye(reason, for_good)
        config = self.config
        request = ConsumerGroupHeartbeatRequest(
            group_id=config.group,
            member_id=self.id,
            member_epoch=_LEAVES if for_good or config.instance is None else _PAUSES,
            instance_id=config.instance,
        )
        return ConsumerGroupHeartbeatRequest, lambda version: request

    def on_metadata(self, snapshot: Snapshot, now: float) -> None:
        super().on_metadata(snapshot, now)
        if self._target is not None and len(self._held) < len(self._target):
            self._disturbed.happens(now)  # it may name a topic

    def _rejoin(self, now: float) -> None:
        if self.is_classic:
            super()._rejoin(now)
        else:
            self._speaks.happens(now)

    def _forget(self) -> None:
        super()._forget()
        self.id = "" if self.is_classic else self._own_id
        self._target = self._said = None
        self._held = {}

    # -- what the consumer asks, on the driver's thread ----------------------------------------------------------------

    def subscribe(self, topics: Collection[str], now: float, pattern: str = "") -> None:
        """Read these, or what the coordinator finds by a pattern: a regular expression of RE2, for whole names."""
        is_other, self._pattern = pattern != self._pattern, pattern
        if pattern and self.is_classic and self._belonging is not None:
            self._refuse(self._matches_nothing(), now)
            return
        super().subscribe(topics, now)
        if is_other:
            self._speaks.happens(now)

    def _matches_nothing(self) -> UnsupportedVersionError:
        return UnsupportedVersionError(
            f"The brokers of group {self.config.group!r} cannot match SubscriptionPattern({self._pattern!r}): Kafka 4.0"
            " and newer can, with the consumer group protocol (KIP-848) enabled. A pattern that is a str is matched by"
            " the consumer, with any broker."
        )

    def _refuse(self, error: KafkaError, now: float) -> None:
        """It cannot go on as a member, and leaves."""
        self._part("its subscription cannot be", now)
        self._refusal, self._expelled = error, True
        self._disturbed.happens(now)

    # -- the conversation ----------------------------------------------------------------------------------------------

    async def _belong(self, now: float) -> KafkaError | None:
        while not self.is_classic:
            self._forget()
            self.handle(MemberEvent.JOIN)
            self._start_beating(now)
            now = await self._reconcile(now)
            now = await self._lose(now)
            if self._refusal is not None:
                return self._refusal
            if self._expulsions > 1:  # one after the other
                delay = min(1.0, 0.1 * 2 ** min(self._expulsions, 4))
                _, now = await pause(self._services.timers, delay)
        if self._pattern:
            return self._matches_nothing()
        self._services.notice(
            "warning",
            f"The brokers do not have the consumer group protocol (KIP-848): group {self.config.group!r} uses the"
            " classic one, with this consumer's partition_assignment_strategy. Leave group_protocol out, or have it"
            " enabled on the brokers.",
        )
        return await super()._belong(now)

    async def _reconcile(self, now: float) -> float:
        """Until it is no member any more, have the reader give up and take on partitions."""
        while not self._expelled:
            if self._target is None:
                _, now = await self._disturbed.wait()
                continue
            wanted = self._named(self._target, now)
            gone = [place for place in self._held if place not in self._target]
            added = [place for place in wanted if place not in self._held]
            if gone or added or len(wanted) < len(self._target):  # what has no name yet is to come
                self.handle(MemberEvent.TARGET)
            if gone:
                now = await self._hand_over(revoked=[self._held[place] for place in gone])
                for place in gone:
                    del self._held[place]
                self._speaks.happens(now)  # others wait for that
            elif added and not self._is_heard:
                # It may just be hearing that the member does not have them, and think of others to give them to.
                _, now = await self._disturbed.wait()
            elif added:
                partitions = [wanted[place] for place in added]
                self._held.update(zip(added, partitions, strict=True))
                self.owned |= set(partitions)
                now = await self._hand_over(assigned=partitions)
                self._speaks.happens(now)
            else:
                if len(wanted) == len(self._target) and self.state is not MemberState.STABLE:
                    self.handle(MemberEvent.SYNCED)
                _, now = await self._disturbed.wait()
        return now

    def _named(self, target: Collection[Place], now: float) -> Mapping[Place, TopicPartition]:
        """These by their topics' names, as far as those are known; asks for the others."""
        unknown = {id for id, _ in target if id not in self._names}
        if unknown:
            for topic in self._services.metadata.snapshot.topics.values():
                if topic.id in unknown:
                    self._names[topic.id] = topic.name
                    unknown.discard(topic.id)
        if unknown and not self._is_asking:
            self._ask_names(unknown, now)
        return {(id, number): TopicPartition(self._names[id], number) for id, number in target if id in self._names}

    def _ask_names(self, ids: Collection[bytes], now: float) -> None:
        """Of topics that nobody here has heard of: a pattern has found them, or they are newer than the metadata."""

        def build(version: int) -> MetadataRequest:
            topics = [MetadataRequest.MetadataRequestTopic(topic_id=id, name=None) for id in ids]
            return MetadataRequest(topics=topics, allow_auto_topic_creation=False)

        def answered(result: Result[Any, KafkaError], now: float) -> None:
            known = () if isinstance(result, Err) else [each for each in result.value.topics if each.name]
            self._names.update((each.topic_id, each.name) for each in known if each.topic_id != NO_ID)
            if known:
                again(now)
            else:  # the broker may be behind
                self._services.timers.at(now + self._services.config.retry_backoff_max, again)

        def again(now: float) -> None:
            self._is_asking = False
            self._disturbed.happens(now)

        self._is_asking = True
        self._services.calls.request(ANY, MetadataRequest, build, answered, now, self._services.config.request_timeout)

    # -- heartbeats ----------------------------------------------------------------------------------------------------

    async def _beat(self, now: float) -> None:
        if self.is_classic:
            return await super()._beat(now)
        config, services = self.config, self._services
        while True:
            left = self._polled(now) + config.rebalance_timeout - now
            if left < 0:
                self._give_way(now)
                return None
            result: Result[Answer, KafkaError]
            asked = now
            result, now = await services.calls.ask(
                self._route, ConsumerGroupHeartbeatRequest, self._heartbeat, services.config.request_timeout, once=True
            )
            if isinstance(result, Err):
                self._said = None
                self._failures += 1
                if not self._goes_on(result.error, asked, now):
                    self._expelled = True
                    self._disturbed.happens(now)
                    return None
                wait = min(1.0, 0.1 * 2 ** min(self._failures, 4))
                _, now = await pause(services.timers, wait)
                continue
            self._heard(result.value.response, now)
            if self._pattern and result.value.version < _PATTERNS:
                self._refuse(self._matches_nothing(), now)
                return None
            if self._said == self._state():
                left = self._polled(now) + config.rebalance_timeout - now
                wait = min(self._interval, max(0.0, left) + 0.001)
                _, now = await first(self._speaks.wait(), pause(services.timers, wait))

    def _state(self) -> _Said:
        """What the coordinator is to know."""
        return self._topics, self._pattern, frozenset(self._held)

    def _heartbeat(self, version: int) -> ConsumerGroupHeartbeatRequest:
        """With what has changed since the last one that was answered; or with everything."""
        if self.state is MemberState.CLOSED:  # it has left while this waited for a broker, and is not to join again
            request: ConsumerGroupHeartbeatRequest = self._goodbye("")[1](version)
            return request
        config = self.config
        self._saying = topics, pattern, held = self._state()
        self._joined_with = topics
        said_topics, said_pattern, said_held = self._said or (None, None, None)
        says_all = self._said is None
        self._is_heard &= held == said_held
        by_topic: dict[bytes, list[int]] = {}
        for id, number in sorted(held):
            by_topic.setdefault(id, []).append(number)
        return ConsumerGroupHeartbeatRequest(
            group_id=config.group,
            member_id=self.id,
            member_epoch=max(_JOINS, self.generation),
            instance_id=config.instance,
            rack_id=config.rack if says_all else None,
            rebalance_timeout_ms=round(config.rebalance_timeout * 1000) if says_all else -1,
            subscribed_topic_names=sorted(topics) if topics != said_topics else None,
            # "" takes one back that the coordinator has, or may have.
            subscribed_topic_regex=pattern if version >= _PATTERNS and pattern != said_pattern else None,
            server_assignor=config.assignor if says_all else None,
            topic_partitions=[
                ConsumerGroupHeartbeatRequest.TopicPartitions(topic_id=id, partitions=numbers)
                for id, numbers in by_topic.items()
            ]
            if held != said_held
            else None,
        )

    def _heard(self, response: ConsumerGroupHeartbeatResponse, now: float) -> None:
        self._failures = 0
        self._unreleased_since = None
        if self.generation >= 0:
            self._expulsions = 0  # it was known when it came back
        self._said = self._saying
        self.generation = response.member_epoch  # also where nothing else has changed
        self._interval = max(0.1, response.heartbeat_interval_ms / 1000)
        if response.assignment is not None:
            self._target = frozenset(
                (topic.topic_id, number)
                for topic in response.assignment.topic_partitions
                for number in topic.partitions
            )
        if response.assignment is not None or not self._is_heard:
            self._is_heard = True
            self._disturbed.happens(now)

    def _goes_on(self, error: KafkaError, asked: float, now: float) -> bool:
        """Whether it still is a member (or may become one) after a heartbeat that failed. `asked` is when it was sent:
        the process may have been stopped since.
        """
        code = error.errno
        joins = self.generation < 0
        if code == Code.UNSUPPORTED_VERSION:
            self.is_classic = True
            return False
        if code in _EXPELLED or (code == Code.GROUP_ID_NOT_FOUND and not joins):
            self._expulsions += 1
            if joins:  # from before Kafka 4.2: a member that is known must leave before it can join again
                self._part("rejoins", now)
            return False
        if code == Code.UNRELEASED_INSTANCE_ID:
            if self._unreleased_since is None:
                self._unreleased_since = now
                self._services.notice(
                    "warning",
                    f"Group {self.config.group!r} has a member with group_instance_id {self.config.instance!r}: it has"
                    " not left, or its session has not ended yet. Waiting for that.",
                )
            if asked - self._unreleased_since < _SESSIONS * self.config.session_timeout:
                return True
        elif error.retriable:
            return True
        self._unreleased_since = None  # it may subscribe again
        self._refusal = error
        return False


def _new_id(random: Random) -> str:
    """A random UUID (version 4), as text."""
    digits = [_HEX[random.randrange(16)] for _ in range(32)]
    digits[12], digits[16] = "4", _HEX[8 + random.randrange(4)]
    text = "".join(digits)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
