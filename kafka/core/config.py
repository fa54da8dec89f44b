"""What the core can be told. Times are seconds, sizes bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kafka.core.net.network import Network
    from kafka.core.sasl import Mechanism


class Proxy(NamedTuple):
    """Who is asked for a way to the brokers; see `core/net/proxy.py`."""

    scheme: str  # "socks5", "socks5h" or "http"
    host: str
    port: int
    username: str | None = None
    password: str | None = None

    @property
    def asks_by_name(self) -> bool:
        """Whether it is the proxy that looks up the brokers' names."""
        return self.scheme != "socks5"

    def __str__(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<{self}>"  # not the password


class Config(NamedTuple):
    bootstrap: tuple[tuple[str, int], ...]  # (host, port), at least one
    client_id: str = "kafka-turbo"
    software: tuple[str, str] = ("kafka-turbo", "0")  # name and version, as brokers see them in their metrics (KIP-511)
    proxy: Proxy | None = None
    tls: bool = False
    sasl: Callable[[Network], Mechanism] | None = None  # makes the client's mechanism
    request_timeout: float = 30.0  # an answer later than this closes the connection
    connection_setup_timeout: float = 10.0  # each step from the name to a ready connection; doubles with each failure
    connection_setup_timeout_max: float = 30.0
    reconnect_backoff: float = 0.05
    reconnect_backoff_max: float = 1.0
    retry_backoff: float = 0.1
    retry_backoff_max: float = 1.0
    connections_max_idle: float = 540.0
    receive_message_max_bytes: int = 100 * 1024 * 1024
    max_in_flight: int = 5  # requests on one connection, where the produce path is concerned
    metadata_max_age: float = 300.0
    metadata_max_idle: float = 300.0  # a topic that nobody has used for so long is no longer asked about
    unknown_topic_grace: float = 30.0  # a topic may be unknown to brokers for so long before it counts as not existing
    rebootstrap_after: float = 300.0  # without an answer, counted from the first refresh that got none
    allow_auto_create_topics: bool = True
    bootstrap_patience: float = 3.0  # how long `Core.bootstrap` keeps trying when every address fails; not for ever
    any_broker_attempt: float = 2.0  # for one broker to answer what any of them could; doubles with each round
