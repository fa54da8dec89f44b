"""Where a consumer reads, and whether: positions that are moved, looked at, paused and resumed."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from kafka._codec import Fetched, ReadPosition
from kafka.consumer.questions import checked
from kafka.consumer.reading import Reading
from kafka.core.consume.fetch import Fetch
from kafka.core.consume.offsets import EARLIEST, LATEST
from kafka.errors import IllegalStateError
from kafka.structs import TopicPartition

if TYPE_CHECKING:
    from kafka.client import Client

    Base = Client
else:
    Base = object

# The longest a reader sleeps: a bound on how long a lost wake-up could go unnoticed.
LONGEST_SLEEP = 1.0
FOR_EVER = 1e9


class Places(Base):
    _positions: dict[TopicPartition, ReadPosition]
    _fetch: Fetch
    _reading: Reading
    current: Fetched | None

    def _position(self, tp: TopicPartition, error: type[Exception] = IllegalStateError) -> ReadPosition:
        if self._pid != os.getpid():
            self._start_in_child()
        position = self._positions.get(checked(tp))
        if position is None:
            raise error(
                f"{tp.topic}[{tp.partition}] is not assigned; assign it, or wait until subscribe() has brought it."
            )
        return position

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on at this offset."""
        if not isinstance(offset, int) or not 0 <= offset < 2**63:
            raise ValueError(f"offset must be a whole number of 0 or more, less than 2**63: {offset!r}")
        position = self._position(partition, ValueError)
        generation = position.move(offset, -1)
        self._driver.call(partial(self._fetch.place, position, generation, offset, -1))

    def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        """Read on at the first record there is; of all partitions that are read, where none is named."""
        self._seek_to(partitions, EARLIEST)

    def seek_to_end(self, *partitions: TopicPartition) -> None:
        """Read on with what comes from now on; of all partitions that are read, where none is named."""
        self._seek_to(partitions, LATEST)

    def _seek_to(self, partitions: tuple[TopicPartition, ...], place: int) -> None:
        for position in [self._position(tp, ValueError) for tp in partitions or self._positions]:
            generation = position.move(-1, -1)
            self._driver.call(partial(self._fetch.look_up, position, generation, place))

    def position(self, partition: TopicPartition, timeout_ms: float | None = None) -> int | None:
        """The offset of the next record of this partition; None where it is not known within `timeout_ms`.

        Raises what `poll()` would where there is none, such as NoOffsetForPartitionError.
        """
        position = self._position(partition)
        deadline = time.monotonic() + (FOR_EVER if timeout_ms is None else timeout_ms / 1000)
        while position.offset < 0:
            self._check_open()
            self._reading.raise_failure_of(position)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._reading.wait_for_place(min(left, LONGEST_SLEEP))
        return position.offset

    def pause(self, *partitions: TopicPartition) -> None:
        """Return no more records of these partitions until they are resumed."""
        self._pause(partitions, True)

    def resume(self, *partitions: TopicPartition) -> None:
        """Return records of these partitions again."""
        self._pause(partitions, False)
        self._reading.resumed()

    def _pause(self, partitions: tuple[TopicPartition, ...], paused: bool) -> None:
        for position in [self._position(tp, KeyError) for tp in partitions]:
            position.paused = paused
            self._driver.call(partial(self._fetch.reconsider, position))
        if paused and self.current is not None and self.current.position.paused:
            self._reading.put_back(self.current)
            self.current = None

    def _fetch_again(self, position: ReadPosition) -> None:
        """What was fetched of it is let go of; the rest is fetched from where the user is."""
        offset, epoch = position.offset, position.leader_epoch
        self._driver.call(partial(self._fetch.place, position, position.move(offset, epoch), offset, epoch))

    def _stop_fetching(self, position: ReadPosition) -> None:
        """The reader cannot get past what is next."""
        self._driver.call(partial(self._fetch.stop, position, position.generation))

    def paused(self) -> set[TopicPartition]:
        """The partitions that are paused."""
        return {tp for tp, position in self._positions.items() if position.paused}

    def highwater(self, partition: TopicPartition) -> int | None:
        """The offset after the last record that all replicas have, as of the last fetch; None before it."""
        known = self._position(partition).high_watermark
        return None if known < 0 else known
