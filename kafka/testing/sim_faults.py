"""Seeded faults for a simulated cluster: what goes wrong, when, and for how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from kafka.protocol import (
    DescribeProducersRequest,
    FindCoordinatorRequest,
    InitProducerIdRequest,
    ListOffsetsRequest,
    MetadataRequest,
    ProduceRequest,
)
from kafka.testing.sim_broker import Injection, SimBroker, SimCluster

# What each API may answer instead of doing its work, all of it retriable.
INJECTED: dict[int, tuple[int, ...]] = {
    ProduceRequest.API_KEY: (2, 3, 5, 6, 19, 56, 89),
    MetadataRequest.API_KEY: (3, 5),
    InitProducerIdRequest.API_KEY: (14, 15, 16),
    FindCoordinatorRequest.API_KEY: (14, 15),
    DescribeProducersRequest.API_KEY: (3, 6, 29),
    ListOffsetsRequest.API_KEY: (5, 6, 74, 75),
}


class Faults:
    """Lets something go wrong every `every` seconds on average, until `until`; then everything is healed.

    At least `at_least` times, and in at least three kinds if there are as many. Half-open links stay so: nothing but a
    timeout can find out. `counts` says how often each kind occurred.
    """

    KINDS = (
        "reset", "half-open", "lost answers", "stall", "delay", "segments", "black hole", "dns",
        "crash", "bounce", "pause", "slow broker", "leader", "coordinator", "throttle",
        "stale metadata", "replicas", "recreate", "errors",
    )  # fmt: skip

    def __init__(
        self,
        cluster: SimCluster,
        until: float,
        every: float = 1.0,
        kinds: tuple[str, ...] = KINDS,
        at_least: int = 1,
    ) -> None:
        self.cluster = cluster
        self.network = cluster.network
        self.simulation = cluster.simulation
        self.random = cluster.simulation.random
        self.until = until
        self.kinds = kinds
        self.counts: Counter[str] = Counter()
        self._normal_cuts = self.network.cuts
        now = self.simulation.now
        number = max(at_least, round((until - now) / every))
        drawn = self.random.sample(kinds, min(3, len(kinds)))
        drawn += self.random.choices(kinds, k=max(0, number - len(drawn)))
        for kind in drawn:
            self.simulation.at(self.random.uniform(now, until), self._strike(kind))
        self.simulation.at(until, self.heal)

    def _strike(self, kind: str) -> Callable[[], None]:
        def strikes() -> None:
            broker = self.random.choice(self.cluster.brokers)
            lasts = self.random.choice((0.05, 0.5, 3.0, 12.0)) * self.random.random()
            lasts = min(lasts, self.until - self.simulation.now)
            self.simulation.note("fault", kind, broker.id, round(lasts, 6))
            if getattr(self, "_" + kind.replace("-", "_").replace(" ", "_"))(broker, lasts) is not False:
                self.counts[kind] += 1
            else:  # not with this broker, not now
                self._strike(self.random.choice(self.kinds))()

        return strikes

    # -- the network -------------------------------------------------------------------------------------------------

    def _reset(self, broker: SimBroker, lasts: float) -> None:
        for link in list(broker.connections):
            link.reset()

    def _half_open(self, broker: SimBroker, lasts: float) -> None:
        for link in broker.connections:
            link.half_open = True

    def _lost_answers(self, broker: SimBroker, lasts: float) -> None:
        """The broker does what it is asked, and nobody hears of it; perhaps it then forgets the half of it."""
        for link in broker.connections:
            link.answers_vanish = True
        if self.random.random() < 0.7:
            self.simulation.after(min(lasts, 0.9), lambda: self._bounces(broker))
        if self.random.random() < 0.5:
            self.cluster.spiteful_until = self.simulation.now + 10.0
        if self.random.random() < 0.3:
            api_key = DescribeProducersRequest.API_KEY
            self.cluster.injected[api_key] = Injection((29,), 1.0, self.simulation.now + 10.0)

    def _stall(self, broker: SimBroker, lasts: float) -> None:
        """Packets are lost: TCP sends them again, and all that follows waits."""
        for link in broker.connections:
            link.stall(min(lasts, 2.0))

    def _delay(self, broker: SimBroker, lasts: float) -> None:
        self.network.most_latency = self.random.choice((0.01, 0.2, 1.0))
        self.simulation.after(lasts, self._fast)

    def _fast(self) -> None:
        self.network.most_latency = 0.002

    def _segments(self, broker: SimBroker, lasts: float) -> None:
        self.network.cuts = (0, 1, 2, 3, 5, 50)
        self.simulation.after(min(lasts, 0.5), self._whole)

    def _whole(self) -> None:
        self.network.cuts = self._normal_cuts

    def _black_hole(self, broker: SimBroker, lasts: float) -> None:
        address = (broker.ip, broker.port)
        self.network.black_holes.add(address)
        self.simulation.after(lasts, lambda: self.network.black_holes.discard(address))

    def _dns(self, broker: SimBroker, lasts: float) -> None:
        self.network.hosts[broker.host] = OSError(-3, "Temporary failure in name resolution")
        self.simulation.after(lasts, lambda: self._dns_heals(broker))

    def _dns_heals(self, broker: SimBroker) -> None:
        self.network.hosts[broker.host] = [(broker.ip,)]

    # -- brokers -----------------------------------------------------------------------------------------------------

    def _crash(self, broker: SimBroker, lasts: float) -> bool:
        if not broker.is_up or len(self.cluster.alive()) < 2:
            return False
        broker.stop()
        self.simulation.after(lasts, lambda: self._start(broker, self.random.random() < 0.5))
        return True

    def _bounces(self, broker: SimBroker) -> None:
        self._bounce(broker, 0.2)

    def _bounce(self, broker: SimBroker, lasts: float) -> bool:
        """A restart during which nobody else could take over: the same leader, with less memory of its producers."""
        if not broker.is_up or len(self.cluster.alive()) < 2:
            return False
        broker.stop(keeps_leading=True)
        self.simulation.after(lasts / 4, lambda: self._back(broker))
        return True

    def _back(self, broker: SimBroker) -> None:
        """It leads in the old epoch at first, then for a moment not at all, then in a new one."""
        self._start(broker, False)
        self.simulation.after(self.random.uniform(0.0, 0.1), lambda: self._next_epoch(broker))

    def _next_epoch(self, broker: SimBroker) -> None:
        for topic, index, partition in self.cluster.places():
            if partition.leader == broker.id and broker.is_up:
                partition.committed = partition.end  # nobody else was in sync
                self.cluster.move_leader(topic, index, broker.id)

    def _start(self, broker: SimBroker, leads_again: bool) -> None:
        if broker.is_up:
            return
        broker.start(self.random.choice((0.0, 0.1, 1.0)))
        if leads_again:
            self._leader(broker, 0.0)

    def _pause(self, broker: SimBroker, lasts: float) -> bool:
        """SIGSTOP; it may lose its leaderships, of which it does not hear before it goes on."""
        if not broker.is_up:
            return False
        broker.pause()
        others = [other for other in self.cluster.alive() if not other.is_paused]
        if others and self.random.random() < 0.5:
            for topic, index, partition in self.cluster.places():
                if partition.leader == broker.id:
                    self.cluster.move_leader(topic, index, self.random.choice(others).id)
                    partition.former = broker.id
                    partition.former_until = self.simulation.now + lasts + 0.05
        self.simulation.after(lasts, broker.resume)
        return True

    def _slow_broker(self, broker: SimBroker, lasts: float) -> None:
        normal = broker.most_work
        broker.most_work = self.random.choice((0.02, 0.1, 0.4))
        self.simulation.after(lasts, lambda: setattr(broker, "most_work", min(normal, broker.most_work)))

    def _leader(self, broker: SimBroker, lasts: float) -> bool:
        if not broker.is_up:
            return False
        for topic, index, partition in self.cluster.places():
            if partition.leader != broker.id and self.random.random() < 0.5:
                self.cluster.move_leader(topic, index, broker.id)
        return True

    def _coordinator(self, broker: SimBroker, lasts: float) -> None:
        self.cluster.coordinator_shift += 1

    def _throttle(self, broker: SimBroker, lasts: float) -> None:
        broker.throttles_until = self.simulation.now + lasts

    def _stale_metadata(self, broker: SimBroker, lasts: float) -> None:
        """Half of the brokers stop learning of new leaders and topics; then leaders move."""
        view = self.cluster.view()
        for other in self.cluster.brokers:
            if self.random.random() < 0.5 or other is broker:
                other.stale = view
                self.simulation.after(lasts, lambda other=other: setattr(other, "stale", None))  # type: ignore[misc]
        self._leader(self.random.choice(self.cluster.alive()), lasts)

    # -- topics and answers ------------------------------------------------------------------------------------------

    def _replicas(self, broker: SimBroker, lasts: float) -> None:
        """Followers lag or are gone: appends are refused (19), not acknowledged (20) or time out (7)."""
        for _, _, partition in self.cluster.places():
            if self.random.random() < 0.5:
                partition.trouble = self.random.choice((7, 19, 20))
                partition.trouble_after_append = partition.trouble != 19
                partition.trouble_until = self.simulation.now + lasts

    def _recreate(self, broker: SimBroker, lasts: float) -> bool:
        if not self.cluster.topics:
            return False
        name = self.random.choice(list(self.cluster.topics))
        partitions = len(self.cluster.topics[name])
        self.cluster.delete_topic(name)
        self.simulation.after(min(lasts, 0.5), lambda: self._create(name, partitions))
        return True

    def _create(self, name: str, partitions: int) -> None:
        if name not in self.cluster.topics:
            self.cluster.create_topic(name, partitions)

    def _errors(self, broker: SimBroker, lasts: float) -> None:
        for api_key, codes in INJECTED.items():
            if self.random.random() < 0.6:
                chosen = tuple(self.random.sample(codes, self.random.randint(1, len(codes))))
                self.cluster.injected[api_key] = Injection(
                    chosen, self.random.choice((0.1, 0.5, 0.9)), self.simulation.now + lasts
                )

    def heal(self) -> None:
        self.network.black_holes.clear()
        self._fast()
        self._whole()
        self.cluster.injected.clear()
        self.cluster.spiteful_until = 0.0
        for _, _, partition in self.cluster.places():
            partition.trouble_until = 0.0
        for broker in self.cluster.brokers:
            self._dns_heals(broker)
            broker.throttles_until = 0.0
            broker.stale = None
            if not broker.is_up:
                broker.start()
            broker.resume()
        self.simulation.note("healed")
