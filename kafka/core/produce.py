"""The produce path: which batch goes to which broker when, and what becomes of it.

Batches wait in the accumulator until a broker has room for them; only then are they taken and, if they were keyless,
given a partition. From there a batch belongs to its partition: it is in flight or waits to be sent again, as the same
bytes, to whichever broker leads the partition by then. A request carries at most one batch per partition, because a
broker keeps only one of two and says nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka.core.backoff import Backoff
from kafka.core.snapshot import Snapshot
from kafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError, ProtocolError, for_code
from kafka.protocol import ProduceRequest
from kafka.result import Err, Result

if TYPE_CHECKING:
    from kafka._codec import Accumulator, Batch, Queue
    from kafka.core.core import Core

INFINITY = float("inf")
LEADER_NOT_AVAILABLE = 5
# Topic ids (version 13 on) need a fall-back to names that is not there yet.
NEWEST_VERSION = 12

TopicProduceData = ProduceRequest.TopicProduceData
PartitionProduceData = ProduceRequest.PartitionProduceData


class ProduceConfig(NamedTuple):
    acks: int = -1
    retries: float = INFINITY
    retry_backoff: float = 0.1
    retry_backoff_max: float = 1.0
    request_timeout: float = 30.0
    delivery_timeout: float = 120.0
    max_request_size: int = 1048576


class Partition:
    """One partition's part of the path; it keeps its batches when its leader moves."""

    __slots__ = (
        "topic", "index", "leader", "queue", "retries", "not_before", "failures", "in_flight", "taken_bytes",
        "next_order", "listed", "last_error",
    )  # fmt: skip

    def __init__(self, topic: Topic, index: int) -> None:
        self.topic = topic
        self.index = index
        self.leader = -1
        self.queue: Queue | None = None  # the accumulator's, while it may have something to send
        self.retries: deque[Batch] = deque()  # in the order of their first sending
        self.not_before = 0.0  # backoff
        self.failures = 0  # in a row
        self.in_flight = 0  # batches
        self.taken_bytes = 0
        self.next_order = 0
        self.listed = False  # in its leader's list of partitions with work
        self.last_error: KafkaError | None = None


class Topic:
    __slots__ = ("name", "partitions", "known", "waiters", "rotation")

    def __init__(self, name: str) -> None:
        self.name = name
        self.partitions: list[Partition] = []
        self.known: Any = None  # the partitions of the snapshot they were last taken from
        self.waiters: list[Callable[[KafkaError | None], None]] = []
        self.rotation = 0


class Building:
    """A request being put together, and what is remembered of it until it is answered."""

    __slots__ = ("node_id", "sent", "size", "deadline")

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self.sent: dict[Partition, Batch] = {}
        self.size = 0
        self.deadline = INFINITY  # of its first batch


