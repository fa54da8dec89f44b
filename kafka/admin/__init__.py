"""Managing a cluster. The client is still to come."""

from kafka.admin.client import KafkaAdminClient

__all__ = ["KafkaAdminClient"]
