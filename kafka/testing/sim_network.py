"""A network in virtual time: latency, arbitrary segmentation, and everything that goes wrong with TCP.

Bytes of one direction of a link arrive in order, cut anywhere; links know no order among each other. Every random
choice comes from the simulation's one generator, so a seed is a schedule.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any, Protocol


class Simulation:
    """Virtual time: a heap of (time, order of scheduling, what happens), and the seeded random source."""

    def __init__(self, seed: int, *, tracing: bool = True) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.now = 0.0
        self.tracing = tracing
        self.steps = 0  # how many things have happened
        self.most_steps = 10**9  # more are taken for a client that runs in circles
        self.trace: list[tuple[Any, ...]] = []  # what happened, in order: equal seeds give equal traces
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def at(self, time: float, happens: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (max(time, self.now), self._order, happens))

    def after(self, delay: float, happens: Callable[[], None]) -> None:
        self.at(self.now + delay, happens)

    def note(self, *what: Any) -> None:
        if self.tracing:
            self.trace.append((round(self.now, 9), *what))

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Lets things happen up to the time `until`, or until `done()`; whether it was done."""
        while not done():
            self.steps += 1
            if self.steps > self.most_steps:
                raise RuntimeError(f"{self.most_steps} things have happened, and it is only {self.now} s")
            if not self._heap or self._heap[0][0] > until:
                self.now = max(self.now, until)
                return done()
            self.now, _, happens = heapq.heappop(self._heap)
            happens()
        return True


class Endpoint(Protocol):
    """One end of a link."""

    def on_bytes(self, link: Link, data: bytes) -> None: ...

    def on_close(self, link: Link, cause: OSError | None) -> None: ...


class Server(Protocol):
    """What listens at an address."""

    def accept(self, link: Link) -> Endpoint: ...


class Watcher(Protocol):
    """Sees what passes on the links, as the client knows of it; it may raise where that must not be."""

    def sent(self, link: Link, data: bytes) -> None:
        """The client sends a whole request."""

    def answered(self, link: Link, correlation_id: int, response: Any) -> None:
        """The last byte of an answer reaches the client."""

    def closed(self, link: Link) -> None:
        """The client has closed the link, or learns that it is broken."""


class Link:
    """One TCP connection. `client` and `server` are its ends; side 0 is the client's."""

    def __init__(self, network: Network, client: Endpoint, address: tuple[Any, ...]) -> None:
        self.network = network
        self.address = address
        self.ends: list[Endpoint | None] = [client, None]
        self.open = [True, False]
        self.half_open = False  # bytes vanish, and neither end is told
        self.answers_vanish = False  # those of the server only
        self._arrives = [0.0, 0.0]  # when the last byte sent by this side arrives

    def send(
        self,
        side: int,
        data: bytes,
        on_arrival: Callable[[], None] | None = None,
        *,
        arrives: Callable[[], None] | None = None,
    ) -> None:
        """Sends bytes from this side; they arrive in pieces, in order, unless the link breaks first.

        The other end is given the last piece between calling `arrives` and `on_arrival`.
        """
        network, random = self.network, self.network.simulation.random
        position = 0
        while position < len(data):
            # One byte, a few, or all: framing has to hold up under any cut.
            cut = random.choice(network.cuts)
            piece = data[position : position + cut] if cut else data[position:]
            position += len(piece)
            last = position == len(data)
            self._arrive(side, lambda p=piece, n=last: self._deliver(side, p, on_arrival, arrives if n else None, n))  # type: ignore[misc]

    def _arrive(self, side: int, happens: Callable[[], None]) -> None:
        simulation = self.network.simulation
        self._arrives[side] = max(self._arrives[side], simulation.now + self.network.latency())
        simulation.at(self._arrives[side], happens)

    def _deliver(
        self,
        side: int,
        data: bytes,
        on_arrival: Callable[[], None] | None,
        arrives: Callable[[], None] | None,
        last: bool,
    ) -> None:
        other = 1 - side
        if self.half_open or not self.open[other] or (self.answers_vanish and side == 1):
            return
        end = self.ends[other]
        assert end is not None
        if arrives is not None:
            arrives()
        end.on_bytes(self, data)
        if last and on_arrival is not None and self.open[side]:
            on_arrival()

    def stall(self, seconds: float) -> None:
        """What is sent from now on, in either direction, arrives so much later."""
        for side in (0, 1):
            self._arrives[side] = max(self._arrives[side], self.network.simulation.now + seconds)

    def close(self, side: int) -> None:
        """This side closes; the other learns of it after what was sent before."""
        if self.open[side]:
            self.open[side] = False
            if side == 0 and self.network.watcher is not None:
                self.network.watcher.closed(self)
            self._arrive(side, lambda: self._closed(1 - side, None))

    def reset(self, cause: OSError | None = None) -> None:
        """The link breaks; bytes under way are lost, and both ends are told."""
        for side in (0, 1):
            self._closed(side, cause or ConnectionResetError(104, "Connection reset by peer"))

    def _closed(self, side: int, cause: OSError | None) -> None:
        if self.open[side] and not self.half_open:
            self.open[side] = False
            if side == 0 and self.network.watcher is not None:
                self.network.watcher.closed(self)
            end = self.ends[side]
            assert end is not None
            end.on_close(self, cause)


class Network:
    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.hosts: dict[str, list[tuple[Any, ...]] | OSError] = {}  # host name -> addresses without port
        self.servers: dict[tuple[Any, ...], Server] = {}  # (ip, port) -> who listens; nobody: refused
        # host name -> what is wrong with its certificate, or None where the handshake never ends; others: all is well
        self.handshakes: dict[str, OSError | None] = {}
        self.black_holes: set[tuple[Any, ...]] = set()  # (ip, port) where a SYN is never answered
        self.links: list[Link] = []
        self.least_latency, self.most_latency = 0.0002, 0.002
        self.cuts: tuple[int, ...] = (0, 0, 0, 0, 1, 2, 7, 100, 1000)  # piece sizes; 0: all the rest
        self.watcher: Watcher | None = None
        self.dns_delay = 0.001
        # Seconds that the next call beside the client takes; infinity: it hangs.
        self.work_takes: Callable[[], float] = lambda: simulation.random.uniform(0.0, 0.01)

    def latency(self) -> float:
        return self.simulation.random.uniform(self.least_latency, self.most_latency)

    def resolve(self, host: str, port: int, answer: Callable[[list[tuple[Any, ...]] | BaseException], None]) -> None:
        def happens() -> None:
            found = self.hosts.get(host, OSError(-2, "Name or service not known"))
            answer(found if isinstance(found, OSError) else [(ip, port) for (ip,) in found])

        self.simulation.after(self.dns_delay, happens)

    def connect(self, client: Endpoint, address: tuple[Any, ...], opened: Callable[[Link | OSError], None]) -> Link:
        """Opens a link; `opened` gets it, or an OSError, or (black holes) nothing ever."""
        link = Link(self, client, address)

        def happens() -> None:
            if address in self.black_holes or not link.open[0]:
                return
            server = self.servers.get(address)
            if server is None:
                link.open[0] = False
                opened(ConnectionRefusedError(111, "Connection refused"))
                return
            link.open[1] = True
            link.ends[1] = server.accept(link)
            self.links = [known for known in self.links if known.open[0] or known.open[1]]
            self.links.append(link)
            opened(link)

        self.simulation.after(2 * self.latency(), happens)
        return link
