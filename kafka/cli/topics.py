"""What commands ask about topics, of any client."""

from __future__ import annotations

from typing import Any

from kafka.client import Client
from kafka.core.cluster.routes import ANY, CONTROLLER
from kafka.protocol import CreateTopicsRequest, MetadataRequest

_TIMEOUT = 30.0


def partitions(client: Client, topic: str) -> list[int]:
    """Raises UnknownTopicOrPartitionError if there is no such topic: none is created."""
    asked = MetadataRequest.MetadataRequestTopic(name=topic)
    request = MetadataRequest(topics=[asked], allow_auto_topic_creation=False)
    (found,) = _obtain(client, ANY, request, f"topic {topic}").topics
    if found.error is not None:
        raise found.error.about(f"topic {topic}")
    return sorted(partition.partition_index for partition in found.partitions)


def create_topic(client: Client, topic: str, partitions: int) -> None:
    """With the cluster's default replication; raises TopicAlreadyExistsError, ..."""
    wanted = CreateTopicsRequest.CreatableTopic(name=topic, num_partitions=partitions, replication_factor=-1)
    for found in _obtain(client, CONTROLLER, CreateTopicsRequest(topics=[wanted]), f"topic {topic}").topics:
        if found.error is not None:
            raise found.error.about(f"topic {topic}")


def _obtain(client: Client, route: Any, request: Any, what: str) -> Any:
    def ask(answer: Any, now: float) -> None:
        client._core.calls.request(route, type(request), lambda version: request, answer, now, _TIMEOUT)

    return client._obtain(ask, _TIMEOUT + 5, what)
