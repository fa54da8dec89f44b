"""The produce path: which batch goes to which broker when.

Batches wait in the accumulator until a broker has room for them; only then are they taken and, if they were keyless,
given a partition. From there a batch belongs to its partition (`partitions`) until its outcome is known (`delivery`):
it is in flight, or waits to be sent again, as the same bytes, to whichever broker leads the partition by then. A
request carries at most one batch per partition, because a broker keeps only one of two and says nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka.core.cluster.snapshot import NO_ID, Snapshot
from kafka.core.net.lanes import Lane
from kafka.core.parts import Services
from kafka.core.produce.deferred import DeferredRecords
from kafka.core.produce.delivery import Delivery
from kafka.core.produce.identity import Identity
from kafka.core.produce.numbering import IdempotentNumbering, Numbering, TransactionalNumbering
from kafka.core.produce.outcomes import Outcomes
from kafka.core.produce.partitions import MOST_IN_FLIGHT, Partition, Topic
from kafka.core.produce.request import PendingRequest
from kafka.core.produce.sizes import RequestSizes
from kafka.core.produce.waiters import Waiter, Waiters
from kafka.core.transactions.transactions import Transactions
from kafka.errors import IllegalStateError, KafkaError
from kafka.protocol import ProduceRequest

if TYPE_CHECKING:
    from kafka._codec import Accumulator, Batch, Queue

INFINITY = float("inf")
# The newest version that names topics by their names, not their ids.
NEWEST_BY_NAME = 12


class ProduceConfig(NamedTuple):
    acks: int = -1
    idempotent: bool = False
    max_in_flight: int = MOST_IN_FLIGHT  # batches of a partition
    retries: float = INFINITY
    retry_backoff: float = 0.1
    retry_backoff_max: float = 1.0
    request_timeout: float = 30.0
    delivery_timeout: float = 120.0
    max_request_size: int = 1048576
    rack: str | None = None  # where this client is: keyless batches go to leaders there, while any can be reached


class Produce:
    """The part of a client that produces. `counts` says how often each rule of delivery was applied."""

    lane = Lane.PRODUCE

    def __init__(
        self,
        services: Services,
        accumulator: Accumulator,
        config: ProduceConfig,
        transactions: Transactions | None = None,
    ) -> None:
        self.services = services
        self.brokers = services.brokers(self.lane)
        self._metadata = services.metadata
        self.accumulator = accumulator
        self.config = config
        self.counts: Counter[str] = Counter()
        self._unnumbered: dict[Partition, None] = {}  # waiting for a producer id, or to be part of a transaction
        self.transactions = transactions
        self.identity: Identity | Transactions | None = transactions
        self.numbering = Numbering()
        if transactions is not None:
            transactions.records = self
            self.numbering = TransactionalNumbering(transactions, self._unnumbered)
        elif config.idempotent:
            self.identity = identity = Identity(services.calls, config.request_timeout, self.on_identity)
            self.numbering = IdempotentNumbering(identity, self._unnumbered, self.counts)
        self.topics: dict[str, Topic] = {}
        self.closed_by: KafkaError | None = None
        self.in_flight: dict[PendingRequest, None] = {}
        self.outcomes = Outcomes(
            services.metadata, self.topics, services.events, self.numbering, self.counts, config.delivery_timeout,
            services.timers,
        )  # fmt: skip
        self.sizes = RequestSizes()
        self.deferred = DeferredRecords(self)
        self._delivery = Delivery(self)
        self._tell_sent = services.events.batches_sent
        self._waiters = Waiters(services.metadata, accumulator)
        self._work: dict[int, deque[Partition]] = {}  # by leader: partitions with batches to send
        self._unbound: dict[Topic, None] = {}  # topics with keyless batches that some leader may have room for
        self._full: dict[int, dict[Topic, None]] = {}  # by leader without room: topics it could take keyless ones of
        self._due = INFINITY  # since when there is something for `tick`

    # -- what the core calls -----------------------------------------------------------------------------------------

    def on_room(self, node_id: int, now: float) -> None:
        self._due = min(self._due, now)
        self._unbound.update(self._full.pop(node_id, {}))

    def on_node_down(self, node_id: int, error: KafkaError, now: float) -> None:
        """Its partitions may have another leader by now: look, and meanwhile try to reach it again."""
        self._due = min(self._due, now)
        for partition in self._work.get(node_id, ()):
            partition.last_error = error
            self._metadata.refresh(partition.topic.name, now)
        for topic in self._full.pop(node_id, {}):
            self._unbound[topic] = None
            self._metadata.refresh(topic.name, now)
            for partition in topic.partitions:
                if partition.leader == node_id:
                    partition.last_error = error
                    partition.away = True
        if self.config.rack is not None:  # keyless batches that kept to this broker's rack may go further now
            for topic in self.topics.values():
                if topic.unbound is not None and node_id in topic.leaders:
                    self._unbound[topic] = None

    def on_metadata(self, snapshot: Snapshot, now: float) -> None:
        self._due = min(self._due, now)
        # Who waits for room with a broker that went unnamed for a while hears of it no other way.
        for leader in list(self._full):
            self._unbound.update(self._full.pop(leader))
        for name in snapshot.touched:
            topic, known = self.topics.get(name), snapshot.topics.get(name)
            if topic is None or known is None:
                continue
            if known.partitions and known.partitions is not topic.known:
                self._take_over(topic, known.id, known.partitions, now)
            if (error := known.error) is not None and error.retriable:
                error = None
            if error is not None:
                self._give_up_topic(topic, error, now)
                for partition in topic.partitions:
                    self._delivery.give_up_waiting(partition, error, now)
                self.deferred.fail(name, error, now)
            self._waiters.answer(topic, error)
        self._waiters.ask_again(now)

    def on_identity(self, now: float) -> None:
        """There is a producer id, or (`error`) there will be none."""
        assert self.identity is not None
        self._due = min(self._due, now)
        if self.transactions is not None and self.transactions.error is not None:
            self.drop_unsent(self.transactions.error, now)
        waiting = list(self._unnumbered)
        self._unnumbered.clear()
        for partition in waiting:
            if self.identity.error is None:
                self.reconsider(partition, now)
            else:
                self._delivery.give_up(partition, self.identity.error, now)
                self._give_up_topic(partition.topic, self.identity.error, now)
                self.reconsider(partition, now)  # the next record asks again

    def tick(self, now: float) -> None:
        if self.closed_by is not None:
            return
        self._due = INFINITY
        accumulator = self.accumulator
        self.deferred.tick(now)
        for batch in accumulator.take_expired(now):
            self._delivery.expire_unsent(batch, now)
        for queue in accumulator.take_ready(now):
            self._on_queue_ready(queue, now)
        for pending in list(self.in_flight):
            if pending.deadline <= now:
                self._delivery.expire_in_flight(pending, now)
        if self._work or self._unbound:
            self._fill(now)
        if self.transactions is not None and self.transactions.is_ending and self.is_settled():
            self.transactions.on_settled(now)

    def next_deadline(self) -> float:
        if self.closed_by is not None:
            return INFINITY
        deadline = min(self._due, self.accumulator.next_deadline(), self.deferred.next_deadline())
        for pending in self.in_flight:
            deadline = min(deadline, pending.deadline)
        return deadline

    def uses(self, name: str) -> bool:
        """Whether there is anything to be delivered to this topic."""
        topic = self.topics.get(name)
        return topic is not None and (
            bool(topic.waiters)
            or name in self.deferred
            or topic.unbound is not None
            or any(p.outstanding or p.queue is not None for p in topic.partitions)
        )

    # -- what the producer asks, on the driver's thread ----------------------------------------------------------------

    def await_topic(self, name: str, callback: Waiter, now: float, least: int = 1) -> None:
        """Learn about a topic; `callback` gets None once `least` partitions are known, or why they will not be."""
        if self.closed_by is not None:
            callback(self.closed_by)
            return
        self._metadata.want(name, now)
        self._waiters.add(self._topic(name, now), least, callback, now)

    def learn(self, name: str, now: float) -> None:
        """Ask about this topic, for records that are deferred until its partitions are known."""
        self._metadata.want(name, now)
        if self._topic(name, now).partitions:
            self.deferred.put(name, now)

    def forget_waiter(self, name: str, callback: Waiter) -> None:
        """Who asked `await_topic` does not wait any longer."""
        topic = self.topics.get(name)
        if topic is not None:
            self._waiters.forget(topic, callback)

    def close(self, error: KafkaError, now: float) -> None:
        """Fail what was not delivered; nothing is sent any more."""
        if self.closed_by is not None:
            return
        self.closed_by = error
        for topic in self.topics.values():
            for partition in topic.partitions:
                self._delivery.give_up(partition, error, now)
        self.in_flight.clear()
        for batch in self.accumulator.take_expired(INFINITY):
            self.outcomes.failed(batch, error, now)
        self.deferred.fail_all(error, now)
        for topic in self.topics.values():
            self._waiters.answer(topic, error)
        # What is left of the core refers to itself in circles; the accumulator's memory is not to wait for a collector.
        for topic in self.topics.values():
            topic.unbound = None
            for partition in topic.partitions:
                partition.let_go()
        self._waiters.let_go()
        del self.accumulator

    def is_settled(self) -> bool:
        """Whether no record is buffered, waiting or on the wire."""
        return self.closed_by is not None or not (self.in_flight or self.accumulator.unresolved())

    def drop_unsent(self, error: KafkaError, now: float) -> None:
        """The transaction is not to be committed: fail all but what is on the wire, and take nothing more."""
        if self.closed_by is not None:
            return
        self.accumulator.close()
        self.deferred.fail_all(error, now)
        for batch in self.accumulator.take_expired(INFINITY):
            self.outcomes.failed(batch, error, now)
        for topic in self.topics.values():
            for partition in topic.partitions:
                self._delivery.give_up(partition, error, now, in_flight=False)

    # -- topics and leaders ------------------------------------------------------------------------------------------

    def _topic(self, name: str, now: float) -> Topic:
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(name)
            known = self._metadata.snapshot.topics.get(name)
            if known is not None and known.partitions:
                self._take_over(topic, known.id, known.partitions, now)
        return topic

    def _take_over(self, topic: Topic, id: bytes, known: Any, now: float) -> None:
        """The snapshot says something new about a topic's partitions."""
        topic.known = known
        recreated = NO_ID not in (id, topic.id) and id != topic.id
        if id != NO_ID:
            topic.id = id
        while len(topic.partitions) < len(known):
            topic.partitions.append(Partition(topic, len(topic.partitions)))
        # A topic that was recreated may have fewer partitions than before: nobody leads the others.
        places = [(entry.leader, entry.leader_epoch) for entry in known]
        places += [(-1, -1)] * (len(topic.partitions) - len(known))
        for partition, (leader, epoch) in zip(topic.partitions, places, strict=True):
            if recreated:
                self._delivery.on_topic_recreated(partition)
            if partition.leader != leader:
                self.counts["old leader drained first"] += partition.in_flight > 0
                if partition.listed:
                    self._work[partition.leader].remove(partition)
                    partition.listed = False
                partition.leader = leader
                partition.away |= leader < 0
            elif partition.leader_epoch == epoch and not recreated:
                continue
            partition.leader_epoch = epoch
            partition.asking = None  # what the leader before would have said
            partition.not_before = 0.0  # this leader has refused nothing
            self.reconsider(partition, now)
        topic.leaders = frozenset(partition.leader for partition in topic.partitions)
        if self.config.rack is not None and topic.unbound is not None:
            self._unbound[topic] = None  # which leaders are near may have changed
        self.accumulator.set_partition_count(
            topic.name, len(known), recreated=recreated, keyless=self._led_for_keyless(topic)
        )
        self.deferred.put(topic.name, now)

    def _give_up_topic(self, topic: Topic, error: KafkaError, now: float) -> None:
        """No broker will ever take this topic's records: say so now rather than when they time out."""
        queues = [partition.queue for partition in topic.partitions if partition.queue is not None]
        if topic.unbound is not None:
            queues.append(topic.unbound)
        # All are taken before the first fails: a callback may send to the topic again.
        batches = [batch for queue in queues for batch in iter(partial(queue.pull, INFINITY), None)]
        self._unbound.pop(topic, None)
        topic.unbound = None
        for partition in topic.partitions:
            partition.queue = None
        for batch in batches:
            self.outcomes.failed(batch, error, now)

    def reconsider(self, partition: Partition, now: float) -> None:
        """Something about this partition has changed: see to it that what it has to send gets sent."""
        if partition.leader < 0 or partition.not_before > now or self.closed_by is not None:
            return
        if partition.in_flight and (partition.proven is None or partition.in_flight >= self.config.max_in_flight):
            return  # the next answer makes us look again
        waiting = partition.waiting
        if waiting or partition.queue is not None:
            self._list(partition)
        topic = partition.topic
        if topic.free is not None and not waiting:
            topic.offer(partition)
            if topic.unbound is not None:
                self._unbound[topic] = None
        if now < self._due:
            self._due = now

    def _list(self, partition: Partition) -> None:
        """Its leader's next request with room takes something from this partition."""
        if not partition.listed:
            partition.listed = True
            self._work.setdefault(partition.leader, deque()).append(partition)

    def _on_queue_ready(self, queue: Queue, now: float) -> None:
        self._metadata.want(queue.topic, now)
        topic = self._topic(queue.topic, now)
        if queue.partition < 0:
            topic.unbound = queue
            self._unbound[topic] = None
            if topic.free is None:
                topic.free = {}
                for partition in topic.partitions:
                    self.reconsider(partition, now)
            return
        partition = topic.partitions[queue.partition]
        partition.queue = queue
        if partition.leader < 0:
            self._metadata.refresh(topic.name, now)
        else:
            self.reconsider(partition, now)

    # -- sending -----------------------------------------------------------------------------------------------------

    def _fill(self, now: float) -> None:
        """Put together requests for every connection with room, until there is no more room or nothing to send."""
        if self.closed_by is not None:
            return
        while True:
            requests: dict[int, PendingRequest] = {}
            for node_id, work in list(self._work.items()):
                if work:
                    if self._room(node_id) > 0:
                        self._take_bound(node_id, work, requests, now)
                    else:
                        self.brokers.ensure(node_id, now)
            for topic in list(self._unbound):
                self._take_unbound(topic, requests, now)
            requests = {node_id: pending for node_id, pending in requests.items() if pending.sent}
            if not requests:
                return
            for pending in requests.values():
                self._send(pending, now)

    def _room(self, node_id: int) -> int:
        if self.sizes.suspects and any(pending.alone and pending.node_id == node_id for pending in self.in_flight):
            return 0
        return self.brokers.room(node_id)

    def _has_space(self, pending: PendingRequest, now: float) -> bool:
        if not pending.sent:
            return not pending.alone
        largest = self.accumulator.largest
        if pending.node_id in self.sizes.limits and not self.sizes.has_space(pending, largest, now):
            return False
        return not pending.alone and pending.size + largest <= self.config.max_request_size

    def _take_bound(
        self, node_id: int, work: deque[Partition], requests: dict[int, PendingRequest], now: float
    ) -> None:
        pending = requests[node_id] = PendingRequest(node_id, self.brokers.connection_id(node_id))
        if self.sizes.suspects and self._take_suspect(pending, work, now):
            return
        for _ in range(len(work)):
            if not self._has_space(pending, now):
                break
            partition = work.popleft()
            partition.listed = False
            batch = self._next_batch(partition, pending, now)
            if batch is not None:
                self._put(pending, partition, batch, now)
                if partition.waiting or partition.queue is not None:
                    self._list(partition)  # behind the others: each gets its turn

    def _take_suspect(self, pending: PendingRequest, work: deque[Partition], now: float) -> bool:
        """Where a batch is to be sent alone: take it if nothing is in flight; if something is, take nothing."""
        for partition in [partition for partition in work if partition.suspect is not None]:
            pending.alone = any(other.node_id == pending.node_id for other in self.in_flight)
            if pending.alone:
                return True  # the next answer makes us look again
            work.remove(partition)
            partition.listed = False
            batch = self._next_batch(partition, pending, now)
            if batch is not None:
                pending.alone = True
                self._put(pending, partition, batch, now)
                return True
        return False

    def _next_batch(self, partition: Partition, pending: PendingRequest, now: float) -> Batch | None:
        """What this partition may send now. Where that is nothing, `reconsider` is called when it may have changed."""
        if not partition.waiting and (partition.queue is None or partition.queue.let_go()):
            partition.queue = None
            return None
        if partition.not_before > now or not partition.may_send(pending.sent_on(partition), self.config.max_in_flight):
            return None
        if not self.numbering.may_send(partition, now):
            return None
        if partition.waiting:
            batch = partition.next_waiting()
            if batch is not None or not partition.broken:
                return batch
        if not self.numbering.may_number(partition, now):
            return None
        if partition.waiting:
            return partition.next_waiting()
        if partition.queue is None:
            return None
        batch = partition.queue.pull(now)
        if batch is None:
            partition.queue = None
        return batch

    def _take_unbound(self, topic: Topic, requests: dict[int, PendingRequest], now: float) -> None:
        """Give keyless batches the partitions that are least busy, of those that could send at once."""
        while topic.unbound is not None:
            if topic.unbound.let_go():
                topic.unbound = None
                break
            partition = self._least_busy(topic, requests, now)
            if partition is None:
                self._unbound.pop(topic, None)
                return
            pending = requests[partition.leader]
            if (
                partition in pending.sent
                or partition.waiting
                or partition.not_before > now
                or not partition.may_send(pending.sent_on(partition), self.config.max_in_flight)
                or not self.numbering.may_send_keyless(partition, now)
                or not self.numbering.may_number(partition, now)
            ):
                continue  # it is offered again when that has changed
            batch = topic.unbound.pull(now)
            if batch is None:
                topic.unbound = None
                topic.offer(partition)
                break
            batch.bind(partition.index)
            self._put(pending, partition, batch, now)
        self._unbound.pop(topic, None)  # what was called on the way may have given the topic up

    def _least_busy(self, topic: Topic, requests: dict[int, PendingRequest], now: float) -> Partition | None:
        best = None
        leaders = (topic.free or ()) if self.config.rack is None else self._leaders_for_keyless(topic, now)
        for leader in leaders:
            entry = topic.least_busy(leader)
            if entry is None or (best is not None and best <= entry):
                continue
            pending = requests.get(leader)
            if pending is None:
                if self._room(leader) <= 0:
                    self._full.setdefault(leader, {})[topic] = None
                    self.brokers.ensure(leader, now)  # its partitions are to have their share
                    continue
                pending = requests[leader] = PendingRequest(leader, self.brokers.connection_id(leader))
            if self._has_space(pending, now):
                best = entry
            else:
                self._full.setdefault(leader, {})[topic] = None
        return None if best is None else topic.take(best)

    def _leaders_for_keyless(self, topic: Topic, now: float) -> Iterable[int]:
        """Whose partitions may take this topic's keyless batches: those in the client's rack, or all (KIP-1123)."""
        known, rack = self._metadata.snapshot.brokers, self.config.rack
        near = [leader for leader in topic.leaders if leader in known and known[leader].rack == rack]
        for leader in near:
            self.brokers.ensure(leader, now)
        return [leader for leader in near if not self.brokers.is_failing(leader)] or topic.free or ()

    def _led_for_keyless(self, topic: Topic) -> list[int]:
        """The partitions for keyless records that are to know theirs at once: led by somebody, if possible nearby."""
        known, rack = self._metadata.snapshot.brokers, self.config.rack
        led = [partition for partition in topic.partitions if partition.leader >= 0]
        near = [p for p in led if rack is not None and p.leader in known and known[p.leader].rack == rack]
        return [partition.index for partition in near or led]

    def _put(self, pending: PendingRequest, partition: Partition, batch: Batch, now: float) -> None:
        if batch.attempts == 0:
            try:
                batch.compress()
            except Exception as cause:
                error = KafkaError(f"{batch!r} could not be compressed: {cause!r}")
                error.__cause__ = cause.with_traceback(None)  # whose frames hold the batch
                self.outcomes.failed(batch, error, now)
                if batch in partition.outstanding:
                    self._delivery.take_out(partition, batch)
                self.reconsider(partition, now)
                return
            partition.taken_bytes += batch.size
            if not batch.stamped and batch not in partition.outstanding:
                batch.sequence = partition.next_sequence
                partition.next_sequence += batch.records
                partition.outstanding.append(batch)
        if not batch.stamped:
            batch.stamped = True
            self.numbering.stamp(partition, batch)
        batch.attempts += 1
        self.numbering.on_batch_sent()
        batch.in_flight = True
        partition.in_flight += 1
        partition.sent_on = pending.sent_on(partition)
        pending.add(partition, batch)

    def _send(self, pending: PendingRequest, now: float) -> None:
        config = self.config
        message = pending.message(self.numbering.transactional_id, config.acks, config.request_timeout)
        # By id (KIP-516) a topic that was recreated is not mistaken for the one before.
        newest = NEWEST_BY_NAME if NO_ID in pending.topics else None
        newest = self.numbering.newest_produce_version(newest)
        version = self.brokers.version_for(pending.node_id, ProduceRequest, newest)
        if isinstance(version, int) and version <= NEWEST_BY_NAME:
            for partition in pending.sent:
                partition.topic.named = True
        self.in_flight[pending] = None
        self.brokers.send(
            pending.node_id, ProduceRequest, message, partial(self._delivery.answered, pending), now,
            config.request_timeout, newest=newest, answered=config.acks != 0,
        )  # fmt: skip
        pending.on_wire = pending in self.in_flight
        if self._tell_sent is not None and pending.on_wire:
            self._tell_sent(pending.sent, now)
        for partition in pending.sent:
            self.reconsider(partition, now)


def closed_error() -> KafkaError:
    """What becomes of records that a producer has not delivered when it is closed."""
    return IllegalStateError("The producer was closed before this record was delivered.")
