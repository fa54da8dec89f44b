"""Brokers for the simulator, on the same generated codec as the client: one handler per API, one shared cluster state.

What a real broker was measured to do is done here too: one request per connection at a time, the last five batches of a
producer recognised as duplicates (one after a restart), a leader that moves, a broker that dies with what it held.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from kafka.protocol import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    MetadataRequest,
    MetadataResponse,
    ProduceRequest,
    ProduceResponse,
    decode_request,
    encode_response,
)
from kafka.result import Err
from kafka.testing.sim_network import Link, Network

_SIZE = struct.Struct(">i")
_API = struct.Struct(">hhi")
# The header of a v2 batch: base offset, length, leader epoch, magic, crc, attributes, last offset delta, first and last
# timestamp, producer id, producer epoch, base sequence, record count.
_BATCH = struct.Struct(">qiibIhiqqqhii")

UNKNOWN_TOPIC, NOT_LEADER, OUT_OF_ORDER, OLD_EPOCH, UNSUPPORTED_VERSION, CORRUPT = 3, 6, 45, 47, 35, 2


class SimPartition:
    """One partition's log, on all its replicas at once: what was appended stays."""

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.epoch = 0
        self.end = 0
        self.log: list[tuple[int, int, bytes]] = []  # (base offset, records, batch as it came)
        # producer id -> (epoch, the last batches as (first sequence, last sequence, base offset))
        self.producers: dict[int, tuple[int, deque[tuple[int, int, int]]]] = {}

    def append(self, batch: bytes) -> tuple[int, int]:
        """(error code, base offset)."""
        if len(batch) < _BATCH.size:
            return CORRUPT, -1
        _, _, _, magic, _, _, last_delta, _, _, pid, epoch, first, count = _BATCH.unpack_from(batch)
        if magic != 2 or count != last_delta + 1 or count < 1:
            return CORRUPT, -1
        if pid >= 0:
            last = (first + last_delta) & 0x7FFFFFFF
            known_epoch, batches = self.producers.get(pid, (epoch, deque(maxlen=5)))
            if epoch < known_epoch:
                return OLD_EPOCH, -1
            if epoch > known_epoch:
                if first != 0:
                    return OUT_OF_ORDER, -1
                batches = deque(maxlen=5)
            for before in batches:
                if before[:2] == (first, last):
                    return 0, before[2]
            if batches and first != (batches[-1][1] + 1) & 0x7FFFFFFF:
                return OUT_OF_ORDER, -1
            batches.append((first, last, self.end))
            self.producers[pid] = (epoch, batches)
        base = self.end
        self.log.append((base, count, batch))
        self.end += count
        return 0, base

    def forget(self) -> None:
        """A restart of the leader: only the last batch of each producer is still recognised."""
        for epoch, batches in self.producers.values():
            while len(batches) > 1:
                batches.popleft()
            assert epoch >= 0 and batches.maxlen == 5


class SimCluster:
    def __init__(self, network: Network, brokers: int = 3, *, host: str = "kafka{}", port: int = 9092) -> None:
        self.network = network
        self.simulation = network.simulation
        self.topics: dict[str, list[SimPartition]] = {}
        self.topic_ids: dict[str, bytes] = {}
        self.auto_create = 0  # partitions of a topic that a client's first mention creates; 0: none
        self.next_producer_id = 1000
        self.brokers = [SimBroker(self, id, host.format(id), port, f"10.0.0.{id}") for id in range(brokers)]
        for broker in self.brokers:
            network.hosts[broker.host] = [(broker.ip,)]
            broker.start()
        self.bootstrap = tuple((broker.host, broker.port) for broker in self.brokers)

    def create_topic(self, name: str, partitions: int) -> None:
        self.topics[name] = [SimPartition(index % len(self.brokers)) for index in range(partitions)]
        self.topic_ids[name] = len(self.topic_ids).to_bytes(15, "big") + b"\1"

    def partition_of(self, topic_id: bytes, name: str, index: int) -> SimPartition | None:
        if not name:
            name = next((n for n, id in self.topic_ids.items() if id == topic_id), "")
        partitions = self.topics.get(name, [])
        return partitions[index] if 0 <= index < len(partitions) else None

    def move_leader(self, topic: str, partition: int, to: int) -> None:
        moved = self.topics[topic][partition]
        moved.leader = to
        moved.epoch += 1

    def alive(self) -> list[SimBroker]:
        return [broker for broker in self.brokers if broker.is_up]


