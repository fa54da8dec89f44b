"""A client of a few lines for the tests here: one socket, frames through the codec."""

from __future__ import annotations

import socket
import struct
from typing import Any

from kafka.protocol import ProduceRequest, decode_response, encode_request
from kafka.records import RecordBatchBuilder


class Closed(Exception):
    """The broker closed the connection instead of an answer."""


class Peer:
    """`ask(request, version)` gives the response; `send` and `receive` are its halves."""

    def __init__(self, address: str, timeout: float = 10.0) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.sent: list[tuple[Any, int]] = []
        self.count = 0

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, request: Any, version: int) -> None:
        self.count += 1
        if not (isinstance(request, ProduceRequest) and request.acks == 0):
            self.sent.append((type(request).RESPONSE, version))
        self.socket.sendall(b"".join(encode_request(request, version, self.count, "test").unwrap()))

    def receive(self) -> Any:
        cls, version = self.sent.pop(0)
        correlation_id, response = decode_response(cls, version, self.frame()).unwrap()
        assert correlation_id == self.count - len(self.sent)
        return response

    def frame(self) -> bytes:
        (size,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            try:
                more = self.socket.recv(size - len(found))
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed
            found += more
        return found

    def ask(self, request: Any, version: int) -> Any:
        self.send(request, version)
        return self.receive()


def batch(
    *values: bytes,
    pid: int = -1,
    epoch: int = -1,
    sequence: int = -1,
    timestamp: int = 1_700_000_000_000,
    compression: str = "none",
) -> bytes:
    """A record batch, its records one millisecond apart."""
    builder = RecordBatchBuilder(compression, producer_id=pid, producer_epoch=epoch, base_sequence=sequence)
    for index, value in enumerate(values):
        builder.append(timestamp + index, None, value)
    return builder.build()


def produce_request(topic: str | bytes, *batches: tuple[int, bytes | None], acks: int = -1) -> ProduceRequest:
    """For one topic, by name or id: (partition, batch) as often as given."""
    named: dict[str, Any] = {"name": topic} if isinstance(topic, str) else {"topic_id": topic}
    return ProduceRequest(
        acks=acks,
        timeout_ms=10_000,
        topic_data=[
            ProduceRequest.TopicProduceData(
                **named,
                partition_data=[
                    ProduceRequest.PartitionProduceData(index=index, records=data) for index, data in batches
                ],
            )
        ],
    )


def produce(peer: Peer, topic: str, partition: int, data: bytes | None, version: int = 9) -> tuple[int, int]:
    """(error code, base offset)."""
    response = peer.ask(produce_request(topic, (partition, data)), version)
    ((answer,),) = (given.partition_responses for given in response.responses)
    assert answer.index == partition
    return answer.error_code, answer.base_offset
