"""The example that reads, transforms and writes exactly once, killed at many points."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kafka import KafkaConsumer, KafkaProducer
from kafka.protocol import (
    EndTxnRequest,
    InitProducerIdRequest,
    JoinGroupRequest,
    OffsetFetchRequest,
    ProduceRequest,
    SyncGroupRequest,
    TxnOffsetCommitRequest,
)
from kafka.testing import EmbeddedCluster
from kafka.testing.model.world import Hangup

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "exactly_once.py"
PARTITIONS = 3
# The requests by which it does its work; it is killed before the broker sees one, or before it hears of the answer.
POINTS = (
    InitProducerIdRequest, JoinGroupRequest, SyncGroupRequest, OffsetFetchRequest, ProduceRequest,
    TxnOffsetCommitRequest, EndTxnRequest,
)  # fmt: skip


def start(bootstrap: str, worker: int = 1, idle: float = 3.0, source: str = "in", target: str = "out") -> Any:
    command = [sys.executable, EXAMPLE, "--bootstrap", bootstrap, "--source", source, "--target", target]
    return subprocess.Popen(
        [*command, "--worker", str(worker), "--idle", str(idle)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fill(bootstrap: str, count: int, first: int = 0, topic: str = "in") -> None:
    with KafkaProducer(bootstrap_servers=bootstrap) as producer:
        for number in range(first, first + count):
            producer.send(topic, b"record %d" % number, partition=number % PARTITIONS)


def committed(bootstrap: str, topic: str = "out") -> Counter[bytes]:
    """What a reader of what is committed finds."""
    with KafkaConsumer(
        topic, bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        found: Counter[bytes] = Counter()
        ends: dict[Any, int] = {}
        while not ends or any(consumer.position(tp) < end for tp, end in ends.items()):
            for records in consumer.poll(200).values():
                found.update(record.value for record in records)
            ends = ends or consumer.end_offsets(consumer.assignment())
        return found


def everything(count: int) -> Counter[bytes]:
    return Counter(b"RECORD %d" % number for number in range(count))


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(topics={"in": PARTITIONS, "out": PARTITIONS}) as cluster:
        yield cluster


def test_undisturbed(cluster: EmbeddedCluster) -> None:
    fill(cluster.bootstrap, 300)
    out, err = start(cluster.bootstrap).communicate(timeout=60)
    assert (out, err) == ("300 records\n", "")
    assert committed(cluster.bootstrap) == everything(300)


@pytest.mark.slow
@pytest.mark.parametrize("answered", [False, True], ids=["before", "behind"])
def test_killed_at_every_kind_of_request(cluster: EmbeddedCluster, answered: bool) -> None:
    """Before the broker sees it, or behind what it does."""
    running: list[Any] = []
    kill: list[Any] = []  # the request class at which it is
    killed: list[Any] = []

    def watch(api: Any, own: Callable[..., Any]) -> Callable[..., Any]:
        def handler(broker: Any, header: Any, request: Any) -> Any:
            if kill and kill[0] is api:
                kill.clear()
                killed.append(api)
                if answered:
                    own(broker, header, request)
                os.kill(running[0].pid, signal.SIGKILL)
                raise Hangup
            return own(broker, header, request)

        return handler

    handlers = cluster.nodes[0].handlers
    cluster._on_thread(lambda: handlers.update({api.API_KEY: watch(api, handlers[api.API_KEY]) for api in POINTS}))
    total = 0
    for api in POINTS:
        fill(cluster.bootstrap, 30, total)
        total += 30
        running[:] = [start(cluster.bootstrap)]
        kill[:] = [api]
        running[0].communicate(timeout=60)
        expel(cluster)  # its session, or the time to use its id, would end after 45 s
        kill.clear()
    running.clear()
    assert killed == list(POINTS)
    last = start(cluster.bootstrap)
    _, err = last.communicate(timeout=60)
    assert last.returncode == 0, err
    assert committed(cluster.bootstrap) == everything(total)


def expel(cluster: EmbeddedCluster) -> None:
    group = cluster.groups.get("in-to-out")
    cluster._on_thread(lambda: [group.leave(id, None) for id in (*group.members, *group._pending)])


@pytest.mark.slow
@pytest.mark.kafka
def test_two_workers_killed_at_any_moment_on_a_real_kafka(kafka_cluster: Any) -> None:
    source, target = "exactly-once-in", "exactly-once-out"
    for topic in (source, target):
        kafka_cluster.create_topic(topic, PARTITIONS)
    chance = random.Random(11)
    bootstrap = kafka_cluster.bootstrap
    running = {worker: start(bootstrap, worker, 1e9, source, target) for worker in (1, 2)}
    total = 0
    try:
        for _ in range(12):
            fill(bootstrap, 200, total, source)
            total += 200
            worker = chance.choice((1, 2))
            time.sleep(chance.uniform(0.2, 1.2))
            running[worker].send_signal(signal.SIGKILL)
            running[worker].communicate(timeout=30)
            running[worker] = start(bootstrap, worker, 1e9, source, target)
        deadline = time.monotonic() + 120
        while sum(committed(bootstrap, target).values()) < total:
            assert time.monotonic() < deadline, committed(bootstrap, target)
            time.sleep(1.0)
    finally:
        for process in running.values():
            process.kill()
            process.communicate()
    assert committed(bootstrap, target) == everything(total)
