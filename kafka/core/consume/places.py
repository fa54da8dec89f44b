"""Where a partition is read from, where nobody gave an offset, or nothing is at it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from kafka.core.consume import offsets
from kafka.core.consume.offsets import EARLIEST, LATEST, list_offsets
from kafka.core.consume.partition import FetchPartition
from kafka.core.consume.states import FetchEvent, FetchState
from kafka.core.flows import Task
from kafka.errors import KafkaError, LogTruncationError, NoOffsetForPartitionError, OffsetOutOfRangeError
from kafka.result import Err

if TYPE_CHECKING:
    from kafka.core.consume.fetch import Fetch


class Places:
    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._wanted: dict[FetchPartition, None] = {}  # those that are to be looked up with the next tick

    @property
    def is_due(self) -> bool:
        return bool(self._wanted)

    def forget(self, partition: FetchPartition) -> None:
        self._wanted.pop(partition, None)

    def look_up(self, partition: FetchPartition, time: int | None, now: float) -> None:
        """Go on at a time (see `offsets`); None: where the policy says, if it says anything."""
        if time is None:
            if self._fetch.config.reset is None:
                self._get_stuck(partition, NoOffsetForPartitionError(_named(partition)))
                return
            time = self._fetch.config.reset()
        partition.start_time = time
        partition.handle(FetchEvent.LOOK_UP)
        self._want(partition)
        self._fetch.leave(partition)

    def led(self, partition: FetchPartition) -> None:
        """It has another leader, or its first one."""
        if partition.state is FetchState.LOOKING_UP:
            self._want(partition)

    def _want(self, partition: FetchPartition) -> None:
        if partition.leader >= 0:  # else it is asked about as soon as one is known
            self._wanted[partition] = None

    def out_of_range(self, partition: FetchPartition, now: float) -> None:
        """There is nothing at the offset that is next: retention has taken it, or the log ends before it."""
        if partition.buffered > 0:
            self._fetch.retry(partition, now)  # what the reader still has is not lost; it comes to this by itself
        elif partition in self._fetch.bounded:  # what is left of the range
            partition.position.move(-1, -1)
            self.look_up(partition, EARLIEST, now)
        elif self._fetch.config.reset is None:
            self._get_stuck(partition, OffsetOutOfRangeError({partition.tp: partition.next_offset}))
        else:
            partition.position.move(-1, -1)
            self.look_up(partition, None, now)

    def made_anew(self, partition: FetchPartition, now: float) -> None:
        """Another topic has the name: an offset of the former one means nothing there."""
        tp = partition.tp
        if partition.state is not FetchState.FETCHING:
            return
        self._fetch.services.notice(
            "warning",
            f"Topic {tp.topic} was deleted and made anew: partition {tp.partition} is not read from offset"
            f" {partition.position.offset}, which was the former topic's.",
        )
        partition.position.move(-1, -1)
        if self._fetch.config.reset is None:
            self._get_stuck(partition, OffsetOutOfRangeError({tp: partition.next_offset}))
        else:
            self.look_up(partition, EARLIEST, now)  # all of it came after what was read

    def truncated(self, partition: FetchPartition, end: int, epoch: int, now: float) -> None:
        """A new leader does not have what was fetched from this offset on (KIP-320): go back to where its log agrees.

        `epoch` is that of the last record before it, which shows whether that is lost, too, before more is read.
        """
        tp, position = partition.tp, partition.position
        read = position.offset
        if read > end and self._fetch.config.reset is None:
            self._get_stuck(partition, LogTruncationError({tp: end}))
            return
        if read > end:
            self._fetch.services.notice(
                "warning",
                f"Records {end} to {read - 1} of {tp.topic}[{tp.partition}] were read and are no more: the log was"
                f" truncated when its leader changed. Reading goes on at {end}.",
            )
        # What is there may be of an earlier epoch than what was read: then that is what it goes on from.
        at, epoch = (end, epoch) if end <= read else (read, min(position.leader_epoch, epoch))
        self._fetch.place(position, position.move(at, epoch), at, epoch, now)

    def _get_stuck(self, partition: FetchPartition, error: KafkaError) -> None:
        partition.handle(FetchEvent.LOST)
        self._fetch.leave(partition)
        self._fetch.fail(partition, error)

    def ask(self, now: float) -> None:
        """Ask the leaders about those that are due: each for itself, so that nobody waits for another one's answer."""
        wanted, self._wanted = self._wanted, {}
        led: dict[int, dict[FetchPartition, _Asked]] = {}
        for partition in wanted:
            led.setdefault(partition.leader, {})[partition] = _asked(partition)
        services, isolation = self._fetch.services, self._fetch.config.isolation
        for asked in led.values():
            times = {partition.tp: partition.start_time for partition in asked}
            flow = list_offsets(services, times, isolation, now, services.config.request_timeout, once=True)
            Task(flow, partial(self._found, asked)).start(now)

    def _found(self, asked: dict[FetchPartition, _Asked], places: offsets.Places, now: float) -> None:
        services = self._fetch.services
        for partition, before in asked.items():
            if not self._is_looking(partition, before):
                continue
            position, place = partition.position, places[partition.tp]
            if isinstance(place, Err):
                pause = services.config.retry_backoff
                if place.error.retriable:
                    services.metadata.refresh(partition.tp.topic, now)
                else:
                    self._fetch.fail(partition, place.error)
                    pause = services.config.retry_backoff_max
                services.timers.at(now + pause, partial(self._look_again, partition, before))
            elif place.value.offset < 0:  # no record is that young
                self.look_up(partition, LATEST, now)
            elif position.settle(before.generation, place.value.offset):
                partition.next_offset = place.value.offset
                partition.epoch = place.value.epoch
                partition.handle(FetchEvent.FOUND)
                self._fetch.deliveries.tell()  # somebody may wait for the position itself
                self._fetch.moved(partition, now)

    def _is_looking(self, partition: FetchPartition, asked: _Asked) -> bool:
        """Whether it has neither been sent elsewhere since, nor been asked about anew."""
        return (
            self._fetch.partitions.get(partition.tp) is partition
            and partition.state is FetchState.LOOKING_UP
            and _asked(partition) == asked
        )

    def _look_again(self, partition: FetchPartition, asked: _Asked, now: float) -> None:
        if self._is_looking(partition, asked):
            self._want(partition)


class _Asked(NamedTuple):
    generation: int
    time: int
    leader: int
    leader_epoch: int


def _asked(partition: FetchPartition) -> _Asked:
    return _Asked(partition.position.generation, partition.start_time, partition.leader, partition.leader_epoch)


def _named(partition: FetchPartition) -> str:
    return f"{partition.tp.topic}[{partition.tp.partition}]"
