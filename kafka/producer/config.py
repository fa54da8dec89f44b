"""What a producer can be told. The names and defaults are kafka-python's; `buffer_memory`, `client_rack` and
`compression_level` are added to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kafka._log import Log
from kafka.config import ClientConfig
from kafka.config.key import (
    Key,
    Kind,
    Unwanted,
    boolean,
    choice,
    encoded_size,
    milliseconds,
    number,
    numbered,
    or_none,
    whole,
)
from kafka.core.config import Config
from kafka.core.produce.partitions import MOST_IN_FLIGHT
from kafka.errors import ConfigurationValueError
from kafka.partitioner import DefaultPartitioner, Partitioner
from kafka.partitioner.abc import as_partitioner
from kafka.records.compression import LEVELS

if TYPE_CHECKING:
    from kafka.serializer import Serializer

log = Log("kafka.producer")


# -- what some of the keys take ----------------------------------------------------------------------------------------


def _retries(value: Any) -> float:
    count = number(value)
    if count != float("inf") and not count.is_integer():
        raise Unwanted
    return count


def _transactional_id(value: Any) -> str:
    if not isinstance(value, str) or not 0 < encoded_size(value) <= 32767:
        raise Unwanted
    return value


def _rack(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Unwanted
    return value


def _serializer(value: Any) -> Serializer | None:
    if value is None:
        return None
    if isinstance(value, str) and value == "json":
        from kafka.serializer.json import CompactJsonSerializer

        return CompactJsonSerializer()
    from kafka.serializer.wrapper import as_serializer

    try:
        return as_serializer(value)
    except TypeError:
        raise Unwanted from None


def _partitioner(value: Any) -> Partitioner | str:
    if isinstance(value, str):
        if value == "murmur2":
            return DefaultPartitioner()
        if value not in ("crc32", "round_robin"):
            raise Unwanted
        return value
    if isinstance(value, type):
        raise Unwanted(f" must be an instance, not the class itself: {value.__name__}().")
    try:
        return as_partitioner(value)
    except TypeError:
        raise Unwanted from None


_serializers = Kind(
    'Serializes | Callable[[Any], Any] | Literal["json"] | None',
    "a function, a kafka.serializer.Serializer or 'json', or None for bytes as they are",
    _serializer,
)


class ProducerConfig(ClientConfig):
    """The checked configuration of one producer (see `ClientConfig`)."""

    CLIENT: ClassVar[str] = "KafkaProducer"
    TITLE = "Producing"
    UNDERSTOOD: ClassVar[tuple[str, ...]] = (
        "client_id",
        "enable_idempotence",
        "acks",
        "compression_type",
        "key_serializer",
        "value_serializer",
        "partitioner",
    )

    acks: Key[int] = Key(  # 0, 1 or -1
        choice(0, 1, -1, "all", meaning={"all": -1}),
        -1,
        "Who has to have a record before it counts as delivered: `'all'` or -1 the in-sync replicas, 1 the leader "
        "alone, 0 nobody. Less than all loses records when a leader dies, and turns idempotence off; it answers "
        "sooner, so it is for data that may be lost.",
    )
    enable_idempotence = Key(
        boolean,
        True,
        "Whether retries can neither double records nor change their order. It needs `acks='all'`, `retries` of 1 or "
        "more and at most 5 `max_in_flight_requests_per_connection`: given with others it is an error, left out it is "
        "then off, with a warning. Turn it off to say that this is meant.",
    )
    transactional_id = Key(
        or_none(Kind("str", "a string of 1 to 32767 bytes", _transactional_id), "no transactions"),
        None,
        "The name under which this producer has transactions, one after the other; a second producer with it fences "
        "the first. Set it to something that stays the same when the program starts again.",
    )
    transaction_timeout_ms = Key(
        whole("milliseconds", 1),
        60000,
        "After how long the brokers abort a transaction that has not ended. Raise it for transactions that take "
        "longer, up to the brokers' `transaction.max.timeout.ms`; lower it to hold up readers less when a producer "
        "dies.",
    )
    delivery_timeout_ms = Key(
        milliseconds(),
        120000,
        "How long after `send()` a record may wait for its outcome, retries included; then its future fails. Not less "
        "than `linger_ms` and `request_timeout_ms` together. Raise it to outlast longer outages, with a "
        "`buffer_memory` that holds what is sent meanwhile.",
    )
    retries = Key(
        Kind("float", 'a whole number of 0 or more, or float("inf")', _retries),
        float("inf"),
        "How often a batch is sent again after an error that may pass. Leave it: `delivery_timeout_ms` is the better "
        "limit.",
    )
    linger_ms = Key(
        milliseconds(),
        0,
        "How long a batch waits for more records before it is sent. Batches also fill while a connection is busy, so "
        "the default already makes full ones under load. Raise it to 5 or more for fewer and larger requests at "
        "moderate rates.",
    )
    batch_size = Key(
        whole("bytes", 0),
        16384,
        "How large a batch may become. Left out, one of 16 KiB is sent as soon as a connection has room and grows to "
        "256 KiB while none has; given, it is an upper bound. Set it to 131072 or so where throughput matters most.",
    )
    buffer_memory = Key(
        whole("bytes", 1, 2**63 - 1),
        32 * 1024 * 1024,
        "How much memory records may wait in. While it is full, `send()` waits. Raise it to take in more while brokers "
        "are away: the rate in bytes a second times the seconds.",
    )
    max_block_ms = Key(
        milliseconds(),
        60000,
        "How long `send()` may wait for memory or for what is known of a topic, and how long the methods of "
        "transactions may wait; then KafkaTimeoutError is raised. Lower it where a caller must not be held up.",
    )
    max_request_size = Key(
        whole("bytes", 1),
        1048576,
        "The largest record and the largest request. Raise it together with the topic's `max.message.bytes` for larger "
        "records.",
    )
    compression_type: Key[str | None] = Key(
        choice(None, "none", "gzip", "snappy", "lz4", "zstd", meaning={"none": None}),
        None,
        "How batches are compressed. zstd makes the smallest, lz4 costs the least time; both pay off where the network "
        "or the brokers' disks are the limit.",
    )
    compression_level = Key(
        or_none(whole("", -(2**31)), "the codec's default"),
        None,
        f"How hard it is tried: {', '.join(f'{low} to {high} for {name}' for name, (low, high, _) in LEVELS.items())}. "
        "Higher levels make smaller batches and take more time on the IO thread.",
    )
    key_serializer = Key(
        _serializers,
        None,
        "Makes bytes of each key: a function of the key, or an object with `serialize(topic, headers, data)`. It runs "
        "in `send()`. 'json' makes compact JSON in UTF-8: `json.dumps(key, ensure_ascii=False, separators=(',', ':'))`,"
        " in less time. Without one, keys are bytes, or None.",
    )
    value_serializer = Key(_serializers, None, "The same for values.")
    partitioner: Key[Partitioner | str] = Key(
        Kind(
            'Literal["murmur2", "crc32", "round_robin"] | Partitions | Callable[..., int]',
            "'murmur2', 'crc32', 'round_robin', a kafka.partitioner.Partitioner or a function",
            _partitioner,
        ),
        DefaultPartitioner(),
        "Chooses the partition of a record that is sent without one. The default places keys as Java does and spreads "
        "records without a key over the least busy partitions; 'crc32' places keys as librdkafka does. Change it where "
        "other producers of the topic place keys otherwise.",
    )
    client_rack = Key(
        or_none(Kind("str", "a string, as in the brokers' broker.rack", _rack), "no preference"),
        None,
        "Where this client is, as the brokers' `broker.rack` says it: records without a key go to leaders there while "
        "one can be reached. Set it where traffic between zones costs money or time.",
    )
    allow_auto_create_topics = Key(
        boolean,
        True,
        "Whether asking about an unknown topic may create it, where the brokers allow that too. Turn it off to have a "
        "misspelt topic be an error.",
    )
    client_id = ClientConfig.client_id.changed(kind=numbered("producer"))

    batch_size_given: bool

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
        if self.compression_type not in LEVELS:
            raise ConfigurationValueError(
                f"compression_level={self.compression_level} needs a compression_type that has levels "
                f"({', '.join(LEVELS)}), not {self.compression_type!r}."
            )
        low, high, _ = LEVELS[self.compression_type]
        if not low <= self.compression_level <= high:
            raise ConfigurationValueError(
                f"compression_level must be {low} to {high} for {self.compression_type}, not {self.compression_level}."
            )

    def for_core(self) -> Config:
        return super().for_core()._replace(allow_auto_create_topics=self.allow_auto_create_topics)


DEFAULT_CONFIG = ProducerConfig.defaults()
