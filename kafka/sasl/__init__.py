"""Import paths of kafka-python 2 that users' code names."""

from kafka.net.sasl import AbstractTokenProvider

__all__ = ["AbstractTokenProvider"]
