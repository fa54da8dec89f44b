"""What Java and librdkafka wrote, read by us (golden/ has the programs that wrote it)."""

import base64
import json
import lzma
from pathlib import Path

import pytest

from kafka.records import read_batches

GOLDEN = Path(__file__).parent / "golden"


def load(name):
    with lzma.open(GOLDEN / name, "rt") as lines:
        return [json.loads(line) for line in lines]


def decode(text):
    return None if text is None else base64.b64decode(text)


def read(data):
    batches = [result.unwrap() for result in read_batches(data)]
    assert sum(batch.size for batch in batches) == len(data)
    return batches, [record for batch in batches for record in batch.records().unwrap()]


JAVA = load("java_batches.jsonl.xz")


@pytest.mark.parametrize("case", JAVA, ids=[f"{i}-v{c['magic']}-{c['codec']}" for i, c in enumerate(JAVA)])
def test_java(case):
    batches, records = read(decode(case["data"]))
    assert [[r.offset, r.timestamp, r.key, r.value, [list(header) for header in r.headers]] for r in records] == [
        [offset, timestamp, decode(key), decode(value), [[name, decode(text)] for name, text in headers]]
        for offset, timestamp, key, value, headers in case["records"]
    ]
    assert {r.timestamp_type for r in records} == {case["timestamp_type"]}
    assert batches[-1].last_offset == records[-1].offset
    assert {batch.compression for batch in batches} == {case["codec"]}
    first = batches[0]
    assert first.base_offset == (-1 if case["magic"] < 2 and case["codec"] != "none" else records[0].offset)
    for name in ("magic", "timestamp_type", "producer_id", "producer_epoch", "base_sequence", "max_timestamp"):
        assert getattr(first, name) == case[name], name
    assert first.is_transactional == case["transactional"]
    assert first.is_control == case["control"]
    assert first.leader_epoch == case["leader_epoch"]


def test_java_wrote_every_form():
    forms = {(case["magic"], case["codec"], case["timestamp_type"]) for case in JAVA}
    old = ("none", "gzip", "snappy", "lz4")
    assert forms == (
        {(0, codec, -1) for codec in old}
        | {(1, codec, kind) for codec in old for kind in (0, 1)}
        | {(2, codec, kind) for codec in (*old, "zstd") for kind in (0, 1)}
    )


CONFLUENT = load("confluent_batches.jsonl.xz")


@pytest.mark.parametrize("case", CONFLUENT, ids=[f"{c['codec']}-{len(c['records'])}" for c in CONFLUENT])
def test_confluent(case):
    batches, records = read(decode(case["data"]))
    assert [[r.timestamp, r.key, r.value, [list(header) for header in r.headers]] for r in records] == [
        [timestamp, decode(key), decode(value), [[name, decode(text)] for name, text in headers]]
        for timestamp, key, value, headers in case["records"]
    ]
    # One record may come uncompressed: librdkafka drops compression that does not make it smaller.
    assert {batch.compression for batch in batches} <= {case["codec"], "none"}
    assert len(records) == 1 or {batch.compression for batch in batches} == {case["codec"]}
    assert all(batch.producer_id >= 0 for batch in batches) == (len(records) == 30)
