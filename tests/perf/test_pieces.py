"""The pieces that a record's journey is made of, each alone: no slower than their baseline.

pytest-benchmark measures them, in processor time of this thread; the best of its rounds counts, and the best of the
calibration loops before and after.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pyarrow
import pytest

from bench.hot_path import calibrate
from kafka._codec import Accumulator, ManualHost, ProducerBase, RecordWriter, murmur2
from kafka.protocol import MetadataResponse, ProduceRequest, decode, encode
from kafka.records import RecordBatchBuilder, decompress, read_batches
from kafka.records.compression import Codec
from kafka.records.crc import crc32c
from kafka.serializer.json import CompactJsonSerializer
from kafka.structs import RecordMetadata

pytestmark = pytest.mark.timing

# A function, and how often one call of it does what is measured.
Piece = tuple[Callable[[], Any], int]

NOW = 1_700_000_000_000
RECORDS = 1000


def json_rows(size: int) -> bytes:
    chance = random.Random(1)
    rows = b""
    while len(rows) < size:
        row = {
            "id": chance.randrange(10**9),
            "user": f"user-{chance.randrange(9999)}",
            "amount": round(chance.random() * 1000, 2),
            "at": f"2024-05-{chance.randrange(1, 29):02}T{chance.randrange(24):02}:00:00Z",
            "status": chance.choice(["new", "paid", "sent"]),
        }
        rows += json.dumps(row).encode() + b"\n"
    return rows[:size]


ROWS = json_rows(128 * 1024)


def metadata() -> MetadataResponse:
    partition, topic = MetadataResponse.MetadataResponsePartition, MetadataResponse.MetadataResponseTopic
    return MetadataResponse(
        topics=[
            topic(
                name=f"topic-{number}",
                topic_id=b"%016d" % number,
                partitions=[
                    partition(partition_index=index, leader_id=index % 3, replica_nodes=[0, 1, 2], isr_nodes=[0, 1, 2])
                    for index in range(12)
                ],
            )
            for number in range(20)
        ]
    )


def encode_metadata() -> Piece:
    message = metadata()
    return lambda: encode(message, 12).unwrap(), 1


def decode_metadata() -> Piece:
    data = encode(metadata(), 12).unwrap()
    return lambda: decode(MetadataResponse, 12, data).unwrap(), 1


def encode_produce() -> Piece:
    data = [ProduceRequest.PartitionProduceData(index=index, records=bytes(1024)) for index in range(100)]
    topics = [ProduceRequest.TopicProduceData(name="orders", partition_data=data)]
    message = ProduceRequest(transactional_id=None, acks=-1, timeout_ms=30000, topic_data=topics)
    return lambda: encode(message, 9).unwrap(), 1


def decode_batch() -> Piece:
    builder = RecordBatchBuilder()
    for number in range(RECORDS):
        builder.append(NOW + number, b"key", b"x" * 100, [("h", b"v")])
    data = builder.build()
    return lambda: read_batches(data)[0].unwrap().records().unwrap(), RECORDS


def crc_of_64_kib() -> Piece:
    data = random.Random(2).randbytes(65536)
    return lambda: crc32c(data), 1


def append() -> Piece:
    value = b"x" * 100

    def run() -> None:
        write = RecordWriter().append
        for _ in range(RECORDS):
            write(NOW, b"key", value)

    return run, RECORDS


def murmur2_of_16_bytes() -> Piece:
    key = b"customer-0123456"

    def run() -> None:
        for _ in range(RECORDS):
            murmur2(key)

    return run, RECORDS


def sending(*, ask: bool = False, headers: Any = None) -> Piece:
    host = ManualHost()
    host.now = 100.0
    accumulator = Accumulator(host, memory=32 << 20, linger=0.005, delivery_timeout=120.0)
    send = ProducerBase(accumulator).send
    value = b"x" * 100

    def run() -> None:
        if ask:
            futures = [send("topic", value) for _ in range(RECORDS)]
        else:
            for _ in range(RECORDS):
                send("topic", value, None, headers)
        host.now += 1
        for queue in accumulator.take_ready(host.now):
            while (batch := queue.pull(host.now)) is not None:
                batch.bind(0)
                batch.complete(0)
        if ask:
            for future in futures:
                future.get()

    return run, RECORDS


def sending_a_column() -> Piece:
    host = ManualHost()
    host.now = 100.0
    accumulator = Accumulator(host, memory=32 << 20, linger=0.005, delivery_timeout=120.0)
    producer = ProducerBase(accumulator)
    column = pyarrow.array([b"%0100d" % number for number in range(RECORDS)])

    def run() -> None:
        producer.send_many("topic", column)
        host.now += 1
        for queue in accumulator.take_ready(host.now):
            while (batch := queue.pull(host.now)) is not None:
                batch.bind(0)
                batch.complete(0)

    return run, RECORDS


def json_of_rows() -> Piece:
    rows = [
        {"ts": 1764300000000 + n, "user": n, "event": "login", "at": "/a/b", "ms": n / 8, "ok": True, "id": f"{n:032}"}
        for n in range(RECORDS)
    ]
    serialize = CompactJsonSerializer().serialize

    def run() -> None:
        for row in rows:
            serialize("topic", [], row)

    return run, RECORDS


def sending_with_callbacks() -> Piece:
    host = ManualHost()
    host.now = 100.0
    accumulator = Accumulator(host, memory=32 << 20, linger=0.005, delivery_timeout=120.0)
    send = ProducerBase(accumulator).send
    value = b"x" * 100

    def delivered(metadata: RecordMetadata) -> None:
        metadata.offset  # noqa: B018

    def run() -> None:
        for _ in range(RECORDS):
            send("topic", value).add_callback(delivered)
        host.now += 1
        for queue in accumulator.take_ready(host.now):
            while (batch := queue.pull(host.now)) is not None:
                batch.bind(0)
                batch.complete(0)

    return run, RECORDS


def adding_late_callbacks() -> Piece:
    host = ManualHost()
    accumulator = Accumulator(host, memory=32 << 20, linger=0.0, delivery_timeout=120.0)
    send = ProducerBase(accumulator).send
    futures = [send("topic", b"x" * 100) for _ in range(RECORDS)]
    for queue in accumulator.take_ready(host.now):
        while (batch := queue.pull(host.now)) is not None:
            batch.bind(0)
            batch.complete(0)

    def delivered(metadata: RecordMetadata) -> None:
        metadata.offset  # noqa: B018

    def run() -> None:
        for future in futures:
            future.add_callback(delivered)

    return run, RECORDS


def compressing(name: str) -> Piece:
    codec = Codec(name)
    return lambda: codec.compress(ROWS), 1


def decompressing(name: str) -> Piece:
    packed = Codec(name).compress(ROWS)
    assert bytes(decompress(name, packed).unwrap()) == ROWS
    return lambda: decompress(name, packed).unwrap(), 1


PIECES: dict[str, Callable[[], Piece]] = {
    "encode Metadata v12, 20 topics x 12": encode_metadata,
    "encode Produce v9, 100 x 1 KiB": encode_produce,
    "decode Metadata v12, 20 topics x 12": decode_metadata,
    "decode a record": decode_batch,
    "CRC-32C of 64 KiB": crc_of_64_kib,
    "append a record": append,
    "murmur2 of 16 bytes": murmur2_of_16_bytes,
    "send a record": sending,
    "send a record with two headers": lambda: sending(headers=[("trace", b"0123456789abcdef"), ("kind", b"x")]),
    "send a record and ask its future": lambda: sending(ask=True),
    "send a record with a callback": sending_with_callbacks,
    "a callback for a delivered record": adding_late_callbacks,
    "send a record of an Arrow column": sending_a_column,
    "a row of 7 fields as JSON": json_of_rows,
}
# Both directions of each codec; what must not be found for gzip to be by that library.
CODECS = {
    "gzip by zlib": ("isal.isal_zlib", "zlib_ng.zlib_ng"),
    "gzip by zlib-ng": ("isal.isal_zlib",),
    "gzip by isal": (),
    "snappy": (),
    "lz4": (),
    "zstd": (),
}


def held(benchmark: Any, piece: Piece) -> float:
    """How many calls of the calibration loop take as long as the piece."""
    function, times = piece
    fastest = max(calibrate() for _ in range(5))
    benchmark(function)
    assert benchmark.stats is not None, (
        "pytest-benchmark has no statistics: it is switched off by pytest-xdist (-n) and by --benchmark-disable"
    )
    fastest = max(fastest, *(calibrate() for _ in range(5)))
    seconds: float = benchmark.stats.stats.min
    return seconds / times * fastest


@pytest.mark.benchmark(timer=time.thread_time, max_time=0.5)
@pytest.mark.parametrize("name", PIECES)
def test_a_piece_keeps_its_speed(benchmark: Any, within_baseline: Callable[[str, float], None], name: str) -> None:
    within_baseline(name, held(benchmark, PIECES[name]()))


@pytest.mark.benchmark(timer=time.thread_time, max_time=0.5)
@pytest.mark.parametrize("direction", [compressing, decompressing])
@pytest.mark.parametrize("name", CODECS)
def test_a_codec_keeps_its_speed(
    benchmark: Any,
    within_baseline: Callable[[str, float], None],
    hide: Callable[..., None],
    name: str,
    direction: Callable[[str], Piece],
) -> None:
    hide(*CODECS[name])
    within_baseline(f"{direction.__name__} 128 KiB, {name}", held(benchmark, direction(name.partition(" ")[0])))
