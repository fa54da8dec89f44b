"""One broker of an embedded cluster: its address, its connections, a handler for each API."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kafka.protocol import InitProducerIdRequest
from kafka.protocol._message import Request, Response
from kafka.protocol.header import RequestHeader
from kafka.testing import admin, data
from kafka.testing.connection import Connection, Later

if TYPE_CHECKING:
    from kafka.testing.cluster import EmbeddedCluster

#: Gives the response, a `Later`, or None for no answer at all; raises `Hangup` to close the connection.
Handler = Callable[["Node", RequestHeader, Any], "Response | Later | None"]

HANDLERS: dict[type[Request], Handler] = {**data.HANDLERS, **admin.HANDLERS}
# What the schemas have, but Kafka 4.3 keeps to itself unless unstable versions are enabled.
_HIGHEST: dict[type[Request], int] = {InitProducerIdRequest: 5}


class Node:
    """Its `handlers` and `versions` (lowest, highest) by API key may be changed, on the cluster's thread."""

    def __init__(self, cluster: EmbeddedCluster, id: int, host: str, port: int) -> None:
        self.cluster = cluster
        self.id = id
        self.host = host
        self.socket = socket.create_server((host, port), backlog=1024)
        self.port: int = self.socket.getsockname()[1]
        self.handlers: dict[int, Handler] = {request.API_KEY: handler for request, handler in HANDLERS.items()}
        self.versions: dict[int, tuple[int, int]] = {
            request.API_KEY: (request.VERSIONS[0], _HIGHEST.get(request, request.VERSIONS[1])) for request in HANDLERS
        }
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    def __str__(self) -> str:
        return f"node {self.id} at {self.address}"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: Connection(self), sock=self.socket)

    def close(self) -> None:
        """No longer accepts connections."""
        if self._server is not None:
            self._server.close()
        self.socket.close()

    def disconnect(self) -> None:
        """Resets all connections; what clients have sent since the last answer is not looked at."""
        for connection in list(self.connections):
            connection.transport.abort()
