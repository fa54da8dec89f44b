"""Brokers for the simulator: the model's, in virtual time, with all that may go wrong.

What a real broker was measured to do is done here too: one request per connection at a time, channels muted while
throttled, leaders that move and are not known at once, a broker that dies with what it held. What a broker is in itself
is in `kafka.testing.model`; a partition's replicas are in `sim_log`; what goes wrong in answers is in `sim_produce` and
`sim_handlers`.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kafka.protocol import (
    ApiVersionsRequest,
    DescribeProducersRequest,
    FindCoordinatorRequest,
    InitProducerIdRequest,
    ListOffsetsRequest,
    MetadataRequest,
    ProduceRequest,
    SaslAuthenticateRequest,
    SaslHandshakeRequest,
    decode_request,
    encode_response,
)
from kafka.protocol._message import Request
from kafka.protocol.codes import Code
from kafka.result import Err, Result
from kafka.testing.model.cluster import Cluster, Partition, Topic
from kafka.testing.model.handlers import HIGHEST
from kafka.testing.model.log import Log
from kafka.testing.model.producers import Producers
from kafka.testing.model.sasl import Sasl, Session
from kafka.testing.model.serving import START, serve
from kafka.testing.model.transactions import Transactions
from kafka.testing.model.world import Hangup, Later
from kafka.testing.sim_handlers import HANDLERS
from kafka.testing.sim_log import SimPartition
from kafka.testing.sim_network import Link, Network
from kafka.testing.sim_produce import ProducesBadly

__all__ = ["HANDLERS", "ForeignPeer", "Injection", "SimBroker", "SimCluster"]

EPOCH = 1_700_000_000.0  # seconds since 1970 when the simulation begins
_SIZE = struct.Struct(">i")


class Injection(NamedTuple):
    """Errors that an API answers with for a while, where it might as well have done its work."""

    codes: tuple[int, ...]
    probability: float
    until: float  # simulated seconds


class SimCluster(Cluster):
    brokers: list[SimBroker]

    def __init__(self, network: Network, brokers: int = 3, *, host: str = "kafka{}", port: int = 9092) -> None:
        super().__init__(network.simulation, "simulated")
        self.network = network
        self.simulation = network.simulation
        self.random = network.simulation.random
        self.transactions = Transactions(self, version=0)  # unless a test wants them: `SimTransactions`
        self.next_producer_id = 1001
        self.names: dict[bytes, str] = {}  # by id, of all topics that ever were
        self.deleted: dict[str, list[Topic]] = {}  # earlier topics of the same name
        self.limits: dict[str, int] = {}  # max.message.bytes of topics
        self.auto_create = 0  # partitions of a topic that a client's first mention creates; 0: none
        self.coordinator_shift = 0  # grows when all coordinators move
        self.shifts: Counter[str] = Counter()  # how often the coordinator of a key was moved
        self._homes: dict[str, int] = {}  # where each was last seen
        self.loading: dict[str, float] = {}  # until when, by key
        self.load_time = 0.2
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

    def offer(self, *requests: type[Request]) -> None:
        """Brokers say that they have these APIs, too."""
        for broker in self.brokers:
            for request in requests:
                lowest, highest = request.VERSIONS
                broker.versions.setdefault(request.API_KEY, (lowest, HIGHEST.get(request, highest)))

    def authenticate(self, users: Mapping[str, str]) -> Sasl:
        """From now on clients have to. Tokens expire by the simulation's time, which begins with `EPOCH`."""
        self.offer(SaslHandshakeRequest, SaslAuthenticateRequest)
        self.sasl = Sasl(users, self.world, lambda: EPOCH + self.simulation.now)
        return self.sasl

    def alive(self) -> list[SimBroker]:
        return [broker for broker in self.brokers if broker.is_up]

    # -- topics --------------------------------------------------------------------------------------------------------

    def create_topic(self, name: str, partitions: int) -> Topic:
        """Leaders go round the brokers that are up. A topic of that name is forgotten."""
        if name in self.topics:
            del self.topics_by_id[self.topics[name].id]
        ids = [broker.id for broker in self.brokers]
        alive = [broker.id for broker in self.alive()] or ids
        leaders = [alive[index % len(alive)] for index in range(partitions)]
        replicas = [[leader, *(id for id in ids if id != leader)] for leader in leaders]
        topic = self.add_topic(name, replicas=replicas)
        self.names[topic.id] = name
        return topic

    def delete_topic(self, name: str) -> None:
        self.remove_topic(self.topics[name])

    def remove_topic(self, topic: Topic) -> None:
        super().remove_topic(topic)
        self.deleted.setdefault(topic.name, []).append(topic)

    def mention(self, name: str) -> Topic:
        return self.create_topic(name, self.auto_create)

    def new_topic_id(self) -> bytes:
        return len(self.names).to_bytes(15, "big") + b"\1"

    def new_partition(self, topic: Topic, index: int, replicas: Sequence[int]) -> Partition:
        return SimPartition(replicas[0], replicas)

    def view(self) -> dict[str, Topic]:
        """What is true of the topics now, and may be believed later."""
        seen = {}
        for name, topic in self.topics.items():
            partitions = []
            for partition in topic:
                copy = Partition(Log(None), partition.replicas)
                copy.leader, copy.epoch = partition.leader, partition.epoch
                partitions.append(copy)
            seen[name] = Topic(name, topic.id, partitions, topic.configs)
        return seen

    # -- leaders -------------------------------------------------------------------------------------------------------

    def places(self) -> Iterator[tuple[str, int, SimPartition]]:
        """Every partition, by topic and index."""
        for name, topic in self.topics.items():
            for index, partition in enumerate(topic):
                assert isinstance(partition, SimPartition)
                yield name, index, partition

    def move_leader(self, topic: str, partition: int, to: int) -> None:
        """`to` leads from now on; for a moment it may not know, and the one before may not have heard."""
        moved = self.topics[topic][partition]
        assert isinstance(moved, SimPartition)
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
            for topic, index, known in self.places():
                if known is partition:
                    self.move_leader(topic, index, to)

        self.simulation.after(self.random.uniform(0.0, 0.003), happens)

    # -- coordinators --------------------------------------------------------------------------------------------------

    def home(self, key: str) -> SimBroker:
        """The broker that coordinates this transactional id or group; where it is down, another one takes over."""
        brokers = self.brokers
        home = (sum(key.encode()) + self.shifts[key] + self.coordinator_shift) % len(brokers)
        while not brokers[home].is_up:
            home = (home + 1) % len(brokers)
        if self._homes.setdefault(key, home) != home:
            self._homes[key] = home
            self.loading[key] = self.simulation.now + self.load_time
            self.transactions.counts["coordinator moved"] += 1
        return brokers[home]

    def move_coordinator(self, key: str) -> None:
        self.home(key)
        self.shifts[key] += 1

    def is_loading(self, key: str) -> bool:
        return self.loading.get(key, 0.0) > self.simulation.now

    def refusal(self, broker: Any, key: str) -> int:
        error = super().refusal(broker, key) or self.injected_error(InitProducerIdRequest.API_KEY)
        return error or (Code.COORDINATOR_LOAD_IN_PROGRESS if self.is_loading(key) else 0)

    # -- troubles ------------------------------------------------------------------------------------------------------

    def injected_error(self, api_key: int) -> int:
        injection = self.injected.get(api_key)
        if injection is None or self.simulation.now >= injection.until:
            return 0
        return self.random.choice(injection.codes) if self.random.random() < injection.probability else 0


