"""The client as one state machine: inputs with the time of day in, effects out.

A driver calls the inputs (`connected`, `received`, `tick`, ...) from one thread, each with `now`, a monotonic clock in
seconds, and after each carries out what `effects()` hands it. Between inputs it may sleep until `next_deadline()`.
Nothing in here waits, reads a clock, or draws a random number of its own: the same inputs give the same effects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kafka.core.backoff import Random
from kafka.core.cluster.calls import ADVERTISED, ANY, Calls, Route
from kafka.core.cluster.coordinators import Coordinators
from kafka.core.cluster.metadata import Metadata
from kafka.core.cluster.snapshot import EMPTY, Broker, Snapshot
from kafka.core.config import Config
from kafka.core.effects import Address, Buffer, Complete, Effect, Notice
from kafka.core.events import Listeners
from kafka.core.net.brokers import Brokers
from kafka.core.net.channel import Channel
from kafka.core.net.connection import Callback
from kafka.core.net.health import BrokerHealth
from kafka.core.net.lanes import CONNECTION_OF, Lane
from kafka.core.net.nodes import Nodes
from kafka.core.timers import Timers
from kafka.errors import KafkaError
from kafka.protocol import ApiVersionsRequest, MetadataRequest
from kafka.result import Err, Ok, Result


class DataPath(Protocol):
    """The produce path, as the core calls it. All of it on the driver's thread; it may call back into the core."""

    def on_room(self, node_id: int, now: float) -> None:
        """A broker takes another request: it got ready, answered, or throttles no more. See `Brokers.room`."""

    def on_metadata(self, snapshot: Snapshot, now: float) -> None:
        """There is a new snapshot."""

    def on_node_down(self, node_id: int, error: KafkaError, now: float) -> None:
        """A connection to this broker ended or could not be made; its requests have all been called back already."""

    def uses(self, topic: str) -> bool:
        """Whether something is to be delivered to this topic."""

    def tick(self, now: float) -> None:
        """Time has passed."""

    def next_deadline(self) -> float:
        """When `tick` is next due, in clock seconds; inf if never."""


