"""A TCP proxy in front of a broker that can lose what the broker says."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Everything goes both ways, but while `mute` is set nothing comes back: the broker says it, nobody hears it."""

    def __init__(self) -> None:
        self.target = 0  # port of the broker
        self.mute = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *error: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            try:
                broker = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self._sockets.append(broker)
            for source, sink, muted in ((client, broker, False), (broker, client, True)):
                self._threads.append(threading.Thread(target=self._pump, args=(source, sink, muted)))
                self._threads[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket, muted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not (muted and self.mute.is_set()):
                    sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
