"""Writing and reading batches; test_golden.py has what others wrote."""

import pickle
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka.errors import CorruptRecordError, KafkaError, UnsupportedCodecError
from kafka.records import CODECS, CorruptBatchError, Record, RecordBatchBuilder, read_batches
from kafka.records.crc import crc32c
from kafka.result import Err, Ok

NOW = 1_700_000_000_000

int64s = st.integers(-(2**63), 2**63 - 1)
maybe_bytes = st.none() | st.binary(max_size=200)
headers = st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=20), maybe_bytes), max_size=4)
rows_of_records = st.lists(
    st.tuples(st.integers(-1, 2**50), maybe_bytes, maybe_bytes, headers), min_size=1, max_size=30
)


def build(rows, *arguments, base_offset=0, log_append_time=None, **options):
    builder = RecordBatchBuilder(*arguments, **options)
    for row in rows:
        builder.append(*row)
    return builder.build(base_offset, log_append_time)


def one(data, **options):
    [result] = read_batches(data, **options)
    return result.unwrap()


def sealed(data):
    """A batch whose header or records were tampered with, with a CRC that is right."""
    data = bytearray(data)
    data[8:12] = struct.pack(">i", len(data) - 12)
    data[17:21] = struct.pack(">I", crc32c(memoryview(data)[21:]))
    return bytes(data)


ROWS = [(NOW, b"k", b"v", [("h", b"x"), ("é", None)]), (NOW - 5, None, b"", None), (NOW + 9, b"", None, [])]


def test_the_bytes_of_a_batch():
    # Written out by hand from the format's description.
    expected_records = (
        b"\x20\0\0\0\x02k\x02v\x04\x02h\x02x\x04\xc3\xa9\x01\x0c\0\x09\x02\x01\x00\x00\x0c\0\x12\x04\x00\x01\x00"
    )
    data = build(ROWS, base_offset=77, producer_id=5, producer_epoch=6, base_sequence=7)
    assert data[61:] == expected_records
    tail = struct.pack(">hiqqqhii", 0, 2, NOW, NOW + 9, 5, 6, 7, 3) + expected_records
    assert data[21:] == tail
    assert data[:21] == struct.pack(">qiibI", 77, 49 + len(expected_records), -1, 2, crc32c(tail))


@pytest.mark.parametrize("codec", CODECS)
@given(rows=rows_of_records, base_offset=st.integers(0, 2**62))
def test_round_trip(codec, rows, base_offset):
    batch = one(build(rows, codec, base_offset=base_offset))
    assert (batch.base_offset, batch.count, batch.compression) == (base_offset, len(rows), codec)
    found = batch.records().unwrap()
    assert [(r.offset, r.timestamp, r.timestamp_type, r.key, r.value, r.headers) for r in found] == [
        (base_offset + i, timestamp, 0, key, value, tuple(pairs))
        for i, (timestamp, key, value, pairs) in enumerate(rows)
    ]
    assert batch.max_timestamp == max(row[0] for row in rows)


@given(int64s, int64s)
def test_any_two_timestamps(first, second):
    found = one(build([(first, None, None), (second, None, None)])).records().unwrap()
    assert [r.timestamp for r in found] == [first, second]


@pytest.mark.parametrize("size", [0, 1, 52, 53, 54, 63, 64, 8180, 8192, 16383, 16384, 1 << 20, (1 << 20) + 17])
def test_sizes_around_the_varints(size):
    # For values around 64 and 8192 the length of the record itself grows by a byte.
    for key in (None, bytes(size)):
        [found] = one(build([(NOW, key, bytes(size), [("h" * size, bytes(size))])])).records().unwrap()
        assert (found.key, found.value, found.headers) == (key, bytes(size), (("h" * size, bytes(size)),))


def test_flags_and_fields():
    plain = one(build(ROWS))
    assert (plain.is_transactional, plain.is_control, plain.timestamp_type) == (False, False, 0)
    assert (plain.producer_id, plain.producer_epoch, plain.base_sequence, plain.leader_epoch) == (-1, -1, -1, -1)
    full = one(
        build(
            ROWS,
            "zstd",
            7,
            transactional=True,
            control=True,
            producer_id=2**62,
            producer_epoch=2**15 - 1,
            base_sequence=2**31 - 1,
            base_offset=100,
            log_append_time=NOW + 1000,
        )
    )
    assert (full.is_transactional, full.is_control, full.timestamp_type, full.compression) == (True, True, 1, "zstd")
    assert (full.producer_id, full.producer_epoch, full.base_sequence) == (2**62, 2**15 - 1, 2**31 - 1)
    assert (full.base_offset, full.last_offset, full.count, full.magic) == (100, 102, 3, 2)
    assert full.max_timestamp == NOW + 1000
    assert [(r.timestamp, r.timestamp_type) for r in full.records().unwrap()] == [(NOW + 1000, 1)] * 3
    assert repr(full) == (
        f"RecordBatch(magic=2, base_offset=100, last_offset=102, count=3, compression='zstd', size={full.size})"
    )


