"""The broker's end of a connection: frames in, one request at a time, answers out."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kafka.protocol import ApiVersionsRequest, ApiVersionsResponse, decode_request, encode_response
from kafka.protocol._message import Response
from kafka.result import Err

if TYPE_CHECKING:
    from kafka.testing.node import Node

log = logging.getLogger("kafka.testing")

_SIZE = struct.Struct(">i")
_START = struct.Struct(">hhi")  # API key, version, correlation id
_LARGEST_FRAME = 100 * 1024 * 1024  # socket.request.max.bytes of Kafka
_SCRATCH = 64 * 1024
_UNSUPPORTED_VERSION = 35


class Later:
    """An answer that is not there yet. The connection's next request is not looked at before `resolve(response)`."""

    def __init__(self) -> None:
        self._response: Response | None = None
        self._deliver: Callable[[Response], None] | None = None

    def resolve(self, response: Response) -> None:
        self._response = response
        if self._deliver is not None:
            self._deliver(response)

    def deliver_to(self, deliver: Callable[[Response], None]) -> None:
        if self._response is not None:
            deliver(self._response)
        self._deliver = deliver


class Hangup(Exception):
    """Raised by a handler whose answer is to close the connection."""


class Connection(asyncio.BufferedProtocol):
    """What arrives goes to a scratch buffer first; the rest of a frame larger than that goes where it stays."""

    transport: asyncio.Transport

    def __init__(self, node: Node) -> None:
        self.node = node
        self.busy = False  # an answer is outstanding or does not fit into the socket
        self._scratch = bytearray(_SCRATCH)
        self._scratch_view = memoryview(self._scratch)
        self._scratch_start = 0
        self._scratch_end = 0
        self._frame: memoryview | None = None  # a frame of which bytes are missing
        self._filled = 0
        self._reused = bytearray()

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
        self._wait()

    def resume_writing(self) -> None:
        self._go_on()

    def _wait(self) -> None:
        self.busy = True
        self.transport.pause_reading()

    def _go_on(self) -> None:
        self.busy = False
        self.transport.resume_reading()
        self._advance()

    def _advance(self) -> None:
        """Serves the whole frames in the scratch buffer."""
        start, end = self._scratch_start, self._scratch_end
        while not self.busy and end - start >= 4 and not self.transport.is_closing():
            (size,) = _SIZE.unpack_from(self._scratch, start)
            if not _START.size <= size <= _LARGEST_FRAME:
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
        if self.busy:
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
        api_key, version, correlation_id = _START.unpack_from(frame)
        node = self.node
        lowest, highest = node.versions.get(api_key, (0, -1))
        if not lowest <= version <= highest:
            if api_key != ApiVersionsRequest.API_KEY:
                log.info("%s: a client asked for API %d v%d: closing its connection", node, api_key, version)
                self.transport.abort()
                return
            supported = ApiVersionsResponse.ApiVersion(api_key=api_key, min_version=lowest, max_version=highest)
            self._answer(ApiVersionsResponse(error_code=_UNSUPPORTED_VERSION, api_keys=[supported]), 0, correlation_id)
            return
        decoded = decode_request(frame)
        if type(decoded) is Err and not decoded.error.path:
            # Kafka does not look at what follows a request, and librdkafka leaves 3 bytes behind a MetadataRequest for
            # all topics: where nothing but that is wrong, the bytes before it are a request.
            decoded = decode_request(frame[: decoded.error.offset])
        if type(decoded) is Err:
            log.info("%s: closing a connection: %s", node, decoded.error)
            self.transport.abort()
            return
        header, request = decoded.unwrap()
        try:
            response = node.handlers[api_key](node, header, request)
            if isinstance(response, Later):
                self._wait()
                response.deliver_to(lambda found: self._deliver(found, version, correlation_id))
            elif response is not None:
                self._answer(response, version, correlation_id)
        except Hangup as hangup:
            log.info("%s: closing a connection: %s", node, hangup)
            self.transport.abort()
        except Exception:
            log.exception("%s: no answer to %r v%d: closing the connection", node, request, version)
            self.transport.abort()

    def _deliver(self, response: Response, version: int, correlation_id: int) -> None:
        if not self.transport.is_closing():
            self._answer(response, version, correlation_id)
            self._go_on()

    def _answer(self, response: Response, version: int, correlation_id: int) -> None:
        buffers: list[Any] = encode_response(response, version, correlation_id).unwrap()
        self.transport.writelines(buffers)
