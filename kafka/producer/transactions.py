"""The transaction methods of `KafkaProducer`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from kafka._log import Log
from kafka.client import Answer, Client
from kafka.config.key import encoded_size
from kafka.core.transactions.states import ABORT, BEGIN, COMMIT, INIT, OFFSETS, TransactionState
from kafka.errors import (
    BrokerResponseError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    TransactionAbortableError,
)
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

if TYPE_CHECKING:
    from typing_extensions import Self

    from kafka._codec import Accumulator
    from kafka.core.transactions.conversation import Done
    from kafka.core.transactions.transactions import Transactions
    from kafka.producer.config import ProducerConfig

log = Log("kafka.producer")

# How long an abort may take that nobody asked for: after Ctrl-C, and in close().
_ABORT_PATIENCE = 5.0
_LONGEST = 32767  # bytes, of a string in a request


class TransactionMethods(Client):
    """Each waits at most `max_block_ms`, then raises a KafkaTimeoutError that says what it waited for.

    What was begun goes on nevertheless; the same method called again waits on, or gives the outcome. Only
    `begin_transaction` that was not over in time, or was interrupted, leaves no transaction behind.

    They raise IllegalStateError where no `transactional_id` was configured or the moment is wrong;
    TransactionAbortableError where this transaction can only be aborted, after which the producer goes on (its
    `__cause__` is what failed); ProducerFencedError, TransactionalIdAuthorizationFailedError and the like where this
    producer is of no further use.
    """

    _accumulator: Accumulator
    _checked: ProducerConfig
    _transactions: Transactions | None

    def init_transactions(self) -> None:
        """Get a producer id for the transactional id. To be called once, before all other methods.

        An earlier producer with the same transactional id is fenced: a transaction that it left open is aborted, one
        that it was committing is completed first, and it can do nothing more.
        """
        self._transact(INIT, self._coordinated(INIT).init)

    def begin_transaction(self) -> None:
        """Open a transaction. Until it is committed or aborted, all records that are sent belong to it."""
        transactions, accumulator = self._coordinated(BEGIN), self._accumulator
        lock = threading.Lock()
        withdrawn = begun = False

        def begin(answer: Done, now: float) -> None:
            with lock:
                if not withdrawn:
                    transactions.begin(partial(opened, answer), now)

        def opened(answer: Done, error: KafkaError | None, now: float) -> None:
            nonlocal begun
            begun = error is None
            if begun and not self._closed:
                accumulator.reopen()
            answer(error, now)

        try:
            self._transact(BEGIN, begin)
        except BaseException as error:
            # Nobody knows of a transaction whose beginning was not waited for, so there is to be none.
            with lock:
                withdrawn = True
            if begun:
                self._abort_because_of(error)
            raise

    def send_offsets_to_transaction(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata | int],
        group_metadata: ConsumerGroupMetadata | str,
    ) -> None:
        """Have a consumer group's offsets committed if and when the transaction is.

        `offsets`: the next offset to be read, for each partition. `group_metadata`: what the consumer says of its place
        in the group, by which brokers refuse a consumer that is no member any more (KIP-447); or only the group's id.

        Raises CommitFailedError for such a consumer, GroupAuthorizationFailedError; the transaction is to be aborted.
        """
        group = ConsumerGroupMetadata(group_metadata) if isinstance(group_metadata, str) else group_metadata
        if not isinstance(group, ConsumerGroupMetadata) or not group.group_id:
            raise TypeError(
                f"group_metadata must be a ConsumerGroupMetadata with a group_id, or a group's id: {group_metadata!r}"
            )
        _check_group(group)
        if group.generation_id > 0 and not group.member_id:
            raise ValueError(f"{group!r} has a generation_id, so it must have a member_id")
        wanted = {_partition(key): _offset(value) for key, value in offsets.items()}
        transactions = self._coordinated(OFFSETS)
        self._transact(OFFSETS, lambda answer, now: transactions.send_offsets(wanted, group, answer, now))

    def commit_transaction(self) -> None:
        """Deliver everything that was sent, then commit.

        Where a record failed this raises TransactionAbortableError: nothing is committed, and `abort_transaction()`
        must follow.
        """
        transactions, accumulator = self._coordinated(COMMIT), self._accumulator

        def commit(answer: Done, now: float) -> None:
            if transactions.state is TransactionState.IN_TRANSACTION:
                accumulator.close()  # nothing more is taken, and nothing lingers
            transactions.commit(answer, now)

        self._transact(COMMIT, commit)

    def abort_transaction(self) -> None:
        """Abort: records not sent yet fail with TransactionAbortedError, what is on the wire is waited for."""
        self._abort(None)

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """`with producer.transaction():` begins one and commits it, or aborts it where the block raises.

        Where a record failed it is aborted too, and TransactionAbortableError raised. A KafkaTimeoutError of the commit
        is raised as it is: `commit_transaction()` called again tells what became of it.
        """
        self.begin_transaction()
        try:
            yield self
        except BaseException as error:
            self._abort_because_of(error)
            raise
        try:
            self.commit_transaction()
        except TransactionAbortableError:
            self._abort(None)
            raise

    def _abort(self, timeout: float | None) -> None:
        self._transact(ABORT, self._coordinated(ABORT).abort, timeout)
        self._accumulator.take_failures()  # whoever aborts need not be told of them by flush() or close()

    def _abort_because_of(self, error: BaseException) -> None:
        """The block's own error is what matters; whoever pressed Ctrl-C wants to leave."""
        try:
            self._abort(None if isinstance(error, Exception) else _ABORT_PATIENCE)
        except KafkaError as failed:
            log.error("the transaction could not be aborted: %s", failed)

    def _abort_at_close(self, timeout: float | None) -> None:
        """What a producer leaves open would keep consumers from reading on, until the coordinator's patience ends."""
        transactions = self._transactions
        if transactions is None or transactions.state not in (
            TransactionState.IN_TRANSACTION,
            TransactionState.ABORTABLE_ERROR,
        ):
            return
        log.warning("close() aborts the transaction that is open")
        try:
            self._abort(_ABORT_PATIENCE if timeout is None else min(timeout, _ABORT_PATIENCE))
        except KafkaError as failed:
            log.error("the transaction could not be aborted: %s", failed)

    def _coordinated(self, method: str) -> Transactions:
        self._check_open()
        if self._transactions is None:
            raise IllegalStateError(f"{method}() needs a transactional_id in the producer's configuration.")
        return self._transactions

    def _transact(self, method: str, call: Callable[[Done, float], None], timeout: float | None = None) -> None:
        """Have the IO thread call this, and wait for the outcome; Ctrl-C interrupts."""
        waits_for = "the IO thread, which is busy"

        def forget(answer: Answer) -> None:
            nonlocal waits_for
            assert self._transactions is not None
            self._transactions.forget(answer)
            waits_for = self._transactions.waits_for()

        limit = self._checked.max_block_ms / 1000 if timeout is None else timeout
        try:
            error = self._ask(call, limit, f"{method}()", forget)
        except KafkaTimeoutError:
            raise KafkaTimeoutError(
                f"{method}() was not over within {limit:g} s. It waits for {waits_for}. "
                f"Call it again to wait on.{self._trouble()}"
            ) from None
        if error is not None:
            if isinstance(error, BrokerResponseError):
                raise error.about(f"transactional id {self._checked.transactional_id!r}")
            raise error.fresh()


