"""Writes confluent_batches.jsonl.xz: record batches as confluent-kafka (librdkafka) sends them.

    python tests/records/golden/capture_confluent.py

librdkafka's mock broker keeps what its producer sent; a hand-made fetch request reads it back untouched.
"""

import base64
import json
import lzma
import random
import socket
import struct
from pathlib import Path

from confluent_kafka import Producer


def fetch(host: str, port: int, topic: str) -> bytes:
    """The log of partition 0, by Fetch v4."""
    name = struct.pack(">h", len(topic)) + topic.encode()
    body = struct.pack(">iiiib", -1, 1000, 1, 1 << 24, 0)
    body += struct.pack(">i", 1) + name + struct.pack(">iiqi", 1, 0, 0, 1 << 24)
    frame = struct.pack(">hhih", 1, 4, 7, -1) + body
    with socket.create_connection((host, port)) as connection, connection.makefile("rb") as stream:
        connection.sendall(struct.pack(">i", len(frame)) + frame)
        (size,) = struct.unpack(">i", stream.read(4))
        answer = stream.read(size)
    at = 4 + 4 + 4 + len(name) + 4  # correlation id, throttle time, topics, name, partitions
    _, error, _, _, aborted = struct.unpack_from(">ihqqi", answer, at)
    if error:
        raise SystemExit(f"fetching {topic} failed with code {error}")
    at += 26 + max(aborted, 0) * 16
    (size,) = struct.unpack_from(">i", answer, at)
    return answer[at + 4 : at + 4 + size]


def main() -> None:
    rng = random.Random(20260101)
    lines = []
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        for count in (1, 30, 1200):
            topic = f"{codec}-{count}"
            producer = Producer(
                {
                    "bootstrap.servers": "unused",
                    "test.mock.num.brokers": 1,
                    "compression.codec": codec,
                    "linger.ms": 500,
                    "enable.idempotence": count == 30,
                }
            )
            records = []
            for i in range(count):
                key = f"key{rng.randrange(50)}".encode() if count < 100 and rng.randrange(3) else None
                words = " ".join(f"word{rng.randrange(30)}" for _ in range(rng.randrange(20)))
                value = f"{i} {words if count < 100 else 'repeated ' * 12}".encode()
                headers = [("hé", b"1"), ("n", None)][: rng.randrange(3) if count < 100 else 0]
                timestamp = 1_700_000_000_000 + (rng.randrange(100_000) if count < 100 else i)
                producer.produce(topic, value, key, partition=0, timestamp=timestamp, headers=headers)
                records.append([timestamp, key, value, headers])
            producer.flush()
            broker = next(iter(producer.list_topics().brokers.values()))
            data = fetch(broker.host, broker.port, topic)
            lines.append(json.dumps({"codec": codec, "data": data, "records": records}, default=encode))
    output = "\n".join(lines).encode() + b"\n"
    (Path(__file__).parent / "confluent_batches.jsonl.xz").write_bytes(lzma.compress(output, preset=9))


def encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


if __name__ == "__main__":
    main()
