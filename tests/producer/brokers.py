"""Brokers that do as they are told: for what a real one does only on a bad day.

    with ScriptedCluster(topics={"t": 2}) as cluster:
        cluster.script = lambda node, header, request: CLOSE    # hang up instead of answering
        ...                                                     # a client of cluster.bootstrap
        cluster.values("t")

They keep every batch that came, and read it with `kafka.records`.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from kafka.protocol import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    MetadataRequest,
    MetadataResponse,
    ProduceRequest,
    ProduceResponse,
    decode_request,
    encode_response,
)
from kafka.records import Record, read_batches

# What a script may answer beside a response and None (the usual answer).
CLOSE = "close"  # hang up
SILENCE = "silence"  # nothing, this time

UNKNOWN_TOPIC_OR_PARTITION = 3
LEADER_NOT_AVAILABLE = 5
NOT_LEADER_OR_FOLLOWER = 6
MESSAGE_TOO_LARGE = 10
TOPIC_AUTHORIZATION_FAILED = 29

Script = Callable[["Node", Any, Any], Any]


class Node:
    """One listening socket and the connections that came through it."""

    def __init__(self, cluster: ScriptedCluster, node_id: int) -> None:
        self.cluster = cluster
        self.id = node_id
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.advertised = ("127.0.0.1", self.port)
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while len(size := stream.read(4)) == 4:
                    frame = stream.read(struct.unpack(">i", size)[0])
                    header, request = decode_request(frame).unwrap()
                    answer = self.cluster.answer(self, header, request)
                    if answer == CLOSE:
                        return
                    if answer == SILENCE:
                        continue
                    connection.sendall(
                        b"".join(encode_response(answer, header.api_version, header.correlation_id).unwrap())
                    )
        except (OSError, ValueError):
            return  # the client or the test hung up

    def hang_up(self) -> None:
        """Close every connection that is open now."""
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.connections.clear()

    def stop(self) -> None:
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.hang_up()


class ScriptedCluster:
    """`nodes` brokers that answer ApiVersions, Metadata and Produce, each as `script` says or else properly."""

    def __init__(self, nodes: int = 1, topics: Mapping[str, int] | None = None, produce: tuple[int, int] = (3, 11)):
        self.versions = {ProduceRequest: produce, MetadataRequest: (0, 12), ApiVersionsRequest: (0, 3)}
        self.versions[InitProducerIdRequest] = (0, 4)
        self.producer_ids = 0
        self.nodes = [Node(self, number + 1) for number in range(nodes)]
        # topic -> the leader's node id, per partition; -1 for none
        self.leaders = {name: [1 + number % nodes for number in range(count)] for name, count in (topics or {}).items()}
        self.topic_errors: dict[str, int] = {}
        self.generation = 1  # part of every topic's id: one more, and they have all been made anew
        self.script: Script | None = None
        self._thawed = threading.Event()
        self._thawed.set()
        self.requests: list[tuple[Node, Any, Any]] = []  # (node, header, request)
        self.batches: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        self.ends: dict[tuple[str, int], int] = defaultdict(int)
        self._lock = threading.Lock()

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def __enter__(self) -> ScriptedCluster:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.thaw()
        for node in self.nodes:
            node.stop()

    def freeze(self) -> None:
        """From now on: connections are open and requests read, and nothing is answered or kept."""
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    # -- what came -----------------------------------------------------------------------------------------------------

    def records(self, topic: str, partition: int) -> list[Record]:
        """In the order of their arrival, checksums checked."""
        return [
            record
            for data in list(self.batches[topic, partition])
            for batch in read_batches(data)
            for record in batch.unwrap().records().unwrap()
        ]

    def values(self, topic: str) -> list[bytes | None]:
        """Of all partitions, sorted."""
        partitions = range(len(self.leaders[topic]))
        return sorted(record.value for number in partitions for record in self.records(topic, number))

    def asked(self, kind: type) -> list[Any]:
        """The requests of this kind that came so far."""
        return [request for _, _, request in list(self.requests) if isinstance(request, kind)]

    # -- answers -------------------------------------------------------------------------------------------------------

    def answer(self, node: Node, header: Any, request: Any) -> Any:
        with self._lock:
            self.requests.append((node, header, request))
        self._thawed.wait()
        answer = self.script(node, header, request) if self.script is not None else None
        if answer is not None:
            return answer
        with self._lock:
            return self.proper_answer(node, request)

    def proper_answer(self, node: Node, request: Any) -> Any:
        if isinstance(request, ApiVersionsRequest):
            keys = [
                ApiVersionsResponse.ApiVersion(api_key=kind.API_KEY, min_version=lowest, max_version=highest)
                for kind, (lowest, highest) in self.versions.items()
            ]
            return ApiVersionsResponse(api_keys=keys)
        if isinstance(request, InitProducerIdRequest):
            self.producer_ids += 1
            return InitProducerIdResponse(producer_id=self.producer_ids, producer_epoch=0)
        if isinstance(request, MetadataRequest):
            names = self.leaders if request.topics is None else [topic.name for topic in request.topics]
            return self.metadata([str(name) for name in names])
        assert isinstance(request, ProduceRequest), request
        answers = []
        for topic in request.topic_data:
            entries = [
                self.keep(node, topic.name, data.index, bytes(data.records or b"")) for data in topic.partition_data
            ]
            answers.append(ProduceResponse.TopicProduceResponse(name=topic.name, partition_responses=entries))
        if request.acks == 0:
            return SILENCE
        return ProduceResponse(responses=answers)

    def metadata(self, names: list[str]) -> MetadataResponse:
        brokers = [
            MetadataResponse.MetadataResponseBroker(node_id=node.id, host=node.advertised[0], port=node.advertised[1])
            for node in self.nodes
        ]
        topics = []
        for name in names:
            error = self.topic_errors.get(name, 0 if name in self.leaders else UNKNOWN_TOPIC_OR_PARTITION)
            partitions = [
                MetadataResponse.MetadataResponsePartition(
                    error_code=0 if leader >= 0 else LEADER_NOT_AVAILABLE,
                    partition_index=index,
                    leader_id=leader,
                    replica_nodes=[max(leader, 1)],
                    isr_nodes=[max(leader, 1)],
                )
                for index, leader in enumerate(self.leaders.get(name, []) if not error else [])
            ]
            topic_id = hashlib.md5(f"{name} {self.generation}".encode()).digest()
            topics.append(
                MetadataResponse.MetadataResponseTopic(
                    error_code=error, name=name, topic_id=topic_id, partitions=partitions
                )
            )
        return MetadataResponse(brokers=brokers, cluster_id="scripted", controller_id=1, topics=topics)

    def keep(self, node: Node, topic: str, partition: int, data: bytes) -> Any:
        leaders = self.leaders.get(topic, [])
        if partition >= len(leaders):
            return refusal(partition, UNKNOWN_TOPIC_OR_PARTITION)
        if leaders[partition] != node.id:
            return refusal(partition, NOT_LEADER_OR_FOLLOWER)
        first = self.ends[topic, partition]
        self.ends[topic, partition] += sum(batch.unwrap().count for batch in read_batches(data))
        self.batches[topic, partition].append(data)
        return ProduceResponse.PartitionProduceResponse(index=partition, base_offset=first)


def refusal(partition: int, code: int, message: str | None = None) -> Any:
    """A partition's part of a produce answer that says no."""
    return ProduceResponse.PartitionProduceResponse(
        index=partition, error_code=code, base_offset=-1, error_message=message
    )


def refuse_all(request: Any, code: int) -> ProduceResponse:
    """A produce answer that refuses every partition asked about."""
    return ProduceResponse(
        responses=[
            ProduceResponse.TopicProduceResponse(
                name=topic.name,
                partition_responses=[refusal(data.index, code) for data in topic.partition_data],
            )
            for topic in request.topic_data
        ]
    )


def first_times(count: int, kind: type, answer: Callable[[Any], Any]) -> Script:
    """A script: the first `count` requests of this kind get `answer(request)`, all else what is usual."""
    seen = 0

    def script(node: Node, header: Any, request: Any) -> Any:
        nonlocal seen
        if isinstance(request, kind) and seen < count:
            seen += 1
            return answer(request)
        return None

    return script
