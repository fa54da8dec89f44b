"""What `commit_async` returns, and when its callbacks run; listeners that are coroutines."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import (
    CommitFailedError,
    KafkaError,
    KafkaTimeoutError,
    OffsetMetadataTooLargeError,
    RequestTimedOutError,
    UnknownTopicOrPartitionError,
)
from kafka.future import Future
from kafka.protocol import OffsetCommitRequest, OffsetCommitResponse
from kafka.protocol.codes import Code
from kafka.testing import EmbeddedCluster
from kafka.testing.model.world import Later

T0 = TopicPartition("t", 0)


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        yield cluster


@pytest.fixture
def consumer(cluster: EmbeddedCluster) -> Iterator[KafkaConsumer]:
    consumer = KafkaConsumer(bootstrap_servers=cluster.bootstrap, group_id="g", enable_auto_commit=False)
    consumer.assign([T0])
    yield consumer
    consumer.close(timeout_ms=500)


def at(offset: int) -> dict[TopicPartition, OffsetAndMetadata]:
    return {T0: OffsetAndMetadata(offset, "", -1)}


def hold(cluster: EmbeddedCluster) -> list[Any]:
    """Commits are not answered any more; what would be answered."""
    held: list[Any] = []
    node = cluster.nodes[0]
    own = node.handlers[OffsetCommitRequest.API_KEY]

    def handler(broker: Any, header: Any, request: Any) -> Later:
        response = own(broker, header, request)
        held.append(response)
        return Later(lambda: response)

    cluster._on_thread(lambda: node.handlers.update({OffsetCommitRequest.API_KEY: handler}))
    return held


def test_a_future_as_kafka_python_s(consumer: KafkaConsumer) -> None:
    over = threading.Event()
    told: list[Any] = []
    future = consumer.commit_async(at(5))
    assert isinstance(future, Future)
    assert future.add_callback(told.append).add_errback(told.append).add_both(lambda value: over.set()) is future
    assert future.get(20) is None and future.is_done and future.done()
    assert future.succeeded() and not future.failed() and future.value is None and future.exception is None
    assert over.wait(20) and told == [None]
    assert consumer.committed(T0) == 5
    future.add_callback(told.append, "late")  # TypeError in append of two: told in the log, not here
    future.add_both(told.append)
    assert told == [None, None]
    with pytest.raises(TypeError, match="callable"):
        future.add_callback(5)  # type: ignore[arg-type]


def test_a_callback_that_would_end_the_program_ends_nothing_on_the_io_thread(consumer: KafkaConsumer) -> None:
    told: list[str] = []

    def leave(outcome: None) -> None:
        told.append("leave")
        raise SystemExit

    future = consumer.commit_async({T0: OffsetAndMetadata(0, "", -1)})
    future.add_callback(leave).add_callback(lambda outcome: told.append("next"))
    future.get(10)
    consumer.commit({T0: OffsetAndMetadata(0, "", -1)})  # the IO thread goes on
    assert told == ["leave", "next"]
    with pytest.raises(SystemExit):  # here it is the caller's
        future.add_callback(leave)


def test_a_commit_that_is_refused(consumer: KafkaConsumer) -> None:
    told: list[Any] = []
    future = consumer.commit_async({T0: OffsetAndMetadata(1, "x" * 5000, -1)}, lambda *a: told.append(a))
    with pytest.raises(OffsetMetadataTooLargeError):
        future.get(20)
    assert future.failed() and isinstance(future.exception, OffsetMetadataTooLargeError) and not future.retriable()
    assert told == []  # that is for the thread that reads
    consumer.poll()
    assert len(told) == 1 and told[0][1] is future.exception


def test_it_can_be_awaited(consumer: KafkaConsumer) -> None:
    async def main() -> int | OffsetAndMetadata | None:
        await asyncio.wait_for(consumer.commit_async(at(7)), 20)
        with pytest.raises(OffsetMetadataTooLargeError):
            await consumer.commit_async({T0: OffsetAndMetadata(1, "x" * 5000, -1)})
        return consumer.committed(T0)

    assert asyncio.run(main()) == 7


def test_nothing_to_commit(consumer: KafkaConsumer) -> None:
    told: list[Any] = []
    assert consumer.commit_async({}, lambda *a: told.append(a)).get(20) is None
    consumer.poll()
    assert told == [({}, None)]


def test_31_callbacks_run_in_order_before_commit_returns(cluster: EmbeddedCluster, consumer: KafkaConsumer) -> None:
    """KAFKA-16103: commitSync returned before the callbacks of earlier commitAsync."""
    told: list[tuple[int, Any]] = []
    node = cluster.nodes[0]
    own = node.handlers[OffsetCommitRequest.API_KEY]
    seen: list[int] = []

    def handler(broker: Any, header: Any, request: Any) -> Any:
        seen.append(request.topics[0].partitions[0].committed_offset)
        response = own(broker, header, request)
        if len(seen) in (1, 2):
            response.topics[0].partitions[0].error_code = Code.REQUEST_TIMED_OUT  # to be tried again
        return response

    cluster._on_thread(lambda: node.handlers.update({OffsetCommitRequest.API_KEY: handler}))
    for number in range(1, 4):
        consumer.commit_async(at(number), lambda offsets, error: told.append((offsets[T0].offset, error)))
    consumer.commit(at(4))
    assert [offset for offset, _ in told] == [1, 2, 3]
    assert [type(error) for _, error in told] == [RequestTimedOutError, RequestTimedOutError, type(None)]
    assert seen == [1, 2, 3, 4]  # what a later commit has overtaken does not undo it
    assert consumer.committed(T0) == 4


def test_a_commit_that_nothing_has_overtaken_is_tried_again(cluster: EmbeddedCluster, consumer: KafkaConsumer) -> None:
    node = cluster.nodes[0]
    own = node.handlers[OffsetCommitRequest.API_KEY]
    seen: list[int] = []

    def handler(broker: Any, header: Any, request: Any) -> Any:
        seen.append(request.topics[0].partitions[0].committed_offset)
        response = own(broker, header, request)
        if len(seen) == 1:
            response.topics[0].partitions[0].error_code = Code.REQUEST_TIMED_OUT
        return response

    cluster._on_thread(lambda: node.handlers.update({OffsetCommitRequest.API_KEY: handler}))
    assert consumer.commit_async(at(6)).get(20) is None
    assert seen == [6, 6]


def test_a_partition_that_does_not_exist_is_named_and_not_waited_for(consumer: KafkaConsumer) -> None:
    with pytest.raises(UnknownTopicOrPartitionError, match=r"there-is-none\[3\]"):
        consumer.commit({TopicPartition("there-is-none", 3): OffsetAndMetadata(1, "", -1)}, timeout_ms=60000)


def test_what_nobody_answers_fails_with_the_end(cluster: EmbeddedCluster) -> None:
    consumer = KafkaConsumer(bootstrap_servers=cluster.bootstrap, group_id="g", enable_auto_commit=False)
    consumer.assign([T0])
    consumer.committed(T0)
    hold(cluster)
    told: list[Any] = []
    future = consumer.commit_async(at(3), lambda *a: told.append(a))
    with pytest.raises(KafkaTimeoutError, match="No answer"):
        future.get(0.05)
    with pytest.raises(KafkaTimeoutError):
        consumer.commit(at(4), timeout_ms=200)
    assert told == []
    consumer.close(timeout_ms=300)
    assert future.failed() and isinstance(future.exception, KafkaError)
    assert len(told) == 1 and told[0][1] is future.exception


def test_commits_by_itself_do_not_pile_up(cluster: EmbeddedCluster) -> None:
    from kafka import KafkaProducer

    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
        for number in range(50):
            producer.send("t", b"%d" % number)
    held = hold(cluster)
    consumer = KafkaConsumer(
        "t", bootstrap_servers=cluster.bootstrap, group_id="g", auto_offset_reset="earliest", auto_commit_interval_ms=1
    )
    read = 0
    while read < 50:
        read += sum(map(len, consumer.poll(1000, max_records=1).values()))
    assert len(held) <= 1 and len(consumer._commits) <= 1
    consumer.close(timeout_ms=300)


def test_a_listener_with_coroutines_where_a_loop_runs(cluster: EmbeddedCluster) -> None:
    told: list[tuple[str, int]] = []

    class Listener(AsyncConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked: Any) -> None:
            await asyncio.sleep(0)
            consumer.commit(at(9))
            told.append(("revoked", len(revoked)))
            if fails:
                raise KeyError("mine")

        async def on_partitions_assigned(self, assigned: Any) -> None:
            await asyncio.sleep(0)
            told.append(("assigned", len(assigned)))

    fails = False
    consumer = KafkaConsumer(bootstrap_servers=cluster.bootstrap, group_id="g")

    async def main() -> None:
        nonlocal fails
        consumer.subscribe(["t"], listener=Listener())
        for _ in range(200):
            consumer.poll(100)
            if told:
                break
        consumer.unsubscribe()
        consumer.subscribe(["t"], listener=Listener())
        while len(told) < 3:
            consumer.poll(100)
        fails = True
        with pytest.raises(KeyError, match="mine"):
            consumer.unsubscribe()

    asyncio.run(main())
    assert told == [("assigned", 1), ("revoked", 1), ("assigned", 1), ("revoked", 1)]
    consumer.close()


def test_a_later_commit_is_not_undone_by_one_that_is_tried_again(cluster: EmbeddedCluster) -> None:
    """The coordinator moves while both are under way, and either may come first after that."""
    node = cluster.nodes[0]
    own = node.handlers[OffsetCommitRequest.API_KEY]
    refused = OffsetCommitResponse.OffsetCommitResponsePartition(partition_index=0, error_code=Code.NOT_COORDINATOR)
    topic = OffsetCommitResponse.OffsetCommitResponseTopic(name="t", partitions=[refused])
    came = 0

    def handler(broker: Any, header: Any, request: Any) -> Any:
        nonlocal came
        came += 1
        return OffsetCommitResponse(topics=[topic]) if came <= 2 else own(broker, header, request)

    cluster._on_thread(lambda: node.handlers.update({OffsetCommitRequest.API_KEY: handler}))
    for number in range(0, 40, 2):
        came = 0
        configs: Any = {"group_id": f"g{number}", "enable_auto_commit": False}
        with KafkaConsumer(bootstrap_servers=cluster.bootstrap, **configs) as consumer:
            consumer.assign([T0])
            consumer.committed(T0)
            earlier = consumer.commit_async(at(5))
            consumer.commit(at(6))
            assert consumer.committed(T0) == 6
            assert earlier.exception is None or "overtaken" in str(earlier.exception)


def test_its_callback_is_found_by_who_iterates(consumer: KafkaConsumer) -> None:
    """`attention` is set when there is something to find, and not before."""
    seen: list[bool] = []
    future = consumer.commit_async(at(1))
    consumer.attention = False
    future.add_done_callback(lambda outcome: seen.append(consumer.attention))
    future.get(10)
    until = time.monotonic() + 10
    while not consumer.attention:
        assert time.monotonic() < until
    assert seen in ([False], [])


def test_who_assigns_is_told_that_the_group_has_members(cluster: EmbeddedCluster, consumer: KafkaConsumer) -> None:
    with KafkaConsumer("t", bootstrap_servers=cluster.bootstrap, group_id="g") as member:
        while not member.assignment():
            member.poll(50)
        with pytest.raises(CommitFailedError, match="use another group_id"):
            consumer.commit(at(1))
