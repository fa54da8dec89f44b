"""send() and send_many() against a scripted broker: what arrives, what the futures say, what is refused."""

from __future__ import annotations

import gc
import json
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from kafka import KafkaProducer
from kafka._log import Repeats
from kafka.errors import (
    DeliveryFailed,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnknownPartitionError,
)
from kafka.result import Err, Ok
from kafka.structs import RecordMetadata, TopicPartition
from tests.producer.brokers import ScriptedCluster

Make = Callable[..., KafkaProducer]


# -- send --------------------------------------------------------------------------------------------------------------


def test_one_record_with_everything(cluster: ScriptedCluster, make_producer: Make) -> None:
    future = make_producer().send(
        "t4", b"value", b"key", [("h", b"1"), ("h", b""), ("n", None)], partition=3, timestamp_ms=1234
    )
    metadata = future.get(5)
    assert isinstance(metadata, RecordMetadata)
    assert metadata.topic_partition == TopicPartition("t4", 3)
    assert (metadata.topic, metadata.partition, metadata.offset, metadata.timestamp) == ("t4", 3, 0, 1234)
    assert (metadata.serialized_key_size, metadata.serialized_value_size) == (3, 5)
    [record] = cluster.records("t4", 3)
    assert (record.key, record.value, record.timestamp) == (b"key", b"value", 1234)
    assert record.headers == (("h", b"1"), ("h", b""), ("n", None))
    assert future.succeeded() and not future.failed() and future.exception is None and future.value == metadata


