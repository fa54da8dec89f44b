"""A member of a group by the classic protocol: it joins, beats, gives up and gets partitions, and leaves.

Two flows. `_belong` is the conversation: join, sync, hand over, stay until the group rebalances, again. `_beat` says
that the member is there, at its own pace, while it is one: also while the reader is busy giving up partitions. What the
reader has to do (run its listener, commit) is a `Change`, which it answers in its own thread when it polls.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

from kafka.core.cluster.call import Answer
from kafka.core.cluster.routes import GROUP, Coordinator
from kafka.core.cluster.snapshot import Snapshot
from kafka.core.flows import Signal, Task, Wish, first, pause
from kafka.core.groups.assignors import (
    NO_RACKS,
    Members,
    Racks,
    Shares,
    Strategy,
    Subscription,
    decode_share,
    decode_subscription,
    encode_last,
    encode_share,
    encode_subscription,
)
from kafka.core.groups.offsets import Membership
from kafka.core.groups.states import TRANSITIONS, MemberEvent, MemberState
from kafka.core.net.lanes import Lane
from kafka.core.net.node import Node
from kafka.core.parts import Services
from kafka.errors import AssignorError, InconsistentGroupProtocolError, KafkaError
from kafka.protocol import (
    DescribeGroupsRequest,
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    SyncGroupRequest,
)
from kafka.protocol.codes import Code
from kafka.result import Err, Ok, Result
from kafka.structs import TopicPartition

PROTOCOL_TYPE = "consumer"
# Why a member is none any more; it joins as a new one.
_EXPELLED = frozenset((Code.UNKNOWN_MEMBER_ID, Code.ILLEGAL_GENERATION))
Goodbye = tuple[type[Any], Callable[[int], Any]]  # a request, and what makes it for a version
_HELD = 5.0  # seconds that an answer which waits for all members may take beyond the rebalance timeout


class GroupConfig(NamedTuple):
    group: str
    instance: str | None = None
    session_timeout: float = 45.0
    rebalance_timeout: float = 300.0  # max.poll.interval
    heartbeat_interval: float = 3.0
    rack: str | None = None
    assignor: str | None = None  # of the coordinator, in the consumer protocol; None: its default


class Change:
    """What the reader has to do: these partitions are revoked, lost, or assigned (besides those it keeps)."""

    __slots__ = ("_answer", "assigned", "is_done", "lost", "revoked")

    def __init__(
        self,
        answer: Callable[[None, float], None],
        *,
        revoked: Collection[TopicPartition] = (),
        lost: Collection[TopicPartition] = (),
        assigned: Collection[TopicPartition] | None = None,
    ) -> None:
        self.revoked = tuple(revoked)
        self.lost = tuple(lost)
        self.assigned = None if assigned is None else tuple(assigned)
        self.is_done = False
        self._answer = answer

    def done(self, now: float) -> None:
        """The reader has done it; to be called on the driver's thread."""
        if not self.is_done:
            self.is_done = True
            self._answer(None, now)


def _failed(strategy: Strategy, error: Exception) -> AssignorError:
    what = error if isinstance(error, AssignorError) else f"it raised {type(error).__name__}: {error}"
    failed = AssignorError(f"The assignor {strategy.name!r} failed: {what}")
    failed.__cause__ = error
    return failed


def _is_loading(node: Node, response: Any, now: float) -> KafkaError | None:
    """The error of a coordinator that does not know its groups yet."""
    errors = (error for _, error in response.errors())
    return next((error for error in errors if error.errno == Code.COORDINATOR_LOAD_IN_PROGRESS), None)


