"""Transactions: what a producer and the transaction coordinator say to each other, and what follows for records.

Stands where `Identity` stands for a producer that is idempotent only: the produce path stamps batches with
`producer_id` and `epoch`, asks `admits` before it sends one, and tells `on_batch_failed` of every one that failed.

Two generations of the protocol. Under the older one a partition must be added to the transaction (AddPartitionsToTxn)
before records for it are sent, and a consumer group before its offsets are. Under the newer one (KIP-890, where the
cluster has finalized transaction.version 2) brokers do that themselves, and each EndTxn is answered with a new epoch,
so that nothing late from one transaction can reach into the next. Under the older one the same is achieved by asking
for a new epoch (InitProducerId) after everything that leaves in doubt what the brokers have seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from kafka.core.backoff import Backoff
from kafka.core.cluster.routes import GROUP, TRANSACTION, Coordinator
from kafka.core.net.lanes import Lane
from kafka.core.timers import Timer
from kafka.core.transactions import requests
from kafka.core.transactions.states import (
    ABORT,
    ALLOWED,
    BEGIN,
    COMMIT,
    INIT,
    OFFSETS,
    TRANSITIONS,
    WHY_NOT,
    Event,
    State,
)
from kafka.errors import (
    BrokerResponseError,
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    TransactionAbortableError,
    TransactionAbortedError,
    UnknownError,
    UnrecognizedBrokerError,
    UnsupportedVersionError,
)
from kafka.protocol import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
    TxnOffsetCommitRequest,
)
from kafka.protocol.codes import Code
from kafka.result import Err, Result
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

if TYPE_CHECKING:
    from kafka.core.parts import Services

Done = Callable[[KafkaError | None, float], None]  # what became of a call: None, or why it failed
Handle = Callable[[BrokerResponseError | None, Any, float], None]


# How long the coordinator may take, in seconds, to complete the transaction before.
MARKERS_PATIENCE = 10.0


class Records(Protocol):
    """The produce path, as transactions call it, on the driver's thread."""

    def on_identity(self, now: float) -> None:
        """There is a new producer id or epoch, or a fatal error; or `admits` may have another answer by now."""

    def is_settled(self) -> bool:
        """Whether no record is buffered, waiting or on the wire. `Transactions.on_settled` follows where it is not."""

    def drop_unsent(self, error: KafkaError, now: float) -> None:
        """Fail every batch that is not on the wire at this moment, and send none of them again."""


class _Offsets:
    """One call of send_offsets_to_transaction."""

    __slots__ = ("group", "offsets", "callback")

    def __init__(
        self, group: ConsumerGroupMetadata, offsets: Mapping[TopicPartition, OffsetAndMetadata], callback: Done
    ) -> None:
        self.group = group
        self.offsets = dict(offsets)
        self.callback = callback


