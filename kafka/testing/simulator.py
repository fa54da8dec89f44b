"""The simulator driver: the real core in virtual time on a simulated network, repeatable from a seed.

    simulation = Simulation(seed=7)
    network = Network(simulation)
    cluster = SimCluster(network, brokers=3)
    client = SimDriver(network, Config(bootstrap=cluster.bootstrap))
    client.core.bootstrap(callback, simulation.now, 5.0)
    client.turn()
    simulation.run(until=60.0)

Hours pass in milliseconds, every schedule is a seed, and what the core must never do is checked at every step.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

from kafka.core.config import Config
from kafka.core.core import Core
from kafka.core.effects import Buffer, Close, Connect, Notice, Resolve, Secure, Send, Work
from kafka.drivers.base import BaseDriver
from kafka.result import Err, Ok, Result
from kafka.testing.sim_broker import SimBroker, SimCluster
from kafka.testing.sim_network import Link, Network, Simulation

__all__ = ["Link", "Network", "SimBroker", "SimCluster", "SimDriver", "Simulation"]


def _unchanged(buffers: Sequence[Buffer], data: bytes) -> None:
    """What was handed over to be written may still be read when its last byte is."""
    assert b"".join(buffers) == data, "a buffer was changed while a request could still read it"


class SimDriver(BaseDriver):
    """Carries out a core's effects on the simulated network. After calling the core directly, call `turn()`."""

    def __init__(self, network: Network, config: Config) -> None:
        self.network = network
        self.simulation = network.simulation
        # The core draws from a generator of its own, so that a change in the network model does not change its choices.
        super().__init__(Core(config, random.Random(self.simulation.random.random())))
        self.stopped = False  # a driver that has died: nothing more reaches the core
        self._links: dict[int, Link | None] = {}  # by connection id; None while connecting
        self._ids: dict[Link, int] = {}
        self._highest = 0
        self._wake_at = float("inf")

    def turn(self) -> None:
        """Carries out what the core wants, and plans the next tick."""
        self.carry_out()
        deadline = self.core.next_deadline()
        if deadline < self._wake_at:
            self._wake_at = deadline
            self.simulation.at(deadline, lambda: self._tick(deadline))

    def _tick(self, planned: float) -> None:
        if planned != self._wake_at or self.stopped:
            return
        self._wake_at = float("inf")
        if self.core.next_deadline() <= self.simulation.now:
            self.simulation.note("tick")
            self.core.tick(self.simulation.now)
        self.turn()

    # -- effects ---------------------------------------------------------------------------------------------------

    def _send(self, effect: Send) -> None:
        id = effect.connection_id
        data = b"".join(effect.buffers)
        if self.simulation.tracing:
            self.simulation.note("send", id, len(data), data[:12].hex())
        link = self._links.get(id)
        assert link is not None, f"Send on connection {id}, which is not open"
        watcher = self.network.watcher
        if watcher is not None:
            watcher.sent(link, data)
        link.send(
            0,
            data,
            self._written(id) if effect.notify else None,
            arrives=None if watcher is None else partial(_unchanged, effect.buffers, data),
        )

    def _close(self, effect: Close) -> None:
        id = effect.connection_id
        self.simulation.note("close", id)
        assert id in self._links, f"Close of unknown connection {id}"
        link = self._links.pop(id)
        if link is not None:
            del self._ids[link]
            link.close(0)

    def _notice(self, effect: Notice) -> None:
        self.simulation.note(effect.level, effect.text)

    def _resolve(self, effect: Resolve) -> None:
        self.simulation.note("resolve", effect.host, effect.port)

        def answer(result: list[tuple[Any, ...]] | BaseException) -> None:
            if not self.stopped:
                self.simulation.note("resolved", effect.host)
                self.core.resolved(effect.host, effect.port, result, self.simulation.now)
                self.turn()

        self.network.resolve(effect.host, effect.port, answer)

    def _connect(self, effect: Connect) -> None:
        id = effect.connection_id
        self.simulation.note("connect", id, effect.address)
        assert id > self._highest, "a connection id was used again"
        self._highest = id
        self._links[id] = None

        def opened(link: Link | OSError) -> None:
            if id not in self._links or self.stopped:  # given up in the meantime
                if isinstance(link, Link):
                    link.close(0)
                return
            self.simulation.note("opened" if isinstance(link, Link) else "refused", id)
            if isinstance(link, Link):
                self._links[id] = link
                self._ids[link] = id
                self.core.connected(id, self.simulation.now)
            else:
                del self._links[id]
                self.core.closed(id, link, self.simulation.now)
            self.turn()

        self.network.connect(self, effect.address, opened)

    def _secure(self, effect: Secure) -> None:
        # No ciphers: what the handshake takes and how it may end is all that the core sees of it.
        id = effect.connection_id

        def happens() -> None:
            if id not in self._links or self.stopped:
                return
            error = self.network.handshakes.get(effect.host)
            self.simulation.note("secured" if error is None else "insecure", id)
            if error is None:
                self.core.secured(id, self.simulation.now)
                self.turn()
            else:
                link = self._links[id]
                assert link is not None
                link.close(0)
                self.on_close(link, error)

        if self.network.handshakes.get(effect.host, ...) is not None:
            self.simulation.after(4 * self.network.latency(), happens)

    def _work(self, effect: Work) -> None:
        def happens() -> None:
            result: Result[Any, BaseException]
            try:
                result = Ok(effect.function())
            except Exception as error:
                result = Err(error)
            if not self.stopped:
                self.core.worked(effect.work_id, result, self.simulation.now)
                self.turn()

        seconds = self.network.work_takes()
        self.simulation.note("work", effect.work_id, round(seconds, 6))
        if seconds < float("inf"):
            self.simulation.after(seconds, happens)

    def _written(self, id: int) -> Any:
        def happens() -> None:
            if id in self._links and not self.stopped:
                self.core.written(id, self.simulation.now)
                self.turn()

        return happens

    # -- the client's end of a link --------------------------------------------------------------------------------

    def on_bytes(self, link: Link, data: bytes) -> None:
        id = self._ids.get(link)
        if id is not None and not self.stopped:
            self.simulation.note("received", id, len(data))
            self.core.received(id, data, self.simulation.now)
            self.turn()

    def on_close(self, link: Link, cause: OSError | None) -> None:
        id = self._ids.pop(link, None)
        if id is not None:
            del self._links[id]
            if not self.stopped:
                self.simulation.note("closed", id)
                self.core.closed(id, cause, self.simulation.now)
                self.turn()
