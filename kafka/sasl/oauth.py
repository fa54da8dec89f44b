"""Import path of kafka-python 2 that users' code names."""

from kafka.net.sasl.oauth import AbstractTokenProvider

__all__ = ["AbstractTokenProvider"]
