"""What `send` waits for: said by an `Unsent`, waited for outside of C, and nothing of anybody's is run twice."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import pytest

import kafka.producer.waiting
from kafka import KafkaProducer
from kafka._codec import (
    Accumulator,
    Batch,
    FutureRecordMetadata,
    FutureRecords,
    ProducerBase,
    Unsent,
    UnsentRecords,
)
from kafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from kafka.producer.waiting import WaitingProducer
from kafka.records import Record
from tests.producer.brokers import ScriptedCluster
from tests.producer.test_accumulator import KIB, Setup, records_of

SIZE = 50 * KIB - 100  # a batch of one such value fits in 50 KiB, one of two does not


class Counting:
    """A serializer of each kind and a partitioner that count how often they are called, and with what."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def options(self, partitioner: bool) -> dict[str, Any]:
        options: dict[str, Any] = {"key_serializer": Named(self, "key"), "value_serializer": Named(self, "value")}
        return {**options, "partitioner": self} if partitioner else options

    def partition(self, topic: str, key: Any, key_bytes: Any, value: Any, value_bytes: Any, cluster: Any) -> int:
        self.calls["partitioner"] += 1
        assert isinstance(key, str) and key_bytes == key.encode() and isinstance(value, str)
        return int(key) % 3

    def counted(self, name: str, result: Any) -> Any:
        self.calls[name] += 1
        return result

    def headers(self, number: int) -> Headers:
        return Headers(self, [("h", b"%d" % number)])

    def all_once(self, records: int, partitioner: bool) -> None:
        names = ["key", "value", "headers", *(["partitioner"] if partitioner else [])]
        assert self.calls == dict.fromkeys(names, records)


class Named:
    def __init__(self, counting: Counting, name: str) -> None:
        self.counting, self.name = counting, name

    def serialize(self, topic: str, headers: Any, data: str) -> bytes:
        self.counting.calls[self.name] += 1
        return data.encode().ljust(SIZE if self.name == "value" else 0, b".")

    def close(self) -> None:
        pass


class Headers(list[tuple[str, bytes]]):
    """Headers that count how often they are read."""

    def __init__(self, counting: Counting, items: list[tuple[str, bytes]]) -> None:
        super().__init__(items)
        self.counting = counting

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        self.counting.calls["headers"] += 1
        return super().__iter__()


class Scene:
    """An accumulator of four batches' memory, all of it taken, and a topic of which nothing is known yet."""

    def __init__(self, partitioner: bool = False, full: bool = True) -> None:
        self.counting = Counting()
        self.it = Setup(memory=4 * 50 * KIB, linger=3600.0, batch_size=52 * KIB)
        self.accumulator = self.it.accumulator
        self.producer = Base(self.accumulator, **self.counting.options(partitioner))
        self.blocking: list[Batch] = []
        self.records: list[Record] = []
        if full:
            for _ in range(4):
                self.it.send("full", bytes(50 * KIB - 72))
            self.accumulator.make_all_ready()
            self.blocking = self.it.pull_all()
            assert self.accumulator.used == self.accumulator.memory

    def free(self) -> None:
        """The memory of one batch: one of those that fill it at first, then the oldest sent one's."""
        if self.blocking:
            self.blocking.pop().complete(0)
        else:
            self.take()
        self.accumulator.wake_waiters()

    def take(self) -> None:
        """What was sent, as brokers would."""
        batches = self.it.pull_all()
        while batches:
            batch = batches.pop(0)
            self.records += records_of(batch)
            if batch.partition < 0:
                batch.bind(0)
            batch.complete(0)
            del batch

    def give(self, unsent: Unsent) -> None:
        """What it needs."""
        if unsent.closed:
            self.accumulator.reopen()
        elif unsent.partitions is not None:
            self.accumulator.set_partition_count(unsent.partitions, 3)
        else:
            released: list[bool] = []
            unsent.queue_up(lambda: released.append(True))
            while not released:
                self.free()
            assert unsent.granted == unsent.memory and released == [True]

    def until_sent(self, found: Any) -> tuple[Any, list[str]]:
        """The future, and the needs that came up before."""
        needs = []
        while isinstance(found, Unsent):
            needs.append("closed" if found.closed else "partitions" if found.partitions is not None else "memory")
            again = found.try_again()  # in vain: that changes nothing
            assert again is found or found.closed
            found = again
            self.give(found)
            found = found.try_again()
        return found, needs

    def rest(self) -> list[Record]:
        self.accumulator.make_all_ready()
        while self.blocking:
            self.blocking.pop().complete(0)
        self.take()
        assert self.accumulator.used == 0 and self.accumulator.waiting == 0
        return self.records


