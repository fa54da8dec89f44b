"""`KafkaProducer`: the public producer, thin over the accumulator, the core and the threaded driver."""

from __future__ import annotations

import atexit
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

from kafka._codec import Accumulator, ProducerBase
from kafka._installed import warn_if_overwritten
from kafka._log import Log
from kafka.core.cluster.snapshot import Snapshot
from kafka.core.config import Config
from kafka.core.core import Core
from kafka.core.net.health import BrokerHealth
from kafka.core.produce.path import Produce, ProduceConfig, closed_error
from kafka.core.transactions.transactions import Transactions
from kafka.drivers._turn import Turn
from kafka.drivers.threads import Driver
from kafka.errors import DeliveryFailed, IllegalStateError, KafkaError, KafkaTimeoutError
from kafka.partitioner.abc import Partitioner
from kafka.partitioner.default import DefaultPartitioner
from kafka.producer.config import DEFAULT_CONFIG, ProducerConfig
from kafka.producer.observed import observed
from kafka.producer.transactions import TransactionMethods
from kafka.result import Err, Result
from kafka.structs import TopicPartition
from kafka.version import __version__

log = Log("kafka.producer")

_CODECS = {None: 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
# How long leaving the interpreter waits for records of producers that nobody closed.
_EXIT_PATIENCE = 5.0


class KafkaProducer(ProducerBase, TransactionMethods):
    """Sends records to Kafka from a thread in the background. Thread-safe; share one rather than make several.

    Takes kafka-python's keyword arguments (`KafkaProducer.DEFAULT_CONFIG` has them all with their defaults) and
    `buffer_memory` (bytes that records may wait in) and `compression_level`. Unknown ones raise an error that names the
    nearest; those that are still to come raise NotImplementedError.

    Raises KafkaConnectionError or another KafkaTimeoutError where no broker can be reached, with what was tried and why
    it failed.
    """

    DEFAULT_CONFIG = DEFAULT_CONFIG

    def __init__(self, **configs: Any) -> None:
        warn_if_overwritten()
        self._checked = ProducerConfig(configs)
        self.config: dict[str, Any] = self._checked.values
        self._starting = threading.RLock()
        self._is_starting = False
        self._start()
        self._closed = False
        _producers.add(self)
        try:
            if self._checked.api_version is None:
                self._bootstrap()
        except BaseException:
            self._shut_down(closed_error(), 1.0)
            raise

    def _start(self) -> None:
        """A new accumulator, core and IO thread: when it is made, and in the child after a fork."""
        config = self._checked
        turn = Turn()
        delivery_timeout = min(config.delivery_timeout_ms / 1000, 1e9)
        accumulator = Accumulator(
            turn,
            memory=config.buffer_memory,
            linger=config.linger_ms / 1000,
            delivery_timeout=delivery_timeout,
            batch_size=max(config.batch_size, 1) if config.batch_size_given else 0,
            max_request_size=config.max_request_size,
            compression=_CODECS[config.compression_type],
            compression_level=config.compression_level,
        )
        self._metrics, listeners = observed(self, config)
        self._core: Core = Core(_core_config(config), random.Random(), listeners)
        self._transactions = None
        if config.transactional_id is not None:
            timeout = config.transaction_timeout_ms / 1000
            self._transactions = Transactions(self._core.services, config.transactional_id, timeout)
            accumulator.close()  # begin_transaction() opens it
        self._produce = Produce(
            self._core.services,
            accumulator,
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
        self._driver = Driver(
            self._core, turn, accumulator, socket_options=_socket_options(config), name=f"{config.client_id}-io"
        )
        self._accumulator: Accumulator = accumulator
        # murmur2 and late binding stand in for the built-in partitioners; a subclass of one is somebody's own.
        partitioner = None if _is_built_in(config.partitioner) else config.partitioner
        self._driver.start()
        # Last, as other threads may be at it already: from here on send() takes records.
        super().__init__(
            accumulator,
            key_serializer=config.key_serializer,
            value_serializer=config.value_serializer,
            partitioner=partitioner,
            max_request_size=config.max_request_size,
            max_block=min(config.max_block_ms / 1000, 1e9),
        )
        self._pid = os.getpid()

    # -- connecting and metadata -------------------------------------------------------------------------------------

    def _bootstrap(self) -> None:
        timeout = self._checked.bootstrap_timeout_ms / 1000
        result: Result[Snapshot, KafkaError] = self._ask(
            lambda answer, now: self._core.bootstrap(lambda result, now: answer(result), now, timeout),
            timeout + 5,
            "the cluster's brokers",
        )
        if isinstance(result, Err):
            raise result.error.fresh()

    def _ask(
        self,
        question: Callable[[Callable[[Any], None], float], None],
        timeout: float,
        what: str,
        forget: Callable[[Callable[[Any], None]], None] | None = None,
    ) -> Any:
        """Have the IO thread ask something, and wait for the answer; Ctrl-C interrupts.

        Where no answer is waited for any more, `forget` is called, too.
        """
        self._refuse_on_io_thread(f"waiting for {what}")
        answers: list[Any] = []
        answered = threading.Event()

        def answer(value: Any) -> None:
            answers.append(value)
            answered.set()

        self._driver.call(lambda now: question(answer, now))
        deadline = time.monotonic() + timeout
        try:
            while not answered.wait(max(0.0, min(deadline - time.monotonic(), 1.0))):
                if not self._driver.is_alive():
                    self._refuse()
                if time.monotonic() >= deadline:
                    raise KafkaTimeoutError(f"Nothing was heard of {what} within {timeout:g} s." + self._trouble())
        finally:
            if forget is not None and not answers:
                self._driver.call(lambda now: forget(answer))
        return answers[0]

    def _trouble(self) -> str:
        """What is known to be wrong, for the end of an error message."""
        errors = [str(health.error) for health in self._core.health(time.monotonic()) if health.error is not None]
        if self._core.metadata.error is not None and not errors:
            errors = [str(self._core.metadata.error)]
        return " " + " ".join(errors[:3]) if errors else ""

    def _await_partitions(self, topic: str) -> None:
        timeout = self._checked.max_block_ms / 1000
        try:
            error = self._ask(
                lambda answer, now: self._produce.await_topic(topic, answer, now),
                timeout,
                f"topic {topic}",
                lambda answer: self._produce.forget_waiter(topic, answer),
            )
        except KafkaTimeoutError:
            known = self._core.snapshot.topics.get(topic)
            if known is None or known.error is None:
                raise
            raise KafkaTimeoutError(
                f"Topic {topic} has no partitions to send to, still not after {timeout:g} s: {known.error}"
            ) from known.error
        if error is not None:
            raise error.fresh()

    def _partition_out_of_range(self, topic: str, partition: int, count: int) -> NoReturn:
        raise ValueError(f"topic {topic} has no partition {partition}: it has {count}, 0 to {count - 1}")

    def _cluster(self) -> Cluster:
        return Cluster(self._core.snapshot)

    def partitions_for(self, topic: str) -> set[int]:
        """The partitions of `topic`; waits at most `max_block_ms` for them."""
        self._check_open()
        known = self._core.snapshot.partitions(topic)
        if known == 0:
            self._await_partitions(topic)
            known = self._core.snapshot.partitions(topic)
        return set(range(known))

    def bootstrap_connected(self) -> bool:
        """Whether the cluster answers: a broker is connected."""
        return any(health.state == "ready" for health in self._core.health(time.monotonic()))

    def health(self) -> list[BrokerHealth]:
        """How each broker is doing: which one fails, since when and why; whether a quota holds this client back.

        Moments in it are as `time.time()` has them. The addresses of bootstrap_servers (negative node_id) are listed
        until a broker is known. Never waits; also after `close()`.
        """
        zero = time.time() - time.monotonic()  # the core's clock is the monotonic one
        found = self._core.health(time.monotonic())
        return [
            health._replace(
                failing_since=None if health.failing_since is None else health.failing_since + zero,
                waiting_since=None if health.waiting_since is None else health.waiting_since + zero,
                throttled_until=None if health.throttled_until is None else health.throttled_until + zero,
            )
            for health in [broker for broker in found if broker.node_id >= 0] or found
        ]

    # -- the end -----------------------------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> None:
        """Send what is buffered without lingering, and wait until every record sent so far has its outcome.

        Raises KafkaTimeoutError after `timeout` seconds, DeliveryFailed where records failed whose futures nobody has
        looked at.
        """
        if self._closed:  # which flushed
            return
        self._check_open()
        self._wait_for_all(timeout)
        self._raise_failures()

    def _wait_for_all(self, timeout: float | None) -> None:
        self._refuse_on_io_thread("flush()")
        accumulator = self._accumulator
        deadline = None if timeout is None else time.monotonic() + timeout
        accumulator.begin_flush()
        try:
            self._driver.wake()
            for cell in accumulator.unresolved():
                left = None if deadline is None else deadline - time.monotonic()
                if not cell.wait(left, told=True):
                    waiting = len(accumulator.unresolved())
                    raise KafkaTimeoutError(
                        f"flush() ended after {timeout:g} s with {waiting} batches still to be delivered."
                        + self._trouble()
                    )
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
        if self._closed:
            return
        self._refuse_on_io_thread("close()")
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._pid == os.getpid() and self._driver.is_alive():
            self._abort_at_close(timeout)
        self._closed = True
        try:
            if self._pid == os.getpid():
                self._accumulator.close()
                try:
                    self._wait_for_all(None if deadline is None else max(0.0, deadline - time.monotonic()))
                except KafkaTimeoutError as error:
                    if not null_logger:
                        log.warning("close: %s", error)
        finally:
            self._shut_down(closed_error(), 5.0)
        self._raise_failures()

    def _shut_down(self, error: KafkaError, patience: float) -> None:
        self._closed = True
        _producers.discard(self)
        self._accumulator.close()

        def end(now: float) -> None:
            self._accumulator.close()  # a begin_transaction() may have opened it again meanwhile
            self._core.close(error, now)

        if self._driver.is_alive():
            self._driver.call(end)
            if not self._driver.stop(patience):
                log.warning("the IO thread did not end within %g s: a callback keeps it busy", patience)
        if self._metrics is not None:
            self._metrics.close()
        for serializer in {id(s): s for s in (self._checked.key_serializer, self._checked.value_serializer)}.values():
            if serializer is not None:
                serializer.close()

    def _raise_failures(self) -> None:
        failures = self._accumulator.take_failures()
        if failures:
            raise DeliveryFailed(
                sum(count for count, _ in failures.values()),
                {
                    TopicPartition(topic, partition if partition >= 0 else None): error  # type: ignore[arg-type]
                    for (topic, partition), (_, error) in failures.items()
                },
            )

    def __enter__(self) -> KafkaProducer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        # The block's own error matters more than what became of its records; whoever pressed Ctrl-C wants to leave.
        patience = self._checked.max_block_ms / 1000
        try:
            self.close(timeout=patience if isinstance(error, Exception) else min(patience, _EXIT_PATIENCE))
        except DeliveryFailed as failed:
            log.error("while leaving the with block for another error: %s", failed)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and self._pid == os.getpid():
            self._closed = True
            waiting = self._accumulator.unresolved_records()
            if waiting:
                log.warning("%r was dropped without close(): %d records are given up", self, waiting)
            self._accumulator.close()
            produce, core, error = self._produce, self._core, closed_error()

            def end(now: float) -> None:
                produce.close(error, now)
                core.close(error, now)

            self._driver.call(end)
            self._driver.stop(0)

    # -- checks ------------------------------------------------------------------------------------------------------

    def _refuse(self) -> None:  # type: ignore[override]  # in a forked child it mends rather than raises
        if self._pid != os.getpid() and not self._closed:
            self._start_in_child()
            return
        if not self._accumulator.closed:
            return  # another thread has started it anew, or begun a transaction, since the caller looked
        self._check_open()
        if self._transactions is not None and self._driver.is_alive():
            raise self._transactions.refusal().fresh()
        raise IllegalStateError("The producer's IO thread has ended; its log says why.") from self._driver.error

    def _check_open(self) -> None:
        if self._closed:
            raise IllegalStateError("KafkaProducer is closed already; make a new one.")
        if self._pid != os.getpid():
            self._start_in_child()

    def _start_in_child(self) -> None:
        with self._starting:  # several threads may find out that the process forked
            if self._pid == os.getpid():
                return
            if self._is_starting:  # a signal handler, say, or a __del__
                raise IllegalStateError("The process forked, and this thread is just starting the producer anew.")
            self._is_starting = True
            try:
                self._start()
            finally:
                self._is_starting = False

    def _refuse_on_io_thread(self, what: str) -> None:
        if self._accumulator.io_thread == threading.get_ident():
            raise IllegalStateError(
                f"{what} in a callback would wait for the thread it runs on. Hand it to another thread."
            )

    # -- what is known -----------------------------------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        """How much of `buffer_memory` is in use."""
        return self._accumulator.used

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<KafkaProducer {self._checked.client_id} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KafkaProducer cannot be pickled: it has a thread and sockets. Make one in each process.")

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


class Cluster:
    """What a partitioner may ask, answered from one immutable snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def topics(self) -> set[str]:
        return set(self._snapshot.topics)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        known = self._snapshot.topics.get(topic)
        return None if known is None else set(range(len(known.partitions)))

    def available_partitions_for_topic(self, topic: str) -> set[int] | None:
        known = self._snapshot.topics.get(topic)
        return None if known is None else {partition.id for partition in known.partitions if partition.leader >= 0}


def _is_built_in(partitioner: Partitioner | str) -> bool:
    if type(partitioner) is DefaultPartitioner:
        return True
    from kafka.partitioner.sticky import StickyPartitioner

    return type(partitioner) is StickyPartitioner


def _core_config(config: ProducerConfig) -> Config:
    return Config(
        bootstrap=config.bootstrap_servers,
        client_id=config.client_id,
        software=("kafka-turbo", __version__),
        request_timeout=config.request_timeout_ms / 1000,
        reconnect_backoff=config.reconnect_backoff_ms / 1000,
        reconnect_backoff_max=config.reconnect_backoff_max_ms / 1000,
        retry_backoff=config.retry_backoff_ms / 1000,
        retry_backoff_max=max(1.0, config.retry_backoff_ms / 1000),
        connections_max_idle=config.connections_max_idle_ms / 1000 or float("inf"),  # 0: never, as in kafka-python
        receive_message_max_bytes=config.receive_message_max_bytes,
        max_in_flight=config.max_in_flight_requests_per_connection,
        metadata_max_age=max(config.metadata_max_age_ms, config.retry_backoff_ms) / 1000,
        allow_auto_create_topics=config.allow_auto_create_topics,
    )


def _socket_options(config: ProducerConfig) -> list[tuple[int, int, Any]]:
    import socket

    options = list(config.socket_options)
    if config.receive_buffer_bytes is not None:
        options.append((socket.SOL_SOCKET, socket.SO_RCVBUF, config.receive_buffer_bytes))
    if config.send_buffer_bytes is not None:
        options.append((socket.SOL_SOCKET, socket.SO_SNDBUF, config.send_buffer_bytes))
    return options


# Producers that nobody has closed; at exit they get a little time.
_producers: weakref.WeakSet[KafkaProducer] = weakref.WeakSet()


def _close_at_exit() -> None:
    deadline = time.monotonic() + _EXIT_PATIENCE
    for producer in list(_producers):  # all at the same time
        if producer._pid == os.getpid():
            producer._accumulator.begin_flush()
            producer._driver.wake()
    for producer in list(_producers):
        given_up = 0
        if producer._pid == os.getpid():
            try:
                producer._wait_for_all(max(0.0, deadline - time.monotonic()))
            except KafkaTimeoutError:
                given_up = producer._accumulator.unresolved_records()
        try:
            producer.close(timeout=0, null_logger=True)
        except DeliveryFailed as failed:
            log.warning("%r was not closed before the interpreter's end: %s", producer, failed)
            continue
        except Exception:
            log.exception("%r was not closed before the interpreter's end", producer)
        if given_up:
            log.warning("%r was not closed before the interpreter's end: %d records are given up", producer, given_up)


def _after_fork_in_child() -> None:
    """The child has neither the IO thread nor the right to the parent's connections: it starts anew, empty."""
    error = IllegalStateError("The process forked; this record is its parent's to deliver.")
    for producer in list(_producers):
        producer._starting = threading.RLock()  # whoever held it is not here any more
        producer._is_starting = False
        if producer._metrics is not None:
            producer._metrics.after_fork()
        producer._accumulator.abandon(error)


atexit.register(_close_at_exit)
os.register_at_fork(after_in_child=_after_fork_in_child)
