"""Seeded faults for a simulated cluster: what goes wrong, when, and for how long."""

from __future__ import annotations

from collections import Counter

from kafka.testing.sim_broker import SimBroker, SimCluster


class Faults:
    """Lets something go wrong every `every` seconds on average, until `until`; then everything is healed.

    Half-open links stay so: nothing but a timeout can find out. `counts` says how often each kind occurred.
    """

    KINDS = ("reset", "half-open", "crash", "pause", "leader", "black hole", "dns", "slow")

    def __init__(self, cluster: SimCluster, until: float, every: float = 1.0, kinds: tuple[str, ...] = KINDS) -> None:
        self.cluster = cluster
        self.network = cluster.network
        self.simulation = cluster.simulation
        self.until = until
        self.every = every
        self.kinds = kinds
        self.counts: Counter[str] = Counter()
        self._plan()

    def _plan(self) -> None:
        delay = self.simulation.random.expovariate(1 / self.every)
        if self.simulation.now + delay < self.until:
            self.simulation.after(delay, self._strike)
        else:
            self.simulation.at(self.until, self.heal)

    def _strike(self) -> None:
        random = self.simulation.random
        kind = random.choice(self.kinds)
        broker = random.choice(self.cluster.brokers)
        lasts = min(random.choice((0.05, 0.5, 3.0, 12.0)) * random.random(), self.until - self.simulation.now)
        self.counts[kind] += 1
        self.simulation.note("fault", kind, broker.id, round(lasts, 6))
        getattr(self, "_" + kind.replace("-", "_").replace(" ", "_"))(broker, lasts)
        self._plan()

    def _reset(self, broker: SimBroker, lasts: float) -> None:
        for link in list(broker.connections):
            link.reset()

    def _half_open(self, broker: SimBroker, lasts: float) -> None:
        for link in broker.connections:
            link.half_open = True

    def _crash(self, broker: SimBroker, lasts: float) -> None:
        if broker.is_up and len(self.cluster.alive()) > 1:
            broker.stop()
            self.simulation.after(lasts, broker.start)

    def _pause(self, broker: SimBroker, lasts: float) -> None:
        broker.pause()
        self.simulation.after(lasts, broker.resume)

    def _leader(self, broker: SimBroker, lasts: float) -> None:
        for topic, partitions in self.cluster.topics.items():
            for index, partition in enumerate(partitions):
                if broker.is_up and partition.leader != broker.id and self.simulation.random.random() < 0.5:
                    self.cluster.move_leader(topic, index, broker.id)

    def _black_hole(self, broker: SimBroker, lasts: float) -> None:
        address = (broker.ip, broker.port)
        self.network.black_holes.add(address)
        self.simulation.after(lasts, lambda: self.network.black_holes.discard(address))

    def _dns(self, broker: SimBroker, lasts: float) -> None:
        self.network.hosts[broker.host] = OSError(-3, "Temporary failure in name resolution")
        self.simulation.after(lasts, lambda: self._dns_heals(broker))

    def _dns_heals(self, broker: SimBroker) -> None:
        self.network.hosts[broker.host] = [(broker.ip,)]

    def _slow(self, broker: SimBroker, lasts: float) -> None:
        self.network.most_latency = self.simulation.random.choice((0.01, 0.2, 1.0))
        self.simulation.after(lasts, self._fast)

    def _fast(self) -> None:
        self.network.most_latency = 0.002

    def heal(self) -> None:
        self.network.black_holes.clear()
        self._fast()
        for broker in self.cluster.brokers:
            self._dns_heals(broker)
            if not broker.is_up:
                broker.start()
            broker.resume()
        self.simulation.note("healed")