class Core:
    def __init__(self, config: Config, random: Random, listeners: Listeners | None = None) -> None:
        self.config = config
        self.listeners = listeners or Listeners()  # told of what happens
        self.random = random
        self.produce: DataPath | None = None
        self.timers = Timers()
        self._effects: list[Effect] = []
        self._told = EMPTY  # the snapshot whose leaders the listeners know
        self.closed_by: KafkaError | None = None  # what `close` was given
        self.nodes = Nodes(config, random, self.timers, self._effects, self, self.listeners)
        self.calls = Calls(self)
        self.metadata = Metadata(self)
        self.coordinators = Coordinators(self)

    @property
    def snapshot(self) -> Snapshot:
        """What is known of the cluster; immutable, any thread may hold it."""
        return self.metadata.snapshot

    def effects(self) -> list[Effect]:
        """What the driver is to do, in this order; each is handed out once."""
        effects = self._effects.copy()
        self._effects.clear()
        return effects

    def next_deadline(self) -> float:
        """When `tick` is next due, in clock seconds; inf if never."""
        deadline = self.timers.next_deadline() if self.closed_by is None else float("inf")
        return deadline if self.produce is None else min(deadline, self.produce.next_deadline())

    # -- inputs ----------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Runs whatever has become due."""
        if self.closed_by is None:
            self.timers.fire(now)
        if self.produce is not None:
            self.produce.tick(now)

    def resolved(self, host: str, port: int, result: list[Address] | BaseException, now: float) -> None:
        """The answer to `Resolve`: socket addresses, best first, or the exception."""
        if self.closed_by is None:
            self.nodes.resolved(host, port, result, now)

    def connected(self, connection_id: int, now: float) -> None:
        """The answer to `Connect`: the socket is open."""
        self.nodes.connected(connection_id, now)

    def received(self, connection_id: int, data: Buffer, now: float) -> None:
        """Bytes from a connection, any number of them; the driver must not change or reuse this buffer afterwards."""
        self.nodes.received(connection_id, data, now)

    def written(self, connection_id: int, now: float) -> None:
        """The answer to a `Send` with `notify`: its last byte is with the kernel."""
        self.nodes.written(connection_id, now)

    def closed(self, connection_id: int, cause: BaseException | None, now: float) -> None:
        """The socket could not be opened, failed (cause: the OSError), or was closed by the peer (cause: None).

        Bytes that arrived before belong to `received` first. Nothing is reported after a `Close` effect.
        """
        self.nodes.closed(connection_id, cause, now)

    def submit(
        self,
        promise: Any,
        route: Route,
        message_class: Any,
        build: Callable[[int], Any],
        now: float,
        timeout: float,
    ) -> None:
        """`request` for another thread's promise: the result comes as the effect `Complete(promise, result)`."""
        self.request(
            route,
            message_class,
            build,
            lambda result, now: self._effects.append(Complete(promise, result)),
            now,
            timeout,
        )

    def close(self, error: KafkaError, now: float) -> None:
        """Fails all that is under way with this error and closes every connection. Later requests fail with it."""
        if self.closed_by is None:
            self.closed_by = error
            self.calls.close(error, now)
            self.nodes.close(error, now)

    # -- requests --------------------------------------------------------------------------------------------------

    def request(
        self,
        route: Route,
        message_class: Any,
        build: Callable[[int], Any],
        callback: Callback,
        now: float,
        timeout: float,
        *,
        newest: int | None = None,
        once: bool = False,
        lane: Lane = Lane.CONTROL,
        answer_within: float | None = None,
    ) -> None:
        """Sends a request to whichever broker the route leads to, connecting and re-routing as needed.

        `build(version)` makes the message once the version is known, anew for each attempt; `newest` caps that version.
        `callback(result, now)` is called exactly once, at the latest after `timeout` seconds: Ok(response), or Err with
        a transport error, a decoding error, or the response's own top-level error; other errors inside the response are
        the caller's. Failures that may pass (a lost connection, a moved leader or coordinator, a retriable error) are
        retried until then: any request may reach brokers twice. With `once` it reaches one broker at most: what came of
        the first attempt that was written is the result, and only what fails before that is tried again.

        It goes over the broker's connection for this `lane`. `answer_within`: seconds after which a connection without
        an answer counts as dead (default: request_timeout); for requests whose answer the broker may hold back.
        """
        self.calls.start(
            route, message_class, build, callback, now, timeout,
            newest=newest, once=once, lane=lane, answer_within=answer_within,
        )  # fmt: skip

    def bootstrap(self, callback: Callback, now: float, timeout: float) -> None:
        """Learns the cluster's brokers and reaches one of them by its advertised address. Ok(Snapshot) or Err.

        Gives up early, after `Config.bootstrap_patience`, if every address fails; the error names each of them.
        """
        deadline = now + timeout
        patience = self.config.bootstrap_patience
        metadata_version = -1

        def build(version: int) -> Any:
            nonlocal metadata_version
            metadata_version = version
            return MetadataRequest(topics=[])

        def learned(result: Result[Any, KafkaError], now: float) -> None:
            if isinstance(result, Err):
                callback(result, now)
                return
            self.metadata.learn(result.value, metadata_version, now)
            left = max(deadline - now, 0.0)
            self.calls.start(
                ADVERTISED, ApiVersionsRequest, lambda version: ApiVersionsRequest(), reached, now, left,
                patience=patience, name="Reaching a broker by the address it advertises",
                newest=2,  # from version 3 on brokers refuse an empty software name
            )  # fmt: skip

        def reached(result: Result[Any, KafkaError], now: float) -> None:
            callback(result if isinstance(result, Err) else Ok(self.snapshot), now)

        name = "Asking the bootstrap servers for the cluster's brokers"
        refuse = self.metadata.refuse
        self.calls.start(
            ANY, MetadataRequest, build, learned, now, timeout, patience=patience, name=name, refuse=refuse
        )

    # -- what parts use --------------------------------------------------------------------------------------------

    def brokers(self, lane: Lane) -> Brokers:
        """The brokers, over their connections for this lane."""
        return Brokers(self.nodes, lane, self.config.request_timeout)

    def finalized_feature(self, name: str) -> int:
        """The level at which the cluster has finalized this feature ("transaction.version", say); 0: off or unknown.

        Taken from whichever answer to ApiVersions (version 3 on) had the highest epoch; so it may rise while a producer
        lives, with the next connection.
        """
        return self.nodes.finalized_feature(name)

    def want_topic(self, topic: str, now: float) -> None:
        """Sees to it that the topic's partitions get known and stay so."""
        self.metadata.want(topic, now)

    def refresh(self, topic: str | None, now: float) -> None:
        """What the snapshot says of this topic (None: of the brokers) turned out to be stale."""
        self.metadata.refresh(topic, now)

    def hint_leader(
        self, topic: str, partition: int, leader: int, epoch: int, broker: Broker | None, now: float
    ) -> None:
        """A produce answer names a newer leader (KIP-951); taken if its epoch is newer than the snapshot's."""
        self.metadata.hint(topic, partition, leader, epoch, broker, now)

    def health(self, now: float) -> list[BrokerHealth]:
        """How every known broker is doing, bootstrap addresses (negative ids) included. For any thread."""
        return [node.health(now) for node in list(self.nodes.nodes.values())]

    # -- what the parts report -------------------------------------------------------------------------------------

    def on_open(self, channel: Channel, now: float) -> None:
        self.calls.on_open(channel, now)
        self.on_answers(channel, now)

    def on_answers(self, channel: Channel, now: float) -> None:
        if self._carries_produce(channel) and channel.room > 0:
            self.produce.on_room(channel.node.id, now)  # type: ignore[union-attr]

    def on_down(self, channel: Channel, error: KafkaError, now: float) -> None:
        self.calls.on_down(channel, error, now)
        if self._carries_produce(channel):
            self.produce.on_node_down(channel.node.id, error, now)  # type: ignore[union-attr]

    def _carries_produce(self, channel: Channel) -> bool:
        return self.produce is not None and channel.node.id >= 0 and channel.lane is CONNECTION_OF[Lane.PRODUCE]

    def uses_topic(self, topic: str) -> bool:
        """Whether the produce path still has batches of this topic to deliver."""
        return self.produce is not None and self.produce.uses(topic)

    def notice(self, level: str, text: str) -> None:
        self._effects.append(Notice(level, text))

    def on_snapshot(self, snapshot: Snapshot, now: float) -> None:
        if self.listeners.metadata is not None:
            self.listeners.metadata(snapshot, now)
        if self.listeners.leader_changed is not None:
            self._tell_leaders(self._told, snapshot, now)
            self._told = snapshot
        for broker in snapshot.brokers.values():
            self.nodes.learn(broker.id, broker.host, broker.port, now)
        self.nodes.forget_all_but(snapshot.brokers, now)
        self.calls.on_metadata(now)
        if self.produce is not None:
            self.produce.on_metadata(snapshot, now)

    def _tell_leaders(self, before: Snapshot, after: Snapshot, now: float) -> None:
        tell = self.listeners.leader_changed
        assert tell is not None
        for name, topic in after.topics.items():
            known = before.topics.get(name)
            if known is None or known.partitions is topic.partitions:
                continue
            for old, new in zip(known.partitions, topic.partitions, strict=False):  # there may be more now
                if old.leader != new.leader:
                    tell(name, new.id, old.leader, new.leader, new.leader_epoch, now)
