"""Plugin: scripted brokers, and producers that are gone when their test ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka import KafkaProducer
from tests.producer.brokers import ScriptedCluster


@pytest.fixture
def cluster() -> Iterator[ScriptedCluster]:
    """One scripted broker with the topics `t` (1 partition) and `t4` (4)."""
    with ScriptedCluster(topics={"t": 1, "t4": 4}) as cluster:
        yield cluster


@pytest.fixture
def make_producer(cluster: ScriptedCluster) -> Iterator[Callable[..., KafkaProducer]]:
    """`make_producer(**configs)`: a producer of `cluster`; closed at the test's end, whatever became of its records."""
    made: list[KafkaProducer] = []

    def make(**configs: Any) -> KafkaProducer:
        producer = KafkaProducer(**{"bootstrap_servers": cluster.bootstrap, **configs})
        made.append(producer)
        return producer

    yield make
    cluster.thaw()
    for producer in made:
        with contextlib.suppress(Exception):
            producer.close(timeout=2)


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """The test leaves no thread of the client behind."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and "-io" in thread.name]
    for thread in left:
        thread.join(5)
    assert not [thread for thread in left if thread.is_alive()]
