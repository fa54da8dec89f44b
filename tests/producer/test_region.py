"""The memory of batches: blocks of all sizes from one region, which never overlap and join again."""

from __future__ import annotations

import random
import re
from contextlib import suppress
from pathlib import Path

import pytest

from kafka._codec import Batch, Queue
from kafka.errors import KafkaTimeoutError
from tests.producer.test_accumulator import KIB, MIB, Setup, records_of

MEMORY = 4 * MIB


@pytest.mark.parametrize("batch_size", [0, 700, 3000, 70_000, MIB])
def test_blocks_never_overlap_and_join_again(batch_size: int) -> None:
    it = Setup(memory=MEMORY, linger=60.0, batch_size=batch_size)
    randomness = random.Random(batch_size)
    it.accumulator.set_partition_count("t", 7)
    sent: dict[int, list[bytes]] = {partition: [] for partition in range(7)}  # what is not in a batch of `held` yet
    held: list[tuple[Batch, list[bytes]]] = []
    most = outside = 0

    def take() -> None:
        it.accumulator.make_all_ready()
        for queue in it.ready():
            while (batch := queue.pull(it.host.now)) is not None:
                values = sent[batch.partition]
                held.append((batch, values[: batch.records]))
                del values[: batch.records]

    def let_go() -> None:
        batch, values = held.pop(randomness.randrange(len(held)))
        assert [record.value for record in records_of(batch)] == values
        batch.complete(0)

    for number in range(20_000):
        partition = randomness.randrange(7)
        value = b"%d " % number * randomness.choice((1, 10, 100, 400))
        it.send("t", value, partition=partition)
        sent[partition].append(value)
        if randomness.random() < 0.02:
            take()
        while it.accumulator.used > 3 * MIB or (held and randomness.random() < 0.03):
            take()
            let_go()
        most, outside = max(most, it.accumulator.used), max(outside, it.accumulator.outside)
    assert most > 2 * MIB
    assert batch_size == 700 or outside < MEMORY // 20  # of such small ones, each wastes a third of its block
    take()
    while held:
        let_go()
    assert it.accumulator.used == it.accumulator.outside == 0
    for _ in range(4):  # only blocks that are whole again have room for these
        it.send("t", bytes(MIB - 100), partition=0)
    assert it.accumulator.used > MEMORY - KIB and it.accumulator.outside == 0


def test_full_of_batches_that_wait_while_others_come_and_go_it_has_room() -> None:
    it = Setup(memory=16 * MIB)
    randomness = random.Random(1)
    it.accumulator.set_partition_count("t", 6)
    waiting: list[list[Queue]] = [[], [], []]  # for each leader
    sent: list[list[tuple[float, list[Batch]]]] = [[], [], []]  # to each leader, and when it answers
    most = outside = 0
    for step in range(8000):
        it.host.now += 0.002
        silent = step // 2000 % 3 if step % 2000 < 1500 else -1  # the leader that says nothing
        with suppress(KafkaTimeoutError):  # buffer_memory is full
            for partition in range(6):
                it.producer.send_many("t", [bytes(10)] * randomness.randrange(1500), partition=partition)
        for queue in it.ready():
            waiting[queue.partition % 3].append(queue)
        for leader in {0, 1, 2} - {silent}:
            requests = sent[leader]
            while requests and requests[0][0] <= it.host.now:
                for batch in requests.pop(0)[1]:
                    batch.complete(0)
            while len(requests) < 5 and waiting[leader]:
                batches = []
                for queue in waiting[leader][:]:
                    if (batch := queue.pull(it.host.now)) is None:
                        waiting[leader].remove(queue)
                    else:
                        batches.append(batch)
                if batches:
                    before = requests[-1][0] if requests else it.host.now
                    answer = before + randomness.uniform(0.002, 0.005) + sum(batch.size for batch in batches) / 12e6
                    requests.append((answer, batches))
        most, outside = max(most, it.accumulator.used), max(outside, it.accumulator.outside)
    assert most > 16 * MIB - KIB
    assert outside == 0


def test_what_no_block_can_hold_comes_from_elsewhere() -> None:
    it = Setup(memory=MEMORY, linger=0.0, max_request_size=3 * MIB, by_reference=4 * MIB)
    it.send("t", bytes(2 * MIB))
    assert it.accumulator.outside == it.accumulator.used > 2 * MIB
    [batch] = it.pull_all()
    assert len(records_of(batch)[0].value or b"") == 2 * MIB
    batch.complete(0)
    del batch
    assert it.accumulator.used == it.accumulator.outside == 0


def test_memory_too_small_for_a_region_is_as_good() -> None:
    it = Setup(memory=100 * KIB, linger=60.0)
    for _ in range(50):
        it.send("t", bytes(1000))
    assert 50 * KIB < it.accumulator.outside == it.accumulator.used <= 100 * KIB
    it.accumulator.begin_flush()
    for batch in it.pull_all():
        batch.complete(0)
    del batch
    assert it.accumulator.used == it.accumulator.outside == 0


@pytest.mark.parametrize(("memory", "batch_size"), [(500 * KIB, 300 * KIB), (16 * MIB, 3 * MIB)])
def test_where_blocks_are_too_small_or_none_a_batch_grows_all_the_same(memory: int, batch_size: int) -> None:
    it = Setup(memory=memory, linger=60.0, batch_size=batch_size, max_request_size=4 * MIB)
    for _ in range(batch_size // 1000):
        it.send("t", bytes(1000))
    it.accumulator.make_all_ready()
    batches = it.pull_all()
    assert max(batch.size for batch in batches) > batch_size - 2000


def resident() -> int:
    """Bytes of memory that this process has."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * KIB


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_region_takes_memory_only_as_it_is_used() -> None:
    before = resident()
    many = [Setup(memory=1024 * MIB) for _ in range(20)]
    for it in many:
        it.send("t", bytes(1000))
    assert resident() - before < 60 * MIB


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.timing
def test_records_that_wait_take_little_more_than_their_batches() -> None:
    it = Setup(memory=64 * MIB)
    it.accumulator.set_partition_count("t", 6)
    keys = [b"key %d" % number for number in range(500)]
    values = [bytes(10)] * 500
    before = resident()
    futures = [it.producer.send_many("t", values, keys=keys) for _ in range(2000)]
    more = resident() - before - it.accumulator.used
    assert not any(future.is_done for future in futures)
    assert more / 1_000_000 < 12  # bytes for each record; 18 were its sizes and its place alone
