"""Reading from Kafka. The client itself is still to come; its interfaces and records are here."""

from kafka.consumer.fetcher import ConsumerRecord
from kafka.consumer.group import KafkaConsumer
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener, ConsumerRebalanceListener

__all__ = ["AsyncConsumerRebalanceListener", "ConsumerRebalanceListener", "ConsumerRecord", "KafkaConsumer"]
