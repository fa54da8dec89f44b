"""What a client can be told. No key is ever ignored: it works, or setting it raises NotImplementedError."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kafka._log import Log
from kafka.config.key import SharedName
from kafka.config.keys import ConnectionKeys, ObservationKeys, addresses
from kafka.config.oauth import OAuthKeys
from kafka.config.security import HIDDEN, PROTOCOLS, SecurityKeys, is_secret
from kafka.core.config import Config
from kafka.errors import ConfigurationValueError
from kafka.security.keys import contexts, mechanism
from kafka.version import __version__

if TYPE_CHECKING:
    from kafka.security.sasl import Make
    from kafka.security.tls import Contexts

log = Log("kafka.config")

_RENAMED = {"api_version_auto_timeout_ms": "bootstrap_timeout_ms"}  # kafka-python 2's names


class ClientConfig(ConnectionKeys, SecurityKeys, OAuthKeys, ObservationKeys):
    """The checked configuration of one client; attributes are the keys that work.

    Durations stay in milliseconds, as given; they may be float("inf") where waiting for ever makes sense.
    `values` is the plain dict that `client.config` shows: every key, with what was given or the default; but no
    passwords.

    A client with keys of its own has a subclass, which defines them.

    Raises:
        ConfigurationValueError: an unknown key (the message names the nearest), an impossible value, or values that
            do not go together.
        NotImplementedError: a key that is not implemented has been set to other than its default.
    """

    CLIENT: ClassVar[str] = "A client"  # who it is for, in messages
    UNDERSTOOD: ClassVar[tuple[str, ...]] = ("client_id",)  # `values` shows what was made of these, not what was given

    values: dict[str, Any]
    tls: Contexts | None  # None: in plain text
    sasl: Make | None  # None: nobody authenticates

    def __init__(self, configs: Mapping[str, Any]) -> None:
        configs = {key: value for key, value in configs.items() if key in self.KEYS or not isinstance(key, SharedName)}
        self._refuse_unknown(configs)
        self._refuse_unimplemented(configs)
        self.values = {**self.defaults(), **configs}
        for name, key in self.KEYS.items():
            if key.implemented:
                setattr(self, name, key.understood(self.values[name]))
        self._settle(configs)
        given = [name for name in self.KEYS if name in configs and not self.KEYS[name].is_default(configs[name])]
        self.tls = contexts(self.security_protocol, self.values, given)
        self.sasl = mechanism(self.security_protocol, self.values, given)
        for name in self.UNDERSTOOD:
            self.values[name] = getattr(self, name)
        self._bootstrap_timeout_given = "bootstrap_timeout_ms" in configs
        for name, value in self.values.items():
            if is_secret(name, value):
                self.values[name] = HIDDEN

    def _settle(self, configs: Mapping[str, Any]) -> None:
        """What depends on several keys."""
        if self.reconnect_backoff_max_ms < self.reconnect_backoff_ms:
            raise ConfigurationValueError(
                f"reconnect_backoff_max_ms ({self.reconnect_backoff_max_ms:g}) must be at least "
                f"reconnect_backoff_ms ({self.reconnect_backoff_ms:g})."
            )
        if self.socks5_proxy is not None:
            if self.proxy_url is not None and self.proxy_url != self.socks5_proxy:
                raise ConfigurationValueError("proxy_url and socks5_proxy, its earlier name, are both set.")
            log.warning("socks5_proxy is an earlier name of proxy_url: use that")
        for entry in addresses(self.values["bootstrap_servers"]):
            # Other prefixes mean nothing to Kafka and are dropped, as kafka-python does.
            prefix = entry.rpartition("://")[0].upper()
            if prefix in PROTOCOLS and prefix != self.security_protocol:
                raise ConfigurationValueError(
                    f"bootstrap_servers: {entry!r} asks for {prefix}, but security_protocol is "
                    f"{self.security_protocol!r}."
                )

    def _refuse_unknown(self, configs: Mapping[str, Any]) -> None:
        unknown = [key for key in configs if key not in self.KEYS]
        if not unknown:
            return
        from difflib import get_close_matches  # only on the way to an error

        named = []
        for key in unknown:
            # Java and librdkafka write dots and hyphens; the name is then usually the same otherwise.
            plain = str(key).lower().replace(".", "_").replace("-", "_")
            nearest = [_RENAMED[plain]] if plain in _RENAMED else get_close_matches(plain, self.KEYS, 1, 0.5)
            named.append(f"{key!r}" + (f" (did you mean {nearest[0]!r}?)" if nearest else ""))
        raise ConfigurationValueError(f"{self.CLIENT} has no configuration key {', nor '.join(named)}.")

    def _refuse_unimplemented(self, configs: Mapping[str, Any]) -> None:
        missing = {name: self.KEYS[name] for name in configs if not self.KEYS[name].implemented}
        for name, key in missing.items():
            key.understood(configs[name])
        # Values stay out of the message: some of them are passwords.
        early = [name for name, key in missing.items() if not key.is_default(configs[name])]
        if early:
            raise NotImplementedError(
                f"{self.CLIENT} does not implement {', '.join(early)} yet; leave "
                f"{'it' if len(early) == 1 else 'them'} out or at the default."
            )

    def for_core(self) -> Config:
        """The same in the core's terms."""
        config = Config(
            bootstrap=self.bootstrap_servers,
            client_id=self.client_id,
            software=("kafka-turbo", __version__),
            proxy=self.proxy_url or self.socks5_proxy,
            tls=self.tls is not None,
            sasl=self.sasl,
            request_timeout=self.request_timeout_ms / 1000,
            reconnect_backoff=self.reconnect_backoff_ms / 1000,
            reconnect_backoff_max=self.reconnect_backoff_max_ms / 1000,
            retry_backoff=self.retry_backoff_ms / 1000,
            retry_backoff_max=max(1.0, self.retry_backoff_ms / 1000),
            connections_max_idle=self.connections_max_idle_ms / 1000 or float("inf"),  # 0: never, as in kafka-python
            receive_message_max_bytes=self.receive_message_max_bytes,
            max_in_flight=self.max_in_flight_requests_per_connection,
            metadata_max_age=max(self.metadata_max_age_ms, self.retry_backoff_ms) / 1000,
            allow_auto_create_topics=False,
        )
        if self._bootstrap_timeout_given:
            config = config._replace(bootstrap_patience=min(self.bootstrap_timeout_ms / 1000, 1e9))
        return config

    def for_sockets(self) -> list[tuple[int, int, int | bytes]]:
        """(level, option, value) of what is set on each socket."""
        options = list(self.socket_options)
        if self.receive_buffer_bytes is not None:
            options.append((socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer_bytes))
        if self.send_buffer_bytes is not None:
            options.append((socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer_bytes))
        return options
