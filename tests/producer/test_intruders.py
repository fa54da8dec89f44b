"""Code of the application's that misbehaves on the IO thread: log handlers, hooks, metrics reporters."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from kafka import KafkaProducer
from kafka._log import Repeats
from kafka.errors import DeliveryFailed, IllegalStateError, KafkaTimeoutError
from kafka.metrics import AbstractMetricsReporter
from kafka.testing import EmbeddedCluster

Make = Callable[..., KafkaProducer]


class Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("the handler's own")


@pytest.fixture
def broken_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("kafka._log._failed_callbacks", Repeats())
    logger, handler = logging.getLogger("kafka"), Broken()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.usefixtures("broken_log")
def test_a_log_handler_that_raises_stops_nothing(make_producer: Make, capsys: pytest.CaptureFixture[str]) -> None:
    producer = make_producer()
    heard: list[Any] = []
    future = producer.send("t", b"x").add_callback(lambda metadata: 1 / 0).add_callback(heard.append)
    producer.flush(5)
    assert future.succeeded() and len(heard) == 1
    assert producer.send("t", b"y").get(5).offset == 1
    assert "the handler's own" in capsys.readouterr().err


def test_lines_of_the_log_say_where_they_come_from(caplog: pytest.LogCaptureFixture) -> None:
    unreachable = KafkaProducer(bootstrap_servers="127.0.0.1:1", api_version=(3,))
    unreachable.send("t", b"x")
    with contextlib.suppress(DeliveryFailed):
        unreachable.close(timeout=0.1)
    assert caplog.records and all(record.filename != "_log.py" for record in caplog.records)


class Quits:
    def on_batch_delivered(self, event: Any) -> None:
        raise SystemExit("hook")

    def on_batch_failed(self, event: Any) -> None:
        raise SystemExit("hook")


def test_a_hook_that_quits_stops_nothing(make_producer: Make) -> None:
    producer = make_producer(hooks=[Quits()])
    assert producer.send("t", b"x").get(5).offset == 0
    assert producer.send("t", b"y").get(5).offset == 1


class Refuses(AbstractMetricsReporter):
    def init(self, metrics: Any) -> None:
        pass

    def metric_change(self, metric: Any) -> None:
        raise RuntimeError("the reporter's own")

    def metric_removal(self, metric: Any) -> None:
        raise RuntimeError("the reporter's own")

    def configure(self, configs: Any) -> None:
        pass

    def close(self) -> None:
        raise RuntimeError("the reporter's own")


class Hears(Refuses):
    names: ClassVar[list[str]] = []

    def metric_change(self, metric: Any) -> None:
        self.names.append(metric.metric_name.name)

    def close(self) -> None:
        pass


def test_a_metrics_reporter_that_raises_stops_neither_records_nor_others(make_producer: Make) -> None:
    Hears.names.clear()
    producer = make_producer(metric_reporters=[Refuses, Hears])
    assert producer.send("t", b"x").get(5).offset == 0
    producer.close()
    assert "record-send-total" in Hears.names


def test_without_acknowledgements_a_broker_that_does_not_read_holds_up_no_other() -> None:
    with EmbeddedCluster(nodes=2, topics={"t": 2}) as cluster:
        producer = KafkaProducer(
            bootstrap_servers=cluster.bootstrap, acks=0, max_request_size=30_000_000, buffer_memory=200_000_000,
            send_buffer_bytes=4096,
        )  # fmt: skip
        for partition in range(2):
            producer.send("t", b"warm", partition=partition).get(5)
        leader = producer._produce.brokers.connection_id(producer._core.snapshot.leader("t", 0))
        address = producer._driver._sockets[leader].getsockname()

        def stop_reading() -> None:
            for node in cluster.nodes:
                for connection in node.connections:
                    if connection.transport.get_extra_info("peername") == address:
                        connection.transport.pause_reading()

        cluster._on_thread(stop_reading)
        stuck = producer.send("t", bytes(25_000_000), partition=0)
        others = []
        for _ in range(12):
            others.append(producer.send("t", b"x", partition=1))
            time.sleep(0.01)
        for other in others:
            other.get(5)
        assert not stuck.is_done
        with contextlib.suppress(DeliveryFailed):
            producer.close(timeout=0)


@pytest.mark.parametrize("configs", [{"connections_max_idle_ms": 0}, {"metadata_max_age_ms": 0}])
def test_durations_of_0(make_producer: Make, configs: dict[str, int]) -> None:
    producer = make_producer(**configs)
    for offset in range(3):
        assert producer.send("t", b"x").get(5).offset == offset
        time.sleep(0.2)
    assert producer.metrics()["producer-metrics"]["request-total"] < 40


# -- transactions whose beginning is disturbed -------------------------------------------------------------------------


@pytest.fixture
def producer() -> Iterator[KafkaProducer]:
    """Its transactions are ready to begin, although no coordinator has said so."""
    from kafka.core.transactions.states import TransactionState

    with EmbeddedCluster(topics={"t": 1}) as cluster:
        producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="t", max_block_ms=200)
        done = threading.Event()

        def make_ready(now: float) -> None:
            assert producer._transactions is not None
            producer._transactions.state = TransactionState.READY
            producer._transactions.producer_id, producer._transactions.epoch = 1, 0
            done.set()

        producer._driver.call(make_ready)
        assert done.wait(5)
        yield producer
        with contextlib.suppress(DeliveryFailed):
            producer.close(timeout=0)


def test_a_transaction_whose_beginning_nobody_waited_for_is_not_begun(producer: KafkaProducer) -> None:
    producer._driver.call(lambda now: time.sleep(2.0))  # a callback that takes long
    with pytest.raises(KafkaTimeoutError):
        producer.begin_transaction()
    time.sleep(1.5)
    with pytest.raises(IllegalStateError, match="outside of a transaction"):
        producer.send("t", b"x")
    producer.begin_transaction()
    producer.send("t", b"x")


def test_a_commit_that_is_refused_changes_nothing(producer: KafkaProducer) -> None:
    producer.begin_transaction()
    refused = threading.Event()

    def commit(now: float) -> None:
        try:
            producer.commit_transaction()
        except IllegalStateError:
            refused.set()

    producer._driver.call(commit)
    assert refused.wait(5)
    producer.send("t", b"x")


def test_a_transaction_that_begins_while_the_producer_is_closed_takes_no_records(
    producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    transact = producer._transact

    def transact_and_close(*arguments: Any) -> None:
        transact(*arguments)
        if arguments[0] == "begin_transaction":
            closing = threading.Thread(target=producer.close, args=(0,))
            closing.start()
            closing.join()

    monkeypatch.setattr(producer, "_transact", transact_and_close)
    producer.begin_transaction()
    with pytest.raises(IllegalStateError, match="closed"):
        producer.send("t", b"x")
