"""A fast Kafka client for Python, a drop-in for kafka-python."""

__version__ = "0.1.0.dev0"
