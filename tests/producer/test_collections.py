"""The garbage collector may run at any allocation, and a finalizer may let any other thread go on."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from kafka._codec import Accumulator, Batch, FutureRecordMetadata, ManualHost, ProducerBase
from kafka.errors import KafkaError


class WhenCollected:
    """Garbage that does something when the collector finds it."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.me = self

    def __del__(self) -> None:
        self.action()


def sent() -> tuple[Accumulator, FutureRecordMetadata, Batch]:
    accumulator = Accumulator(ManualHost(), memory=1 << 20, linger=0.0, delivery_timeout=1.0)
    future = ProducerBase(accumulator).send("t", b"x")
    (queue,) = accumulator.take_ready(0.0)
    batch = queue.pull(0.0)
    assert batch is not None
    batch.bind(0)
    return accumulator, future, batch


@pytest.mark.parametrize("fails", [False, True])
def test_a_callback_is_never_lost_to_a_collection(fails: bool) -> None:
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()  # what other tests have left need not be gone through at each collection
    try:
        for threshold in range(1, 60):  # the collection strikes at each allocation of add_both() in turn
            gc.disable()
            accumulator, future, batch = sent()
            error = KafkaError("no")
            WhenCollected(lambda batch=batch, error=error: batch.fail(error) if fails else batch.complete(7))
            called: list[Any] = []
            gc.set_threshold(threshold)
            gc.enable()
            future.add_both(called.append)
            gc.collect()
            gc.set_threshold(*before)
            assert called == [future.exception if fails else future.value], threshold
            assert future.is_done and accumulator.failures == {}
    finally:
        gc.set_threshold(*before)
        gc.enable()
        gc.unfreeze()
