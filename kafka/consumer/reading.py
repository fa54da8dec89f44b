"""The reader's side of fetching: what has arrived, partition by partition, and waiting for more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kafka._codec import ConsumerRecord, Fetched, ReadPosition, ReadRules
from kafka.core.consume.deliveries import Deliveries, Failure
from kafka.drivers.native import waking
from kafka.errors import KafkaError, RecordDeserializationError
from kafka.records.compression import CODECS
from kafka.records.decompression import MAX_DECOMPRESSED, decompress
from kafka.records.errors import CorruptBatchError
from kafka.result import Err
from kafka.serializer import Deserializer
from kafka.structs import TopicPartition


class Reading:
    """What one thread at a time reads. `wake` tells the IO thread that something came back; `fetch_again` has a
    partition fetched from where its reader is, `stop_fetching` no more of it until its position is moved.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        wake: Callable[[], None],
        fetch_again: Callable[[ReadPosition], None],
        stop_fetching: Callable[[ReadPosition], None],
    ) -> None:
        self._deliveries = deliveries
        self._wake = wake
        self._fetch_again = fetch_again
        self._stop_fetching = stop_fetching
        self._event = threading.Event()
        self._parked: list[Fetched] = []  # of paused partitions
        self._stuck: list[Failure] = []  # of partitions of which nothing more comes
        self._told = False  # the last call raised what is wrong: now it is the turn of the other partitions
        deliveries.tell = waking(self._event.set)

    def wait(self, seconds: float) -> None:
        """Until something arrives or `wake_up` is called; Ctrl-C interrupts."""
        self._event.wait(seconds)

    def wait_for_place(self, seconds: float) -> None:
        """Until something arrives, or where a partition begins has been found."""
        self._event.wait(seconds)
        self._event.clear()

    def raise_failure_of(self, position: ReadPosition) -> None:
        """Raise why nothing comes of this partition, if that is known; `next` goes on to tell it, too."""
        for found in (*self._stuck, *self._deliveries.arrived.copy()):
            if isinstance(found, Failure) and found.position is position and not found.is_stale:
                raise found.error.about(f"{position.partition.topic}[{position.partition.partition}]")

    def wake_up(self) -> None:
        self._event.set()

    def resumed(self) -> None:
        """A partition that was paused is read again."""
        parked = self._parked
        self._parked = [fetched for fetched in parked if fetched.position.paused and not fetched.is_stale]
        again = [fetched for fetched in parked if not fetched.position.paused or fetched.is_stale]
        self._deliveries.arrived.extendleft(reversed(again))  # in the order in which they came
        self._event.set()

    def next(self, quiet: bool = False) -> Fetched | None:
        """What to read on with, if anything has arrived; raises what is wrong with a partition, unless `quiet`."""
        self._event.clear()
        self._drop_stale()
        if not quiet:
            self.tell()
        while self._deliveries.arrived:
            arrived = self._deliveries.arrived.popleft()
            if isinstance(arrived, Failure):
                if not arrived.is_stale and not (arrived.sticks and self._is_stuck(arrived.position)):
                    self._stuck.append(arrived)
                    if not quiet:
                        self._raise()
            elif arrived.is_stale or self._is_stuck(arrived.position):
                self.done(arrived)
            elif arrived.position.paused:
                self._parked.append(arrived)
            else:
                return arrived
        if not quiet:
            self._raise()
        if self._parked and self._deliveries.is_starving:
            self._make_room()
        return None

    def tell(self) -> None:
        """Raise what is wrong with a partition, but after a call that did: then it is the turn of the others."""
        was_told, self._told = self._told, False
        if self._stuck and not was_told:
            self._drop_stale()
            self._raise()

    def _make_room(self) -> None:
        """Nothing comes because what paused partitions have holds all the memory: it is fetched again when resumed."""
        for position in {fetched.position for fetched in self._parked if not fetched.is_stale}:
            self._fetch_again(position)
        self._drop_stale()

    def done(self, fetched: Fetched) -> None:
        """Nothing of it is needed any more."""
        fetched.finish()
        self._deliveries.returned.append(fetched)
        self._wake()

    def broken(self, fetched: Fetched, error: KafkaError, is_told: bool) -> None:
        """Its next record cannot be had, for this reason, which the reader is told until it seeks; `is_told`: it is
        now. What was fetched is let go of: it would keep its memory from the others.
        """
        self._told = is_told
        with suppress(ValueError):
            self._deliveries.arrived.remove(fetched)  # put back by a deserializer that has paused its partition
        position = fetched.position
        if not fetched.is_stale:
            self._stuck.append(Failure(position, error.fresh(), sticks=True))
            self._stop_fetching(position)
        self.done(fetched)
        self._drop_stale()

    def _is_stuck(self, position: ReadPosition) -> bool:
        """Whether what comes after is of no use: the reader could not get past what was before it."""
        return any(failure.sticks and failure.position is position and not failure.is_stale for failure in self._stuck)

    def put_back(self, fetched: Fetched) -> None:
        """Read on with it later; before anything else."""
        self._deliveries.arrived.appendleft(fetched)

    def _raise(self) -> None:
        """What is wrong with a partition of which nothing can be had."""
        if self._stuck:
            failure = self._stuck.pop(0)
            if failure.sticks:
                self._stuck.append(failure)  # behind those of other partitions
            self._told = failure.is_told = True
            tp = failure.position.partition
            raise failure.error.about(f"{tp.topic}[{tp.partition}]")

    def _drop_stale(self) -> None:
        self._stuck = [failure for failure in self._stuck if not failure.is_stale]
        parked, self._parked = self._parked, []
        for fetched in parked:
            if fetched.is_stale or self._is_stuck(fetched.position):
                self.done(fetched)
            else:
                self._parked.append(fetched)


def rules(
    *,
    check_crc: bool,
    read_committed: bool,
    key_deserializer: Deserializer | None,
    value_deserializer: Deserializer | None,
) -> ReadRules:
    return ReadRules(
        check_crc=check_crc,
        read_committed=read_committed,
        header_memory=MAX_DECOMPRESSED,
        opened=_opened,
        legacy=_legacy,
        corrupt=_corrupt,
        undeserializable=_undeserializable,
        key_deserializer=None if key_deserializer is None else key_deserializer.deserialize,
        value_deserializer=None if value_deserializer is None else value_deserializer.deserialize,
    )


def _opened(codec: int, data: memoryview) -> Any:
    if codec >= len(CODECS):
        raise CorruptBatchError(f"is compressed with an unknown codec, number {codec}")
    result = decompress(CODECS[codec], data, MAX_DECOMPRESSED)
    if isinstance(result, Err):
        raise result.error
    return result.value


def _legacy(data: memoryview, check_crc: bool) -> Any:
    from kafka.records import read_batches

    batches = read_batches(bytes(data), check_crc=check_crc)
    return [record for batch in batches for record in batch.unwrap().records().unwrap()]


def _corrupt(what: str, partition: TopicPartition, offset: int) -> CorruptBatchError:
    return CorruptBatchError(what, partition.topic, partition.partition, offset)


def _undeserializable(record: ConsumerRecord, what: str, error: Exception) -> RecordDeserializationError:
    return RecordDeserializationError(record, what, f"{type(error).__name__}: {error}")
