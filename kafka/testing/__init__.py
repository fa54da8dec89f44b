"""A Kafka cluster for tests, inside this process: `EmbeddedCluster`. `python -m kafka.testing` runs one by itself."""

from kafka.testing.cluster import EmbeddedCluster

__all__ = ["EmbeddedCluster"]
