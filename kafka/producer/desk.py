"""What a producer's threads share with its IO thread, as the driver uses it: the accumulator."""

from __future__ import annotations

from kafka._codec import Accumulator
from kafka.drivers.native import get_ident
from kafka.errors import KafkaError


class ProducerDesk:
    """Implements `kafka.drivers.base.Desk`."""

    def __init__(self, accumulator: Accumulator) -> None:
        self._accumulator = accumulator
        self.sleep = accumulator.sleep
        self.awake = accumulator.awake
        self.after_turn = accumulator.wake_waiters
        self.close = accumulator.close

    def begin(self) -> None:
        self._accumulator.waits.io_thread = get_ident()

    def abandon(self, error: KafkaError) -> None:
        for batch in self._accumulator.take_expired(float("inf")):
            batch.fail(error)
        for cell in self._accumulator.unresolved():
            cell.give_up(error)
        self._accumulator.waits.io_thread = 0
        self._accumulator.let_go()
