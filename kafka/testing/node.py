"""One broker of an embedded cluster: the model's, at an address, with its connections."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from kafka.testing.connection import Connection
from kafka.testing.model.broker import Broker
from kafka.testing.tls import Tls

if TYPE_CHECKING:
    from kafka.testing.cluster import EmbeddedCluster


class Node(Broker):
    """Its `handlers` and `versions` (lowest, highest) by API key may be changed, on the cluster's thread."""

    cluster: EmbeddedCluster

    def __init__(self, cluster: EmbeddedCluster, id: int, host: str, port: int) -> None:
        super().__init__(cluster, id, host, port)
        self.connections: set[Connection] = set()
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None

    def __str__(self) -> str:
        return f"node {self.id} at {self.address}"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def open(self) -> None:
        """Takes its port: a free one the first time, if it was given none, and the same one from then on."""
        self._socket = socket.create_server((self.host, self.port), backlog=1024)
        if not self.port:
            self.port = self._socket.getsockname()[1]
            self.advertised = (self.host, self.port)

    async def start(self) -> None:
        """Accepts connections, once it is open."""
        assert self._socket is not None
        self._server = await asyncio.get_running_loop().create_server(self._accept, sock=self._socket)

    def _accept(self) -> asyncio.BaseProtocol:
        connection = Connection(self)
        return connection if self.cluster.tls is None else Tls(connection, self.cluster.tls)

    def close(self) -> None:
        """No longer accepts connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def disconnect(self) -> None:
        """Resets all connections; what clients have sent since the last answer is not looked at."""
        for connection in list(self.connections):
            connection.transport.abort()