def test_the_builder_goes_on_after_build():
    builder = RecordBatchBuilder()
    assert builder.append(NOW, b"1", None) == 0
    first = builder.build()
    assert builder.append(NOW, bytearray(b"2"), memoryview(b"xyz")[1:2]) == 1
    assert (builder.count, len(builder)) == (2, len(builder.build()) - 61)
    assert one(first).count == 1
    assert [(r.key, r.value) for r in one(builder.build()).records().unwrap()] == [(b"1", None), (b"2", b"y")]


@pytest.mark.parametrize(
    ("given_", "error", "message"),
    [
        ({"a": b"b"}, TypeError, "headers must be a list of (str, bytes or None) tuples, not dict"),
        ([("a", b"b"), ["a", b"b"]], TypeError, "headers[1] must be a (str, bytes or None) tuple, not list"),
        ([("a", b"b", b"c")], TypeError, "headers[0] must be a (str, bytes or None) tuple, not a tuple of 3"),
        ([(b"a", b"b")], TypeError, "headers[0]: the key must be str, not bytes"),
        ([("a", b"b"), ("c", "d")], TypeError, "headers[1]: the value must be bytes or None, not str"),
        ([("\ud800", b"b")], ValueError, "headers[0]: the key '\\ud800' is not valid Unicode"),
    ],
)
def test_wrong_headers(given_, error, message):
    builder = RecordBatchBuilder()
    with pytest.raises(error) as caught:
        builder.append(NOW, None, b"v", given_)
    assert str(caught.value) == message
    assert (builder.count, len(builder)) == (0, 0)


def test_wrong_keys_values_and_levels():
    builder = RecordBatchBuilder()
    for key, value in (("text", b""), (b"", 5)):
        with pytest.raises(TypeError):
            builder.append(NOW, key, value)
    assert builder.count == 0
    with pytest.raises(ValueError, match="no records"):
        builder.build()
    for arguments in (("gzip", 11), ("none", 1), ("brotli",)):
        with pytest.raises(ValueError):
            RecordBatchBuilder(*arguments)


def test_a_batch_has_at_most_2_gib():
    builder = RecordBatchBuilder()
    builder.append(NOW, None, b"first")
    large = memoryview(bytes(1 << 30))
    with pytest.raises(OverflowError):
        builder.append(NOW, large, large)
    assert (builder.count, len(builder)) == (1, 12)


def test_several_batches_and_a_cut_last_one():
    parts = [build(ROWS, codec, base_offset=i * 10) for i, codec in enumerate(CODECS)]
    data = b"".join(parts)
    found = [result.unwrap() for result in read_batches(memoryview(data))]
    assert [(b.base_offset, b.position, b.size) for b in found] == [
        (i * 10, sum(map(len, parts[:i])), len(part)) for i, part in enumerate(parts)
    ]
    assert [len(b.records().unwrap()) for b in found] == [3] * 5
    for size in range(len(data)):
        whole = sum(size >= b.position + b.size for b in found)
        results = read_batches(data[:size])
        assert len(results) == whole
        assert all(result.is_ok() for result in results)


def test_a_bad_batch_between_good_ones():
    good = build(ROWS)
    bad = bytearray(build(ROWS, base_offset=3))
    bad[-1] ^= 1
    results = read_batches(good + bad + good, topic="t", partition=4)
    assert [result.is_ok() for result in results] == [True, False, True]
    error = results[1].error
    assert isinstance(error, CorruptRecordError) and isinstance(error, KafkaError)
    assert (error.topic, error.partition, error.offset, error.position) == ("t", 4, 3, len(good))
    assert "record batch of t[4] at offset 3" in str(error) and "has CRC 0x" in str(error) and "Hint" in str(error)
    twin = pickle.loads(pickle.dumps(error))
    assert twin == error and vars(twin) == vars(error)
    unchecked = read_batches(good + bad + good, check_crc=False)
    assert [result.is_ok() for result in unchecked] == [True] * 3


