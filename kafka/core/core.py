"""The client as one state machine: inputs with the time of day in, effects out.

A driver calls the inputs (`connected`, `received`, `tick`, ...) from one thread, each with `now`, a monotonic clock in
seconds, and after each carries out what `effects()` hands it. Between inputs it may sleep until `next_deadline()`.
Nothing in here waits, reads a clock, or draws a random number of its own: the same inputs give the same effects.
"""

from __future__ import annotations

from typing import Any

from kafka.core.backoff import Random
from kafka.core.cluster.bootstrap import bootstrap
from kafka.core.cluster.calls import Calls
from kafka.core.cluster.coordinators import Coordinators
from kafka.core.cluster.metadata import Metadata
from kafka.core.cluster.snapshot import EMPTY, Snapshot
from kafka.core.config import Config
from kafka.core.effects import Address, Buffer, Effect, Notice
from kafka.core.events import Listeners
from kafka.core.flows import Task
from kafka.core.net.channel import Channel
from kafka.core.net.connection import Callback
from kafka.core.net.health import BrokerHealth
from kafka.core.net.lanes import CONNECTION_OF
from kafka.core.net.nodes import Nodes
from kafka.core.parts import Part, Services
from kafka.core.timers import Timers
from kafka.errors import KafkaError
from kafka.result import Result


class Core:
    def __init__(self, config: Config, random: Random, listeners: Listeners | None = None) -> None:
        self.config = config
        self.events = listeners or Listeners()  # told of what happens
        self.parts: tuple[Part, ...] = ()
        self.timers = Timers()
        self._effects: list[Effect] = []
        self._told = EMPTY  # the snapshot whose leaders the listeners know
        self.closed_by: KafkaError | None = None  # what `close` was given
        self.nodes = Nodes(config, random, self.timers, self._effects, self, self.events)
        self.calls = Calls(config, random, self.timers, self.nodes, self)
        self.metadata = Metadata(config, random, self.timers, self.nodes, self.calls, self)
        self.coordinators = Coordinators(config, random, self.timers, self.nodes, self.calls)
        self.services = Services(
            config,
            random,
            self.timers,
            self.events,
            self.nodes,
            self.calls,
            self.metadata,
            self.coordinators,
            self.notice,
        )

    def attach(self, part: Part) -> None:
        """Another path of this client: from now on it is told what happens."""
        self.parts += (part,)

    def detach(self, part: Part) -> None:
        self.parts = tuple(each for each in self.parts if each is not part)

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
        for part in self.parts:
            deadline = min(deadline, part.next_deadline())
        return deadline

    # -- inputs ----------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Runs whatever has become due."""
        if self.closed_by is None:
            self.timers.fire(now)
        for part in self.parts:
            part.tick(now)

    def held_up(self, seconds: float, now: float) -> None:
        """The driver could give no input for so long: a callback ran, or the process stood still."""
        self.timers.on_held_up(seconds, now)

    def resolved(self, host: str, port: int, result: list[Address] | BaseException, now: float) -> None:
        """The answer to `Resolve`: socket addresses, best first, or the exception."""
        if self.closed_by is None:
            self.nodes.resolved(host, port, result, now)

    def connected(self, connection_id: int, now: float) -> None:
        """The answer to `Connect`: the socket is open."""
        self.nodes.connected(connection_id, now)

    def secured(self, connection_id: int, now: float, by: str | None = None) -> None:
        """The answer to `Secure`: hands were shaken, and the peer's certificate is its own.

        `by`: what encrypts the connection, for `health`.
        """
        self.nodes.secured(connection_id, now, by)

    def worked(self, work_id: int, result: Result[Any, BaseException], now: float) -> None:
        """The answer to `Work`."""
        self.nodes.worked(work_id, result, now)

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

    def close(self, error: KafkaError, now: float) -> None:
        """Fails all that is under way with this error and closes every connection. Later requests fail with it."""
        if self.closed_by is None:
            self.closed_by = error
            for part in self.parts:
                part.close(error, now)
            self.calls.close(error, now)
            self.nodes.close(error, now)

    def bootstrap(self, callback: Callback, now: float, timeout: float) -> None:
        """Learns the cluster's brokers and reaches one of them by its advertised address. Ok(Snapshot) or Err.

        Gives up early, after `Config.bootstrap_patience`, if every address fails, but not while one keeps it waiting;
        the error names each of them.
        """
        self.nodes.await_first(now + timeout)
        Task(bootstrap(self.calls, self.metadata, self.config, now, timeout), callback).start(now)

    def health(self, now: float) -> list[BrokerHealth]:
        """How every known broker is doing, bootstrap addresses (negative ids) included. For any thread."""
        return [node.health(now) for node in list(self.nodes.nodes.values())]

    def trouble(self, now: float) -> str:
        """What is known to be wrong, for the end of an error message. For any thread."""
        failing = [health for health in self.health(now) if health.error is not None]
        # The addresses of bootstrap_servers are some of them once more, where brokers are known.
        errors = [str(health.error) for health in failing if health.node_id >= 0] or [str(h.error) for h in failing]
        if self.metadata.error is not None and not errors:
            errors = [str(self.metadata.error)]
        return " " + " ".join(errors[:3]) if errors else ""

    # -- what the parts report -------------------------------------------------------------------------------------

    def on_open(self, channel: Channel, now: float) -> None:
        self.calls.on_open(channel, now)
        self.on_answers(channel, now)

    def on_answers(self, channel: Channel, now: float) -> None:
        for part in self._parts_on(channel):
            if channel.room > 0:
                part.on_room(channel.node.id, now)

    def on_down(self, channel: Channel, error: KafkaError, now: float) -> None:
        self.calls.on_down(channel, error, now)
        for part in self._parts_on(channel):
            part.on_node_down(channel.node.id, error, now)

    def _parts_on(self, channel: Channel) -> list[Part]:
        if channel.node.id < 0:
            return []
        return [part for part in self.parts if CONNECTION_OF[part.lane] is channel.lane]

    def uses_topic(self, topic: str) -> bool:
        """Whether a part still has something to do with this topic."""
        return any(part.uses(topic) for part in self.parts)

    def notice(self, level: str, text: str) -> None:
        self._effects.append(Notice(level, text))

    def on_snapshot(self, snapshot: Snapshot, now: float) -> None:
        if self.events.metadata is not None:
            self.events.metadata(snapshot, now)
        if self.events.leader_changed is not None:
            self._tell_leaders(self._told, snapshot, now)
            self._told = snapshot
        for broker in snapshot.brokers.values():
            self.nodes.learn(broker.id, broker.host, broker.port, now)
        self.nodes.forget_all_but(snapshot.brokers, now)
        self.calls.on_metadata(now)
        for part in self.parts:
            part.on_metadata(snapshot, now)

    def _tell_leaders(self, before: Snapshot, after: Snapshot, now: float) -> None:
        tell = self.events.leader_changed
        assert tell is not None
        for name, topic in after.topics.items():
            known = before.topics.get(name)
            if known is None or known.partitions is topic.partitions:
                continue
            for old, new in zip(known.partitions, topic.partitions, strict=False):  # there may be more now
                if old.leader != new.leader:
                    tell(name, new.id, old.leader, new.leader, new.leader_epoch, now)
