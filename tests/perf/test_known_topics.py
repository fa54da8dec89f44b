"""A turn of the IO thread with 10 busy topics costs the same whether 10 topics are known or 10,000."""

from __future__ import annotations

import gc
import random
import time
from typing import Any

import pytest

from kafka._codec import Accumulator, ManualHost, ProducerBase
from kafka.core.config import Config
from kafka.core.core import Core
from kafka.core.effects import Send
from kafka.core.net.lanes import Lane
from kafka.core.produce.path import Produce, ProduceConfig
from kafka.protocol import (
    ApiVersionsResponse,
    InitProducerIdResponse,
    MetadataRequest,
    MetadataResponse,
    ProduceRequest,
    ProduceResponse,
    decode_request,
    encode_response,
)
from kafka.result import Result

pytestmark = pytest.mark.timing

ACTIVE = 10
ROUNDS = 60


class Client:
    """The real core with one connection, whose answers are made outside of what is measured."""

    def __init__(self, known: int) -> None:
        self.host = ManualHost()
        self.host.now = 100.0
        self.core = Core(Config(bootstrap=(("kafka", 9092),)), random.Random(1))
        self.accumulator = Accumulator(self.host, memory=64 << 20, linger=0.0, delivery_timeout=120.0)
        self.core.attach(Produce(self.core.services, self.accumulator, ProduceConfig(idempotent=True)))
        self.producer = ProducerBase(self.accumulator)
        self.topics = [f"topic-{number}" for number in range(known)]
        self.seconds = 0.0
        self.best = float("inf")
        self.connect()
        for topic in self.topics:  # each has been used once
            self.producer.send(topic, b"x", partition=None)
        self.until_quiet()

    def connect(self) -> None:
        core, now = self.core, self.host.now
        core.metadata.learn(self.metadata(self.topics), 12, now)
        for name in self.topics:
            core.metadata.want(name, now)
        core.services.brokers(Lane.PRODUCE).ensure(0, now)
        core.effects()
        core.resolved("kafka", 9092, [("10.0.0.1", 9092)], now)
        (connect,) = core.effects()
        self.connection = connect.connection_id
        core.connected(self.connection, now)
        core.effects()
        keys = ((0, 3, 13), (3, 0, 13), (22, 0, 5))
        versions = [
            ApiVersionsResponse.ApiVersion(api_key=key, min_version=low, max_version=high) for key, low, high in keys
        ]
        core.received(
            self.connection, b"".join(encode_response(ApiVersionsResponse(api_keys=versions), 4, 0).unwrap()), now
        )

    def metadata(self, names: list[str]) -> MetadataResponse:
        broker = MetadataResponse.MetadataResponseBroker(node_id=0, host="kafka", port=9092)
        place = MetadataResponse.MetadataResponsePartition(partition_index=0, leader_id=0, leader_epoch=0)
        topics = [
            MetadataResponse.MetadataResponseTopic(name=name, topic_id=name.encode().rjust(16), partitions=[place])
            for name in names
        ]
        return MetadataResponse(brokers=[broker], topics=topics, controller_id=0)

    def turn(self) -> bool:
        """One turn; whether anything was sent."""
        start = time.thread_time()
        self.core.tick(self.host.now)
        effects = self.core.effects()
        self.core.next_deadline()
        self.seconds += time.thread_time() - start
        sent = [effect for effect in effects if isinstance(effect, Send)]
        for effect in sent:
            answer = self.answer(b"".join(effect.buffers)[4:])
            start = time.thread_time()
            self.core.received(self.connection, answer, self.host.now)
            self.seconds += time.thread_time() - start
        return bool(sent)

    def answer(self, frame: bytes) -> bytes:
        header, request = decode_request(frame).unwrap()
        response: Any
        if isinstance(request, ProduceRequest):
            response = ProduceResponse(
                responses=[
                    ProduceResponse.TopicProduceResponse(
                        topic_id=topic.topic_id,
                        partition_responses=[
                            ProduceResponse.PartitionProduceResponse(index=data.index, base_offset=0)
                            for data in topic.partition_data
                        ],
                    )
                    for topic in request.topic_data
                ]
            )
        elif isinstance(request, MetadataRequest):
            response = self.metadata([topic.name for topic in request.topics])
        else:
            response = InitProducerIdResponse(producer_id=7, producer_epoch=0)
        encoded: Result[Any, Any] = encode_response(response, header.api_version, header.correlation_id)
        return b"".join(encoded.unwrap())

    def until_quiet(self) -> None:
        while self.turn():
            pass
        assert self.accumulator.used == 0

    def round(self) -> None:
        self.seconds = 0.0
        for _ in range(20):
            for topic in self.topics[:ACTIVE]:
                self.producer.send(topic, b"x")
            self.until_quiet()
        self.best = min(self.best, self.seconds)


def test_known_topics_that_are_idle_cost_a_turn_nothing() -> None:
    few, many = Client(ACTIVE), Client(10_000)
    gc.collect()
    for rounds in range(ROUNDS):
        few.round()
        many.round()
        if rounds >= 10 and many.best <= 1.08 * few.best:
            break
    print(
        f"{few.best / 20 * 1e6:.0f} us for 10 batches, {many.best / few.best:.3f} times that with 10,000 topics known"
    )
    assert many.best <= 1.1 * few.best
