"""Large values stay where they are: what is on the wire, what holds them for how long, what they count as."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest
from tls_link import ID, Link

from kafka._codec import Batch
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.producer.desk import ProducerDesk
from kafka.protocol import ProduceRequest, encode_request
from kafka.records.compression import Codec
from tests.producer.test_accumulator import KIB, MIB, Setup, records_of

LARGE = 100 * KIB
NEVER = 1 << 40


class Watched:
    """How many references there are to each of these that were not there when this was made."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values  # a list, as arguments have references of their own
        self.before = self.count()

    def count(self) -> list[int]:
        return [sys.getrefcount(value) for value in self.values]

    def held(self) -> list[int]:
        return [now - before for now, before in zip(self.count(), self.before, strict=True)]


def one_batch(it: Setup) -> Batch:
    it.accumulator.make_all_ready()
    [batch] = it.pull_all()
    return batch


def request(*batches: Batch) -> list[Any]:
    """The buffers of a request with these batches."""
    data = [ProduceRequest.PartitionProduceData(index=i, records=batch) for i, batch in enumerate(batches)]
    topics = [ProduceRequest.TopicProduceData(name="t", partition_data=data)]
    return encode_request(ProduceRequest(acks=-1, timeout_ms=1000, topic_data=topics), 9, 7, "me").unwrap()


@pytest.mark.parametrize("seed", range(20))
def test_batches_are_those_that_copies_make(seed: int) -> None:
    sizes = (1, 30, 500, 1500, 8 * KIB - 1, 8 * KIB, 20 * KIB, 60 * KIB, 300 * KIB)
    made = []
    for by_reference in (NEVER, 1, 1000, 8 * KIB):
        choose = random.Random(seed)
        size = choose.choice((0, 16 * KIB, 128 * KIB))
        it = Setup(memory=128 * MIB, linger=3600.0, by_reference=by_reference, batch_size=size)
        it.accumulator.set_partition_count("t", 1)
        for _ in range(60):
            it.host.wall_ms += choose.randrange(1000)
            it.send(
                "t",
                choose.randbytes(choose.choice(sizes)) if choose.random() < 0.9 else None,
                choose.randbytes(choose.choice((1, 20, 2000))),
                [("h", choose.randbytes(choose.choice((3, 3000))))] if choose.random() < 0.3 else None,
            )
        it.accumulator.make_all_ready()
        batches = it.pull_all()
        for number, batch in enumerate(batches):
            batch.stamp(11, 2, number, transactional=bool(seed % 2))
        made.append([(bytes(batch), batch.size, batch.records, b"".join(request(batch))) for batch in batches])
        for data, size, _, _ in made[-1]:
            assert len(data) == size
        for batch in batches:
            assert records_of(batch)  # its checksum is right
            batch.complete(0)
        del batch
        batches.clear()
        assert it.accumulator.used == 0
    assert made[0] == made[1] == made[2] == made[3]


def test_a_request_has_the_value_itself() -> None:
    it = Setup()
    value = bytes(LARGE)
    it.send("t", value)
    batch = one_batch(it)
    batch.stamp()
    buffers = request(batch)
    assert sum(buffer is value for buffer in buffers) == 1
    assert value in b"".join(buffers)


def test_a_value_is_held_until_its_batch_has_its_outcome_and_no_request_can_be_read() -> None:
    it = Setup()
    value = random.Random(1).randbytes(LARGE)
    watched = Watched([value])
    it.send("t", value)
    assert watched.held() == [1]
    batch = one_batch(it)
    batch.stamp(1, 0, 0)
    sent = request(batch)
    first = b"".join(sent)
    del sent  # it is written, but not acknowledged
    assert watched.held() == [1]
    again = request(batch)
    assert b"".join(again) == first
    assert watched.held() == [2] and it.accumulator.used >= LARGE
    batch.complete(0)
    del batch
    assert watched.held() == [1] and b"".join(again) == first
    again.clear()
    assert watched.held() == [0] and it.accumulator.used == 0


def test_nobody_else_need_keep_it() -> None:
    it = Setup(linger=3600.0)
    source = random.Random(2)
    for _ in range(20):
        it.send("t", source.randbytes(10 * KIB))
    again = random.Random(2)
    expected = [again.randbytes(10 * KIB) for _ in range(20)]
    assert [record.value for record in records_of(one_batch(it))] == expected


def test_what_a_request_can_still_read_stays_when_its_batch_is_stamped_again() -> None:
    it = Setup(linger=3600.0)
    value = random.Random(3).randbytes(LARGE)
    watched = Watched([value])
    it.send("t", b"small" * 500)  # more than a piece that would be copied into the request
    it.send("t", value)
    batch = one_batch(it)
    batch.stamp(1, 0, 0)
    sent = request(batch)
    before = b"".join(sent)
    batch.stamp(2, 5, 77)
    assert b"".join(sent) == before
    assert b"".join(request(batch)) != before
    assert [record.value for record in records_of(batch)] == [b"small" * 500, value]
    batch.complete(0)
    del batch
    sent.clear()
    assert watched.held() == [0] and it.accumulator.used == 0


