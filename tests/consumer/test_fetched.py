"""From the bytes of an answer to records: order, filters, errors that name the place, and bytes that lie."""

from __future__ import annotations

import random
import struct
import threading
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest

from kafka._codec import (
    BATCH_COUNT,
    BATCH_CRC,
    BATCH_LAST_OFFSET_DELTA,
    BATCH_LENGTH,
    BATCH_MAGIC,
    ConsumerRecord,
    Fetched,
    scan_batches,
)
from kafka.errors import RecordDeserializationError, UnsupportedCodecError
from kafka.records.crc import crc32c
from kafka.records.errors import CorruptBatchError
from tests.consumer.batches import batch, fetched, values
from tests.records.test_batches import gzipped, message


def all_of(source: Fetched, most: int = 7) -> list[tuple[int, bytes]]:
    read = []
    while taken := source.take(most):
        read += [(record.offset, record.value) for record in taken]
    return read


def remade(data: bytes | bytearray) -> bytes:
    """With a checksum that fits."""
    found = bytearray(data)
    found[BATCH_CRC : BATCH_CRC + 4] = crc32c(memoryview(found)[BATCH_CRC + 4 :]).to_bytes(4, "big")
    return bytes(found)


def control(base: int, producer_id: int, committed: bool) -> bytes:
    key = struct.pack(">hh", 0, int(committed))
    options: dict[str, Any] = {"transactional": True, "control": True, "producer_id": producer_id, "producer_epoch": 0}
    return batch([(key, bytes(6), [])], base=base, **options)


@pytest.mark.parametrize("codec", ["none", "gzip", "lz4", "zstd", "snappy"])
def test_batches_of_every_codec(codec: str) -> None:
    data = values(b"a", b"b", codec=codec) + values(b"c", base=2) + values(b"d", b"e", base=3, codec=codec)
    source = fetched(data)
    assert all_of(source) == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d"), (4, b"e")]
    assert source.position.offset == 5


@pytest.mark.parametrize("position", [0, 2, 7])
@pytest.mark.parametrize("at", range(BATCH_CRC + 4, 77))
def test_a_bit_that_is_wrong_is_found_before_it_decides_anything(at: int, position: int) -> None:
    """That makes of records a marker, those of an aborted transaction, or ones that were read before, say."""
    first, second = values(b"a", b"b"), values(b"c", b"d", base=2, transactional=True, producer_id=7, producer_epoch=0)
    data = bytearray(first + second + values(b"e", base=4))
    for bit in range(8):
        data[len(first) + at] ^= 1 << bit
        for aborted in ([], [(7, 0)]):
            source = fetched(bytes(data), at=position, aborted=aborted, read_committed=True)
            read: list[int] = []
            with pytest.raises(CorruptBatchError, match="has CRC"):
                while taken := source.take(1):
                    read += [record.offset for record in taken]
            assert read == [0, 1][position:]
        data[len(first) + at] ^= 1 << bit


def test_a_position_that_is_moved_while_a_checksum_is_computed() -> None:
    """The bytes are many, so other threads run meanwhile; the batch is of an aborted transaction and passed over."""
    data = batch([(None, bytes(1 << 26), [])], transactional=True, producer_id=5, producer_epoch=0)
    for _ in range(5):
        source = fetched(data, aborted=[(5, 0)], read_committed=True)
        begin = threading.Event()

        def move(source: Fetched = source, begin: threading.Event = begin) -> None:
            begin.wait()
            source.position.move(0, 3)  # as where the log was found truncated

        thread = threading.Thread(target=move)
        thread.start()
        begin.set()
        source.take(1)
        thread.join()
        assert source.position.offset == 0


def test_a_last_offset_below_the_first() -> None:
    data = bytearray(values(b"a", b"b"))
    data[BATCH_LAST_OFFSET_DELTA : BATCH_LAST_OFFSET_DELTA + 4] = (-1).to_bytes(4, "big", signed=True)
    with pytest.raises(CorruptBatchError, match="has last offset delta -1"):
        fetched(remade(data)).take(1)


def test_from_within_a_batch() -> None:
    source = fetched(values(*b"abcdef"[0:0], b"a", b"b", b"c") + values(b"d", base=3), at=2)
    assert all_of(source) == [(2, b"c"), (3, b"d")]
    assert all_of(fetched(values(b"a", b"b") + values(b"c", base=2), at=2)) == [(2, b"c")]


