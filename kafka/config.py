"""What any client can be told: the keys common to all with their defaults, and how keys are checked.

The names and defaults are kafka-python's; `hooks`, `ssl_cafile_password` and `ssl_minimum_version` are added. No key is
ever ignored: it works, or setting it raises NotImplementedError.
"""

from __future__ import annotations

import itertools
import selectors
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kafka.core.config import Config
from kafka.errors import ConfigurationValueError
from kafka.security import keys as security
from kafka.version import __version__

if TYPE_CHECKING:
    from kafka.security.tls import Contexts

Check = Callable[[str, Any], Any]  # (key, what was given) -> what it means; raises ConfigurationValueError

DEFAULTS: dict[str, Any] = {
    "bootstrap_servers": "localhost",
    "client_id": None,
    "connections_max_idle_ms": 540000,
    "metadata_max_age_ms": 300000,
    "client_dns_lookup": "use_all_dns_ips",
    "retry_backoff_ms": 100,
    "request_timeout_ms": 30000,
    "receive_message_max_bytes": 100_000_000,
    "receive_buffer_bytes": None,
    "send_buffer_bytes": None,
    "socket_options": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    "reconnect_backoff_ms": 50,
    "reconnect_backoff_max_ms": 30000,
    "max_in_flight_requests_per_connection": 5,
    "security_protocol": "PLAINTEXT",
    "ssl_context": None,
    "ssl_check_hostname": True,
    "ssl_cafile": None,
    "ssl_cafile_password": None,
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "ssl_crlfile": None,
    "ssl_password": None,
    "ssl_ciphers": None,
    "ssl_minimum_version": "TLSv1.2",
    "api_version": None,
    "bootstrap_timeout_ms": 30000,
    "metric_reporters": [],
    "metrics_enabled": True,
    "metrics_num_samples": 2,
    "metrics_sample_window_ms": 30000,
    "hooks": [],
    "selector": selectors.DefaultSelector,
    "sasl_mechanism": None,
    "sasl_plain_username": None,
    "sasl_plain_password": None,
    "sasl_kerberos_name": None,
    "sasl_kerberos_service_name": "kafka",
    "sasl_kerberos_domain_name": None,
    "sasl_oauth_token_provider": None,
    "proxy_url": None,
    "socks5_proxy": None,
    "kafka_client": None,
}

