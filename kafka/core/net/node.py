"""One broker, or one address of bootstrap_servers: where it is, and its connections, one a lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kafka.core.effects import Address
from kafka.core.net.health import BrokerHealth, Reporter
from kafka.core.net.lanes import CONNECTION_OF, Lane
from kafka.errors import KafkaError

if TYPE_CHECKING:
    from kafka.core.net.channel import Channel


class Node:
    __slots__ = ("id", "host", "port", "channels", "reporter", "was_reached", "_make")

    def __init__(self, id: int, host: str, port: int, make: Callable[[Node, Lane], Channel]) -> None:
        self.id = id
        self.host = host
        self.port = port
        self.channels: dict[Lane, Channel] = {}  # those that somebody has wanted
        self.reporter = Reporter()
        self.was_reached = False  # where it is now
        self._make = make

    def channel(self, lane: Lane) -> Channel:
        """The connection that carries this lane, with its history; made where nobody has wanted it yet."""
        lane = CONNECTION_OF[lane]
        found = self.channels.get(lane)
        if found is None:
            found = self.channels[lane] = self._make(self, lane)
        return found

    @property
    def name(self) -> str:
        place = f"{self.host}:{self.port}"
        return f"broker {self.id} at {place}" if self.id >= 0 else place

    def name_with(self, address: Address) -> str:
        return self.name if address[0] == self.host else f"{self.name} ({address[0]})"

    # -- of all its connections ----------------------------------------------------------------------------------------

    @property
    def is_used(self) -> bool:
        """Whether it has a connection, is getting one, or must be left alone until a throttle is over."""
        return any(c.connection or c.is_connecting or c.throttle for c in self.channels.values())

    @property
    def failing_since(self) -> float | None:
        """Since when some connection of it has failed, clock seconds."""
        return min((c.failing_since for c in self.channels.values() if c.failing_since is not None), default=None)

    @property
    def error(self) -> KafkaError | None:
        """Its newest failure, None where nothing fails."""
        failing = [c for c in self.channels.values() if c.error is not None]
        return max(failing, key=lambda channel: channel.failed_at).error if failing else None

    def health(self, now: float) -> BrokerHealth:
        """How it is doing at `now`, clock seconds. For any thread."""
        channels = list(self.channels.values())
        connections = [found for channel in channels if (found := channel.connection) is not None]
        waiting_since = min((connection.waiting_since for connection in connections), default=float("inf"))
        throttled = [channel.throttled_until for channel in channels if channel.throttle is not None]
        is_ready = any(channel.is_up for channel in channels)
        is_connecting = any(channel.is_connecting for channel in channels)
        # While the broker answers on one lane, the failure of another one counts only if that is tried again.
        failing = [
            (channel.failed_at, since, channel.failures, channel.error)
            for channel in channels
            if (since := channel.failing_since) is not None and (channel.is_tried or not is_ready)
        ]
        return BrokerHealth(
            node_id=self.id,
            host=self.host,
            port=self.port,
            state="ready" if is_ready else "connecting" if is_connecting else "disconnected",
            failing_since=min((since for _, since, _, _ in failing), default=None),
            failures=max((failures for _, _, failures, _ in failing), default=0),
            error=max(failing, key=lambda failure: failure[0])[3] if failing else None,
            in_flight=sum(len(connection.in_flight) for connection in connections),
            waiting_since=waiting_since if waiting_since <= now else None,
            throttled_until=max(throttled, default=None),
            throttles=sum(channel.throttles for channel in channels),
            throttle_seconds=sum(channel.throttle_seconds for channel in channels),
            tls=next((connection.tls for connection in connections if connection.tls is not None), None),
        )