class SimBroker:
    """One broker. `handlers` maps an API key to `handler(broker, header, request) -> response | None (no answer)`."""

    # What it claims to know; a test may narrow it to play an older release.
    versions: dict[int, tuple[int, int]]

    def __init__(self, cluster: SimCluster, id: int, host: str, port: int, ip: str) -> None:
        self.cluster = cluster
        self.id = id
        self.host, self.port, self.ip = host, port, ip
        self.advertised = (host, port)
        self.is_up = False
        self.is_paused = False  # accepts connections and bytes, does nothing (SIGSTOP)
        self.resets_unknown_versions = False  # instead of answering with error 35
        self.least_work, self.most_work = 0.0001, 0.003  # seconds a request takes
        self.connections: dict[Link, _Served] = {}
        self.requests: list[tuple[int, int]] = []  # (API key, version), in order of arrival
        self.handlers: dict[int, Callable[[SimBroker, Any, Any], Any]] = dict(HANDLERS)
        self.versions = {
            request.API_KEY: request.VERSIONS
            for request in (
                ProduceRequest,
                MetadataRequest,
                FindCoordinatorRequest,
                ApiVersionsRequest,
                InitProducerIdRequest,
            )
        }

    def start(self) -> None:
        self.is_up = True
        self.is_paused = False
        self.cluster.network.servers[(self.ip, self.port)] = self

    def stop(self) -> None:
        """Dies: connections are reset, requests being worked on are lost, its leaderships go to brokers still alive."""
        self.is_up = False
        self.cluster.network.servers.pop((self.ip, self.port), None)
        for link in list(self.connections):
            link.reset()
        self.connections.clear()
        alive = self.cluster.alive()
        for partitions in self.cluster.topics.values():
            for index, partition in enumerate(partitions):
                if partition.leader == self.id:
                    partition.forget()
                    if alive:
                        partition.leader = alive[index % len(alive)].id
                        partition.epoch += 1

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        if self.is_paused:
            self.is_paused = False
            for served in list(self.connections.values()):
                served.work()

    def accept(self, link: Link) -> _Served:
        served = self.connections[link] = _Served(self, link)
        return served


class _Served:
    """The broker's end of a link: frames in, one request at a time, answers out."""

    def __init__(self, broker: SimBroker, link: Link) -> None:
        self.broker = broker
        self.link = link
        self.buffer = bytearray()
        self.busy = False

    def on_bytes(self, link: Link, data: bytes) -> None:
        self.buffer += data
        self.work()

    def on_close(self, link: Link, cause: OSError | None) -> None:
        self.broker.connections.pop(link, None)

    def work(self) -> None:
        """Takes the next whole request, unless one is being worked on: a broker mutes the channel until it answers."""
        if self.busy or self.broker.is_paused or len(self.buffer) < 4:
            return
        (size,) = _SIZE.unpack_from(self.buffer)
        if len(self.buffer) < 4 + size:
            return
        frame = bytes(self.buffer[4 : 4 + size])
        del self.buffer[: 4 + size]
        self.busy = True
        simulation = self.broker.cluster.simulation
        delay = simulation.random.uniform(self.broker.least_work, self.broker.most_work)
        simulation.after(delay, lambda: self._serve(frame))

    def _serve(self, frame: bytes) -> None:
        broker = self.broker
        if broker.connections.get(self.link) is not self:
            return  # the connection is gone, and the request with it
        if broker.is_paused:
            broker.cluster.simulation.after(0.01, lambda: self._serve(frame))
            return
        api_key, version, correlation_id = _API.unpack_from(frame)
        broker.requests.append((api_key, version))
        low, high = broker.versions.get(api_key, (0, -1))
        if not low <= version <= high:
            if api_key != ApiVersionsRequest.API_KEY or broker.resets_unknown_versions:
                self.link.reset()
                return
            answer = _api_versions(broker, None, None)
            answer.error_code = UNSUPPORTED_VERSION
            self._answer(answer, 0, correlation_id)
            return
        decoded = decode_request(frame)
        if isinstance(decoded, Err):
            raise AssertionError(f"the client sent what cannot be decoded: {decoded.error}")
        header, request = decoded.value
        response = broker.handlers[api_key](broker, header, request)
        if response is not None:
            self._answer(response, version, correlation_id)
        else:
            self._next()

    def _answer(self, response: Any, version: int, correlation_id: int) -> None:
        buffers: Sequence[Any] = encode_response(response, version, correlation_id).unwrap()
        self.link.send(1, b"".join(buffers))
        self._next()

    def _next(self) -> None:
        self.busy = False
        self.work()


