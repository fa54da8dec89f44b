"""Our batches read by Java's tools and broker, and theirs by us."""

import re
import struct
import subprocess

import kafka_jars
import pytest
from broker import wire

from kafka.records import CODECS, RecordBatchBuilder, read_batches

pytestmark = pytest.mark.kafka

NOW = 1_700_000_000_000

# Codec and level: every codec, the ends of each range of levels.
KINDS = [*((codec, None) for codec in CODECS), ("gzip", 1), ("gzip", 9), ("lz4", 17), ("zstd", -7), ("zstd", 22)]


def rows(kind, count=300):
    # Enough for several blocks in every codec; nulls, empty values and headers among them.
    return [
        (
            NOW + number % 50,
            None if number % 3 == 0 else b"key %d" % (number % 7),
            None if number % 11 == 10 else b"" if number % 11 == 9 else b"%d of %d: " % (number, kind) + b"text " * 250,
            [("h1", b"x"), ("h\u00e9", None)] if number % 5 == 0 else None,
        )
        for number in range(count)
    ]


def build(kind, base_offset=0, **options):
    builder = RecordBatchBuilder(*KINDS[kind], **options)
    for row in rows(kind):
        builder.append(*row)
    return builder.build(base_offset)


def test_dump_log_segments_reads_a_segment_that_we_wrote(tmp_path):
    segment = tmp_path / "00000000000000000000.log"
    segment.write_bytes(
        b"".join(
            build(
                kind,
                kind * 300,
                transactional=kind % 2 == 1,
                producer_id=-1 if kind % 2 == 0 else 1000 + kind,
                producer_epoch=-1 if kind % 2 == 0 else kind,
                base_sequence=-1 if kind % 2 == 0 else 300 * kind,
            )
            for kind in range(len(KINDS))
        )
    )
    tool = "org.apache.kafka.tools.DumpLogSegments"
    done = subprocess.run(
        [
            *(kafka_jars.java(), "-Dstdout.encoding=UTF-8", "-cp", kafka_jars.classpath(), tool),
            *("--files", str(segment), "--deep-iteration", "--print-data-log"),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    lines = done.stdout.decode().splitlines()
    batches = [dict(re.findall(r"(\w+): (\S+)", line)) for line in lines if line.startswith("baseOffset:")]
    assert [
        (b["baseOffset"], b["lastOffset"], b["count"], b["isvalid"], b["compresscodec"], b["magic"]) for b in batches
    ] == [(str(k * 300), str(k * 300 + 299), "300", "true", KINDS[k][0], "2") for k in range(len(KINDS))]
    assert [(b["isTransactional"], b["producerId"], b["producerEpoch"], b["baseSequence"]) for b in batches] == [
        ("true", str(1000 + k), str(k), str(300 * k)) if k % 2 else ("false", "-1", "-1", "-1")
        for k in range(len(KINDS))
    ]
    dumped = [
        re.fullmatch(
            r"\| offset: (\d+) CreateTime: (\d+) keySize: (-?\d+) valueSize: (-?\d+)(?: sequence: -?\d+)? "
            r"headerKeys: \[(.*?)\](?: key: (.*?))?(?: payload: (.*))?",
            line,
        ).groups()
        for line in lines
        if line.startswith("|")
    ]
    assert dumped == [
        (
            str(300 * kind + number),
            str(timestamp),
            str(-1 if key is None else len(key)),
            str(-1 if value is None else len(value)),
            ",".join(name for name, _ in headers or ()),
            None if key is None else key.decode(),
            None if value is None else value.decode(),
        )
        for kind in range(len(KINDS))
        for number, (timestamp, key, value, headers) in enumerate(rows(kind))
    ]


def produce(node, topic, batch):
    """Produce v7 of one batch to partition 0: (error code, base offset)."""
    body = struct.pack(">hhii", -1, -1, 10_000, 1) + wire._string(topic)
    body += struct.pack(">iii", 1, 0, len(batch)) + batch
    answer = wire._call(node.port, 0, 7, body, 30)
    return struct.unpack_from(">hq", answer, 4 + 2 + len(topic) + 4 + 4)


def fetch(node, topic, offset):
    """Fetch v10 of partition 0: the bytes of its log from `offset` on."""
    body = struct.pack(">iiiibii", -1, 1000, 1, 1 << 24, 0, 0, -1)
    body += struct.pack(">i", 1) + wire._string(topic)
    body += struct.pack(">iiiqqi", 1, 0, -1, offset, -1, 1 << 24) + struct.pack(">i", 0)
    answer = wire._call(node.port, 1, 10, body, 30)
    at = 4 + 2 + 4 + 4 + 2 + len(topic) + 4
    _, error, end, _, _, aborted = struct.unpack_from(">ihqqqi", answer, at)
    assert (error, max(aborted, 0)) == (0, 0)
    at += struct.calcsize(">ihqqqi")
    (size,) = struct.unpack_from(">i", answer, at)
    return end, answer[at + 4 : at + 4 + size]


def test_the_broker_takes_what_we_wrote_and_the_console_consumer_reads_it(kafka_cluster):
    topic = "records.ours"
    kafka_cluster.create_topic(topic)
    for kind in range(len(KINDS)):
        assert produce(kafka_cluster.nodes[0], topic, build(kind)) == (0, 300 * kind)
    found = kafka_cluster.console_consume(topic, 300 * len(KINDS))
    assert [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in found] == [
        (
            300 * kind + number,
            f"CreateTime:{timestamp}",
            key,
            value,
            "h1:x,h\u00e9:\x1d".encode() if headers else b"NO_HEADERS",
        )
        for kind in range(len(KINDS))
        for number, (timestamp, key, value, headers) in enumerate(rows(kind))
    ]


def test_the_broker_refuses_a_batch_with_a_broken_crc(kafka_cluster):
    topic = "records.broken"
    kafka_cluster.create_topic(topic)
    broken = bytearray(build(0))
    broken[-1] ^= 1
    assert produce(kafka_cluster.nodes[0], topic, bytes(broken)) == (2, -1)  # CORRUPT_MESSAGE


@pytest.mark.parametrize(("timestamps", "codecs"), [("CreateTime", CODECS), ("LogAppendTime", CODECS[-1:])])
def test_what_the_console_producer_wrote(kafka_cluster, timestamps, codecs):
    topic = f"records.{timestamps}"
    kafka_cluster.create_topic(topic, configs={"message.timestamp.type": timestamps})
    lines = {
        codec: [b"key %d\t%b %d " % (i % 5, codec.encode(), i) + b"text " * 40 for i in range(500)] for codec in codecs
    }
    for codec, some in lines.items():
        kafka_cluster.console_produce(
            *(topic, some, "--compression-codec", codec, "--reader-property", "parse.key=true")
        )
    batches, offset = [], 0
    while offset < 500 * len(codecs):
        end, data = fetch(kafka_cluster.nodes[0], topic, offset)
        assert end == 500 * len(codecs)
        more = [result.unwrap() for result in read_batches(data, topic=topic, partition=0)]
        assert more and more[0].base_offset == offset
        batches += more
        offset = more[-1].last_offset + 1
    assert {batch.compression for batch in batches} == set(codecs)
    assert {batch.timestamp_type for batch in batches} == {1 if timestamps == "LogAppendTime" else 0}
    found = [record for batch in batches for record in batch.records().unwrap()]
    assert [b"%b\t%b" % (r.key, r.value) for r in found] == [line for some in lines.values() for line in some]
    assert [r.offset for r in found] == list(range(len(found)))
    if timestamps == "LogAppendTime":
        assert all(r.timestamp == b.max_timestamp for b in batches for r in b.records().unwrap())
