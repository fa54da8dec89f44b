"""What instrumentation and mocks take hold of. The agents themselves: tests/agents."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.producer.future import FutureRecordMetadata, FutureRecords
from kafka.serializer import Serializer
from kafka.serializer.wrapper import as_serializer
from kafka.testing import EmbeddedCluster
from tests.producer.brokers import ScriptedCluster

Make = Callable[..., KafkaProducer]


def test_the_modules_that_import_hooks_wait_for_come_with_the_clients() -> None:
    code = "import sys, kafka; kafka.KafkaProducer, kafka.KafkaConsumer; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"kafka.producer.kafka", "kafka.consumer.group"} <= set(found)
    for module in ("kafka.producer.kafka", "kafka.consumer.group"):
        assert any(name in vars(__import__(module, fromlist=["x"])) for name in ("KafkaProducer", "KafkaConsumer"))


def test_send_can_be_wrapped_on_the_class_and_unwrapped(make_producer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    producer = make_producer()
    plain, seen = KafkaProducer.send, []

    def send(self: Any, topic: str, *args: Any, **kwargs: Any) -> Any:
        seen.append(topic)
        return plain(self, topic, *args, **{**kwargs, "headers": [*kwargs.get("headers", []), ("trace", b"1")]})

    with monkeypatch.context() as patched:
        patched.setattr(KafkaProducer, "send", send)
        assert producer.send("t", value=b"v").get(10).serialized_header_size == 6
    producer.send("t", b"v").get(10)
    assert seen == ["t"]


def test_the_controller_is_where_elastic_apm_looks_for_it(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    producer.send("t", b"v").get(10)
    assert tuple(producer._metadata.controller)[1:3] == cluster.nodes[0].advertised
    assert producer._metadata.partitions_for_topic("t") == {0}
    unconnected = make_producer(bootstrap_servers="127.0.0.1:1", api_version=(2, 0))
    assert unconnected._metadata.controller is None


@pytest.mark.parametrize("name", ["__next__", "poll", "_poll_once", "close"])
def test_what_is_wrapped_on_a_consumer_is_what_is_called(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, seen = getattr(KafkaConsumer, name), []

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(name)
        return plain(self, *args, **kwargs)

    with EmbeddedCluster(topics={"t": 1}) as cluster, KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
        producer.send_many("t", [b"v"] * 3).get(10)
        with monkeypatch.context() as patched:
            patched.setattr(KafkaConsumer, name, wrapper)
            consumer = KafkaConsumer("t", bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest")
            assert next(consumer).topic == next(iter(consumer)).topic == "t"
            polled = consumer.poll(10_000)
            assert sum(map(len, polled.values())) == 1
            assert consumer._subscription.subscription == {"t"}
            assert consumer._subscription._user_assignment == set()
            consumer.close()
    assert seen == [name] * {"__next__": 2}.get(name, 1)


def test_what_instrumentation_reads_of_partitions_that_are_assigned(cluster: ScriptedCluster) -> None:
    with KafkaConsumer(bootstrap_servers=cluster.bootstrap) as consumer:
        consumer.assign([TopicPartition("t", 0)])
        assert consumer._subscription.subscription is None
        assert consumer._subscription._user_assignment == {("t", 0)}


def test_a_serializer_inside_a_wrapper_of_the_old_signature() -> None:
    class New(Serializer):
        def serialize(self, topic: str, headers: Any, data: Any) -> Any:
            return (topic, headers, data)

    class Old:
        def serialize(self, topic: str, data: Any) -> Any:
            return (topic, data)

    class Wrapper:
        def __init__(self, wrapped: Any) -> None:
            self.__wrapped__ = wrapped

        def serialize(self, topic: str, object: Any) -> Any:
            return ("wrapped", *self.__wrapped__.serialize(topic, object))

    new, old = as_serializer(Wrapper(New())), as_serializer(Wrapper(Old()))
    assert new is not None
    assert old is not None
    assert new.serialize("t", [], 1) == ("t", [], 1)
    assert old.serialize("t", [], 1) == ("wrapped", "t", 1)


def test_a_partition_that_is_asked_for_at_once_is_one_that_can_take_records() -> None:
    with ScriptedCluster(nodes=2, topics={"t": 6}) as cluster:
        cluster.leaders["t"] = [1, -1, 2, -1, 1, 2]
        with KafkaProducer(bootstrap_servers=cluster.bootstrap, linger_ms=1) as producer:
            assert producer.send("t", b"v")._produce_future.topic_partition is None  # the first: nobody had asked yet
            producer.flush()
            seen = set()
            for _ in range(40):
                future = producer.send("t", b"v")
                chosen = future._produce_future.topic_partition
                assert chosen == producer.send("t", b"v").topic_partition or chosen.partition in (0, 2, 4, 5)
                assert future.get(10).topic_partition == chosen
                seen.add(chosen.partition)
            assert seen == {0, 2, 4, 5}
            keyed = producer.send("t", b"v", key=b"k", partition=4)
            assert keyed._produce_future.topic_partition.partition == 4


def test_without_anybody_asking_keyless_records_choose_late(make_producer: Make) -> None:
    producer = make_producer()
    producer.send("t4", b"v", partition=1).get(10)
    future = producer.send("t4", b"v", partition=2)
    assert future._produce_future.topic_partition.partition == 2  # which was known without
    assert producer.send("t4", b"v").topic_partition is None


RIGHT: list[Callable[[Any], Any]] = [
    lambda p: p.send("t", b"v", key=b"k", headers=[], partition=1, timestamp_ms=1),
    lambda p: p.send(topic="t"),
    lambda p: p.send_many("t", [b"v"], keys=[b"k"]),
    lambda p: p.flush(timeout=1),
    lambda p: p.close(1, null_logger=True),
    lambda p: p.partitions_for("t"),
    lambda p: p.metrics(raw=True),
]
WRONG: list[Callable[[Any], Any]] = [
    lambda p: p.send(),
    lambda p: p.send("t", b"v", b"k", [], 1, 1, "more"),
    lambda p: p.send("t", valeu=b"v"),
    lambda p: p.send_many("t"),
    lambda p: p.send_many("t", [], heads=[]),
    lambda p: p.flush(1, 2),
    lambda p: p.partitions_for(),
]


def mocked(make_producer: Make) -> list[Any]:
    return [
        mock.create_autospec(KafkaProducer)(bootstrap_servers="x"),
        mock.create_autospec(KafkaProducer, instance=True),
        mock.create_autospec(make_producer(), instance=True),
    ]


def test_autospec_takes_right_arguments_and_refuses_wrong_ones(make_producer: Make) -> None:
    for producer in mocked(make_producer):
        for right in RIGHT:
            right(producer)
        for wrong in WRONG:
            with pytest.raises(TypeError):
                wrong(producer)
    with mock.patch.object(KafkaProducer, "send", autospec=True) as send:
        make_producer().send("t", b"v", key=b"k")
        send.assert_called_once()
        with pytest.raises(TypeError):
            make_producer().send("t", b"v", kee=b"k")


@pytest.mark.parametrize("kind", [FutureRecordMetadata, FutureRecords])
def test_autospec_of_futures(kind: type) -> None:
    future = mock.create_autospec(kind, instance=True)
    future.get(timeout=1)
    future.add_callback(print, 1, more=2)
    for wrong in (lambda: future.get(1, 2), lambda: future.add_callback(), lambda: future.add_errback()):
        with pytest.raises(TypeError):
            wrong()


def test_signatures_are_those_of_functions(make_producer: Make) -> None:
    assert list(inspect.signature(KafkaProducer.send).parameters)[:3] == ["self", "topic", "value"]
    assert list(inspect.signature(make_producer().send).parameters)[:2] == ["topic", "value"]
    assert KafkaProducer.send.__call__(make_producer(), "t", b"v").get(10).topic == "t"
