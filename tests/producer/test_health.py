"""`KafkaProducer.health()`: which broker fails, since when and why."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from kafka import KafkaProducer
from kafka.errors import KafkaConnectionError
from kafka.protocol import MetadataRequest, ProduceRequest
from tests.producer.brokers import SILENCE, ScriptedCluster


def becomes(condition: Callable[[], Any], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_a_broker_that_fails_is_named_with_the_reason_and_the_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kafka")
    with ScriptedCluster(nodes=2, topics={"t": 2}) as cluster:
        with KafkaProducer(bootstrap_servers=cluster.bootstrap, linger_ms=0, enable_idempotence=False) as producer:
            for partition in (0, 1):
                producer.send("t", b"x", partition=partition).get(20)
            first, second = producer.health()
            assert (first.node_id, second.node_id) == (1, 2) and first.connected and second.connected
            assert (second.failing_since, second.error, second.failures, second.throttled_until) == (
                None,
                None,
                0,
                None,
            )
            assert not caplog.records, "all is well: nothing to say"
            cluster.script = lambda node, header, request: (
                SILENCE if node.id == 2 and isinstance(request, ProduceRequest) else None
            )
            future = producer.send("t", b"private", partition=1)
            assert becomes(lambda: cluster.asked(ProduceRequest)[2:])
            assert producer.health()[1].in_flight == 1
            assert abs((producer.health()[1].waiting_since or 0.0) - time.time()) < 10.0
            before = time.time()
            cluster.nodes[1].stop()
            assert becomes(lambda: producer.health()[1].failures > 1)
            first, second = producer.health()
            assert first.connected and first.error is None
            assert not second.connected and isinstance(second.error, KafkaConnectionError)
            assert "Connection refused" in str(second.error)
            assert second.failing_since is not None and before - 1.0 < second.failing_since < time.time() + 1.0
            cluster.script = None
            cluster.leaders["t"][1] = 1
            assert future.get(20).partition == 1
        assert [health.state for health in producer.health()] == ["disconnected"] * 2
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1 and "broker 2 at 127.0.0.1" in warnings[0], "one line for one failure"
    assert "private" not in caplog.text


def test_a_quota_shows() -> None:
    with ScriptedCluster(topics={"t": 1}) as cluster:

        def throttled(node: Any, header: Any, request: Any) -> Any:
            answer = cluster.proper_answer(node, request)
            if isinstance(request, MetadataRequest) and not cluster.asked(ProduceRequest):
                return answer
            if isinstance(request, ProduceRequest):
                answer.throttle_time_ms = 700
            return answer

        cluster.script = throttled
        with KafkaProducer(bootstrap_servers=cluster.bootstrap, linger_ms=0, enable_idempotence=False) as producer:
            producer.send("t", b"x").get(20)
            began = time.time()
            (broker,) = producer.health()
            assert broker.connected and broker.throttles == 1 and broker.throttle_seconds == pytest.approx(0.7)
            assert broker.throttled_until is not None and began < broker.throttled_until < began + 1.0
            producer.send("t", b"y").get(20)
            assert time.time() >= broker.throttled_until - 0.05, "sent to a broker that does not listen"