def _check_group(group: ConsumerGroupMetadata) -> None:
    texts = (group.group_id, group.member_id, "" if group.group_instance_id is None else group.group_instance_id)
    if not all(isinstance(text, str) for text in texts) or not isinstance(group.generation_id, int):
        raise TypeError(f"{group!r} must have strings, and an integer as generation_id")
    if not all(encoded_size(str(text)) <= _LONGEST for text in texts) or not -(2**31) <= group.generation_id < 2**31:
        raise ValueError(
            f"the strings of a ConsumerGroupMetadata are of at most {_LONGEST} bytes, its generation_id fits 32 bits"
        )


def _partition(key: Any) -> TopicPartition:
    topic, partition = key
    if not isinstance(topic, str) or not isinstance(partition, int) or isinstance(partition, bool):
        raise TypeError(f"offsets must have TopicPartition(topic, partition) as keys, not {key!r}")
    if not 0 <= partition < 2**31 or encoded_size(topic) > _LONGEST:
        raise ValueError(f"offsets has a key that can be no partition of a topic: {key!r}")
    return TopicPartition(topic, partition)


def _offset(value: Any) -> OffsetAndMetadata:
    offset = value if isinstance(value, OffsetAndMetadata) else OffsetAndMetadata(value)
    if not isinstance(offset.offset, int) or isinstance(offset.offset, bool) or offset.offset < 0:
        raise TypeError(f"an offset must be an OffsetAndMetadata, or an integer of 0 or more, not {value!r}")
    if not isinstance(offset.metadata, (str, type(None))) or not isinstance(offset.leader_epoch, int):
        raise TypeError(f"an OffsetAndMetadata has a string as metadata and an integer as leader_epoch, not {value!r}")
    if offset.offset >= 2**63 or not -1 <= offset.leader_epoch < 2**31:
        raise ValueError(f"an offset must fit 64 bits and its leader_epoch 32: {value!r}")
    if encoded_size(offset.metadata or "") > _LONGEST:
        raise ValueError(f"an offset's metadata must be of at most {_LONGEST} bytes: {value.offset}")
    return offset
