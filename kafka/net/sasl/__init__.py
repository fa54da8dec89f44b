"""Import paths of kafka-python 3 that users' code names."""

from kafka.net.sasl.abc import SaslMechanism
from kafka.net.sasl.msk import AwsMskTokenProvider
from kafka.net.sasl.oauth import AbstractTokenProvider
from kafka.security.sasl import register as register_sasl_mechanism

__all__ = ["AbstractTokenProvider", "AwsMskTokenProvider", "SaslMechanism", "register_sasl_mechanism"]
