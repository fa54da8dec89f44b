"""What a consumer can be told: every key with its default, how each is checked, and which are still to come.

The names and defaults are kafka-python's; `fetch_buffer_bytes` is added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kafka import config
from kafka.config import Check, ClientConfig, boolean, duration, encoded_size, number, or_none, whole, wrong
from kafka.core.consume.offsets import EARLIEST, LATEST
from kafka.errors import ConfigurationValueError

if TYPE_CHECKING:
    from kafka.serializer import Deserializer

DEFAULT_CONFIG: dict[str, Any] = {
    "bootstrap_servers": config.DEFAULTS["bootstrap_servers"],
    "client_id": config.DEFAULTS["client_id"],
    "client_rack": "",
    "group_id": None,
    "group_instance_id": None,
    "key_deserializer": None,
    "value_deserializer": None,
    "enable_incremental_fetch_sessions": True,
    "fetch_max_wait_ms": 500,
    "fetch_min_bytes": 1,
    "fetch_max_bytes": 52428800,
    "fetch_buffer_bytes": None,
    "max_partition_fetch_bytes": 1048576,
    "auto_offset_reset": "latest",
    "enable_auto_commit": True,
    "auto_commit_interval_ms": 5000,
    "default_offset_commit_callback": None,
    "check_crcs": True,
    "isolation_level": "read_uncommitted",
    "allow_auto_create_topics": True,
    "exclude_internal_topics": True,
    "partition_assignment_strategy": None,
    "max_poll_records": 500,
    "max_poll_interval_ms": 300000,
    "session_timeout_ms": 45000,
    "heartbeat_interval_ms": 3000,
    "consumer_timeout_ms": float("inf"),
    "metric_group_prefix": "consumer",
    **config.DEFAULTS,  # the others, which come last
}

_DURATION = re.compile(r"by_duration:P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.I)
_PLACES = {"earliest": EARLIEST, "smallest": EARLIEST, "latest": LATEST, "largest": LATEST}


def _reset(key: str, value: Any) -> int | float | None:
    """A place of `kafka.core.consume.offsets`; seconds before now, as a float; None: an error is raised."""
    wanted = "'earliest', 'latest', 'by_duration:' and an ISO 8601 duration such as PT1H, or 'none'"
    if value is None or value == "none":
        return None
    if not isinstance(value, str):
        raise wrong(key, wanted, value)
    if value in _PLACES:
        return _PLACES[value]
    found = _DURATION.fullmatch(value)
    if found is None or not any(found.groups()):
        raise wrong(key, wanted, value)
    days, hours, minutes, seconds = (float(group or 0) for group in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _isolation(key: str, value: Any) -> int:
    levels = {"read_uncommitted": 0, "read_committed": 1}
    if value not in levels:
        raise wrong(key, "'read_uncommitted' or 'read_committed'", value)
    return levels[value]


def _rack(key: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or encoded_size(value) > 32767:
        raise wrong(key, "a string, as in the brokers' broker.rack", value)
    return value


def _deserializer(key: str, value: Any) -> Deserializer | None:
    if value is None:
        return None
    from kafka.serializer.wrapper import as_deserializer

    try:
        return as_deserializer(value)
    except TypeError as error:
        raise ConfigurationValueError(f"{key} must be {error} ({type(value).__name__}).") from None


def _timeout(key: str, value: Any) -> float:
    return number(key, value, 'a number of milliseconds, 0 or more, or float("inf")')


_bytes = whole("a number of bytes, 1 or more", 1)

CHECKS: dict[str, Check] = {
    **config.CHECKS,
    "client_id": config.client_id("consumer"),
    "client_rack": _rack,
    "key_deserializer": _deserializer,
    "value_deserializer": _deserializer,
    "enable_incremental_fetch_sessions": boolean,
    "fetch_max_wait_ms": whole("a whole number of milliseconds, 0 or more", 0),
    "fetch_min_bytes": whole("a number of bytes, 0 or more", 0),
    "fetch_max_bytes": _bytes,
    "fetch_buffer_bytes": or_none(_bytes),
    "max_partition_fetch_bytes": _bytes,
    "auto_offset_reset": _reset,
    "enable_auto_commit": boolean,
    "auto_commit_interval_ms": duration,
    "check_crcs": boolean,
    "isolation_level": _isolation,
    "allow_auto_create_topics": boolean,
    "exclude_internal_topics": boolean,
    "max_poll_records": whole("a whole number of 1 or more", 1),
    "consumer_timeout_ms": _timeout,
}


class ConsumerConfig(ClientConfig):
    """The checked configuration of one consumer (see `ClientConfig`); attributes are the keys of DEFAULT_CONFIG."""

    CLIENT: ClassVar[str] = "KafkaConsumer"
    DEFAULTS: ClassVar[Mapping[str, Any]] = DEFAULT_CONFIG
    CHECKS: ClassVar[Mapping[str, Check]] = CHECKS
    UNDERSTOOD: ClassVar[tuple[str, ...]] = ("client_id", "key_deserializer", "value_deserializer")

    client_rack: str
    key_deserializer: Deserializer | None
    value_deserializer: Deserializer | None
    enable_incremental_fetch_sessions: bool
    fetch_max_wait_ms: int
    fetch_min_bytes: int
    fetch_max_bytes: int
    fetch_buffer_bytes: int | None  # None: fetch_max_bytes
    max_partition_fetch_bytes: int
    auto_offset_reset: int | float | None  # a place, seconds before now (float), or None
    enable_auto_commit: bool
    auto_commit_interval_ms: float
    check_crcs: bool
    isolation_level: int
    allow_auto_create_topics: bool
    exclude_internal_topics: bool
    max_poll_records: int
    consumer_timeout_ms: float

    def _settle(self, configs: Mapping[str, Any]) -> None:
        if self.fetch_max_wait_ms >= self.request_timeout_ms:
            raise ConfigurationValueError(
                f"fetch_max_wait_ms ({self.fetch_max_wait_ms:g}) must be less than request_timeout_ms "
                f"({self.request_timeout_ms:g})."
            )
        least = self.fetch_max_bytes + self.max_partition_fetch_bytes
        self.receive_message_max_bytes = max(self.receive_message_max_bytes, min(least, 2**31 - 1))
        super()._settle(configs)