class Base(ProducerBase):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.waits = False

    def _cluster(self) -> None:
        return None


@pytest.mark.parametrize("partitioner", [False, True])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("closed", [False, True])
def test_send_runs_nobodys_code_twice(partitioner: bool, full: bool, known: bool, closed: bool) -> None:
    scene = Scene(partitioner, full)
    if known:
        scene.accumulator.set_partition_count("t", 3)
    if closed:
        scene.accumulator.close()
    found = scene.producer.send("t", "value", "7", scene.counting.headers(1), timestamp_ms=5)
    future, needs = scene.until_sent(found)
    assert isinstance(future, FutureRecordMetadata)
    assert needs == ["closed"] * closed + ["partitions"] * (not known) + ["memory"] * full
    scene.counting.all_once(1, partitioner)
    (record,) = [record for record in scene.rest() if record.key == b"7"]
    assert record.value is not None and record.value.rstrip(b".") == b"value"
    assert record.headers == (("h", b"1"),) and record.timestamp == 5
    assert future.value.serialized_key_size == 1 and (not partitioner or future.value.partition == 1)


@pytest.mark.parametrize("partitioner", [False, True])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_send_many_goes_on_where_it_stopped(partitioner: bool, full: bool, known: bool) -> None:
    scene = Scene(partitioner, full)
    if known:
        scene.accumulator.set_partition_count("t", 3)
    numbers = range(20)
    found = scene.producer.send_many(
        "t",
        [f"v{number}" for number in numbers],
        [str(number) for number in numbers],
        [scene.counting.headers(number) for number in numbers],
        list(numbers),
    )
    future, needs = scene.until_sent(found)
    assert isinstance(future, FutureRecords) and len(future) == 20
    assert needs[:1] == ["partitions"] * (not known) + ["memory"] * known
    assert needs.count("memory") >= 4 and needs.count("partitions") == (not known)
    scene.counting.all_once(20, partitioner)
    records = [record for record in scene.rest() if record.key is not None]
    assert sorted(int(record.key or b"") for record in records) == list(numbers)
    for record in records:
        number = int(record.key or b"")
        assert (record.value or b"").rstrip(b".") == b"v%d" % number
        assert record.headers == (("h", b"%d" % number),) and record.timestamp == number
    assert [metadata.timestamp for metadata in future.value] == list(numbers)


def test_records_that_go_round_take_their_turn_once() -> None:
    scene = Scene()
    scene.accumulator.set_partition_count("t", 3)
    producer = Base(scene.accumulator, partitioner="round_robin")
    found = producer.send_many("t", [bytes(SIZE)] * 9)
    future, needs = scene.until_sent(found)
    assert needs.count("memory") > 4
    scene.rest()
    assert [metadata.partition for metadata in future.value] == [0, 1, 2] * 3


def test_a_record_that_was_begun_goes_on_where_records_are_taken_again() -> None:
    scene = Scene(partitioner=True)
    scene.accumulator.set_partition_count("t", 3)
    found = scene.producer.send("t", "value", "2", scene.counting.headers(1))
    assert isinstance(found, Unsent) and found.memory
    scene.accumulator.close()
    found = found.try_again()
    assert isinstance(found, Unsent) and found.closed
    future, needs = scene.until_sent(found)
    assert needs == ["closed", "memory"]
    scene.counting.all_once(1, True)
    scene.rest()
    assert future.value.partition == 2


