"""Several connections to one simulated broker: what holds up one of them holds up no other. And what it mounts."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from kafka.protocol import (
    ApiVersionsRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DescribeClusterRequest,
    FetchRequest,
    InitProducerIdRequest,
    ListOffsetsRequest,
    ProduceRequest,
    decode_response,
    encode_request,
)
from kafka.protocol.codes import Code
from kafka.records import RecordBatchBuilder, read_batches
from kafka.testing.sim_broker import SimBroker
from kafka.testing.sim_network import Link
from kafka.testing.sim_transactions import SimTransactions
from tests.sim.world import World, late, produce_request


class Raw:
    """The client's end of a link. `answers`: (time, response) in order of arrival."""

    def __init__(self, world: World, broker: int = 0) -> None:
        self.world = world
        self.answers: list[tuple[float, Any]] = []
        self.is_closed = False
        self._sent: list[tuple[Any, int]] = []
        self._data = bytearray()
        found: list[Link] = []
        server = world.cluster.brokers[broker]
        world.network.connect(self, (server.ip, server.port), lambda link: found.append(link))  # type: ignore[arg-type]
        assert world.simulation.run(world.now + 1.0, lambda: bool(found))
        self.link = found[0]

    def send(self, request: Any, version: int) -> None:
        self._sent.append((type(request), version))
        data = b"".join(encode_request(request, version, len(self._sent), "raw").unwrap())
        self.link.send(0, data)

    def ask(self, request: Any, version: int) -> Any:
        before = len(self.answers)
        self.send(request, version)
        assert self.world.simulation.run(self.world.now + 10.0, lambda: len(self.answers) > before)
        return self.answers[-1][1]

    def on_bytes(self, link: Link, data: bytes) -> None:
        self._data += data
        while len(self._data) >= 4 and len(self._data) >= 4 + (size := struct.unpack_from(">i", self._data)[0]):
            request, version = self._sent[len(self.answers)]
            correlation_id, response = decode_response(
                request.RESPONSE, version, bytes(self._data[4 : 4 + size])
            ).unwrap()
            self.answers.append((self.world.now, response))
            assert correlation_id == len(self.answers), "answers out of order"
            del self._data[: 4 + size]

    def on_close(self, link: Link, cause: OSError | None) -> None:
        self.is_closed = True


@pytest.fixture
def world() -> World:
    world = World(1, 1)
    world.cluster.create_topic("t", 1)
    return world


def init(**more: Any) -> InitProducerIdRequest:
    return InitProducerIdRequest(transactional_id=None, **more)


def records(*values: bytes, pid: int = -1, epoch: int = -1) -> bytes:
    builder = RecordBatchBuilder(
        transactional=pid >= 0, producer_id=pid, producer_epoch=epoch, base_sequence=0 if pid >= 0 else -1
    )
    for value in values:
        builder.append(0, None, value)
    return builder.build()


def fetch(offset: int, wait: float, isolation: int = 0) -> FetchRequest:
    part = FetchRequest.FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=1 << 20)
    return FetchRequest(
        max_wait_ms=round(wait * 1000),
        min_bytes=1,
        isolation_level=isolation,
        topics=[FetchRequest.FetchTopic(topic="t", partitions=[part])],
    )


# -- connections -------------------------------------------------------------------------------------------------------


def test_an_answer_that_is_held_back_holds_up_its_own_connection_only(world: World) -> None:
    def hold(broker: SimBroker, header: Any, request: Any) -> Any:
        return late(broker, 5.0, ListOffsetsRequest.RESPONSE())

    world.cluster.brokers[0].handlers[ListOffsetsRequest.API_KEY] = hold
    slow, other = Raw(world), Raw(world)
    assert len(world.cluster.brokers[0].connections) == 2
    start = world.now
    slow.send(ListOffsetsRequest(replica_id=-1), 5)
    slow.send(init(), 4)
    for _ in range(20):
        assert other.ask(init(), 4).error_code == 0
    assert world.now - start < 1.0 and slow.answers == []
    world.simulation.run(start + 10.0, lambda: len(slow.answers) == 2)
    assert all(start + 5.0 <= moment < start + 5.1 for moment, _ in slow.answers)


def test_a_throttled_connection_is_not_read_while_others_are(world: World) -> None:
    """KIP-219: the answer comes at once, then the broker does not look at that connection."""
    broker = world.cluster.brokers[0]
    throttled, other = Raw(world), Raw(world)
    broker.most_throttle, broker.throttles_until = 60.0, world.now + 0.01
    first = throttled.ask(init(), 4)
    assert first.throttle_time_ms > 1000
    broker.throttles_until = 0.0
    start, served = world.now, len(broker.requests)
    throttled.send(init(), 4)
    for _ in range(20):
        answer = other.ask(init(), 4)
        assert answer.throttle_time_ms == 0
    assert world.now - start < 1.0
    assert len(broker.requests) == served + 20 and len(throttled.answers) == 1
    assert world.simulation.run(start + 61.0, lambda: len(throttled.answers) == 2)
    assert world.now - start == pytest.approx(first.throttle_time_ms / 1000, abs=0.1)


