"""How threads wait: for memory and metadata in `send`, and for outcomes. Each on a lock of its own.

The accumulator takes no lock. It is told whom to let go on, and when that is; here it is told a lock's `release`.
"""

from __future__ import annotations

import _thread  # whose locks are greenlets' where a program is patched, perhaps after this is imported
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NoReturn

from kafka._codec import Accumulator, ProducerBase
from kafka.drivers.loops import wait_in_loop
from kafka.drivers.native import get_ident, hub, waking
from kafka.errors import IllegalStateError, KafkaTimeoutError

if TYPE_CHECKING:
    from kafka._codec import Cell, Deferred, FutureRecordMetadata, FutureRecords, Unsent

# Locks refuse waits of centuries; a day is as good as for ever to a caller that looks again.
_LONGEST = 86400.0


def wait_for(cell: Cell, timeout: float | None = None, *, told: bool = False) -> bool:
    """Wait until the batch has an outcome (with `told`: and its callbacks have run); Ctrl-C interrupts.

    False where `timeout` (seconds) ended first.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while not (cell.told if told else cell.done):
        left = _LONGEST if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return False
        lock = _thread.allocate_lock()
        lock.acquire()
        release = waking(lock.release)
        try:
            if cell.notify(release, told=told):
                lock.acquire(True, min(left, _LONGEST))
        finally:
            cell.forget(release, told=told)
    return True


class Waits:
    """An accumulator's, where threads wait for it. The IO thread never does: it would wait for itself."""

    __slots__ = ("callbacks", "io_thread")

    def __init__(self) -> None:
        self.io_thread = 0  # its identifier; 0 for none
        greenlets = hub()
        # Where those do not run on the IO thread.
        self.callbacks = None if greenlets is None else greenlets.callbacks()

    def is_io_thread(self) -> bool:
        """Whether the caller is the IO thread, or a callback, which counts as that wherever it runs."""
        return self.io_thread == get_ident() or (self.callbacks is not None and self.callbacks.is_current())

    def get(self, cell: Cell, timeout: float | None) -> bool:
        self._refuse_on_io_thread("get() was called")
        return wait_for(cell, timeout)

    def in_loop(self, cell: Cell) -> Generator[Any, None, None]:
        self._refuse_on_io_thread("a future is awaited")
        return wait_in_loop(cell.notify, cell.forget)

    def _refuse_on_io_thread(self, what: str) -> None:
        if self.is_io_thread():
            raise IllegalStateError(
                f"{what} in a callback, on the thread that has to bring the answer: it would wait for ever. "
                "Use add_callback, or hand the future to another thread."
            )


class WaitingProducer(ProducerBase):
    """`send` and `send_many` wait, at most `max_block` seconds for memory."""

    def __init__(self, accumulator: Accumulator, *, max_block: float = 60.0, **options: Any) -> None:
        self._max_block = max_block
        super().__init__(accumulator, **options)

    # What KafkaProducer provides.

    def _takes_records_again(self) -> bool:
        """Whether records are taken after all: after a fork it starts again, with a new accumulator."""
        return False

    def _refuse(self) -> NoReturn:
        """Raise what says why no record is taken any more."""
        raise NotImplementedError

    def _await_partitions(self, topic: str, least: int) -> None:
        """Wait until the accumulator knows `least` partitions of `topic`, or raise."""
        raise NotImplementedError

    def _trouble(self) -> str:
        """What is known to be wrong, for the end of an error message."""
        return ""

    def _defer(self, record: Deferred) -> None:
        """Have the IO thread, which this is, put the record in its place once there is one."""
        raise NotImplementedError

    def _wait(self, unsent: Unsent) -> FutureRecordMetadata | FutureRecords | None:
        if unsent.closed:
            if not self._takes_records_again():
                self._refuse()
        elif unsent.partitions is None:
            self._await_memory(unsent)
        elif unsent.accumulator.waits.is_io_thread() and unsent.accumulator.partition_count(unsent.partitions) < 1:
            # It is the one that learns of partitions, so it cannot wait for them.
            future = unsent.defer(self._defer)
            if future is None:
                self._refuse_memory(unsent.accumulator)
            return future
        else:
            self._await_partitions(unsent.partitions, unsent.least)
        return None

    def _refuse_memory(self, accumulator: Accumulator) -> NoReturn:
        raise KafkaTimeoutError(
            f"send() in a callback found buffer_memory ({accumulator.memory} bytes) full; it cannot wait there,"
            " as the thread that runs callbacks is the one that frees memory. Send from another thread."
        )

    def _await_memory(self, unsent: Unsent) -> None:
        accumulator = unsent.accumulator
        if accumulator.waits.is_io_thread():
            # It is the one that frees memory, so it cannot wait for its turn.
            if not unsent.take():
                self._refuse_memory(accumulator)
            return
        if not unsent.deadline:
            unsent.deadline = accumulator.now() + self._max_block
        lock = _thread.allocate_lock()
        lock.acquire()
        unsent.queue_up(waking(lock.release))
        while not (unsent.granted or accumulator.closed):  # which has its own reason: `try_again` finds it
            left = unsent.deadline - accumulator.now()
            if left > 0 and lock.acquire(True, min(left, _LONGEST)):
                return
            if left > _LONGEST or unsent.granted or accumulator.closed:
                continue
            raise KafkaTimeoutError(
                f"buffer_memory ({accumulator.memory} bytes) stayed full for max_block_ms ({self._max_block * 1000:.0f}"
                " ms): the brokers take records more slowly than send() brings them, or not at all. "
                f"{accumulator.used} bytes wait.{self._trouble()}"
            )
