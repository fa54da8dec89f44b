"""`KafkaProducer`: the public producer, thin over the accumulator, the core and the threaded driver."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NoReturn

from kafka._codec import Accumulator, check_topic
from kafka._log import Log
from kafka.client import Client, Cluster
from kafka.config.described import described_by
from kafka.core.events import Listeners
from kafka.core.produce.path import Produce, ProduceConfig, closed_error
from kafka.core.transactions.transactions import Transactions
from kafka.drivers._turn import Turn
from kafka.drivers.base import Desk
from kafka.errors import DeliveryFailed, IllegalStateError, KafkaError, KafkaTimeoutError, UnknownPartitionError
from kafka.leaving import EXIT_PATIENCE
from kafka.partitioner.abc import Partitioner
from kafka.partitioner.default import DefaultPartitioner
from kafka.producer.config import DEFAULT_CONFIG, ProducerConfig
from kafka.producer.desk import ProducerDesk
from kafka.producer.remains import ProducerRemains, close_owned, forked_error, unseen_failures
from kafka.producer.transactions import TransactionMethods
from kafka.producer.waiting import WaitingProducer, Waits, wait_for

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from kafka._codec import Deferred
    from kafka.producer.arguments import ProducerArguments
    from kafka.records.compression import Codec

log = Log("kafka.producer")


@described_by(ProducerConfig)
class KafkaProducer(TransactionMethods, WaitingProducer):
    """Sends records to Kafka from a thread in the background. Thread-safe; share one rather than make several.

    Unknown arguments raise an error that names the nearest; those that are not implemented raise NotImplementedError.
    Raises NoBrokersAvailable or another KafkaTimeoutError where no broker can be reached, with what was tried and why
    it failed.
    """

    DEFAULT_CONFIG = DEFAULT_CONFIG
    _MADE = Client._MADE | {"_accumulator", "_produce", "_transactions", "_metrics", "_max_block"}

    def __init__(self, **configs: Unpack[ProducerArguments]) -> None:
        Client.__init__(self, ProducerConfig(configs))

    def _start(self) -> None:
        Client._start(self)
        config = self._checked
        # murmur2 and late binding stand in for the built-in partitioners; a subclass of one is somebody's own.
        partitioner = None if _is_built_in(config.partitioner) else config.partitioner
        # Last, as other threads may be at it already: from here on send() takes records.
        WaitingProducer.__init__(
            self,
            self._accumulator,
            key_serializer=config.key_serializer,
            value_serializer=config.value_serializer,
            partitioner=partitioner,
            max_request_size=config.max_request_size,
            max_block=min(config.max_block_ms / 1000, 1e9),
        )

    def _listeners(self) -> Listeners:
        from kafka.observed import observed
        from kafka.producer.observed import GAUGES, metrics_class

        self._metrics, listeners = observed(self, self._checked, metrics_class, GAUGES)
        return listeners

    def _equip(self, turn: Turn) -> Desk:
        config = self._checked
        delivery_timeout = min(config.delivery_timeout_ms / 1000, 1e9)
        waits = Waits()
        self._accumulator = Accumulator(
            turn,
            memory=config.buffer_memory,
            linger=config.linger_ms / 1000,
            delivery_timeout=delivery_timeout,
            batch_size=max(config.batch_size, 1) if config.batch_size_given else 0,
            max_request_size=config.max_request_size,
            codec=_codec(config),
            waits=waits,
        )
        if waits.callbacks is not None:
            self._accumulator.run_callbacks = waits.callbacks.run
        self._transactions = None
        if config.transactional_id is not None:
            timeout = config.transaction_timeout_ms / 1000
            self._transactions = Transactions(self._core.services, config.transactional_id, timeout)
            self._accumulator.close()  # begin_transaction() opens it
        self._produce = Produce(
            self._core.services,
            self._accumulator,
            ProduceConfig(
                acks=config.acks,
                idempotent=config.enable_idempotence,
                max_in_flight=config.max_in_flight_requests_per_connection,
                retries=config.retries,
                retry_backoff=config.retry_backoff_ms / 1000,
                retry_backoff_max=max(1.0, config.retry_backoff_ms / 1000),
                request_timeout=config.request_timeout_ms / 1000,
                delivery_timeout=delivery_timeout,
                max_request_size=config.max_request_size,
                rack=config.client_rack,
            ),
            self._transactions,
        )
        self._core.attach(self._produce)
        return ProducerDesk(self._accumulator)

    def _forked(self) -> None:
        super()._forked()
        if self._metrics is not None:
            self._metrics.after_fork()
        self._accumulator.abandon(forked_error())

    # -- metadata ----------------------------------------------------------------------------------------------------

    def _await_partitions(self, topic: str, least: int = 1) -> None:
        timeout = self._checked.max_block_ms / 1000
        known = self._accumulator.partition_count(topic)
        if known > 0 and self._driver.is_current():
            self._driver.call(lambda now: self._core.metadata.refresh(topic, now))
            raise _no_partition(topic, least - 1, known, "send() in a callback cannot wait for newer metadata")
        try:
            error = self._ask(
                lambda answer, now: self._produce.await_topic(topic, answer, now, least),
                timeout,
                f"topic {topic}",
                lambda answer: self._produce.forget_waiter(topic, answer),
            )
        except KafkaTimeoutError:
            count, found = self._accumulator.partition_count(topic), self._core.snapshot.topics.get(topic)
            if found is not None and found.error is not None:
                raise KafkaTimeoutError(
                    f"Topic {topic} has no partitions to send to, still not after {timeout:g} s: {found.error}"
                ) from found.error
            if count > 0:
                raise _no_partition(topic, least - 1, count, f"still not after {timeout:g} s") from None
            raise
        if error is not None and error is self._core.closed_by and self._closed:
            # Its own text is about records.
            raise IllegalStateError(f"{type(self).__name__} was closed while a thread waited for topic {topic}.")
        if error is not None:
            raise error.about(f"topic {topic}")

    def _defer(self, record: Deferred) -> None:
        self._produce.deferred.add(record, self._checked.max_block_ms / 1000)

    def _cluster(self) -> Cluster:
        return Cluster(self._core.snapshot)

    @property
    def _metadata(self) -> Cluster:
        # kafka-python's name for it, which Elastic APM reads after each send().
        return self._cluster()

    def partitions_for(self, topic: str) -> set[int]:
        """The partitions of `topic`; waits at most `max_block_ms` for them.

        TypeError or ValueError for what can be no topic's name.
        """
        self._check_open()
        topic = check_topic(topic)
        known = self._core.snapshot.partitions(topic)
        if known == 0:
            self._await_partitions(topic)
            known = self._core.snapshot.partitions(topic)
        return set(range(known))

    # -- the end -----------------------------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> None:
        """Send what is buffered without lingering, and wait until every record sent so far has its outcome.

        Where records fail, it also waits for those that their callbacks have sent instead.

        Raises KafkaTimeoutError after `timeout` seconds, DeliveryFailed where records failed whose futures nobody has
        looked at.
        """
        if self._closed:  # which flushed
            return
        self._check_open()
        self._wait_for_all(timeout)
        self._raise_failures()

    def _is_io_thread(self) -> bool:
        return super()._is_io_thread() or self._accumulator.waits.is_io_thread()

    def _wait_for_all(self, timeout: float | None) -> None:
        self._refuse_on_io_thread("flush()")
        accumulator = self._accumulator
        deadline = None if timeout is None else time.monotonic() + timeout
        accumulator.begin_flush()
        try:
            self._driver.wake()
            # Where records failed, once more: for those that their callbacks sent instead, to another topic perhaps.
            for _ in range(2):
                cells = accumulator.unresolved()
                for cell in cells:
                    left = None if deadline is None else deadline - time.monotonic()
                    if not wait_for(cell, left, told=True):
                        waiting = accumulator.unresolved_records()
                        raise KafkaTimeoutError(
                            f"flush() ended after {timeout:g} s with {waiting} records still to be delivered."
                            + self._trouble()
                        )
                if all(cell.error is None for cell in cells):
                    break
        finally:
            accumulator.end_flush()

    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:
        """Deliver what is buffered, then end the IO thread. Closing again does nothing.

        After `timeout` seconds (None: as long as delivery may take) what is left fails; where a callback keeps the IO
        thread busy then, it is waited for 5 s more. Raises DeliveryFailed where records failed whose futures nobody has
        looked at.
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be a number of seconds, 0 or more, or None: {timeout}")
        if self._close(timeout, null_logger):
            self._raise_failures()

    def _finish(self, timeout: float | None, quiet: bool) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._driver.is_alive():
            self._abort_at_close(timeout)
        self._closed = True
        self._accumulator.close()
        try:
            self._wait_for_all(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except KafkaTimeoutError as error:
            if not quiet:
                log.warning("close: %s", error)

    def _closed_error(self) -> KafkaError:
        return closed_error()

    def _shut_down(self, patience: float) -> None:
        self._accumulator.close()
        super()._shut_down(patience)
        close_owned(self._checked, self._metrics)

    def _raise_failures(self) -> None:
        failed = unseen_failures(self._accumulator)
        try:
            if failed is not None:
                raise failed
        finally:
            del failed  # whose traceback has this frame: a circle that keeps the producer

    def _close_because_of(self, error: BaseException) -> None:
        # The block's own error matters more than what became of its records; whoever pressed Ctrl-C wants to leave.
        patience = self._checked.max_block_ms / 1000
        try:
            # Not close(), which a subclass may have with other arguments.
            if self._close(patience if isinstance(error, Exception) else min(patience, EXIT_PATIENCE)):
                self._raise_failures()
        except DeliveryFailed as failed:
            log.error("while leaving the with block for another error: %s", failed)

    def _remains(self, name: str) -> ProducerRemains:
        return ProducerRemains(self._driver, name, self._accumulator, self._transactions, self._checked, self._metrics)

    def _hurry(self) -> None:
        self._accumulator.begin_flush()
        self._driver.wake()

    def _close_at_exit(self, deadline: float) -> None:
        given_up = trouble = ""
        if self._pid == os.getpid():
            try:
                self._wait_for_all(max(0.0, deadline - time.monotonic()))
            except KafkaTimeoutError:
                waiting, trouble = self._accumulator.unresolved_records(), self._trouble()
                given_up = f"{waiting} records are given up." if waiting else ""
        try:
            if self._close(max(0.0, deadline - time.monotonic()), True):
                self._raise_failures()
        except DeliveryFailed as failed:
            given_up = str(failed)
        if given_up:
            log.warning("%r was not closed before the interpreter's end: %s%s", self, given_up, trouble)

    # -- where the accumulator is closed ---------------------------------------------------------------------------

    def _takes_records_again(self) -> bool:
        if self._closed:
            return False
        self._check_open()  # starts again in the child of a fork
        return not self._accumulator.closed  # another thread may have done that, or begun a transaction

    def _refuse(self) -> NoReturn:
        self._check_open()
        if self._transactions is not None and self._driver.is_alive():
            raise self._transactions.refusal().fresh()
        raise IllegalStateError(self._ended()) from self._driver.error

    # -- what is known -----------------------------------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        """How much of `buffer_memory` is in use."""
        return self._accumulator.used

    @classmethod
    def max_usable_produce_magic(cls, api_version: tuple[int, ...]) -> int:
        """The format of the batches that are written: 2, for every broker that is spoken to."""
        return 2

    def metrics(self, raw: bool = False) -> dict[Any, Any] | None:
        """What has been measured: {group: {name: value}}, or with `raw` {MetricName: KafkaMetric}.

        Groups are "producer-metrics", "producer-topic-metrics.TOPIC" and "producer-node-metrics.node-ID". Rates,
        averages and maxima are of the last metrics_num_samples * metrics_sample_window_ms; a maximum of nothing is
        -inf. None with metrics_enabled=False.
        """
        if self._metrics is None:
            return None
        return self._metrics.metrics() if raw else self._metrics.values(time.monotonic())


def _no_partition(topic: str, partition: int, known: int, when: str) -> UnknownPartitionError:
    return UnknownPartitionError(
        f"Topic {topic} has no partition {partition}: it has {known}, 0 to {known - 1}; {when}."
    )


def _is_built_in(partitioner: Partitioner | str) -> bool:
    if type(partitioner) is DefaultPartitioner:
        return True
    from kafka.partitioner.sticky import StickyPartitioner

    return type(partitioner) is StickyPartitioner


def _codec(config: ProducerConfig) -> Codec | None:
    if config.compression_type is None:
        return None
    from kafka.records.compression import Codec

    codec = Codec(config.compression_type, config.compression_level)
    log.debug("batches are compressed with %s, by %s", codec.name, codec.library)
    return codec