def test_a_record_that_was_begun_before_a_fork_is_the_parents() -> None:
    scene, other = Scene(partitioner=True), Scene(full=False)
    for found in (
        scene.producer.send("t", "value", "2", scene.counting.headers(1)),
        scene.producer.send_many("t", ["value"], ["2"]),
    ):
        assert isinstance(found, Unsent)
        scene.producer.__init__(other.accumulator)  # type: ignore[misc]  # as in the child
        with pytest.raises(IllegalStateError, match="fork"):
            found.try_again()
        scene.producer.__init__(scene.accumulator, **scene.counting.options(True))  # type: ignore[misc]
    scene.accumulator.close()
    call = scene.producer.send("t", b"value")
    scene.producer.__init__(other.accumulator)  # type: ignore[misc]
    assert isinstance(call, Unsent) and isinstance(call.try_again(), FutureRecordMetadata)  # nothing was begun


def test_what_cannot_be_sent_is_refused_before_it_waits() -> None:
    scene = Scene()
    with pytest.raises(MessageSizeTooLargeError, match="buffer_memory"):
        Base(scene.accumulator, max_request_size=1 << 30).send("t", bytes(300 * KIB))
    with pytest.raises(MessageSizeTooLargeError, match="max_request_size"):
        scene.producer.send("unknown", "x" * (1 << 21), "1")
    with pytest.raises(TypeError, match="partition"):
        scene.producer.send("unknown", "x", "1", partition="1")  # type: ignore[arg-type]
    assert scene.accumulator.waiting == 0


# -- memory ------------------------------------------------------------------------------------------------------------


def waiting_for_memory(scene: Scene, calls: list[str], name: str) -> Unsent:
    found = scene.producer.send("t-" + name, "value", partition=None)
    assert isinstance(found, Unsent) and 0 < found.memory <= 50 * KIB
    found.queue_up(lambda: calls.append(name))
    return found


def scene_without_keys() -> Scene:
    scene = Scene()
    scene.producer = Base(scene.accumulator, value_serializer=Named(scene.counting, "value"))
    return scene


def test_memory_is_set_aside_in_the_order_of_queuing_up() -> None:
    scene, calls = scene_without_keys(), list[str]()
    waiting = [waiting_for_memory(scene, calls, name) for name in "abc"]
    assert scene.accumulator.waiting == 3 and not calls
    late = scene.producer.send("late", "value")
    scene.free()
    assert calls == ["a"] and isinstance(late, Unsent) and late.try_again() is late
    scene.free()
    waiting[2].give_up()
    scene.free()
    assert calls == ["a", "b"] and scene.accumulator.waiting == 0
    for unsent in waiting[:2]:
        assert isinstance(unsent.try_again(), FutureRecordMetadata)
    late.give_up()
    scene.rest()


def test_whoever_gives_up_lets_those_behind_go_on() -> None:
    scene, calls = scene_without_keys(), list[str]()
    large = Base(scene.accumulator, max_request_size=1 << 20).send("large", bytes(150 * KIB))
    assert isinstance(large, Unsent)
    large.queue_up(lambda: calls.append("large"))
    small = waiting_for_memory(scene, calls, "small")
    scene.free()
    assert not calls
    large.give_up()
    assert calls == ["small"]
    small.give_up()
    assert scene.accumulator.used == 3 * 50 * KIB
    scene.rest()


def test_a_release_that_raises_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    scene, calls = scene_without_keys(), list[str]()
    found = scene.producer.send("t", "value")
    assert isinstance(found, Unsent)

    def broken() -> None:
        raise RuntimeError("Event loop is closed")

    found.queue_up(broken)
    other = waiting_for_memory(scene, calls, "other")
    scene.free()
    scene.free()
    assert calls == ["other"] and found.granted and "broken" in caplog.text
    found.give_up()
    other.give_up()
    scene.rest()


def test_closing_lets_all_go_on() -> None:
    scene, calls = scene_without_keys(), list[str]()
    waiting = [waiting_for_memory(scene, calls, name) for name in "abc"]
    scene.accumulator.close()
    assert calls == ["a", "b", "c"] and scene.accumulator.waiting == 0
    for unsent in waiting:
        assert not unsent.granted and unsent.try_again() is unsent and unsent.closed
        unsent.give_up()
    scene.rest()


