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
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from kafka.core.cluster.routes import TRANSACTION, Coordinator
from kafka.core.flows import Flow, Task
from kafka.core.net.lanes import Lane
from kafka.core.timers import Timer
from kafka.core.transactions import requests
from kafka.core.transactions.conversation import Conversation, Done, Offsets, Transaction
from kafka.core.transactions.states import (
    ABORT,
    ALLOWED,
    BEGIN,
    COMMIT,
    INIT,
    OFFSETS,
    TRANSITIONS,
    WHY_NOT,
    TransactionEvent,
    TransactionState,
)
from kafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    TransactionAbortableError,
    TransactionAbortedError,
)
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

if TYPE_CHECKING:
    from kafka.core.parts import Services

_OPEN = (
    TransactionState.IN_TRANSACTION,
    TransactionState.COMMITTING,
    TransactionState.ABORTING,
    TransactionState.ABORTABLE_ERROR,
)


class Records(Protocol):
    """The produce path, as transactions call it, on the driver's thread."""

    def on_identity(self, now: float) -> None:
        """There is a new producer id or epoch, or a fatal error; or `admits` may have another answer by now."""

    def is_settled(self) -> bool:
        """Whether no record is buffered, waiting or on the wire. `Transactions.on_settled` follows where it is not."""

    def drop_unsent(self, error: KafkaError, now: float) -> None:
        """Fail every batch that is not on the wire at this moment, and send none of them again."""


