"""Import paths of kafka-python 3 that users' code names."""

from kafka.net.sasl.oauth import AbstractTokenProvider

__all__ = ["AbstractTokenProvider"]
