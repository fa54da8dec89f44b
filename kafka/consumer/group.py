"""Import path of kafka-python that users' code and instrumentation name."""

from kafka.consumer.consumer import KafkaConsumer

__all__ = ["KafkaConsumer"]
