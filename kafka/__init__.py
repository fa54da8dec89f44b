"""A fast Kafka client for Python, a drop-in for kafka-python.

Names load on first use (PEP 562): `import kafka` itself costs nothing.
"""

from kafka.version import __version__

# Type checkers take a variable of this name for true; importing typing's would cost more than all else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient
    from kafka.consumer import KafkaConsumer
    from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener, ConsumerRebalanceListener
    from kafka.producer import KafkaProducer
    from kafka.properties import load_config
    from kafka.serializer import DefaultSerializer, Deserializer, JsonSerializer, Serializer
    from kafka.structs import (
        ConsumerGroupMetadata,
        IsolationLevel,
        OffsetAndMetadata,
        OffsetSpec,
        SubscriptionPattern,
        TopicPartition,
        TopicPartitionReplica,
    )

__all__ = [
    "AsyncConsumerRebalanceListener",
    "ConsumerGroupMetadata",
    "ConsumerRebalanceListener",
    "DefaultSerializer",
    "Deserializer",
    "IsolationLevel",
    "JsonSerializer",
    "KafkaAdminClient",
    "KafkaConsumer",
    "KafkaProducer",
    "OffsetAndMetadata",
    "OffsetSpec",
    "Serializer",
    "SubscriptionPattern",
    "TopicPartition",
    "TopicPartitionReplica",
    "__version__",
    "load_config",
]

_HOMES = {
    "KafkaAdminClient": "kafka.admin",
    "KafkaConsumer": "kafka.consumer",
    "AsyncConsumerRebalanceListener": "kafka.consumer.subscription_state",
    "ConsumerRebalanceListener": "kafka.consumer.subscription_state",
    "KafkaProducer": "kafka.producer",
    "load_config": "kafka.properties",
    **dict.fromkeys(("DefaultSerializer", "Deserializer", "JsonSerializer", "Serializer"), "kafka.serializer"),
    **dict.fromkeys(("ConsumerGroupMetadata", "OffsetAndMetadata", "IsolationLevel", "OffsetSpec"), "kafka.structs"),
    **dict.fromkeys(("SubscriptionPattern", "TopicPartition", "TopicPartitionReplica"), "kafka.structs"),
}
# With kafka-python, `import kafka` is enough for `kafka.errors.KafkaError` and the like.
_MODULES = frozenset(("admin", "consumer", "errors", "partitioner", "producer", "protocol", "serializer", "structs"))


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"kafka.{name}")  # importing it also sets it here
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'kafka' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