def test_offsets_follow_each_other(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    futures = [producer.send("t", b"%d" % number) for number in range(1000)]
    producer.flush(10)
    assert [future.value.offset for future in futures] == list(range(1000))
    assert [record.value for record in cluster.records("t", 0)] == [b"%d" % number for number in range(1000)]


@pytest.mark.parametrize("acks", [0, 1, -1, "all"])
@pytest.mark.parametrize("compression", [None, "gzip", "snappy", "lz4", "zstd"])
def test_acks_and_compression(cluster: ScriptedCluster, make_producer: Make, acks: Any, compression: str) -> None:
    producer = make_producer(acks=acks, compression_type=compression, linger_ms=20)
    futures = [producer.send("t", b"%0100d" % number) for number in range(300)]
    futures += [producer.send("t4", b"x" * 200_000, key=b"k%d" % number) for number in range(20)]
    producer.flush(10)
    assert all(future.succeeded() for future in futures)
    assert futures[7].get().offset == (-1 if acks == 0 else 7)
    producer.close()
    deadline = time.monotonic() + 5  # with acks=0 the broker may still be reading
    while len(cluster.values("t")) + len(cluster.values("t4")) < 320 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert cluster.values("t") == [b"%0100d" % number for number in range(300)]
    assert cluster.values("t4") == [b"x" * 200_000] * 20


def test_serializers_are_called_as_kafka_python_calls_them(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(key_serializer=str.encode, value_serializer=lambda value: json.dumps(value).encode())
    producer.send("t", {"a": [1, None]}, key="schlüssel")
    producer.send("t", None, key="k")
    producer.send_many("t", [1, "two", [3]], keys=["a", "b", "c"])
    producer.flush(5)
    assert [(record.key, record.value) for record in cluster.records("t", 0)] == [
        ("schlüssel".encode(), b'{"a": [1, null]}'),
        (b"k", b"null"),
        (b"a", b"1"),
        (b"b", b'"two"'),
        (b"c", b"[3]"),
    ]


def test_a_serializers_error_is_the_callers(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(value_serializer=lambda value: json.dumps(value).encode())
    with pytest.raises(TypeError, match="not JSON serializable"):
        producer.send("t", {1, 2})
    producer.send("t", "fine").get(5)
    producer = make_producer(value_serializer=lambda value: value)
    with pytest.raises(TypeError, match="int"):
        producer.send("t", 5)
    producer.flush(5)
    assert cluster.values("t") == [b'"fine"']
    assert producer.buffered_bytes == 0


def test_a_partitioner_of_ones_own(cluster: ScriptedCluster, make_producer: Make) -> None:
    def last(key: bytes | None, every: list[int], available: list[int]) -> int:
        assert every == [0, 1, 2, 3]
        return every[-1]

    producer = make_producer(partitioner=last)
    assert producer.send("t4", b"x", key=b"k").get(5).partition == 3
    assert producer.send("t4", b"x").get(5).partition == 3
    assert producer.send("t4", b"x", partition=1).get(5).partition == 1
    assert [metadata.partition for metadata in producer.send_many("t4", [b"a", b"b"]).get(5)] == [3, 3]


def test_unknown_partitions_and_topics(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(max_block_ms=300)
    with pytest.raises((ValueError, AssertionError), match="4"):
        producer.send("t4", b"x", partition=4)
    for call in (
        lambda: producer.send("nope", b"x", partition=0),
        lambda: producer.send("nope", b"x", key=b"k"),
        lambda: producer.send_many("nope", [b"x"], keys=[b"k"]),
        lambda: producer.partitions_for("nope"),
    ):
        began = time.monotonic()
        with pytest.raises(KafkaTimeoutError, match="nope"):
            call()
        assert time.monotonic() - began < 3
    assert producer.partitions_for("t4") == {0, 1, 2, 3}
    assert producer.buffered_bytes == 0


def test_an_unknown_topics_error_says_that_it_is_unknown(make_producer: Make) -> None:
    with pytest.raises(KafkaTimeoutError, match=r"(?i)unknown|does not (exist|host)|no such"):
        make_producer(max_block_ms=300).partitions_for("nope")


def test_a_topic_that_appears_later(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(retry_backoff_ms=10)
    keyless = producer.send("later", b"1")
    threading.Timer(0.3, lambda: cluster.leaders.update(later=[1, 1])).start()
    assert producer.send("later", b"2", key=b"k").get(10).topic == "later"
    assert keyless.get(10).topic == "later"


def test_the_size_limit(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(max_request_size=5000)
    with pytest.raises(MessageSizeTooLargeError, match=r"\b6\d{3} bytes.*\b5000\b"):
        producer.send("t", bytes(6000))
    with pytest.raises(MessageSizeTooLargeError, match=r"\[1\].*\b6\d{3} bytes.*\b5000\b"):
        producer.send_many("t", [b"", bytes(6000)])
    for _ in range(50):
        producer.send("t", bytes(4000))
    producer.flush(5)
    assert len(cluster.values("t")) == 50


# -- callbacks ---------------------------------------------------------------------------------------------------------


def test_callbacks_in_kafka_pythons_forms(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(linger_ms=50)
    heard: list[Any] = []
    future = producer.send("t", b"x")
    assert future.add_callback(heard.append) is future
    future.add_callback(lambda extra, metadata, named: heard.append((extra, named, metadata.offset)), 1, named=2)
    future.add_both(heard.append)
    future.add_errback(lambda error: heard.append("never"))
    metadata = future.get(5)
    producer.flush(5)
    assert heard == [metadata, (1, 2, 0), metadata]
    future.add_callback(heard.append)  # at once
    assert heard[-1] == metadata and len(heard) == 4


def test_flush_returns_when_the_callbacks_have_run(make_producer: Make) -> None:
    producer = make_producer(linger_ms=20)
    heard: list[Any] = []

    def slow(metadata: RecordMetadata) -> None:
        time.sleep(0.2)
        heard.append(metadata)

    producer.send("t", b"x").add_callback(slow)
    producer.flush(5)
    assert len(heard) == 1


class Unruly(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("callback's own"), SystemExit(3), KeyboardInterrupt(), Unruly()])
def test_a_callback_that_raises_is_logged_and_stops_nothing(
    make_producer: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr("kafka._log._failed_callbacks", Repeats())
    producer = make_producer(linger_ms=20)
    heard: list[Any] = []

    def failing(metadata: RecordMetadata) -> None:
        raise error

    producer.send("t", b"x").add_callback(failing).add_callback(heard.append)
    producer.send("t", b"y").add_callback(heard.append)
    producer.flush(5)
    assert producer.send("t", b"z").get(5).offset == 2
    assert [metadata.offset for metadata in heard] == [0, 1]
    logged = [record for record in caplog.records if record.exc_info and record.exc_info[1] is error]
    assert len(logged) == 1 and logged[0].levelname == "ERROR"


def test_a_callback_that_keeps_raising_is_one_line_without_its_arguments(
    make_producer: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    repeats = Repeats()
    monkeypatch.setattr("kafka._log._failed_callbacks", repeats)
    producer = make_producer()

    def failing(payload: bytes, metadata: RecordMetadata) -> None:
        raise ValueError("callback's own")

    def fail_some() -> None:
        for _ in range(100):
            producer.send("t", b"x").add_callback(partial(failing, b"secret"))
        producer.flush()

    fail_some()
    [line] = caplog.records
    assert "failing of <FutureRecordMetadata t[0] delivered> failed" in line.getMessage()
    assert "secret" not in caplog.text
    repeats.seconds = 0
    fail_some()
    assert len(caplog.records) == 101
    assert caplog.records[1].getMessage().endswith("(99 such lines before this one were left out)")


def test_ctrl_c_in_a_callback_on_the_callers_own_thread_is_the_callers(make_producer: Make) -> None:
    def interrupted(metadata: RecordMetadata) -> None:
        raise KeyboardInterrupt

    future = make_producer().send("t", b"x")
    future.get(5)
    with pytest.raises(KeyboardInterrupt):
        future.add_callback(interrupted)


def test_a_callback_may_send_and_may_not_wait(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    heard: dict[str, Any] = {}

    def callback(metadata: RecordMetadata) -> None:
        second = producer.send("t", b"second")
        many = producer.send_many("t", [b"third", b"fourth"])
        for name, call in {
            "get": second.get,
            "get in time": lambda: second.get(5),
            "many": many.get,
            "flush": producer.flush,
            "close": producer.close,
            "partitions_for": lambda: producer.partitions_for("nope"),
        }.items():
            began = time.monotonic()
            try:
                heard[name] = call()
            except Exception as error:
                heard[name] = error
            assert time.monotonic() - began < 0.5
        heard["done"] = second

    producer.send("t", b"first").add_callback(callback)
    deadline = time.monotonic() + 5
    while "done" not in heard and time.monotonic() < deadline:
        time.sleep(0.01)
    heard.pop("done").get(5)
    assert len(heard) == 6 and all(isinstance(error, Exception) for error in heard.values()), heard
    producer.flush(5)
    assert cluster.values("t") == [b"first", b"fourth", b"second", b"third"]


def test_sending_in_a_callback_while_memory_is_full_raises_at_once(
    cluster: ScriptedCluster, make_producer: Make
) -> None:
    producer = make_producer(buffer_memory=300_000, max_block_ms=20_000)
    heard: list[Any] = []

    def callback(metadata: RecordMetadata) -> None:
        cluster.freeze()
        began = time.monotonic()
        try:
            while True:
                producer.send("t", bytes(50_000))
        except Exception as error:
            heard.append((error, time.monotonic() - began))

    producer.send("t", b"first").add_callback(callback)
    deadline = time.monotonic() + 5
    while not heard and time.monotonic() < deadline:
        time.sleep(0.01)
    [(error, seconds)] = heard
    assert isinstance(error, KafkaTimeoutError) and "callback" in str(error)
    assert seconds < 1
    cluster.thaw()
    producer.flush(5)
    assert len(cluster.values("t")) >= 5


# -- sending from strange places ---------------------------------------------------------------------------------------


def test_a_del_under_forced_collections_sends(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    made = 0

    class Cycle:
        def __init__(self) -> None:
            nonlocal made
            made += 1
            self.me = self

        def __del__(self) -> None:
            producer.send("t", b"del")

    before = gc.get_threshold()
    gc.set_threshold(7)
    try:
        for number in range(5000):
            Cycle()
            producer.send("t", b"main %d" % number, headers=[("a", b"b")])
            producer.send_many("t4", [b"many %d" % number, b"x"])
            if number % 500 == 0:
                gc.collect()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    producer.flush(20)
    values = cluster.values("t")
    assert values.count(b"del") == made == 5000
    assert len([value for value in values if value is not None and value.startswith(b"main")]) == 5000
    ordered = [record.value for record in cluster.records("t", 0) if record.value != b"del"]
    assert ordered == [b"main %d" % number for number in range(5000)]
    assert len(cluster.values("t4")) == 10_000


def test_a_signal_handler_that_sends(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(linger_ms=1)
    in_handler = 0

    def handler(number: int, frame: Any) -> None:
        nonlocal in_handler
        producer.send("t", b"handler")
        in_handler += 1

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        deadline = time.monotonic() + 2
        sent = 0
        while in_handler < 200 and time.monotonic() < deadline:
            producer.send("t", b"main")
            producer.send_many("t", [b"main"] * 50)
            sent += 51
            if sent % 510 == 0:
                producer.flush(10)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    producer.flush(20)
    values = cluster.values("t")
    assert in_handler > 50
    assert values.count(b"handler") == in_handler
    assert values.count(b"main") == sent


def test_a_serializer_that_sends(cluster: ScriptedCluster, make_producer: Make) -> None:
    producers: list[KafkaProducer] = []

    def serialize(value: bytes) -> bytes:
        if not value.startswith(b"audit"):
            producers[0].send("t", b"audit " + value)
            producers[0].send_many("t", [b"audit many " + value])
        return value

    producers.append(make_producer(value_serializer=serialize))
    for number in range(1000):
        producers[0].send("t", b"%d" % number)
    producers[0].send_many("t", [b"%d" % number for number in range(1000, 2000)])
    producers[0].flush(10)
    assert len(cluster.values("t")) == 6000
    assert len(set(cluster.values("t"))) == 6000


def test_a_callback_that_sends_from_many_threads(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    echoes = []

    def work(name: int) -> None:
        for number in range(2000):
            future = producer.send("t4", b"%d %d" % (name, number))
            future.add_callback(lambda metadata: echoes.append(producer.send("t", b"echo")))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    producer.flush(20)  # the records
    producer.flush(20)  # their echoes
    assert len(set(cluster.values("t4"))) == 8000
    assert cluster.values("t") == [b"echo"] * 8000


# -- send_many ---------------------------------------------------------------------------------------------------------


def test_many_with_everything(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    future = producer.send_many(
        "t4",
        (b"a", None, bytearray(b"c"), memoryview(b"d")),
        keys=[b"1", b"2", None, b"4"],
        headers=[None, [("h", b"x")], (), [("h", None)]],
        timestamps=[10, 20, 5, 7],
        partition=2,
    )
    metadata = future.get(5)
    assert [(m.partition, m.offset, m.timestamp) for m in metadata] == [(2, 0, 10), (2, 1, 20), (2, 2, 5), (2, 3, 7)]
    assert [(m.serialized_key_size, m.serialized_value_size) for m in metadata] == [(1, 1), (1, -1), (-1, 1), (1, 1)]
    assert [(r.key, r.value, r.headers, r.timestamp) for r in cluster.records("t4", 2)] == [
        (b"1", b"a", (), 10),
        (b"2", None, (("h", b"x"),), 20),
        (None, b"c", (), 5),
        (b"4", b"d", (("h", None),), 7),
    ]
    assert len(future) == 4 and isinstance(future[0], Ok)


def test_many_100_000(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    values = [b"%d" % number for number in range(100_000)]
    keyed = producer.send_many("t4", values, keys=values)
    plain = producer.send_many("t", values)
    assert [m.offset for m in plain.get(30)] == list(range(100_000))
    assert [record.value for record in cluster.records("t", 0)] == values
    places = [(m.partition, m.offset) for m in keyed.get(30)]
    stored = {
        (partition, offset): record.value
        for partition in range(4)
        for offset, record in enumerate(cluster.records("t4", partition))
    }
    assert [stored[place] for place in places] == values
    assert keyed.value[-1] == keyed.get()[99_999]
    with pytest.raises(IndexError):
        keyed[100_000]


def test_many_of_nothing(make_producer: Make) -> None:
    producer = make_producer()
    heard: list[Any] = []
    for future in (producer.send_many("t", []), producer.send_many("t", (), keys=[], headers=[], timestamps=[])):
        assert future.is_done and future.succeeded() and len(future) == 0
        assert list(future.get()) == []
        future.add_callback(heard.append)
    assert len(heard) == 2


def some(items: list[Any]) -> Iterator[Any]:
    yield from items


def test_many_from_generators(cluster: ScriptedCluster, make_producer: Make) -> None:
    def first(key: bytes | None, every: list[int], available: list[int]) -> int:
        return 0

    for configs in ({}, {"value_serializer": bytes}, {"partitioner": first}):
        producer = make_producer(**configs)
        metadata = producer.send_many(
            "t",
            some([b"a", b"b"]),
            keys=some([b"k", b"l"]),
            headers=some([[("h", b"1")], None]),
            timestamps=some([1, 2]),
        ).get(5)
        assert [m.timestamp for m in metadata] == [1, 2]
    assert [(r.key, r.value, r.headers) for r in cluster.records("t", 0)] == [
        (b"k", b"a", (("h", b"1"),)),
        (b"l", b"b", ()),
    ] * 3


@pytest.mark.parametrize(
    ("arguments", "error", "index"),
    [
        ({"values": [b"a", b"b", "c"]}, TypeError, 2),
        ({"values": [b"a", 1]}, TypeError, 1),
        ({"values": [b"a", None]}, ValueError, 1),
        ({"values": [b"a", bytes(2_000_000)]}, MessageSizeTooLargeError, 1),
        ({"values": [b"a", b"b"], "keys": [b"a", "b"]}, TypeError, 1),
        ({"values": [b"a", b"b"], "headers": [None, [("a", 1)]]}, TypeError, 1),
        ({"values": [b"a", b"b"], "headers": [None, "ab"]}, TypeError, 1),
        ({"values": [b"a", b"b"], "headers": [None, [("\ud800", b"")]]}, ValueError, 1),
        ({"values": [b"a", b"b"], "headers": [None, {"a": b"b"}]}, TypeError, 1),
        ({"values": [b"a", b"b"], "timestamps": [1, "now"]}, TypeError, 1),
        ({"values": [b"a", b"b"], "timestamps": [1, 2.5]}, TypeError, 1),
        ({"values": [b"a", b"b"], "timestamps": [1, None]}, TypeError, 1),
        ({"values": [b"a", b"b"], "timestamps": [1, 2**63]}, ValueError, 1),
        ({"values": [b"a", b"b"], "keys": [b"a"]}, ValueError, None),
        ({"values": [b"a", b"b"], "headers": [None] * 3}, ValueError, None),
        ({"values": [b"a", b"b"], "timestamps": [1]}, ValueError, None),
        ({"values": b"ab"}, TypeError, None),
        ({"values": "ab"}, TypeError, None),
        ({"values": None}, TypeError, None),
        ({"values": 5}, TypeError, None),
        ({"values": [b"a"], "partition": "0"}, TypeError, None),
        ({"values": [b"a"], "partition": 9}, (ValueError, AssertionError), None),
    ],
)
@pytest.mark.parametrize("serializer", [None, "same"])
def test_many_checks_all_before_it_takes_one(
    cluster: ScriptedCluster, make_producer: Make, arguments: dict[str, Any], error: Any, index: Any, serializer: Any
) -> None:
    same = None if serializer is None else (lambda value: value)
    producer = make_producer(key_serializer=same, value_serializer=same, max_block_ms=500)
    with pytest.raises(error) as caught:
        producer.send_many("t4", **arguments)
    if index is not None:
        assert f"[{index}]" in str(caught.value) or f"record {index}" in str(caught.value)
    assert producer.buffered_bytes == 0
    producer.flush(5)
    assert cluster.values("t4") == []


def test_many_with_a_serializer_that_fails_names_the_index(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(value_serializer=lambda value: json.dumps(value).encode())
    with pytest.raises(ValueError, match=r"values\[3\].*not JSON serializable") as caught:
        producer.send_many("t", [1, 2, 3, {4}])
    assert isinstance(caught.value.__cause__, TypeError)
    producer.flush(5)
    assert cluster.values("t") == []


def test_many_that_runs_out_of_time_says_what_it_took(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(buffer_memory=500_000, max_block_ms=300)
    cluster.freeze()
    values = [b"%010000d" % number for number in range(1000)]
    began = time.monotonic()
    with pytest.raises(KafkaTimeoutError) as caught:
        producer.send_many("t", values)
    assert time.monotonic() - began < 3
    accepted, future = caught.value.accepted, caught.value.future
    assert 10 < accepted < 60 and len(future) == accepted
    assert not future.is_done and future[0] is None
    cluster.thaw()
    assert len(future.get(10)) == accepted
    rest = producer.send_many("t", values[accepted:])
    assert len(rest.get(10)) == 1000 - accepted
    assert [record.value for record in cluster.records("t", 0)] == values


def test_many_has_the_rules_of_one(cluster: ScriptedCluster, make_producer: Make) -> None:
    """What serializers are asked, and what that makes of a record without a key or headers."""

    class Adds:
        def serialize(self, topic: str, headers: Any, data: Any) -> Any:
            headers.append(("of", b"%d" % (data is None)))
            return b"made" if data is None else data

        def close(self) -> None:
            pass

    producer = make_producer(key_serializer=Adds(), value_serializer=Adds())
    for key in (None, b"k"):
        producer.send("t", b"v", key).get(5)
        producer.send_many("t", [b"v"], None if key is None else [key]).get(5)
    producer.send("t", None, b"k", [("h", b"")]).get(5)
    producer.send_many("t", [None], [b"k"], [[("h", b"")]]).get(5)
    found = [(r.key, r.value, r.headers) for r in cluster.records("t", 0)]
    assert found[::2] == found[1::2] and len(found) == 6
    assert found[0] == (b"made", b"v", (("of", b"1"), ("of", b"0")))


def test_a_serializers_kafka_error_is_raised_by_both(make_producer: Make) -> None:
    class NoSchema(KafkaError):
        pass

    def fail(value: Any) -> bytes:
        raise NoSchema("no schema")

    producer = make_producer(value_serializer=fail)
    for send in (lambda: producer.send("t", b"v"), lambda: producer.send_many("t", [b"v"])):
        with pytest.raises(NoSchema, match="no schema"):
            send()


@pytest.mark.parametrize("partitioner", ["murmur2", "crc32"])
def test_many_without_a_key_among_them_need_no_metadata_either(
    cluster: ScriptedCluster, make_producer: Make, partitioner: str
) -> None:
    keyless = None if partitioner == "murmur2" else b""
    producer = make_producer(partitioner=partitioner, max_block_ms=0)
    one = producer.send("later", b"one", keyless)
    many = producer.send_many("later", [b"many"] * 3, [None, keyless, None])
    with pytest.raises(KafkaTimeoutError) as caught:
        producer.send_many("later", [b"v"] * 2, [None, b"k"])
    assert caught.value.accepted == 0 and len(caught.value.future) == 0
    cluster.leaders["later"] = [1, 1]
    assert one.get(10).topic == "later" and len(many.get(10)) == 3
    assert cluster.values("later") == [b"many"] * 3 + [b"one"]


# -- what is raised by send_many says what was taken before ------------------------------------------------------------


class Left(BaseException):
    """As somebody's own framework raises it into a thread."""


def interrupt(*arguments: Any) -> None:
    raise Left


@pytest.mark.parametrize("where", ["memory", "serializer", "partitioner", "closed", "topic"])
def test_whatever_leaves_send_many_tells_what_was_taken(
    cluster: ScriptedCluster, make_producer: Make, where: str
) -> None:
    configs: dict[str, Any] = {"buffer_memory": 200_000}
    if where == "serializer":
        configs["value_serializer"] = interrupt
    if where == "partitioner":
        configs["partitioner"] = interrupt
    producer = make_producer(**configs)
    producer.partitions_for("t")
    if where == "closed":
        producer.close()
    cluster.freeze()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(BaseException) as caught:
            if where == "memory":
                signal.setitimer(signal.ITIMER_REAL, 0.3)
                producer.send_many("t", [bytes(1000)] * 1000)
            else:
                producer.send_many(5 if where == "topic" else "t", [b"v"] * 10)  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGALRM, before)
        cluster.thaw()
    accepted, future = caught.value.accepted, caught.value.future  # type: ignore[attr-defined]
    assert len(future) == accepted
    if where == "memory":
        assert type(caught.value) is Left and accepted > 100
        assert len(future.get(10)) == accepted == len(cluster.values("t"))
    else:
        assert accepted == 0


def test_many_may_be_larger_than_memory(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(buffer_memory=500_000)
    values = [b"%010000d" % number for number in range(500)]
    assert len(producer.send_many("t", values).get(20)) == 500
    assert [record.value for record in cluster.records("t", 0)] == values


def test_many_has_an_outcome_for_each_record(cluster: ScriptedCluster, make_producer: Make) -> None:
    from kafka.protocol import ProduceRequest, ProduceResponse
    from tests.producer.brokers import MESSAGE_TOO_LARGE, Node, refusal

    def script(node: Node, header: Any, request: Any) -> Any:
        if not isinstance(request, ProduceRequest):
            return None
        entries = []
        for topic in request.topic_data:
            for data in topic.partition_data:
                if data.index == 1:
                    entries.append(refusal(1, MESSAGE_TOO_LARGE))
                else:
                    entries.append(cluster.keep(node, topic.name, data.index, bytes(data.records)))
        return ProduceResponse(responses=[ProduceResponse.TopicProduceResponse(name="t4", partition_responses=entries)])

    cluster.script = script
    producer = make_producer()
    future = producer.send_many("t4", [b"x"] * 1000, keys=[b"%d" % number for number in range(1000)])
    with pytest.raises(DeliveryFailed) as caught:
        future.get(5)
    outcomes = list(future)
    assert len(outcomes) == 1000
    bad = [outcome for outcome in outcomes if isinstance(outcome, Err)]
    good = [outcome.value for outcome in outcomes if isinstance(outcome, Ok)]
    assert len(bad) + len(good) == 1000 and 200 < len(bad) < 300
    assert {metadata.partition for metadata in good} == {0, 2, 3}
    assert isinstance(bad[0].error, MessageSizeTooLargeError)
    assert caught.value.count == len(bad)
    assert list(caught.value.errors) == [TopicPartition("t4", 1)]
    heard: list[Any] = []
    future.add_errback(heard.append)
    assert isinstance(heard[0], DeliveryFailed)
    producer.flush(5)  # looked at


# -- odd configurations ------------------------------------------------------------------------------------------------


def test_an_api_version_given(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(api_version=(2, 6))
    assert producer.send("t", b"x").get(5).offset == 0


def test_old_brokers(cluster: ScriptedCluster, make_producer: Make) -> None:
    from kafka.protocol import ProduceRequest

    cluster.versions[ProduceRequest] = (0, 3)
    producer = make_producer()
    assert producer.send("t", b"x", headers=[("h", b"v")]).get(5).offset == 0
    [(_, header, _)] = [entry for entry in cluster.requests if isinstance(entry[2], ProduceRequest)]
    assert header.api_version == 3


def test_unknown_and_unfinished_keys() -> None:
    with pytest.raises(ValueError, match="linger_ms") as caught:
        KafkaProducer(bootstrap_servers="127.0.0.1:1", linger_mss=5)
    assert isinstance(caught.value, KafkaConfigurationError)
    for key, value in {
        "client_dns_lookup": "resolve_canonical_bootstrap_servers_only",
        "kafka_client": len,
    }.items():
        with pytest.raises(NotImplementedError, match=key):
            KafkaProducer(bootstrap_servers="127.0.0.1:1", **{key: value})


def test_many_producers(cluster: ScriptedCluster, make_producer: Make, no_thread_left: None) -> None:
    producers = [make_producer(linger_ms=5) for _ in range(30)]
    futures = [producer.send("t", b"%d" % number) for number, producer in enumerate(producers)]
    for producer in producers:
        producer.close()
    assert all(future.succeeded() for future in futures)
    assert len(set(cluster.values("t"))) == 30


@pytest.mark.parametrize("timestamp", [2**63, -(2**63) - 1, 10**400, 1.5, "now", b"1"])
def test_timestamps_that_are_none_say_what_they_must_be(make_producer: Make, timestamp: Any) -> None:
    kind = ValueError if isinstance(timestamp, int) else TypeError
    producer = make_producer()
    with pytest.raises(kind) as one:
        producer.send("t", b"v", timestamp_ms=timestamp)
    with pytest.raises(kind) as many:
        producer.send_many("t", [b"u", b"v"], timestamps=[1, timestamp])
    for caught, name in ((one, "timestamp_ms"), (many, "timestamps[1]")):
        assert type(caught.value) is kind and str(caught.value).startswith(f"{name} must be ")
        assert "milliseconds since 1970" in str(caught.value)


@pytest.mark.parametrize("topic", [5, None, b"t", "", "a b", "..", "x" * 250, "\ud800"])
def test_partitions_of_what_is_no_topic_are_refused_at_once(make_producer: Make, topic: Any) -> None:
    producer = make_producer(max_block_ms=2000)
    with pytest.raises((TypeError, ValueError)) as caught:
        producer.partitions_for(topic)
    assert type(caught.value) in (TypeError, ValueError)
    # It must not have become part of what every later request for metadata asks.
    assert producer.partitions_for("t4") == set(range(4))
    assert producer.send("t", b"v").get(5).offset == 0


# -- a partition that is not known yet ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["send", "send_many"])
@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_a_partition_that_was_added_is_found(
    cluster: ScriptedCluster, make_producer: Make, way: str, seconds: float
) -> None:
    producer = make_producer()
    producer.send("t", b"before", partition=0).get(5)
    count = len(cluster.leaders["t"])
    timer = threading.Timer(seconds, cluster.leaders["t"].append, (1,))
    timer.start()
    if way == "send":
        metadata = producer.send("t", b"v", partition=count).get(10)
    else:
        (metadata,) = producer.send_many("t", [b"v"], partition=count).get(10)
    timer.join()
    assert (metadata.partition, metadata.offset) == (count, 0)
    assert producer.partitions_for("t") == set(range(count + 1))


def test_a_partition_that_never_comes_is_named(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(max_block_ms=700)
    count = len(cluster.leaders["t4"])
    for known in (False, True):
        begun = time.monotonic()
        with pytest.raises(UnknownPartitionError) as caught:
            producer.send("t4", b"v", partition=99)
        assert time.monotonic() - begun >= 0.7, known
        assert isinstance(caught.value, KafkaTimeoutError) and isinstance(caught.value, ValueError)
        assert f"Topic t4 has no partition 99: it has {count}, 0 to {count - 1}; still not after 0.7 s" in str(
            caught.value
        )
        assert pickle.loads(pickle.dumps(caught.value)) == caught.value
    assert producer.buffered_bytes == 0


def test_in_a_callback_a_partition_is_not_waited_for_but_asked_for(
    cluster: ScriptedCluster, make_producer: Make
) -> None:
    producer = make_producer()
    count = len(cluster.leaders["t"])
    producer.send("t", b"1", partition=0).get(5)
    cluster.leaders["t"].append(1)
    found: list[Any] = []
    over = threading.Event()

    def send_more(metadata: Any) -> None:
        begun = time.monotonic()
        try:
            producer.send("t", b"2", partition=count)
        except BaseException as error:
            found.append(error)
        found.append(time.monotonic() - begun)
        over.set()

    producer.send("t", b"1", partition=0).add_callback(send_more)
    assert over.wait(5)
    error, seconds = found
    assert isinstance(error, UnknownPartitionError) and "in a callback" in str(error) and seconds < 5
    end = time.monotonic() + 10
    while producer.partitions_for("t") != set(range(count + 1)):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_partitioner_whose_partition_does_not_exist_is_named(cluster: ScriptedCluster, make_producer: Make) -> None:
    def beyond(key: bytes | None, every: list[int], available: list[int]) -> int:
        return 99

    producer = make_producer(partitioner=beyond)
    begun = time.monotonic()
    with pytest.raises(ValueError, match="partitioner .*beyond.* gave partition 99 for topic t, which has"):
        producer.send("t", b"v")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("chosen", "kind", "said"),
    [
        (-1, ValueError, "what it returns must not be negative, and fit 32 bits: -1"),
        ("1", TypeError, "what it returns must be int or None, not str"),
        (True, TypeError, "what it returns must be int or None, not bool"),
    ],
)
def test_a_partitioner_that_returns_what_is_no_partition_is_named(
    cluster: ScriptedCluster, make_producer: Make, chosen: Any, kind: type[Exception], said: str
) -> None:
    def choose(key: bytes | None, every: list[int], available: list[int]) -> Any:
        return chosen

    with pytest.raises(kind, match=f"the partitioner .*choose.*: {said}"):
        make_producer(partitioner=choose).send("t", b"v")


def test_partitions_are_whatever_counts_as_a_whole_number(cluster: ScriptedCluster, make_producer: Make) -> None:
    class Whole:
        """As numpy's are."""

        def __index__(self) -> int:
            return number

    number = 0
    producer = make_producer(max_block_ms=300)
    where: Any = Whole()
    assert producer.send("t", b"v", partition=where).get(10).partition == 0
    assert producer.send_many("t", [b"v"], partition=where).get(10)[0].partition == 0
    chooses = make_producer(partitioner=lambda key, every, available: where)
    assert chooses.send("t", b"v").get(10).partition == 0
    number = 99
    with pytest.raises(UnknownPartitionError):
        producer.send("t", b"v", partition=where)


@pytest.mark.parametrize("call", ["partitions_for", "send"])
def test_whoever_waits_for_a_topic_while_it_is_closed_is_told_that(
    cluster: ScriptedCluster, make_producer: Make, call: str
) -> None:
    producer = make_producer()
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            producer.partitions_for("nope") if call == "partitions_for" else producer.send("nope", b"v", b"k")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    deadline = time.monotonic() + 10
    while "nope" not in producer._produce.topics:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    producer.close()
    thread.join(10)
    (error,) = raised
    assert str(error) == "IllegalStateError: KafkaProducer was closed while a thread waited for topic nope."
