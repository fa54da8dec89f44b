"""Reading from Kafka."""

from kafka.consumer.group import KafkaConsumer

__all__ = ["KafkaConsumer"]
