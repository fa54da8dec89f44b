"""Brokers for the simulator, on the same generated codec as the client: one handler per API, one shared cluster state.

What a real broker was measured to do is done here too: one request per connection at a time, channels muted while
throttled, leaders that move and are not known at once, a broker that dies with what it held. What a partition's log
does is in `sim_log`; what each API answers in `sim_produce` and `sim_handlers`.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kafka.protocol import (
    ApiVersionsRequest,
    DescribeProducersRequest,
    FindCoordinatorRequest,
    InitProducerIdRequest,
    ListOffsetsRequest,
    MetadataRequest,
    ProduceRequest,
    decode_request,
    encode_response,
)
from kafka.result import Err
from kafka.testing.sim_handlers import (
    api_versions,
    describe_producers,
    find_coordinator,
    init_producer_id,
    list_offsets,
    metadata,
)
from kafka.testing.sim_log import SimPartition
from kafka.testing.sim_network import Link, Network
from kafka.testing.sim_produce import NOT_LEADER, produce

__all__ = ["HANDLERS", "NOT_LEADER", "ForeignPeer", "Injection", "SimBroker", "SimCluster"]

_SIZE = struct.Struct(">i")
_API = struct.Struct(">hhi")
UNSUPPORTED_VERSION = 35

HANDLERS: dict[int, Callable[[Any, Any, Any], Any]] = {
    ApiVersionsRequest.API_KEY: api_versions,
    MetadataRequest.API_KEY: metadata,
    ProduceRequest.API_KEY: produce,
    InitProducerIdRequest.API_KEY: init_producer_id,
    FindCoordinatorRequest.API_KEY: find_coordinator,
    DescribeProducersRequest.API_KEY: describe_producers,
    ListOffsetsRequest.API_KEY: list_offsets,
}


class Injection(NamedTuple):
    """Errors that an API answers with for a while, where it might as well have done its work."""

    codes: tuple[int, ...]
    probability: float
    until: float  # simulated seconds


class View(NamedTuple):
    """What a broker believes of the topics, when that is no longer true."""

    ids: dict[str, bytes]
    leaders: dict[str, list[tuple[int, int]]]  # (leader, epoch) of each partition


class SimCluster:
    def __init__(self, network: Network, brokers: int = 3, *, host: str = "kafka{}", port: int = 9092) -> None:
        self.network = network
        self.simulation = network.simulation
        self.random = network.simulation.random
        self.topics: dict[str, list[SimPartition]] = {}
        self.topic_ids: dict[str, bytes] = {}
        self.names: dict[bytes, str] = {}  # by id, of all topics that ever were
        self.deleted: dict[str, list[list[SimPartition]]] = {}  # earlier topics of the same name
        self.limits: dict[str, int] = {}  # max.message.bytes of topics
        self.auto_create = 0  # partitions of a topic that a client's first mention creates; 0: none
        self.next_producer_id = 1000
        self.first_epoch = 0  # of new producer ids
        self.coordinator_shift = 0  # grows when coordinators move
        self.hints = 1.0  # how often a refusal names the new leader (KIP-951)
        self.spiteful_until = 0.0  # until when leaders move just after they refused a batch as out of order
        self.replication = (0.0003, 0.003)  # seconds until a batch is on all replicas
        self.refused_value = b"\0refused"  # a record with this in it is invalid (KIP-467)
        self.injected: dict[int, Injection] = {}  # by API key
        self.sends_back = False  # the next answer about metadata is REBOOTSTRAP_REQUIRED
        self.answers: Counter[tuple[int, int]] = Counter()  # (API key, error code)
        self.events: Counter[str] = Counter()  # what the model did that is worth counting
        self.brokers = [SimBroker(self, id, host.format(id), port, f"10.0.0.{id}") for id in range(brokers)]
        for broker in self.brokers:
            network.hosts[broker.host] = [(broker.ip,)]
            broker.start()
        self.bootstrap = tuple((broker.host, broker.port) for broker in self.brokers)

    def create_topic(self, name: str, partitions: int) -> None:
        alive = [broker.id for broker in self.alive()] or [broker.id for broker in self.brokers]
        self.topics[name] = [SimPartition(alive[index % len(alive)]) for index in range(partitions)]
        self.topic_ids[name] = len(self.names).to_bytes(15, "big") + b"\1"
        self.names[self.topic_ids[name]] = name

    def delete_topic(self, name: str) -> None:
        self.deleted.setdefault(name, []).append(self.topics.pop(name))
        del self.topic_ids[name]

    def partition_of(self, topic_id: bytes, name: str, index: int) -> SimPartition | None:
        if not name:
            name = next((n for n, id in self.topic_ids.items() if id == topic_id), "")
        partitions = self.topics.get(name, [])
        return partitions[index] if 0 <= index < len(partitions) else None

    def move_leader(self, topic: str, partition: int, to: int) -> None:
        """`to` leads from now on; for a moment it may not know, and the one before may not have heard."""
        moved = self.topics[topic][partition]
        before = moved.leader
        moved.move(to, self.random)
        moved.former = None
        if self.random.random() < 0.3:
            moved.aware_at = self.simulation.now + self.random.uniform(0.0, 0.05)
        elif before != to and self.random.random() < 0.5:
            moved.former = before
            moved.former_until = self.simulation.now + self.random.uniform(0.0, 0.1)

    def move_soon(self, partition: SimPartition) -> None:
        """Somebody else leads within a moment."""
        to = self.random.choice(self.alive()).id
        self.events["leader moved after a refusal"] += 1

        def happens() -> None:
            for name, partitions in self.topics.items():
                if partition in partitions:
                    self.move_leader(name, partitions.index(partition), to)

        self.simulation.after(self.random.uniform(0.0, 0.003), happens)

    def alive(self) -> list[SimBroker]:
        return [broker for broker in self.brokers if broker.is_up]

    def view(self) -> View:
        return View(
            dict(self.topic_ids),
            {name: [(p.leader, p.epoch) for p in partitions] for name, partitions in self.topics.items()},
        )

    def injected_error(self, api_key: int) -> int:
        injection = self.injected.get(api_key)
        if injection is None or self.simulation.now >= injection.until:
            return 0
        return self.random.choice(injection.codes) if self.random.random() < injection.probability else 0


class SimBroker:
    """One broker. `handlers` maps an API key to `handler(broker, header, request) -> response | None (no answer)`."""

    # What it claims to know; a test may narrow it to play an older release.
    versions: dict[int, tuple[int, int]]

    def __init__(self, cluster: SimCluster, id: int, host: str, port: int, ip: str) -> None:
        self.cluster = cluster
        self.id = id
        self.host, self.port, self.ip = host, port, ip
        self.advertised = (host, port)
        self.rack: str | None = None
        self.is_up = False
        self.is_paused = False  # accepts connections and bytes, does nothing (SIGSTOP)
        self.resets_unknown_versions = False  # instead of answering with error 35
        self.least_work, self.most_work = 0.0001, 0.003  # seconds a request takes
        self.loading_until = 0.0  # until when InitProducerId answers that the coordinator is loading
        self.throttles_until = 0.0
        self.most_throttle = 0.5  # seconds
        self.mutes = True  # does not read from a connection for as long as it throttles it
        self.stale: View | None = None  # what it says of the topics instead of the truth
        # Set by a handler whose answer has to wait: seconds, and what completes the answer then.
        self.waits: tuple[float, Callable[[], None]] | None = None
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
                DescribeProducersRequest,
                ListOffsetsRequest,
            )
        }

    def start(self, loading: float = 0.0) -> None:
        """Comes up (again), knowing only the last batch of each producer; its coordinator loads for so many seconds."""
        self.is_up = True
        self.is_paused = False
        self.stale = None
        self.loading_until = self.cluster.simulation.now + loading
        self.cluster.network.servers[(self.ip, self.port)] = self
        for partitions in self.cluster.topics.values():
            for partition in partitions:
                partition.restarted(self.id)

    def stop(self, *, keeps_leading: bool = False) -> None:
        """Dies: connections are reset, requests being worked on are lost, its leaderships go to brokers still alive.

        With `keeps_leading` nobody else is in sync: its partitions have no leader until it is back.
        """
        self.is_up = False
        self.cluster.network.servers.pop((self.ip, self.port), None)
        for link in list(self.connections):
            link.reset()
        self.connections.clear()
        alive = self.cluster.alive()
        if alive and not keeps_leading:
            for topic, partitions in self.cluster.topics.items():
                for index, partition in enumerate(partitions):
                    if partition.leader == self.id:
                        self.cluster.move_leader(topic, index, alive[index % len(alive)].id)

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
        frame = bytes(memoryview(self.buffer)[4 : 4 + size])
        del self.buffer[: 4 + size]
        self.busy = True
        simulation = self.broker.cluster.simulation
        delay = simulation.random.uniform(self.broker.least_work, self.broker.most_work)
        simulation.after(delay, lambda: self._when_awake(lambda: self._serve(frame)))

    def _when_awake(self, happens: Callable[[], None]) -> None:
        """Nothing happens on a connection that is gone, nor in a process that is stopped."""
        if self.broker.connections.get(self.link) is not self:
            return
        if self.broker.is_paused:
            self.broker.cluster.simulation.after(0.01, lambda: self._when_awake(happens))
        else:
            happens()

    def _serve(self, frame: bytes) -> None:
        broker = self.broker
        api_key, version, correlation_id = _API.unpack_from(frame)
        broker.requests.append((api_key, version))
        low, high = broker.versions.get(api_key, (0, -1))
        if not low <= version <= high:
            if api_key != ApiVersionsRequest.API_KEY or broker.resets_unknown_versions:
                self.link.reset()
                return
            answer = api_versions(broker, None, None)
            answer.error_code = UNSUPPORTED_VERSION
            self._answer(answer, 0, correlation_id)
            return
        decoded = decode_request(frame)
        if isinstance(decoded, Err):
            raise AssertionError(f"the client sent what cannot be decoded: {decoded.error}")
        header, request = decoded.value
        response = broker.handlers[api_key](broker, header, request)
        waits, broker.waits = broker.waits, None
        if waits is None:
            self._finish(response, version, correlation_id)
            return
        delay, complete = waits

        def happens() -> None:
            complete()
            self._finish(response, version, correlation_id)

        broker.cluster.simulation.after(delay, lambda: self._when_awake(happens))

    def _finish(self, response: Any, version: int, correlation_id: int) -> None:
        if response is not None:
            self._answer(response, version, correlation_id)
        else:
            self._next()

    def _answer(self, response: Any, version: int, correlation_id: int) -> None:
        """Answers, and if throttling is on keeps the channel muted as long as the answer says (KIP-219)."""
        broker, simulation = self.broker, self.broker.cluster.simulation
        if simulation.now < broker.throttles_until and hasattr(response, "throttle_time_ms"):
            response.throttle_time_ms = simulation.random.randint(1, int(broker.most_throttle * 1000))
            broker.cluster.events["throttled"] += 1
        muted = getattr(response, "throttle_time_ms", 0) / 1000 if broker.mutes else 0.0
        buffers: Sequence[Any] = encode_response(response, version, correlation_id).unwrap()
        watcher = broker.cluster.network.watcher
        arrives = None
        if watcher is not None:
            arrives = lambda: watcher.answered(self.link, correlation_id, response)  # noqa: E731
        self.link.send(1, b"".join(buffers), arrives=arrives)
        if muted:
            simulation.after(muted, lambda: self._when_awake(self._next))
        else:
            self._next()

    def _next(self) -> None:
        self.busy = False
        self.work()


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
