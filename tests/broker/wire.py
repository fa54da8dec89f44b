"""Three Kafka requests put together by hand, so that the fixture does not lean on the codec that it helps to test."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping

_CREATE_TOPICS, _API_VERSIONS, _METADATA = 19, 18, 3


class BrokerError(Exception):
    """The broker answered with this error code."""

    def __init__(self, request: str, code: int, message: str | None = None) -> None:
        super().__init__(request, code, message)
        self.code = code


def api_versions(port: int, timeout: float = 5.0) -> None:
    """One ApiVersions v0 request and its answer; returns when the broker serves, raises OSError when it does not."""
    answer = _call(port, _API_VERSIONS, 0, b"", timeout)
    (code,) = struct.unpack_from(">h", answer)
    if code:
        raise ConnectionError(f"ApiVersions answered with error {code}")


def create_topic(
    port: int, name: str, partitions: int, replicas: int, configs: Mapping[str, str], timeout: float = 30.0
) -> None:
    """CreateTopics v2."""
    body = b"".join(
        [
            struct.pack(">i", 1),
            _string(name),
            struct.pack(">ih", partitions, replicas),
            struct.pack(">i", 0),  # no assignments of our own
            struct.pack(">i", len(configs)),
            *(_string(key) + _string(value) for key, value in configs.items()),
            struct.pack(">i?", int(timeout * 1000), False),
        ]
    )
    answer = _call(port, _CREATE_TOPICS, 2, body, timeout)
    reader = _Reader(answer)
    reader.read(">i")  # throttle time
    for _ in range(reader.read(">i")):
        reader.string()
        code, message = reader.read(">h"), reader.string()
        if code:
            raise BrokerError(f"CreateTopics {name}", code, message)


def leaders(port: int, topic: str, timeout: float = 10.0) -> dict[int, int]:
    """Metadata v1 as one broker sees it: partition -> id of its leader (-1: none), empty while the topic is unknown."""
    answer = _call(port, _METADATA, 1, struct.pack(">i", 1) + _string(topic), timeout)
    reader = _Reader(answer)
    for _ in range(reader.read(">i")):  # brokers
        reader.read(">i"), reader.string(), reader.read(">i"), reader.string()
    reader.read(">i")  # controller
    found = {}
    for _ in range(reader.read(">i")):
        reader.read(">h"), reader.string(), reader.read(">?")
        for _ in range(reader.read(">i")):
            code, partition, leader = reader.read(">h"), reader.read(">i"), reader.read(">i")
            for _ in range(2):  # replicas, in-sync replicas
                for _ in range(reader.read(">i")):
                    reader.read(">i")
            found[partition] = -1 if code else leader
    return found


def _string(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def _call(port: int, api_key: int, version: int, body: bytes, timeout: float) -> bytes:
    request = struct.pack(">hhi", api_key, version, 7) + _string("tests") + body
    deadline = time.monotonic() + timeout
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", _receive(connection, 4, deadline))
        answer = _receive(connection, size, deadline)
    if struct.unpack_from(">i", answer)[0] != 7:
        raise ConnectionError("the answer is to another request")
    return answer[4:]


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    data = b""
    while len(data) < size:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError(f"the broker closed the connection after {len(data)} of {size} bytes")
        data += piece
    return data


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def read(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.data, self.position)
        self.position += struct.calcsize(form)
        return value

    def string(self) -> str | None:
        size = self.read(">h")
        if size < 0:
            return None
        self.position += size
        return self.data[self.position - size : self.position].decode()
