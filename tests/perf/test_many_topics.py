"""What a record costs its sender when 10,000 topics take turns, as a ratio to one topic in the same process."""

from __future__ import annotations

import gc
import time

import pytest

from kafka._codec import Accumulator, ManualHost, ProducerBase

pytestmark = pytest.mark.timing

TOPICS = 10_000
VALUE = bytes(100)


class Sending:
    """Rounds of some turns of 10,000 records to these topics, one after the other; then all batches are taken."""

    def __init__(self, topics: list[str], turns: int) -> None:
        self.host = ManualHost()
        self.host.now = 100.0
        self.accumulator = Accumulator(self.host, memory=32 << 20, linger=0.005, delivery_timeout=120.0)
        self.producer = ProducerBase(self.accumulator)
        self.turn = topics * (TOPICS // len(topics))
        self.best = [float("inf")] * turns  # seconds of processor time, of each turn in a round

    def round(self) -> None:
        send = self.producer.send
        for number in range(len(self.best)):
            start = time.thread_time()
            for topic in self.turn:
                send(topic, VALUE)
            self.best[number] = min(self.best[number], time.thread_time() - start)
        self.host.now += 1
        for queue in self.accumulator.take_ready(self.host.now):
            while (batch := queue.pull(self.host.now)) is not None:
                batch.complete(0)

    def nanoseconds(self) -> float:
        """For a record. The best of each turn counts: who else uses the machine empties its caches meanwhile."""
        return sum(self.best) / (len(self.best) * TOPICS) * 1e9


@pytest.mark.parametrize("records_per_batch", [1, 5, 10])
def test_sending_to_10_000_topics_in_turn(records_per_batch: int) -> None:
    one = Sending(["topic"], records_per_batch)
    many = Sending([f"topic-{number}" for number in range(TOPICS)], records_per_batch)
    gc.collect()
    for rounds in range(150):
        one.round()
        many.round()
        # On a busy machine it takes more rounds until each turn had the caches for itself once.
        if rounds >= 20 and many.nanoseconds() <= 2.4 * one.nanoseconds():
            break
    ratio = many.nanoseconds() / one.nanoseconds()
    print(f"{one.nanoseconds():.0f} ns a record for one topic, {ratio:.2f} times that for {TOPICS}")
    assert ratio <= 2.5
