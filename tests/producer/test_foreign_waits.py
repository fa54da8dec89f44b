"""Futures under other people's waits: `await` in any asyncio loop, `asyncio.wrap_future`, `concurrent.futures`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from kafka import KafkaProducer
from kafka.errors import DeliveryFailed, IllegalStateError, KafkaTimeoutError, TopicAuthorizationFailedError
from kafka.producer.future import FutureRecordMetadata, FutureRecords
from kafka.protocol import ProduceRequest
from tests.producer.brokers import TOPIC_AUTHORIZATION_FAILED, ScriptedCluster, refuse_all

Make = Callable[..., KafkaProducer]


@pytest.fixture
def failing(cluster: ScriptedCluster) -> ScriptedCluster:
    """Every record that is sent fails, for a reason that trying again does not mend."""

    def script(node: Any, header: Any, request: Any) -> Any:
        return refuse_all(request, TOPIC_AUTHORIZATION_FAILED) if isinstance(request, ProduceRequest) else None

    cluster.script = script
    return cluster


def test_await_in_any_loop(make_producer: Make) -> None:
    producer = make_producer()

    async def first() -> list[Any]:
        future = producer.send("t4", b"v", partition=2)
        found = [await future, await future, future.get()]  # once more where it has ended
        return [*found, *await asyncio.gather(*(producer.send("t", b"v") for _ in range(3)))]

    async def other() -> Any:
        return await producer.send_many("t4", [b"v"] * 20_000)

    found = asyncio.run(first())
    assert found[0] == found[1] == found[2]
    assert found[0].partition == 2
    assert [metadata.offset for metadata in found[3:]] == [0, 1, 2]
    assert len(asyncio.run(other())) == 20_000
    results = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(other()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [len(result) for result in results] == [20_000, 20_000]


def test_awaiting_raises_the_error_which_is_then_looked_at(failing: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(TopicAuthorizationFailedError) as failed:
                await future
            assert failed.value is not future.exception  # each has a traceback of its own
        with pytest.raises(DeliveryFailed):
            await producer.send_many("t", [b"v"] * 3)

    future = producer.send("t", b"v")
    asyncio.run(main())
    producer.flush()


def test_a_wait_that_is_cancelled_leaves_nothing_behind(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(delivery_timeout_ms=60000, request_timeout_ms=30000)
    producer.send("t", b"first").get(10)
    cluster.freeze()
    future = producer.send("t", b"v")

    async def in_time() -> None:
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(future, 0.01)

    asyncio.run(in_time())
    # A loop that is closed while the wait goes on: nothing of it is told, and nothing is logged.
    loop = asyncio.new_event_loop()
    wait = future.__await__()
    closed = threading.Event()

    async def begin() -> None:
        next(wait)

    loop.run_until_complete(begin())
    loop.close()
    future.add_callback(lambda metadata: closed.set())
    cluster.thaw()
    assert closed.wait(10)
    wait.close()
    assert future.succeeded()


def test_await_where_it_cannot_work(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    producer.send("t", b"first").get(10)
    cluster.freeze()
    future = producer.send("t", b"v")
    with pytest.raises(RuntimeError, match="no running event loop"):
        next(producer.send("t4", b"v").__await__())
    refused: list[BaseException] = []
    over = threading.Event()

    def callback(metadata: Any) -> None:
        async def main() -> None:
            await producer.send("t4", b"v")

        try:
            asyncio.run(main())
        except IllegalStateError as error:
            refused.append(error)
        over.set()

    future.add_callback(callback)
    cluster.thaw()
    assert over.wait(10)
    assert "awaited in a callback" in str(refused[0])


@pytest.mark.parametrize("count", [1, 20_000])
def test_wrap_future(make_producer: Make, count: int) -> None:
    producer = make_producer()

    def send() -> Any:
        return producer.send("t4", b"v", partition=1) if count == 1 else producer.send_many("t4", [b"v"] * count)

    async def main() -> Any:
        return await asyncio.wait_for(asyncio.wrap_future(send()), 30), await asyncio.wrap_future(send())

    for found in asyncio.run(main()):
        assert found.partition == 1 if count == 1 else len(found) == count


def test_wrap_future_of_a_failure_and_of_one_that_is_cancelled(failing: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()

    async def main() -> None:
        with pytest.raises(TopicAuthorizationFailedError):
            await asyncio.wrap_future(producer.send("t", b"v"))
        failing.script = None
        future = producer.send("t", b"v")
        asyncio.wrap_future(future).cancel()
        await asyncio.sleep(0)
        assert (await future).topic == "t"

    asyncio.run(main())
    producer.flush()


def test_concurrent_futures_wait_and_as_completed(make_producer: Make) -> None:
    producer = make_producer()
    done = [producer.send("t", b"v") for _ in range(5)]
    producer.flush()
    everything: list[Any] = [*done, *(producer.send("t4", b"v", partition=n % 4) for n in range(100))]
    everything.append(producer.send_many("t4", [b"v"] * 20_000))
    found = concurrent.futures.wait(everything, timeout=30)
    assert found.done == set(everything)
    assert not found.not_done
    later = [producer.send("t4", b"v", partition=n % 4) for n in range(100)]
    assert set(concurrent.futures.as_completed([*later, *done], timeout=30)) == {*later, *done}
    for when in (concurrent.futures.FIRST_COMPLETED, concurrent.futures.FIRST_EXCEPTION):
        assert concurrent.futures.wait(done, 30, when).done == set(done)
    assert all(future.result(0) == future.get(0) and future.done() for future in done)
    assert not any(future.cancel() or future.cancelled() or future.running() for future in done)


def test_concurrent_futures_and_failures(failing: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    futures = [producer.send("t", b"v"), producer.send_many("t4", [b"v"] * 3)]
    assert concurrent.futures.wait(futures, 30).done == set(futures)
    assert concurrent.futures.wait(futures, 30, concurrent.futures.FIRST_EXCEPTION).done
    with pytest.raises(DeliveryFailed) as failed:  # to wait for a failure is not to look at it
        producer.flush()
    assert failed.value.count == 4
    outcomes: list[Any] = []
    for future in futures:
        future.add_done_callback(outcomes.append)
    assert [type(outcome.exception()) for outcome in outcomes] == [type(future.exception) for future in futures]
    with pytest.raises(DeliveryFailed):
        outcomes[1].result()


def test_a_wait_that_ends_first_leaves_nothing_behind(cluster: ScriptedCluster, make_producer: Make) -> None:
    class Waiter:
        add_result = add_exception = print

    producer = make_producer(delivery_timeout_ms=60000, request_timeout_ms=30000)
    producer.send("t", b"first").get(10)
    cluster.freeze()
    futures = [producer.send("t", b"v"), producer.send_many("t", [b"v"] * 3)]
    found = concurrent.futures.wait(futures, timeout=0.01)
    assert found.not_done == set(futures)
    with pytest.raises(concurrent.futures.TimeoutError):
        list(concurrent.futures.as_completed(futures, timeout=0.01))
    for future in futures:
        waiter = Waiter()
        gone = weakref.ref(waiter)
        future._waiters.append(waiter)
        future._waiters.remove(waiter)
        del waiter
        assert gone() is None
        with pytest.raises(KafkaTimeoutError):
            future.result(0)
    cluster.thaw()
    assert not concurrent.futures.wait(futures, 30).not_done


def test_they_are_what_they_were_besides(make_producer: Make) -> None:
    producer = make_producer()
    for future, kind in (
        (producer.send("t", b"v"), FutureRecordMetadata),
        (producer.send_many("t", []), FutureRecords),
    ):
        assert type(future) is kind
        assert isinstance(future, (kind, concurrent.futures.Future))
        assert dir(future) == dir(kind)
        with pytest.raises(TypeError, match="callable"):
            future.add_done_callback(1)
