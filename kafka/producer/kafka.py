"""The producer, under the path of kafka-python."""

from kafka.producer.producer import KafkaProducer

__all__ = ["KafkaProducer"]
