"""What happens when buffer_memory is full: who is served, in which order, and which batches may go."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kafka._codec import Batch
from kafka.errors import KafkaTimeoutError
from tests.producer.test_accumulator import KIB, MIB, Producer, Setup

VALUE = 50 * KIB - 72  # its batch has 50 KiB


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.0005)


class Sender:
    """One `send` on a thread of its own."""

    def __init__(self, it: Setup, topic: str, size: int, order: list[str], max_block: float = 60.0) -> None:
        self.order = order
        self.topic = topic
        self.error: BaseException | None = None
        self.producer = Producer(it.accumulator, max_block=max_block)
        self.thread = threading.Thread(target=self.run, args=(size,), daemon=True)
        before = it.accumulator.waiting
        self.thread.start()
        until(lambda: it.accumulator.waiting > before or not self.thread.is_alive())

    def run(self, size: int) -> None:
        try:
            self.producer.send(self.topic, bytes(size))
            self.order.append(self.topic)
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self.thread.join(20)
        assert not self.thread.is_alive()


def full() -> tuple[Setup, list[Batch]]:
    """An accumulator whose memory is all in 16 batches of 50 KiB, which were taken."""
    memory = 16 * 50 * KIB
    # Copied, as it is about the batches' own memory.
    it = Setup(memory=memory, linger=3600.0, batch_size=52 * KIB, by_reference=memory)
    for _ in range(16):
        it.send("full", bytes(VALUE))
    it.accumulator.make_all_ready()
    batches = it.pull_all()
    assert it.accumulator.used == memory
    return it, batches


def free(it: Setup, batches: list[Batch], count: int = 1) -> None:
    for _ in range(count):
        batches.pop(0).complete(0)
    it.accumulator.wake_waiters()


def test_first_come_first_served_and_a_large_record_is_not_passed() -> None:
    it, batches = full()
    order: list[str] = []
    large = Sender(it, "large", 250 * KIB, order)
    small = [Sender(it, f"small-{number}", 10, order) for number in range(5)]
    assert it.accumulator.waiting == 6
    free(it, batches, 3)  # enough for all the small ones
    assert it.accumulator.waiting == 6 and not order
    late = Sender(it, "late", 10, order)  # does not overtake either, although its record would fit
    assert it.accumulator.waiting == 7
    free(it, batches, 3)
    for sender in [large, *small, late]:
        sender.join()
    assert it.accumulator.waiting == 0
    assert set(order) == {"large", "late", *(f"small-{number}" for number in range(5))}
    for batch in batches:
        batch.complete(0)
    batches.clear()
    del batch
    for ready in it.accumulator.take_expired(float("inf")):
        ready.complete(0)
    del ready
    assert it.accumulator.used == 0  # nothing stayed set aside


def test_only_as_many_wake_as_there_is_memory_for() -> None:
    it, batches = full()
    order: list[str] = []
    senders = [Sender(it, f"t{number}", VALUE, order) for number in range(4)]
    for number in range(4):
        assert it.accumulator.waiting == 4 - number
        free(it, batches)
        until(lambda number=number: len(order) == number + 1)  # type: ignore[misc]
    assert order == ["t0", "t1", "t2", "t3"]
    for sender in senders:
        sender.join()


def test_all_go_on_when_it_is_closed() -> None:
    it, batches = full()
    order: list[str] = []
    large = Sender(it, "large", 300 * KIB, order)
    small = Sender(it, "small", 10, order)
    free(it, batches)
    assert it.accumulator.waiting == 2
    it.accumulator.close()
    large.join()
    small.join()
    assert isinstance(large.error, RuntimeError) and isinstance(small.error, RuntimeError)
    assert it.accumulator.waiting == 0 and not order


def test_a_wait_that_ends_in_vain_leaves_nothing_set_aside() -> None:
    it, batches = full()
    order: list[str] = []
    first = Sender(it, "first", 100 * KIB, order, max_block=0.2)
    second = Sender(it, "second", 10, order)
    free(it, batches)  # not enough for the first; the second may go on when the first gives up
    first.join()
    second.join()
    assert isinstance(first.error, KafkaTimeoutError) and "max_block_ms" in str(first.error)
    assert order == ["second"]
    for batch in [*batches, *it.accumulator.take_expired(float("inf"))]:
        batch.complete(0)
    del batch
    batches.clear()
    assert it.accumulator.used == 0 and it.accumulator.waiting == 0


def settled(it: Setup, batches: list[Batch]) -> int:
    """Bytes in use once everything was delivered: what is set aside for nobody."""
    for batch in [*batches, *it.accumulator.take_expired(float("inf"))]:
        batch.complete(0)
    del batch
    batches.clear()
    assert it.accumulator.waiting == 0
    return it.accumulator.used


def test_what_was_set_aside_is_enough_whatever_became_of_the_rest() -> None:
    it, batches = full()
    order: list[str] = []
    sender = Sender(it, "t", VALUE, order)
    before = sys.getswitchinterval()
    sys.setswitchinterval(60.0)  # the sender goes on once the copy is made
    try:
        free(it, batches)
        view = memoryview(batches[0])
        batches[0].stamp()  # to a copy, as the view is of what it was
        assert it.accumulator.used > it.accumulator.memory
    finally:
        sys.setswitchinterval(before)
    until(lambda: bool(order) or it.accumulator.waiting > 0)
    assert order == ["t"]
    sender.join()
    view.release()
    assert settled(it, batches) == 0


class Interrupted(Exception):
    pass


def test_whoever_is_interrupted_while_it_waits_keeps_nothing() -> None:
    it, batches = full()
    main = threading.get_ident()

    def interrupt(number: int, frame: Any) -> None:
        raise Interrupted

    def free_and_interrupt() -> None:
        until(lambda: it.accumulator.waiting == 1)
        batches.pop(0).complete(0)  # nobody was told yet
        signal.pthread_kill(main, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        thread = threading.Thread(target=free_and_interrupt)
        thread.start()
        with pytest.raises(Interrupted):
            Producer(it.accumulator, max_block=20.0).send("t", bytes(VALUE))
        thread.join()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert settled(it, batches) == 0


def test_every_open_batch_is_sendable_at_once_when_memory_runs_out() -> None:
    it = Setup(memory=200 * KIB, linger=3600.0, max_block=0.0)
    with pytest.raises(KafkaTimeoutError):
        for number in range(1000):
            it.send(f"topic-{number}", b"x")
    ready = it.ready()
    assert len(ready) >= 199
    # They stay so, although nobody waits any more.
    assert all(queue.pull(it.host.now) is not None for queue in ready)
    assert it.accumulator.next_deadline() == float("inf")


def test_a_batch_that_was_made_sendable_stays_so() -> None:
    it = Setup(linger=3600.0)
    it.send("t", b"x")
    it.accumulator.make_all_ready()
    [queue] = it.ready()
    it.send("t", b"y")
    batch = queue.pull(it.host.now)
    assert batch is not None and batch.records == 2
    assert queue.pull(it.host.now) is None
    it.send("t", b"z")
    assert it.ready() == []
    it.accumulator.make_all_ready()
    assert it.ready() == [queue]


def test_a_batch_opened_during_a_flush_is_announced() -> None:
    it = Setup(linger=3600.0)
    it.accumulator.begin_flush()
    assert it.ready() == []
    it.send("t", b"x")
    assert [queue.topic for queue in it.ready()] == ["t"]
    it.accumulator.end_flush()


def test_on_the_io_thread_nobody_waits() -> None:
    it, batches = full()
    it.accumulator.waits.io_thread = threading.get_ident()
    with pytest.raises(KafkaTimeoutError, match="callback"):
        it.send("t", b"x")
    order: list[str] = []
    large = Sender(it, "large", 300 * KIB, order)
    free(it, batches)
    it.send("t", b"x")  # it would wait for itself if it queued up behind the other
    free(it, batches, 6)
    large.join()
    assert order == ["large"]


def test_max_block_counts_for_the_whole_of_send_many() -> None:
    it = Setup(memory=MIB, linger=3600.0, max_block=10.0, batch_size=64 * KIB)
    errors: list[Any] = []

    def run() -> None:
        try:
            it.producer.send_many("t", [bytes(60 * KIB)] * 1000)
        except KafkaTimeoutError as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    taken = 0
    end = time.monotonic() + 20
    while not errors:  # each wait is short on this clock, all together are not
        assert time.monotonic() < end
        if it.accumulator.waiting:
            it.host.now += 1.0
            for queue in it.ready():
                while (batch := queue.pull(it.host.now)) is not None:
                    batch.complete(0)
                    taken += 1
                    del batch
        it.accumulator.wake_waiters()
    thread.join()
    assert taken < 1000
    [error] = errors
    assert 16 <= error.accepted < 1000 and len(error.future) == error.accepted


# -- 10,000 topics -----------------------------------------------------------------------------------------------------


def test_10_000_batches_fit_in_the_default_memory_whatever_the_ones_before_were() -> None:
    it = Setup(linger=3600.0)
    topics = [f"topic-{number}" for number in range(10_000)]
    for start in range(0, 10_000, 100):  # each topic has had a batch of 17 KiB
        for topic in topics[start : start + 100]:
            it.send(topic, bytes(17 * KIB))
        for queue in it.ready():
            while (batch := queue.pull(it.host.now)) is not None:
                batch.complete(0)
                del batch
    assert it.accumulator.used == 0
    for _ in range(10):
        for topic in topics:
            it.send(topic, b"x" * 100)
    assert it.accumulator.used <= 32 * MIB
    queues = []
    it.accumulator.begin_flush()
    queues = it.ready()
    assert len(queues) == 10_000
    batches = [queue.pull(it.host.now) for queue in queues]
    assert all(batch is not None and batch.records == 10 for batch in batches)
    for batch in batches:
        assert batch is not None
        batch.complete(0)
    del batch
    batches.clear()
    assert it.accumulator.used == 0


def test_few_topics_start_with_the_room_that_they_had_use_for() -> None:
    it = Setup(linger=3600.0, batch_size=256 * KIB)
    for _ in range(2):
        for number in range(6):
            for _ in range(1500):
                it.send(f"topic-{number}", bytes(100))
        it.accumulator.begin_flush()
        for batch in it.pull_all():
            batch.complete(0)
        it.accumulator.end_flush()
        del batch
    for number in range(6):
        it.send(f"topic-{number}", bytes(100))
    assert it.accumulator.used >= 6 * 150_000


def test_small_blocks_are_used_again_with_their_bytes_intact() -> None:
    it = Setup(memory=MIB, linger=0.0)
    kept = []
    for number in range(3000):
        value = b"%d" % number * (1 + number % 700)
        it.send(f"topic-{number % 7}", value)
        for batch in it.pull_all():
            batch.stamp()
            assert value in bytes(batch)
            kept.append((memoryview(batch), bytes(batch)))
            batch.complete(number)
            del batch
        if len(kept) > 50:
            view, data = kept.pop(number % 50)
            assert bytes(view) == data
            del view
    assert all(bytes(view) == data for view, data in kept)
    kept.clear()
    assert it.accumulator.used == 0
