"""What stands between a client and a broker in tests: a listener whose sockets and threads end with it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class Relay:
    """Each client is served on a thread of its own, by `_serve`."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for each in self._sockets:
            _end(each)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _start(self, work: Callable[..., object], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def _connect(self, host: str, port: int) -> socket.socket:
        """To a broker. OSError where nobody is there."""
        broker = socket.create_connection((host, port))
        self._sockets.append(broker)
        return broker

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        """What `source` says is told to `sink`, until either ends."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._passes(source):
                    sink.sendall(data)
        for each in (source, sink):
            _end(each)

    def _passes(self, source: socket.socket) -> bool:
        return True


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
