"""The fetch path: which broker is asked for which partitions when, and what becomes of its answers.

Each broker that leads something is asked by one Fetch at a time, which waits there until something comes (a long
poll). What becomes ready meanwhile (it was sought, resumed, assigned, or its reader has caught up) does not wait for
that: it is asked for by another Fetch, over a connection of its own, and joins the others with their next one.

Bytes are counted before they are asked for: those under way, and those that the reader has not come to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from kafka._codec import Fetched, ReadPosition, ReadRules
from kafka.core.cluster.call import Answer
from kafka.core.cluster.routes import ToBroker
from kafka.core.cluster.snapshot import NO_ID, Snapshot
from kafka.core.consume.answers import Answers
from kafka.core.consume.deliveries import Deliveries, Failure
from kafka.core.consume.epochs import Epochs
from kafka.core.consume.partition import FetchPartition
from kafka.core.consume.places import Places
from kafka.core.consume.session import DIVERGES, NEWEST_BY_NAME, SESSION_ERRORS, Asked, Session, topics_of
from kafka.core.consume.states import FetchEvent, FetchState
from kafka.core.net.lanes import Lane
from kafka.core.parts import Services
from kafka.errors import KafkaError, for_code
from kafka.protocol import FetchRequest
from kafka.protocol.codes import Code
from kafka.result import Err, Ok, Result
from kafka.structs import TopicPartition

INFINITY = float("inf")
SOON = 0.005  # seconds that a Fetch may be under way before others stop waiting for its end
SHORTLY = 0.05  # how long the broker may hold back a Fetch beside another one, so that they come together again


class FetchConfig(NamedTuple):
    min_bytes: int = 1
    max_wait: float = 0.5
    max_bytes: int = 52428800
    partition_max_bytes: int = 1048576
    buffer_bytes: int = 52428800  # of all brokers: under way, and not yet read
    isolation: int = 0  # 1: read_committed
    rack: str = ""
    sessions: bool = True
    # The time to look up where a partition has no offset, or nothing at it (see `offsets`); None: the reader is told.
    reset: Callable[[], int] | None = None


class Fetch:
    """The part of a client that fetches."""

    lane = Lane.FETCH

    def __init__(self, services: Services, config: FetchConfig, rules: ReadRules, deliveries: Deliveries) -> None:
        self.services = services
        self.config = config
        self.rules = rules
        self.deliveries = deliveries
        self.brokers = services.brokers(self.lane)
        self.partitions: dict[TopicPartition, FetchPartition] = {}
        self.used = 0  # bytes of `buffer_bytes`
        self.closed_by: KafkaError | None = None
        self._request_timeout = services.config.request_timeout
        self._topics: dict[str, dict[int, FetchPartition]] = {}
        self._names: dict[bytes, str] = {}  # of topics by id
        self._nameless: dict[FetchPartition, None] = {}  # of topics whose id is not known
        self._sessions: dict[int, Session] = {}
        self._awake: dict[Session, None] = {}  # that may have something to ask
        self._has_moved = False  # a partition has another leader, or is read no more
        self._hungry: dict[Session, None] = {}  # that wait for memory
        # Those of ranges: the offset at which the last answers had nothing, and how many they were.
        self.bounded: dict[FetchPartition, tuple[int, int]] = {}
        self.places = Places(self)
        self._answers = Answers(self)
        self._epochs = Epochs(self)

    # -- what the consumer asks, on the driver's thread ----------------------------------------------------------------

    def add(self, position: ReadPosition, now: float) -> None:
        """Read this partition from now on, once it has been placed."""
        partition = FetchPartition(position)
        tp = partition.tp
        self.partitions[tp] = partition
        self._topics.setdefault(tp.topic, {})[tp.partition] = partition
        self._nameless[partition] = None
        self.services.metadata.want(tp.topic, now)
        self._learn(partition, self.services.metadata.snapshot, now)

    def remove(self, tp: TopicPartition, now: float) -> None:
        """Read it no longer."""
        partition = self.partitions.pop(tp, None)
        if partition is None:
            return
        self._has_moved = True
        del self._topics[tp.topic][tp.partition]
        if not self._topics[tp.topic]:
            del self._topics[tp.topic]
            self._names.pop(partition.topic_id, None)
        self._nameless.pop(partition, None)
        self.bounded.pop(partition, None)
        self.places.forget(partition)
        self.leave(partition)

    def place(self, position: ReadPosition, generation: int, offset: int, epoch: int, now: float) -> None:
        """Go on at this offset; `epoch` is that of the record before it, -1 where that is not known.

        Of no effect where the position has been moved since `generation`.
        """
        partition = self._current(position, generation)
        if partition is not None:
            self.places.forget(partition)
            partition.place(offset, epoch)
            self.moved(partition, now)

    def look_up(self, position: ReadPosition, generation: int, time: int | None, now: float) -> None:
        """Go on at a time (see `offsets`); None: where the policy says."""
        partition = self._current(position, generation)
        if partition is not None:
            self.places.look_up(partition, time, now)

    def refuse(self, position: ReadPosition, generation: int, error: KafkaError) -> None:
        """Tell the reader why nothing comes of it."""
        partition = self._current(position, generation)
        if partition is not None:
            self.fail(partition, error)

    def stop(self, position: ReadPosition, generation: int, now: float) -> None:
        """Its reader cannot get past what is next: fetch nothing more of it until the position is moved."""
        partition = self._current(position, generation)
        if partition is not None:
            partition.handle(FetchEvent.BROKEN)
            self.leave(partition)

    def _current(self, position: ReadPosition, generation: int) -> FetchPartition | None:
        partition = self.partitions.get(position.partition)
        if partition is None or partition.position is not position or position.generation != generation:
            return None
        return partition

    def reconsider(self, position: ReadPosition, now: float) -> None:
        """It was paused or resumed."""
        partition = self.partitions.get(position.partition)
        if partition is not None:
            self.consider(partition, now)

    def bound(self, position: ReadPosition, end: float, now: float) -> None:
        """Fetch nothing from offset `end` on, and say where the log has nothing more before it; infinity: no longer."""
        partition = self.partitions.get(position.partition)
        if partition is None or partition.position is not position:
            return
        partition.end = end
        if end == INFINITY:
            self.bounded.pop(partition, None)
        else:
            self.bounded[partition] = (-1, 0)
        self.consider(partition, now)

    # -- what the core calls -----------------------------------------------------------------------------------------

    def on_room(self, node_id: int, now: float) -> None:
        session = self._sessions.get(node_id)
        if session is not None:
            self._awake[session] = None

    def on_node_down(self, node_id: int, error: KafkaError, now: float) -> None:
        session = self._sessions.get(node_id)
        if session is None:
            return
        session.reset()
        for name in dict.fromkeys(partition.tp.topic for partition in (*session.members, *session.waiting)):
            self.services.metadata.refresh(name, now)
        for partition in [p for p in (*session.members, *session.waiting) if p.preferred == node_id]:
            partition.preferred = -1  # the leader says where to go
            self.consider(partition, now)
        self._awake[session] = None

    def on_metadata(self, snapshot: Snapshot, now: float) -> None:
        for name in snapshot.touched:
            for partition in list(self._topics.get(name, {}).values()):
                self._learn(partition, snapshot, now)
        self.deliveries.tell()  # the reader may wait for partitions of a topic

    def uses(self, topic: str) -> bool:
        return topic in self._topics

    def tick(self, now: float) -> None:
        self._take_back(now)
        if self.places.is_due:
            self.places.ask(now)
        while self._awake:
            session = next(iter(self._awake))
            del self._awake[session]
            self._ask(session, now)

    def next_deadline(self) -> float:
        return -INFINITY if self._awake or self.places.is_due or self.deliveries.returned else INFINITY

    def close(self, error: KafkaError, now: float) -> None:
        self.closed_by = error
        for tp in list(self.partitions):
            self.remove(tp, now)
        self._awake.clear()
        self._hungry.clear()

    # -- what is known of partitions ---------------------------------------------------------------------------------

    def _learn(self, partition: FetchPartition, snapshot: Snapshot, now: float) -> None:
        topic = snapshot.topics.get(partition.tp.topic)
        if topic is None:
            return
        if topic.error is not None and not topic.error.retriable:
            self.fail(partition, topic.error)
        if partition.tp.partition >= len(topic.partitions):
            return
        known = topic.partitions[partition.tp.partition]
        if topic.id != partition.topic_id:
            was = partition.topic_id
            partition.topic_id = topic.id
            if was == NO_ID:
                self._nameless.pop(partition, None)
            else:
                self._names.pop(was, None)
                self.places.made_anew(partition, now)
            if topic.id != NO_ID:
                self._names[topic.id] = topic.name
        if (known.leader, known.leader_epoch) != (partition.leader, partition.leader_epoch):
            partition.leader, partition.leader_epoch = known.leader, known.leader_epoch
            partition.preferred = -1
            partition.is_agreed = False
            self._has_moved = True
            if partition.session is not None:
                partition.session.change(partition)
            self.places.led(partition)
        self.consider(partition, now)

    def moved(self, partition: FetchPartition, now: float) -> None:
        """It is to be asked for at another offset."""
        partition.pause_until = 0.0
        session = partition.session
        if session is not None and session.since is None:
            session.change(partition)
        elif session is not None:  # it does not wait for the answer about where it was
            self.leave(partition)
        self.consider(partition, now)

    def fail(self, partition: FetchPartition, error: KafkaError) -> None:
        """Tell the reader, once it has come to the end of what there is."""
        failure = partition.failure
        if failure is None or failure.is_told or failure.is_stale:  # else it is yet to hear of the one before
            sticks = partition.state is FetchState.STUCK
            partition.failure = failure = Failure(partition.position, error, sticks)
            self.deliveries.arrived.append(failure)
            self.deliveries.tell()

    def retry(self, partition: FetchPartition, now: float) -> None:
        """Ask again after a while."""
        partition.pause_until = now + self.services.config.retry_backoff
        self.leave(partition)
        self.services.timers.at(partition.pause_until, partial(self.consider, partition))

    def deliver(self, partition: FetchPartition, fetched: Fetched) -> None:
        partition.buffered += fetched.size
        self.used += fetched.size
        self.deliveries.arrived.append(fetched)
        self.deliveries.tell()

    def topic(self, name: str, topic_id: bytes) -> Mapping[int, FetchPartition]:
        """Those that are read of this topic, by number; an answer names it by its id or its name."""
        return self._topics.get(name or self._names.get(topic_id, ""), {})

    # -- who is asked for what ---------------------------------------------------------------------------------------

    def _is_wanted(self, partition: FetchPartition, now: float) -> bool:
        return (
            partition.state is FetchState.FETCHING
            and not partition.position.paused
            and partition.next_offset < partition.end
            and partition.buffered < self.config.partition_max_bytes
            and now >= partition.pause_until
            and self.partitions.get(partition.tp) is partition
        )

    def consider(self, partition: FetchPartition, now: float) -> None:
        """Have it among those that its broker is asked for, or no longer."""
        node = partition.node(now) if self._is_wanted(partition, now) else -1
        session = partition.session
        if session is not None and session.node != node:
            self.leave(partition)
            session = None
        if partition.catching_up or node < 0:
            return
        if session is None:
            session = self._sessions.get(node)
            if session is None:
                session = self._sessions[node] = Session(
                    node, incremental=self.config.sessions, partition_max_bytes=self.config.partition_max_bytes
                )
            if session.since is None:
                session.join(partition)
            else:
                partition.session = session
                session.waiting[partition] = True
        if session.changed or session.waiting:
            self._awake[session] = None

    def leave(self, partition: FetchPartition) -> None:
        """Nobody is asked for it any more."""
        session = partition.session
        if session is not None:
            session.leave(partition)

    def _take_back(self, now: float) -> None:
        returned = self.deliveries.returned
        if not returned:
            return
        while returned:
            fetched = returned.popleft()
            self.used -= fetched.size
            partition = self.partitions.get(fetched.position.partition)
            if partition is not None and partition.position is fetched.position:
                partition.buffered -= fetched.size
                self.consider(partition, now)
        self._feed()

    def _feed(self) -> None:
        """There is memory again for those that wait for it."""
        self._awake.update(self._hungry)
        self._hungry.clear()
        self.deliveries.is_starving = False

    # -- asking --------------------------------------------------------------------------------------------------------

    def _ask(self, session: Session, now: float) -> None:
        if session.since is not None:
            if any(session.waiting.values()):
                self._catch_up(session, now)
            return
        while session.waiting:
            partition, _ = session.waiting.popitem()
            session.join(partition)
        if not session.members:
            return
        node = session.node
        if self.brokers.room(node) <= 0:
            self.brokers.ensure(node, now)
            return
        self._agree(node, list(session.changed), now)
        if not session.members:
            return
        size = self._reserve(session, len(session.members))
        if size is None:
            return
        config = self.config
        max_wait = min(config.max_wait, SHORTLY) if session.is_catching_up else config.max_wait
        session.since, session.until = now, now + max_wait

        def build(version: int) -> FetchRequest:
            return session.request(
                version,
                max_wait=max_wait,
                min_bytes=config.min_bytes,
                max_bytes=size,
                isolation=config.isolation,
                rack=config.rack,
            )

        self.brokers.send(
            node,
            FetchRequest,
            build,
            partial(self._answered, session, size),
            now,
            max_wait + self._request_timeout,
            newest=self._newest(),
        )

    def _agree(self, node: int, partitions: list[FetchPartition], now: float) -> None:
        version = self.brokers.version_for(node, FetchRequest, self._newest())
        if isinstance(version, int) and version < DIVERGES:
            self._epochs.check(node, partitions, now)

    def _newest(self) -> int | None:
        return NEWEST_BY_NAME if self._nameless else None

    def _reserve(self, session: Session, partitions: int) -> int | None:
        """How many bytes an answer may have, which are counted from now on; None: there is no room at present."""
        config = self.config
        # Each broker may have two Fetches under way: none of them waits for what another one has reserved.
        self._forget_former()
        share = max(1, config.buffer_bytes // (2 * max(1, len(self._sessions))))
        left = config.buffer_bytes - self.used
        size = min(config.max_bytes, config.partition_max_bytes * partitions, share, left)
        if size < min(config.max_bytes, config.partition_max_bytes, share) and self.used > 0:
            self._hungry[session] = None
            if not self.deliveries.is_starving:
                self.deliveries.is_starving = True
                self.deliveries.tell()
            return None
        size = max(size, 1)
        self.used += size
        return size

    def _forget_former(self) -> None:
        """Brokers that nothing is read from any more have no share in the memory."""
        if not self._has_moved:
            return
        self._has_moved = False
        read_from = {node for each in self.partitions.values() for node in (each.leader, each.preferred)}
        for node, session in list(self._sessions.items()):
            if node not in read_from and not session.is_in_use:
                del self._sessions[node]

    def _catch_up(self, session: Session, now: float) -> None:
        """Ask for those that wait, without waiting for the Fetch that is under way."""
        assert session.since is not None
        if session.is_catching_up:
            return
        self._agree(session.node, list(session.waiting), now)
        if not session.waiting:
            return
        if now < session.since + SOON:
            self.services.timers.at(session.since + SOON, lambda now: self._awake.setdefault(session))
            return
        size = self._reserve(session, len(session.waiting))
        if size is None:
            return
        asked: dict[FetchPartition, Asked] = {}
        for partition in list(session.waiting):
            session.leave(partition)
            partition.catching_up = True
            asked[partition] = Asked(partition.next_offset, partition.position.generation, partition.topic_id)
        session.is_catching_up = True
        config = self.config

        def build(version: int) -> FetchRequest:
            return FetchRequest(
                max_wait_ms=round(min(config.max_wait, SHORTLY) * 1000),
                min_bytes=config.min_bytes,
                max_bytes=size,
                isolation_level=config.isolation,
                session_id=0,
                session_epoch=-1,
                topics=topics_of(asked, config.partition_max_bytes, version),
                rack_id=config.rack,
            )

        self.services.calls.start(
            ToBroker(session.node),
            FetchRequest,
            build,
            partial(self._caught_up, session, size, asked),
            now,
            self._request_timeout,
            newest=self._newest(),
            once=True,
            lane=Lane.FETCH_NOW,
            answer_within=SHORTLY + self._request_timeout,
        )

    # -- answers -------------------------------------------------------------------------------------------------------

    def _answered(self, session: Session, reserved: int, result: Result[Any, KafkaError], now: float) -> None:
        session.since = None
        self.used -= reserved
        self._awake[session] = None
        self._feed()
        if self.closed_by is not None:
            return
        if isinstance(result, Err):
            self._unanswered(session, result.error, now)
            return
        response = result.value
        if response.error_code != Code.NONE:
            self._unanswered(session, for_code(response.error_code), now)
            return
        session.answered(response.session_id)
        is_empty = response.throttle_time_ms == 0
        for partition, entry in self._answers.entries(response):
            asked = session.members.get(partition)
            if asked is not None:
                if entry.records:
                    is_empty = False
                    session.rotate(partition)
                self._answers.take(partition, asked, entry, response, now)
        if is_empty and self.bounded:
            self._answers.nothing(session)

    def _unanswered(self, session: Session, error: KafkaError | None, now: float) -> None:
        session.reset()
        if error is not None and error.errno in SESSION_ERRORS and error.errno != Code.INCONSISTENT_TOPIC_ID:
            return
        for partition in list(session.members):
            if error is not None and not error.retriable:  # no version in common, say
                self.fail(partition, error)
            self.services.metadata.refresh(partition.tp.topic, now)
            self.retry(partition, now)

    def _caught_up(
        self,
        session: Session,
        reserved: int,
        asked: dict[FetchPartition, Asked],
        result: Result[Answer, KafkaError],
        now: float,
    ) -> None:
        session.is_catching_up = False
        self.used -= reserved
        self._awake[session] = None
        self._feed()
        for partition in asked:
            partition.catching_up = False
        if self.closed_by is not None:
            return
        if isinstance(result, Ok) and result.value.response.error_code == Code.NONE:
            response = result.value.response
            for partition, entry in self._answers.entries(response):
                if partition in asked:
                    self._answers.take(partition, asked[partition], entry, response, now)
            for partition in asked:
                before = asked[partition].offset
                self.consider(partition, now)
                # Where nothing came it joins the others, as soon as their Fetch is over.
                if partition in session.waiting and partition.next_offset == before:
                    session.waiting[partition] = now < session.until - SHORTLY
        else:
            for partition in asked:  # what is wrong shows with the next one of the session
                self.retry(partition, now)
