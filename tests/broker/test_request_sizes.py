"""A request above socket.request.max.bytes, at a real broker: it closes the connection and says nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from kafka import KafkaProducer
from kafka.errors import MessageSizeTooLargeError, Persisted
from tests.broker.cluster import KafkaCluster

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster(configs={"socket.request.max.bytes": "100000"}) as cluster:
        cluster.create_topic("t", partitions=4)
        yield cluster


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_record_that_is_too_large_is_told_so_and_its_neighbours_arrive(
    cluster: KafkaCluster, idempotent: bool
) -> None:
    with KafkaProducer(
        bootstrap_servers=cluster.bootstrap, max_request_size=10_000_000, enable_idempotence=idempotent
    ) as producer:
        begun = time.monotonic()
        small = [producer.send("t", b"small", partition=number % 4) for number in range(8)]
        large = producer.send("t", bytes(3_000_000), partition=1)
        small += [producer.send("t", b"small", partition=number % 4) for number in range(8)]
        with pytest.raises(MessageSizeTooLargeError, match=r"for t\[1\].*socket.request.max.bytes") as caught:
            large.get(60)
        assert time.monotonic() - begun < 60, "far below delivery_timeout_ms"
        if idempotent:
            assert caught.value.persisted is Persisted.NOT_PERSISTED
        assert all(future.get(30).offset >= 0 for future in small)


def test_batches_that_are_too_large_together_arrive(cluster: KafkaCluster) -> None:
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, linger_ms=20) as producer:
        futures = [producer.send("t", bytes(1000), partition=number % 4) for number in range(2000)]
        producer.flush(100)
        assert all(future.succeeded() for future in futures)