def test_a_batch_in_pieces_is_split() -> None:
    it = Setup(linger=3600.0)
    values = [random.Random(number).randbytes(20 * KIB) for number in range(10)]
    watched = Watched(values)
    it.producer.send_many("t", values)
    assert watched.held() == [1] * 10
    batch = one_batch(it)
    assert batch.records == 10
    parts = batch.split(batch.size // 2)
    del batch
    assert len(parts) >= 2
    assert [record.value for part in parts for record in records_of(part)] == values
    for part in parts:
        part.complete(0)
    del part
    parts.clear()
    assert it.accumulator.used == 0 and watched.held() == [0] * 10


class Bytes(bytes):
    pass


class Stubborn(Bytes):
    """What `bytes()` makes of it is not exactly that."""

    def __bytes__(self) -> bytes:
        return self


@pytest.mark.parametrize("kind", [bytearray, Bytes, Stubborn, lambda data: memoryview(bytearray(data))])
def test_what_may_change_is_copied(kind: Any) -> None:
    it = Setup()
    data = random.Random(4).randbytes(LARGE)
    value = kind(data)
    watched = Watched([value])
    it.send("t", value)
    assert watched.held() == [0]
    if not isinstance(value, Bytes):
        value[:] = bytes(LARGE)
    assert [record.value for record in records_of(one_batch(it))] == [data]


def test_what_is_compressed_or_small_is_copied() -> None:
    for options, size in (({"codec": Codec("gzip")}, LARGE), ({}, 1000)):
        it = Setup(**options)  # type: ignore[arg-type]
        value = bytes(size)
        watched = Watched([value])
        it.send("t", value)
        assert watched.held() == [0]


def test_values_count_as_used_memory() -> None:
    it = Setup(memory=MIB, linger=3600.0)
    values = [bytes(LARGE + number) for number in range(20)]
    watched = Watched(values)
    accepted = 0
    with pytest.raises(KafkaTimeoutError):
        while True:
            it.send("t", values[accepted])
            accepted += 1
    assert accepted == 10 and 10 * LARGE < it.accumulator.used <= MIB
    assert watched.held() == [1] * 10 + [0] * 10
    it.accumulator.make_all_ready()
    batches = it.pull_all()
    assert it.accumulator.used > 10 * LARGE
    for batch in batches:
        batch.complete(0)
    del batch
    batches.clear()
    assert it.accumulator.used == 0


def test_one_that_fits_to_the_byte_is_taken() -> None:
    it = Setup(memory=LARGE, linger=3600.0)
    sizes = [size for size in range(LARGE - 100, LARGE) if taken(it, size)]
    assert sizes == list(range(LARGE - 100, sizes[-1] + 1))
    copied = Setup(memory=LARGE, linger=3600.0, by_reference=NEVER)
    assert [size for size in range(LARGE - 100, LARGE) if taken(copied, size)] == sizes


def taken(it: Setup, size: int) -> bool:
    try:
        it.send("t", bytes(size))
    except KafkaError:
        return False
    one_batch(it).complete(0)
    return True


@pytest.mark.parametrize("end", ["closed", "forked"])
def test_who_is_gone_holds_nothing(end: str) -> None:
    it = Setup(linger=3600.0)
    value = bytes(LARGE)
    watched = Watched([value])
    for topic in ("t", "u"):
        for _ in range(5):
            it.send(topic, value)
    it.accumulator.make_all_ready()
    [queue, *_] = it.ready()
    batch = queue.pull(it.host.now)
    assert batch is not None and watched.held() == [10]
    del batch, queue, _
    if end == "forked":
        it.accumulator.abandon(KafkaError("forked"))
    it.accumulator.close()
    ProducerDesk(it.accumulator).abandon(KafkaError("over"))
    assert it.accumulator.used == 0 and watched.held() == [0]


def test_pieces_are_encrypted(secured: Link) -> None:
    it = Setup(linger=3600.0)
    it.accumulator.set_partition_count("t", 1)
    value = random.Random(5).randbytes(20 * KIB)
    watched = Watched([value])
    for number in range(4):
        it.send("t", value, b"%d" % number)
    batch = one_batch(it)
    batch.stamp()
    buffers = request(batch)
    data = b"".join(buffers)
    secured.turn.send(ID, buffers)
    del buffers
    assert watched.held()[0] >= 4
    received = b""
    for _ in range(1000):
        secured.run(0.01)
        secured.peer.take()
        received += secured.peer.plain()
        if len(received) >= len(data):
            break
    assert received == data
    batch.complete(0)
    del batch
    secured.run(0)
    assert watched.held() == [0] and it.accumulator.used == 0
