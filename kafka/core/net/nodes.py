"""The brokers a client knows, and which connection is whose.

A node is a broker known by its id, or an address of bootstrap_servers (negative ids: -1, -2, ...).
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from kafka.core.backoff import Random
from kafka.core.config import Config
from kafka.core.effects import Address, Buffer, Effect
from kafka.core.events import Listeners
from kafka.core.net.channel import Channel
from kafka.core.net.failures import CONNECT, REQUEST, connection_error
from kafka.core.net.lanes import Lane
from kafka.core.net.network import Network, Owner
from kafka.core.net.node import Node
from kafka.core.timers import Timers
from kafka.errors import KafkaError
from kafka.result import Result


class Nodes:
    def __init__(
        self,
        config: Config,
        random: Random,
        timers: Timers,
        effects: list[Effect],
        owner: Owner,
        events: Listeners,
    ) -> None:
        self._owner = owner
        self._network = Network(config, random, timers, effects, owner, events)
        self.nodes: dict[int, Node] = {}
        # Until when lanes of brokers that were dropped are to be left alone.
        self._paused: dict[tuple[int, Lane], float] = {}
        for index, (host, port) in enumerate(config.bootstrap):
            self.nodes[-1 - index] = Node(-1 - index, host, port, self._make_channel)

    def _make_channel(self, node: Node, lane: Lane) -> Channel:
        return Channel(node, lane, self._network)

    def broker(self, id: int) -> Node | None:
        """The broker with this id; none has a negative one, -1 being Kafka's word for "nobody"."""
        return self.nodes.get(id) if id >= 0 else None

    def finalized_feature(self, name: str) -> int:
        """The level at which the cluster has finalized this feature ("transaction.version", say); 0: off or unknown.

        Taken from whichever answer to ApiVersions (version 3 on) had the highest epoch; so it may rise while a producer
        lives, with the next connection.
        """
        return self._network.features.get(name, 0)

    def await_first(self, until: float) -> None:
        """Somebody waits for a broker to answer, until this clock second."""
        self._network.awaited_until = until

    # -- known brokers ---------------------------------------------------------------------------------------------

    def learn(self, broker_id: int, host: str, port: int, now: float) -> Node:
        """Makes a broker known, or notes where it is now."""
        node = self.nodes.get(broker_id)
        if node is None:
            node = self.nodes[broker_id] = Node(broker_id, host, port, self._make_channel)
            for key in [key for key in self._paused if key[0] == broker_id]:
                until = self._paused.pop(key)
                if until > now:
                    channel = node.channel(key[1])
                    channel.throttled_until = until
                    channel.await_throttle()
        elif (node.host, node.port) != (host, port):
            node.host, node.port = host, port
            node.was_reached = False
            for channel in list(node.channels.values()):
                channel.move(now)
        return node

    def forget_all_but(self, broker_ids: Container[int], now: float) -> None:
        """Drops brokers the cluster no longer names, once nothing holds on to their connections.

        A throttled one is kept meanwhile: named again, it must still be left alone.
        """
        for node in list(self.nodes.values()):
            if node.id < 0:
                for channel in node.channels.values():
                    if channel.is_open and not channel.connection.in_flight:  # type: ignore[union-attr]
                        channel.disconnect(now)
            elif node.id not in broker_ids and not node.is_used:
                del self.nodes[node.id]
                gone = connection_error(node.name, CONNECT, "the cluster no longer names this broker")
                self._end(node, gone, now)

    def drop(self, node: Node, error: KafkaError, now: float) -> None:
        """Forgets a broker at once, and its connections with it; a bootstrap address only loses its connections."""
        # To those who wait for its answers the connection broke: no broker has refused what they asked.
        error = connection_error(node.name, REQUEST, error)
        if node.id < 0:
            for channel in list(node.channels.values()):
                channel.fail(error, now)
            return
        del self.nodes[node.id]
        for channel in node.channels.values():
            if channel.throttle is not None:
                self._paused[node.id, channel.lane] = channel.throttled_until
        self._end(node, error, now)

    def _end(self, node: Node, error: KafkaError, now: float) -> None:
        for channel in list(node.channels.values()):
            channel.close(error, now, told=error)
            self._owner.on_down(channel, error, now)  # whoever waits for it has to look elsewhere

    def connection_count(self) -> int:
        """How many connections are up. For any thread."""
        return sum(channel.is_up for node in list(self.nodes.values()) for channel in list(node.channels.values()))

    # -- what the driver reports -----------------------------------------------------------------------------------

    def resolved(self, host: str, port: int, result: list[Address] | BaseException, now: float) -> None:
        for attempt in self._network.looking_up.pop((host, port), {}):
            attempt.on_looked_up((host, port), result, now)

    def connected(self, connection_id: int, now: float) -> None:
        if (channel := self._network.by_connection.get(connection_id)) is not None:
            channel.on_connected(now)

    def secured(self, connection_id: int, now: float, by: str | None) -> None:
        if (channel := self._network.by_connection.get(connection_id)) is not None:
            channel.on_secured(now, by)

    def worked(self, work_id: int, result: Result[Any, BaseException], now: float) -> None:
        if (resume := self._network.working.pop(work_id, None)) is not None:
            resume(result, now)

    def written(self, connection_id: int, now: float) -> None:
        if (channel := self._network.by_connection.get(connection_id)) is not None:
            channel.on_written(now)

    def received(self, connection_id: int, data: Buffer, now: float) -> None:
        if (channel := self._network.by_connection.get(connection_id)) is not None:
            channel.on_received(data, now)

    def closed(self, connection_id: int, cause: object, now: float) -> None:
        if (channel := self._network.by_connection.get(connection_id)) is not None:
            channel.on_closed(cause, now)

    def close(self, error: KafkaError, now: float) -> None:
        self._network.closed = True
        for node in self.nodes.values():
            for channel in node.channels.values():
                channel.close(error, now)
