"""Reading from Kafka. The client itself is still to come; its interfaces and records are here."""

from kafka.consumer.group import KafkaConsumer

__all__ = ["KafkaConsumer"]
