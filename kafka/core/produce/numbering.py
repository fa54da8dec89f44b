"""Who gives a producer's batches their numbers: nobody, an idempotent producer's identity, or a transaction.

The produce path asks before it sends a batch, and tells what became of it; what differs between the three stands here.
"""

from __future__ import annotations

from collections import Counter

from kafka._codec import Batch
from kafka.core.produce.identity import LARGEST_EPOCH, Identity
from kafka.core.produce.partitions import SEQUENCES, Partition
from kafka.core.transactions.transactions import Transactions
from kafka.errors import IllegalStateError, KafkaError


class Numbering:
    """Of a producer that is not idempotent: brokers recognise nothing."""

    transactional_id: str | None = None
    is_numbered = False  # brokers recognise batches, and refuse what does not follow
    restarts = False  # a partition that lost a number starts again with a new epoch, by itself

    def may_send(self, partition: Partition, now: float) -> bool:
        """Whether a batch for this partition may be sent. If not, the producer's `on_identity` says when to ask."""
        return True

    def may_send_keyless(self, partition: Partition, now: float) -> bool:
        """As `may_send`, for records that may as well go elsewhere."""
        return True

    def may_number(self, partition: Partition, now: float) -> bool:
        """Whether the partition can number another batch; where numbering has to start again, that is done."""
        return True

    def stamp(self, partition: Partition, batch: Batch) -> None:
        """Gives the batch its producer id, epoch and number, as they are on the wire."""
        batch.stamp()

    def newest_produce_version(self, newest: int | None) -> int | None:
        """The newest version of a produce request, given what else limits it; None: any."""
        return newest

    def renew(self, producer_id: int, now: float) -> None:
        """Brokers do not know this producer id any more."""

    def abort_error(self) -> KafkaError | None:
        """Not None: why nothing that failed is worth another attempt."""
        return None

    def trouble(self) -> KafkaError | None:
        """Why there is no producer id, where one is needed."""
        return None

    def on_batch_sent(self) -> None:
        pass

    def on_batch_failed(self, error: KafkaError, now: float) -> None:
        pass

    def on_too_early(self) -> None:
        """A batch was refused with CONCURRENT_TRANSACTIONS."""


class IdempotentNumbering(Numbering):
    """Of an idempotent producer: a partition's numbers are its own, and so is its epoch."""

    is_numbered = restarts = True

    def __init__(self, identity: Identity, waiting: dict[Partition, None], counts: Counter[str]) -> None:
        self._identity = identity
        self._waiting = waiting  # partitions that wait for a producer id
        self._counts = counts

    def may_number(self, partition: Partition, now: float) -> bool:
        identity = self._identity
        if partition.producer_id >= 0 and not partition.broken:
            return True
        if partition.in_flight:
            return False
        if partition.producer_id >= 0 and partition.producer_id == identity.producer_id:
            if partition.epoch < LARGEST_EPOCH:
                # No other partition need hear of it.
                self._counts["epoch bumped"] += 1
                partition.restart_numbering(partition.producer_id, partition.epoch + 1)
                return True
            self._counts["producer id renewed"] += 1
            identity.renew(partition.producer_id, now)
        if identity.producer_id < 0:
            self._waiting[partition] = None
            identity.request(now)
            return False
        partition.restart_numbering(identity.producer_id, identity.epoch)
        return True

    def stamp(self, partition: Partition, batch: Batch) -> None:
        if (batch.sequence + batch.records) % SEQUENCES < batch.records:
            self._counts["sequence wrapped"] += 1
        batch.stamp(partition.producer_id, partition.epoch, batch.sequence % SEQUENCES)

    def renew(self, producer_id: int, now: float) -> None:
        self._identity.renew(producer_id, now)

    def trouble(self) -> KafkaError | None:
        return self._identity.last_error if self._identity.producer_id < 0 else None


class TransactionalNumbering(Numbering):
    """One id and epoch for the whole transaction, so what is broken stays so until the next one."""

    is_numbered = True

    def __init__(self, transactions: Transactions, waiting: dict[Partition, None]) -> None:
        self._transactions = transactions
        self._waiting = waiting  # partitions that wait to become part of the transaction
        self.transactional_id = transactions.transactional_id

    def may_send(self, partition: Partition, now: float) -> bool:
        return self._admitted(partition, self._transactions.admits(partition.topic.name, partition.index, now))

    def may_send_keyless(self, partition: Partition, now: float) -> bool:
        return self._admitted(partition, self._transactions.admits_keyless(partition.topic.name, partition.index, now))

    def _admitted(self, partition: Partition, admitted: bool) -> bool:
        if not admitted:
            self._waiting[partition] = None
        return admitted

    def may_number(self, partition: Partition, now: float) -> bool:
        transactions = self._transactions
        if (partition.producer_id, partition.epoch) != (transactions.producer_id, transactions.epoch):
            if partition.in_flight:
                return False
            partition.restart_numbering(transactions.producer_id, transactions.epoch)
        if partition.broken:
            error = IllegalStateError(f"{partition} cannot take more records of this transaction: some are missing.")
            transactions.on_batch_failed(error, now)
        return not partition.broken

    def stamp(self, partition: Partition, batch: Batch) -> None:
        batch.stamp(partition.producer_id, partition.epoch, batch.sequence % SEQUENCES, transactional=True)

    def newest_produce_version(self, newest: int | None) -> int | None:
        return newest if self._transactions.is_v2 else self._transactions.newest_produce_version

    def abort_error(self) -> KafkaError | None:
        return self._transactions.aborted() if self._transactions.is_failing else None

    def on_batch_sent(self) -> None:
        self._transactions.on_batch_sent()

    def on_batch_failed(self, error: KafkaError, now: float) -> None:
        self._transactions.on_batch_failed(error, now)

    def on_too_early(self) -> None:
        self._transactions.on_too_early()

    def trouble(self) -> KafkaError | None:
        return self._transactions.last_error if self._transactions.producer_id < 0 else None
