"""What a producer can be told: every key with its default, how each is checked, and which are still to come.

The names and defaults are kafka-python's; `buffer_memory`, `client_rack`, `compression_level` and `hooks` are added. No
key is ever ignored: it works, or setting it raises NotImplementedError.
"""

from __future__ import annotations

import itertools
import selectors
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kafka._log import Log
from kafka.core.produce.partitions import MOST_IN_FLIGHT
from kafka.errors import ConfigurationValueError
from kafka.partitioner import DefaultPartitioner, Partitioner
from kafka.partitioner.abc import as_partitioner

if TYPE_CHECKING:
    from kafka.serializer import Serializer

DEFAULT_CONFIG: dict[str, Any] = {
    "bootstrap_servers": "localhost",
    "client_id": None,
    "client_rack": None,
    "key_serializer": None,
    "value_serializer": None,
    "enable_idempotence": True,
    "transactional_id": None,
    "transaction_timeout_ms": 60000,
    "delivery_timeout_ms": 120000,
    "acks": -1,
    "compression_type": None,
    "compression_level": None,
    "retries": float("inf"),
    "batch_size": 16384,
    "buffer_memory": 32 * 1024 * 1024,
    "linger_ms": 0,
    "partitioner": DefaultPartitioner(),
    "connections_max_idle_ms": 540000,
    "max_block_ms": 60000,
    "max_request_size": 1048576,
    "allow_auto_create_topics": True,
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
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "ssl_crlfile": None,
    "ssl_password": None,
    "ssl_ciphers": None,
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

log = Log("kafka.producer")

# Accepted at their default only. A key leaves this set when it works.
NOT_IMPLEMENTED = frozenset(
    key
    for key in DEFAULT_CONFIG
    if key.startswith(("ssl_", "sasl_"))
    or key in ("client_dns_lookup", "security_protocol", "selector")
    or key in ("proxy_url", "socks5_proxy", "kafka_client")
)

_CHOICES = {
    "client_dns_lookup": ("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"),
    "security_protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
}
_RENAMED = {"api_version_auto_timeout_ms": "bootstrap_timeout_ms"}  # kafka-python 2's names
_LEVELS = {"gzip": (1, 9), "lz4": (1, 17), "zstd": (-131072, 22)}

_next_number = itertools.count(1)


class ProducerConfig:
    """The checked configuration of one producer; attributes are the keys of DEFAULT_CONFIG that work.

    Durations stay in milliseconds, as given; they may be float("inf") where waiting for ever makes sense.
    `values` is the plain dict that `producer.config` shows: every key, with what was given or the default.

    Raises:
        ConfigurationValueError: an unknown key (the message names the nearest), an impossible value, or values that
            do not go together.
        NotImplementedError: a key of NOT_IMPLEMENTED has been set to other than its default.
    """

    bootstrap_servers: tuple[tuple[str, int], ...]
    client_id: str
    client_rack: str | None
    key_serializer: Serializer | None
    value_serializer: Serializer | None
    enable_idempotence: bool
    transactional_id: str | None
    transaction_timeout_ms: int
    delivery_timeout_ms: float
    acks: int  # 0, 1 or -1 (all in-sync replicas)
    compression_type: str | None
    compression_level: int | None  # None: the codec's own default
    retries: float  # a whole number, or inf
    batch_size: int
    batch_size_given: bool
    buffer_memory: int
    linger_ms: float
    partitioner: Partitioner | str  # a name: one that the extension has
    connections_max_idle_ms: float
    max_block_ms: float
    max_request_size: int
    allow_auto_create_topics: bool
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
    api_version: tuple[int, ...] | None
    bootstrap_timeout_ms: float
    metric_reporters: tuple[Callable[[], Any], ...]
    metrics_enabled: bool
    metrics_num_samples: int
    metrics_sample_window_ms: float
    hooks: tuple[object, ...]
    values: dict[str, Any]

    __slots__ = tuple(__annotations__)

    def __init__(self, configs: Mapping[str, Any]) -> None:
        _refuse_unknown(configs)
        _refuse_unimplemented(configs)
        self.values = {**DEFAULT_CONFIG, **configs}
        for key, check in _CHECKS.items():
            setattr(self, key, check(key, self.values[key]))
        self.batch_size_given = "batch_size" in configs
        self._settle_idempotence("enable_idempotence" in configs)
        self._check_together()
        for key in (
            "client_id",
            "enable_idempotence",
            "acks",
            "compression_type",
            "key_serializer",
            "value_serializer",
            "partitioner",
        ):
            self.values[key] = getattr(self, key)

    def _settle_idempotence(self, asked_for: bool) -> None:
        """What contradicts idempotence turns it off, where it is on by default only (as in kafka-python and Java)."""
        if not self.enable_idempotence:
            if self.transactional_id is not None:
                raise ConfigurationValueError("transactional_id does not go with enable_idempotence=False.")
            return
        conflicts = []
        if self.acks != -1:
            conflicts.append(f"acks={self.acks} (it needs acks='all')")
        if self.retries == 0:
            conflicts.append("retries=0 (it needs at least 1)")
        if self.max_in_flight_requests_per_connection > MOST_IN_FLIGHT:
            conflicts.append(
                f"max_in_flight_requests_per_connection={self.max_in_flight_requests_per_connection} "
                f"(it needs at most {MOST_IN_FLIGHT})"
            )
        if conflicts and (asked_for or self.transactional_id is not None):
            asking = "enable_idempotence=True" if asked_for else "transactional_id"
            raise ConfigurationValueError(f"{asking} does not go with {' and '.join(conflicts)}.")
        if conflicts:
            self.enable_idempotence = False
            log.warning(
                "idempotence is off, because of %s: retries may write a record twice, or out of order. "
                "enable_idempotence=False says that this is meant.",
                " and ".join(conflicts),
            )

    def _check_together(self) -> None:
        if self.delivery_timeout_ms < self.linger_ms + self.request_timeout_ms:
            raise ConfigurationValueError(
                f"delivery_timeout_ms ({self.delivery_timeout_ms:g}) must be at least linger_ms + request_timeout_ms "
                f"({self.linger_ms:g} + {self.request_timeout_ms:g}): a record needs time for one request."
            )
        if self.reconnect_backoff_max_ms < self.reconnect_backoff_ms:
            raise ConfigurationValueError(
                f"reconnect_backoff_max_ms ({self.reconnect_backoff_max_ms:g}) must be at least "
                f"reconnect_backoff_ms ({self.reconnect_backoff_ms:g})."
            )
        if self.compression_level is not None:
            if self.compression_type not in _LEVELS:
                raise ConfigurationValueError(
                    f"compression_level={self.compression_level} needs a compression_type that has levels "
                    f"({', '.join(_LEVELS)}), not {self.compression_type!r}."
                )
            low, high = _LEVELS[self.compression_type]
            if not low <= self.compression_level <= high:
                raise ConfigurationValueError(
                    f"compression_level must be {low} to {high} for {self.compression_type}, "
                    f"not {self.compression_level}."
                )


def _refuse_unknown(configs: Mapping[str, Any]) -> None:
    unknown = [key for key in configs if key not in DEFAULT_CONFIG]
    if not unknown:
        return
    from difflib import get_close_matches  # only on the way to an error

    named = []
    for key in unknown:
        # Java and librdkafka write dots and hyphens; the name is then usually the same otherwise.
        plain = str(key).lower().replace(".", "_").replace("-", "_")
        nearest = [_RENAMED[plain]] if plain in _RENAMED else get_close_matches(plain, DEFAULT_CONFIG, 1, 0.5)
        named.append(f"{key!r}" + (f" (did you mean {nearest[0]!r}?)" if nearest else ""))
    raise ConfigurationValueError(f"KafkaProducer has no configuration key {', nor '.join(named)}.")


def _refuse_unimplemented(configs: Mapping[str, Any]) -> None:
    for key, choices in _CHOICES.items():
        if key in configs and configs[key] not in choices:
            raise _wrong(key, " or ".join(map(repr, choices)), configs[key])
    # Values stay out of the message: some of them are passwords.
    early = [key for key in configs if key in NOT_IMPLEMENTED and not _is_default(key, configs[key])]
    if early:
        raise NotImplementedError(
            f"KafkaProducer does not implement {', '.join(early)} yet; leave {'it' if len(early) == 1 else 'them'} out "
            "or at the default."
        )


def _is_default(key: str, value: Any) -> bool:
    default = DEFAULT_CONFIG[key]
    return bool(value is default or (type(value) is type(default) and value == default))


def _wrong(key: str, wanted: str, value: Any) -> ConfigurationValueError:
    return ConfigurationValueError(f"{key} must be {wanted}, not {value!r} ({type(value).__name__}).")


def _whole(wanted: str, minimum: int, maximum: int = 2**31 - 1) -> Callable[[str, Any], int]:
    """A check for an integer; a float such as 1e6 counts when it is whole, a bool does not."""

    def check(key: str, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        try:
            number: int = value.__index__()
        except AttributeError:
            raise _wrong(key, wanted, value) from None
        if isinstance(value, bool) or not minimum <= number <= maximum:
            raise _wrong(key, wanted, value)
        return number

    return check


def _or_none(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda key, value: None if value is None else check(key, value)


def _number(key: str, value: Any, wanted: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise _wrong(key, wanted, value) from None
    if isinstance(value, (bool, str, bytes, bytearray)) or not number >= 0:  # NaN is not >= 0 either
        raise _wrong(key, wanted, value)
    return number


def _duration(key: str, value: Any) -> float:
    return _number(key, value, "a number of milliseconds, 0 or more")


def _finite_duration(key: str, value: Any) -> float:
    wanted = "a number of milliseconds from 0 to 2147483647"
    number = _number(key, value, wanted)
    if number > 2**31 - 1:  # it travels in requests as an int32
        raise _wrong(key, wanted, value)
    return number


def _window(key: str, value: Any) -> float:
    wanted = "a number of milliseconds, more than 0 and finite"
    number = _number(key, value, wanted)
    if not 0 < number < float("inf"):
        raise _wrong(key, wanted, value)
    return number


def _metric_reporters(key: str, value: Any) -> tuple[Callable[[], Any], ...]:
    wanted = "a list of classes that implement kafka.metrics.AbstractMetricsReporter"
    if not isinstance(value, (list, tuple)) or not all(callable(each) for each in value):
        raise _wrong(key, wanted, value)
    return tuple(value)


def _hooks(key: str, value: Any) -> tuple[object, ...]:
    wanted = "a list of objects with methods of kafka.hooks.Hooks"
    if not isinstance(value, (list, tuple)):
        raise _wrong(key, wanted, value)
    if value:
        from kafka.hooks import METHODS, is_implemented

        for hook in value:
            if isinstance(hook, type) or not any(is_implemented(hook, method) for method in METHODS):
                raise ConfigurationValueError(
                    f"{key}: {hook!r} has none of the methods {', '.join(METHODS)}"
                    f"{'; pass an instance, not the class' if isinstance(hook, type) else ''}."
                )
    return tuple(value)


def _retries(key: str, value: Any) -> float:
    wanted = 'a whole number of 0 or more, or float("inf")'
    number = _number(key, value, wanted)
    if number != float("inf") and not number.is_integer():
        raise _wrong(key, wanted, value)
    return number


def _bool(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(key, "True or False", value)
    return value


def encoded_size(text: str) -> float:
    """Its bytes in UTF-8; infinity where it has none."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return float("inf")


def _transactional_id(key: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < encoded_size(value) <= 32767:
        raise _wrong(key, "a string of 1 to 32767 bytes, or None", value)
    return value


def _acks(key: str, value: Any) -> int:
    if value == "all":
        return -1
    if isinstance(value, bool) or value not in (0, 1, -1):
        raise _wrong(key, "0, 1, -1 or 'all'", value)
    return int(value)


def _compression_type(key: str, value: Any) -> str | None:
    if value is None or value == "none":
        return None
    if value not in ("gzip", "snappy", "lz4", "zstd"):
        raise _wrong(key, "None, 'gzip', 'snappy', 'lz4' or 'zstd'", value)
    return str(value)


def _client_id(key: str, value: Any) -> str:
    if value is None:
        return f"kafka-turbo-producer-{next(_next_number)}"
    if not isinstance(value, str) or encoded_size(value) > 32767:
        raise _wrong(key, "a string of at most 32767 bytes", value)
    return value


def _rack(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(key, "a string, as in the brokers' broker.rack, or None", value)
    return value


def _serializer(key: str, value: Any) -> Serializer | None:
    if value is None:
        return None
    from kafka.serializer.wrapper import as_serializer

    try:
        return as_serializer(value)
    except TypeError as error:
        raise ConfigurationValueError(f"{key} must be {error} ({type(value).__name__}).") from None


def _partitioner(key: str, value: Any) -> Partitioner | str:
    if isinstance(value, str):
        if value == "murmur2":
            return DefaultPartitioner()
        if value not in ("crc32", "round_robin"):
            raise _wrong(key, "'murmur2', 'crc32', 'round_robin', a kafka.partitioner.Partitioner or a function", value)
        return value
    try:
        return as_partitioner(value)
    except TypeError as error:
        raise ConfigurationValueError(f"{key} must be {error} ({type(value).__name__}).") from None


def _api_version(key: str, value: Any) -> tuple[int, ...] | None:
    """Versions are always negotiated on each connection, so this only says that the broker need not be asked first."""
    if value is None or value == "auto":
        return None
    wanted = "a tuple such as (3, 9), or None"
    parts = value.split(".") if isinstance(value, str) else value
    try:
        version = tuple(int(part) for part in parts)
    except (TypeError, ValueError):
        raise _wrong(key, wanted, value) from None
    if not version or min(version) < 0:
        raise _wrong(key, wanted, value)
    return version


def _socket_options(key: str, value: Any) -> tuple[tuple[int, int, int | bytes], ...]:
    wanted = "a list of (level, option, value) tuples, as for socket.setsockopt"
    try:
        options = tuple(tuple(option) for option in value)
    except TypeError:
        raise _wrong(key, wanted, value) from None
    for option in options:
        if len(option) != 3 or not all(isinstance(part, int) for part in option[:2]):
            raise _wrong(key, wanted, value)
        if not isinstance(option[2], (int, bytes)):
            raise _wrong(key, wanted, value)
    return options


def _bootstrap_servers(key: str, value: Any) -> tuple[tuple[str, int], ...]:
    """(host, port) of each server, in order, without repetition.

    Accepted are a string, with commas between several, and any collection of strings; each is `host`, `host:port`,
    `[IPv6]`, `[IPv6]:port` or a bare IPv6 address, and may begin with `PROTOCOL://`. The port is 9092 where not given.
    """
    wanted = "'host:port', several with commas between, or a list of such strings"
    try:
        if iter(value) is value:  # read once here, it would be empty for whoever reads `producer.config`
            raise _wrong(key, wanted, value)
        entries = [entry.strip() for entry in (value.split(",") if isinstance(value, str) else value)]
    except (TypeError, AttributeError):
        raise _wrong(key, wanted, value) from None
    if not all(isinstance(entry, str) for entry in entries):
        raise _wrong(key, wanted, value)
    servers = dict.fromkeys(_address(key, entry) for entry in entries if entry)
    if not servers:
        raise _wrong(key, wanted, value)
    return tuple(servers)


def _address(key: str, entry: str) -> tuple[str, int]:
    scheme, _, address = entry.rpartition("://")
    # Other prefixes mean nothing to Kafka and are dropped, as kafka-python does; a protocol is a request for security.
    if scheme.upper() in _CHOICES["security_protocol"] and scheme.upper() != "PLAINTEXT":
        raise NotImplementedError(f"KafkaProducer does not implement {scheme}:// in {key} yet; only PLAINTEXT.")
    address = address.rstrip("/")
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
    number = int(port) if port.isascii() and port.isdigit() else 0
    if not valid or not 0 < number < 65536:
        raise ConfigurationValueError(
            f"{key}: {entry!r} is not a server's address; write 'host:port' or '[IPv6 address]:port', "
            "with a port from 1 to 65535."
        )
    return host, number


def _is_ipv6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return False
    return True


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "bootstrap_servers": _bootstrap_servers,
    "client_id": _client_id,
    "client_rack": _or_none(_rack),
    "key_serializer": _serializer,
    "value_serializer": _serializer,
    "enable_idempotence": _bool,
    "transactional_id": _transactional_id,
    "transaction_timeout_ms": _whole("a whole number of milliseconds, 1 or more", 1),
    "delivery_timeout_ms": _duration,
    "acks": _acks,
    "compression_type": _compression_type,
    "compression_level": _or_none(_whole("a whole number, or None for the codec's default", -(2**31))),
    "retries": _retries,
    "batch_size": _whole("a number of bytes, 0 or more", 0),
    "buffer_memory": _whole("a number of bytes, 1 or more", 1, 2**63 - 1),
    "linger_ms": _duration,
    "partitioner": _partitioner,
    "connections_max_idle_ms": _duration,
    "max_block_ms": _duration,
    "max_request_size": _whole("a number of bytes from 1 to 2147483647", 1),
    "allow_auto_create_topics": _bool,
    "metadata_max_age_ms": _duration,
    "retry_backoff_ms": _duration,
    "request_timeout_ms": _finite_duration,
    "receive_message_max_bytes": _whole("a number of bytes from 1 to 2147483647", 1),
    "receive_buffer_bytes": _or_none(_whole("a number of bytes, or None for the system's default", 1)),
    "send_buffer_bytes": _or_none(_whole("a number of bytes, or None for the system's default", 1)),
    "socket_options": _socket_options,
    "reconnect_backoff_ms": _duration,
    "reconnect_backoff_max_ms": _duration,
    "max_in_flight_requests_per_connection": _whole("a whole number of 1 or more", 1),
    "api_version": _api_version,
    "bootstrap_timeout_ms": _duration,
    "metric_reporters": _metric_reporters,
    "metrics_enabled": _bool,
    "metrics_num_samples": _whole("a whole number of 1 or more", 1),
    "metrics_sample_window_ms": _window,
    "hooks": _hooks,
}
