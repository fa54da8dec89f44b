"""Brokers that freeze, hang up, refuse, answer nonsense or move: nothing hangs, nothing is lost or reported wrongly."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kafka import KafkaProducer
from kafka.errors import (
    DeliveryFailed,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
)
from kafka.protocol import MetadataRequest, ProduceRequest, ProduceResponse
from kafka.structs import TopicPartition
from tests.producer.brokers import (
    CLOSE,
    LEADER_NOT_AVAILABLE,
    MESSAGE_TOO_LARGE,
    NOT_LEADER_OR_FOLLOWER,
    SILENCE,
    TOPIC_AUTHORIZATION_FAILED,
    Node,
    ScriptedCluster,
    first_times,
    refusal,
    refuse_all,
)

# They hold the clock to account: not for builds that are slower by design.
pytestmark = pytest.mark.timing

Make = Callable[..., KafkaProducer]


@contextmanager
def within(seconds: float, at_least: float = 0.0) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert at_least <= time.monotonic() - began <= seconds


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- frozen ------------------------------------------------------------------------------------------------------------


def test_send_to_a_frozen_broker_blocks_as_long_as_it_may(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(buffer_memory=1_000_000, max_block_ms=700)
    cluster.freeze()
    futures = []
    with pytest.raises(KafkaTimeoutError, match=r"1000000 bytes.*700 ?ms|700.*1000000"):
        while True:
            began = time.monotonic()
            futures.append(producer.send("t", bytes(1000)))
    assert 0.6 < time.monotonic() - began < 3
    assert 900 < len(futures) < 1100
    assert producer.buffered_bytes <= 1_000_000
    cluster.thaw()
    producer.flush(10)
    assert all(future.succeeded() for future in futures)
    assert len(cluster.values("t")) == len(futures)
    assert producer.buffered_bytes == 0


@pytest.mark.timing
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_a_frozen_broker_costs_no_more_than_buffer_memory(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(buffer_memory=32 << 20, max_block_ms=200)
    producer.send("t", b"warm").get(5)
    before = resident_bytes()
    cluster.freeze()
    value = bytes(1000)
    for _ in range(3):
        with pytest.raises(KafkaTimeoutError):
            while True:
                producer.send("t", value)
        with pytest.raises(KafkaTimeoutError):
            while True:
                producer.send("t4", value, key=value[:10])
    assert resident_bytes() - before < (32 + 64) << 20


def test_flush_of_a_frozen_broker_ends_in_time(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(linger_ms=1000)
    cluster.freeze()
    future = producer.send("t", b"x")
    with within(2, at_least=0.25), pytest.raises(KafkaTimeoutError, match=r"flush.*0\.3"):
        producer.flush(timeout=0.3)
    with within(1), pytest.raises(KafkaTimeoutError):
        producer.flush(timeout=0)
    with within(2, at_least=0.15), pytest.raises(KafkaTimeoutError):
        future.get(timeout=0.2)
    with within(1), pytest.raises(KafkaTimeoutError):
        future.get(timeout=0)
    cluster.thaw()
    producer.flush(timeout=5)
    assert future.succeeded()


def test_close_of_a_frozen_broker_ends_in_time_and_says_what_failed(
    cluster: ScriptedCluster, make_producer: Make, no_thread_left: None
) -> None:
    producer = make_producer()
    producer.partitions_for("t4")
    cluster.freeze()
    futures = [producer.send("t4", b"x", partition=number % 4) for number in range(100)]
    many = producer.send_many("t", [b"x"] * 10)
    with within(3, at_least=0.4), pytest.raises(DeliveryFailed) as caught:
        producer.close(timeout=0.5)
    assert caught.value.count == 110
    assert {place for place in caught.value.errors if place.topic == "t4"} == {
        TopicPartition("t4", number) for number in range(4)
    }
    assert all(isinstance(future.exception, KafkaError) for future in futures)
    assert many.is_done and many.failed()
    assert producer.buffered_bytes == 0
    producer.close()  # again: nothing
    producer.flush()  # neither
    for call in (lambda: producer.send("t", b"x"), lambda: producer.send_many("t", [b"x"])):
        with pytest.raises(IllegalStateError, match="closed"):
            call()


def test_close_right_away(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(linger_ms=60_000)
    cluster.freeze()
    producer.send("t", b"x")
    with within(2), pytest.raises(DeliveryFailed):
        producer.close(timeout=0)


def test_whoever_waits_for_memory_or_metadata_is_told_of_close(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(buffer_memory=100_000, max_block_ms=60_000)
    cluster.freeze()
    told: list[BaseException] = []

    def run(call: Callable[[], Any]) -> None:
        try:
            call()
        except BaseException as error:
            told.append(error)

    producer.send("t", bytes(60_000))
    calls = [
        lambda: producer.send("t", bytes(60_000)),
        lambda: producer.send_many("t", [bytes(10_000)] * 100),
        lambda: producer.send("nope", b"x", key=b"k"),
        lambda: producer.partitions_for("nope"),
    ]
    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    time.sleep(0.2)  # they wait; should one not yet, the test is the easier
    with within(5), pytest.raises(DeliveryFailed):
        producer.close(timeout=0.2)
    for thread in threads:
        thread.join(3)
    assert not any(thread.is_alive() for thread in threads)
    assert len(told) == 4 and all("closed" in str(error) for error in told), told


def test_close_while_a_serializer_is_at_work(cluster: ScriptedCluster, make_producer: Make) -> None:
    at_work, closed = threading.Event(), threading.Event()

    def slow(value: bytes) -> bytes:
        at_work.set()
        closed.wait(5)
        return value

    producer = make_producer(value_serializer=slow)
    outcome: list[Any] = []

    def send() -> None:
        try:
            outcome.append(producer.send("t", b"x").get(5))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    at_work.wait(5)
    producer.close()
    closed.set()
    with within(2):
        thread.join(5)
    assert isinstance(outcome[0], IllegalStateError) and "closed" in str(outcome[0])


def test_records_expire_and_their_error_says_why(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(delivery_timeout_ms=500, request_timeout_ms=400, linger_ms=0)
    producer.send("t", b"x").get(5)
    cluster.freeze()
    future = producer.send("t", b"x")
    with within(3, at_least=0.4), pytest.raises(KafkaTimeoutError) as caught:
        future.get()
    assert "delivery_timeout_ms" in str(caught.value) and "500" in str(caught.value)
    assert f"{cluster.nodes[0].port}" in str(caught.value) or "request" in str(caught.value).lower()
    assert "t[0]" in str(caught.value)


def test_records_for_a_topic_that_never_appears_expire(make_producer: Make) -> None:
    producer = make_producer(delivery_timeout_ms=400, request_timeout_ms=300, retry_backoff_ms=20)
    future = producer.send("nope", b"x")
    with within(3, at_least=0.3), pytest.raises(KafkaTimeoutError, match="nope.*400.*(?i:unknown|not host|exist)"):
        future.get()
    with pytest.raises(KafkaError):
        producer.send("nope", b"y").get(5)


def test_records_for_a_partition_without_leader_expire(cluster: ScriptedCluster, make_producer: Make) -> None:
    cluster.leaders["t"] = [-1]
    producer = make_producer(delivery_timeout_ms=400, request_timeout_ms=300, retry_backoff_ms=20)
    futures = [producer.send("t", b"x", partition=0), producer.send("t", b"x")]
    for future in futures:
        with within(3), pytest.raises(KafkaTimeoutError, match="(?i)leader"):
            future.get()
    future = producer.send("t", b"y", partition=0)
    cluster.leaders["t"] = [1]
    assert future.get(5).offset == 0


def test_a_frozen_broker_that_wakes_up(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(request_timeout_ms=300, retry_backoff_ms=20)
    producer.send("t", b"first").get(5)
    cluster.freeze()
    future = producer.send("t", b"second")
    time.sleep(0.8)  # two request timeouts: the connection is given up
    cluster.thaw()
    assert future.get(10).partition == 0
    assert set(cluster.values("t")) == {b"first", b"second"}


# -- hanging up --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyed", [False, True])
def test_a_connection_closed_in_the_middle_of_a_request(
    cluster: ScriptedCluster, make_producer: Make, keyed: bool
) -> None:
    cluster.script = first_times(3, ProduceRequest, lambda request: CLOSE)
    producer = make_producer(retry_backoff_ms=10)
    futures = [producer.send("t", b"%d" % number, key=b"k" if keyed else None) for number in range(100)]
    producer.flush(10)
    assert all(future.succeeded() for future in futures)
    assert cluster.values("t") == sorted(b"%d" % number for number in range(100))


def test_a_connection_that_is_closed_again_and_again(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(retry_backoff_ms=5, reconnect_backoff_ms=5, reconnect_backoff_max_ms=20)
    stop = threading.Event()

    def hang_up() -> None:
        while not stop.wait(0.02):
            cluster.nodes[0].hang_up()

    thread = threading.Thread(target=hang_up)
    thread.start()
    try:
        futures = []
        for number in range(300):
            futures.append(producer.send("t", b"%d" % number))
            time.sleep(0.002)
    finally:
        stop.set()
        thread.join()
    producer.flush(20)
    assert all(future.succeeded() for future in futures)
    assert set(cluster.values("t")) == {b"%d" % number for number in range(300)}  # twice is legal here


def test_without_retries_the_first_failure_is_final(cluster: ScriptedCluster, make_producer: Make) -> None:
    cluster.script = first_times(1, ProduceRequest, lambda request: CLOSE)
    producer = make_producer(retries=0)
    with within(3), pytest.raises(KafkaError, match=f"{cluster.nodes[0].port}"):
        producer.send("t", b"x").get()
    assert producer.send("t", b"y").get(5).offset == 0


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [NOT_LEADER_OR_FOLLOWER, LEADER_NOT_AVAILABLE, 7, 19, 20, 56])
def test_a_refusal_that_passes(cluster: ScriptedCluster, make_producer: Make, code: int) -> None:
    cluster.script = first_times(2, ProduceRequest, lambda request: refuse_all(request, code))
    producer = make_producer(retry_backoff_ms=10)
    futures = [producer.send("t", b"%d" % number, partition=0) for number in range(10)]
    producer.flush(5)
    assert [future.value.offset for future in futures] == list(range(10))
    assert len(cluster.asked(ProduceRequest)) >= 3


def test_as_many_retries_as_were_allowed(cluster: ScriptedCluster, make_producer: Make) -> None:
    cluster.script = first_times(99, ProduceRequest, lambda request: refuse_all(request, NOT_LEADER_OR_FOLLOWER))
    producer = make_producer(retry_backoff_ms=5, retries=2)
    future = producer.send("t", b"x")
    with within(5), pytest.raises(NotLeaderForPartitionError):
        future.get()
    assert len(cluster.asked(ProduceRequest)) == 3


def test_a_refusal_that_is_final(cluster: ScriptedCluster, make_producer: Make) -> None:
    cluster.script = first_times(1, ProduceRequest, lambda request: refuse_all(request, MESSAGE_TOO_LARGE))
    producer = make_producer()
    future = producer.send("t", b"x")
    with within(2), pytest.raises(MessageSizeTooLargeError):
        future.get()
    assert len(cluster.asked(ProduceRequest)) == 1
    assert producer.send("t", b"y").get(5).offset == 0


def test_a_code_that_nobody_knows(cluster: ScriptedCluster, make_producer: Make) -> None:
    cluster.script = first_times(1, ProduceRequest, lambda request: refuse_all(request, 3333))
    with within(2), pytest.raises(KafkaError, match="3333"):
        make_producer().send("t", b"x").get(5)


@pytest.mark.parametrize("arguments", [{}, {"key": b"k"}])
def test_a_topic_one_may_not_write_to(
    cluster: ScriptedCluster, make_producer: Make, arguments: dict[str, bytes]
) -> None:
    cluster.topic_errors["t"] = TOPIC_AUTHORIZATION_FAILED
    producer = make_producer(retry_backoff_ms=10)
    for _ in range(3):  # not only the first time
        with within(3), pytest.raises(TopicAuthorizationFailedError):
            producer.send("t", b"x", **arguments).get(5)
    assert producer.buffered_bytes == 0
    del cluster.topic_errors["t"]  # somebody grants the right
    deadline = time.monotonic() + 5
    while True:
        try:
            producer.send("t", b"x", **arguments).get(5)
            return
        except TopicAuthorizationFailedError:
            assert time.monotonic() < deadline


def answered(*partitions: int) -> Callable[[Any], Any]:
    return lambda request: ProduceResponse(
        responses=[
            ProduceResponse.TopicProduceResponse(
                name="t4",
                partition_responses=[
                    ProduceResponse.PartitionProduceResponse(index=number, base_offset=0) for number in partitions
                ],
            )
        ]
    )


@pytest.mark.parametrize("partitions", [(), (1,), (0, 0), (99,), (-1,), (0, 1, 1)])
def test_an_answer_that_does_not_name_each_partition_once(
    cluster: ScriptedCluster, make_producer: Make, partitions: tuple[int, ...]
) -> None:
    cluster.script = first_times(99, ProduceRequest, answered(*partitions))
    producer = make_producer(delivery_timeout_ms=1000, request_timeout_ms=900)
    wrong = producer.send("t4", b"x", partition=0)
    if partitions == (0, 1, 1):
        wrong.get(5)  # partition 0 is named once; what nobody asked about is nobody's
        return
    with within(4), pytest.raises(KafkaError, match=r"t4\[0\]"):
        wrong.get(5)
    cluster.script = None
    producer.send("t4", b"x", partition=0).get(5)


def test_an_answer_that_is_garbage(cluster: ScriptedCluster, make_producer: Make) -> None:
    def script(node: Node, header: Any, request: Any) -> Any:
        if isinstance(request, ProduceRequest) and not garbage:
            garbage.append(1)
            for connection in node.connections:
                try:
                    connection.sendall(b"\x00\x00\x00\x08\xff\xff\xff\xff\xde\xad\xbe\xef")
                except OSError:
                    pass
            return SILENCE
        return None

    garbage: list[int] = []
    cluster.script = script
    producer = make_producer(retry_backoff_ms=10)
    assert producer.send("t", b"x").get(5).topic == "t"


# -- unobserved failures -----------------------------------------------------------------------------------------------


def refuse_partitions(*numbers: int) -> Callable[[Node, Any, Any], Any]:
    def script(node: Node, header: Any, request: Any) -> Any:
        if not isinstance(request, ProduceRequest):
            return None
        return ProduceResponse(
            responses=[
                ProduceResponse.TopicProduceResponse(
                    name=topic.name,
                    partition_responses=[
                        refusal(data.index, MESSAGE_TOO_LARGE)
                        if data.index in numbers
                        else node.cluster.keep(node, topic.name, data.index, bytes(data.records))
                        for data in topic.partition_data
                    ],
                )
                for topic in request.topic_data
            ]
        )

    return script


def send_eight(producer: KafkaProducer) -> list[Any]:
    return [producer.send("t4", b"x", partition=number % 4) for number in range(8)]


def end_by_flush(producer: KafkaProducer) -> None:
    producer.flush(5)


def end_by_close(producer: KafkaProducer) -> None:
    producer.close(5)


def end_by_with(producer: KafkaProducer) -> None:
    with producer:
        pass


@pytest.mark.parametrize("end", [end_by_flush, end_by_close, end_by_with])
def test_failures_that_nobody_looked_at(cluster: ScriptedCluster, make_producer: Make, end: Any) -> None:
    cluster.script = refuse_partitions(1, 3)
    producer = make_producer(linger_ms=20)
    send_eight(producer)
    with pytest.raises(DeliveryFailed) as caught:
        end(producer)
    assert caught.value.count == 4
    assert set(caught.value.errors) == {TopicPartition("t4", 1), TopicPartition("t4", 3)}
    assert all(isinstance(error, MessageSizeTooLargeError) for error in caught.value.errors.values())
    assert "4" in str(caught.value) and "t4" in str(caught.value)
    producer.close()  # told once


@pytest.mark.parametrize("end", [end_by_flush, end_by_close, end_by_with])
@pytest.mark.parametrize("how", ["get", "exception", "failed", "errback", "both", "late errback", "slow errback"])
def test_failures_that_somebody_looked_at(cluster: ScriptedCluster, make_producer: Make, end: Any, how: str) -> None:
    cluster.script = refuse_partitions(1, 3)
    producer = make_producer(linger_ms=20)
    heard: list[Any] = []
    futures = send_eight(producer)
    for future in futures:
        if how == "errback":
            future.add_errback(heard.append)
        elif how == "both":
            future.add_both(lambda outcome: heard.append(outcome) if isinstance(outcome, Exception) else None)
        elif how == "slow errback":
            future.add_errback(lambda error: (time.sleep(0.1), heard.append(error)))
    for future in futures if how in ("get", "exception", "failed", "late errback") else ():
        while not future.is_done:
            time.sleep(0.005)
        if how == "get":
            try:
                future.get(5)
            except MessageSizeTooLargeError as error:
                heard.append(error)
        elif how == "exception":
            heard += [future.exception] if future.exception is not None else []
        elif how == "failed":
            heard += [future.exception] if future.failed() else []
        else:
            future.add_errback(heard.append)
    end(producer)
    assert len(heard) == 4
    assert all(isinstance(error, MessageSizeTooLargeError) for error in heard)


def test_a_callback_for_success_does_not_look_at_failures(cluster: ScriptedCluster, make_producer: Make) -> None:
    cluster.script = refuse_partitions(1, 3)
    producer = make_producer(linger_ms=20)
    heard: list[Any] = []
    for future in send_eight(producer):
        future.add_callback(heard.append)
    with pytest.raises(DeliveryFailed) as caught:
        producer.flush(5)
    assert caught.value.count == 4 and len(heard) == 4
    producer.flush(5)


def test_an_error_in_the_with_block_is_not_hidden(cluster: ScriptedCluster, make_producer: Make) -> None:
    cluster.script = refuse_partitions(1, 3)
    with pytest.raises(ZeroDivisionError), make_producer(linger_ms=20) as producer:
        send_eight(producer)
        raise ZeroDivisionError


def test_a_with_block_does_not_rely_on_how_a_subclass_is_closed(cluster: ScriptedCluster) -> None:
    class Own(KafkaProducer):
        def close(self) -> None:  # type: ignore[override]
            raise AssertionError("with arguments it does not take")

    with pytest.raises(ZeroDivisionError), Own(bootstrap_servers=cluster.bootstrap) as producer:
        producer.send("t", b"x")
        raise ZeroDivisionError
    assert cluster.values("t") == [b"x"]


def test_who_gave_up_waiting_for_a_topic_leaves_nothing(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(max_block_ms=50)
    cluster.freeze()
    for _ in range(5):
        with pytest.raises(KafkaTimeoutError):
            producer.send("t4", b"x", key=b"k")
    end = time.monotonic() + 5
    while producer._produce.topics["t4"].waiters:
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("worse", [False, True])
def test_a_bug_that_ends_the_io_thread_is_told_of_every_record(
    cluster: ScriptedCluster, make_producer: Make, monkeypatch: pytest.MonkeyPatch, worse: bool
) -> None:
    producer = make_producer(linger_ms=1000)
    cluster.freeze()

    def bug(*arguments: Any) -> None:
        raise ZeroDivisionError("a bug")

    if worse:
        monkeypatch.setattr(producer._produce, "close", bug)
    again: list[Any] = []

    def send_again(error: Exception) -> None:
        try:
            again.append(producer.send("t", b"again"))
        except KafkaError as refused:
            again.append(refused)

    futures = [producer.send("t", b"%d" % number).add_errback(send_again) for number in range(3)]
    producer._driver.call(bug)
    for future in futures:
        with pytest.raises(KafkaError, match="ended by a bug in kafka-turbo.*ZeroDivisionError"):
            future.get(5)
    with within(5):
        producer.close()
    assert len(again) == 3 and all(isinstance(refused, IllegalStateError) for refused in again)
    with pytest.raises(IllegalStateError):
        producer.send("t", b"late")


# -- several nodes -----------------------------------------------------------------------------------------------------


def test_a_leader_that_moved() -> None:
    with ScriptedCluster(nodes=2, topics={"t": 1}) as cluster:
        with KafkaProducer(bootstrap_servers=cluster.bootstrap, retry_backoff_ms=10) as producer:
            values = []
            for round_ in range(6):
                cluster.leaders["t"] = [1 + round_ % 2]
                for number in range(100):
                    values.append(b"%d %d" % (round_, number))
                    producer.send("t", values[-1], key=b"k")
                producer.flush(10)
        assert [record.value for record in cluster.records("t", 0)] == values


def test_a_leader_that_is_gone() -> None:
    with ScriptedCluster(nodes=2, topics={"t": 2}) as cluster:
        with KafkaProducer(
            bootstrap_servers=cluster.bootstrap, retry_backoff_ms=10, reconnect_backoff_ms=10
        ) as producer:
            for number in range(2):
                producer.send("t", b"before", partition=number).get(5)
            cluster.nodes[1].stop()
            futures = [producer.send("t", b"%d" % number, partition=number % 2) for number in range(100)]
            futures += [producer.send("t", b"keyless %d" % number) for number in range(100)]
            time.sleep(0.3)
            assert not futures[1].is_done  # and nobody else takes them
            cluster.leaders["t"] = [1, 1]
            producer.flush(10)
            assert all(future.succeeded() for future in futures)
        assert len(set(cluster.values("t"))) == 201


def test_one_broken_node_does_not_hold_up_the_other() -> None:
    with ScriptedCluster(nodes=2, topics={"t": 2}) as cluster:

        def script(node: Node, header: Any, request: Any) -> Any:
            return SILENCE if isinstance(request, ProduceRequest) and node.id == 2 else None

        cluster.script = script
        producer = KafkaProducer(bootstrap_servers=cluster.bootstrap)
        stuck = producer.send("t", b"x", partition=1)
        for _ in range(50):
            producer.send("t", b"x", partition=0).get(2)
        keyless = [producer.send("t", b"y") for _ in range(50)]
        time.sleep(0.2)
        assert sum(future.is_done for future in keyless) > 0
        assert not stuck.is_done
        with pytest.raises(DeliveryFailed):
            producer.close(timeout=0.2)


def test_partitions_that_are_added_later(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(metadata_max_age_ms=200)
    producer.send("t", b"x", partition=0).get(5)
    cluster.leaders["t"] = [1, 1, 1]
    deadline = time.monotonic() + 5
    while producer.partitions_for("t") != {0, 1, 2}:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert producer.send("t", b"x", partition=2).get(5).partition == 2


def test_a_topic_made_anew_with_fewer_partitions(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(
        metadata_max_age_ms=100, retry_backoff_ms=10, delivery_timeout_ms=1500, request_timeout_ms=1000
    )
    for number in range(4):
        producer.send("t4", b"x", partition=number).get(5)
    cluster.leaders["t4"] = [1, 1]
    cluster.generation += 1
    time.sleep(0.3)
    assert producer.send("t4", b"y", partition=1).get(5).partition == 1
    assert [producer.send("t4", b"z").get(5).partition < 2 for _ in range(8)] == [True] * 8
    with pytest.raises((KafkaError, ValueError)):
        producer.send("t4", b"y", partition=3).get(5)


def test_metadata_is_not_asked_for_in_a_loop(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(retry_backoff_ms=100, delivery_timeout_ms=1000, request_timeout_ms=900)
    with pytest.raises(KafkaTimeoutError):
        producer.send("nope", b"x").get(5)
    assert len(cluster.asked(MetadataRequest)) < 20
