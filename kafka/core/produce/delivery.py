"""What becomes of a batch that was sent: delivered, sent again, split, failed.

An idempotent producer's batches of one partition are numbered without a gap, and brokers refuse what does not follow.
So a batch that may be in the log is never dropped or renumbered: when its time is over its futures fail, as
POSSIBLY_PERSISTED, but its bytes are sent again until a leader says what it has. Only then do later batches follow, and
only what is certainly in no log gets another number.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from kafka.core.backoff import Backoff
from kafka.core.cluster.snapshot import BrokerInfo
from kafka.core.flows import Task
from kafka.core.produce import inquiry
from kafka.core.produce.partitions import Partition
from kafka.core.produce.sizes import too_large
from kafka.errors import KafkaConnectionError, KafkaError, ProtocolError, for_code
from kafka.protocol.codes import Code
from kafka.result import Err, Ok, Result

if TYPE_CHECKING:
    from kafka._codec import Batch
    from kafka.core.produce.path import Produce
    from kafka.core.produce.request import PendingRequest

INFINITY = float("inf")
# While the transaction before is being completed: a matter of milliseconds.
SHORTLY = 0.02
# Seconds for which every leader has the last number of a producer (for a day, if producer.id.expiration.ms is not set).
REMEMBERED = 600.0
# The broker knows this producer id no longer, or not with this epoch.
UNKNOWN_PRODUCER = frozenset((Code.INVALID_PRODUCER_EPOCH, Code.INVALID_PRODUCER_ID_MAPPING, Code.UNKNOWN_PRODUCER_ID))
# Of the errors that brokers answer a produce request with: those after which the batch may be in the log. Every other
# known one is given before anything is appended.
AMBIGUOUS = frozenset(
    (
        Code.UNKNOWN_SERVER_ERROR,
        Code.REQUEST_TIMED_OUT,
        Code.NETWORK_EXCEPTION,
        Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Code.KAFKA_STORAGE_ERROR,
    )
)


class Delivery:
    def __init__(self, produce: Produce) -> None:
        self._path = produce
        services = produce.services
        self._services = services
        self._metadata = services.metadata
        self._timers = services.timers
        self._config = produce.config
        self._counts = produce.counts
        self._numbering = produce.numbering
        self._outcomes = produce.outcomes
        self._backoff = Backoff(produce.config.retry_backoff, produce.config.retry_backoff_max, services.random)
        self._short_backoff = Backoff(min(SHORTLY, self._backoff.first), self._backoff.first, services.random)

    # -- answers -----------------------------------------------------------------------------------------------------

    def answered(self, pending: PendingRequest, result: Result[Any, KafkaError], now: float) -> None:
        """A request is over: `_delivered`, `_refused` or `_failed` says for each of its batches what follows."""
        if pending not in self._path.in_flight:
            return  # closed in the meantime
        del self._path.in_flight[pending]
        answers: dict[Partition, Any] = {}
        if isinstance(result, Ok) and result.value is not None:
            answers = self._match(pending, result.value)
            for partition, answer in answers.items():
                if answer is None or answer.error_code != Code.NOT_LEADER_OR_FOLLOWER:
                    continue
                if partition.topic.id in pending.topics:  # it is not about a former topic of this name
                    # First, while all are in flight: what it changes goes through everything that waits.
                    self._take_hint(partition, answer.current_leader, result.value.node_endpoints, now)
        for partition, batch in pending.sent.items():
            batch.in_flight = False
            partition.in_flight -= 1
        if isinstance(result, Err):
            cause = result.error
            by_peer = cause if isinstance(cause, KafkaConnectionError) and cause.closed_by_peer else None
            is_too_large = by_peer is not None and pending.on_wire and self._path.sizes.hung_up(pending, now)
            for partition, batch in pending.sent.items():
                self._failed(partition, batch, cause, now, doubtful=pending.on_wire)
                if by_peer is not None and is_too_large:
                    self._too_large(partition, batch, too_large(by_peer, partition, batch, pending.size), now)
        elif result.value is None:  # acks=0: written is all that will ever be known
            for partition, batch in pending.sent.items():
                self._delivered(partition, batch, -1, -1, now)
        else:
            self._path.sizes.taken(pending)
            self._take_answers(pending, answers, now)
        for partition, batch in pending.sent.items():
            if batch in partition.former:
                partition.former.discard(batch)
                if batch in partition.outstanding:
                    self._not_there(partition, batch)
            self._path.reconsider(partition, now)
            if partition.timer is not None or partition.not_before > now or partition.waiting:
                self._plan(partition, now)

    def _too_large(self, partition: Partition, batch: Batch, error: KafkaError, now: float) -> None:
        """Its leader hangs up on it each time."""
        if batch not in partition.outstanding or batch.done or batch is partition.confirm:
            return
        self._counts["hung up on"] += 1
        if self._numbering.restarts:
            self._ask_leader(partition, batch, now, error)
        elif batch.records > 1 and not self._numbering.is_numbered:
            self._split(partition, batch, error, now)
        else:
            self._end(partition, batch, error, now)

    def _take_answers(self, pending: PendingRequest, answers: dict[Partition, Any], now: float) -> None:
        for partition, batch in pending.sent.items():
            answer = answers.get(partition)
            if answer is None:
                error: KafkaError = ProtocolError(f"the answer to a ProduceRequest does not name {partition} just once")
                self._failed(partition, batch, error, now, doubtful=True)
            elif answer.error is None:
                self._delivered(partition, batch, answer.base_offset, answer.log_append_time_ms, now)
            else:
                self._refused(partition, batch, answer, now)

    def _match(self, pending: PendingRequest, response: Any) -> dict[Partition, Any]:
        """The answer for each partition asked about; none where it was answered twice."""
        answers: dict[Partition, Any] = {}
        for entry in response.responses:
            topic = self._path.topics.get(entry.name) if entry.name else pending.topics.get(entry.topic_id)
            if topic is None:
                continue
            for answer in entry.partition_responses:
                if 0 <= answer.index < len(topic.partitions):
                    partition = topic.partitions[answer.index]
                    answers[partition] = None if partition in answers else answer
        return answers

    def _delivered(
        self, partition: Partition, batch: Batch, base_offset: int, log_append_time: int, now: float
    ) -> None:
        outstanding = partition.outstanding
        if outstanding[0] is not batch and self._numbering.is_numbered:
            # The leader takes numbers only in order, so it has what came before, if it did not refuse it.
            for before in [b for b in outstanding if b.sequence < batch.sequence and b.provable and not b.in_flight]:
                self._counts["proven by a later batch"] += 1
                outstanding.remove(before)
                if not before.done:
                    self._outcomes.delivered(before, -1, -1, now)
        outstanding.remove(batch)
        self._path.sizes.forget(partition, batch)
        if partition.proven is None:
            self._counts["gate opened"] += 1
            partition.proven = partition.sent_on
        partition.confirm = None
        partition.failures = 0
        partition.last_error = None
        if not batch.done:
            self._outcomes.delivered(batch, base_offset, log_append_time, now)
        else:
            self._counts["tombstone found its end"] += 1

    def _refused(self, partition: Partition, batch: Batch, answer: Any, now: float) -> None:
        """A broker's error for one batch."""
        error, code = answer.error, answer.error_code
        numbering = self._numbering
        is_open = not (batch.doubtful or batch.done)  # what is said of it now is all there is to say
        if code == Code.DUPLICATE_SEQUENCE_NUMBER and numbering.is_numbered:
            self._delivered(partition, batch, -1, -1, now)
        elif code == Code.OUT_OF_ORDER_SEQUENCE_NUMBER and numbering.is_numbered:
            self._out_of_order(partition, batch, error, now)
        elif code in UNKNOWN_PRODUCER and numbering.is_numbered:
            self._counts["producer unknown to the broker"] += 1
            if code != Code.UNKNOWN_PRODUCER_ID:
                numbering.renew(partition.producer_id, now)
            self._restart_numbering(partition, batch, error, now)
        elif code == Code.MESSAGE_TOO_LARGE and batch.records > 1 and is_open and numbering.abort_error() is None:
            self._split(partition, batch, error, now)
        elif answer.record_errors and is_open:
            self._outcomes.records_refused(batch, answer, now)
            self.take_out(partition, batch)
        else:
            if answer.error_message:
                error = for_code(code, answer.error_message)
            unknown = for_code(code) is None or type(error).errno != code
            # A leader that is deposed while it waits for its replicas says NOT_LEADER_OR_FOLLOWER, or that it has no
            # such partition, of what it has appended: the offset it gave the batch is all that tells.
            appended = error.retriable and answer.base_offset >= 0
            doubtful = code in AMBIGUOUS or unknown or appended
            if batch.doubtful and not doubtful and not error.retriable and numbering.restarts:
                self._refused_for_good(partition, batch, error, now)
            else:
                self._failed(partition, batch, error, now, doubtful=doubtful)
                # A leader that does not say where it put it may not have put it anywhere, and have lost its memory too.
                batch.provable = doubtful and answer.base_offset >= 0

    def _refused_for_good(self, partition: Partition, batch: Batch, error: KafkaError, now: float) -> None:
        """No leader takes it any more, but one may have done so before: until that is known, nothing could follow."""
        was_to_confirm = partition.confirm is batch
        partition.proven = partition.confirm = None
        partition.last_error = error
        if batch is not next(b for b in partition.outstanding if b.doubtful):
            self._back_off(partition, now)
        elif partition.gap or was_to_confirm:  # or the leader has it, and will never acknowledge it
            self._restart_numbering(partition, batch, error, now)
        else:
            self._ask_leader(partition, batch, now)

    def _take_hint(self, partition: Partition, leader: Any, endpoints: Any, now: float) -> None:
        """KIP-951: who has it now, said by the broker that had it before."""
        if leader.leader_id < 0:
            return
        places = [BrokerInfo(e.node_id, e.host, e.port, e.rack) for e in endpoints if e.node_id == leader.leader_id]
        before = partition.leader_epoch
        name, index = partition.topic.name, partition.index
        self._metadata.hint(name, index, leader.leader_id, leader.leader_epoch, places[0] if places else None, now)
        if partition.leader_epoch != before:
            self._counts["leader hint taken"] += 1

    def _failed(self, partition: Partition, batch: Batch, error: KafkaError, now: float, *, doubtful: bool) -> None:
        """A batch was not taken, or (doubtful) nobody knows; the caller then calls `reconsider` and `_plan`."""
        partition.proven = partition.confirm = None
        partition.last_error = error
        if doubtful:
            self._counts["left in doubt"] += not batch.doubtful
            batch.doubtful = batch.provable = True
        else:
            batch.provable = False
        if error.invalid_metadata:
            self._metadata.refresh(partition.topic.name, now)
        too_early = error.errno == Code.CONCURRENT_TRANSACTIONS
        if too_early:
            self._numbering.on_too_early()
        if self._path.closed_by is not None:
            error = self._path.closed_by
        elif (aborted := self._numbering.abort_error()) is not None:
            error = aborted
        elif now >= batch.deadline:
            error = self._outcomes.timed_out(batch, partition)
        elif error.retriable and batch.attempts <= self._config.retries:
            self._back_off(partition, now, too_early)
            self._outcomes.retried(batch, error, now)
            return
        self._end(partition, batch, error, now)

    def _end(self, partition: Partition, batch: Batch, error: KafkaError, now: float) -> None:
        """The time, the attempts or the patience with an error are over for a batch that is not in flight."""
        if not batch.done:
            self._outcomes.failed(batch, error, now)
        over = now >= batch.deadline + self._config.delivery_timeout or self._path.closed_by is not None
        over |= not self._numbering.restarts  # the transaction is to be aborted, and numbers start again then
        if batch.doubtful and self._numbering.is_numbered and not over:
            # Its number may be taken: it is sent until that is known, or nothing could follow it.
            self._counts["tombstone"] += 1
            self._back_off(partition, now)
        else:
            self.take_out(partition, batch)

    def _back_off(self, partition: Partition, now: float, shortly: bool = False) -> None:
        if partition.sent_on is not None and partition.sent_on.leader_epoch < partition.leader_epoch:
            return  # another leader has it by now, which has refused nothing
        if partition.not_before <= now:  # the batches that fail together count as one failure
            partition.failures += 1
            backoff = self._short_backoff if shortly else self._backoff
            partition.not_before = now + backoff.delay(partition.failures)

    # -- numbers -----------------------------------------------------------------------------------------------------

    def take_out(self, partition: Partition, batch: Batch) -> None:
        """It will not be sent any more: its number never comes."""
        partition.outstanding.remove(batch)
        self._path.sizes.forget(partition, batch)
        if partition.confirm is batch:
            partition.confirm = None
        if self._numbering.is_numbered and not partition.broken:
            self._counts["number given up"] += 1
            partition.broken = True
            partition.proven = None

    def _out_of_order(self, partition: Partition, batch: Batch, error: KafkaError, now: float) -> None:
        partition.proven = partition.confirm = None
        partition.last_error = error
        if self._ends_with_its_transaction(partition, now):
            return
        first = next((b for b in partition.outstanding if b.doubtful or not partition.broken), batch)
        if batch is not first:
            # Something before it has not come: that is sent first, and this again. Nothing is known but that.
            self._counts["waits for the one before"] += 1
            self._outcomes.retried(batch, error, now)
        elif batch.doubtful and not partition.gap:
            self._ask_leader(partition, batch, now)
        else:
            # Never taken, and yet not what the leader expects: it has lost what came before, or this follows a number
            # that was given up.
            if not (partition.broken or batch.doubtful):
                self._services.notice(
                    "warning",
                    f"{partition}: its leader refuses what follows the last acknowledged batch. It may have lost "
                    "records that were acknowledged, or forgotten this producer.",
                )
            self._restart_numbering(partition, batch, error, now)

    def _ends_with_its_transaction(self, partition: Partition, now: float) -> bool:
        """Whether the transaction is being aborted, and nothing that waits is to be sent again."""
        aborted = self._numbering.abort_error()
        if aborted is not None:
            self.give_up(partition, aborted, now, in_flight=False)
        return aborted is not None

    def _restart_numbering(self, partition: Partition, batch: Batch, error: KafkaError, now: float) -> None:
        """The leader will not take this batch under its number."""
        partition.proven = partition.confirm = None
        partition.last_error = error
        if not partition.broken:
            self._counts["numbering broken"] += 1
            partition.broken = True
        if batch.doubtful:  # and nobody can say any more whether it is there
            if not batch.done:
                self._outcomes.failed(batch, error, now)
            self.take_out(partition, batch)
        elif batch.done:
            self.take_out(partition, batch)
        elif now >= batch.deadline:
            self._outcomes.failed(batch, self._outcomes.timed_out(batch, partition), now)
            self.take_out(partition, batch)
        elif not self._numbering.restarts:  # under another epoch it would not belong to this transaction
            self._outcomes.failed(batch, error, now)
            self.take_out(partition, batch)
        else:
            self._back_off(partition, now)
            self._outcomes.retried(batch, error, now)

    def _ask_leader(self, partition: Partition, head: Batch, now: float, too_large: KafkaError | None = None) -> None:
        """A batch that may be in the log is refused as out of order: which is the last number the leader has?

        Brokers recognise only the last five batches, after a restart only the last one, and say the same of an older
        one as of one that does not follow. What they answer to DescribeProducers survives restarts. The batch may also
        be refused without a word, as `too_large`.
        """
        self._counts["leader asked"] += 1
        question = partition.asking = object()

        def answered(finding: inquiry.Finding, now: float) -> None:
            if partition.asking is not question or self._path.closed_by is not None:
                return  # another broker leads by now, and is sent the batch first
            partition.asking = None
            if head in partition.outstanding and not self._ends_with_its_transaction(partition, now):
                if too_large is None:
                    self._on_finding(partition, head, finding, now)
                else:
                    self._on_size(partition, head, finding, too_large, now)
            self._path.reconsider(partition, now)
            self._plan(partition, now)

        inquire = inquiry.inquire(self._services.calls, self._config.request_timeout, partition, head)
        Task(inquire, answered).start(now)

    def _on_finding(self, partition: Partition, head: Batch, finding: inquiry.Finding, now: float) -> None:
        last, error = finding.last, inquiry.unknown(partition, head, finding.error)
        if finding.retry:
            self._counts["leader could not be asked"] += 1
            self._metadata.refresh(partition.topic.name, now)
            self._back_off(partition, now)
        elif last is None:
            self._counts["leader cannot tell"] += 1
            self._restart_numbering(partition, head, error, now)
        elif last >= head.sequence + head.records - 1:
            there = [b for b in partition.outstanding if b.doubtful and b.sequence + b.records - 1 <= last]
            if there[-1].sequence + there[-1].records - 1 != last:
                self._counts["leader cannot tell"] += 1
                self._restart_numbering(partition, head, error, now)
                return
            # In the leader's log, but perhaps not committed yet. The last one is recognised when it comes again, and
            # answered once it is; that proves those before it.
            self._counts["leader has it"] += 1
            for batch in there:
                batch.provable = True
            partition.confirm = there[-1]
            self._back_off(partition, now)
        elif last < head.sequence:
            self._none_there(partition, head, last)
            self._back_off(partition, now)
        else:
            self._counts["leader cannot tell"] += 1
            self._restart_numbering(partition, head, error, now)

    def _on_size(
        self, partition: Partition, head: Batch, finding: inquiry.Finding, error: KafkaError, now: float
    ) -> None:
        """What the leader has, of which nothing is known but that it hangs up on this batch."""
        partition.failures, partition.not_before = 0, 0.0
        last = finding.last
        if last is None and finding.error is None and now - head.created < REMEMBERED:
            last = -1
        if finding.retry or (last is not None and last >= head.sequence):
            self._on_finding(partition, head, finding, now)
        elif last is None:
            self._restart_numbering(partition, head, error, now)
        else:
            self._none_there(partition, head, last)
            if head in partition.outstanding and head.records > 1:
                self._split(partition, head, error, now)
            elif head in partition.outstanding:
                self._failed(partition, head, error, now, doubtful=False)

    def _none_there(self, partition: Partition, head: Batch, last: int) -> None:
        """Numbers only grow: none of what waits is in this log."""
        self._counts["leader does not have it"] += 1
        for batch in list(partition.outstanding):
            if not batch.in_flight:  # else another broker has it, one that led before
                self._not_there(partition, batch)
        if last != head.sequence - 1:
            partition.broken = True

    def _not_there(self, partition: Partition, batch: Batch) -> None:
        """It is not in the log that the partition has now."""
        batch.doubtful = batch.provable = False
        if batch.done:
            self.take_out(partition, batch)

    def on_topic_recreated(self, partition: Partition) -> None:
        """Another topic has its name: numbers start again, and what may have been in the old log is not in its."""
        if not self._numbering.is_numbered:
            return
        self._counts["topic recreated"] += 1
        partition.broken = True
        partition.proven = partition.confirm = None
        if partition.topic.named:
            # What was sent before may have been for this one: it stays in doubt; what came first may be in the other.
            partition.gap = True
            return
        for batch in list(partition.outstanding):
            if batch.in_flight:
                partition.former.add(batch)
            else:
                self._not_there(partition, batch)

    def _split(self, partition: Partition, batch: Batch, error: KafkaError, now: float) -> None:
        """KIP-126: too large for the topic. Its parts have its numbers between them."""
        try:
            parts = batch.split(batch.size // 2)
        except Exception as cause:  # there may be no memory for them
            error = KafkaError(f"{batch!r} is too large for the topic, and could not be split: {cause!r}")
            error.__cause__ = cause.with_traceback(None)  # whose frames hold the batch
            parts = []
        if len(parts) < 2:
            self._failed(partition, batch, error, now, doubtful=False)
            return
        self._counts["split"] += 1
        self._path.sizes.forget(partition, batch)
        partition.proven = None
        # Where it was in doubt for a while, other bytes must not come under its numbers.
        partition.broken |= self._numbering.restarts and batch.attempts > 1
        sequence = batch.sequence
        for part in parts:
            part.sequence = sequence
            sequence += part.records
        rest = [b for b in partition.outstanding if b is not batch]
        place = partition.outstanding.index(batch)
        partition.outstanding = deque([*rest[:place], *parts, *rest[place:]])

    # -- time --------------------------------------------------------------------------------------------------------

    def _plan(self, partition: Partition, now: float) -> None:
        """Have `_due` called when the pause is over, or the time of a batch that waits."""
        if partition.timer is not None:
            partition.timer.cancel()
            partition.timer = None
        if self._path.closed_by is not None or not (partition.waiting or partition.not_before > now):
            return
        deadline = partition.not_before if partition.not_before > now else INFINITY
        for batch in partition.outstanding:
            if not batch.in_flight:
                more = self._config.delivery_timeout if batch.done else 0.0
                deadline = min(deadline, batch.deadline + more)
        if deadline < INFINITY:
            partition.timer = self._timers.at(deadline, lambda now: self._due(partition, now))

    def _due(self, partition: Partition, now: float) -> None:
        partition.timer = None
        for batch in list(partition.outstanding):
            if batch.in_flight:
                continue
            if now >= batch.deadline + (self._config.delivery_timeout if batch.done else 0.0):
                self._end(partition, batch, self._outcomes.timed_out(batch, partition), now)
        if partition.leader < 0 and partition.waiting:
            self._metadata.refresh(partition.topic.name, now)
        self._path.reconsider(partition, now)
        self._plan(partition, now)

    def expire_unsent(self, batch: Batch, now: float) -> None:
        """Its delivery timeout is over before it was taken from the accumulator."""
        topic = self._path.topics.get(batch.topic)
        partition = None
        if topic is not None and 0 <= batch.partition < len(topic.partitions):
            partition = topic.partitions[batch.partition]
        self._outcomes.failed(batch, self._outcomes.timed_out(batch, partition), now)

    def expire_in_flight(self, pending: PendingRequest, now: float) -> None:
        """Say that time is over; the bytes stay with the request until the connection has let go of them."""
        pending.deadline = INFINITY
        for partition, batch in pending.sent.items():
            if batch.done:
                continue
            if batch.deadline <= now:
                self._outcomes.failed(batch, self._outcomes.timed_out(batch, partition), now)
            else:
                pending.deadline = min(pending.deadline, batch.deadline)

    def give_up(self, partition: Partition, error: KafkaError, now: float, *, in_flight: bool = True) -> None:
        """Fail all that this partition has, without another try; what is `in_flight` too, or that keeps its chance."""
        for batch in list(partition.outstanding):
            if not batch.done and (in_flight or not batch.in_flight):
                self._outcomes.failed(batch, error, now)
            if not batch.in_flight:
                self.take_out(partition, batch)
        self._path.reconsider(partition, now)
        self._plan(partition, now)

    def give_up_waiting(self, partition: Partition, error: KafkaError, now: float) -> None:
        """There is no point in sending again what this partition has; what is in flight will be answered."""
        for batch in list(partition.outstanding):
            if not batch.in_flight:
                self._end(partition, batch, error, now)
        self._path.reconsider(partition, now)
        self._plan(partition, now)
