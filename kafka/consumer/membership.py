"""The methods of a consumer that is in a group: commits, and what it does when partitions come and go.

All of it happens in the thread that reads, inside `poll()`, iteration, `close()` and `unsubscribe()`: so a listener may
commit, seek and ask.
"""

from __future__ import annotations

import threading
import time
import types
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from kafka._codec import ReadPosition
from kafka._log import Log
from kafka.consumer.questions import checked
from kafka.consumer.remains import weakly
from kafka.core.consume.fetch import Fetch
from kafka.core.flows import Task
from kafka.core.groups.membership import Change, Member
from kafka.core.groups.offsets import Commits, Committed, Membership, commit, fetch_committed, no_member
from kafka.core.groups.states import MemberState as State
from kafka.drivers.native import hub
from kafka.errors import IllegalStateError, KafkaError, UnknownTopicOrPartitionError
from kafka.result import Err, Ok, Result
from kafka.structs import ConsumerGroupMetadata, MemberState, OffsetAndMetadata, TopicPartition

if TYPE_CHECKING:
    from kafka.client import Client
    from kafka.consumer.commits import CommitCallback, CommitFuture, Offsets
    from kafka.consumer.config import ConsumerConfig
    from kafka.consumer.patterns import Pattern

    Base = Client
else:
    Base = object

log = Log("kafka.consumer")
FOR_EVER = 1e9
_SHOWN = {
    State.STABLE: MemberState.STABLE,
    State.JOINING: MemberState.REBALANCING,
    State.REVOKING: MemberState.REBALANCING,
    State.RECONCILING: MemberState.REBALANCING,
}


