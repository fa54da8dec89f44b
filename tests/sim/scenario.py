"""One seed of the big test: a cluster, a producer, 5,000 records, at least ten faults, then peace and the reckoning."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, NamedTuple

from kafka._codec import Accumulator
from kafka.core.produce.identity import LARGEST_EPOCH
from kafka.core.produce.partitions import SEQUENCES
from kafka.protocol import InitProducerIdRequest, ProduceRequest
from kafka.records.compression import Codec
from kafka.testing.sim_broker import Injection
from kafka.testing.sim_faults import INJECTED, Faults
from tests.sim.oracle import Ledger, Violation, Wire
from tests.sim.producing import SimProducer
from tests.sim.world import World

RECORDS = 5000
FAULTS = 10
SECONDS = 30.0  # how long records are sent and faults strike


class Outcome(NamedTuple):
    seed: int
    violation: str | None
    counts: Counter[str]
    trace: list[tuple[Any, ...]]


class Scenario:
    def __init__(self, seed: int, tracing: bool = False) -> None:
        self.seed = seed
        # The choices made here come from a generator of their own: the model's draws do not change them.
        self.random = random.Random(f"scenario {seed}")
        choose = self.random
        self.request_timeout = choose.choice((1.0, 2.0, 4.0))
        self.delivery_timeout = choose.choice((4.0, 15.0, 60.0))
        self.world = World(
            seed,
            choose.choice((3, 3, 4, 5)),
            tracing=tracing,
            request_timeout=self.request_timeout,
            connection_setup_timeout=choose.choice((0.5, 2.0)),
            retry_backoff=choose.choice((0.01, 0.1)),
            **self.config(),
        )
        self.simulation = self.world.simulation
        self.simulation.most_steps = 300_000
        self.cluster = self.world.cluster
        self.world.network.cuts = (0,) * 16 + (1, 2, 100, 1000)
        newest = choose.choice((7, 9, 12, 13, 13, 13))
        for broker in self.cluster.brokers:
            broker.versions[ProduceRequest.API_KEY] = (3, newest)
            broker.loading_until = choose.choice((0.0, 0.0, 0.5))
        self.cluster.hints = choose.choice((0.0, 0.5, 1.0))
        self.cluster.replication = choose.choice(((0.0003, 0.003), (0.0003, 0.003), (0.005, 0.05), (0.02, 0.2)))
        self.cluster.first_epoch = choose.choice((0, 0, 0, LARGEST_EPOCH - 2))
        if choose.random() < 0.2:
            api_key = InitProducerIdRequest.API_KEY
            self.cluster.injected[api_key] = Injection(INJECTED[api_key], 0.7, choose.uniform(0.5, 2.0))
        self.partitions = {f"t{number}": choose.choice((1, 2, 4, 6)) for number in range(choose.choice((2, 2, 3)))}
        for topic, partitions in self.partitions.items():
            self.cluster.create_topic(topic, partitions)
        if choose.random() < 0.4:
            self.cluster.limits["t1"] = choose.choice((600, 2000))
        self.secure()
        self.world.bootstrap().unwrap()
        compression = random.Random(f"compression {seed}").choice((None, None, None, "gzip", "lz4", "zstd"))
        self.producer = SimProducer(
            self.world,
            memory=choose.choice((1 << 17, 1 << 20, 1 << 22)),
            linger=choose.choice((0.0, 0.005, 0.05)),
            delivery_timeout=self.delivery_timeout,
            batch_size=choose.choice((0, 200, 400, 4000)),
            codec=None if compression is None else Codec(compression),
            idempotent=True,
            # All values stay where they are, or none: they are too small for it otherwise.
            by_reference=random.Random(f"by reference {seed}").choice((1, 1 << 20)),
        )
        self.accumulator: Accumulator = self.producer.accumulator
        self.ledger = Ledger(self.cluster, by_name=newest < 13)
        self.wire = self.world.network.watcher = Wire(self.cluster)

    def config(self) -> dict[str, Any]:
        """More for the core."""
        return {}

    def secure(self) -> None:
        """What brokers want of clients."""

    def play(self) -> None:
        for topic in self.partitions:
            self.producer.learn(topic)
        if self.random.random() < 0.3:
            self._number_late()
        if self.accumulator.linger == 0 and self.cluster.replication[1] < 0.01:
            self._slow_broker_gets_less()
        start = self.world.now
        self.faults = Faults(
            self.cluster, until=start + SECONDS, every=SECONDS / self.random.randint(FAULTS, 18), at_least=FAULTS
        )
        self._send_back(start)
        while self.ledger.records < RECORDS:
            self._send_some()
            if self.random.random() < 0.5:
                share = min(self.ledger.records / RECORDS, 1.0)
                self.world.run(max(start + share * SECONDS - self.world.now, 0.0) * 2 * self.random.random())
        self.world.run(max(start + SECONDS - self.world.now, 0.0) + 0.001)
        if not self.world.run(self.delivery_timeout + 30.0, self.ledger.all_done):
            open_ = [number for number, lot in enumerate(self.ledger.lots) if not lot.future.is_done]
            raise Violation("never resolved", f"calls {open_} long after their delivery timeout")
        self._all_is_well()
        self.world.run(60.0, lambda: self.accumulator.used == 0 and not self.accumulator.unresolved())
        self.ledger.check()
        if self.accumulator.used or self.accumulator.unresolved():
            raise Violation("memory not returned", f"{self.accumulator.used} bytes, {self.accumulator.unresolved()}")
        if self.cluster.events["damaged batch"]:
            raise Violation("damaged batch", "a broker was sent what is no batch")
        assert sum(self.faults.counts.values()) >= FAULTS and len(self.faults.counts) >= 3, self.faults.counts

    def _send_back(self, start: float) -> None:
        """In some seeds, brokers have the client start again from its bootstrap servers."""
        choose = random.Random(f"send back {self.seed}")
        for _ in range(choose.choice((0, 0, 1, 3))):
            self.simulation.at(start + choose.uniform(0.0, SECONDS), self._send_back_once)

    def _send_back_once(self) -> None:
        self.cluster.sends_back = True

    def _number_late(self) -> None:
        """Sequences that are about to wrap; brokers take any first one of a producer they do not know."""
        produce = self.producer.produce
        identity = produce.identity
        assert identity is not None
        identity.request(self.world.now)
        assert self.world.run(30.0, lambda: identity.producer_id >= 0)
        for topic in produce.topics.values():
            for partition in topic.partitions:
                partition.restart_numbering(identity.producer_id, identity.epoch)
                partition.next_sequence = SEQUENCES - self.random.randint(1, 400)

    def _slow_broker_gets_less(self) -> None:
        """Keyless records go where they can be taken: not more of them to a slow broker than to the others."""
        slow = self.cluster.brokers[0]
        normal, slow.most_work, slow.least_work = slow.most_work, 0.2, 0.2
        topic, partitions = max(self.partitions.items(), key=lambda item: item[1])
        there = self.cluster.topics[topic]
        if len({partition.leader for partition in there}) > 1:
            self._all_is_well()  # connections are open
            before = [partition.end for partition in there]
            for _ in range(400):
                self.producer.keep_time()
                future = self.producer.send(topic, b"%d " % self.ledger.records)
                self.ledger.add(1, topic, None, None, partitions, future)
                self.world.run(0.002)
            self.world.run(30.0, self.ledger.all_done)
            taken: dict[bool, list[int]] = {True: [], False: []}
            for partition, start in zip(there, before, strict=True):
                taken[partition.leader == slow.id].append(partition.end - start)
            if sum(taken[True]) / len(taken[True]) > 0.7 * sum(taken[False]) / len(taken[False]):
                raise Violation("a slow broker gets more", f"{taken[True]} records there, {taken[False]} elsewhere")
        slow.most_work, slow.least_work = normal, 0.0001

    def _send_some(self) -> None:
        choose, producer, ledger = self.random, self.producer, self.ledger
        topic = choose.choice(list(self.partitions))
        partitions = self.partitions[topic]
        while self.accumulator.used > self.accumulator.memory // 2:  # where send() would wait
            self.world.run(0.05)
        producer.keep_time()
        first = ledger.records
        kind = choose.random()
        partition = choose.randrange(partitions) if kind > 0.9 else None
        if kind < 0.3 or kind > 0.95:  # one by one
            for number in range(first, first + choose.randint(1, 12)):
                key = b"%d" % choose.randrange(20) if kind < 0.15 else None
                future = producer.send(topic, self._value(number), key, partition=partition)
                ledger.add(1, topic, None if key is None else [key], partition, partitions, future)
        else:
            count = choose.choice((choose.randint(1, 10), choose.randint(1, 60)))
            keys = [b"%d" % choose.randrange(20) for _ in range(count)] if kind < 0.5 else None
            values = [self._value(first + index) for index in range(count)]
            future = producer.send_many(topic, values, keys, partition=partition)
            ledger.add(count, topic, keys, partition, partitions, future)
        self.world.client.turn()

    def _value(self, number: int) -> bytes:
        dice = self.random.random()
        if dice < 0.002:
            self.ledger.refused.add(number)
            return b"%d %b" % (number, self.cluster.refused_value)
        if dice < 0.02:
            return b"%d %b" % (number, bytes(self.random.choice((100, 700, 3000))))
        return b"%d " % number

    def _all_is_well(self) -> None:
        """Every partition takes records: a client must not be stuck for good.

        One record may still run into a connection that is dead, which nothing but a timeout can find out.
        """
        places: list[tuple[str, int | None]] = [(topic, None) for topic in self.partitions]
        places += [(topic, partition) for topic, count in self.partitions.items() for partition in range(count)]
        for _ in range(4):
            futures = []
            for topic, partition in places:
                self.producer.keep_time()
                future = self.producer.send(topic, b"%d " % self.ledger.records, partition=partition)
                self.ledger.add(1, topic, None, partition, self.partitions[topic], future)
                futures.append(future)
            self.world.run(self.delivery_timeout + 10.0, lambda: all(future.is_done for future in futures))  # noqa: B023
            places = [place for place, future in zip(places, futures, strict=True) if not future.succeeded()]
            if not places:
                return
        raise Violation("stuck", f"{places} though all is well: {futures[-1].exception!r}")

    def counts(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for kind, count in self.faults.counts.items():
            found[f"fault {kind}"] += count
        for (api_key, code), count in self.cluster.answers.items():
            found[f"answer {api_key} {code}"] += count
        for event, count in self.cluster.events.items():
            found[f"event {event}"] += count
        for rule, count in getattr(self.producer.produce, "counts", {}).items():
            found[f"rule {rule}"] += count
        found["records delivered"] += self.ledger.delivered
        found["records failed"] += self.ledger.failed
        found["produce requests"] += self.wire.requests
        return found


def play(seed: int, tracing: bool = False) -> Outcome:
    scenario = Scenario(seed, tracing)
    try:
        scenario.play()
    except Exception as error:
        if isinstance(error, Violation):
            text = str(error)
        else:
            import traceback

            text = "exception: " + "".join(traceback.format_exception(error))
        return Outcome(seed, text, Counter(), scenario.simulation.trace)
    return Outcome(seed, None, scenario.counts(), scenario.simulation.trace)
