"""The broker's end of a connection: frames in, one request at a time, answers out."""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import TYPE_CHECKING, Any

from kafka.protocol import decode_request, encode_response
from kafka.protocol._message import Response
from kafka.result import Err, Result
from kafka.testing.model.sasl import Session
from kafka.testing.model.serving import START, serve
from kafka.testing.model.world import Hangup, Later

if TYPE_CHECKING:
    from kafka.testing.node import Node

log = logging.getLogger("kafka.testing")

_SIZE = struct.Struct(">i")
_LARGEST_FRAME = 100 * 1024 * 1024  # socket.request.max.bytes of Kafka
_SCRATCH = 64 * 1024


class Connection(asyncio.BufferedProtocol):
    """What arrives goes to a scratch buffer first; the rest of a frame larger than that goes where it stays."""

    transport: asyncio.Transport

    def __init__(self, node: Node) -> None:
        self.node = node
        # Why the next request has to wait: an answer is outstanding; what was answered does not fit into the socket.
        self.holds = False
        self.is_full = False
        self._scratch = bytearray(_SCRATCH)
        self._scratch_view = memoryview(self._scratch)
        self._scratch_start = 0
        self._scratch_end = 0
        self._frame: memoryview | None = None  # a frame of which bytes are missing
        self._filled = 0
        self._reused = bytearray()
        self._session = Session()
        self._is_early = False  # whether there was more when the last answer was given

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.node.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.node.connections.discard(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._frame is not None:
            return self._frame[self._filled :]
        return self._scratch_view[self._scratch_end :]

    def buffer_updated(self, nbytes: int) -> None:
        frame = self._frame
        if frame is None:
            self._scratch_end += nbytes
        else:
            self._filled += nbytes
            if self._filled < len(frame):
                return
            self._frame = None
            self._serve(frame)
        self._advance()

    def pause_writing(self) -> None:
        self.is_full = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.is_full = False
        self._go_on()

    @property
    def is_busy(self) -> bool:
        return self.holds or self.is_full

    def _go_on(self) -> None:
        if not self.is_busy:
            self.transport.resume_reading()
            self._advance()

    def _advance(self) -> None:
        """Serves the whole frames in the scratch buffer."""
        start, end = self._scratch_start, self._scratch_end
        while not self.is_busy and end - start >= 4 and not self.transport.is_closing():
            (size,) = _SIZE.unpack_from(self._scratch, start)
            if not START.size <= size <= _LARGEST_FRAME:
                log.info("%s: a client sent a frame of %d bytes: closing its connection", self.node, size)
                self.transport.abort()
                return
            start += 4
            frame = self._room(size)
            here = min(size, end - start)
            frame[:here] = self._scratch_view[start : start + here]
            start += here
            self._scratch_start = start
            if here < size:
                self._frame, self._filled = frame, here
            else:
                self._serve(frame)
        if self.is_busy:
            return
        self._scratch_view[: end - start] = self._scratch_view[start:end]
        self._scratch_start, self._scratch_end = 0, end - start

    def _room(self, size: int) -> memoryview:
        if self.node.cluster.discards:  # nothing of a request outlives its answer
            if len(self._reused) < size:
                self._reused = bytearray(size)
            return memoryview(self._reused)[:size]
        return memoryview(bytearray(size))  # the log keeps it

    def _serve(self, frame: memoryview) -> None:
        try:
            answer, version, correlation_id = serve(self.node, frame, self._session, _decode, is_early=self._is_early)
            if isinstance(answer, Later):
                self.holds = True
                self.transport.pause_reading()
                answer.when_ready(lambda: self._deliver(answer, version, correlation_id))
            elif answer is not None:
                self._answer(answer, version, correlation_id)
        except Hangup as hangup:
            log.info("%s: closing a connection: %s", self.node, hangup)
            self.transport.close()  # behind what was answered before
        except Exception:
            log.exception("%s: no answer to %r: closing the connection", self.node, bytes(frame[:64]))
            self.transport.abort()

    def _deliver(self, later: Later, version: int, correlation_id: int) -> None:
        if self.transport.is_closing():
            return
        try:
            response = later.complete()
            if response is not None:
                self._answer(response, version, correlation_id)
            if later.is_last:
                self.transport.close()
                return
        except Hangup as hangup:
            log.info("%s: closing a connection: %s", self.node, hangup)
            self.transport.close()
            return
        except Exception:
            log.exception("%s: an answer that was held back failed: closing the connection", self.node)
            self.transport.abort()
            return
        self.holds = False
        self._go_on()

    def _answer(self, response: Response, version: int, correlation_id: int) -> None:
        buffers: list[Any] = encode_response(response, version, correlation_id).unwrap()
        self.transport.writelines(buffers)
        self._is_early = self._scratch_end > self._scratch_start


def _decode(frame: memoryview) -> Result[Any, Any]:
    decoded = decode_request(frame)
    if type(decoded) is Err and not decoded.error.path:
        # Kafka does not look at what follows a request, and librdkafka leaves 3 bytes behind a MetadataRequest for
        # all topics: where nothing but that is wrong, the bytes before it are a request.
        return decode_request(frame[: decoded.error.offset])
    return decoded
