"""One broker, or one address of bootstrap_servers: what is known of it, and its connection."""

from __future__ import annotations

from collections import deque

from kafka.core.effects import Address
from kafka.core.net.connection import Connection
from kafka.core.net.health import BrokerHealth, Reporter
from kafka.core.net.states import State
from kafka.core.timers import Timer
from kafka.errors import KafkaConnectionError, KafkaError


class Node:
    __slots__ = (
        "id",
        "host",
        "port",
        "connection",
        "resolving",
        "connecting_since",
        "addresses",
        "errors",
        "fall_back",
        "timer",
        "retry_at",
        "failures",
        "failing_since",
        "error",
        "moved",
        "throttled_until",
        "throttle",
        "throttles",
        "throttle_seconds",
        "reporter",
    )

    def __init__(self, id: int, host: str, port: int) -> None:
        self.id = id
        self.host = host
        self.port = port
        self.connection: Connection | None = None
        self.resolving = False
        self.connecting_since = 0.0
        self.addresses: deque[Address] = deque()  # still to be tried in this attempt
        self.errors: list[KafkaConnectionError] = []  # of this attempt, one an address
        self.fall_back = 0  # index into API_VERSIONS_FALL_BACK
        self.timer: Timer | None = None  # of connection set-up, or of the next attempt
        self.retry_at = 0.0
        self.failures = 0
        self.failing_since: float | None = None
        self.error: KafkaError | None = None
        self.moved = False  # its connection leads to where it was before
        self.throttled_until = 0.0
        self.throttle: Timer | None = None  # while it is throttled: until then nothing is to be sent
        self.throttles = 0
        self.throttle_seconds = 0.0
        self.reporter = Reporter()

    @property
    def name(self) -> str:
        place = f"{self.host}:{self.port}"
        return f"broker {self.id} at {place}" if self.id >= 0 else place

    def name_with(self, address: Address) -> str:
        return self.name if address[0] == self.host else f"{self.name} ({address[0]})"

    @property
    def is_ready(self) -> bool:
        connection = self.connection  # read once: `health` is for other threads too
        return connection is not None and connection.state is State.READY

    @property
    def is_open(self) -> bool:
        """Whether it takes requests now: ready, and neither throttled nor moved."""
        return self.throttle is None and not self.moved and self.is_ready

    @property
    def is_connecting(self) -> bool:
        connection = self.connection
        return self.resolving or (connection is not None and connection.state is not State.READY)

    def health(self) -> BrokerHealth:
        connection = self.connection
        in_flight = len(connection.in_flight) if connection is not None else 0
        return BrokerHealth(
            node_id=self.id,
            host=self.host,
            port=self.port,
            state="ready" if self.is_ready else "connecting" if self.is_connecting else "disconnected",
            failing_since=self.failing_since,
            failures=self.failures,
            error=self.error,
            in_flight=in_flight,
            waiting_since=connection.waiting_since if connection is not None and in_flight else None,
            throttled_until=self.throttled_until if self.throttle is not None else None,
            throttles=self.throttles,
            throttle_seconds=self.throttle_seconds,
        )
