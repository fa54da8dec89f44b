"""The producer."""

from kafka.producer.producer import KafkaProducer

__all__ = ["KafkaProducer"]