class Transactions:
    """The transactions of one producer, one after the other. Everything is called on the driver's thread."""

    def __init__(self, services: Services, transactional_id: str, timeout: float) -> None:
        """`timeout`: seconds after which the coordinator aborts a transaction that is still open."""
        self._services = services
        self.transactional_id = transactional_id
        self.timeout = timeout
        self.records: Records | None = None
        self.state = TransactionState.UNINITIALIZED
        self.producer_id = -1
        self.epoch = -1
        self.error: KafkaError | None = None  # fatal
        self.cause: KafkaError | None = None  # why the transaction must be aborted
        self._route = Coordinator(TRANSACTION, transactional_id)
        self._transaction = Transaction(False)
        self._conversation = Conversation(self, services)
        self._task: Task[None] | None = None  # the present conversation
        self._drop: Timer | None = None  # of what an error leaves unsent
        self._operation = INIT  # the one under way, or the last one
        self._waiters: list[Done] = []
        self._unclaimed: tuple[str, KafkaError | None] | None = None  # what became of one whose caller gave up waiting

    @property
    def is_v2(self) -> bool:
        """Whether the present transaction speaks the newer protocol."""
        return self._transaction.is_v2

    @property
    def last_error(self) -> KafkaError | None:
        """Of a request that is being repeated."""
        return self._conversation.last_error

    # -- what the produce path asks ------------------------------------------------------------------------------------

    @property
    def newest_produce_version(self) -> int | None:
        """The newest version of a produce request within the present transaction; None: any."""
        return None if self.is_v2 else requests.NEWEST_PRODUCE

    def admits(self, topic: str, partition: int, now: float) -> bool:
        """Whether a batch for this partition may be sent. If not, it waits; `Records.on_identity` says when to ask."""
        if self.state is not TransactionState.IN_TRANSACTION and self.state is not TransactionState.COMMITTING:
            return False
        if self.is_v2:
            return True
        if partition in self._transaction.added.get(topic, ()):
            return True
        self._transaction.new[topic, partition] = None
        self._conversation.soon(now)  # all that want in at this moment go into one request
        return False

    def admits_keyless(self, topic: str, partition: int, now: float) -> bool:
        """As `admits`, for records that may as well go elsewhere: to add a partition costs a request.

        So they go to partitions that are in the transaction while others are added, twice as many each time.
        """
        added = self._transaction.added.get(topic, ())
        if self.is_v2 or partition in added:
            return self.admits(topic, partition, now)
        asked = sum(name == topic for name, _ in self._transaction.new)
        return asked < max(1, len(added)) and self.admits(topic, partition, now)

    def on_batch_sent(self) -> None:
        """A batch of this transaction goes to its broker, which under the newer protocol adds the partition."""
        self._transaction.touched = True

    def on_batch_failed(self, error: KafkaError, now: float) -> None:
        """A batch of this transaction failed, so the transaction cannot be committed any more.

        Under the older protocol its sequence numbers leave a gap or a doubt, hence a new epoch is needed afterwards.
        """
        if self.state not in _OPEN:
            return
        if not self.is_v2:
            self._conversation.needs_epoch = True
        code = error.errno
        if code in requests.FATAL_FOR_RECORDS:
            self.fatal(requests.fenced(self, error) if code in requests.FENCED else error, now)
        else:
            self.abortable(error, now)

    def on_too_early(self) -> None:
        """A batch was refused with CONCURRENT_TRANSACTIONS."""
        self._transaction.too_early = True

    @property
    def is_ending(self) -> bool:
        """Whether `on_settled` is awaited."""
        return (
            self.state in (TransactionState.COMMITTING, TransactionState.ABORTING)
            and self._conversation.changed.is_awaited
        )

    @property
    def is_failing(self) -> bool:
        """Whether what was on the wire in vain is not worth another attempt."""
        return self.state in (TransactionState.ABORTING, TransactionState.ABORTABLE_ERROR, TransactionState.FATAL_ERROR)

    def aborted(self) -> KafkaError:
        """What becomes of batches that an abort leaves unsent."""
        if self.error is not None:
            return self.error
        error = TransactionAbortedError(TransactionAbortedError.message)
        error.__cause__ = self.cause
        return error

    def on_settled(self, now: float) -> None:
        """No record is buffered or on the wire any more."""
        self._conversation.soon(now)

    # -- what the application asks -------------------------------------------------------------------------------------

    def init(self, callback: Done, now: float) -> None:
        """Get a producer id. An earlier producer with this transactional id is fenced, its open transaction ended."""
        if self._answered_at_once(INIT, callback, now):
            return
        if self.state is TransactionState.READY:
            callback(None, now)
            return
        self._waiters.append(callback)
        if self.state is TransactionState.UNINITIALIZED:
            self._operation = INIT
            self._handle(TransactionEvent.INIT)
            self._converse(self._conversation.initialize(now), now)

    def begin(self, callback: Done, now: float) -> None:
        if self._answered_at_once(BEGIN, callback, now):
            return
        self._unclaimed = None
        self.cause = None
        self._transaction = Transaction(self._speaks_v2())
        self._handle(TransactionEvent.BEGIN)
        self._converse(self._conversation.transact(self._transaction, now), now)
        callback(None, now)
        self.tell_records(now)

    def _converse(self, flow: Flow[None], now: float) -> None:
        self._task = Task(flow, lambda _, now: None)
        self._task.start(now)

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
        self._transaction.offsets.append(Offsets(group, offsets, callback))
        self._conversation.changed.happens(now)

    def commit(self, callback: Done, now: float) -> None:
        """Commit, once every record and offset is with its broker. No more records may be accepted by then."""
        if self._answered_at_once(COMMIT, callback, now):
            return
        self._waiters.append(callback)
        if self.state is TransactionState.IN_TRANSACTION:
            self._operation = COMMIT
            self._handle(TransactionEvent.COMMIT)
            self._conversation.changed.happens(now)

    def abort(self, callback: Done, now: float) -> None:
        """Abort: what is not on the wire fails with TransactionAbortedError, the rest is waited for."""
        if self._answered_at_once(ABORT, callback, now):
            return
        self._waiters.append(callback)
        if self.state is not TransactionState.ABORTING:
            self._give_up_additions(self.aborted(), now)
            self._operation = ABORT
            self._handle(TransactionEvent.ABORT)
            self._drop_unsent(now)
            self._conversation.changed.happens(now)

    def forget(self, callback: Done) -> None:
        """The caller does not wait any longer. The operation goes on; its outcome is kept for the next call of it."""
        if callback in self._waiters:
            self._waiters.remove(callback)
        for wanted in self._transaction.offsets:
            if wanted.callback is callback:
                wanted.callback = _nobody

    def waits_for(self) -> str:
        """What the present operation waits for, for the message of a timeout."""
        coordinator = f"the coordinator of transactional id {self.transactional_id!r}"
        if self.state is TransactionState.INITIALIZING:
            text = f"a producer id from {coordinator}"
        elif self._transaction.ended:
            text = f"a new producer id from {coordinator}; the transaction itself is over"
        elif offsets := self._transaction.offsets:
            text = f"the offsets of group {offsets[0].group.group_id!r} to become part of the transaction"
        elif not self.is_settled():
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
        elif self.state is TransactionState.ABORTABLE_ERROR:
            error = self._must_be_aborted()
        else:
            error = IllegalStateError(f"{operation}(): {WHY_NOT[self.state]}.")
        callback(error, now)
        return True

    def refusal(self) -> KafkaError:
        """Why records are not taken at present. May be called from any thread."""
        if self.error is not None:
            return self.error
        if self.state is TransactionState.IN_TRANSACTION:
            return IllegalStateError("A record was sent while another thread begins or ends a transaction.")
        if self.state is TransactionState.ABORTABLE_ERROR:
            return self._must_be_aborted()
        return IllegalStateError(f"A record was sent outside of a transaction: {WHY_NOT[self.state]}.")

    def _must_be_aborted(self) -> TransactionAbortableError:
        error = TransactionAbortableError(
            f"This transaction can only be aborted (abort_transaction()), because of this failure: {self.cause}"
        )
        error.__cause__ = self.cause
        return error

    def _speaks_v2(self) -> bool:
        """Judged by the finalized feature: API versions alone say what brokers could do, not what they do."""
        if self._services.nodes.finalized_feature("transaction.version") < 2:
            return False
        coordinator, brokers = self._services.coordinators.get(self._route), self._services.brokers(Lane.CONTROL)
        if brokers.connection_id(coordinator) < 0:
            return True  # a feature is finalized only where every broker has it
        versions = [(brokers.version_for(coordinator, asked), least) for asked, least in requests.V2_NEEDS]
        return all(isinstance(version, int) and version >= least for version, least in versions)

    def _handle(self, event: TransactionEvent) -> None:
        self.state = TRANSITIONS[self.state][event]

    # -- what the conversation tells -----------------------------------------------------------------------------------

    def is_settled(self) -> bool:
        """Whether no record of the transaction is buffered, waiting or on the wire."""
        return self.records is None or self.records.is_settled()

    def ready(self, now: float) -> None:
        """There is a producer id, and no transaction is open."""
        self._handle(TransactionEvent.READY)
        self._over(None, now)
        self.tell_records(now)

    def abortable(self, error: KafkaError, now: float) -> None:
        """The transaction can only be aborted."""
        if self.state not in (TransactionState.IN_TRANSACTION, TransactionState.COMMITTING):
            return
        was_committing = self.state is TransactionState.COMMITTING
        if error.errno in requests.STALE_MEMBER:
            stale = CommitFailedError(
                f"The consumer is not a member of its group any more, or in another place: {error}"
            )
            stale.__cause__ = error
            error = stale
        self._handle(TransactionEvent.ABORTABLE)
        self.cause = error
        self._give_up_additions(error, now)
        if was_committing and self._waiters:
            self._over(self._must_be_aborted(), now)
        self._drop_soon(now)

    def fatal(self, error: KafkaError, now: float) -> None:
        """This producer is of no further use."""
        if self.state is TransactionState.FATAL_ERROR:
            return
        if self._task is not None:
            self._task.cancel()
        # What was committed before, is.
        outcome = None if self._transaction.ended and self._operation == COMMIT else error
        is_waited_for = self.state in (
            TransactionState.INITIALIZING,
            TransactionState.COMMITTING,
            TransactionState.ABORTING,
        )
        self._handle(TransactionEvent.FATAL)
        self.error = error
        self._give_up_additions(error, now)
        if is_waited_for:
            self._over(outcome, now)
        self._drop_soon(now)

    def tell_records(self, now: float) -> None:
        if self.records is not None:
            self.records.on_identity(now)

    def _give_up_additions(self, error: KafkaError, now: float) -> None:
        """Nothing more is to become part of the transaction."""
        transaction = self._transaction
        transaction.new.clear()
        dropped, transaction.offsets = transaction.offsets, deque()
        self._conversation.interrupted.happens(now)
        for wanted in dropped:
            wanted.callback(error, now)

    def _drop_soon(self, now: float) -> None:
        """With the next turn: the produce path is in the middle of something."""
        if self._drop is None:
            self._drop = self._services.timers.at(now, self._drop_unsent)

    def _drop_unsent(self, now: float) -> None:
        if self._drop is not None:
            self._drop.cancel()
            self._drop = None
        if self.state is TransactionState.FATAL_ERROR:
            self.tell_records(now)
        elif self.records is not None:
            self.records.drop_unsent(self.aborted(), now)

    def _over(self, error: KafkaError | None, now: float) -> None:
        """Tell what became of the operation under way; where nobody waits, whoever calls it next."""
        waiters, self._waiters = self._waiters, []
        if not waiters:
            self._unclaimed = (self._operation, error)
        for waiter in waiters:
            waiter(error, now)


def _nobody(error: KafkaError | None, now: float) -> None:
    pass
