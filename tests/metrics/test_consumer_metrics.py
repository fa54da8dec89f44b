"""What a consumer tells of itself: metrics under kafka-python's names, and hooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError
from kafka.hooks import Hooks, OffsetsCommitted, Rebalanced, RecordsFetched
from kafka.metrics import AbstractMetricsReporter
from kafka.metrics.metrics import Metrics
from kafka.testing import EmbeddedCluster

T0, T1 = (TopicPartition("t", number) for number in range(2))
FETCHING = {
    "bytes-consumed-rate", "fetch-latency-avg", "fetch-latency-max", "fetch-rate", "fetch-size-avg", "fetch-size-max",
    "records-consumed-rate", "records-lag-max", "records-per-request-avg",
}  # fmt: skip
COORDINATOR = {
    "heartbeat-response-time-max", "heartbeat-rate", "join-time-avg", "join-time-max", "join-rate", "sync-time-avg",
    "sync-time-max", "sync-rate", "last-heartbeat-seconds-ago", "commit-latency-avg", "commit-latency-max",
    "commit-rate", "assigned-partitions",
}  # fmt: skip


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with (
        EmbeddedCluster(topics={"t": 2}) as cluster,
        KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer,
    ):
        for number in range(20):
            producer.send("t", b"%d" % number, partition=number % 2)
        producer.flush()
        yield cluster


def reads(consumer: KafkaConsumer, count: int) -> None:
    read = 0
    deadline = time.monotonic() + 20
    while read < count:
        assert time.monotonic() < deadline
        read += sum(map(len, consumer.poll(100).values()))


def until(done: Callable[[], object], consumer: KafkaConsumer) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        consumer.poll(20)


def test_metrics(cluster: EmbeddedCluster) -> None:
    consumer = KafkaConsumer(
        "t",
        bootstrap_servers=cluster.bootstrap,
        group_id="g",
        auto_offset_reset="earliest",
        heartbeat_interval_ms=50,
        enable_auto_commit=False,
    )

    def group(name: str) -> dict[str, float]:
        found = consumer.metrics()
        assert found is not None
        return found[name]

    reads(consumer, 20)
    consumer.commit()
    until(lambda: group("consumer-coordinator-metrics")["last-heartbeat-seconds-ago"] >= 0, consumer)
    fetching, coordinator = group("consumer-fetch-manager-metrics"), group("consumer-coordinator-metrics")
    assert fetching.keys() >= FETCHING and coordinator.keys() >= COORDINATOR
    assert (
        fetching["records-consumed-total"] == group("consumer-fetch-manager-metrics.t")["records-consumed-total"] == 20
    )
    assert fetching["records-lag-max"] == 0 and fetching["fetch-size-max"] > 0 and fetching["fetch-total"] > 0
    assert coordinator["assigned-partitions"] == 2 and coordinator["commit-total"] == 1
    assert coordinator["join-total"] == 2 and coordinator["sync-total"] == 1 and coordinator["heartbeat-total"] >= 1
    assert coordinator["rebalance-total"] == 1 and coordinator["failed-commit-total"] == 0
    assert group("consumer-node-metrics.node-1")["request-total"] > 0
    assert group("consumer-metrics")["fetch-buffer-available-bytes"] > 0
    assert group("consumer-metrics")["last-poll-seconds-ago"] < 20
    consumer.seek(T0, 3)
    assert group("consumer-fetch-manager-metrics")["records-lag-max"] == 7
    raw = consumer.metrics(raw=True)
    assert raw is not None and {name.group for name in raw} >= {"consumer-metrics", "kafka-metrics-count"}
    consumer.close()
    assert isinstance(consumer.metrics(), dict)


def test_without(cluster: EmbeddedCluster) -> None:
    with KafkaConsumer(bootstrap_servers=cluster.bootstrap, metrics_enabled=False) as consumer:
        assert consumer.metrics() is None


def test_reporters(cluster: EmbeddedCluster) -> None:
    told: list[str] = []

    class Reporter(AbstractMetricsReporter):
        def init(self, metrics: Any) -> None:
            told.append("init")

        def metric_change(self, metric: Any) -> None:
            told.append(metric.metric_name.name)

        def metric_removal(self, metric: Any) -> None: ...

        def configure(self, configs: Any) -> None: ...

        def close(self) -> None:
            told.append("close")

    KafkaConsumer(bootstrap_servers=cluster.bootstrap, metric_reporters=[Reporter]).close()
    assert told[0] == "init" and told[-1] == "close" and "records-lag-max" in told


def test_hooks(cluster: EmbeddedCluster) -> None:
    fetched: list[RecordsFetched] = []
    committed: list[OffsetsCommitted] = []
    rebalanced: list[Rebalanced] = []

    class Watch(Hooks):
        def on_records_fetched(self, event: RecordsFetched) -> None:
            fetched.append(event)

        def on_offsets_committed(self, event: OffsetsCommitted) -> None:
            committed.append(event)

        def on_rebalance(self, event: Rebalanced) -> None:
            rebalanced.append(event)

    consumer = KafkaConsumer(
        "t",
        bootstrap_servers=cluster.bootstrap,
        group_id="g",
        auto_offset_reset="earliest",
        heartbeat_interval_ms=50,
        enable_auto_commit=False,
        hooks=[Watch()],
    )
    reads(consumer, 20)
    assert sum(event.records for event in fetched) == 20 and {event.next_offset for event in fetched} >= {10}
    assert rebalanced == [Rebalanced("g", (T0, T1), (), ())]
    consumer.commit()
    with pytest.raises(KafkaError):
        consumer.commit({T0: OffsetAndMetadata(1, "x" * 5000, -1)})
    assert [event.error is None for event in committed] == [True, False]
    assert committed[0].group == "g" and {tp: each.offset for tp, each in committed[0].offsets.items()} == {
        T0: 10,
        T1: 10,
    }
    group = cluster.groups.get("g")
    cluster._on_thread(lambda: [group.leave(id, None) for id in list(group.members)])
    until(lambda: len(rebalanced) == 3, consumer)
    assert sorted(rebalanced[1].lost) == [T0, T1] and sorted(rebalanced[2].assigned) == [T0, T1]
    consumer.close()


def test_a_reporter_whose_methods_have_no_name_and_raise_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError

    class Reporter:
        def __init__(self) -> None:
            self.metric_change = self.metric_removal = self.close = partial(fail)

        def init(self, metrics: object) -> None:
            pass

    Metrics(reporters=[Reporter()]).close()  # type: ignore[list-item]
    assert "fail raised" in caplog.text