@pytest.mark.parametrize("codec", CODECS)
def test_every_flipped_bit(codec):
    data = build(ROWS, codec, base_offset=5)
    records_before = one(data).records().unwrap()
    for at in range(len(data)):
        for bit in range(8):
            broken = bytearray(data)
            broken[at] ^= 1 << bit
            results = read_batches(broken)
            if at < 8 or 12 <= at < 16:  # base offset, leader epoch: outside the CRC, written by the broker
                assert [(r.key, r.value) for r in results[0].unwrap().records().unwrap()] == [
                    (r.key, r.value) for r in records_before
                ]
            elif at < 12:  # the length: too long looks like a cut batch
                assert not any(result.is_ok() for result in results)
            else:
                assert len(results) == 1 and isinstance(results[0].error, CorruptBatchError), (at, bit)
            # Without the check anything may come out, as a value.
            for result in read_batches(broken, check_crc=False, max_decompressed=100_000):
                match result:
                    case Ok(batch):
                        batch.records()


def test_what_the_records_cannot_be():
    [row] = ROWS[:1]
    good = build([row])
    head, body = good[:61], good[61:]
    cases = {
        "has no bytes for its 1 records": head,
        "cannot hold 2147483647 records in 17 bytes": head[:57] + b"\x7f\xff\xff\xff" + body,
        "cannot hold 3 records in 17 bytes": head[:57] + b"\0\0\0\3" + body,
        "has count -1": head[:57] + b"\xff\xff\xff\xff" + body,
        "last offset delta -1": head[:23] + b"\xff\xff\xff\xff" + head[27:] + body,
        "record 0 of 1 has a length that is wrong or past the end": head + b"\x22" + body[1:],
        "record 0 of 1 has offset delta 1, the last one is 0": head + body[:3] + b"\x02" + body[4:],
        "record 0 of 1 has offset delta -1, the last one is 0": head + body[:3] + b"\x01" + body[4:],
        # One byte more than there is.
        "record 0 of 1 has a key of a wrong length": head + body[:4] + b"\x1a" + body[5:],
        "record 0 of 1 has a value of a wrong length": head + body[:6] + b"\x16" + body[7:],
        "record 0 of 1 has headers that do not hold together": head + body[:8] + b"\x06" + body[9:],
        "record 0 of 1 has 8 bytes left over": head + body[:8] + b"\0" + body[9:],
        "has 1 bytes left over after its 1 records": good + b"\0",
        "record 0 of 1 has a bad varint": head + body[:2] + b"\xff" * 10 + body[12:],
        "is compressed with an unknown codec, number 5": head[:22] + b"\5" + head[23:] + body,
        "cannot be decompressed": head[:22] + b"\4" + head[23:] + body,
    }
    for reason, data in cases.items():
        [result] = read_batches(sealed(data), topic="t", partition=0)
        if isinstance(result, Ok):
            result = result.value.records()
        assert isinstance(result, Err), reason
        assert reason in result.error.reason
        assert (result.error.topic, result.error.partition, result.error.offset) == ("t", 0, 0)


def test_lengths_and_formats_that_cannot_be():
    good = build(ROWS)
    for length in (-1, -(2**31), 0, 13, 14, 48):
        results = read_batches(good[:8] + struct.pack(">i", length) + good[12:])
        assert isinstance(results[0].error, CorruptBatchError), length
    [error, follower] = read_batches(good[:16] + b"\x03" + good[17:] + good)
    assert error.error.reason == "is of an unknown format, magic 3"
    assert follower.is_ok()


@given(data=st.binary(max_size=400), magic=st.sampled_from([0, 1, 2, 3]), codec=st.integers(0, 7))
def test_noise_is_a_value(data, magic, codec):
    noise = bytearray(12 + 49) + data
    noise[8:12] = struct.pack(">i", len(noise) - 12)
    noise[16] = magic
    noise[22 if magic == 2 else 17] = codec
    noise[23:] = data[: len(noise) - 23].ljust(len(noise) - 23, b"\0")
    for candidate in (data, noise):
        for result in read_batches(candidate, check_crc=False, max_decompressed=10_000):
            match result:
                case Ok(batch):
                    match batch.records():
                        case Err(error):
                            assert isinstance(error, CorruptBatchError) and str(error)
                case Err(error):
                    assert isinstance(error, CorruptBatchError) and str(error)


def test_the_limit_of_decompressed_bytes():
    data = build([(NOW, None, bytes(1_000_000))], "zstd")
    assert len(data) < 500
    assert one(data, max_decompressed=2_000_000).records().is_ok()
    result = one(data, max_decompressed=999_999).records()
    assert "cannot be decompressed" in result.error.reason and "999999 bytes" in result.error.reason
    assert result.error.hint == "Read it with a larger max_decompressed, or seek past this batch."


