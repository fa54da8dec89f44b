"""A hook that counts a client's connections, and how often it has authenticated again on them."""

from __future__ import annotations

from collections import Counter

from kafka.hooks.client import ClientHooks, Connected, Disconnected, ResponseReceived


class Sessions(ClientHooks):
    """Each by the broker's id; those of bootstrap servers are negative."""

    def __init__(self) -> None:
        self.connections: Counter[int] = Counter()
        self.ends: Counter[int] = Counter()  # of connections, with an error
        self._handshakes: Counter[int] = Counter()

    @property
    def renewals(self) -> Counter[int]:
        return self._handshakes - self.connections

    def on_connect(self, event: Connected) -> None:
        self.connections[event.broker.id] += 1

    def on_disconnect(self, event: Disconnected) -> None:
        self.ends[event.broker.id] += event.error is not None

    def on_response(self, event: ResponseReceived) -> None:
        self._handshakes[event.broker.id] += event.api == "SaslHandshake" and event.error is None