def test_what_is_over_is_over() -> None:
    scene, calls = scene_without_keys(), list[str]()
    sent, given_up = waiting_for_memory(scene, calls, "a"), waiting_for_memory(scene, calls, "b")
    with pytest.raises(IllegalStateError):
        sent.queue_up(print)
    scene.free()
    assert isinstance(sent.try_again(), FutureRecordMetadata)
    given_up.give_up()
    given_up.give_up()
    for unsent in (sent, given_up):
        for call in (unsent.try_again, unsent.take, lambda unsent=unsent: unsent.queue_up(print)):
            with pytest.raises(IllegalStateError):
                call()
    sent.give_up()
    records = scene.rest()
    assert len([record for record in records if record.value]) >= 1


def test_nobody_is_granted_memory_twice_when_somebody_is_dropped_in_between() -> None:
    scene = scene_without_keys()
    accumulator = scene.accumulator

    class Value:
        def __del__(self) -> None:
            accumulator.wake_waiters()

    class Fixed:
        def serialize(self, topic: str, headers: Any, data: Any) -> bytes:
            return bytes(SIZE)

    producer = Base(accumulator, value_serializer=Fixed())
    calls: list[str] = []
    dropped = producer.send("t", Value())
    assert isinstance(dropped, Unsent)
    needed = dropped.memory
    dropped.queue_up(lambda: calls.append("dropped"))
    del dropped  # only those that wait refer to it now
    others = [waiting_for_memory(scene, calls, name) for name in "ab"]
    while scene.blocking:
        scene.blocking.pop().complete(0)
    accumulator.wake_waiters()
    assert calls == ["dropped", "a", "b"]
    assert accumulator.used == 3 * needed and accumulator.waiting == 0
    for unsent in others:
        unsent.give_up()
    assert accumulator.used == needed


# -- threads -----------------------------------------------------------------------------------------------------------


def test_send_is_one_call_into_c() -> None:
    assert KafkaProducer.send is ProducerBase.send and KafkaProducer.send_many is ProducerBase.send_many
    assert type(KafkaProducer.send).__name__ == "cython_function_or_method"


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("granted", [False, True])
def test_whoever_is_interrupted_anywhere_while_it_waits_keeps_nothing(granted: bool) -> None:
    lines = 0
    for stop_at in range(1, 1000):
        scene = scene_without_keys()
        producer = WaitingProducer(scene.accumulator, max_block=5.0 if granted else 0.0)
        lines = 0

        def trace(frame: FrameType, event: str, argument: Any, stop_at: int = stop_at, scene: Scene = scene) -> Any:
            nonlocal lines
            if frame.f_code.co_filename != kafka.producer.waiting.__file__:
                return None
            if event == "line":
                lines += 1
                if scene.accumulator.waiting and granted:
                    scene.free()
                if lines == stop_at:
                    raise Interrupted
            return trace

        sys.settrace(trace)
        try:
            producer.send("t", bytes(SIZE))
        except (Interrupted, KafkaTimeoutError):
            pass
        finally:
            sys.settrace(None)
        scene.rest()
        if lines < stop_at:
            break
    assert 10 < lines < 100


def test_threads_run_nobodys_code_twice(cluster: ScriptedCluster, make_producer: Callable[..., KafkaProducer]) -> None:
    counting = Counting()
    producer = make_producer(
        buffer_memory=200_000,
        max_block_ms=20_000,
        retry_backoff_ms=10,
        key_serializer=lambda key: counting.counted("key", key.encode()),
        value_serializer=lambda value: counting.counted("value", value.encode().ljust(SIZE)),
        partitioner=lambda key, every, available: counting.counted("partitioner", every[0]),
    )
    producer.send("t", "warm", "0", counting.headers(0)).get(10)
    cluster.freeze()
    futures: list[FutureRecordMetadata] = []

    def send() -> None:
        for number in range(1, 11):
            futures.append(producer.send("later", str(number), str(number), counting.headers(number)))

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.2)
    cluster.leaders.update(later=[1])
    cluster.thaw()
    thread.join(20)
    many = producer.send_many("later", ["x"] * 10, ["y"] * 10, [counting.headers(number) for number in range(10)])
    assert len(many.get(20)) == 10
    assert [future.get(20).offset for future in futures] == list(range(10))
    counting.all_once(21, True)