class Transactions:
    """The transactions of one producer, one after the other. Everything is called on the driver's thread."""

    def __init__(self, services: Services, transactional_id: str, timeout: float) -> None:
        """`timeout`: seconds after which the coordinator aborts a transaction that is still open."""
        self._services = services
        self._calls = services.calls
        self._timers = services.timers
        self.transactional_id = transactional_id
        self.timeout = timeout
        self.records: Records | None = None
        self.state = State.UNINITIALIZED
        self.producer_id = -1
        self.epoch = -1
        self.error: KafkaError | None = None  # fatal
        self.cause: KafkaError | None = None  # why the transaction must be aborted
        self.last_error: KafkaError | None = None  # of a request that is being repeated
        self.is_v2 = False  # the newer protocol, for the present transaction
        self._route = Coordinator(TRANSACTION, transactional_id)
        config = services.config
        self._backoff = Backoff(config.retry_backoff, config.retry_backoff_max, services.random)
        self._short_backoff = Backoff(min(0.02, config.retry_backoff), config.retry_backoff, services.random)
        self._failures = 0
        self._busy = False  # a request is under way: there is one at a time
        self._timer: Timer | None = None
        self._operation = INIT  # the one under way, or the last one
        self._waiters: list[Done] = []
        self._unclaimed: tuple[str, KafkaError | None] | None = None  # what became of one whose caller gave up waiting
        self._forget_transaction()
        self._renew = False  # a new epoch is needed before the next transaction

    def _forget_transaction(self) -> None:
        self.cause = None
        self._added: dict[str, set[int]] = {}  # partitions in the transaction, of the older protocol
        self._groups: set[str] = set()
        self._new: dict[tuple[str, int], None] = {}  # partitions to be added
        self._later: dict[tuple[str, int], float] = {}  # not before when, those of topics that brokers do not know yet
        self._offsets: deque[_Offsets] = deque()
        self._touched = False  # whether the coordinator may know of this transaction
        self._confirmed = False  # whether it has said so
        self._end_in_doubt = False  # an EndTxn may have been carried out, although no answer says so
        self._ended = False
        self._dropped = False
        self._too_early = False  # whether something was refused because the transaction before is not complete
        self._markers_by = float("inf")  # until when that is believed

    # -- what the produce path asks ------------------------------------------------------------------------------------

    @property
    def newest_produce_version(self) -> int | None:
        """The newest version of a produce request within the present transaction; None: any."""
        return None if self.is_v2 else requests.NEWEST_PRODUCE

    def request(self, now: float) -> None:
        """See to it that there is a producer id: it is init_transactions() that does, so there is nothing to do."""

    def admits(self, topic: str, partition: int, now: float) -> bool:
        """Whether a batch for this partition may be sent. If not, it waits; `Records.on_identity` says when to ask."""
        if self.state is not State.IN_TRANSACTION and self.state is not State.COMMITTING:
            return False
        if self.is_v2:
            return True
        if partition in self._added.get(topic, ()):
            return True
        self._new[topic, partition] = None
        self._soon(now)  # all that want in at this moment go into one request
        return False

    def admits_keyless(self, topic: str, partition: int, now: float) -> bool:
        """As `admits`, for records that may as well go elsewhere: to add a partition costs a request.

        So they go to partitions that are in the transaction while others are added, twice as many each time.
        """
        if self.is_v2 or partition in self._added.get(topic, ()):
            return self.admits(topic, partition, now)
        asked = sum(name == topic for name, _ in self._new)
        return asked < max(1, len(self._added.get(topic, ()))) and self.admits(topic, partition, now)

    def on_batch_sent(self) -> None:
        """A batch of this transaction goes to its broker, which under the newer protocol adds the partition."""
        self._touched = True

    def on_batch_failed(self, error: KafkaError, now: float) -> None:
        """A batch of this transaction failed, so the transaction cannot be committed any more.

        Under the older protocol its sequence numbers leave a gap or a doubt, hence a new epoch is needed afterwards.
        """
        if self.state not in (State.IN_TRANSACTION, State.COMMITTING, State.ABORTING, State.ABORTABLE_ERROR):
            return
        if not self.is_v2:
            self._renew = True
        code = error.errno
        if code in requests.FATAL_FOR_RECORDS:
            self._fatal(requests.fenced(self, error) if code in requests.FENCED else error, now)
        else:
            self._abortable(error, now)

    def on_too_early(self) -> None:
        """A batch was refused with CONCURRENT_TRANSACTIONS."""
        self._too_early = True

    @property
    def is_ending(self) -> bool:
        """Whether `on_settled` is awaited."""
        return self.state in (State.COMMITTING, State.ABORTING) and not self._ended and not self._busy

    @property
    def is_failing(self) -> bool:
        """Whether what was on the wire in vain is not worth another attempt."""
        return self.state in (State.ABORTING, State.ABORTABLE_ERROR, State.FATAL_ERROR)

    def aborted(self) -> KafkaError:
        """What becomes of batches that an abort leaves unsent."""
        if self.error is not None:
            return self.error
        error = TransactionAbortedError(TransactionAbortedError.message)
        error.__cause__ = self.cause
        return error

    def on_settled(self, now: float) -> None:
        """No record is buffered or on the wire any more."""
        self._soon(now)

    # -- what the application asks -------------------------------------------------------------------------------------

    def init(self, callback: Done, now: float) -> None:
        """Get a producer id. An earlier producer with this transactional id is fenced, its open transaction ended."""
        if self._answered_at_once(INIT, callback, now):
            return
        if self.state is State.READY:
            callback(None, now)
            return
        self._waiters.append(callback)
        if self.state is State.UNINITIALIZED:
            self._start(INIT, Event.INIT, now)

    def begin(self, callback: Done, now: float) -> None:
        if self._answered_at_once(BEGIN, callback, now):
            return
        self._unclaimed = None
        self._forget_transaction()
        self.is_v2 = self._speaks_v2(now)
        self._handle(Event.BEGIN)
        callback(None, now)
        self._tell_records(now)

    def send_offsets(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        group: ConsumerGroupMetadata,
        callback: Done,
        now: float,
    ) -> None:
        """Have these offsets committed for the group if and when the transaction is."""
        if self._answered_at_once(OFFSETS, callback, now):
            return
        if not offsets:
            callback(None, now)
            return
        self._offsets.append(_Offsets(group, offsets, callback))
        self._advance(now)

    def commit(self, callback: Done, now: float) -> None:
        """Commit, once every record and offset is with its broker. No more records may be accepted by then."""
        if self._answered_at_once(COMMIT, callback, now):
            return
        self._waiters.append(callback)
        if self.state is State.IN_TRANSACTION:
            self._start(COMMIT, Event.COMMIT, now)

    def abort(self, callback: Done, now: float) -> None:
        """Abort: what is not on the wire fails with TransactionAbortedError, the rest is waited for."""
        if self._answered_at_once(ABORT, callback, now):
            return
        self._waiters.append(callback)
        if self.state is not State.ABORTING:
            self._new.clear()
            self._drop_offsets(self.aborted(), now)
            self._dropped = False
            self._start(ABORT, Event.ABORT, now)

    def _start(self, operation: str, event: Event, now: float) -> None:
        self._operation = operation
        self._handle(event)
        self._advance(now)

    def forget(self, callback: Done) -> None:
        """The caller does not wait any longer. The operation goes on; its outcome is kept for the next call of it."""
        if callback in self._waiters:
            self._waiters.remove(callback)
        for wanted in self._offsets:
            if wanted.callback is callback:
                wanted.callback = _nobody

    def waits_for(self) -> str:
        """What the present operation waits for, for the message of a timeout."""
        coordinator = f"the coordinator of transactional id {self.transactional_id!r}"
        if self.state is State.INITIALIZING:
            text = f"a producer id from {coordinator}"
        elif self._ended:
            text = f"a new producer id from {coordinator}; the transaction itself is over"
        elif self._offsets:
            text = f"the offsets of group {self._offsets[0].group.group_id!r} to become part of the transaction"
        elif self.records is not None and not self.records.is_settled():
            text = "records that are not delivered yet"
        else:
            text = f"{coordinator} to end the transaction"
        return text + (f" (the last failure: {self.last_error})" if self.last_error is not None else "")

    def _answered_at_once(self, operation: str, callback: Done, now: float) -> bool:
        """Whether there is nothing to do but to say so: an outcome that was not fetched yet, or a wrong moment."""
        if self._unclaimed is not None and self._unclaimed[0] == operation:
            (_, error), self._unclaimed = self._unclaimed, None
        elif self.error is not None:
            error = self.error
        elif self._unclaimed is not None and self._unclaimed[0] == COMMIT:
            error = IllegalStateError(
                f"{operation}() must wait: {self._unclaimed[0]}() timed out; call it again to learn what became of it."
            )
        elif self.state in ALLOWED[operation]:
            return False
        elif self.state is State.ABORTABLE_ERROR:
            error = self._must_be_aborted()
        else:
            error = IllegalStateError(f"{operation}(): {WHY_NOT[self.state]}.")
        callback(error, now)
        return True

    def refusal(self) -> KafkaError:
        """Why records are not taken at present. May be called from any thread."""
        if self.error is not None:
            return self.error
        if self.state is State.IN_TRANSACTION:
            return IllegalStateError("A record was sent while another thread begins or ends a transaction.")
        if self.state is State.ABORTABLE_ERROR:
            return self._must_be_aborted()
        return IllegalStateError(f"A record was sent outside of a transaction: {WHY_NOT[self.state]}.")

    def _must_be_aborted(self) -> TransactionAbortableError:
        error = TransactionAbortableError(
            f"This transaction can only be aborted, because of this failure: {self.cause}"
        )
        error.__cause__ = self.cause
        return error

    # -- one step after the other --------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state][event]

    def _soon(self, now: float, always: bool = False) -> None:
        """Go on with the next turn: the produce path is in the middle of something."""
        if self._timer is None and (always or not self._busy):
            self._timer = self._timers.at(now, self._timer_fired)

    def _timer_fired(self, now: float) -> None:
        self._timer = None
        self._advance(now)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _advance(self, now: float) -> None:
        """Whatever is next, in this order: partitions, offsets, the end; a new producer id."""
        state, records = self.state, self.records
        if state in (State.ABORTING, State.ABORTABLE_ERROR, State.FATAL_ERROR) and not self._dropped:
            self._dropped = True
            if state is State.FATAL_ERROR:
                self._tell_records(now)
            elif records is not None:
                records.drop_unsent(self.aborted(), now)
        if self._busy or self._timer is not None or state is State.FATAL_ERROR:
            return
        due = [place for place in self._new if self._later.get(place, now) <= now]
        if state is State.INITIALIZING or self._ended:
            self._ask_producer_id(now)
        elif due:
            self._add_partitions(due, now)
        elif self._offsets:
            self._commit_offsets(now)
        elif state in (State.COMMITTING, State.ABORTING) and (records is None or records.is_settled()):
            self._end(state is State.COMMITTING, now)
        elif self._new:
            self._timer = self._timers.at(min(self._later[place] for place in self._new), self._timer_fired)

    def _ask(
        self,
        route: Coordinator,
        message_class: Any,
        build: Callable[[], Any],
        handle: Handle,
        now: float,
        newest: int | None,
    ) -> None:
        """`handle` gets a broker's answer: its error, or the response. Everything short of an answer is repeated."""
        self._busy = True
        written = False

        def write(version: int) -> Any:
            nonlocal written
            written = True
            return build()

        def answered(result: Result[Any, KafkaError], now: float) -> None:
            if self.state is State.FATAL_ERROR:
                return
            self._busy = False
            if not isinstance(result, Err):
                self.last_error = None
                handle(None, result.value, now)
            elif isinstance(result.error, BrokerResponseError) and type(result.error) is not UnsupportedVersionError:
                handle(result.error, None, now)
            elif self._calls.closed_by is not None:
                self._fatal(result.error, now)
            elif not result.error.retriable:
                is_commit = message_class is EndTxnRequest and self.state is State.COMMITTING
                self._fatal(_not_known(result.error) if written and is_commit else result.error, now)
            else:
                if written and message_class is not InitProducerIdRequest:
                    self._in_doubt(message_class is EndTxnRequest)
                self._retry(result.error, now)
            self._advance(now)

        timeout = 2 * self._services.config.request_timeout  # for finding and reaching the broker, and for its answer
        self._calls.request(route, message_class, write, answered, now, timeout, newest=newest, once=True)

    def _in_doubt(self, of_end: bool) -> None:
        """A request was written and not answered: it may still arrive, at any time.

        Under the older protocol it could then do harm to a later transaction, unless that has another epoch.
        """
        self._end_in_doubt |= of_end
        if not self.is_v2:
            self._renew = True

    def _retry(self, error: KafkaError, now: float) -> None:
        self.last_error = error
        self._failures += 1
        is_short = error.errno in (Code.CONCURRENT_TRANSACTIONS, *requests.FENCED)
        delay = (self._short_backoff if is_short else self._backoff).delay(self._failures)
        self._cancel_timer()
        self._timer = self._timers.at(now + delay, self._timer_fired)

    def _refused(self, error: BrokerResponseError, now: float) -> None:
        """A coordinator said no: try again, or that is the end of the transaction, or of the producer."""
        self._too_early |= error.errno == Code.CONCURRENT_TRANSACTIONS
        if error.retriable:
            self._retry(error, now)
        elif error.errno in requests.FENCED:
            self._fatal(requests.fenced(self, error), now)
        elif error.errno in requests.ABORTABLE:
            self._abortable(error, now)
        else:
            self._fatal(error, now)

    def _ask_producer_id(self, now: float) -> None:
        def handle(error: BrokerResponseError | None, response: Any, now: float) -> None:
            if error is None:
                self.producer_id, self.epoch = response.producer_id, response.producer_epoch
                self._renew = False
                self._ready(now)
            elif error.errno in requests.ABORTABLE:
                self._fatal(error, now)  # there is no transaction here that could be aborted
            else:
                self._refused(error, now)

        build = partial(requests.init_producer_id, self)
        self._ask(self._route, InitProducerIdRequest, build, handle, now, requests.NEWEST_INIT)

    def _ready(self, now: float) -> None:
        self._handle(Event.READY)
        self._ended = False
        self._failures = 0
        self._over(None, now)
        self._tell_records(now)

    def _speaks_v2(self, now: float) -> bool:
        """Judged by the finalized feature: API versions alone say what brokers could do, not what they do."""
        if self._services.nodes.finalized_feature("transaction.version") < 2:
            return False
        coordinator, brokers = self._services.coordinators.get(self._route), self._services.brokers(Lane.CONTROL)
        if brokers.connection_id(coordinator) < 0:
            return True  # a feature is finalized only where every broker has it
        versions = [(brokers.version_for(coordinator, asked), least) for asked, least in requests.V2_NEEDS]
        return all(isinstance(version, int) and version >= least for version, least in versions)

    # -- partitions and offsets ----------------------------------------------------------------------------------------

    def _add_partitions(self, asked: list[requests.Place], now: float) -> None:
        self._touched = True

        def handle(error: BrokerResponseError | None, response: Any, now: float) -> None:
            if error is not None:
                self._refused(error, now)
                return
            codes = requests.partition_codes(response)
            added = [place for place in asked if codes.get(place) == 0]
            for name, partition in added:
                self._new.pop((name, partition), None)
                self._added.setdefault(name, set()).add(partition)
            # One unknown topic keeps all others out, so it is left out for a while itself.
            unknown = [place for place, code in codes.items() if code == Code.UNKNOWN_TOPIC_OR_PARTITION]
            self._later.update((place, now + self._backoff.delay(3)) for place in unknown)
            refused, is_of_partitions = requests.partitions_refused(codes)
            if refused is not None and refused.errno != Code.UNKNOWN_TOPIC_OR_PARTITION:
                (self._abortable if is_of_partitions else self._refused)(refused, now)
            elif added:
                self._confirmed = True
                self._failures = 0
                self._tell_records(now)

        build = partial(requests.add_partitions, self, asked)
        self._ask(self._route, AddPartitionsToTxnRequest, build, handle, now, requests.NEWEST_ADD_PARTITIONS)

    def _add_group(self, group: str, now: float) -> None:
        self._touched = True

        def handle(error: BrokerResponseError | None, response: Any, now: float) -> None:
            if error is None:
                self._confirmed = True
                self._failures = 0
                self._groups.add(group)
            else:
                self._refused(error, now)

        self._ask(self._route, AddOffsetsToTxnRequest, partial(requests.add_group, self, group), handle, now, None)

    def _commit_offsets(self, now: float) -> None:
        wanted = self._offsets[0]
        group = wanted.group.group_id or ""
        if not self.is_v2 and group not in self._groups:
            self._add_group(group, now)
            return
        self._touched = True

        def handle(error: BrokerResponseError | None, response: Any, now: float) -> None:
            if error is None:
                error = requests.offsets_refused(response)
            if error is not None:
                self._refused(error, now)
            elif self._offsets and self._offsets[0] is wanted:
                self._failures = 0
                self._offsets.popleft()
                wanted.callback(None, now)

        build = partial(requests.commit_offsets, self, wanted.group, wanted.offsets)
        newest = None if self.is_v2 else requests.NEWEST_OFFSET_COMMIT
        self._ask(Coordinator(GROUP, group), TxnOffsetCommitRequest, build, handle, now, newest)

    def _drop_offsets(self, error: KafkaError, now: float) -> None:
        dropped, self._offsets = self._offsets, deque()
        for wanted in dropped:
            wanted.callback(error, now)

    # -- the end of a transaction --------------------------------------------------------------------------------------

    def _end(self, committed: bool, now: float) -> None:
        if not self._touched:  # nothing was sent: there is nothing that a coordinator could end
            self._finish(now)
            return

        def handle(error: BrokerResponseError | None, response: Any, now: float) -> None:
            if error is not None and (isinstance(error, UnknownError) or error.errno in requests.OUTCOME_UNKNOWN):
                self._end_in_doubt = True
            if error is None:
                if response.producer_id >= 0:  # from version 5 on; the id changes too, when its epochs are used up
                    self.producer_id, self.epoch = response.producer_id, response.producer_epoch
                self._finish(now)
            elif error.retriable or (not committed and self._is_writing_markers(error, now)):
                self._retry(error, now)
            elif not committed and self._was_never_there(error):
                self._renew = True
                self._finish(now)
            elif committed and error.errno in requests.ABORTABLE:
                self._abortable(error, now)
            else:
                self._fatal(self._end_failed(error, committed), now)

        build = partial(requests.end, self, committed)
        self._ask(self._route, EndTxnRequest, build, handle, now, None if self.is_v2 else requests.NEWEST_END)

    def _was_never_there(self, error: BrokerResponseError) -> bool:
        """Whether an abort was refused because the coordinator has no such transaction."""
        if error.errno == Code.INVALID_TXN_STATE:
            return not self._confirmed and not self.is_v2
        return error.errno in requests.UNKNOWN_TO_COORDINATOR

    def _is_writing_markers(self, error: BrokerResponseError, now: float) -> bool:
        """Whether "fenced" may mean only that the transaction before is not complete.

        Under the newer protocol that is the answer to an abort then, if nothing could enter this transaction yet. To
        ask for a new epoch would tell too, but might end the transaction of a producer that has really taken over.
        """
        if not (self.is_v2 and self._too_early and error.errno in requests.FENCED):
            return False
        self._markers_by = min(self._markers_by, now + MARKERS_PATIENCE)
        return now < self._markers_by

    def _end_failed(self, error: BrokerResponseError, committed: bool) -> KafkaError:
        # Under the newer protocol an abort by the coordinator raises the epoch as a commit would, and a commit that
        # comes later is then refused for the state alone.
        was_aborted = self.is_v2 and error.errno == Code.INVALID_TXN_STATE
        is_fenced = error.errno in requests.FENCED or was_aborted
        failed: BrokerResponseError = requests.fenced(self, error) if is_fenced else error
        if committed and self._end_in_doubt and not was_aborted:
            return _not_known(failed)
        return failed

    def _finish(self, now: float) -> None:
        """The transaction is over, one way or the other."""
        self._ended = True
        self._failures = 0
        if self._renew:
            self._ask_producer_id(now)
        else:
            self._ready(now)

    # -- what goes wrong -----------------------------------------------------------------------------------------------

    def _abortable(self, error: KafkaError, now: float) -> None:
        if self.state not in (State.IN_TRANSACTION, State.COMMITTING):
            return
        was_committing = self.state is State.COMMITTING
        if error.errno in requests.STALE_MEMBER:
            stale = CommitFailedError(
                f"The consumer is not a member of its group any more, or in another place: {error}"
            )
            stale.__cause__ = error
            error = stale
        self._handle(Event.ABORTABLE)
        self.cause = error
        self._new.clear()
        self._cancel_timer()  # of a request that will not be repeated
        self._drop_offsets(error, now)
        if was_committing and self._waiters:
            self._over(self._must_be_aborted(), now)
        self._soon(now, always=True)

    def _fatal(self, error: KafkaError, now: float) -> None:
        if self.state is State.FATAL_ERROR:
            return
        # What was committed before, is.
        outcome = None if self._ended and self._operation == COMMIT else error
        is_waited_for = self.state in (State.INITIALIZING, State.COMMITTING, State.ABORTING)
        self._handle(Event.FATAL)
        self.error = error
        self._dropped = False
        self._new.clear()
        self._cancel_timer()
        self._drop_offsets(error, now)
        if is_waited_for:
            self._over(outcome, now)
        self._soon(now, always=True)

    # -- telling -------------------------------------------------------------------------------------------------------

    def _over(self, error: KafkaError | None, now: float) -> None:
        """Tell what became of the operation under way; where nobody waits, whoever calls it next."""
        waiters, self._waiters = self._waiters, []
        if not waiters:
            self._unclaimed = (self._operation, error)
        for waiter in waiters:
            waiter(error, now)

    def _tell_records(self, now: float) -> None:
        if self.records is not None:
            self.records.on_identity(now)


def _not_known(failed: KafkaError) -> KafkaError:
    """The same with a word on what it leaves open."""
    text = " Whether the transaction was committed is not known: an EndTxn was sent, but not confirmed."
    error: KafkaError
    if isinstance(failed, UnrecognizedBrokerError):
        error = UnrecognizedBrokerError(failed.errno, f"{failed}{text}")
    elif isinstance(failed, BrokerResponseError):
        error = type(failed)(f"{failed.args[0] if failed.args else failed.description}{text}")
    else:
        error = KafkaError(f"{failed}{text}")
    error.__cause__ = failed.__cause__ or failed
    return error


def _nobody(error: KafkaError | None, now: float) -> None:
    pass
