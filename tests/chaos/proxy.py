"""A TCP proxy in front of a broker that can lose what the broker says."""

from __future__ import annotations

import socket
import threading

from relay import Relay


class Proxy(Relay):
    """Everything goes both ways, but while `mute` is set nothing comes back: the broker says it, nobody hears it."""

    def __init__(self) -> None:
        self.target = 0  # port of the broker
        self.mute = threading.Event()
        self._brokers: set[socket.socket] = set()
        super().__init__()

    def _serve(self, client: socket.socket) -> None:
        try:
            broker = self._connect("127.0.0.1", self.target)
        except OSError:
            client.close()
            return
        self._brokers.add(broker)
        self._start(self._pump, broker, client)
        self._pump(client, broker)

    def _passes(self, source: socket.socket) -> bool:
        return not (source in self._brokers and self.mute.is_set())