def test_send_many_that_waits_in_vain_tells_what_it_took() -> None:
    scene = scene_without_keys()
    scene.free()
    producer = WaitingProducer(scene.accumulator, max_block=0.01)
    with pytest.raises(KafkaTimeoutError) as caught:
        producer.send_many("t", [bytes(SIZE)] * 3)
    assert caught.value.accepted == 1 and len(caught.value.future) == 1
    assert scene.accumulator.waiting == 0
    scene.rest()
    assert caught.value.future.is_done


def test_what_was_taken_before_giving_up_is_known_however_often_that_is_said() -> None:
    scene = scene_without_keys()
    for _ in range(3):
        scene.free()
    found = Base(scene.accumulator).send_many("t", [bytes(size) for size in (40_000, 300, 45_000, SIZE, SIZE)])
    assert isinstance(found, UnsentRecords) and found.index == 4
    for _ in range(3):
        found.give_up()
    error = KafkaError("no")
    found.tell(error)
    scene.rest()
    assert [metadata.serialized_value_size for metadata in error.future.get(0)] == [40_000, 300, 45_000, SIZE]


def test_records_of_a_send_many_are_never_those_of_two_transactions() -> None:
    scene = scene_without_keys()
    for _ in range(2):
        scene.free()
    found = Base(scene.accumulator).send_many("t", [bytes(SIZE)] * 3)
    assert isinstance(found, UnsentRecords) and found.index == 2
    scene.accumulator.close()  # as a commit does
    scene.accumulator.reopen()  # and the next transaction's beginning
    with pytest.raises(IllegalStateError, match="had put 2 of its 3 records has ended") as caught:
        found.try_again()
    assert caught.value.accepted == 2 and len(caught.value.future) == 2
    assert scene.accumulator.waiting == 0
    scene.rest()
    assert len(caught.value.future.get(0)) == 2


def test_a_send_many_that_has_put_in_nothing_belongs_to_the_next_transaction() -> None:
    scene = scene_without_keys()
    found = Base(scene.accumulator).send_many("t", [bytes(SIZE)] * 3)
    assert isinstance(found, UnsentRecords) and found.index == 0
    scene.accumulator.close()
    scene.accumulator.reopen()
    future, _ = scene.until_sent(found)
    scene.rest()
    assert len(future.get(0)) == 3


# -- an event loop -----------------------------------------------------------------------------------------------------


class AsyncProducer(Base):
    """What an asyncio client has to do about it: the same loop, with `await`."""

    async def put(self, *arguments: Any) -> FutureRecordMetadata:
        return await self.finished(self.send(*arguments))

    async def put_many(self, *arguments: Any) -> FutureRecords:
        return await self.finished(self.send_many(*arguments))

    async def finished(self, found: Any) -> Any:
        while isinstance(found, Unsent):
            try:
                event = asyncio.Event()
                found.queue_up(partial(asyncio.get_running_loop().call_soon_threadsafe, event.set))
                await event.wait()
            except BaseException as error:
                found.give_up()
                found.tell(error)
                raise
            found = found.try_again()
        return found


