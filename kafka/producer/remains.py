"""What is left of a producer that was dropped without close()."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka._log import Log
from kafka.core.transactions.states import TransactionState
from kafka.errors import DeliveryFailed, IllegalStateError, KafkaError
from kafka.leaving import Remains
from kafka.structs import TopicPartition

if TYPE_CHECKING:
    from kafka._codec import Accumulator
    from kafka.core.transactions.transactions import Transactions
    from kafka.drivers.threads import Driver
    from kafka.metrics.producer import ProducerMetrics
    from kafka.producer.config import ProducerConfig

log = Log("kafka.producer")

# How long ending a transaction may take beyond what its records may.
_PATIENCE = 5.0


class ProducerRemains(Remains):
    """Its records, which are delivered as after `close()`, and its transaction, which is aborted as by `close()`."""

    def __init__(
        self,
        driver: Driver,
        name: str,
        accumulator: Accumulator,
        transactions: Transactions | None,
        config: ProducerConfig,
        metrics: ProducerMetrics | None,
    ) -> None:
        super().__init__(driver, name)
        self._accumulator = accumulator
        self._transactions = transactions
        self._config = config
        self._metrics = metrics
        self._deadline = float("inf")
        self._aborts = False

    def begin(self, now: float) -> None:
        self._deadline = now + self._accumulator.delivery_timeout + _PATIENCE
        self._accumulator.close()

    def is_over(self, now: float) -> bool:
        if now >= self._deadline:
            return True
        transactions = self._transactions
        if transactions is not None:
            if transactions.state in (TransactionState.IN_TRANSACTION, TransactionState.ABORTABLE_ERROR):
                if not self._aborts:
                    self._aborts = True
                    log.warning("%s was dropped without close(): the transaction that is open is aborted", self.name)
                    transactions.abort(self._aborted, now)
                return False
            if transactions.state in (TransactionState.COMMITTING, TransactionState.ABORTING):
                return False
        return not self._accumulator.unresolved()

    def _aborted(self, error: KafkaError | None, now: float) -> None:
        self._accumulator.take_failures()  # that was said already

    def gone(self) -> None:
        try:
            failed = unseen_failures(self._accumulator)
            if failed is not None:
                log.warning("%s was dropped without close(): %s", self.name, failed)
            close_owned(self._config, self._metrics)
        except Exception:
            log.exception("%s was dropped without close(), and could not be closed", self.name)
        super().gone()

    def forked(self) -> None:
        super().forked()
        self._accumulator.abandon(forked_error())


def forked_error() -> KafkaError:
    """What becomes, in the child of a fork, of records that were buffered before."""
    return IllegalStateError("The process forked; this record is its parent's to deliver.")


def unseen_failures(accumulator: Accumulator) -> DeliveryFailed | None:
    """Of records that failed and whose futures nobody has looked at; asked again, of those since."""
    failures = accumulator.take_failures()
    if not failures:
        return None
    return DeliveryFailed(
        sum(count for count, _ in failures.values()),
        {
            TopicPartition(topic, partition if partition >= 0 else None): error  # type: ignore[arg-type]
            for (topic, partition), (_, error) in failures.items()
        },
    )


def close_owned(config: ProducerConfig, metrics: Any) -> None:
    """What a producer was given, and closes at its end."""
    if metrics is not None:
        metrics.close()
    if config.key_serializer is not None or config.value_serializer is not None:
        from kafka.serializer.wrapper import close_each

        close_each(config.key_serializer, config.value_serializer)