BOMBS = {
    "headers": [(NOW, None, None, [("", None)] * 50_000)],
    "headers with keys": [(NOW, None, None, [("kk", b"vv")] * 20_000)],
    "headers with one wide character": [(NOW, None, None, [("k" * 999 + "\U0001f389", None)] * 100)],
    "records of nothing": [(NOW, None, None)] * 15_000,
    "records of little": [(NOW, b"kk", b"vv")] * 10_000,
}


@pytest.mark.parametrize("rows", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("codec", CODECS)
def test_records_take_no_more_memory_than_the_caller_allows(rows, codec):
    data = build(rows, codec)
    raw = len(build(rows)) - 61
    assert one(data, max_decompressed=50 * raw).records().is_ok()
    for allowed in (raw, 2 * raw):
        batch = one(data, max_decompressed=allowed)
        tracemalloc.start()
        result = batch.records()
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert f"take more than {allowed} bytes of memory" in result.error.reason
        assert result.error.hint == "Read it with a larger max_decompressed, or seek past this batch."
        assert taken <= 3 * raw + allowed + 100_000


def test_what_records_are_said_to_take_is_no_less_than_they_take():
    for rows in BOMBS.values():
        batch = one(build(rows))
        contents = sum(
            len(part or b"")
            for row in rows
            for part in (*row[1:3], *(x if x is None else x.encode() if type(x) is str else x
                                      for header in (row[3] if len(row) > 3 else ()) for x in header))
        )  # fmt: skip
        tracemalloc.start()
        kept = batch.records().unwrap()
        taken = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        low, high = 0, 100 * batch.size
        while low + 1 < high:  # the least that has it read
            batch.max_decompressed = (low + high) // 2
            if batch.records().is_ok():
                high = batch.max_decompressed
            else:
                low = batch.max_decompressed
        assert taken - contents <= high + 1000 and high <= 2 * taken
        del kept


def test_a_package_that_is_missing_does_not_make_a_batch_corrupt(hide):
    batch = one(build(ROWS, "zstd"))
    hide("zstandard")
    assert isinstance(batch.records().error, UnsupportedCodecError)


def test_memory_stays_in_proportion_to_the_bytes():
    # The worst that bytes can do: nothing but records of 7 bytes; records full of empty headers; tiny bad entries.
    small = build([(NOW, None, None)] * 20_000)
    many = build([(NOW, None, None, [("", None)] * 10_000)])
    bad = struct.pack(">qi", 0, 14) + b"\0\0\0\0\x09" + bytes(9)
    for data in (small, many, bad * 5000):
        tracemalloc.start()
        kept = [result.value.records() if result.is_ok() else result for result in read_batches(data)]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert kept
        assert peak <= 200 * len(data) + 1_000_000, (peak, len(data))


def test_header_keys_that_are_no_utf8_are_replaced():
    data = build([(NOW, None, None, [("ab", b"x")])])
    data = sealed(data.replace(b"\x04ab", b"\x04\xffb"))
    assert one(data).records().unwrap()[0].headers == (("�b", b"x"),)


def test_a_record():
    record = Record(5, NOW, 0, b"k", None)
    assert (record.offset, record.timestamp, record.timestamp_type, record.key, record.value) == (5, NOW, 0, b"k", None)
    assert record.headers == ()
    assert record == Record(5, NOW, 0, b"k", None) != Record(6, NOW, 0, b"k", None)
    assert hash(record) == hash(Record(5, NOW, 0, b"k", None))
    assert record != (5, NOW, 0, b"k", None)
    assert repr(record) == f"Record(offset=5, timestamp={NOW}, timestamp_type=0, key=b'k', value=None, headers=())"
    with pytest.raises(AttributeError):
        record.offset = 6
    with pytest.raises(TypeError):
        Record(5, NOW, 0, [], None)


# Formats v0 and v1 ----------------------------------------------------------------------------


def message(magic, offset, key, value, attributes=0, timestamp=NOW):
    body = struct.pack(">bb", magic, attributes) + (struct.pack(">q", timestamp) if magic else b"")
    for field in (key, value):
        body += struct.pack(">i", -1) if field is None else struct.pack(">i", len(field)) + field
    body = struct.pack(">I", zlib.crc32(body)) + body
    return struct.pack(">qi", offset, len(body)) + body


def gzipped(data):
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def test_legacy_messages():
    data = message(0, 7, b"k", b"v") + message(1, 8, None, b"") + message(1, 9, b"", None, 8, NOW + 1)
    batches = [result.unwrap() for result in read_batches(data)]
    assert [(b.magic, b.base_offset, b.last_offset, b.count, b.timestamp_type) for b in batches] == [
        (0, 7, 7, 1, -1),
        (1, 8, 8, 1, 0),
        (1, 9, 9, 1, 1),
    ]
    assert not any(b.is_transactional or b.is_control for b in batches)
    assert [b.records().unwrap() for b in batches] == [
        [Record(7, -1, -1, b"k", b"v")],
        [Record(8, NOW, 0, None, b"")],
        [Record(9, NOW + 1, 1, b"", None)],
    ]


def test_legacy_sets_with_absolute_and_relative_offsets():
    inner = [message(0, 40 + i, None, b"%d" % i) for i in (0, 2, 3)]
    [old] = read_batches(message(0, 43, None, gzipped(b"".join(inner)), 1))
    assert [r.offset for r in old.unwrap().records().unwrap()] == [40, 42, 43]
    # The inner offsets of v0 hold, whatever the one outside says.
    [old] = read_batches(message(0, 99, None, gzipped(b"".join(inner)), 1))
    assert [r.offset for r in old.unwrap().records().unwrap()] == [40, 42, 43]
    inner = [message(1, i, None, b"%d" % i, 0, NOW + i) for i in (0, 2, 3)]
    [new] = read_batches(message(1, 43, None, gzipped(b"".join(inner)), 1, NOW + 3))
    assert [(r.offset, r.timestamp) for r in new.unwrap().records().unwrap()] == [
        (40, NOW),
        (42, NOW + 2),
        (43, NOW + 3),
    ]
    assert (new.unwrap().base_offset, new.unwrap().count, new.unwrap().last_offset) == (-1, -1, 43)


@pytest.mark.parametrize("magic", [0, 1])
def test_legacy_every_prefix_and_flipped_bit(magic):
    inner = b"".join(message(magic, i, b"k", b"%d" % i) for i in range(3))
    data = message(magic, 1, b"key", b"value") + message(magic, 4, None, gzipped(inner), 1)
    for size in range(len(data)):
        assert all(result.is_ok() for result in read_batches(data[:size]))
    first = len(message(magic, 1, b"key", b"value"))
    for at in range(12, first):
        for bit in range(8):
            broken = bytearray(data)
            broken[at] ^= 1 << bit
            results = read_batches(broken)
            assert isinstance(results[0].error, CorruptBatchError), (at, bit)
            assert results[1].is_ok()
            for result in read_batches(broken, check_crc=False):
                match result:
                    case Ok(batch):
                        batch.records()


def test_legacy_sets_that_cannot_be():
    inner = message(1, 0, None, b"v")
    cases = {
        "holds no message": gzipped(b""),
        "header is cut short": gzipped(inner + b"\0"),
        "message of length": gzipped(inner[:-1]),
        "message of magic 0 in a set of magic 1": gzipped(message(0, 0, None, b"v")),
        "message of magic 2 among older ones": gzipped(inner[:16] + b"\2" + inner[17:]),
        "a compressed set inside a compressed set": gzipped(message(1, 0, None, gzipped(inner), 1)),
        "cannot be decompressed": b"not gzip",
        "compressed set of messages without a value": None,
    }
    for reason, value in cases.items():
        [result] = read_batches(message(1, 5, None, value, 1), topic="t", partition=1)
        if isinstance(result, Ok):
            result = result.value.records()
        assert reason in result.error.reason
        assert result.error.offset == 5
    [result] = read_batches(struct.pack(">qi", 3, 20) + message(1, 5, None, None)[12:32])
    assert isinstance(result.error, CorruptBatchError)


def test_offsets_that_fit_no_64_bits():
    """They are outside of what a CRC covers: any bytes may be there."""
    inner = message(1, 10, None, b"a") + message(1, 0, None, b"b")
    [batch] = read_batches(message(1, 2**63 - 1, None, gzipped(inner), 1))
    assert "does not fit 64 bits" in batch.unwrap().records().error.reason
    inner = message(1, -10, None, b"a") + message(1, 0, None, b"b")
    [batch] = read_batches(message(1, -(2**63), None, gzipped(inner), 1))
    assert "does not fit 64 bits" in batch.unwrap().records().error.reason
    builder = RecordBatchBuilder()
    for value in (b"a", b"b"):
        builder.append(1, None, value)
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, 2**63 - 2)
    [batch] = read_batches(data)
    assert [record.offset for record in batch.unwrap().records().unwrap()] == [2**63 - 2, 2**63 - 1]
    struct.pack_into(">q", data, 0, 2**63 - 1)
    [batch] = read_batches(data)
    assert "does not fit 64 bits" in batch.error.reason