def test_a_connection_that_breaks_gets_no_answer_that_was_held_back_and_others_do(world: World) -> None:
    held = []

    def hold(broker: SimBroker, header: Any, request: Any) -> Any:
        held.append(late(broker, 1.0, ListOffsetsRequest.RESPONSE()))
        return held[-1]

    world.cluster.brokers[0].handlers[ListOffsetsRequest.API_KEY] = hold
    broken, other = Raw(world), Raw(world)
    for raw in (broken, other):
        raw.send(ListOffsetsRequest(replica_id=-1), 5)
    world.simulation.run(world.now + 0.5, lambda: len(held) == 2)
    broken.link.reset()
    world.simulation.run(world.now + 2.0)
    assert broken.is_closed and broken.answers == [] and len(other.answers) == 1


# -- what is mounted ---------------------------------------------------------------------------------------------------


def test_a_fetch_waits_until_a_batch_is_on_all_replicas(world: World) -> None:
    """The model's handler, on a partition whose high watermark follows its end."""
    world.cluster.offer(FetchRequest)
    world.cluster.replication = (0.5, 0.5)
    reader, writer = Raw(world), Raw(world)
    reader.send(fetch(0, 20.0), 12)
    world.simulation.run(world.now + 1.0)
    start = world.now
    writer.send(produce_request("t", bytes(16), 0, records(b"a", b"b"), 9), 9)
    world.simulation.run(world.now + 0.4)
    assert world.cluster.topics["t"][0].end == 2 and reader.answers == writer.answers == []
    assert world.simulation.run(world.now + 1.0, lambda: bool(reader.answers))
    assert start + 0.5 < world.now < start + 0.6
    ((answer,),) = (topic.partitions for topic in reader.answers[0][1].responses)
    (batch,) = read_batches(answer.records)
    assert [(record.offset, record.value) for record in batch.unwrap().records().unwrap()] == [(0, b"a"), (1, b"b")]
    assert answer.high_watermark == 2


def test_a_fetch_is_told_that_somebody_else_leads(world: World) -> None:
    world.cluster.offer(FetchRequest)
    reader = Raw(world)
    reader.send(fetch(0, 20.0), 12)
    world.simulation.run(world.now + 1.0)
    world.cluster.move_leader("t", 0, 7)
    assert world.simulation.run(world.now + 1.0, lambda: bool(reader.answers))
    assert reader.answers[0][1].responses[0].partitions[0].error_code == Code.NOT_LEADER_OR_FOLLOWER


def test_isolation_in_the_simulator(world: World) -> None:
    SimTransactions(world.cluster)
    world.cluster.offer(FetchRequest)
    raw = Raw(world)
    started = raw.ask(InitProducerIdRequest(transactional_id="x", transaction_timeout_ms=3000), 4)
    request = produce_request("t", bytes(16), 0, records(b"v", pid=started.producer_id, epoch=0), 12)
    request.transactional_id = "x"
    assert raw.ask(request, 12).responses[0].partition_responses[0].error_code == 0
    assert raw.ask(fetch(0, 0.0), 12).responses[0].partitions[0].records
    start = world.now
    answer = raw.ask(fetch(0, 20.0, isolation=1), 12).responses[0].partitions[0]  # until its time is over
    assert world.now - start > 2.0
    assert [(a.producer_id, a.first_offset) for a in answer.aborted_transactions] == [(started.producer_id, 0)]
    assert (answer.last_stable_offset, answer.high_watermark) == (2, 2)


def test_topics_come_and_go_through_the_models_handlers(world: World) -> None:
    world.cluster.offer(CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest)
    raw = Raw(world)
    wanted = CreateTopicsRequest.CreatableTopic(name="new", num_partitions=3, replication_factor=1)
    (created,) = raw.ask(CreateTopicsRequest(topics=[wanted]), 7).topics
    assert (created.error_code, created.num_partitions) == (0, 3)
    assert world.cluster.topics["new"].id == created.topic_id and len(world.cluster.topics["new"]) == 3
    request = produce_request("", created.topic_id, 2, records(b"v"), 13)
    assert raw.ask(request, 13).responses[0].partition_responses[0].error_code == 0
    state = DeleteTopicsRequest.DeleteTopicState(name="new")
    assert raw.ask(DeleteTopicsRequest(topics=[state]), 6).responses[0].error_code == 0
    assert "new" not in world.cluster.topics and len(world.cluster.deleted["new"]) == 1
    assert raw.ask(request, 13).responses[0].partition_responses[0].error_code == Code.UNKNOWN_TOPIC_ID
    assert raw.ask(DescribeClusterRequest(), 1).cluster_id == "simulated"


def test_only_what_is_offered_is_answered(world: World) -> None:
    raw = Raw(world)
    offered = {api.api_key for api in raw.ask(ApiVersionsRequest(), 0).api_keys}
    assert FetchRequest.API_KEY not in offered and ProduceRequest.API_KEY in offered
    raw.send(fetch(0, 0.0), 12)
    assert world.simulation.run(world.now + 1.0, lambda: raw.is_closed)
