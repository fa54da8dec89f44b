"""`KafkaConsumer`: the public consumer, thin over the fetch path and the threaded driver."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import inf
from operator import methodcaller
from typing import TYPE_CHECKING, Any, TypeVar

from kafka._codec import ConsumerBase, ConsumerRecord, Fetched, ReadPosition, RecordColumns, check_topic, take_columns
from kafka.client import Client
from kafka.config.described import described_by
from kafka.consumer.config import DEFAULT_CONFIG, ConsumerConfig
from kafka.consumer.membership import GroupMethods
from kafka.consumer.places import FOR_EVER, LONGEST_SLEEP, Places
from kafka.consumer.questions import Questions, checked
from kafka.consumer.reading import Reading, rules
from kafka.consumer.remains import ConsumerRemains, weakly
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener, ConsumerRebalanceListener
from kafka.core.consume.deliveries import Deliveries
from kafka.core.consume.fetch import Fetch, FetchConfig
from kafka.core.events import Listeners
from kafka.core.groups.consumer_protocol import ConsumerMember
from kafka.core.groups.membership import GroupConfig, Member
from kafka.drivers._turn import Turn
from kafka.drivers.base import Desk
from kafka.errors import IllegalStateError, KafkaError
from kafka.serializer.wrapper import close_each
from kafka.structs import SubscriptionPattern, TopicPartition

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from kafka.consumer.arguments import ConsumerArguments
    from kafka.consumer.patterns import Pattern

# Where a call of poll_batches() ends that says nothing else: a few answers of the largest size.
BATCHES_SIZE = 64 * 1024 * 1024

T = TypeVar("T")


@described_by(ConsumerConfig)
class KafkaConsumer(ConsumerBase, GroupMethods, Places, Questions, Client):
    """Reads records from Kafka, which a thread in the background fetches ahead. Use it from one thread at a time.

    `topics` are subscribed to. Unknown arguments raise an error that names the nearest; those that are not implemented
    raise NotImplementedError. Raises KafkaConnectionError or another KafkaTimeoutError where no broker can be reached,
    with what was tried and why it failed.
    """

    DEFAULT_CONFIG = DEFAULT_CONFIG
    _checked: ConsumerConfig

    _MADE = Client._MADE | {
        "_positions", "_topics", "_pattern", "_matched_by_brokers", "_snapshot", "_wakeups", "_heard", "_deliveries",
        "_reading", "_fetch", "_member", "_listener", "_commits", "_stored", "_next_commit", "_metrics",
    }  # fmt: skip

    def __init__(self, *topics: str, **configs: Unpack[ConsumerArguments]) -> None:
        self._positions: dict[TopicPartition, ReadPosition] = {}
        self._topics: set[str] | None = None  # subscribed
        self._pattern: Pattern | None = None  # by which they are
        self._matched_by_brokers = False  # by a pattern that they know
        self._autocommit = True
        self._seen_handed_out = 0
        self._snapshot: Any = None  # whose partitions are assigned, where all of the topics' are
        self._wakeups = self._heard = 0  # asked for, and those of which some call knows
        self._polled = time.monotonic()  # when records were last asked for
        config = ConsumerConfig(configs)
        self._checked = config
        self._init_group()
        Client.__init__(self, config)
        if topics:
            self.subscribe(topics)

    def _listeners(self) -> Listeners:
        from kafka.consumer.observed import GAUGES, metrics_class
        from kafka.observed import observed

        self._metrics, listeners = observed(self, self._checked, metrics_class, GAUGES)
        return listeners

    def _forked(self) -> None:
        super()._forked()
        if self._metrics is not None:
            self._metrics.after_fork()
        self.attention = True  # the iterator has records left, which are the parent's

    def _equip(self, turn: Turn) -> Desk | None:
        config = self._checked
        self._deliveries = Deliveries()
        self._reading = Reading(self._deliveries, turn.wake, self._fetch_again, self._stop_fetching)
        self._fetch = Fetch(
            self._core.services,
            FetchConfig(
                min_bytes=config.fetch_min_bytes,
                max_wait=config.fetch_max_wait_ms / 1000,
                max_bytes=config.fetch_max_bytes,
                partition_max_bytes=config.max_partition_fetch_bytes,
                buffer_bytes=config.fetch_buffer_bytes or config.fetch_max_bytes,
                isolation=config.isolation_level,
                rack=config.client_rack,
                sessions=config.enable_incremental_fetch_sessions,
                reset=None if config.auto_offset_reset is None else partial(_time_of, config.auto_offset_reset),
            ),
            rules(
                check_crc=config.check_crcs,
                read_committed=config.isolation_level == 1,
                key_deserializer=config.key_deserializer,
                value_deserializer=config.value_deserializer,
            ),
            self._deliveries,
        )
        self._core.attach(self._fetch)
        if config.group_id is not None and config.enable_auto_commit:
            self._remind(time.monotonic())
        return None

    def _remind(self, now: float) -> None:
        """From time to time the iterator is to look whether it is time for a commit."""
        self.attention = True
        self._core.timers.at(now + max(self._checked.auto_commit_interval_ms / 1000, 0.1), weakly(self._remind))

    # -- what is read --------------------------------------------------------------------------------------------------

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these partitions and no others; `[]` ends it. IllegalStateError after `subscribe`."""
        self._check_open()
        wanted = list(dict.fromkeys(checked(tp) for tp in partitions))
        if self._topics is not None:
            raise IllegalStateError(_EXCLUSIVE)
        self._assign(wanted)

    def _assign(self, wanted: Iterable[TopicPartition]) -> None:
        wanted = list(wanted)
        for tp in self._positions.keys() - set(wanted):
            self._drop(tp)
        added = [tp for tp in wanted if tp not in self._positions]
        for tp in added:
            position = self._add(tp)
            if self._checked.group_id is None:
                self._driver.call(partial(self._fetch.look_up, position, position.generation, None))
        if self._checked.group_id is not None:
            self._place_committed(added)

    def _start_in_child(self) -> None:
        raise IllegalStateError(
            "The process forked. A consumer belongs to the process that made it: make one in the child."
        )

    def assignment(self) -> set[TopicPartition]:
        """The partitions that are read."""
        return set(self._positions)

    def subscribe(
        self,
        topics: Iterable[str] = (),
        pattern: str | SubscriptionPattern | None = None,
        listener: ConsumerRebalanceListener | None = None,
    ) -> None:
        """Read these topics: what the group gives this consumer of them, without group_id all of it. With `pattern`, a
        regular expression, read those whose names begin with a match of it, also those that are made later; with a
        `SubscriptionPattern` those that the brokers find, in a group with group_protocol="consumer".

        `listener` is told in this thread, within `poll()`, iteration, `close()` and `unsubscribe()`. IllegalStateError
        after `assign`.
        """
        self._check_open()
        if isinstance(topics, (str, bytes)):
            raise TypeError("topics must be a list of names, not one")
        names = list(map(check_topic, topics))
        if (self._positions and self._topics is None) or (names and pattern):
            raise IllegalStateError(_EXCLUSIVE)
        if not names and not pattern:
            raise ValueError("Neither topics nor a pattern are given.")
        if listener is not None and not isinstance(listener, _LISTENERS):
            raise TypeError(f"listener must be a kafka.ConsumerRebalanceListener, not {listener!r}")
        if not pattern:
            self._forget_pattern()
            self._listener = listener
            self._subscribe(names)
            return
        from kafka.consumer.patterns import Pattern, check_for_brokers

        if isinstance(pattern, SubscriptionPattern):
            check_for_brokers(pattern, self._checked)
            self._forget_pattern()
            self._listener = listener
            self._subscribe([], pattern.pattern)
            return
        matched = Pattern(pattern, not self._checked.exclude_internal_topics, weakly(self._something_is_due))
        self._forget_pattern()
        self._listener = listener
        self._pattern = matched
        if self._topics is None:
            self._topics = set()
        self._driver.call(partial(matched.ask, self._core))

    def _forget_pattern(self) -> None:
        if self._pattern is not None:
            self._pattern.is_over = True
            self._pattern = None

    def _match(self) -> None:
        """Subscribe the topics that match the pattern, where they are others than before."""
        if self._pattern is None or self._pattern.names is None:
            return
        if self._matched_by_brokers or set(self._pattern.names) != self._topics:
            self._subscribe(sorted(self._pattern.names))

    def _subscribe(self, names: list[str], pattern: str = "") -> None:
        self._topics = set(names)
        self._matched_by_brokers = bool(pattern)
        self._snapshot = None
        if self._checked.group_id is not None:
            self._join_group(names, pattern)
            return
        for name in names:
            self._driver.call(partial(self._core.metadata.want, name))

    def _join_group(self, names: list[str], pattern: str) -> None:
        config, member = self._checked, self._member
        if member is None:
            assert config.group_id is not None
            self._polled = time.monotonic()  # from now on somebody waits for it
            made = ConsumerMember if config.group_protocol == "consumer" else Member
            member = self._member = made(
                self._core.services,
                GroupConfig(
                    group=config.group_id,
                    instance=config.group_instance_id,
                    session_timeout=config.session_timeout_ms / 1000,
                    rebalance_timeout=config.max_poll_interval_ms / 1000,
                    heartbeat_interval=config.heartbeat_interval_ms / 1000,
                    rack=config.client_rack or None,
                    assignor=config.group_remote_assignor,
                ),
                config.partition_assignment_strategy,
                weakly(self._something_is_due),
                weakly(self._last_polled, -inf),
            )
            self._driver.call(lambda now: self._core.attach(member))
        if isinstance(member, ConsumerMember):
            self._driver.call(partial(member.subscribe, names, pattern=pattern))
        else:
            self._driver.call(partial(member.subscribe, names))

    def _something_is_due(self) -> None:
        """For the thread that reads; called on the IO thread."""
        self.attention = True
        self._reading.wake_up()

    def _last_polled(self, now: float) -> float:
        """When the reader last asked for records, on the clock of the core; called on the IO thread."""
        if self.handed_out != self._seen_handed_out:  # by the iterator, which looks at no clock
            self._seen_handed_out, self._polled = self.handed_out, now
        return self._polled

    def subscription(self) -> set[str] | None:
        """The topics that are subscribed; None where partitions are assigned. By a SubscriptionPattern those of which
        this consumer has partitions: of others only the brokers know.
        """
        if self._topics is None:
            return None
        return {tp.topic for tp in self._positions} if self._matched_by_brokers else set(self._topics)

    @property
    def _subscription(self) -> _Subscription:
        return _Subscription(self.subscription(), set() if self._topics else self.assignment())

    def unsubscribe(self) -> None:
        """Read nothing any more."""
        self._check_open()
        try:
            if self._topics is not None:
                self._leave(True, self._checked.request_timeout_ms / 1000, "unsubscribed")
        finally:  # whatever a listener raises
            self._forget_pattern()
            self._topics = None
            self._assign(())

    def _leave_group(self, member: Member, reason: str, timeout: float) -> None:
        super()._leave_group(member, reason, timeout)
        if self._driver.is_alive():
            self._driver.call(lambda now: self._core.detach(member))

    def _follow(self) -> None:
        """Read all partitions of the topics that are subscribed, those that were added since, too."""
        snapshot = self._core.snapshot
        if self._topics is not None and self._member is None and snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._assign(
                TopicPartition(name, partition)
                for name in sorted(self._topics)
                for partition in range(snapshot.partitions(name))
            )

    # -- reading -------------------------------------------------------------------------------------------------------

    def poll(
        self, timeout_ms: float = 0, max_records: int | None = None, update_offsets: bool = True
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """The next records, {partition: [record]}, at most `max_records` (default: max_poll_records) in all.

        What has been fetched is returned at once; else this waits for at most `timeout_ms`, and returns {} then.
        """
        deadline, most = self._asked_for(timeout_ms, max_records, self._checked.max_poll_records)
        return self._poll_once(deadline, most)

    def poll_batches(self, timeout_ms: float = 0, max_records: int | None = None) -> list[RecordColumns]:
        """The next records as columns, for Arrow's libraries and whoever wants no object for each record.

        Waits as `poll()` does, and returns [] where that returns {}. Each `RecordColumns` is of one partition;
        `pyarrow.record_batch(columns)` takes it without a copy. They hold at most `max_records` records in all
        (default: what has been fetched), and end with the first batch of Kafka's past 64 MiB. Keys and values are
        bytes: ValueError where the consumer has deserializers.
        """
        if self._checked.key_deserializer is not None or self._checked.value_deserializer is not None:
            raise ValueError(
                "poll_batches() gives keys and values as bytes: make the consumer without key_deserializer and"
                " value_deserializer."
            )
        deadline, left = self._asked_for(timeout_ms, max_records, sys.maxsize)
        batches: list[RecordColumns] = []
        room = BATCHES_SIZE
        began: dict[ReadPosition, int] = {}
        thread = threading.get_ident()
        is_inner = self.reader == thread
        try:
            self._enter(thread)
            self._attend()
            while left > 0 and room > 0:
                columns = self._taken(deadline, bool(batches), partial(take_columns, most=left, enough=room), began)
                if columns is None:
                    break
                batches.append(columns)
                left -= len(columns)
                room -= columns.nbytes
        except BaseException as error:
            self._interrupted(error, began)
            raise
        finally:
            self._exit(thread, is_inner)
        self._heard = self._wakeups
        return batches

    def _asked_for(self, timeout_ms: float, max_records: int | None, default: int) -> tuple[float, int]:
        """Until when to wait, on the clock, and for how many records at most."""
        self._check_open()
        if not timeout_ms >= 0:
            raise ValueError(f"timeout_ms must be a number of milliseconds, 0 or more: {timeout_ms}")
        if max_records is None:
            max_records = default
        if not isinstance(max_records, int):
            raise TypeError(f"max_records must be a whole number, not {max_records!r}")
        if max_records < 1:
            raise ValueError(f"max_records must be 1 or more: {max_records}")
        self._polled = time.monotonic()
        return self._polled + timeout_ms / 1000, max_records

    def _poll_once(
        self, deadline: float, max_records: int, update_offsets: bool = True
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        # By this name, and with three arguments, SkyWalking wraps it.
        records: dict[TopicPartition, list[ConsumerRecord]] = {}
        left = max_records
        began: dict[ReadPosition, int] = {}
        thread = threading.get_ident()
        is_inner = self.reader == thread
        try:
            self._enter(thread)
            self._attend()
            while left > 0:
                taken = self._taken(deadline, bool(records), methodcaller("take", left), began)
                if taken is None:
                    break
                records.setdefault(TopicPartition(taken[0].topic, taken[0].partition), []).extend(taken)
                left -= len(taken)
        except BaseException as error:
            self._interrupted(error, began)
            raise
        finally:
            self._exit(thread, is_inner)
        self._heard = self._wakeups  # this call has ended; the one after it may wait
        return records

    def _interrupted(self, error: BaseException, began: Mapping[ReadPosition, int]) -> None:
        """By Ctrl-C, say: what was taken since partitions were at these offsets reaches nobody, and is read again."""
        for position, offset in () if isinstance(error, Exception) else began.items():
            if position.offset != offset and self._positions.get(position.partition) is position:
                self.seek(position.partition, offset)

    def _taken(
        self, deadline: float, has_others: bool, take: Callable[[Fetched], T | None], began: dict[ReadPosition, int]
    ) -> T | None:
        """What `take` gives of what was fetched; None where nothing arrives in time.

        With others in hand neither waits nor raises: what is wrong with a partition is for the next call to say. Where
        each partition was before goes into `began`.
        """
        while True:
            fetched = self.current
            if fetched is not None and not has_others:
                self._reading.tell()
            if fetched is None:
                fetched = self.current = self._reading.next(quiet=True) if has_others else self._fetched(deadline)
                if fetched is None:
                    return None
            began.setdefault(fetched.position, fetched.position.offset)
            try:
                taken = take(fetched)
            except KafkaError as error:
                is_lasting = self._cannot_read(fetched, error, is_told=not has_others)
                if not has_others:
                    raise
                if not is_lasting:
                    return None
                continue
            except Exception:  # for want of memory, say: the next call may do better
                if not has_others:
                    raise
                return None
            if taken:
                return taken
            self.current = None
            self._reading.done(fetched)

    def _cannot_read(self, fetched: Fetched, error: KafkaError, is_told: bool = True) -> bool:
        """Whether that is so until somebody seeks: not where another thread is at it."""
        if isinstance(error, IllegalStateError):
            return False
        self.current = None
        self._reading.broken(fetched, error, is_told)
        return True

    def _fetched(self, deadline: float) -> Fetched | None:
        """What to read on with; None where nothing arrives before clock second `deadline`."""
        while True:
            self._polled = time.monotonic()
            self._attend()
            self._follow()
            fetched = self._reading.next()
            if fetched is not None:
                return fetched
            if self._wakeups != self._heard:
                self._heard = self._wakeups
                return None
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._wait_for_more(left)

    def _wait_for_more(self, seconds: float) -> None:
        self._reading.wait(min(seconds, LONGEST_SLEEP))
        self._check_open()
        if not self._driver.is_alive():
            raise IllegalStateError(self._ended()) from self._driver.error

    def _go_on_by_itself(self) -> None:
        if self._closed:
            raise StopIteration
        if not self._go_on(time.monotonic() + min(self._checked.consumer_timeout_ms / 1000, FOR_EVER)):
            raise StopIteration

    def _go_on(self, deadline: float) -> bool:
        """To what comes after `current`, or that again where attention was wanted; False: nothing before `deadline`."""
        self._check_open()
        thread = threading.get_ident()
        is_inner = self.reader == thread
        try:
            self._enter(thread)
            if self.current is not None and self.attention:  # there may be more of it
                self._reading.put_back(self.current)
            elif self.current is not None:
                self._reading.done(self.current)
            self.current = None
            self.current = self._fetched(deadline)
            return self.current is not None
        finally:
            self._exit(thread, is_inner)

    def wakeup(self) -> None:
        """End the present or the next `poll()` at once, with what there is; an iteration ends when that is used up. Any
        thread may call it.
        """
        self._wakeups += 1
        self._reading.wake_up()

    def metrics(self, raw: bool = False) -> dict[Any, Any] | None:
        """What has been measured: {group: {name: value}}, or with `raw` {MetricName: KafkaMetric}.

        Groups are "consumer-metrics", "consumer-fetch-manager-metrics", with the topic behind a dot for each of them,
        "consumer-coordinator-metrics" and "consumer-node-metrics.node-ID". Rates, averages and maxima are of the last
        metrics_num_samples * metrics_sample_window_ms; a maximum of nothing is -inf. None with metrics_enabled=False.
        """
        if self._metrics is None:
            return None
        return self._metrics.metrics() if raw else self._metrics.values(time.monotonic())

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self, autocommit: bool = True, timeout_ms: float | None = None) -> None:
        """Commit what was read (with `autocommit` and enable_auto_commit), leave the group, and end the IO thread.

        Takes at most `timeout_ms` (default: request_timeout_ms) where brokers do not answer. Closing again does
        nothing.
        """
        if self._closed:
            return
        self._autocommit = autocommit
        try:
            self._close(self._checked.request_timeout_ms / 1000 if timeout_ms is None else timeout_ms / 1000)
        finally:
            self._tell_commits()  # those that nobody answered have failed with the end

    def _finish(self, timeout: float | None, quiet: bool) -> None:
        if self._driver.is_alive() and (self._checked.group_id is not None or self._topics is not None):
            self._leave(self._autocommit, timeout or 0.0, "closed")

    def _close_because_of(self, error: BaseException) -> None:
        # What the block has not finished with is to be delivered again; and whoever pressed Ctrl-C wants to leave.
        self.close(autocommit=False, timeout_ms=min(self._checked.request_timeout_ms, 5000))

    def _remains(self, name: str) -> ConsumerRemains:
        return ConsumerRemains(self._driver, name, self._checked, self._member, self._metrics)

    def _shut_down(self, patience: float) -> None:
        super()._shut_down(patience)
        self.wakeup()
        if self._metrics is not None:
            self._metrics.close()
        close_each(self._checked.key_deserializer, self._checked.value_deserializer)


class _Subscription:
    """By the names of kafka-python's, which instrumentation reads."""

    def __init__(self, topics: set[str] | None, assigned: set[TopicPartition]) -> None:
        self.subscription = topics
        self._user_assignment = assigned


_LISTENERS = (ConsumerRebalanceListener, AsyncConsumerRebalanceListener)
_EXCLUSIVE = (
    "subscribe() and assign() do not go together, nor do topics and a pattern: unsubscribe() first, or use another"
    " consumer."
)


def _time_of(reset: int | float) -> int:
    """What to look up for a policy: a place, or for so many seconds ago (a float) the time in ms since 1970."""
    return reset if isinstance(reset, int) else round((time.time() - reset) * 1000)
