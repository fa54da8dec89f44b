"""What a partition's leader does with the stamps of idempotent producers: one table, for real brokers and for models.

A row of the table is a short conversation with the leader of a partition of its own. It is a generator: at each
`yield` the leader restarts. What it sees is in `log.seen`, in order:

    "@12"     the batch was taken, or recognised; its base offset
    45        refused with this error
    (0, 9)    what DescribeProducers says of the producer: epoch and last sequence; None when it knows none

ROWS and RESTART_ROWS say what every row saw when it was measured, the same on all of VERSIONS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.testing.wire import batch

VERSIONS = ("4.3.0", "4.0.0", "3.9.1")

MAX_SEQUENCE = 2**31 - 1
DAY = 86_400_000
# No broker has given this one out.
NEVER_ALLOCATED = 2**40 + 7

Answer = tuple[int, int]
State = tuple[int, int]


def now() -> int:
    return int(time.time() * 1000)


class Log:
    """A partition as a row talks to it: through `append`, which answers a batch with (error code, base offset), and
    `describe`, which gives (epoch, last sequence) of a producer."""

    def __init__(
        self, producer_id: int, append: Callable[[bytes], Answer], describe: Callable[[int], State | None]
    ) -> None:
        self.producer_id = producer_id
        self.append = append
        self.describe = describe
        self.seen: list[Any] = []
        self.timestamp = now()

    def send(self, sequence: int, count: int = 1, *, epoch: int = 0) -> None:
        """One batch of `count` records. The same stamps give the same bytes."""
        stamps = {"pid": self.producer_id, "epoch": epoch, "sequence": sequence, "timestamp": self.timestamp}
        code, offset = self.append(batch(*[b"%d" % sequence] * count, **stamps))
        self.seen.append(code if code else f"@{offset}")

    def look(self) -> None:
        self.seen.append(self.describe(self.producer_id))


Row = Callable[[Log], Iterator[None]]
ROWS: dict[str, tuple[Row, list[Any]]] = {}
RESTART_ROWS: dict[str, tuple[Row, list[Any]]] = {}


def row(*seen: Any) -> Callable[[Callable[[Log], None]], Callable[[Log], None]]:
    """A row without a restart, and what it sees."""

    def register(function: Callable[[Log], None]) -> Callable[[Log], None]:
        def run(log: Log) -> Iterator[None]:
            function(log)
            yield from ()

        ROWS[function.__name__] = run, list(seen)
        return function

    return register


def restart_row(*seen: Any) -> Callable[[Row], Row]:
    """A row with one restart; the same is seen after a clean one and after SIGKILL."""

    def register(function: Row) -> Row:
        RESTART_ROWS[function.__name__] = function, list(seen)
        return function

    return register


@row("@0", "@1", 45)
def a_first_batch_may_have_any_sequence(log: Log) -> None:
    # With two in flight to a new partition, the second is taken if the first was refused (KAFKA-15591).
    log.send(7)
    log.send(8)
    log.send(0)


@row(*(f"@{offset}" for offset in (0, 2, 4, 6, 8, 10, 12)), "@12", "@10", "@8", "@6", "@4", 45, 45, "@14", 45)
def the_last_five_batches_are_recognised(log: Log) -> None:
    for sequence in (0, 2, 4, 6, 8, 10, 12):
        log.send(sequence, 2)
    for sequence in (12, 10, 8, 6, 4, 2, 0):
        log.send(sequence, 2)
    log.send(14, 2)
    log.send(4, 2)


@row("@0", "@3", 45, 45, 45, 45, 45, "@6")
def a_batch_is_recognised_by_both_its_ends(log: Log) -> None:
    log.send(0, 3)
    log.send(3, 3)
    log.send(3, 2)
    log.send(2, 3)
    log.send(4, 2)
    log.send(0, 6)
    log.send(5, 2)
    log.send(6)


@row("@0", 45, "@1", "@2", (0, 2))
def a_gap_is_refused_and_leaves_no_trace(log: Log) -> None:
    log.send(0)
    log.send(2)
    log.send(1)
    log.send(2)
    log.look()


@row("@0", "@1", 45, (0, 1), "@2", (0, 2), "@3", 47, 47, "@4", (1, 1))
def a_client_may_raise_its_epoch_alone_and_starts_at_0(log: Log) -> None:
    log.send(0)
    log.send(1)
    log.send(2, epoch=1)
    log.look()
    log.send(2)
    log.look()
    log.send(0, epoch=1)
    log.send(3)
    log.send(2)
    log.send(1, epoch=1)
    log.look()


@row("@0", "@1", 45, "@1", "@2", 47)
def epochs_may_be_skipped(log: Log) -> None:
    log.send(0)
    log.send(0, epoch=5)
    log.send(0, epoch=5, count=2)
    log.send(0, epoch=5)
    log.send(0, epoch=32767)
    log.send(1, epoch=5)


@row("@0", 47, 47, "@1", (3, 8))
def an_epoch_too_may_be_any_at_first(log: Log) -> None:
    log.send(7, epoch=3)
    log.send(0, epoch=2)
    log.send(8, epoch=2)
    log.send(8, epoch=3)
    log.look()


@row("@0", "@0", "@1", (0, 1))
def a_producer_id_needs_not_be_allocated(log: Log) -> None:
    log.producer_id = NEVER_ALLOCATED
    log.send(0)
    log.send(0)
    log.send(1)
    log.look()


@row("@0", None, "@1", "@2", (0, 6), (0, 0))
def producers_do_not_mix(log: Log) -> None:
    log.send(0)
    log.producer_id += NEVER_ALLOCATED
    log.look()
    log.send(5)
    log.send(6)
    log.look()
    log.producer_id -= NEVER_ALLOCATED
    log.look()


@row("@0", "@2", "@0", "@2", (0, 1))
def sequences_wrap_between_batches(log: Log) -> None:
    log.send(MAX_SEQUENCE - 1, 2)
    log.send(0, 2)
    log.send(MAX_SEQUENCE - 1, 2)
    log.send(0, 2)
    log.look()


@row("@0", "@5", "@5", 45, "@10", (0, 2))
def sequences_wrap_inside_a_batch(log: Log) -> None:
    log.send(MAX_SEQUENCE - 7, 5)
    log.send(MAX_SEQUENCE - 2, 5)
    log.send(MAX_SEQUENCE - 2, 5)
    log.send(MAX_SEQUENCE - 2, 4)
    log.send(2)
    log.look()


@row("@0", 87)
def sequences_wrap_to_0_and_not_to_the_smallest_number(log: Log) -> None:
    log.send(MAX_SEQUENCE)
    log.send(-(2**31))


@restart_row(*(f"@{offset}" for offset in range(5)), (0, 4), (0, 4), 45, 45, 45, 45, "@4", "@5", "@4", "@5", 45)
def a_restart_forgets_all_but_the_last_batch(log: Log) -> Iterator[None]:
    for sequence in range(5):
        log.send(sequence)
    log.look()
    yield
    log.look()
    for sequence in (0, 1, 2, 3, 4, 5, 4, 5, 3):
        log.send(sequence)


@restart_row("@0", "@1", 45, "@2", 47, (1, 0))
def epochs_outlive_a_restart(log: Log) -> Iterator[None]:
    log.send(0)
    log.send(1)
    yield
    log.send(2, epoch=1)
    log.send(0, epoch=1)
    log.send(2)
    log.look()


@restart_row("@0", (0, 2), "@0", "@6")
def a_restart_after_the_wrap(log: Log) -> Iterator[None]:
    log.send(MAX_SEQUENCE - 2, 6)
    yield
    log.look()
    log.send(MAX_SEQUENCE - 2, 6)
    log.send(3)


@restart_row("@0", "@1", (0, 1), None, "@2", "@3", (0, 1))
def a_restart_forgets_producers_of_old_timestamps(log: Log) -> Iterator[None]:
    # producer.id.expiration.ms counts from the timestamps in the batches. So does a check every ten minutes, without
    # any restart: what is sent again of records older than a day may be there twice, whatever a client does.
    log.timestamp -= 2 * DAY
    log.send(0)
    log.send(1)
    log.look()
    yield
    log.look()
    log.send(0)
    log.send(1)
    log.look()


def run(rows: dict[str, tuple[Row, list[Any]]], log: Callable[[], Log], restart: Callable[[], None]) -> dict[str, Any]:
    """What every one of `rows` saw, each on a new log, with one restart for all."""
    logs = {name: log() for name in rows}
    running = [function(logs[name]) for name, (function, _) in rows.items()]
    waiting = [generator for generator in running if next(generator, running) is not running]
    if waiting:
        restart()
    for generator in waiting:
        assert next(generator, running) is running, "a row has one restart"
    return {name: log.seen for name, log in logs.items()}
