"""Compressed batches that a broker answers with MESSAGE_TOO_LARGE: they are split, whatever they decompress to."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.records.compression import Codec
from kafka.testing import EmbeddedCluster

TOO_LARGE = 10


@contextmanager
def refusing_first() -> Generator[EmbeddedCluster]:
    """A cluster that answers its first produce request with MESSAGE_TOO_LARGE."""
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        handlers = cluster.nodes[0].handlers
        produce = handlers[0]

        def refuse(node: Any, header: Any, request: Any) -> Any:
            handlers[0] = produce
            response = produce(node, header, request)
            for topic in response.responses:
                for partition in topic.partition_responses:
                    partition.error_code, partition.base_offset = TOO_LARGE, -1
            return response

        handlers[0] = refuse
        yield cluster
        assert handlers[0] is produce


def sending(cluster: EmbeddedCluster) -> tuple[KafkaProducer, list[Any]]:
    """A producer, and the futures of the records that are its first batch."""
    producer = KafkaProducer(
        bootstrap_servers=cluster.bootstrap, compression_type="zstd", linger_ms=500, batch_size=1 << 20
    )
    return producer, [producer.send("t", b"%d" % number * 1000) for number in range(9)]


def test_a_batch_larger_than_a_reader_would_take_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Codec.decompress

    def as_a_reader(self: Codec, data: Any, limit: int = 2000) -> Any:
        return read(self, data, limit)

    monkeypatch.setattr(Codec, "decompress", as_a_reader)
    with refusing_first() as cluster:
        producer, futures = sending(cluster)
        with producer:
            assert sorted(future.get(60).offset for future in futures) == list(range(9, 18))


def test_one_that_cannot_be_split_fails_and_the_producer_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(self: Codec, data: Any, limit: int = 0) -> Any:
        raise MemoryError

    monkeypatch.setattr(Codec, "decompress", no_memory)
    with refusing_first() as cluster:
        producer, futures = sending(cluster)
        with producer:
            for future in futures:
                with pytest.raises(KafkaError, match=r"could not be split: MemoryError\(\)"):
                    future.get(60)
            assert producer.send("t", b"later").get(60).offset >= 0
