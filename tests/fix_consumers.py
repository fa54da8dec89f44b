"""Plugin: consumers, and a producer, of a module's `cluster`; `consumer_defaults` may be another one for a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka import KafkaConsumer, KafkaProducer
from kafka.testing import EmbeddedCluster


@pytest.fixture
def producer(cluster: EmbeddedCluster) -> Iterator[KafkaProducer]:
    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
        yield producer


@pytest.fixture
def consumer_defaults() -> dict[str, Any]:
    return {"auto_offset_reset": "earliest"}


@pytest.fixture
def make(cluster: EmbeddedCluster, consumer_defaults: dict[str, Any]) -> Iterator[Callable[..., KafkaConsumer]]:
    """`make(*topics, **configs)` is a consumer, which is closed when the test ends."""
    made: list[KafkaConsumer] = []

    def consumer(*topics: str, **configs: Any) -> KafkaConsumer:
        made.append(KafkaConsumer(*topics, bootstrap_servers=cluster.bootstrap, **{**consumer_defaults, **configs}))
        return made[-1]

    yield consumer
    for each in made:
        each.close(timeout_ms=2000)