class GroupMethods(Base):
    _checked: ConsumerConfig
    _fetch: Fetch
    _member: Member | None  # None: not subscribed in a group
    _listener: Any
    _positions: dict[TopicPartition, ReadPosition]
    _topics: set[str] | None
    _pattern: Pattern | None
    _match: Callable[[], None]
    attention: bool

    def _init_group(self) -> None:
        self._member = None
        self._listener = None
        # Why it cannot be a member, as raised last; and of which subscription: in the next one they are other objects.
        self._told_refusal: tuple[KafkaError | None, set[str] | None, Pattern | None] = (None, None, None)
        self._commits: deque[CommitFuture] = deque()  # whose callbacks have not run, in order
        self._commit_order = Commits()
        self._commits_quietly = False  # a commit that nobody asked for is under way
        greenlets = hub()
        self._run_callback = (lambda function: function()) if greenlets is None else greenlets.callbacks().run
        self._stored: dict[TopicPartition, int] = {}  # as last committed
        self._next_commit = time.monotonic() + self._checked.auto_commit_interval_ms / 1000

    # -- in the thread that reads -------------------------------------------------------------------------------------

    def _attend(self) -> None:
        """Whatever is due beside reading; raises what a listener or a callback raises."""
        self.attention = False
        self._raise_refusal()
        self._match()
        member = self._member
        if member is not None:
            while (change := member.next_change()) is not None:
                self._carry_out(change)
        self._tell_commits()
        if self._commits_by_itself() and not self._commits_quietly and time.monotonic() >= self._next_commit:
            self._next_commit = time.monotonic() + self._checked.auto_commit_interval_ms / 1000
            self._commit_quietly(self._uncommitted())

    def _raise_refusal(self) -> None:
        """Again and again, until somebody subscribes: whatever the IO thread knows of that by now."""
        error = None if self._member is None else self._member.error
        if error is None:
            return
        told = self._told_refusal
        if error is not told[0] or (self._topics is told[1] and self._pattern is told[2]):
            self._told_refusal = (error, self._topics, self._pattern)
            raise error.fresh()
        if self._topics is told[1]:  # by a pattern, which may match the same ones: they are to be subscribed again
            self._topics = set()

    def _carry_out(self, change: Change) -> None:
        try:
            if change.revoked:
                self._give_up(change.revoked)
            if change.lost:
                self._let_go(change.lost, "on_partitions_lost")
            if change.assigned is not None:
                self._take_on(change.assigned)
        finally:
            self._driver.call(partial(self._carried_out, change))

    def _carried_out(self, change: Change, now: float) -> None:
        tell = self._core.events.rebalanced
        assigned, revoked, lost = (tuple(sorted(each or ())) for each in (change.assigned, change.revoked, change.lost))
        if tell is not None and (assigned or revoked or lost):
            tell(self._group(), assigned, revoked, lost, now)
        change.done(now)

    def _give_up(self, partitions: Collection[TopicPartition]) -> None:
        if self._commits_by_itself():
            self._commit_now(self._uncommitted(partitions), min(self._checked.request_timeout_ms / 1000, 10.0))
        self._let_go(partitions, "on_partitions_revoked")

    def _let_go(self, partitions: Collection[TopicPartition], what: str) -> None:
        try:
            _tell(self._listener, what, partitions)
        finally:
            for tp in partitions:
                self._drop(tp)

    def _take_on(self, partitions: Collection[TopicPartition]) -> None:
        added = [tp for tp in sorted(partitions) if tp not in self._positions]
        for tp in added:
            self._add(tp)
        self._place_committed(added)
        _tell(self._listener, "on_partitions_assigned", partitions)

    def _add(self, tp: TopicPartition) -> ReadPosition:
        position = self._positions[tp] = ReadPosition(tp)
        self._driver.call(partial(self._fetch.add, position))
        return position

    def _drop(self, tp: TopicPartition) -> None:
        position = self._positions.pop(tp, None)
        self._stored.pop(tp, None)
        self._commit_order.forget(tp)
        if position is not None:
            position.move(-1, -1)
            self._driver.call(partial(self._fetch.remove, tp))

    def _place_committed(self, partitions: Collection[TopicPartition]) -> None:
        """Read on where the group was; where nothing was committed, where auto_offset_reset says."""
        positions = {tp: (self._positions[tp], self._positions[tp].generation) for tp in partitions}
        if positions:
            self._driver.call(partial(self._ask_committed, positions))

    # -- on the IO thread ---------------------------------------------------------------------------------------------

    def _ask_committed(self, positions: dict[TopicPartition, tuple[ReadPosition, int]], now: float) -> None:
        group = self._checked.group_id
        assert group is not None
        timeout = self._checked.request_timeout_ms / 1000
        member = self._member
        asks_as = Membership if member is None else lambda: member.asks_as
        flow = fetch_committed(self._core.services, group, positions, now, timeout, asks_as=asks_as)
        Task(flow, partial(self._placed, positions)).start(now)

    def _placed(
        self,
        positions: dict[TopicPartition, tuple[ReadPosition, int]],
        result: Result[Committed, KafkaError],
        now: float,
    ) -> None:
        if isinstance(result, Err):
            for position, generation in positions.values():
                if not result.error.retriable:
                    self._fetch.refuse(position, generation, result.error)
            again = {tp: place for tp, place in positions.items() if place[0].generation == place[1]}
            if again and self._fetch.closed_by is None:
                delay = self._core.config.retry_backoff_max
                self._core.timers.at(now + delay, partial(weakly(self._ask_committed), again))
            return
        for tp, (position, generation) in positions.items():
            found = result.value[tp]
            if found is None:
                self._fetch.look_up(position, generation, None, now)
            elif position.settle(generation, found.offset or 0):
                self._stored[tp] = found.offset or 0
                self._fetch.place(position, generation, found.offset or 0, found.leader_epoch, now)

    # -- commits ------------------------------------------------------------------------------------------------------

    def _commits_by_itself(self) -> bool:
        return self._checked.enable_auto_commit and self._checked.group_id is not None and bool(self._positions)

    def _uncommitted(
        self, partitions: Collection[TopicPartition] | None = None
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """How far these (all that are read) have been read, where that has not been committed."""
        found = {}
        for tp in self._positions if partitions is None else partitions:
            position = self._positions.get(tp)
            if position is not None and position.offset >= 0 and self._stored.get(tp) != position.offset:
                found[tp] = OffsetAndMetadata(position.offset, "", position.leader_epoch)
        return found

    def _group(self) -> str:
        group = self._checked.group_id
        if group is None:
            raise IllegalStateError("Offsets are committed for a group; this consumer has no group_id.")
        return group

    def _commit_flow(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], timeout: float, done: Callable[..., None]
    ) -> Callable[[float], None]:
        group = self._group()
        turn = self._commit_order.begin(offsets)

        def start(now: float) -> None:
            member = self._member
            if member is None:
                flow = commit(self._core.services, group, Membership(), offsets, now, timeout, turn)
            elif member.generation < 0:
                # Without a generation the coordinator would take it, from anybody.
                done(Err(no_member(group)), now)
                return
            else:
                services, membership = self._core.services, member.membership
                flow = commit(services, group, membership, offsets, now, timeout, turn, member.renewed)
            Task(flow, partial(ended, now)).start(now)

        def ended(began: float, result: Result[None, KafkaError], now: float) -> None:
            tell = self._core.events.committed
            if tell is not None:
                tell(group, offsets, now - began, result.error if isinstance(result, Err) else None, now)
            done(result, now)

        return start

    def commit(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata] | None = None, timeout_ms: float | None = None
    ) -> None:
        """Commit these offsets, or how far everything has been read; waits, and runs callbacks of commits before.

        Raises CommitFailedError where the group has gone on without this consumer, RebalanceInProgressError where it is
        just rebalancing (after the next `poll()` it may be tried again), KafkaTimeoutError after `timeout_ms`.
        """
        self._check_open()
        wanted = self._checked_offsets(offsets)
        timeout = FOR_EVER if timeout_ms is None else timeout_ms / 1000
        deadline = time.monotonic() + timeout
        if wanted:
            result = self._ask(
                lambda answer, now: self._commit_flow(wanted, timeout, answer)(now), timeout + 5, "the commit"
            )
            if isinstance(result, Ok):
                self._note(wanted)
        self._await_commits(deadline)
        self._tell_commits()
        if wanted and isinstance(result, Err):
            raise result.error.fresh()

    def commit_async(self, offsets: Offsets | None = None, callback: CommitCallback | None = None) -> CommitFuture:
        """Commit without waiting. `callback(offsets, error or None)` runs in a later `poll()`, `commit()` or
        `close()`, in the order of the calls.

        Returns a future of the outcome, whose own callbacks run on the IO thread.
        """
        self._check_open()
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be a function of (offsets, error), not {callback!r}")
        return self._begin_commit(self._checked_offsets(offsets), callback)

    def _begin_commit(self, offsets: Offsets, callback: CommitCallback | None) -> CommitFuture:
        if not self._driver.is_alive():
            raise IllegalStateError(self._ended()) from self._driver.error
        from kafka.consumer.commits import CommitFuture

        told = self._checked.default_offset_commit_callback if callback is None else callback
        future = CommitFuture(offsets, told, self._driver, self._run_callback)
        self._commits.append(future)

        def answered(result: Result[None, KafkaError], now: float) -> None:
            if isinstance(result, Ok):
                self._note(offsets)
            future.end(result.error.fresh() if isinstance(result, Err) else None)
            self.attention = True  # now that it is to be found

        if offsets:
            self._driver.call(self._commit_flow(offsets, self._checked.request_timeout_ms / 1000, answered))
        else:
            self._driver.call(partial(answered, Ok(None)))
        return future

    def _await_commits(self, deadline: float) -> None:
        """Wait for the commits that are under way, so that their callbacks run now, and in order."""
        for future in list(self._commits):
            while not future.is_done and self._driver.is_alive():
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                future.wait(min(left, 1.0))

    def _tell_commits(self) -> None:
        """Run the callbacks of commits that were answered, up to the first that was not."""
        while self._commits and self._commits[0].is_done:
            self._commits.popleft().tell()

    def _note(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        for tp, stored in offsets.items():
            if tp in self._positions:
                self._stored[tp] = stored.offset or 0

    def _checked_offsets(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata] | None
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        self._group()
        if offsets is None:
            return {
                tp: OffsetAndMetadata(position.offset, "", position.leader_epoch)
                for tp, position in self._positions.items()
                if position.offset >= 0
            }
        if not isinstance(offsets, Mapping):
            raise TypeError(f"offsets must be a dict of OffsetAndMetadata by TopicPartition, not {offsets!r}")
        for tp, each in offsets.items():
            checked(tp)
            if not isinstance(each, OffsetAndMetadata):
                raise TypeError(f"what is committed must be a kafka.OffsetAndMetadata, not {each!r}")
            if not isinstance(each.offset, int) or not 0 <= each.offset < 2**63:
                raise ValueError(
                    f"the offset for {tp.topic}[{tp.partition}] must be a whole number from 0 to 2**63 - 1, not "
                    f"{each.offset!r}"
                )
            if not isinstance(each.metadata, (str, type(None))) or not isinstance(each.leader_epoch, int):
                raise TypeError(
                    f"an OffsetAndMetadata has a string as metadata and a whole number, -1 where it is unknown, as "
                    f"leader_epoch: {each!r}"
                )
            if self._member is not None and tp not in self._positions:
                raise IllegalStateError(
                    f"{tp.topic}[{tp.partition}] is not this consumer's; its group may have given it to another one."
                )
        return dict(offsets)

    def _commit_quietly(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        """A commit that nobody asked for: what is wrong goes into the log, and the next one may do better."""
        if not offsets or not self._driver.is_alive():
            return
        self._commits_quietly = True

        def answered(error: KafkaError | None) -> None:
            self._commits_quietly = False
            if error is not None:
                log.warning("offsets were not committed: %s", error)

        self._begin_commit(offsets, None).add_both(answered)

    def _commit_now(self, offsets: dict[TopicPartition, OffsetAndMetadata], timeout: float) -> None:
        """The same, waited for."""
        if not offsets:
            return
        try:
            result = self._ask(
                lambda answer, now: self._commit_flow(offsets, timeout, answer)(now), timeout + 1, "the commit"
            )
        except KafkaError as error:
            log.warning("offsets were not committed: %s", error)
            return
        if isinstance(result, Err):
            log.warning("offsets were not committed: %s", result.error)
        else:
            self._note(offsets)

    def committed(
        self, partition: TopicPartition, metadata: bool = False, timeout_ms: float | None = None
    ) -> int | OffsetAndMetadata | None:
        """What the group has committed for a partition: the offset, with `metadata` all of it; None for nothing."""
        self._check_open()
        checked(partition)
        group = self._group()
        timeout = FOR_EVER if timeout_ms is None else timeout_ms / 1000

        def question(answer: Any, now: float) -> None:
            Task(fetch_committed(self._core.services, group, [partition], now, timeout), answer).start(now)

        try:
            committed: Committed = self._obtain(question, timeout + 5, "committed offsets")
        except UnknownTopicOrPartitionError:
            return None
        found = committed[partition]
        return found if metadata or found is None else found.offset

    def group_metadata(self) -> ConsumerGroupMetadata:
        """This consumer's place in its group, for `producer.send_offsets_to_transaction` (KIP-447)."""
        member, group = self._member, self._checked.group_id
        if member is None:
            return ConsumerGroupMetadata(group)
        now = member.membership
        return ConsumerGroupMetadata(
            group, now.generation, now.member_id, now.instance, _SHOWN.get(member.state, MemberState.UNJOINED)
        )

    # -- the end ------------------------------------------------------------------------------------------------------

    def _leave(self, commits: bool, timeout: float, reason: str) -> None:
        """Give up all partitions, and be no member any more."""
        deadline = time.monotonic() + timeout
        is_lost = self._member is not None and self._member.generation < 0  # others have them already
        if commits and not is_lost and self._commits_by_itself():
            self._commit_now(self._uncommitted(), timeout)
        listener, self._listener = self._listener, None  # told once, also where it leaves itself
        try:
            if self._positions:
                what = "on_partitions_lost" if is_lost else "on_partitions_revoked"
                _tell(listener, what, list(self._positions))
        finally:
            member, self._member = self._member, None
            if member is not None:
                self._leave_group(member, reason, max(0.0, deadline - time.monotonic()))
            self._await_commits(deadline)
            self._tell_commits()

    def _leave_group(self, member: Member, reason: str, timeout: float) -> None:
        def question(answer: Any, now: float) -> None:
            member.leave(reason, now, timeout).start(answer, now)

        try:
            self._ask(question, timeout, "leaving the group")
        except KafkaError as error:
            log.info("%r left group %s without its coordinator hearing of it: %s", self, member.config.group, error)


def _tell(listener: Any, what: str, partitions: Collection[TopicPartition]) -> None:
    if listener is None:
        return
    answer = getattr(listener, what)(set(partitions))
    if isinstance(answer, types.CoroutineType):
        _run(answer)


def _run(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a listener's coroutine to its end; in a thread of its own where a loop runs in this one already."""
    import asyncio
    import contextvars

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(coroutine)
        return
    errors: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(coroutine)
        except BaseException as error:  # handed to the thread that waits for it
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
