"""What this machine can do at most, where a client's rate ends: the loopback, copying, checksums, calls of Python."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable

SECONDS = 0.5
_READER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    room = bytearray(1 << 20)
    while connection.recv_into(room):
        pass
"""


def measured() -> dict[str, float]:
    """Named numbers, a second."""
    import crc32c

    batch, large = bytes(128 << 10), bytes(64 << 20)
    target = memoryview(bytearray(large))  # a bytearray would copy twice

    def copy() -> None:
        target[:] = large

    found = {
        "bytes/s over loopback, written 128 KiB at a time": loopback(128 << 10),
        "bytes/s over loopback, written 1 MiB at a time": loopback(1 << 20),
        "bytes/s of CRC-32C": len(batch) * calls(lambda: crc32c.crc32c(batch)),
        "bytes/s copied in memory": len(large) * calls(copy),
        "empty calls/s of a Python function": empty_calls(),
    }
    return {name: float(f"{value:.3g}") for name, value in found.items()}


def calls(function: Callable[[], object]) -> float:
    """How often it can be called in a second; for what takes long beside a call."""
    count, start = 0, time.perf_counter()
    while (now := time.perf_counter()) < start + SECONDS:
        function()
        count += 1
    return count / (now - start)


def empty_calls() -> float:
    def empty() -> None:
        pass

    count = 2_000_000
    start = time.perf_counter()
    for _ in range(count):
        empty()
    return count / (time.perf_counter() - start)


def loopback(size: int) -> float:
    """Bytes a second to a process that throws them away."""
    data = bytes(size)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        subprocess.Popen([sys.executable, "-c", _READER, str(server.getsockname()[1])]),
        server.accept()[0] as connection,
    ):
        return size * calls(lambda: connection.sendall(data))
