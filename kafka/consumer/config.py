"""What a consumer can be told. The names and defaults are kafka-python's; `fetch_buffer_bytes` is added to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kafka.config import ClientConfig
from kafka.config.key import (
    Key,
    Kind,
    Unwanted,
    boolean,
    choice,
    encoded_size,
    milliseconds,
    numbered,
    or_none,
    unchecked,
    whole,
)
from kafka.consumer.assignors import as_strategy
from kafka.core.consume.offsets import EARLIEST, LATEST
from kafka.core.groups.assignors import STRATEGIES, Strategy
from kafka.errors import ConfigurationValueError, InvalidGroupIdError

if TYPE_CHECKING:
    from kafka.serializer import Deserializer

_DURATION = re.compile(r"by_duration:P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.I)
_PLACES = {"earliest": EARLIEST, "smallest": EARLIEST, "latest": LATEST, "largest": LATEST}


# -- what some of the keys take ----------------------------------------------------------------------------------------


def _reset(value: Any) -> int | float | None:
    """A place of `kafka.core.consume.offsets`; seconds before now, as a float; None: an error is raised."""
    if value is None or value == "none":
        return None
    if not isinstance(value, str):
        raise Unwanted
    if value in _PLACES:
        return _PLACES[value]
    found = _DURATION.fullmatch(value)
    if found is None or not any(found.groups()):
        raise Unwanted
    days, hours, minutes, seconds = (float(group or 0) for group in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _rack(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or encoded_size(value) > 32767:
        raise Unwanted
    return value


def _deserializer(value: Any) -> Deserializer | None:
    if value is None:
        return None
    from kafka.serializer.wrapper import as_deserializer

    try:
        return as_deserializer(value)
    except TypeError:
        raise Unwanted from None


_deserializers = Kind(
    "Deserializes | Callable[[Any], Any] | None",
    "a function or a kafka.serializer.Deserializer, or None for bytes as they are",
    _deserializer,
)


def _group(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):  # as kafka-python takes it
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str) or encoded_size(value) > 32767:
        raise Unwanted
    if not value:
        raise InvalidGroupIdError("group_id must not be empty; leave it out to read without a group.")
    return value


def _instance(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", value) or value in (".", ".."):
        raise Unwanted
    return value


def _assignor(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise Unwanted
    found: str | None = value
    return found


def _strategies(value: Any) -> tuple[Strategy, ...]:
    try:
        given = [value] if isinstance(value, str) else list(value)
    except TypeError:
        raise Unwanted from None
    found = [as_strategy(each) for each in given]
    names = [strategy.name for strategy in found if strategy is not None]
    if not found or None in found or len(set(names)) < len(found):
        raise Unwanted
    return tuple(strategy for strategy in found if strategy is not None)


def _callback(value: Any) -> Callable[..., Any] | None:
    if value is not None and not callable(value):
        raise Unwanted
    found: Callable[..., Any] | None = value
    return found


class ConsumerConfig(ClientConfig):
    """The checked configuration of one consumer (see `ClientConfig`)."""

    CLIENT: ClassVar[str] = "KafkaConsumer"
    TITLE = "Reading"
    UNDERSTOOD: ClassVar[tuple[str, ...]] = ("client_id", "key_deserializer", "value_deserializer")

    auto_offset_reset = Key(
        Kind(
            "str | None",
            "'earliest', 'latest', 'by_duration:' and an ISO 8601 duration such as PT1H, or 'none'",
            _reset,
        ),
        "latest",
        "Where reading begins in a partition without a position, or whose position is no longer in the log. 'none' "
        "raises an error instead. Set it to 'earliest' to miss nothing.",
    )
    consumer_timeout_ms = Key(
        milliseconds(),
        float("inf"),
        "How long iterating waits for the next record before it ends. Set it to read what is there, and stop.",
    )
    isolation_level: Key[int] = Key(
        choice("read_uncommitted", "read_committed", meaning={"read_uncommitted": 0, "read_committed": 1}),
        "read_uncommitted",
        "Whether records of transactions are read before these have ended, and of aborted ones at all. Set it to "
        "'read_committed' for topics that transactions write to.",
    )
    key_deserializer = Key(
        _deserializers,
        None,
        "Makes of the bytes of each key what the record has: a function of the bytes, or an object with "
        "`deserialize(topic, headers, data)`.",
    )
    value_deserializer = Key(_deserializers, None, "The same for values.")
    max_poll_records = Key(
        whole("", 1),
        500,
        "How many records one `poll()` returns at most. They are fetched ahead whatever it is; raise it for programs "
        "that work on many at once.",
    )
    fetch_min_bytes = Key(
        whole("bytes", 0),
        1,
        "How much a broker waits to have before it answers, at most `fetch_max_wait_ms`. Raise it for fewer, larger "
        "answers that come later.",
    )
    fetch_max_wait_ms = Key(
        whole("milliseconds", 0),
        500,
        "How long a broker waits for `fetch_min_bytes`. Less than `request_timeout_ms`.",
    )
    fetch_max_bytes = Key(
        whole("bytes", 1),
        52428800,
        "How much one answer of a broker holds; a record that is larger comes alone.",
    )
    max_partition_fetch_bytes = Key(
        whole("bytes", 1),
        1048576,
        "How much of one partition an answer holds; a record that is larger comes alone. Raise it to read few "
        "partitions faster over a long line.",
    )
    fetch_buffer_bytes = Key(
        or_none(whole("bytes", 1), "`fetch_max_bytes`"),
        None,
        "How much may be fetched and not yet read, of all brokers together. Lower it to save memory.",
    )
    enable_incremental_fetch_sessions = Key(
        boolean,
        True,
        "Whether brokers remember which partitions are fetched, so that requests need to name changes only. Turn it "
        "off for brokers that have no room for sessions.",
    )
    check_crcs = Key(
        boolean,
        True,
        "Whether the checksum of each batch is compared. It finds data that was damaged on its way or on a disk; "
        "leave it.",
    )
    client_rack = Key(
        Kind("str | None", "a string, as in the brokers' broker.rack", _rack),
        "",
        "Where this client is, as the brokers' `broker.rack` says it: a replica there is read from, where the brokers' "
        "`replica.selector.class` allows it. Set it where traffic between zones costs money or time.",
    )
    allow_auto_create_topics = Key(
        boolean,
        True,
        "Whether asking about an unknown topic may create it, where the brokers allow that too. Turn it off to have a "
        "misspelt topic be an error.",
    )
    exclude_internal_topics = Key(
        boolean, True, "Whether a pattern leaves out the brokers' own topics, such as `__consumer_offsets`."
    )
    enable_auto_commit = Key(
        boolean,
        True,
        "Whether positions are committed from time to time, where there is a group. Turn it off to commit them "
        "yourself, once the records are dealt with.",
    )
    auto_commit_interval_ms = Key(
        milliseconds(),
        5000,
        "How often `enable_auto_commit` commits. Lower it to read less again after a failure.",
    )
    client_id = ClientConfig.client_id.changed(kind=numbered("consumer"))

    group_id = Key(
        Kind("str | None", "a string of at most 32767 bytes, or None", _group),
        None,
        "The group whose members share the partitions of the topics they subscribe, and commit how far they have come. "
        "Leave it out to read all of them, from where `auto_offset_reset` says.",
    )
    group_protocol: Key[str] = Key(
        choice("classic", "consumer"),
        "classic",
        "How members of a group agree who reads what. With 'consumer' (KIP-848, Kafka 4.0 and newer) the brokers "
        "decide, nobody stops for what others take on or give up, and sessions and heartbeats are as the brokers' "
        "configuration says. Brokers that do not have it are spoken to as with 'classic'.",
    )
    group_remote_assignor = Key(
        Kind("str | None", "a string, or None for the brokers' first", _assignor),
        None,
        "The brokers' assignor, with `group_protocol='consumer'`: 'uniform' (balanced, with few moves) or 'range'.",
    )
    group_instance_id = Key(
        Kind("str | None", "1 to 249 letters, digits, '.', '_' and '-', or None", _instance),
        None,
        "A member's name that outlives its process. Set it to have a process that is started again within "
        "`session_timeout_ms` find its partitions as it left them, without a rebalance.",
    )
    session_timeout_ms = Key(
        whole("milliseconds", 1),
        45000,
        "After how long without a heartbeat a member counts as dead, and its partitions go to others. Lower it to have "
        "them read again sooner; the brokers have limits (`group.min.session.timeout.ms`).",
    )
    heartbeat_interval_ms = Key(
        whole("milliseconds", 1),
        3000,
        "How often a member says that it is there, and hears of a rebalance. Less than `session_timeout_ms`, better a "
        "third of it.",
    )
    max_poll_interval_ms = Key(
        whole("milliseconds", 1),
        300000,
        "After how long without a `poll()` a member leaves, so that others get its partitions. Raise it where records "
        "take long to deal with, or lower `max_poll_records`.",
    )
    partition_assignment_strategy = Key(
        Kind(
            "Sequence[Any]",
            f"a list of {', '.join(map(repr, STRATEGIES))}, or of assignors of your own (classes or objects)",
            _strategies,
        ),
        ("range", "roundrobin"),
        "How a group's partitions are shared out, the most wanted first; all members must have one in common. "
        "'cooperative-sticky' goes on reading what a member keeps while the group rebalances.",
    )
    default_offset_commit_callback = Key(
        Kind("Callable[..., Any] | None", "a function (offsets, error or None), or None", _callback),
        None,
        "What is called when a commit without a callback of its own has ended; in the thread that reads.",
    )
    metric_group_prefix = Key(unchecked("str", "a string"), "consumer", "What groups of metrics begin with.",
                              implemented=False)  # fmt: skip

    def _settle(self, configs: Mapping[str, Any]) -> None:
        if self.fetch_max_wait_ms >= self.request_timeout_ms:
            raise ConfigurationValueError(
                f"fetch_max_wait_ms ({self.fetch_max_wait_ms:g}) must be less than request_timeout_ms "
                f"({self.request_timeout_ms:g})."
            )
        if self.heartbeat_interval_ms >= self.session_timeout_ms:
            raise ConfigurationValueError(
                f"heartbeat_interval_ms ({self.heartbeat_interval_ms}) must be less than session_timeout_ms"
                f" ({self.session_timeout_ms}), better a third of it."
            )
        if self.group_instance_id is not None and self.group_id is None:
            raise ConfigurationValueError("group_instance_id needs a group_id.")
        least = self.fetch_max_bytes + self.max_partition_fetch_bytes
        self.receive_message_max_bytes = max(self.receive_message_max_bytes, min(least, 2**31 - 1))
        super()._settle(configs)


DEFAULT_CONFIG = ConsumerConfig.defaults()