class Produce:
    """Implements `core.DataPath` for one producer."""

    def __init__(self, core: Core, accumulator: Accumulator, config: ProduceConfig) -> None:
        self.core = core
        self.accumulator = accumulator
        self.config = config
        self._backoff = Backoff(config.retry_backoff, config.retry_backoff_max, core.random)
        self._topics: dict[str, Topic] = {}
        self._unbound: dict[Topic, Queue] = {}  # topics with keyless batches to send
        self._work: dict[int, deque[Partition]] = {}  # by leader: partitions with batches to send
        self._retrying: dict[Partition, None] = {}
        self._in_flight: dict[Building, None] = {}
        self._due = INFINITY  # since when there is something for `tick`
        self._closed_by: KafkaError | None = None

    # -- what the core calls -----------------------------------------------------------------------------------------

    def on_room(self, node_id: int, now: float) -> None:
        self._due = min(self._due, now)

    def on_node_down(self, node_id: int, error: KafkaError, now: float) -> None:
        """Its partitions may have another leader by now: look, and meanwhile try to reach it again."""
        self._due = min(self._due, now)
        for partition in self._work.get(node_id, ()):
            partition.last_error = error
            self.core.refresh(partition.topic.name, now)
        for topic in self._unbound:
            self.core.refresh(topic.name, now)
            for partition in topic.partitions:
                if partition.leader == node_id:
                    partition.last_error = error

    def on_metadata(self, snapshot: Snapshot, now: float) -> None:
        self._due = min(self._due, now)
        for name, topic in self._topics.items():
            known = snapshot.topics.get(name)
            if known is None:
                continue
            if known.partitions and known.partitions is not topic.known:
                self._take_over(topic, known.partitions)
            if known.error is not None and not known.error.retriable:
                self._give_up_topic(topic, known.error)
            if topic.partitions or (known.error is not None and not known.error.retriable):
                self._answer_waiters(topic, known.error if not topic.partitions else None)

    def tick(self, now: float) -> None:
        self._due = INFINITY
        accumulator = self.accumulator
        for batch in accumulator.take_expired(now):
            batch.fail(self._timed_out(batch, self._partition_of(batch)))
        for queue in accumulator.take_ready(now):
            self._on_queue_ready(queue, now)
        if self._retrying:
            self._check_retries(now)
        for building in list(self._in_flight):
            if building.deadline <= now:
                self._expire_in_flight(building, now)
        if self._work or self._unbound:
            self._fill(now)

    def next_deadline(self) -> float:
        deadline = min(self._due, self.accumulator.next_deadline())
        for partition in self._retrying:
            deadline = min(deadline, partition.retries[0].deadline)
            if not partition.listed and partition.leader >= 0:
                deadline = min(deadline, partition.not_before)
        for building in self._in_flight:
            deadline = min(deadline, building.deadline)
        return deadline

    # -- what the producer asks, on the driver's thread ----------------------------------------------------------------

    def await_topic(self, name: str, callback: Callable[[KafkaError | None], None], now: float) -> None:
        """Learn about a topic; `callback` gets None once its partitions are known, or why they will not be."""
        if self._closed_by is not None:
            callback(self._closed_by)
            return
        topic = self._topic(name)
        topic.waiters.append(callback)
        self.core.want_topic(name, now)
        if topic.partitions:
            self._answer_waiters(topic, None)

    def close(self, error: KafkaError) -> None:
        """Fail what was not delivered; nothing is sent any more."""
        self._closed_by = error
        for building in list(self._in_flight):
            for batch in building.sent.values():
                if not batch.cell.done:
                    batch.fail(error)
        self._in_flight.clear()
        for partition in self._retrying:
            for batch in partition.retries:
                batch.fail(error)
            partition.retries.clear()
        self._retrying.clear()
        for batch in self.accumulator.take_expired(INFINITY):
            batch.fail(error)
        for topic in self._topics.values():
            self._answer_waiters(topic, error)

    # -- topics and leaders ------------------------------------------------------------------------------------------

    def _topic(self, name: str) -> Topic:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(name)
            known = self.core.snapshot.topics.get(name)
            if known is not None and known.partitions:
                self._take_over(topic, known.partitions)
        return topic

    def _take_over(self, topic: Topic, known: Any) -> None:
        """The snapshot says something new about a topic's partitions."""
        topic.known = known
        while len(topic.partitions) < len(known):
            topic.partitions.append(Partition(topic, len(topic.partitions)))
        # A topic that was made anew may have fewer partitions than before: nobody leads the others.
        leaders = [entry.leader for entry in known] + [-1] * (len(topic.partitions) - len(known))
        for partition, leader in zip(topic.partitions, leaders, strict=True):
            if partition.leader != leader:
                if partition.listed:
                    self._work[partition.leader].remove(partition)
                    partition.listed = False
                partition.leader = leader
                partition.not_before = 0.0  # a new leader has refused nothing
                if partition.queue is not None or partition.retries:
                    self._list(partition)
        self.accumulator.set_partition_count(topic.name, len(topic.partitions))

    def _answer_waiters(self, topic: Topic, error: KafkaError | None) -> None:
        waiters, topic.waiters = topic.waiters, []
        for waiter in waiters:
            waiter(error)

    def _give_up_topic(self, topic: Topic, error: KafkaError) -> None:
        """No broker will ever take this topic's records: say so now rather than when they time out."""
        queues = [partition.queue for partition in topic.partitions if partition.queue is not None]
        queues += [queue for other, queue in self._unbound.items() if other is topic]
        for queue in queues:
            while (batch := queue.pull(INFINITY)) is not None:
                batch.fail(error)
        self._unbound.pop(topic, None)
        for partition in topic.partitions:
            partition.queue = None

    def _list(self, partition: Partition) -> None:
        """Its leader's next request with room takes something from this partition."""
        if not partition.listed and partition.leader >= 0:
            partition.listed = True
            self._work.setdefault(partition.leader, deque()).append(partition)

    def _on_queue_ready(self, queue: Queue, now: float) -> None:
        self.core.want_topic(queue.topic, now)
        topic = self._topic(queue.topic)
        if queue.partition < 0:
            self._unbound[topic] = queue
            return
        partition = topic.partitions[queue.partition]
        partition.queue = queue
        if partition.leader < 0:
            self.core.refresh(topic.name, now)
        else:
            self._list(partition)

    # -- sending -----------------------------------------------------------------------------------------------------

    def _fill(self, now: float) -> None:
        """Put together requests for every connection with room, until there is no more room or nothing to send."""
        if self._closed_by is not None:
            return
        while True:
            requests: dict[int, Building] = {}
            for node_id in [node_id for node_id, work in self._work.items() if work]:
                if self.core.room(node_id) > 0:
                    self._take_bound(node_id, requests, now)
                else:
                    self.core.ensure_node(node_id, now)
            for topic, queue in list(self._unbound.items()):
                self._take_unbound(topic, queue, requests, now)
            if not requests:
                return
            for node_id, building in requests.items():
                self._send(node_id, building, now)

    def _has_space(self, building: Building) -> bool:
        return not building.sent or building.size + self.accumulator.largest <= self.config.max_request_size

    def _take_bound(self, node_id: int, requests: dict[int, Building], now: float) -> None:
        work = self._work[node_id]
        building = Building(node_id)
        for _ in range(len(work)):
            if not self._has_space(building):
                break
            partition = work.popleft()
            batch: Batch | None
            if partition.not_before > now:
                partition.listed = False  # `_check_retries` lists it again when its backoff is over
                continue
            if partition.retries:
                batch = partition.retries.popleft()
                if not partition.retries:
                    del self._retrying[partition]
            elif partition.queue is not None:
                batch = partition.queue.pull(now)
                if batch is None:
                    partition.queue = None
            else:
                batch = None
            if batch is None:
                partition.listed = False
                continue
            work.append(partition)  # behind the others: each gets its turn
            self._put(building, partition, batch)
        if building.sent:
            requests[node_id] = building

    def _take_unbound(self, topic: Topic, queue: Queue, requests: dict[int, Building], now: float) -> None:
        """Give keyless batches the partitions that are least busy, of those that could send at once."""
        while True:
            partition = self._least_busy(topic, requests, now)
            if partition is None:
                return
            batch = queue.pull(now)
            if batch is None:
                del self._unbound[topic]
                return
            batch.bind(partition.index)
            building = requests.get(partition.leader) or Building(partition.leader)
            self._put(building, partition, batch)
            if building.sent:
                requests[partition.leader] = building

    def _least_busy(self, topic: Topic, requests: dict[int, Building], now: float) -> Partition | None:
        best = None
        rooms: dict[int, bool] = {}
        for partition in topic.partitions:
            leader = partition.leader
            open_for_more = rooms.get(leader)
            if open_for_more is None:
                building = requests.get(leader)
                if building is not None:
                    open_for_more = self._has_space(building)
                else:
                    open_for_more = leader >= 0 and self.core.room(leader) > 0
                    if not open_for_more and leader >= 0:
                        self.core.ensure_node(leader, now)  # its partitions are to have their share
                rooms[leader] = open_for_more
            if not open_for_more or partition.retries or partition.not_before > now:
                continue
            if leader in requests and partition in requests[leader].sent:
                continue
            if best is None or (partition.in_flight, partition.taken_bytes) < (best.in_flight, best.taken_bytes):
                best = partition
        return best

    def _put(self, building: Building, partition: Partition, batch: Batch) -> None:
        if batch.attempts == 0:
            try:
                batch.compress()
            except Exception as cause:
                error = KafkaError(f"{batch!r} could not be compressed: {cause!r}")
                error.__cause__ = cause.with_traceback(None)  # whose frames hold the batch
                batch.fail(error)
                return
            batch.stamp()
            batch.order = partition.next_order
            partition.next_order += 1
            partition.taken_bytes += batch.size
        batch.attempts += 1
        partition.in_flight += 1
        building.sent[partition] = batch
        building.size += batch.size
        building.deadline = min(building.deadline, batch.deadline)

    def _send(self, node_id: int, building: Building, now: float) -> None:
        topics: dict[Topic, list[PartitionProduceData]] = {}
        for partition, batch in building.sent.items():
            data = PartitionProduceData(index=partition.index, records=memoryview(batch))
            entries = topics.get(partition.topic)
            if entries is None:
                topics[partition.topic] = [data]
            else:
                entries.append(data)
        acks = self.config.acks
        request = ProduceRequest(
            acks=acks,
            timeout_ms=int(self.config.request_timeout * 1000),
            topic_data=[TopicProduceData(name=topic.name, partition_data=data) for topic, data in topics.items()],
        )
        self._in_flight[building] = None
        self.core.send(
            node_id, ProduceRequest, request, partial(self._answered, building), now, self.config.request_timeout,
            newest=NEWEST_VERSION, answered=acks != 0,
        )  # fmt: skip

    # -- outcomes ----------------------------------------------------------------------------------------------------

    def _answered(self, building: Building, result: Result[Any, KafkaError], now: float) -> None:
        self._in_flight.pop(building, None)
        if isinstance(result, Err):
            for partition, batch in building.sent.items():
                self._failed(partition, batch, result.error, now)
            return
        if result.value is None:  # acks=0: written is all that will ever be known
            for partition, batch in building.sent.items():
                self._delivered(partition, batch, -1, -1)
            return
        answers = self._match(building, result.value)
        for partition, batch in building.sent.items():
            answer = answers.get(partition)
            if answer is None:
                # Whether it was kept nobody can tell.
                error = ProtocolError(
                    f"the answer to a ProduceRequest does not name {partition.topic.name}[{partition.index}] just once"
                )
                self._failed(partition, batch, error, now)
            elif answer.error is None:
                self._delivered(partition, batch, answer.base_offset, answer.log_append_time_ms)
            else:
                self._failed(partition, batch, answer.error, now)

    def _match(self, building: Building, response: Any) -> dict[Partition, Any]:
        """The answer for each partition asked about; none where it was answered twice."""
        answers: dict[Partition, Any] = {}
        for entry in response.responses:
            topic = self._topics.get(entry.name)
            if topic is None:
                continue
            for answer in entry.partition_responses:
                if not 0 <= answer.index < len(topic.partitions):
                    continue
                partition = topic.partitions[answer.index]
                answers[partition] = None if partition in answers else answer
        return answers

    def _delivered(self, partition: Partition, batch: Batch, base_offset: int, log_append_time: int) -> None:
        partition.in_flight -= 1
        partition.failures = 0
        partition.last_error = None
        if not batch.cell.done:
            batch.complete(base_offset, log_append_time)

    def _failed(self, partition: Partition, batch: Batch, error: KafkaError, now: float) -> None:
        partition.in_flight -= 1
        if batch.cell.done:
            return
        partition.last_error = error
        if error.invalid_metadata:
            self.core.refresh(partition.topic.name, now)
        if self._closed_by is not None:
            batch.fail(self._closed_by)
        elif not error.retriable or batch.attempts > self.config.retries:
            batch.fail(error)
        elif now >= batch.deadline:
            batch.fail(self._timed_out(batch, partition))
        else:
            if partition.not_before <= now:  # the batches that fail together count as one failure
                partition.failures += 1
                partition.not_before = now + self._backoff.delay(partition.failures)
            at = len(partition.retries)
            while at > 0 and partition.retries[at - 1].order > batch.order:
                at -= 1
            partition.retries.insert(at, batch)
            self._retrying[partition] = None

    def _check_retries(self, now: float) -> None:
        for partition in list(self._retrying):
            while partition.retries and partition.retries[0].deadline <= now:
                batch = partition.retries.popleft()
                batch.fail(self._timed_out(batch, partition))
            if not partition.retries:
                del self._retrying[partition]
                partition.not_before = 0.0
                if partition.queue is not None:
                    self._list(partition)
            elif partition.leader < 0:
                self.core.refresh(partition.topic.name, now)
            elif partition.not_before <= now:
                self._list(partition)

    def _expire_in_flight(self, building: Building, now: float) -> None:
        """Say that time is over; the bytes stay with the request until the connection has let go of them."""
        building.deadline = INFINITY
        for partition, batch in building.sent.items():
            if batch.cell.done:
                continue
            if batch.deadline <= now:
                batch.fail(self._timed_out(batch, partition))
            else:
                building.deadline = min(building.deadline, batch.deadline)

    def _partition_of(self, batch: Batch) -> Partition | None:
        topic = self._topics.get(batch.topic)
        if topic is None or batch.partition < 0 or batch.partition >= len(topic.partitions):
            return None
        return topic.partitions[batch.partition]

    def _timed_out(self, batch: Batch, partition: Partition | None) -> KafkaTimeoutError:
        """What happened to a batch that did not make it within the delivery timeout."""
        name = batch.topic if batch.partition < 0 else f"{batch.topic}[{batch.partition}]"
        known = self.core.snapshot.topics.get(batch.topic)
        error: BaseException | None = partition.last_error if partition is not None else None
        if error is None and batch.partition < 0:
            topic = self._topics.get(batch.topic)
            error = next((p.last_error for p in topic.partitions if p.last_error is not None), None) if topic else None
        if error is None and known is not None:
            error = known.error
        if error is None and known is not None and known.partitions:
            leaders = [partition.leader] if partition is not None else [place.leader for place in known.partitions]
            if max(leaders) < 0:
                error = for_code(LEADER_NOT_AVAILABLE)
        if error is None:
            error = self.core.metadata.error
        timeout = KafkaTimeoutError(
            f"{batch.records} record{'s were' if batch.records > 1 else ' was'} not delivered to {name} within "
            f"delivery_timeout_ms ({self.config.delivery_timeout * 1000:.0f} ms); times sent: {batch.attempts}."
            + (f" The last failure: {error}" if error is not None else "")
        )
        timeout.__cause__ = error
        return timeout


def closed_error() -> KafkaError:
    """What becomes of records that a producer has not delivered when it is closed."""
    return IllegalStateError("The producer was closed before this record was delivered.")
