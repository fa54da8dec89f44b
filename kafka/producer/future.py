"""What `send()` returns and what that resolves to, under the path of kafka-python."""

from kafka._codec import FutureRecordMetadata, FutureRecords
from kafka.structs import RecordMetadata

__all__ = ["FutureRecordMetadata", "FutureRecords", "RecordMetadata"]