class Member:
    """`changes` is for the reader, who is told with `tell`; `polled` gives when it last asked for records."""

    def __init__(
        self,
        services: Services,
        config: GroupConfig,
        strategies: Sequence[Strategy],
        tell: Callable[[], None],
        polled: Callable[[float], float],
    ) -> None:
        self.config = config
        self.state = MemberState.UNJOINED
        self.id = ""
        self.generation = -1
        self.owned: frozenset[TopicPartition] = frozenset()
        self.changes: deque[Change] = deque()
        self.error: KafkaError | None = None  # why it is FATAL
        self.strategy: Strategy | None = None  # that the group has chosen
        self._services = services
        self._strategies = strategies
        self._is_cooperative = all(strategy.is_cooperative for strategy in strategies)
        self._tell = tell
        self._polled = polled
        self._route = Coordinator(GROUP, config.group)
        self._topics: frozenset[str] = frozenset()
        self._joined_with: frozenset[str] = frozenset()
        # The sizes of topics that the last assignment was made with, and where their replicas were; where we led.
        self._seen: dict[str, int] = {}
        self._seen_racks: Racks = NO_RACKS
        self._broker_racks: dict[int, str] = {}  # also of those that are down
        self._belonging: Task[KafkaError | None] | None = None
        self._beating: Task[None] | None = None
        self._disturbed = Signal()  # something has happened while it stays
        self._rebalances = False  # it has to join again
        self._expelled = False  # it is no member any more
        self._is_asleep = False  # nobody polls; it joins again when somebody does
        self._refusal: KafkaError | None = None  # nor will it be one: why
        self._news = Signal()  # there is newer metadata
        self._last: frozenset[TopicPartition] = frozenset()  # what it was given last, whether it still has that or not
        self._last_generation = -1

    @property
    def membership(self) -> Membership:
        """For commits."""
        return Membership(self.id, self.generation, self.config.instance)

    def renewed(self, partitions: Collection[TopicPartition]) -> Membership | None:
        """For a commit that came from a former epoch, where these are still its own; a generation has no successor."""
        return None

    @property
    def asks_as(self) -> Membership:
        """For reading committed offsets: the coordinator checks members of the consumer protocol only."""
        return Membership()

    @property
    def _leaves_if_static(self) -> bool:
        """Whether the coordinator is told when a static member closes."""
        return False

    def next_change(self) -> Change | None:
        """For the reader, in its thread; the driver's may be throwing them away, as the member stops."""
        try:
            return self.changes.popleft()
        except IndexError:
            return None

    def handle(self, event: MemberEvent) -> None:
        self.state = TRANSITIONS[self.state][event]

    # -- what the consumer asks, on the driver's thread ----------------------------------------------------------------

    def subscribe(self, topics: Collection[str], now: float) -> None:
        """Read these; joins the group, also where it was refused, or joins again where they are others than before."""
        self._topics = frozenset(topics)
        for topic in topics:
            self._services.metadata.want(topic, now)
        if self._belonging is None:
            if self.state in (MemberState.CLOSED, MemberState.FATAL):
                self.state = MemberState.UNJOINED
            self.error = self._refusal = None
            self._belonging = Task(self._belong(now), self._ended)
            self._belonging.start(now)
        elif self._topics != self._joined_with:
            self._rejoin(now)

    def leave(self, reason: str, now: float, timeout: float = 5.0) -> Wish[None]:
        """Be no member any more; a static one only stops, so that it may come back within its session."""
        self._stop()
        is_member = bool(self.id) and self.state not in (MemberState.UNJOINED, MemberState.FATAL, MemberState.CLOSED)
        message, build = self._goodbye(reason)
        if self.state is not MemberState.CLOSED:
            self.handle(MemberEvent.CLOSE)
        self._forget()
        self.owned = frozenset()

        def start(resume: Callable[[None, float], None], now: float) -> None:
            if not is_member or (self.config.instance is not None and not self._leaves_if_static):
                resume(None, now)
                return
            self._services.calls.request(
                self._route, message, build, lambda result, now: resume(None, now), now, timeout
            )

        return Wish(start)

    def _part(self, reason: str, now: float) -> None:
        """Leave without waiting for the answer; a static one, too, which nobody is to wait for."""
        message, build = self._goodbye(reason, for_good=True)
        timeout = self._services.config.request_timeout
        self._services.calls.request(self._route, message, build, lambda result, now: None, now, timeout)

    def _goodbye(self, reason: str, for_good: bool = False) -> Goodbye:
        """`for_good`: also of a static member, whose partitions are not to wait for it."""
        return LeaveGroupRequest, partial(self._leave_request, self.membership, reason)

    def _leave_request(self, member: Membership, reason: str, version: int) -> LeaveGroupRequest:
        identity = LeaveGroupRequest.MemberIdentity(
            member_id=member.member_id, group_instance_id=member.instance, reason=reason
        )
        return LeaveGroupRequest(
            group_id=self.config.group,
            member_id=member.member_id if version < 3 else "",
            members=[identity] if version >= 3 else [],
        )

    def _stop(self) -> None:
        for task in (self._belonging, self._beating):
            if task is not None:
                task.cancel()
        self._belonging = self._beating = None
        self.changes.clear()

    # -- what the core tells -------------------------------------------------------------------------------------------

    lane = Lane.GROUP

    def on_room(self, node_id: int, now: float) -> None:
        """Its requests are calls, which find their broker by themselves."""

    def on_node_down(self, node_id: int, error: KafkaError, now: float) -> None:
        """The same."""

    def tick(self, now: float) -> None:
        """Its flows have timers."""

    def next_deadline(self) -> float:
        return float("inf")

    def close(self, error: KafkaError, now: float) -> None:
        self._stop()

    def on_metadata(self, snapshot: Snapshot, now: float) -> None:
        """Partitions may have been added, of which only the leader's assignment can make something."""
        self._news.happens(now)
        if self.state is MemberState.STABLE:
            self._compare(now)

    def _compare(self, now: float) -> None:
        """What there is by now with what the last assignment was made with, where we led."""
        if self._seen:
            has_moved = self.config.rack is not None and self._seen_racks != self._racks(self._seen)
            if has_moved or self._seen != self._known(self._seen):
                self._rejoin(now)

    def uses(self, topic: str) -> bool:
        return topic in self._topics or topic in self._seen

    def _rejoin(self, now: float) -> None:
        self._rebalances = True
        self._disturbed.happens(now)

    def _known(self, topics: Collection[str]) -> dict[str, int]:
        """How many partitions they have; 0 of what does not exist, which may be so for ever."""
        snapshot = self._services.metadata.snapshot
        return {topic: snapshot.partitions(topic) for topic in topics}

    def _racks(self, topics: Collection[str]) -> Racks:
        """Where the replicas are, in sync or not: a broker that is down will be back."""
        snapshot = self._services.metadata.snapshot
        self._broker_racks.update((each.id, each.rack) for each in snapshot.brokers.values() if each.rack)
        if not self._broker_racks:
            return NO_RACKS
        return {
            TopicPartition(topic, partition.id): frozenset(
                self._broker_racks[id] for id in partition.replicas if id in self._broker_racks
            )
            for topic in topics
            if topic in snapshot.topics
            for partition in snapshot.topics[topic].partitions
        }

    # -- the conversation ----------------------------------------------------------------------------------------------

    def _ended(self, error: KafkaError | None, now: float) -> None:
        self._belonging = None
        if error is not None:
            self.error = error
            self.handle(MemberEvent.REFUSED)
            self._tell()

    async def _belong(self, now: float) -> KafkaError | None:
        """Until it is cancelled, or will never be a member: why."""
        failures = 0
        while True:
            if self.owned and not self._is_cooperative:
                now = await self._hand_over(revoked=self.owned)
            if self._expelled:  # while the reader was giving up its partitions
                now = await self._lose(now)
            if self._refusal is not None:
                return self._refusal
            self.handle(MemberEvent.JOIN)
            self._rebalances = False
            result, now = await self._join_and_sync(now)
            if isinstance(result, Err):
                error = result.error
                if error.errno in _EXPELLED:
                    now = await self._lose(now)
                    continue
                if not (error.retriable or error.errno == Code.REBALANCE_IN_PROGRESS):
                    if isinstance(error, AssignorError) and self.id:  # the others are not to wait for it
                        self._part("its assignor failed", now)
                    await self._lose(now)
                    return error
                failures += 1
                # Whoever hears that others are joining joins, too, and waits with them. Among members of the newer
                # protocol nobody waits, and it may hear that again and again: so it takes its time.
                if failures > 1 or error.errno != Code.REBALANCE_IN_PROGRESS:
                    _, now = await pause(self._services.timers, min(1.0, 0.1 * 2 ** min(failures, 4)))
                continue
            failures = 0
            self._last, self._last_generation = frozenset(result.value), self.generation
            self.handle(MemberEvent.SYNCED)
            self._compare(now)  # with what came while the group waited for the assignment
            self._start_beating(now)
            now = await self._adopt(self._last, now)
            now = await self._stay(now)

    async def _stay(self, now: float) -> float:
        while not (self._rebalances or self._expelled):
            _, now = await self._disturbed.wait()
        if self._expelled:
            return await self._lose(now)
        self.handle(MemberEvent.REBALANCE)
        return now

    async def _adopt(self, share: frozenset[TopicPartition], now: float) -> float:
        revoked, added = self.owned - share, share - self.owned
        if revoked:
            await self._hand_over(revoked=revoked)
            if self._is_cooperative:
                self._rebalances = True  # so that those who are to have them get them
        self.owned = share
        return await self._hand_over(assigned=added)

    async def _lose(self, now: float) -> float:
        """It is no member any more: what it had may be others' by now."""
        self._expelled = False
        self._rebalances = False
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None
        self.handle(MemberEvent.LOST)
        self._forget()
        if self.owned or self._is_asleep:
            self._is_asleep = False
            now = await self._hand_over(lost=self.owned)
        return now

    def _forget(self) -> None:
        self.id, self.generation = "", -1
        self._seen = {}

    async def _hand_over(
        self,
        *,
        revoked: Collection[TopicPartition] = (),
        lost: Collection[TopicPartition] = (),
        assigned: Collection[TopicPartition] | None = None,
    ) -> float:
        """Have the reader do this when it polls; waits for that."""

        def start(resume: Callable[[None, float], None], now: float) -> None:
            self.changes.append(Change(resume, revoked=revoked, lost=lost, assigned=assigned))
            self._tell()

        _, now = await Wish(start)
        self.owned -= {*revoked, *lost}
        return now

    async def _join_and_sync(self, now: float) -> tuple[Result[list[TopicPartition], KafkaError], float]:
        """What this member is to read."""
        joined, now = await self._join(now)
        if isinstance(joined, Err):
            return joined, now
        return await self._sync(joined.value, now)

    async def _join(self, now: float) -> tuple[Result[JoinGroupResponse, KafkaError], float]:
        """Waits until all members have joined."""
        if self._beating is not None:  # a member that joins is there
            self._beating.cancel()
            self._beating = None
        config = self.config
        held = config.rebalance_timeout + _HELD
        while True:
            user_data: dict[str, bytes | None] = {}
            for strategy in self._strategies:
                if strategy.says_last:
                    user_data[strategy.name] = encode_last(self._last, self._last_generation)
                elif strategy.user_data is not None:
                    try:
                        user_data[strategy.name] = strategy.user_data(self._topics)
                    except Exception as error:
                        return Err(_failed(strategy, error)), now
            self._joined_with = self._topics
            subscription = Subscription(
                self._topics,
                tuple(sorted(self.owned)),
                self.generation if self.owned else -1,
                config.rack,
            )
            request = JoinGroupRequest(
                group_id=config.group,
                session_timeout_ms=round(config.session_timeout * 1000),
                rebalance_timeout_ms=round(config.rebalance_timeout * 1000),
                member_id=self.id,
                group_instance_id=config.instance,
                protocol_type=PROTOCOL_TYPE,
                protocols=[
                    JoinGroupRequest.JoinGroupRequestProtocol(
                        name=strategy.name,
                        metadata=encode_subscription(
                            subscription._replace(user_data=user_data.get(strategy.name)), strategy.version
                        ),
                    )
                    for strategy in self._strategies
                ],
            )
            result: Result[Answer, KafkaError]
            result, now = await self._services.calls.ask(
                self._route,
                JoinGroupRequest,
                lambda version, request=request: request,  # type: ignore[misc]
                held + self._services.config.request_timeout,
                once=True,
                takes=(Code.MEMBER_ID_REQUIRED,),
                lane=Lane.GROUP,
                answer_within=held + self._services.config.request_timeout,
            )
            if isinstance(result, Err):
                return result, now
            response = result.value.response
            self.id = response.member_id
            if response.error_code != Code.MEMBER_ID_REQUIRED:
                self.generation = response.generation_id
                return Ok(response), now

    async def _sync(
        self, joined: JoinGroupResponse, now: float
    ) -> tuple[Result[list[TopicPartition], KafkaError], float]:
        """Waits for what the leader assigns; if that is this member, says it."""
        name = joined.protocol_name or ""
        self.strategy = next((each for each in self._strategies if each.name == name), None)
        if self.strategy is None:
            return Err(InconsistentGroupProtocolError(f"The group has chosen {name!r}, which was not offered.")), now
        shares: Shares = {}
        self._seen = {}
        if joined.leader == self.id:
            members, now = await self._look_after(joined, now)
            if not joined.skip_assignment:
                assigned = self._assign(self.strategy, members)
                if isinstance(assigned, Err):
                    return assigned, now
                shares = assigned.value
        request = SyncGroupRequest(
            group_id=self.config.group,
            generation_id=self.generation,
            member_id=self.id,
            group_instance_id=self.config.instance,
            protocol_type=PROTOCOL_TYPE,
            protocol_name=name,
            assignments=[
                SyncGroupRequest.SyncGroupRequestAssignment(
                    member_id=id, assignment=encode_share(share, self.strategy.version)
                )
                for id, share in shares.items()
            ],
        )
        held = self.config.rebalance_timeout + _HELD + self._services.config.request_timeout
        result: Result[Answer, KafkaError]
        result, now = await self._services.calls.ask(
            self._route, SyncGroupRequest, lambda version: request, held, once=True, lane=Lane.GROUP, answer_within=held
        )
        if isinstance(result, Err):
            return result, now
        try:
            share = decode_share(bytes(result.value.response.assignment))
        except ValueError as error:
            return Err(InconsistentGroupProtocolError(f"The leader's assignment cannot be read: {error}")), now
        if self.strategy.told is not None:
            try:
                self.strategy.told(share, self.generation)
            except Exception as error:
                return Err(_failed(self.strategy, error)), now
        if joined.leader == self.id and joined.skip_assignment:
            self._recall(now)
        return Ok(share), now

    async def _look_after(self, joined: JoinGroupResponse, now: float) -> tuple[Members, float]:
        """As its leader this member also looks after topics that others read; also where it has come back, static, and
        has nothing to assign (KIP-814).
        """
        members = {
            each.member_id: decode_subscription(bytes(each.metadata), each.group_instance_id) for each in joined.members
        }
        topics = {topic for member in members.values() for topic in member.topics}
        for topic in topics:
            self._services.metadata.want(topic, now)
        deadline = now + self._services.config.request_timeout
        while now < deadline and any(self._is_unclear(topic) for topic in topics):
            _, now = await first(self._news.wait(), pause(self._services.timers, deadline - now))
        self._seen = self._known(topics)
        self._seen_racks = self._racks(topics)
        return members, now

    def _recall(self, now: float) -> None:
        """Ask what its former self has given out: it may not have heard of the newest partitions before it ended."""
        former = self.membership

        def answered(result: Result[Any, KafkaError], now: float) -> None:
            if isinstance(result, Err) or former != self.membership or self.state is not MemberState.STABLE:
                return
            stable = [group for group in result.value.groups if group.group_state == "Stable"]
            if not stable:  # it joins again anyway
                return
            try:
                shares = [decode_share(bytes(each.member_assignment)) for each in stable[0].members]
            except ValueError:
                return
            given = Counter(tp.topic for tp in {tp for share in shares for tp in share})
            # Metadata that has fewer is older than what was given out: it has to come to that yet.
            self._seen = {topic: min(size, given[topic]) for topic, size in self._seen.items()}
            self._compare(now)

        request = DescribeGroupsRequest(groups=[self.config.group])
        # For as long as it may stay a member unheard.
        timeout = self.config.session_timeout + self._services.config.request_timeout
        self._services.calls.request(
            self._route, DescribeGroupsRequest, lambda version: request, answered, now, timeout,
            refuse=_is_loading, lane=Lane.GROUP,
        )  # fmt: skip

    def _assign(self, strategy: Strategy, members: Members) -> Result[Shares, KafkaError]:
        """What everybody gets."""
        sizes = {topic: size for topic, size in self._seen.items() if size > 0}
        try:
            return Ok(strategy.assign(members, sizes, self._seen_racks))
        except Exception as error:  # of a user's own
            return Err(_failed(strategy, error))

    def _is_unclear(self, topic: str) -> bool:
        """Whether nothing is known of it, not even that it does not exist."""
        known = self._services.metadata.snapshot.topics.get(topic)
        return known is None or (not known.partitions and known.error is None)

    # -- heartbeats ----------------------------------------------------------------------------------------------------

    def _start_beating(self, now: float) -> None:
        self._beating = Task(self._beat(now), lambda result, now: None)
        self._beating.start(now)

    async def _beat(self, now: float) -> None:
        config = self.config
        request = HeartbeatRequest(
            group_id=config.group,
            generation_id=self.generation,
            member_id=self.id,
            group_instance_id=config.instance,
        )
        heard = now
        while True:
            _, now = await pause(self._services.timers, config.heartbeat_interval)
            if now - self._polled(now) > config.rebalance_timeout:
                self._give_way(now)
                return
            left = heard + config.session_timeout - now
            result: Result[Answer, KafkaError]
            result, now = await self._services.calls.ask(
                self._route, HeartbeatRequest, lambda version: request, max(left, 0.001)
            )
            if isinstance(result, Ok):
                heard = now
            elif result.error.errno == Code.REBALANCE_IN_PROGRESS:
                heard = now
                self._rejoin(now)
            elif not result.error.retriable or now >= heard + config.session_timeout:
                # The coordinator says so; or it must have come to that, with no word from it for so long.
                if result.error.errno not in _EXPELLED and not result.error.retriable:
                    self._refusal = result.error
                self._expelled = True
                self._disturbed.happens(now)
                return

    def _give_way(self, now: float) -> None:
        """Nobody has polled for too long: others are to have the partitions, until somebody does."""
        idle = now - self._polled(now)
        self._services.notice(
            "warning",
            f"Consumer {self.id} leaves group {self.config.group!r}: poll() was not called for {idle:.1f} s, which is"
            f" more than max_poll_interval_ms ({self.config.rebalance_timeout * 1000:.0f}). Take fewer records a call"
            " (max_poll_records), or raise max_poll_interval_ms. It joins again with the next poll().",
        )
        self._part("max.poll.interval", now)
        self._is_asleep = self._expelled = True
        self._disturbed.happens(now)
