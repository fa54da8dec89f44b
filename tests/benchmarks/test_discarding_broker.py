"""The benchmarks' broker in C: it says yes, counts, and hangs up on what it does not speak."""

from __future__ import annotations

import shutil
import socket
import struct
from collections.abc import Iterator

import pytest

from bench.brokers import Discarding, settled
from kafka import KafkaProducer

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(scope="module")
def broker() -> Iterator[Discarding]:
    with Discarding() as started:
        assert isinstance(started, Discarding)
        yield started


@pytest.mark.parametrize(("acks", "idempotent"), [("all", True), (1, False), (0, False)])
def test_it_counts_what_it_takes(broker: Discarding, acks: str | int, idempotent: bool) -> None:
    before = broker.count("")
    with KafkaProducer(
        bootstrap_servers=broker.bootstrap, acks=acks, enable_idempotence=idempotent, compression_type="lz4"
    ) as producer:
        for number in range(5000):
            producer.send("many-3", b"%d" % number)
        producer.send("one-1", b"large" * 100_000).get(10)
        assert producer.partitions_for("many-3") == {0, 1, 2} and producer.partitions_for("one-1") == {0}
        assert len(producer.partitions_for("no-number")) == 6
    assert settled(broker, "", before + 5001) == before + 5001


@pytest.mark.parametrize(
    "request_bytes",
    [
        struct.pack(">hhih", 2, 1, 1, -1),  # ListOffsets
        struct.pack(">hhih", 0, 9, 1, -1),  # Produce of a version with tags
        struct.pack(">hhih", 0, 8, 1, -1) + struct.pack(">hhii", -1, 1, 1000, 5),  # ends before its topics
        struct.pack(">hhih", 3, 8, 1, 30_000),  # a name beyond the end
    ],
)
def test_it_hangs_up_on_what_it_does_not_speak(broker: Discarding, request_bytes: bytes) -> None:
    host, _, port = broker.bootstrap.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(struct.pack(">i", len(request_bytes)) + request_bytes)
        assert connection.recv(1) == b""
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(struct.pack(">ihhih", 10, 18, 0, 7, -1))  # ApiVersions
        assert connection.recv(8)[4:] == struct.pack(">i", 7), "and serves the next one"