def test_an_event_loop_awaits_memory_in_turn_and_can_be_cancelled() -> None:
    scene = scene_without_keys()
    producer = AsyncProducer(scene.accumulator)
    order: list[int] = []

    async def one(number: int) -> None:
        await producer.put(f"t{number}", bytes(SIZE))
        order.append(number)

    async def main() -> None:
        tasks = [asyncio.create_task(one(number)) for number in range(6)]
        await asyncio.sleep(0)
        assert scene.accumulator.waiting == 6
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert scene.accumulator.waiting == 5
        many = asyncio.create_task(producer.put_many("many", [bytes(SIZE)] * 5))
        thread = threading.Thread(target=free_until, args=(lambda: many.done(),))
        thread.start()
        assert len(await many) == 5
        await asyncio.gather(*tasks, return_exceptions=True)
        thread.join()

    def free_until(done: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not done() and time.monotonic() < end:
            scene.free()
            time.sleep(0.001)

    asyncio.run(main())
    assert order == [0, 2, 3, 4, 5]
    scene.rest()


# -- outcomes ----------------------------------------------------------------------------------------------------------


def test_a_batch_tells_once_that_it_has_an_outcome_and_that_it_was_told() -> None:
    it = Setup(linger=0.0)
    future = it.send("t", b"x")
    (batch,) = it.pull_all()
    cell, heard = batch.cell, list[str]()
    future.add_callback(lambda metadata: heard.append("callback"))
    assert cell.notify(lambda: heard.append("done")) and cell.notify(lambda: heard.append("told"), told=True)

    def forgotten() -> None:
        heard.append("forgotten")

    for told in (False, True):
        cell.notify(forgotten, told=told)
        cell.forget(forgotten, told=told)
        cell.forget(forgotten, told=told)
    batch.complete(0)
    assert heard == ["done", "callback", "told"]
    assert not cell.notify(print) and not cell.notify(print, told=True)


def test_a_future_that_nothing_waits_for_says_so() -> None:
    it = Setup(linger=0.0)
    future = ProducerBase(Accumulator(it.host, memory=1 << 20, linger=0.0, delivery_timeout=1.0)).send("t", b"x")
    with pytest.raises(IllegalStateError, match="wait"):
        future.get(1)


# -- what a call takes, it takes by one rule ---------------------------------------------------------------------------


def test_send_many_takes_nothing_before_it_knows_where_all_of_it_goes() -> None:
    scene = Scene(full=False)
    producer = Base(scene.accumulator)
    found = producer.send_many("t", [b"1", b"2"], [None, b"k"])
    assert isinstance(found, Unsent) and found.partitions == "t"
    assert scene.accumulator.used == 0 and scene.accumulator.unresolved() == []
    found.give_up()


def test_one_key_goes_to_one_partition_within_a_call() -> None:
    """Although there are more partitions once it has waited for memory."""
    scene = Scene()
    scene.accumulator.set_partition_count("t", 3)
    scene.free()
    producer = Base(scene.accumulator)
    found = producer.send_many("t", [bytes(SIZE)] * 4, [b"key"] * 4)
    assert isinstance(found, Unsent) and found.memory > 0
    scene.accumulator.set_partition_count("t", 7)
    future, needs = scene.until_sent(found)
    assert set(needs) == {"memory"}
    scene.rest()
    assert len({metadata.partition for metadata in future.get(0)}) == 1


def test_a_topic_that_shrinks_while_a_call_waits_refuses_nothing_in_the_middle() -> None:
    class Last:
        def partition(self, topic: str, key: Any, key_bytes: Any, value: Any, value_bytes: Any, cluster: Any) -> int:
            return 2

    scene = Scene()
    scene.accumulator.set_partition_count("t", 3)
    scene.free()
    found = Base(scene.accumulator, partitioner=Last()).send_many("t", [bytes(SIZE)] * 3)
    assert isinstance(found, Unsent) and found.memory > 0
    scene.accumulator.set_partition_count("t", 1, recreated=True)
    future, _ = scene.until_sent(found)
    scene.rest()
    assert [metadata.partition for metadata in future.get(0)] == [2, 2, 2]


def test_whoever_waits_when_the_accumulator_is_abandoned_is_let_go() -> None:
    scene = scene_without_keys()
    calls: list[str] = []
    unsent = waiting_for_memory(scene, calls, "memory")
    for cell in scene.accumulator.unresolved():
        assert cell.notify(lambda: calls.append("outcome"), told=False)
    scene.accumulator.abandon(KafkaError("the child of a fork"))
    assert "memory" in calls and "outcome" in calls and scene.accumulator.waiting == 0
    assert unsent.granted == 0


def test_one_that_cannot_be_let_go_is_in_nobodys_way() -> None:
    scene = scene_without_keys()
    calls: list[str] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    first = Base(scene.accumulator).send("t", bytes(SIZE))
    assert isinstance(first, Unsent)
    first.queue_up(interrupted)
    waiting_for_memory(scene, calls, "behind")
    with pytest.raises(KeyboardInterrupt):
        scene.accumulator.close()
    assert calls == ["behind"] and scene.accumulator.waiting == 0


def test_closed_is_said_even_where_there_is_no_time_to_wait() -> None:
    class Refusing(WaitingProducer):
        def _refuse(self) -> NoReturn:
            raise IllegalStateError("closed")

    scene = Scene()
    producer = Refusing(scene.accumulator, max_block=0.0)
    producer.waits = False
    unsent = producer.send("t", bytes(SIZE))
    scene.accumulator.close()
    producer._await_memory(unsent)
    assert unsent.try_again().closed