class SimBroker(ProducesBadly):
    """What it claims to have is what a producer needs; `SimCluster.offer` adds to that, a test may narrow `versions` to
    play an older release."""

    cluster: SimCluster

    def __init__(self, cluster: SimCluster, id: int, host: str, port: int, ip: str) -> None:
        super().__init__(cluster, id, host, port)
        self.ip = ip
        self.is_up = False
        self.is_paused = False  # accepts connections and bytes, does nothing (SIGSTOP)
        self.resets_unknown_versions = False  # instead of answering with error 35
        self.least_work, self.most_work = 0.0001, 0.003  # seconds a request takes
        self.loading_until = 0.0  # until when InitProducerId answers that the coordinator is loading
        self.throttles_until = 0.0
        self.most_throttle = 0.5  # seconds
        self.mutes = True  # does not read from a connection for as long as it throttles it
        self.largest_request = 100 * 1024 * 1024  # socket.request.max.bytes: it hangs up on a larger one
        self.stale: Mapping[str, Topic] | None = None  # what it says of the topics instead of the truth
        self.connections: dict[Link, _Served] = {}
        self.requests: list[tuple[int, int]] = []  # (API key, version), in order of arrival
        self.handlers = dict(HANDLERS)
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

    @property
    def topics(self) -> Mapping[str, Topic]:
        return self.cluster.topics if self.stale is None else self.stale

    def believes_up(self, other: Any) -> bool:
        return self.stale is not None or super().believes_up(other)

    def leads(self, partition: Any) -> bool:
        return super().leads(partition) and self.cluster.simulation.now >= partition.aware_at

    def producers(self, partition: Any) -> Producers:
        if partition.leader == self.id:
            return super().producers(partition)
        self.cluster.events["producers described by a follower"] += 1
        followed: Producers = partition.followed(self.cluster.random)
        return followed

    def start(self, loading: float = 0.0) -> None:
        """Comes up (again), knowing only the last batch of each producer; its coordinator loads for so many seconds."""
        self.is_up = True
        self.is_paused = False
        self.stale = None
        self.loading_until = self.cluster.simulation.now + loading
        self.cluster.network.servers[(self.ip, self.port)] = self
        for _, _, partition in self.cluster.places():
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
        self.fetch_sessions.clear()
        alive = self.cluster.alive()
        if alive and not keeps_leading:
            for topic, index, partition in self.cluster.places():
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
        self.is_early = False  # whether there was more when the last answer was given
        self.session = Session()

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
        if size > self.broker.largest_request:
            self.link.close(1)
            return
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
        api_key, version, correlation_id = START.unpack_from(frame)
        broker.requests.append((api_key, version))
        low, high = broker.versions.get(api_key, (0, -1))
        if broker.resets_unknown_versions and not low <= version <= high:
            self.link.reset()
            return
        try:
            answer, version, correlation_id = serve(
                broker, memoryview(frame), self.session, _decode, is_early=self.is_early
            )
        except Hangup:
            self._hang_up()
            return
        if isinstance(answer, Later):
            answer.when_ready(lambda: self._when_awake(lambda: self._complete(answer, version, correlation_id)))
        else:
            self._finish(answer, version, correlation_id)

    def _complete(self, later: Later, version: int, correlation_id: int) -> None:
        self._finish(later.complete(), version, correlation_id)
        if later.is_last:
            self._hang_up()

    def _hang_up(self) -> None:
        """Behind what was answered before."""
        self.broker.connections.pop(self.link, None)
        self.link.close(1)

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
        self.is_early = bool(self.buffer)
        self.work()


def _decode(frame: memoryview) -> Result[Any, Any]:
    decoded = decode_request(frame)
    if isinstance(decoded, Err):
        raise AssertionError(f"the client sent what cannot be decoded: {decoded.error}")
    return decoded


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