def test_the_position_moves_with_each_record_and_past_what_compaction_took() -> None:
    first = bytearray(values(b"a", b"b", base=20))
    first[23:27] = (4).to_bytes(4, "big")  # 20..24, two records left
    empty = bytearray(batch([(None, b"x", [])], base=30)[:61])
    empty[BATCH_LENGTH : BATCH_LENGTH + 4] = (61 - 12).to_bytes(4, "big")
    empty[BATCH_COUNT : BATCH_COUNT + 4] = bytes(4)
    empty[23:27] = (2).to_bytes(4, "big")  # 30..32, none left
    source = fetched(remade(first) + remade(empty) + values(b"z", base=33))
    assert source.take(1)[0].offset == 20 and source.position.offset == 21
    assert source.take(1)[0].offset == 21 and source.position.offset == 25
    assert source.take(1)[0].offset == 33 and source.position.offset == 34
    source = fetched(remade(empty))
    assert source.take(1) == [] and source.position.offset == 33
    assert scan_batches(remade(first) + remade(empty)) == (33, 0, 2, 2)


def test_markers_are_stepped_over() -> None:
    source = fetched(values(b"a") + control(1, 7, True) + values(b"b", base=2) + control(3, 7, True))
    assert all_of(source) == [(0, b"a"), (2, b"b")]
    assert source.position.offset == 4


def test_records_of_aborted_transactions() -> None:
    def written(base: int, pid: int, value: bytes) -> bytes:
        return values(value, base=base, transactional=True, producer_id=pid, producer_epoch=0, base_sequence=0)

    data = (
        written(0, 1, b"aborted")
        + written(1, 2, b"kept")
        + control(2, 1, False)
        + written(3, 1, b"next of 1")
        + control(4, 1, True)
        + written(5, 2, b"also kept")
        + control(6, 2, True)
        + written(7, 1, b"aborted again")
        + values(b"plain", base=8)
        + control(9, 1, False)
    )
    aborted = [(1, 7), (1, 0)]
    kept = [(1, b"kept"), (3, b"next of 1"), (5, b"also kept"), (8, b"plain")]
    source = fetched(data, aborted=aborted, read_committed=True)
    assert all_of(source) == kept
    assert source.position.offset == 10
    assert len(all_of(fetched(data, aborted=aborted))) == 6  # read_uncommitted


def test_what_was_fetched_for_an_earlier_position_is_passed_over() -> None:
    source = fetched(values(b"a", b"b"))
    assert source.take(1)[0].value == b"a"
    source.position.move(0, -1)
    assert source.is_stale and source.take(1) == []
    assert source.position.offset == 0


def test_a_last_batch_that_is_cut() -> None:
    whole = values(b"a", b"b") + values(b"c", base=2)
    assert all_of(fetched(whole[:-1])) == [(0, b"a"), (1, b"b")]
    assert scan_batches(whole[:-1]) == (2, 0, 1, 2)
    assert scan_batches(whole[:20]) == (-1, -1, 0, 0)


def test_a_wrong_checksum_is_told_at_each_call_until_the_position_moves() -> None:
    data = bytearray(values(b"a") + values(b"b", base=1) + values(b"c", base=2))
    data[len(values(b"a")) + 65] ^= 1
    source = fetched(bytes(data))
    assert [record.value for record in source.take(5)] == [b"a"]
    for _ in range(3):
        with pytest.raises(CorruptBatchError, match=r"t\[0\] at offset 1 has CRC"):
            source.take(5)
    assert source.position.offset == 1
    assert len(all_of(fetched(bytes(data), check_crc=False), 1)) >= 1


def test_a_record_that_cannot_be_deserialized() -> None:
    def number(topic: str, headers: Any, data: bytes) -> int:
        return int(data)

    source = fetched(values(b"1", b"2", b"x", b"4"), value_deserializer=number)
    assert [record.value for record in source.take(10)] == [1, 2]
    for _ in range(2):
        with pytest.raises(
            RecordDeserializationError, match=r"value of the record at offset 2 of t\[0\].*ValueError"
        ) as caught:
            source.take(10)
    assert caught.value.record.value == b"x" and isinstance(caught.value.__cause__, ValueError)
    assert source.position.offset == 2
    with pytest.raises(RecordDeserializationError, match="The key of"):
        fetched(values(b"1"), key_deserializer=lambda *_: 1 / 0).take(1)


def test_a_deserializer_that_seeks() -> None:
    source = fetched(values(b"1", b"2", b"3"), value_deserializer=lambda *_: source.position.move(0, -1))
    assert len(source.take(5)) == 1 and source.position.offset == 0


def test_formats_of_old() -> None:
    for magic in (0, 1):
        data = b"".join(message(magic, offset, None, b"%d" % offset) for offset in range(3))
        first = 0 if magic else 3  # offsets within a set are relative from format v1 on
        inner = b"".join(message(magic, first + n, None, b"%d" % n) for n in range(2))
        data += message(magic, 4, None, gzipped(inner), 1)
        source = fetched(data, at=1)
        assert [value for _, value in all_of(source)] == [b"1", b"2", b"0", b"1"]
        assert source.position.offset == 5
        data = bytearray(data)
        data[16 + 4] ^= 1  # of the checksum
        with pytest.raises(CorruptBatchError, match=r"t\[0\] at offset 0 cannot be read"):
            fetched(bytes(data)).take(1)


