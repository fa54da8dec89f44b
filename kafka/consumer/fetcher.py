"""Import path of kafka-python that users' code names."""

from kafka._codec import ConsumerRecord

__all__ = ["ConsumerRecord"]
