"""Reading a range of offsets that ends: for jobs, and for the command line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from kafka._codec import ConsumerRecord
from kafka.structs import TopicPartition

if TYPE_CHECKING:
    from kafka.consumer.consumer import KafkaConsumer

INFINITY = float("inf")


class BoundedRead:
    """The records of partitions from where each begins to where it ended when this was made: see
    `KafkaConsumer.read_to_end`.

        for record in consumer.read_to_end({TopicPartition("flights", 0): 0}):
            ...

    Iterate it, or call `poll()` until `is_done`. It ends also where the last offsets have no records: those of aborted
    transactions, of markers, and those that compaction took. Then the consumer is at the ends, and reads on from there;
    before that, its own `poll()` goes no further either.

    `starts` and `ends` are offsets by partition, `total` how many lie between them, and `left` how many of those are
    still to come; offsets that have no record count in both.
    """

    def __init__(
        self, consumer: KafkaConsumer, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> None:
        self.starts = dict(starts)
        self.ends = dict(ends)
        self._consumer = consumer
        self._open = {tp for tp, start in starts.items() if start < ends[tp]}
        self._positions = dict(consumer._positions)
        for tp, start in starts.items():
            # Another range may have been left before its end, which is to hold up nobody.
            self._bound(tp, self.ends[tp] if self._open else INFINITY)
            consumer.seek(tp, start)

    def _bound(self, tp: TopicPartition, end: float) -> None:
        self._consumer._driver.call(partial(self._consumer._fetch.bound, self._positions[tp], end))

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to come."""
        return not self._open

    @property
    def total(self) -> int:
        return sum(max(0, self.ends[tp] - start) for tp, start in self.starts.items())

    @property
    def left(self) -> int:
        """Offsets; at most `total`."""
        return sum(self.ends[tp] - max(self._positions[tp].offset, self.starts[tp]) for tp in self._open)

    @property
    def is_current(self) -> bool:
        """Whether the consumer has these partitions and no others. A range ends early where it loses some."""
        return self._consumer._positions == self._positions

    def poll(self, timeout_ms: float = 0, max_records: int | None = None) -> dict[TopicPartition, list[ConsumerRecord]]:
        """As the consumer's `poll()`; returns at once when the last partition has come to its end."""
        deadline = time.monotonic() + timeout_ms / 1000
        consumer = self._consumer
        while self._open:
            heard = consumer._heard
            found = {
                tp: records
                for tp, given in consumer.poll(0, max_records).items()
                if (records := self._within(tp, given))
            }
            self._look()
            left = deadline - time.monotonic()
            if found or not self._open or left <= 0 or consumer._wakeups != heard:
                return found
            consumer._wait_for_more(left)
        return {}

    def __iter__(self) -> Iterator[ConsumerRecord]:
        # One at a time: what is left of them when the loop is is read next, and what is committed was handed out.
        consumer = self._consumer
        while self._open:
            fetched = consumer.current
            end = -1 if fetched is None else self.ends.get(fetched.position.partition, -1)
            while consumer.current is fetched and (record := consumer.next_at_hand()) is not None:
                if record.offset + 1 >= end:  # what comes behind it is not for this
                    self._look()
                if record.offset < end:
                    yield record
                if record.offset + 1 >= end:
                    break
            else:
                if consumer.current is fetched:  # otherwise the loop's body has read on
                    heard = consumer._heard
                    found = consumer._go_on(0)
                    self._look()
                    if found or not self._open:
                        continue
                    if consumer._wakeups != heard:
                        return
                    consumer._wait_for_more(INFINITY)

    def _within(self, tp: TopicPartition, records: list[ConsumerRecord]) -> list[ConsumerRecord]:
        end = self.ends.get(tp, -1)
        if records[-1].offset < end:
            return records
        return [record for record in records if record.offset < end]

    def _look(self) -> None:
        """Which partitions have come to their ends, or are gone?"""
        consumer = self._consumer
        for tp in list(self._open):
            position, end = self._positions[tp], self.ends[tp]
            if consumer._positions.get(tp) is not position:
                self._open.remove(tp)
            elif position.offset >= end or (position.nothing_until >= end and position.offset >= position.nothing_from):
                self._open.remove(tp)
                consumer.seek(tp, end)  # what was fetched behind it is let go of
        if not self._open:
            for tp in self.ends:
                self._bound(tp, INFINITY)


def bounded_read(
    consumer: Any,
    offsets: Mapping[TopicPartition, int],
    times: Mapping[TopicPartition, int],
    timeout_ms: float | None,
) -> BoundedRead:
    """See `KafkaConsumer.read_to_end`."""
    if both := offsets.keys() & times.keys():
        raise ValueError(f"an offset and a time are given for {next(iter(both))}")
    partitions = [*offsets, *times]
    for tp, offset in offsets.items():
        if not isinstance(offset, int) or offset < 0:
            raise ValueError(f"the offset for {tp} must be a whole number of 0 or more: {offset!r}")
    found = consumer.offsets_for_times(times, timeout_ms)
    ends = consumer.end_offsets(partitions, timeout_ms)
    beginnings = consumer.beginning_offsets(offsets, timeout_ms)
    starts = {tp: min(max(offset, beginnings[tp]), ends[tp]) for tp, offset in offsets.items()}
    for tp, place in found.items():
        starts[tp] = ends[tp] if place is None else min(place.offset, ends[tp])
    consumer.assign(partitions)
    return BoundedRead(consumer, starts, ends)