_CHOICES = {
    "client_dns_lookup": ("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
    "security_protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "ssl_minimum_version": ("TLSv1.2", "TLSv1.3"),
}
_RENAMED = {"api_version_auto_timeout_ms": "bootstrap_timeout_ms"}  # kafka-python 2's names


# -- checks ------------------------------------------------------------------------------------------------------------


def wrong(key: str, wanted: str, value: Any) -> ConfigurationValueError:
    return ConfigurationValueError(f"{key} must be {wanted}, not {value!r} ({type(value).__name__}).")


def whole(wanted: str, minimum: int, maximum: int = 2**31 - 1) -> Check:
    """A check for an integer; a float such as 1e6 counts when it is whole, a bool does not."""

    def check(key: str, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        try:
            number: int = value.__index__()
        except AttributeError:
            raise wrong(key, wanted, value) from None
        if isinstance(value, bool) or not minimum <= number <= maximum:
            raise wrong(key, wanted, value)
        return number

    return check


def or_none(check: Check) -> Check:
    return lambda key, value: None if value is None else check(key, value)


def number(key: str, value: Any, wanted: str) -> float:
    """0 or more, infinity included."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise wrong(key, wanted, value) from None
    if isinstance(value, (bool, str, bytes, bytearray)) or not number >= 0:  # NaN is not >= 0 either
        raise wrong(key, wanted, value)
    return number


def duration(key: str, value: Any) -> float:
    return number(key, value, "a number of milliseconds, 0 or more")


def boolean(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise wrong(key, "True or False", value)
    return value


def encoded_size(text: str) -> float:
    """Its bytes in UTF-8; infinity where it has none."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return float("inf")


def client_id(kind: str) -> Check:
    """A check for `client_id`, which numbers those of this kind ("producer", say) that are given none."""
    numbers = itertools.count(1)

    def check(key: str, value: Any) -> str:
        if value is None:
            return f"kafka-turbo-{kind}-{next(numbers)}"
        if not isinstance(value, str) or encoded_size(value) > 32767:
            raise wrong(key, "a string of at most 32767 bytes", value)
        return value

    return check


def _finite_duration(key: str, value: Any) -> float:
    wanted = "a number of milliseconds from 0 to 2147483647"
    found = number(key, value, wanted)
    if found > 2**31 - 1:  # it travels in requests as an int32
        raise wrong(key, wanted, value)
    return found


def _window(key: str, value: Any) -> float:
    wanted = "a number of milliseconds, more than 0 and finite"
    found = number(key, value, wanted)
    if not 0 < found < float("inf"):
        raise wrong(key, wanted, value)
    return found


def _metric_reporters(key: str, value: Any) -> tuple[Callable[[], Any], ...]:
    wanted = "a list of classes that implement kafka.metrics.AbstractMetricsReporter"
    if not isinstance(value, (list, tuple)) or not all(callable(each) for each in value):
        raise wrong(key, wanted, value)
    return tuple(value)


def _hooks(key: str, value: Any) -> tuple[object, ...]:
    wanted = "a list of objects with methods of kafka.hooks.Hooks"
    if not isinstance(value, (list, tuple)):
        raise wrong(key, wanted, value)
    if value:
        from kafka.hooks import METHODS, is_implemented

        for hook in value:
            if isinstance(hook, type) or not any(is_implemented(hook, method) for method in METHODS):
                raise ConfigurationValueError(
                    f"{key}: {hook!r} has none of the methods {', '.join(METHODS)}"
                    f"{'; pass an instance, not the class' if isinstance(hook, type) else ''}."
                )
    return tuple(value)


def _api_version(key: str, value: Any) -> tuple[int, ...] | None:
    """Versions are always negotiated on each connection, so this only says that the broker need not be asked first."""
    if value is None or value == "auto":
        return None
    wanted = "a tuple such as (3, 9), or None"
    parts = value.split(".") if isinstance(value, str) else value
    try:
        version = tuple(int(part) for part in parts)
    except (TypeError, ValueError):
        raise wrong(key, wanted, value) from None
    if not version or min(version) < 0:
        raise wrong(key, wanted, value)
    return version


def _socket_options(key: str, value: Any) -> tuple[tuple[int, int, int | bytes], ...]:
    wanted = "a list of (level, option, value) tuples, as for socket.setsockopt"
    try:
        options = tuple(tuple(option) for option in value)
    except TypeError:
        raise wrong(key, wanted, value) from None
    for option in options:
        if len(option) != 3 or not all(isinstance(part, int) for part in option[:2]):
            raise wrong(key, wanted, value)
        if not isinstance(option[2], (int, bytes)):
            raise wrong(key, wanted, value)
    return options


def _bootstrap_servers(key: str, value: Any) -> tuple[tuple[str, int], ...]:
    """(host, port) of each server, in order, without repetition.

    Accepted are a string, with commas between several, and any collection of strings; each is `host`, `host:port`,
    `[IPv6]`, `[IPv6]:port` or a bare IPv6 address, and may begin with `PROTOCOL://`. The port is 9092 where not given.
    """
    wanted = "'host:port', several with commas between, or a list of such strings"
    try:
        if iter(value) is value:  # read once here, it would be empty for whoever reads `client.config`
            raise wrong(key, wanted, value)
        entries = _entries(value)
    except (TypeError, AttributeError):
        raise wrong(key, wanted, value) from None
    if not all(isinstance(entry, str) for entry in entries):
        raise wrong(key, wanted, value)
    servers = dict.fromkeys(_address(key, entry) for entry in entries if entry)
    if not servers:
        raise wrong(key, wanted, value)
    return tuple(servers)


def _entries(value: Any) -> list[str]:
    return [entry.strip() for entry in (value.split(",") if isinstance(value, str) else value)]


def _address(key: str, entry: str) -> tuple[str, int]:
    address = entry.rpartition("://")[2].rstrip("/")
    if address.startswith("["):
        host, bracket, port = address[1:].partition("]")
        valid = bool(bracket) and _is_ipv6(host) and port[:1] in ("", ":")
        port = port[1:] if port else "9092"
    elif address.count(":") > 1:
        host, port = address, "9092"
        valid = _is_ipv6(host)
    else:
        host, colon, port = address.partition(":")
        port = port if colon else "9092"
        valid = bool(host)
    parsed = int(port) if port.isascii() and port.isdigit() else 0
    if not valid or not 0 < parsed < 65536:
        raise ConfigurationValueError(
            f"{key}: {entry!r} is not a server's address; write 'host:port' or '[IPv6 address]:port', "
            "with a port from 1 to 65535."
        )
    return host, parsed


def _security_protocol(key: str, value: Any) -> str:
    if value not in ("PLAINTEXT", "SSL"):
        raise NotImplementedError(f"kafka-turbo does not implement {key}={value!r} yet, only 'PLAINTEXT' and 'SSL'.")
    return str(value)


def _choice(key: str, value: Any) -> str:
    return str(value)  # one of _CHOICES, or it would have been refused before


def _is_ipv6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return False
    return True


CHECKS: dict[str, Check] = {
    "bootstrap_servers": _bootstrap_servers,
    "client_id": client_id("client"),
    "connections_max_idle_ms": duration,
    "metadata_max_age_ms": duration,
    "retry_backoff_ms": duration,
    "request_timeout_ms": _finite_duration,
    "receive_message_max_bytes": whole("a number of bytes from 1 to 2147483647", 1),
    "receive_buffer_bytes": or_none(whole("a number of bytes, or None for the system's default", 1)),
    "send_buffer_bytes": or_none(whole("a number of bytes, or None for the system's default", 1)),
    "socket_options": _socket_options,
    "reconnect_backoff_ms": duration,
    "reconnect_backoff_max_ms": duration,
    "max_in_flight_requests_per_connection": whole("a whole number of 1 or more", 1),
    "security_protocol": _security_protocol,
    "ssl_check_hostname": boolean,
    "ssl_minimum_version": _choice,
    **security.CHECKS,
    "api_version": _api_version,
    "bootstrap_timeout_ms": duration,
    "metric_reporters": _metric_reporters,
    "metrics_enabled": boolean,
    "metrics_num_samples": whole("a whole number of 1 or more", 1),
    "metrics_sample_window_ms": _window,
    "hooks": _hooks,
}


# -- a client's configuration ------------------------------------------------------------------------------------------


class ClientConfig:
    """The checked configuration of one client; attributes are the keys that work.

    Durations stay in milliseconds, as given; they may be float("inf") where waiting for ever makes sense.
    `values` is the plain dict that `client.config` shows: every key, with what was given or the default.

    A client of its own keys has a subclass, which says what they are in `DEFAULTS` and `CHECKS`.

    Raises:
        ConfigurationValueError: an unknown key (the message names the nearest), an impossible value, or values that
            do not go together.
        NotImplementedError: a key that nothing checks has been set to other than its default.
    """

    CLIENT: ClassVar[str] = "A client"  # who it is for, in messages
    DEFAULTS: ClassVar[Mapping[str, Any]] = DEFAULTS
    CHECKS: ClassVar[Mapping[str, Check]] = CHECKS  # a key that has none is accepted at its default only
    UNDERSTOOD: ClassVar[tuple[str, ...]] = ("client_id",)  # `values` shows what was made of these, not what was given

    bootstrap_servers: tuple[tuple[str, int], ...]
    client_id: str
    connections_max_idle_ms: float
    metadata_max_age_ms: float
    retry_backoff_ms: float
    request_timeout_ms: float
    receive_message_max_bytes: int
    receive_buffer_bytes: int | None
    send_buffer_bytes: int | None
    socket_options: tuple[tuple[int, int, int | bytes], ...]
    reconnect_backoff_ms: float
    reconnect_backoff_max_ms: float
    max_in_flight_requests_per_connection: int
    security_protocol: str
    ssl_context: Any
    ssl_check_hostname: bool
    ssl_cafile: Any
    ssl_cafile_password: Any
    ssl_certfile: Any
    ssl_keyfile: Any
    ssl_crlfile: Any
    ssl_password: Any
    ssl_ciphers: str | None
    ssl_minimum_version: str
    api_version: tuple[int, ...] | None
    bootstrap_timeout_ms: float
    metric_reporters: tuple[Callable[[], Any], ...]
    metrics_enabled: bool
    metrics_num_samples: int
    metrics_sample_window_ms: float
    hooks: tuple[object, ...]
    values: dict[str, Any]
    tls: Contexts | None  # None: in plain text

    def __init__(self, configs: Mapping[str, Any]) -> None:
        self._refuse_unknown(configs)
        self._refuse_unimplemented(configs)
        self.values = {**self.DEFAULTS, **configs}
        for key in self.DEFAULTS:
            if key in self.CHECKS:
                setattr(self, key, self.CHECKS[key](key, self.values[key]))
        self._settle(configs)
        given = [key for key in configs if not self._is_default(key, configs[key])]
        self.tls = security.contexts(self.security_protocol, self.values, given)
        for key in self.UNDERSTOOD:
            self.values[key] = getattr(self, key)

    def _settle(self, configs: Mapping[str, Any]) -> None:
        """What depends on several keys."""
        if self.reconnect_backoff_max_ms < self.reconnect_backoff_ms:
            raise ConfigurationValueError(
                f"reconnect_backoff_max_ms ({self.reconnect_backoff_max_ms:g}) must be at least "
                f"reconnect_backoff_ms ({self.reconnect_backoff_ms:g})."
            )
        for entry in _entries(self.values["bootstrap_servers"]):
            # Other prefixes mean nothing to Kafka and are dropped, as kafka-python does.
            prefix = entry.rpartition("://")[0].upper()
            if prefix in _CHOICES["security_protocol"] and prefix != self.security_protocol:
                raise ConfigurationValueError(
                    f"bootstrap_servers: {entry!r} asks for {prefix}, but security_protocol is "
                    f"{self.security_protocol!r}."
                )

    def _refuse_unknown(self, configs: Mapping[str, Any]) -> None:
        unknown = [key for key in configs if key not in self.DEFAULTS]
        if not unknown:
            return
        from difflib import get_close_matches  # only on the way to an error

        named = []
        for key in unknown:
            # Java and librdkafka write dots and hyphens; the name is then usually the same otherwise.
            plain = str(key).lower().replace(".", "_").replace("-", "_")
            nearest = [_RENAMED[plain]] if plain in _RENAMED else get_close_matches(plain, self.DEFAULTS, 1, 0.5)
            named.append(f"{key!r}" + (f" (did you mean {nearest[0]!r}?)" if nearest else ""))
        raise ConfigurationValueError(f"{self.CLIENT} has no configuration key {', nor '.join(named)}.")

    def _refuse_unimplemented(self, configs: Mapping[str, Any]) -> None:
        for key, choices in _CHOICES.items():
            if key in configs and configs[key] not in choices:
                raise wrong(key, " or ".join(map(repr, choices)), configs[key])
        # Values stay out of the message: some of them are passwords.
        early = [key for key in configs if key not in self.CHECKS and not self._is_default(key, configs[key])]
        if early:
            raise NotImplementedError(
                f"{self.CLIENT} does not implement {', '.join(early)} yet; leave "
                f"{'it' if len(early) == 1 else 'them'} out or at the default."
            )

    def _is_default(self, key: str, value: Any) -> bool:
        default = self.DEFAULTS[key]
        return bool(value is default or (type(value) is type(default) and value == default))

    def for_core(self) -> Config:
        """The same in the core's terms."""
        return Config(
            bootstrap=self.bootstrap_servers,
            client_id=self.client_id,
            software=("kafka-turbo", __version__),
            tls=self.tls is not None,
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

    def for_sockets(self) -> list[tuple[int, int, int | bytes]]:
        """(level, option, value) of what is set on each socket."""
        options = list(self.socket_options)
        if self.receive_buffer_bytes is not None:
            options.append((socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer_bytes))
        if self.send_buffer_bytes is not None:
            options.append((socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer_bytes))
        return options
