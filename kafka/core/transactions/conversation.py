"""What a transactional producer and its coordinators say to each other, one request at a time.

Everything short of an answer is repeated, with pauses. A request that was written and not answered may still arrive, at
any time; under the older protocol it could then do harm to a later transaction, unless that has another epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from kafka.core.backoff import Backoff
from kafka.core.cluster.routes import GROUP, TRANSACTION, Coordinator
from kafka.core.flows import Signal, first, pause
from kafka.core.timers import Timer
from kafka.core.transactions import requests
from kafka.core.transactions.requests import Place
from kafka.core.transactions.states import TransactionState
from kafka.errors import (
    BrokerResponseError,
    KafkaError,
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
from kafka.result import Err, Ok, Result
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

if TYPE_CHECKING:
    from kafka.core.parts import Services
    from kafka.core.transactions.transactions import Transactions

INFINITY = float("inf")
# How long the coordinator may take, in seconds, to complete the transaction before.
MARKERS_PATIENCE = 10.0

Done = Callable[[KafkaError | None, float], None]  # what became of a call: None, or why it failed


class Offsets:
    """One call of send_offsets_to_transaction."""

    __slots__ = ("group", "offsets", "callback")

    def __init__(
        self, group: ConsumerGroupMetadata, offsets: Mapping[TopicPartition, OffsetAndMetadata], callback: Done
    ) -> None:
        self.group = group
        self.offsets = dict(offsets)
        self.callback = callback


class Transaction:
    """The present one."""

    __slots__ = ("is_v2", "added", "groups", "new", "later", "offsets", "touched", "confirmed", "too_early", "ended")

    def __init__(self, is_v2: bool) -> None:
        self.is_v2 = is_v2  # the newer protocol
        self.added: dict[str, set[int]] = {}  # partitions in the transaction, of the older protocol
        self.groups: set[str] = set()  # consumer groups, likewise
        self.new: dict[Place, None] = {}  # partitions to be added
        self.later: dict[Place, float] = {}  # not before when, those of topics that brokers do not know yet
        self.offsets: deque[Offsets] = deque()
        self.touched = False  # whether the coordinator may know of this transaction
        self.confirmed = False  # whether it has said so
        self.too_early = False  # whether something was refused because the transaction before is not complete
        self.ended = False  # a new epoch may still be awaited


class Conversation:
    """`changed` happens when there may be more to say, `interrupted` when what is repeated may be pointless now."""

    def __init__(self, transactions: Transactions, services: Services) -> None:
        self._owner = transactions
        self._services = services
        config = services.config
        self._backoff = Backoff(config.retry_backoff, config.retry_backoff_max, services.random)
        self._short_backoff = Backoff(min(0.02, config.retry_backoff), config.retry_backoff, services.random)
        self._failures = 0
        self._route = Coordinator(TRANSACTION, transactions.transactional_id)
        self._soon: Timer | None = None
        self.changed = Signal()
        self.interrupted = Signal()
        self.last_error: KafkaError | None = None  # of a request that is being repeated
        self.needs_epoch = False  # before the next transaction

    def soon(self, now: float) -> None:
        """Go on with the next turn: the produce path is in the middle of something."""
        if self._soon is None:
            self._soon = self._services.timers.at(now, self._on_soon)

    def _on_soon(self, now: float) -> None:
        self._soon = None
        self.changed.happens(now)

    # -- the two conversations -----------------------------------------------------------------------------------------

    async def initialize(self, now: float) -> None:
        error, now = await self._get_producer_id()
        if error is None:
            self._owner.ready(now)
        else:
            self._owner.fatal(error, now)

    async def transact(self, transaction: Transaction, now: float) -> None:
        """One transaction: what is to be part of it is said as it comes, then it is ended."""
        owner = self._owner
        while owner.state is not TransactionState.FATAL_ERROR:
            due = [place for place in transaction.new if transaction.later.get(place, now) <= now]
            if due:
                now = await self._add_partitions(transaction, due, now)
            elif transaction.offsets:
                now = await self._commit_offsets(transaction, transaction.offsets[0], now)
            elif owner.state in (TransactionState.COMMITTING, TransactionState.ABORTING) and owner.is_settled():
                transaction.ended, now = await self._end(transaction, now)
                if transaction.ended:
                    error, now = await self._get_producer_id() if self.needs_epoch else (None, now)
                    if error is None:
                        owner.ready(now)
                    else:
                        owner.fatal(error, now)
                    return
            else:
                next_due = min((transaction.later[place] for place in transaction.new), default=INFINITY)
                wishes = [self.changed.wait()]
                if next_due < INFINITY:
                    wishes.append(pause(self._services.timers, next_due - now))
                _, now = await first(*wishes)

    # -- one request and its answer ------------------------------------------------------------------------------------

    async def _ask(
        self, route: Coordinator, message_class: Any, build: Callable[[], Any], newest: int | None
    ) -> tuple[Result[Any, KafkaError] | None, float]:
        """Ok(response); Err(a refusal, or why nothing more can be asked); None: no answer, the pause for it is over."""
        written = False

        def write(version: int) -> Any:
            nonlocal written
            written = True
            return build()

        timeout = 2 * self._services.config.request_timeout  # for finding and reaching the broker, and for its answer
        answer, now = await self._services.calls.ask(route, message_class, write, timeout, newest=newest, once=True)
        if isinstance(answer, Ok):
            self.last_error = None
            return Ok(answer.value.response), now
        error = answer.error
        if _is_refusal(error) or not error.retriable or self._services.calls.closed_by is not None:
            return answer, now
        if written and message_class is not InitProducerIdRequest and not self._owner.is_v2:
            self.needs_epoch = True
        return None, await self._pause(error, now)

    async def _pause(self, error: KafkaError, now: float) -> float:
        self.last_error = error
        self._failures += 1
        is_short = error.errno in (Code.CONCURRENT_TRANSACTIONS, *requests.FENCED)
        delay = (self._short_backoff if is_short else self._backoff).delay(self._failures)
        _, now = await first(pause(self._services.timers, delay), self.interrupted.wait())
        return now

    async def _refused(self, transaction: Transaction, error: KafkaError, now: float) -> float:
        """A coordinator said no: try again, or that is the end of the transaction, or of the producer."""
        transaction.too_early |= error.errno == Code.CONCURRENT_TRANSACTIONS
        if not _is_refusal(error):
            self._owner.fatal(error, now)
        elif error.retriable:
            now = await self._pause(error, now)
        elif error.errno in requests.FENCED:
            self._owner.fatal(requests.fenced(self._owner, error), now)
        elif error.errno in requests.ABORTABLE:
            self._owner.abortable(error, now)
        else:
            self._owner.fatal(error, now)
        return now

    async def _get_producer_id(self) -> tuple[KafkaError | None, float]:
        """A new id, or the next epoch; or why there will be none."""
        owner = self._owner
        while True:
            build = partial(requests.init_producer_id, owner)
            answer, now = await self._ask(self._route, InitProducerIdRequest, build, requests.NEWEST_INIT)
            if isinstance(answer, Ok):
                owner.producer_id, owner.epoch = answer.value.producer_id, answer.value.producer_epoch
                self.needs_epoch = False
                self._failures = 0
                return None, now
            if isinstance(answer, Err):
                error = answer.error
                if not (_is_refusal(error) and error.retriable):
                    return requests.fenced(owner, error) if error.errno in requests.FENCED else error, now
                await self._pause(error, now)

    # -- partitions and offsets ----------------------------------------------------------------------------------------

    async def _add_partitions(self, transaction: Transaction, asked: list[Place], now: float) -> float:
        transaction.touched = True
        build = partial(requests.add_partitions, self._owner, asked)
        answer, now = await self._ask(self._route, AddPartitionsToTxnRequest, build, requests.NEWEST_ADD_PARTITIONS)
        if isinstance(answer, Err):
            return await self._refused(transaction, answer.error, now)
        if answer is None:
            return now
        codes = requests.partition_codes(answer.value)
        added = [place for place in asked if codes.get(place) == 0]
        for name, partition in added:
            transaction.new.pop((name, partition), None)
            transaction.added.setdefault(name, set()).add(partition)
        # One unknown topic keeps all others out, so it is left out for a while itself.
        unknown = [place for place, code in codes.items() if code == Code.UNKNOWN_TOPIC_OR_PARTITION]
        transaction.later.update((place, now + self._backoff.delay(3)) for place in unknown)
        refused, is_of_partitions = requests.partitions_refused(codes)
        if refused is not None and refused.errno != Code.UNKNOWN_TOPIC_OR_PARTITION:
            if is_of_partitions:
                self._owner.abortable(refused, now)
            else:
                now = await self._refused(transaction, refused, now)
        elif added:
            self._confirmed(transaction)
            self._owner.tell_records(now)
        return now

    def _confirmed(self, transaction: Transaction) -> None:
        transaction.confirmed = True
        self._failures = 0

    async def _commit_offsets(self, transaction: Transaction, wanted: Offsets, now: float) -> float:
        transaction.touched = True
        group = wanted.group.group_id or ""
        if not transaction.is_v2 and group not in transaction.groups:
            build = partial(requests.add_group, self._owner, group)
            answer, now = await self._ask(self._route, AddOffsetsToTxnRequest, build, None)
            if isinstance(answer, Err):
                return await self._refused(transaction, answer.error, now)
            if answer is not None:
                self._confirmed(transaction)
                transaction.groups.add(group)
            return now
        build = partial(requests.commit_offsets, self._owner, wanted.group, wanted.offsets)
        newest = None if transaction.is_v2 else requests.NEWEST_OFFSET_COMMIT
        answer, now = await self._ask(Coordinator(GROUP, group), TxnOffsetCommitRequest, build, newest)
        if answer is None:
            return now
        error = answer.error if isinstance(answer, Err) else requests.offsets_refused(answer.value)
        if error is not None:
            return await self._refused(transaction, error, now)
        if transaction.offsets and transaction.offsets[0] is wanted:  # they may have been given up meanwhile
            self._failures = 0
            transaction.offsets.popleft()
            wanted.callback(None, now)
        return now

    # -- the end of a transaction --------------------------------------------------------------------------------------

    async def _end(self, transaction: Transaction, now: float) -> tuple[bool, float]:
        """Whether it is over, one way or the other; if not, it has to be aborted, or the producer is of no more use."""
        owner = self._owner
        committed = owner.state is TransactionState.COMMITTING
        in_doubt = written = False  # an EndTxn may have been carried out, although no answer says so
        markers_by = INFINITY  # until when "fenced" is believed to mean that the transaction before is not complete
        newest = None if transaction.is_v2 else requests.NEWEST_END

        def build() -> Any:
            nonlocal written
            written = True
            return requests.end(owner, committed)

        while transaction.touched:  # or there is nothing that a coordinator could end
            written = False
            answer, now = await self._ask(self._route, EndTxnRequest, build, newest)
            if answer is None:
                in_doubt |= written
            elif isinstance(answer, Ok):
                if answer.value.producer_id >= 0:  # from version 5 on; the id changes when its epochs are used up
                    owner.producer_id, owner.epoch = answer.value.producer_id, answer.value.producer_epoch
                break
            else:
                error = answer.error
                if not _is_refusal(error):
                    is_open = committed and written and self._services.calls.closed_by is None
                    owner.fatal(outcome_not_known(error) if is_open else error, now)
                    return False, now
                in_doubt |= isinstance(error, UnknownError) or error.errno in requests.OUTCOME_UNKNOWN
                if not committed and self._is_writing_markers(transaction, error):
                    markers_by = min(markers_by, now + MARKERS_PATIENCE)
                    if now < markers_by:
                        now = await self._pause(error, now)
                        continue
                if error.retriable:
                    now = await self._pause(error, now)
                elif not committed and self._was_never_there(transaction, error):
                    self.needs_epoch = True
                    break
                elif committed and error.errno in requests.ABORTABLE:
                    owner.abortable(error, now)
                    return False, now
                else:
                    owner.fatal(self._end_failed(transaction, error, committed and in_doubt), now)
                    return False, now
        self._failures = 0
        return True, now

    def _was_never_there(self, transaction: Transaction, error: KafkaError) -> bool:
        """Whether an abort was refused because the coordinator has no such transaction."""
        if error.errno == Code.INVALID_TXN_STATE:
            return not transaction.confirmed and not transaction.is_v2
        return error.errno in requests.UNKNOWN_TO_COORDINATOR

    def _is_writing_markers(self, transaction: Transaction, error: KafkaError) -> bool:
        """Whether "fenced" may mean only that the transaction before is not complete.

        Under the newer protocol that is the answer to an abort then, if nothing could enter this transaction yet. To
        ask for a new epoch would tell too, but might end the transaction of a producer that has really taken over.
        """
        return transaction.is_v2 and transaction.too_early and error.errno in requests.FENCED

    def _end_failed(self, transaction: Transaction, error: KafkaError, in_doubt: bool) -> KafkaError:
        # Under the newer protocol an abort by the coordinator raises the epoch as a commit would, and a commit that
        # comes later is then refused for the state alone.
        was_aborted = transaction.is_v2 and error.errno == Code.INVALID_TXN_STATE
        is_fenced = error.errno in requests.FENCED or was_aborted
        failed = requests.fenced(self._owner, error) if is_fenced else error
        return outcome_not_known(failed) if in_doubt and not was_aborted else failed


def _is_refusal(error: KafkaError) -> bool:
    """Whether a coordinator has said so."""
    return isinstance(error, BrokerResponseError) and type(error) is not UnsupportedVersionError


def outcome_not_known(failed: KafkaError) -> KafkaError:
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
