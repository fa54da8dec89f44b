"""The producer."""

# By this path, though the class is elsewhere: instrumentation waits for kafka-python's module to be imported.
from kafka.producer.kafka import KafkaProducer

__all__ = ["KafkaProducer"]