# -- bytes that lie ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_every_prefix(codec: str) -> None:
    data = values(b"one", b"two", codec=codec) + batch([(b"k", b"v", [("h", b"x")])], base=2)
    for size in range(len(data)):
        read = all_of(fetched(data[:size]))
        assert len(read) in (0, 2), size


@pytest.mark.parametrize("seed", range(30))
def test_changed_bytes_never_crash_nor_hang(seed: int) -> None:
    chance = random.Random(seed)
    whole = batch([(b"k%d" % n, b"v" * n, [("h", b"x")] * (n % 3)) for n in range(20)])
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(12, len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        source = fetched(bytes(data), check_crc=False)
        read: list[ConsumerRecord] = []
        with suppress(CorruptBatchError):
            while taken := source.take(5):
                read += taken
                assert len(read) <= len(whole) // 7
        assert all(len(tuple(record)) == 13 for record in read)


def test_a_count_that_lies() -> None:
    for count in (-1, 1, 3, 2**31 - 1):
        data = bytearray(values(b"a", b"b"))
        data[BATCH_COUNT : BATCH_COUNT + 4] = count.to_bytes(4, "big", signed=True)
        with pytest.raises(CorruptBatchError, match=r"t\[0\] at offset 0"):
            all_of(fetched(remade(data)))


def test_the_answer_is_not_kept() -> None:
    """Each batch is bytes of its own, so that a record that is kept keeps that alone."""
    data = bytearray(values(b"a") + values(b"b", base=1))
    source = fetched(data)  # type: ignore[arg-type]
    data.clear()  # an error while anybody has a view
    assert [record.value for record in source.take(10)] == [b"a", b"b"]


def test_a_length_that_cannot_be_behind_a_batch_that_can() -> None:
    data = values(b"a") + bytes(8) + (3).to_bytes(4, "big") + bytes(100)
    source = fetched(data)
    assert [record.value for record in source.take(10)] == [b"a"]
    for _ in range(2):
        with pytest.raises(CorruptBatchError, match="has length 3"):
            source.take(10)


def test_a_magic_of_the_future_and_a_length_that_cannot_be() -> None:
    data = bytearray(values(b"a"))
    data[BATCH_MAGIC] = 3
    with pytest.raises(CorruptBatchError, match="unknown format, magic 3"):
        fetched(bytes(data)).take(1)
    data = bytearray(values(b"a"))
    data[BATCH_LENGTH : BATCH_LENGTH + 4] = (-5).to_bytes(4, "big", signed=True)
    with pytest.raises(CorruptBatchError, match="has length -5"):
        fetched(bytes(data)).take(1)
    assert scan_batches(bytes(data)) == (-1, -1, 0, 0)


def test_a_codec_that_nobody_knows() -> None:
    data = bytearray(values(b"a"))
    data[22] = 5
    with pytest.raises(CorruptBatchError, match="unknown codec, number 5"):
        fetched(remade(data)).take(1)


def test_headers_take_no_more_memory_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka.consumer.reading.MAX_DECOMPRESSED", 1_000_000)
    bomb = batch([(None, b"a", [("h", b"x")])] + [(None, b"b", [("", None)] * 9000)] * 3, codec="zstd")
    assert len(bomb) < 1000
    source = fetched(bomb)
    tracemalloc.start()
    kept = source.take(5)
    counts = [len(record.headers) for record in kept]
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts == [1, 9000] and taken < 1_200_000
    for _ in range(3):
        with pytest.raises(CorruptBatchError, match="take more than 1000000 bytes of memory") as caught:
            source.take(5)
        assert str(caught.value).endswith("Hint: Seek past this batch to read on.")
    assert source.position.offset == 2


def test_a_record_that_is_asked_for_again_and_again_takes_its_headers_memory_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kafka.consumer.reading.MAX_DECOMPRESSED", 1_000_000)

    def refuse(topic: str, headers: Any, data: bytes) -> bytes:
        raise ValueError("no")

    source = fetched(batch([(None, b"a", [("", None)] * 9000)]), value_deserializer=refuse)
    for _ in range(5):
        with pytest.raises(RecordDeserializationError):
            source.take(1)


def test_a_batch_that_decompresses_to_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka.consumer.reading.MAX_DECOMPRESSED", 1_000_000)
    with pytest.raises(CorruptBatchError, match="there are more") as caught:
        fetched(values(bytes(2_000_000), codec="zstd")).take(1)
    assert str(caught.value).endswith("Hint: Seek past this batch to read on.")


def test_a_codec_whose_package_is_missing(hide: Any) -> None:
    source = fetched(values(b"a", codec="snappy"))
    hide("cramjam", "snappy")
    for _ in range(2):
        with pytest.raises(UnsupportedCodecError, match=r"pip install 'kafka-turbo\[snappy\]'"):
            source.take(1)
    assert source.position.offset == 0