# -- one handler per API ---------------------------------------------------------------------------------------------


def _api_versions(broker: SimBroker, header: Any, request: Any) -> Any:
    return ApiVersionsResponse(
        api_keys=[
            ApiVersionsResponse.ApiVersion(api_key=key, min_version=low, max_version=high)
            for key, (low, high) in sorted(broker.versions.items())
        ]
    )


def _metadata(broker: SimBroker, header: Any, request: Any) -> Any:
    cluster = broker.cluster
    alive = cluster.alive()
    wanted = list(cluster.topics) if request.topics is None else [topic.name for topic in request.topics]
    topics = []
    for name in wanted:
        if name not in cluster.topics and cluster.auto_create and request.allow_auto_topic_creation:
            cluster.create_topic(name, cluster.auto_create)
        if name not in cluster.topics:
            topics.append(MetadataResponse.MetadataResponseTopic(error_code=UNKNOWN_TOPIC, name=name))
            continue
        partitions = [
            MetadataResponse.MetadataResponsePartition(
                partition_index=index,
                leader_id=partition.leader,
                leader_epoch=partition.epoch,
                replica_nodes=[b.id for b in cluster.brokers],
                isr_nodes=[b.id for b in alive],
            )
            for index, partition in enumerate(cluster.topics[name])
        ]
        topics.append(
            MetadataResponse.MetadataResponseTopic(name=name, topic_id=cluster.topic_ids[name], partitions=partitions)
        )
    return MetadataResponse(
        brokers=[
            MetadataResponse.MetadataResponseBroker(node_id=b.id, host=b.advertised[0], port=b.advertised[1])
            for b in alive
        ],
        cluster_id="simulated",
        controller_id=alive[0].id,
        topics=topics,
    )


def _produce(broker: SimBroker, header: Any, request: Any) -> Any:
    responses = []
    for topic in request.topic_data:
        by_id = header.api_version >= 13
        answers = []
        for data in topic.partition_data:
            partition = broker.cluster.partition_of(topic.topic_id, "" if by_id else topic.name, data.index)
            if partition is None:
                error, base = 100 if by_id else UNKNOWN_TOPIC, -1
            elif partition.leader != broker.id:
                error, base = NOT_LEADER, -1
            else:
                error, base = partition.append(bytes(data.records))
            answers.append(
                ProduceResponse.PartitionProduceResponse(index=data.index, error_code=error, base_offset=base)
            )
        responses.append(
            ProduceResponse.TopicProduceResponse(
                name="" if by_id else topic.name,
                topic_id=topic.topic_id if by_id else bytes(16),
                partition_responses=answers,
            )
        )
    return ProduceResponse(responses=responses) if request.acks != 0 else None


def _init_producer_id(broker: SimBroker, header: Any, request: Any) -> Any:
    broker.cluster.next_producer_id += 1
    return InitProducerIdResponse(producer_id=broker.cluster.next_producer_id, producer_epoch=0)


def _find_coordinator(broker: SimBroker, header: Any, request: Any) -> Any:
    alive = broker.cluster.alive()
    keys = request.coordinator_keys if header.api_version >= 4 else [request.key]
    found = [alive[sum(key.encode()) % len(alive)] for key in keys]
    if header.api_version >= 4:
        return FindCoordinatorResponse(
            coordinators=[
                FindCoordinatorResponse.Coordinator(key=key, node_id=b.id, host=b.advertised[0], port=b.advertised[1])
                for key, b in zip(keys, found, strict=True)
            ]
        )
    b = found[0]
    return FindCoordinatorResponse(node_id=b.id, host=b.advertised[0], port=b.advertised[1])


HANDLERS: dict[int, Callable[[SimBroker, Any, Any], Any]] = {
    ApiVersionsRequest.API_KEY: _api_versions,
    MetadataRequest.API_KEY: _metadata,
    ProduceRequest.API_KEY: _produce,
    InitProducerIdRequest.API_KEY: _init_producer_id,
    FindCoordinatorRequest.API_KEY: _find_coordinator,
}


class ForeignPeer:
    """Something that is no broker: answers the first bytes it gets with `reply`, then closes; None: stays silent."""

    def __init__(self, reply: bytes | None) -> None:
        self.reply = reply

    def accept(self, link: Link) -> ForeignPeer:
        return self

    def on_bytes(self, link: Link, data: bytes) -> None:
        if self.reply is not None and link.open[1]:
            if self.reply:
                link.send(1, self.reply)
            link.close(1)

    def on_close(self, link: Link, cause: OSError | None) -> None:
        pass
