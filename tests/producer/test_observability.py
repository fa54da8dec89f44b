"""What a working producer measures, tells its hooks and writes to the log."""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from kafka import KafkaProducer, hooks
from kafka.errors import ConfigurationValueError, KafkaError, MessageSizeTooLargeError, NotLeaderForPartitionError
from kafka.hooks import Hooks, LoggingHooks
from kafka.metrics import DictReporter, KafkaMetric, MetricName
from kafka.metrics.prometheus import ProducerCollector
from kafka.protocol import ProduceRequest, ProduceResponse
from tests.metrics.test_producer_metrics import KAFKA_PYTHONS, MISSING
from tests.producer.brokers import (
    MESSAGE_TOO_LARGE,
    NOT_LEADER_OR_FOLLOWER,
    ScriptedCluster,
    first_times,
    refuse_all,
)

Make = Callable[..., KafkaProducer]


class Diary:
    """A hook for everything; keeps what it is told, and on which thread."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.threads: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name not in hooks.METHODS:
            raise AttributeError(name)
        return self.write

    def write(self, event: Any) -> None:
        self.threads.add(threading.current_thread().name)
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if type(event) is kind]

    def apis(self, kind: type) -> list[str]:
        return [event.api for event in self.of(kind)]


# -- hooks -------------------------------------------------------------------------------------------------------------


def test_the_life_of_a_producer(cluster: ScriptedCluster, make_producer: Make) -> None:
    diary = Diary()
    producer = make_producer(hooks=[diary], client_id="me", compression_type="gzip")
    for number in range(10):
        producer.send("t", b"%05d" % number * 100, partition=0)
    producer.flush()
    producer.close()
    connected = diary.of(hooks.Connected)
    assert connected[0].broker.id == -1 and connected[-1].broker == hooks.Broker(1, "127.0.0.1", cluster.nodes[0].port)
    assert 0 < connected[-1].seconds < 5
    assert len(diary.of(hooks.Disconnected)) == len(connected)
    assert all(event.error is None for event in diary.of(hooks.Disconnected))
    asked, answered = diary.of(hooks.RequestSent), diary.of(hooks.ResponseReceived)
    assert [(event.api, event.version) for event in asked] == [(event.api, event.version) for event in answered]
    assert {"ApiVersions", "Metadata", "Produce", "InitProducerId"} == set(diary.apis(hooks.RequestSent))
    assert all(event.error is None and event.bytes > 4 and 0 < event.seconds < 5 for event in answered)
    sent, delivered = diary.of(hooks.BatchSent), diary.of(hooks.BatchDelivered)
    assert sum(event.records for event in sent) == sum(event.records for event in delivered) == 10
    assert sum(event.bytes for event in sent) == sum(map(len, cluster.batches["t", 0]))
    assert all(event.uncompressed > 500 * event.records > event.bytes for event in sent)
    assert delivered[0].base_offset == 0
    assert {(event.topic, event.partition, event.attempt) for event in sent} == {("t", 0, 1)}
    assert all(0 <= one.waited <= other.seconds < 5 for one, other in zip(sent, delivered, strict=True))
    received = diary.of(hooks.MetadataReceived)
    assert received[-1].cluster_id == "scripted" and received[-1].brokers == (connected[-1].broker,)
    assert diary.threads == {"me-io"}
    assert not diary.of(hooks.BatchFailed) + diary.of(hooks.BatchRetried) + diary.of(hooks.BrokerFailing)


def test_a_refused_batch(cluster: ScriptedCluster, make_producer: Make) -> None:
    diary = Diary()
    producer = make_producer(hooks=[diary], retry_backoff_ms=1)
    cluster.script = first_times(1, ProduceRequest, lambda request: refuse_all(request, NOT_LEADER_OR_FOLLOWER))
    producer.send("t", b"x", partition=0)
    producer.flush()
    [retried] = diary.of(hooks.BatchRetried)
    assert retried[:3] == ("t", 0, 1) and retried.attempts == 1
    assert isinstance(retried.error, NotLeaderForPartitionError)
    assert [event.attempt for event in diary.of(hooks.BatchSent)] == [1, 2]
    assert len(diary.of(hooks.BatchDelivered)) == 1
    values = producer.metrics()
    assert values is not None
    for group in ("producer-metrics", "producer-topic-metrics.t"):
        assert values[group]["record-retry-total"] == 1
        assert values[group]["record-send-total"] == 2
        assert values[group]["record-error-total"] == 0


def test_a_batch_that_fails(cluster: ScriptedCluster, make_producer: Make) -> None:
    diary = Diary()
    producer = make_producer(hooks=[diary])
    cluster.script = first_times(1, ProduceRequest, lambda request: refuse_all(request, MESSAGE_TOO_LARGE))
    future = producer.send("t", b"x", partition=0)
    with pytest.raises(MessageSizeTooLargeError):
        future.get(10)
    [failed] = diary.of(hooks.BatchFailed)
    assert failed[:3] == ("t", 0, 1)
    assert failed.error is future.exception
    values = producer.metrics()
    assert values is not None
    assert values["producer-metrics"]["record-error-total"] == 1
    assert values["producer-topic-metrics.t"]["record-error-total"] == 1


def test_single_records_that_fail(cluster: ScriptedCluster, make_producer: Make) -> None:
    def refuse_the_first_record(request: Any) -> Any:
        answer = refuse_all(request, 87)
        entry = answer.responses[0].partition_responses[0]
        error = ProduceResponse.BatchIndexAndErrorMessage(batch_index=0, batch_index_error_message="bad")
        entry.record_errors = [error]
        return answer

    diary = Diary()
    producer = make_producer(hooks=[diary])
    cluster.script = first_times(1, ProduceRequest, refuse_the_first_record)
    future = producer.send("t", b"x", partition=0)
    with pytest.raises(KafkaError, match="bad"):
        future.get(10)
    [failed] = diary.of(hooks.BatchFailed)
    assert failed.records == 1


def test_records_that_no_broker_ever_saw(cluster: ScriptedCluster, make_producer: Make) -> None:
    diary = Diary()
    producer = make_producer(hooks=[diary], delivery_timeout_ms=300, request_timeout_ms=300)
    with pytest.raises(KafkaError):
        producer.send("no-such-topic", b"x").get(10)
    [failed] = diary.of(hooks.BatchFailed)
    assert failed[:3] == ("no-such-topic", -1, 1)
    assert failed.seconds >= 0.3


def test_a_broker_that_hangs_up_and_comes_back(cluster: ScriptedCluster, make_producer: Make) -> None:
    diary = Diary()
    producer = make_producer(hooks=[diary])
    producer.send("t", b"before", partition=0).get(10)
    cluster.script = first_times(1, ProduceRequest, lambda request: "close")
    producer.send("t", b"after", partition=0).get(10)
    ended = [event for event in diary.of(hooks.Disconnected) if event.error is not None]
    assert [event.broker.id for event in ended] == [1]
    [failing] = diary.of(hooks.BrokerFailing)
    assert failing.broker.id == 1 and "closed" in str(failing.error)
    [lost] = [event for event in diary.of(hooks.ResponseReceived) if event.error is not None]
    assert (lost.api, lost.bytes) == ("Produce", 0) and 0 < lost.seconds < 10
    [recovered] = diary.of(hooks.BrokerRecovered)
    assert recovered.broker.id == 1 and 0 < recovered.seconds < 10


def test_a_broker_that_stays_away_is_one_event(cluster: ScriptedCluster, make_producer: Make) -> None:
    diary = Diary()
    producer = make_producer(hooks=[diary], reconnect_backoff_ms=1)
    producer.send("t", b"x", partition=0).get(10)
    cluster.nodes[0].stop()
    producer.send("t", b"x", partition=0)
    deadline = time.monotonic() + 20
    while max(broker.failures for broker in producer.health()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [event.broker.id for event in diary.of(hooks.BrokerFailing)].count(1) == 1


def test_an_idle_connection_that_the_broker_drops_is_no_failure(cluster: ScriptedCluster, make_producer: Make) -> None:
    diary = Diary()
    producer = make_producer(hooks=[diary])
    producer.send("t", b"x", partition=0).get(10)
    before = len(diary.of(hooks.Disconnected))
    cluster.nodes[0].hang_up()
    producer.send("t", b"x", partition=0).get(10)
    assert [event.error for event in diary.of(hooks.Disconnected)[before:]] in ([None], [None, None])
    assert not diary.of(hooks.BrokerFailing) + diary.of(hooks.BrokerRecovered)


def test_a_leader_that_moves(make_producer: Make) -> None:
    with ScriptedCluster(nodes=2, topics={"t": 1}) as cluster:
        diary = Diary()
        producer = make_producer(bootstrap_servers=cluster.bootstrap, hooks=[diary], retry_backoff_ms=1)
        producer.send("t", b"before", partition=0).get(10)
        assert not diary.of(hooks.LeaderChanged)
        cluster.leaders["t"] = [2]
        producer.send("t", b"after", partition=0).get(10)
        assert diary.of(hooks.LeaderChanged)[0][:4] == ("t", 0, 1, 2)
        producer.close()


def test_throttling(cluster: ScriptedCluster, make_producer: Make) -> None:
    def throttled(request: Any) -> Any:
        entries = [
            ProduceResponse.PartitionProduceResponse(index=data.index, base_offset=0)
            for data in request.topic_data[0].partition_data
        ]
        answer = ProduceResponse.TopicProduceResponse(name=request.topic_data[0].name, partition_responses=entries)
        return ProduceResponse(responses=[answer], throttle_time_ms=30)

    diary = Diary()
    producer = make_producer(hooks=[diary])
    cluster.script = first_times(1, ProduceRequest, throttled)
    producer.send("t", b"x", partition=0).get(10)
    producer.send("t", b"x", partition=0).get(10)
    [event] = diary.of(hooks.Throttled)
    assert (event.broker.id, event.seconds) == (1, 0.03)
    values = producer.metrics()
    assert values is not None
    assert values["producer-metrics"]["produce-throttle-time-max"] == 30
    assert values["producer-node-metrics.node-1"]["throttle-time-max"] == 30


def test_a_hook_that_raises_disturbs_nothing(
    cluster: ScriptedCluster, make_producer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Hooks):
        def on_batch_delivered(self, event: Any) -> None:
            raise RuntimeError("bad hook")

        def on_request(self, event: Any) -> None:
            raise RuntimeError("bad hook")

    producer = make_producer(hooks=[Bad()])
    for _ in range(5):
        producer.send("t", b"x", partition=0).get(10)
    assert len(cluster.values("t")) == 5
    raised = [record.getMessage() for record in caplog.records if record.name == "kafka.hooks"]
    assert len(raised) == 2 and "Bad.on_request" in raised[0] and "Bad.on_batch_delivered" in raised[1]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (LoggingHooks, "list of objects"),
        ([LoggingHooks], "pass an instance"),
        ([object()], "has none of the methods on_connect"),
        ([Hooks()], "has none of the methods"),
    ],
)
def test_what_is_no_hook(value: Any, said: str) -> None:
    with pytest.raises(ConfigurationValueError, match=said):
        KafkaProducer(hooks=value)


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_metrics_have_kafka_pythons_names_and_sensible_values(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(client_id="me", compression_type="gzip", buffer_memory=1 << 20)
    for number in range(100):
        producer.send("t", b"%05d" % number * 100, partition=0)
    producer.flush()
    values = producer.metrics()
    assert values is not None
    theirs = {group.replace("node-0", "node-1"): names for group, names in KAFKA_PYTHONS.items()}
    missing = {(group, name) for group, names in theirs.items() for name in names - values[group].keys()}
    assert missing == MISSING
    assert all(isinstance(value, float) for group in values.values() for value in group.values())
    ours = values["producer-metrics"]
    wire = cluster.batches["t", 0]
    assert ours["record-send-total"] == 100
    assert ours["byte-total"] == sum(map(len, wire))
    assert ours["batch-size-max"] == max(map(len, wire))
    assert 0 < ours["compression-rate-avg"] < 0.2
    assert 500 < ours["record-size-avg"] < 600
    assert ours["records-per-request-avg"] == 100 / len(cluster.asked(ProduceRequest))
    assert 4 <= ours["response-total"] <= ours["request-total"] <= len(cluster.requests)
    assert 0 < ours["request-latency-avg"] <= ours["request-latency-max"] < 5000
    assert 0 <= ours["record-queue-time-avg"] <= ours["record-queue-time-max"] < 5000
    assert ours["requests-in-flight"] <= 1
    assert ours["connection-count"] in (1, 2)
    assert 0 <= ours["metadata-age"] < 60
    assert ours["buffer-total-bytes"] == ours["buffer-available-bytes"] == 1 << 20
    assert values["producer-topic-metrics.t"]["record-send-total"] == 100
    assert values["producer-topic-metrics.t"]["record-send-rate"] == pytest.approx(100 / 30, rel=0.2)
    assert values["kafka-metrics-count"]["count"] == sum(map(len, values.values()))


def test_raw_metrics(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(client_id="me")
    producer.send("t", b"x", partition=0).get(10)
    raw = producer.metrics(raw=True)
    assert raw is not None
    metric = raw[MetricName("record-send-total", "producer-topic-metrics.t", tags={"client-id": "me"})]
    assert isinstance(metric, KafkaMetric)
    assert metric.value() == 1
    producer.send("t", b"x", partition=0).get(10)
    assert metric.value() == 2
    producer.close()
    assert metric.value() == 2


def test_windows_are_as_configured(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(metrics_num_samples=3, metrics_sample_window_ms=10_000)
    for _ in range(20):
        producer.send("t", b"x", partition=0).get(10)
    values = producer.metrics()
    assert values is not None
    assert values["producer-metrics"]["record-send-rate"] == pytest.approx(20 / 20, rel=0.3)


def test_reporters_hear_of_metrics_and_of_the_end(cluster: ScriptedCluster, make_producer: Make) -> None:
    made: list[DictReporter] = []

    class Reporter(DictReporter):
        closed = 0

        def __init__(self) -> None:
            super().__init__("mine")
            made.append(self)

        def close(self) -> None:
            self.closed += 1

    producer = make_producer(metric_reporters=[Reporter], client_id="me")
    producer.send("t", b"x", partition=0).get(10)
    [reporter] = made
    assert reporter.snapshot()["mine.producer-topic-metrics.t.client-id=me"]["record-send-total"] == 1
    assert not reporter.closed
    producer.close()
    producer.close()
    assert reporter.closed == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("hook", [None, Diary()], ids=["metrics", "and a hook"])
def test_nothing_of_it_keeps_a_producer_alive(cluster: ScriptedCluster, make_producer: Make, hook: Any) -> None:
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, hooks=[hook] if hook else [])
    producer.send("t", b"x", partition=0).get(10)
    raw = producer.metrics(raw=True)
    assert raw is not None
    producer.close()
    alive = weakref.ref(producer)
    del producer
    gc.collect()
    assert alive() is None
    ages = [metric.value() for name, metric in raw.items() if name.name == "metadata-age"]
    assert math.isnan(ages[0])


def test_without_metrics(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(metrics_enabled=False)
    producer.send("t", b"x", partition=0).get(10)
    assert producer.metrics() is None
    assert producer.metrics(raw=True) is None


def test_prometheus_leaves_out_what_is_closed(cluster: ScriptedCluster, make_producer: Make) -> None:
    collector = ProducerCollector(registry=None)
    producer = make_producer(client_id="me")
    producer.send("t", b"x", partition=0).get(10)
    collector.add(producer)
    families = {family.name: family for family in collector.collect()}
    [sample] = families["kafka_producer_topic_record_send"].samples
    assert (sample.name, sample.labels, sample.value) == (
        "kafka_producer_topic_record_send_total",
        {"client_id": "me", "topic": "t"},
        1.0,
    )
    producer.close()
    assert not list(collector.collect())


# -- the log -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("configs", [{}, {"acks": 0, "enable_idempotence": False}], ids=["usual", "acks=0"])
def test_the_log_is_quiet_when_all_is_well(
    cluster: ScriptedCluster, make_producer: Make, caplog: pytest.LogCaptureFixture, configs: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = b"secret payload"
    producer = make_producer(**configs)
    for number in range(1000):
        producer.send("t4", secret, key=b"key %d" % number, headers=[("header", secret)])
    producer.flush()
    producer.close()
    lines = [record for record in caplog.records if record.name.split(".")[0] == "kafka"]
    assert not [line for line in lines if line.levelno > logging.INFO]
    assert len(lines) <= 3
    assert "secret" not in caplog.text


def test_trouble_is_told_once_and_without_payloads(
    cluster: ScriptedCluster, make_producer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    producer = make_producer(retry_backoff_ms=1, reconnect_backoff_ms=1)
    cluster.script = first_times(6, ProduceRequest, lambda request: "close")
    future = producer.send("t", b"secret payload", key=b"secret key", partition=0)
    future.get(20)
    lines = [record.getMessage() for record in caplog.records if record.name.split(".")[0] == "kafka"]
    assert len(cluster.asked(ProduceRequest)) == 7
    assert len([line for line in lines if "failed in stage" in line]) == 1
    assert "secret" not in caplog.text
