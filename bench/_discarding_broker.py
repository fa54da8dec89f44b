"""A broker that answers Produce v8 requests and keeps nothing, or keeps every batch to show what came.

    python bench/_discarding_broker.py [--keep FILE]

Prints its port, serves one connection after another on 127.0.0.1 until standard input ends. With --keep, FILE gets each
batch as it came: partition, length (32 bits each, big-endian), bytes. Only the standard library, none of our code: what
it finds in the bytes is evidence.
"""

from __future__ import annotations

import argparse
import socket
import struct
import sys
import threading
from typing import BinaryIO


class Reader:
    def __init__(self, frame: memoryview) -> None:
        self.frame = frame
        self.at = 0

    def number(self, form: str) -> int:
        value: int = struct.unpack_from(form, self.frame, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def string(self) -> bytes:
        length = self.number(">h")
        self.at += max(length, 0)
        return bytes(self.frame[self.at - max(length, 0) : self.at])

    def payload(self) -> memoryview:
        length = self.number(">i")
        self.at += length
        return self.frame[self.at - length : self.at]


def answer(frame: memoryview, next_offsets: dict[tuple[bytes, int], int], keep: BinaryIO | None) -> bytes:
    request = Reader(frame)
    key, version, correlation = request.number(">h"), request.number(">h"), request.number(">i")
    assert (key, version) == (0, 8), (key, version)
    request.string()  # client id
    request.string()  # transactional id
    request.number(">h")
    request.number(">i")
    topics = request.number(">i")
    out = [struct.pack(">ii", correlation, topics)]
    for _ in range(topics):
        topic = request.string()
        partitions = request.number(">i")
        out.append(struct.pack(">h", len(topic)) + topic + struct.pack(">i", partitions))
        for _ in range(partitions):
            partition = request.number(">i")
            batch = request.payload()
            count = struct.unpack_from(">i", batch, 57)[0]
            base = next_offsets.get((topic, partition), 0)
            next_offsets[topic, partition] = base + count
            if keep is not None:
                keep.write(struct.pack(">ii", partition, len(batch)))
                keep.write(batch)
            out.append(struct.pack(">ihqqqih", partition, 0, base, -1, 0, 0, -1))
    out.append(struct.pack(">i", 0))
    body = b"".join(out)
    return struct.pack(">i", len(body)) + body


def serve(connection: socket.socket, keep: BinaryIO | None) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    next_offsets: dict[tuple[bytes, int], int] = {}
    stream = connection.makefile("rb", buffering=1 << 20)
    while len(size := stream.read(4)) == 4:
        frame = stream.read(struct.unpack(">i", size)[0])
        connection.sendall(answer(memoryview(frame), next_offsets, keep))
    if keep is not None:
        keep.flush()
    connection.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--keep", metavar="FILE", help="write every batch there")
    options = arguments.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    keep = open(options.keep, "wb") if options.keep else None  # noqa: SIM115

    def accept() -> None:
        while True:
            serve(listener.accept()[0], keep)

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
