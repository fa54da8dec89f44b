"""What a producer can be told: every key with its default, how each is checked, and which are still to come.

The names and defaults are kafka-python's; `buffer_memory`, `client_rack` and `compression_level` are added to those of
any client (`kafka.config`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kafka import config
from kafka._log import Log
from kafka.config import Check, ClientConfig, boolean, duration, encoded_size, number, or_none, whole, wrong
from kafka.core.config import Config
from kafka.core.produce.partitions import MOST_IN_FLIGHT
from kafka.errors import ConfigurationValueError
from kafka.partitioner import DefaultPartitioner, Partitioner
from kafka.partitioner.abc import as_partitioner

if TYPE_CHECKING:
    from kafka.serializer import Serializer

DEFAULT_CONFIG: dict[str, Any] = {
    "bootstrap_servers": config.DEFAULTS["bootstrap_servers"],
    "client_id": config.DEFAULTS["client_id"],
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
    "connections_max_idle_ms": config.DEFAULTS["connections_max_idle_ms"],
    "max_block_ms": 60000,
    "max_request_size": 1048576,
    "allow_auto_create_topics": True,
    **config.DEFAULTS,  # the others, which come last
}

log = Log("kafka.producer")

_LEVELS = {"gzip": (1, 9), "lz4": (1, 17), "zstd": (-131072, 22)}


# -- checks ------------------------------------------------------------------------------------------------------------


def _retries(key: str, value: Any) -> float:
    wanted = 'a whole number of 0 or more, or float("inf")'
    count = number(key, value, wanted)
    if count != float("inf") and not count.is_integer():
        raise wrong(key, wanted, value)
    return count


def _transactional_id(key: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < encoded_size(value) <= 32767:
        raise wrong(key, "a string of 1 to 32767 bytes, or None", value)
    return value


def _acks(key: str, value: Any) -> int:
    if value == "all":
        return -1
    if isinstance(value, bool) or value not in (0, 1, -1):
        raise wrong(key, "0, 1, -1 or 'all'", value)
    return int(value)


def _compression_type(key: str, value: Any) -> str | None:
    if value is None or value == "none":
        return None
    if value not in ("gzip", "snappy", "lz4", "zstd"):
        raise wrong(key, "None, 'gzip', 'snappy', 'lz4' or 'zstd'", value)
    return str(value)


def _rack(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise wrong(key, "a string, as in the brokers' broker.rack, or None", value)
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
            raise wrong(key, "'murmur2', 'crc32', 'round_robin', a kafka.partitioner.Partitioner or a function", value)
        return value
    try:
        return as_partitioner(value)
    except TypeError as error:
        raise ConfigurationValueError(f"{key} must be {error} ({type(value).__name__}).") from None


CHECKS: dict[str, Check] = {
    **config.CHECKS,
    "client_id": config.client_id("producer"),
    "client_rack": or_none(_rack),
    "key_serializer": _serializer,
    "value_serializer": _serializer,
    "enable_idempotence": boolean,
    "transactional_id": _transactional_id,
    "transaction_timeout_ms": whole("a whole number of milliseconds, 1 or more", 1),
    "delivery_timeout_ms": duration,
    "acks": _acks,
    "compression_type": _compression_type,
    "compression_level": or_none(whole("a whole number, or None for the codec's default", -(2**31))),
    "retries": _retries,
    "batch_size": whole("a number of bytes, 0 or more", 0),
    "buffer_memory": whole("a number of bytes, 1 or more", 1, 2**63 - 1),
    "linger_ms": duration,
    "partitioner": _partitioner,
    "max_block_ms": duration,
    "max_request_size": whole("a number of bytes from 1 to 2147483647", 1),
    "allow_auto_create_topics": boolean,
}


class ProducerConfig(ClientConfig):
    """The checked configuration of one producer (see `ClientConfig`); attributes are the keys of DEFAULT_CONFIG."""

    CLIENT: ClassVar[str] = "KafkaProducer"
    DEFAULTS: ClassVar[Mapping[str, Any]] = DEFAULT_CONFIG
    CHECKS: ClassVar[Mapping[str, Check]] = CHECKS
    UNDERSTOOD: ClassVar[tuple[str, ...]] = (
        "client_id",
        "enable_idempotence",
        "acks",
        "compression_type",
        "key_serializer",
        "value_serializer",
        "partitioner",
    )

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
    max_block_ms: float
    max_request_size: int
    allow_auto_create_topics: bool

    def _settle(self, configs: Mapping[str, Any]) -> None:
        self.batch_size_given = "batch_size" in configs
        self._settle_idempotence("enable_idempotence" in configs)
        if self.delivery_timeout_ms < self.linger_ms + self.request_timeout_ms:
            raise ConfigurationValueError(
                f"delivery_timeout_ms ({self.delivery_timeout_ms:g}) must be at least linger_ms + request_timeout_ms "
                f"({self.linger_ms:g} + {self.request_timeout_ms:g}): a record needs time for one request."
            )
        super()._settle(configs)
        self._check_level()

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

    def _check_level(self) -> None:
        if self.compression_level is None:
            return
        if self.compression_type not in _LEVELS:
            raise ConfigurationValueError(
                f"compression_level={self.compression_level} needs a compression_type that has levels "
                f"({', '.join(_LEVELS)}), not {self.compression_type!r}."
            )
        low, high = _LEVELS[self.compression_type]
        if not low <= self.compression_level <= high:
            raise ConfigurationValueError(
                f"compression_level must be {low} to {high} for {self.compression_type}, not {self.compression_level}."
            )

    def for_core(self) -> Config:
        return super().for_core()._replace(allow_auto_create_topics=self.allow_auto_create_topics)
