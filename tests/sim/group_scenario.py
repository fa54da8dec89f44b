"""One seed of the big test of groups: members of both protocols that come, go, stall and die; and faults.

Each member has a reader, which commits as the consumer does: with the time, and what it gives up. Records are numbers:
how far each partition's log goes, and how far it has been given to anybody. Checked all the while:

* no partition is read by two members of the same generation, or of which the coordinator knows both;
* nothing is committed that was given to nobody, and no commit is sent behind a later one and undoes it;
* nothing is left out: who begins to read a partition begins at or before what was given to nobody yet;
* nobody asks without end;
* and in the end the group comes to rest, each partition is somebody's, and all is read.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import count
from typing import Any

from kafka.core.config import Config
from kafka.core.flows import Task, Wish
from kafka.core.groups.assignors import STRATEGIES
from kafka.core.groups.consumer_protocol import ConsumerMember
from kafka.core.groups.membership import Change, GroupConfig, Member
from kafka.core.groups.offsets import Commits, Committed, commit, fetch_committed
from kafka.core.groups.states import MemberState
from kafka.errors import KafkaError
from kafka.protocol import ConsumerGroupHeartbeatRequest, OffsetCommitRequest
from kafka.result import Err, Ok, Result
from kafka.structs import OffsetAndMetadata, TopicPartition
from kafka.testing.model import groups as model
from kafka.testing.model.cluster import Partition
from kafka.testing.sim_faults import Faults
from kafka.testing.sim_network import Link, Network
from kafka.testing.simulator import SimDriver
from tests.sim.oracle import Violation
from tests.sim.test_membership import GROUP
from tests.sim.world import World

SECONDS = 45.0
STEPS = 60
FAULTS = 6
RACKS = ("a", "b", "c", None)
KINDS = (
    "reset", "half-open", "lost answers", "stall", "delay", "segments", "black hole", "crash", "bounce", "pause",
    "slow broker", "coordinator", "throttle", "stale metadata", "errors",
)  # fmt: skip
SESSION, BEAT, POLL = 6.0, 0.5, 9.0
LONGEST_STOP = 12.0  # seconds
AT_REST = 60.0  # seconds until it is, at most: a session, a rebalance, and what connections take to come back
MOST = 14.0  # requests of a member a second, over all of the seed
AT_PEACE = 4.0  # the same, at rest: two heartbeats, and commits


class Stoppable(SimDriver):
    """A process that may be stopped for a while (SIGSTOP): nothing reaches it, and its timers are late."""

    def __init__(self, network: Network, config: Config) -> None:
        self.until = 0.0
        super().__init__(network, config)

    def _late(self, what: Callable[[], None]) -> bool:
        if self.simulation.now >= self.until:
            return False
        self.simulation.at(self.until, what)
        return True

    def _tick(self, planned: float) -> None:
        if not self._late(lambda: self._tick(planned)):
            super()._tick(planned)

    def on_bytes(self, link: Link, data: bytes) -> None:
        if not self._late(lambda: self.on_bytes(link, data)):
            super().on_bytes(link, data)

    def on_close(self, link: Link, cause: OSError | None) -> None:
        if not self._late(lambda: self.on_close(link, cause)):
            super().on_close(link, cause)


class Reader:
    """A member, and who reads for it."""

    def __init__(self, scenario: GroupScenario, name: str, made: type[Member], instance: str | None) -> None:
        self.scenario = scenario
        self.world = w = scenario.world
        self.name = name
        self.driver = Stoppable(
            w.network,
            Config(
                bootstrap=w.cluster.bootstrap, client_id=name, metadata_max_age=4.0,
                request_timeout=scenario.request_timeout,
            ),
        )  # fmt: skip
        self.giving_up: set[TopicPartition] = set()
        self.positions: dict[TopicPartition, int | None] = {}  # of what it has; None: it asks where to begin
        self.stored: dict[TopicPartition, int] = {}
        self.commits = Commits()
        self.next_commit = w.now
        self.gone = self.busy = self.is_carrying = self.is_leaving = False
        self.polled = self.began = w.now
        config = GroupConfig("g", instance, SESSION, POLL, BEAT, scenario.places.choice(RACKS))
        services = self.driver.core.services
        services.calls.start = scenario.watching(services.calls.start)  # type: ignore[method-assign]
        strategies = [STRATEGIES[scenario.strategy]]
        self.member = made(services, config, strategies, lambda: None, lambda now: self.polled)
        self.driver.core.attach(self.member)
        self.member.subscribe(["t", "u"], w.now)
        self.driver.turn()
        self.poll()

    @property
    def now(self) -> float:
        return self.world.now

    def poll(self) -> None:
        if self.gone:
            return
        w = self.world
        if not self.busy and not self.is_carrying and w.now >= self.driver.until:
            self.polled = w.now
            if self.member.error is not None:
                raise Violation("refused", f"{self.name}: {self.member.error}")
            if self.member.changes:
                self.is_carrying = True
                Task(self.carry_out(self.member.changes.popleft(), w.now), lambda result, now: None).start(w.now)
            else:
                self.read()
                if w.now >= self.next_commit:
                    self.next_commit = w.now + 1.0
                    self.begin_commit(self.uncommitted(self.positions))
            self.driver.turn()
        w.simulation.after(0.05, self.poll)

    async def carry_out(self, change: Change, now: float) -> None:
        self.scenario.counts["revoked"] += bool(change.revoked)
        self.scenario.counts["lost"] += bool(change.lost)
        if change.revoked:
            if unknown := set(change.revoked) - self.positions.keys():
                raise Violation("gave up what it has not", f"{self.name}: {unknown}")
            self.giving_up = set(change.revoked)
            now = await self.committing(self.uncommitted(sorted(change.revoked)), now)
            self.giving_up.clear()
        for tp in (*change.revoked, *change.lost):
            self.positions.pop(tp, None)
            self.stored.pop(tp, None)
            self.commits.forget(tp)
        if change.assigned is not None:
            added = sorted(tp for tp in change.assigned if tp not in self.positions)
            self.positions.update(dict.fromkeys(added))
            self.ask(added, now)
        self.is_carrying = False
        change.done(now)

    # -- offsets -------------------------------------------------------------------------------------------------------

    def ask(self, partitions: Collection[TopicPartition], now: float) -> None:
        if not partitions:
            return
        services = self.driver.core.services

        def answered(result: Result[Committed, KafkaError], now: float) -> None:
            if isinstance(result, Err):
                again = [tp for tp in partitions if self.positions.get(tp, 0) is None]
                if not result.error.retriable and again:
                    raise Violation("committed offsets", f"{self.name}: {result.error}")
                services.timers.at(now + 0.5, lambda now: self.ask(again, now))
                return
            for tp, found in result.value.items():
                if self.positions.get(tp, 0) is None:
                    at = self.positions[tp] = self.stored[tp] = 0 if found is None else found.offset or 0
                    if self.scenario.may_be_former(tp):
                        self.scenario.given[tp] = max(self.scenario.given[tp], at)

        flow = fetch_committed(services, "g", partitions, now, 4.0, asks_as=lambda: self.member.asks_as)
        Task(flow, answered).start(now)

    def uncommitted(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: at for tp in partitions if (at := self.positions.get(tp)) is not None and self.stored.get(tp) != at}

    def begin_commit(
        self, offsets: Mapping[TopicPartition, int], done: Callable[[None, float], None] = lambda _, now: None
    ) -> None:
        """As `KafkaConsumer._commit_flow`."""
        now = self.world.now
        if not offsets or self.member.generation < 0:
            done(None, now)
            return

        def answered(result: Result[None, KafkaError], now: float) -> None:
            if isinstance(result, Ok):
                self.stored.update({tp: at for tp, at in offsets.items() if tp in self.positions})
            else:
                self.scenario.counts["commit failed"] += 1
            done(None, now)

        flow = commit(
            self.driver.core.services,
            "g",
            self.member.membership,
            {tp: OffsetAndMetadata(at, "") for tp, at in offsets.items()},
            now,
            3.0,
            self.commits.begin(offsets),
            self.member.renewed,
        )
        Task(flow, answered).start(now)

    async def committing(self, offsets: Mapping[TopicPartition, int], now: float) -> float:
        _, now = await Wish(lambda resume, now: self.begin_commit(offsets, resume))
        return now

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        for tp, at in self.positions.items():
            for other in self.scenario.readers:
                both = other is not self and tp in other.positions and self.scenario.are_at_once(self, other)
                if both and not self.scenario.may_be_former(tp) and not other.is_giving_up_unknown(tp):
                    raise Violation("two have the same", f"{tp}: {self.name} and {other.name}")
            end = self.scenario.ends.get(tp, 0)
            if at is not None and at > end:
                if tp.topic != "u":
                    raise Violation("beyond the end", f"{self.name} reads {tp} at {at}, its end is {end}")
                at = self.positions[tp] = 0  # it was one of the former topic
            if at is None or at == end:
                continue
            if at > self.scenario.given[tp]:
                raise Violation("left out", f"{self.name} reads {tp} at {at}, given {self.scenario.given[tp]}")
            self.scenario.counts["again"] += at < self.scenario.given[tp]
            at = min(end, at + self.scenario.random.randint(1, 20))
            self.positions[tp] = at
            self.scenario.given[tp] = max(self.scenario.given[tp], at)

    def is_giving_up_unknown(self, tp: TopicPartition) -> bool:
        """A coordinator that takes over a classic group does not know what a cooperative member has yet to give up of
        what it had before; that one does not read it any more, but commits how far it had come.
        """
        if not self.scenario.migrates or type(self.member) is not Member:
            return False
        return tp in self.giving_up or any(tp in change.revoked for change in self.member.changes)

    def made_anew(self, tp: TopicPartition) -> None:
        if self.positions.get(tp) is not None:
            self.positions[tp] = self.stored[tp] = 0

    # -- the end -------------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """With a commit, as `close()` does it."""

        def leaves(_: None, now: float) -> None:
            if not self.gone:
                self.member.leave("leaves", now).start(lambda _, now: None, now)
                self.driver.turn()
                self.gone = True
                self.scenario.readers.remove(self)
                self.world.simulation.after(5.0, self.die)

        self.busy = self.is_leaving = True
        self.begin_commit(self.uncommitted(self.positions), leaves)
        self.driver.turn()

    def die(self) -> None:
        self.gone = self.driver.stopped = True
        if self in self.scenario.readers:
            self.scenario.readers.remove(self)
        for link in list(self.driver._ids):
            link.close(0)

    def is_at_rest(self) -> bool:
        is_there = self.member.state is MemberState.STABLE and not self.member.changes and not self.is_carrying
        is_there &= self.now >= self.driver.until
        return is_there and self.knows_replicas()

    def knows_replicas(self) -> bool:
        """Whether it has heard where they are by now, and in which racks; as a leader it may have the group rebalance
        for that, also for the rack of a broker that was down as it came.
        """
        snapshot = self.driver.core.metadata.snapshot
        known = snapshot.topics
        return len(snapshot.brokers) == len(self.world.cluster.brokers) and all(
            name in known
            and [tuple(each.replicas) for each in known[name].partitions] == [each.replicas for each in topic]
            for name, topic in self.world.cluster.topics.items()
        )


class GroupScenario:
    def __init__(self, seed: int) -> None:
        self.random = choose = random.Random(f"groups {seed}")
        self.places = random.Random(f"racks {seed}")  # of its own, so that racks change nothing else
        self.counts: Counter[str] = Counter()
        self.protocols = choose.choice(("classic", "consumer", "both", "both"))
        self.migrates = self.protocols == "both"
        self.strategy = choose.choice(sorted(STRATEGIES))
        self.request_timeout = choose.choice((1.0, 3.0))
        self.world = w = World(seed, 3, tracing=False)
        w.simulation.most_steps = 600_000
        w.network.cuts = (0,) * 16 + (1, 2, 100)
        w.cluster.offer(*GROUP, ConsumerGroupHeartbeatRequest)
        self.groups = groups = w.cluster.groups
        groups.session, groups.heartbeat_interval = SESSION, BEAT
        groups.assignment_interval = choose.choice((0.0, 1.0))
        groups.initial_delay = choose.choice((0.0, 0.0, 1.0))
        groups.takes_older_epochs = choose.random() < 0.7
        w.cluster.load_time = choose.choice((0.0, 0.3))
        store = groups.store
        groups.store = lambda group, offsets: (self.stored(offsets), store(group, offsets))[1]  # type: ignore[method-assign]
        self.given: Counter[TopicPartition] = Counter()  # how far, to anybody
        self.ends: dict[TopicPartition, int] = {}  # of logs
        self.sent: dict[tuple[TopicPartition, int], int] = {}  # the moment when a commit of this was sent last
        self.moments = count()
        self.readers: list[Reader] = []
        self.number = 0
        self.former_until = (
            0.0  # members may have partitions of the former topic, and think that they are the new one's
        )
        self.seconds = 0.0  # that members have been there, together
        for broker, rack in zip(w.cluster.brokers, RACKS, strict=False):
            broker.rack = rack
        self.place(w.cluster.create_topic("t", choose.choice((1, 4, 9))))
        self.place(w.cluster.create_topic("u", choose.choice((1, 3))))

    # -- what happens --------------------------------------------------------------------------------------------------

    def play(self) -> None:
        w, choose = self.world, self.random
        faults = Faults(w.cluster, until=w.now + SECONDS, every=SECONDS / FAULTS, kinds=KINDS, at_least=FAULTS)
        start = w.now
        self.produce()
        things = [self.add] * 4 + [self.leave] * 2 + [self.die, self.die, self.be_busy, self.be_idle, self.be_idle]
        things += [self.stop, self.cut_off, self.move, self.grow, self.make_anew, self.nothing]
        for _ in range(choose.randint(1, 4)):
            self.add()
        for _ in range(STEPS):
            thing = choose.choice(things)
            thing()
            self.counts[thing.__name__] += 1
            self.run(choose.uniform(0.0, 2 * SECONDS / STEPS))
        self.run(max(0.0, start + SECONDS - w.now) + 0.001)
        for reader in self.readers:
            reader.busy = reader.is_leaving
        self.run(LONGEST_STOP + 5.0, lambda: not any(reader.is_leaving for reader in self.readers))
        if not self.readers:
            self.add()
        self.check_requests("busy", MOST)
        if not self.run(AT_REST, self.is_at_rest):
            raise Violation("no rest", f"{self.state()}")
        self.counts["rebalances"] += self.generation()
        self.produce()
        if not self.run(15.0, self.is_all_read):
            behind = {tp: (self.given[tp], end) for tp, end in self.ends.items() if self.given[tp] != end}
            raise Violation("never read", f"(given, end) of {behind} {self.state()}")
        generation = self.generation()
        self.run(10.0)
        if self.generation() != generation:
            raise Violation("no peace", f"{generation} {self.state()}")
        asked = self.requests()
        self.run(10.0)
        if self.requests() - asked > AT_PEACE * 10 * len(self.readers):
            raise Violation("busy", f"{self.requests() - asked} requests of {len(self.readers)} in 10 s of peace")
        if sum(faults.counts.values()) < FAULTS:
            raise Violation("nothing happened", f"{faults.counts}")

    def run(self, seconds: float, done: Callable[[], bool] = lambda: False) -> bool:
        before = self.world.now
        reached = self.world.run(seconds, done)
        self.seconds += (self.world.now - before) * max(1, len(self.readers))
        return reached

    def produce(self) -> None:
        for name, topic in self.world.cluster.topics.items():
            for number in range(len(topic)):
                tp = TopicPartition(name, number)
                self.ends[tp] = self.ends.get(tp, 0) + self.random.randint(1, 100)

    def place(self, partitions: Iterable[Partition]) -> None:
        """Replicas in one rack, in two, or in all of them."""
        ids = [broker.id for broker in self.world.cluster.brokers]
        for partition in partitions:
            partition.replicas = tuple(self.places.sample(ids, self.places.randint(1, len(ids))))

    def protocol(self) -> type[Member]:
        """For a seed with both: first classic members, then of the consumer protocol, then classic ones again."""
        share = {"classic": 0.0, "consumer": 1.0}.get(self.protocols)
        if share is None:
            at = self.world.now / SECONDS
            share = 0.1 if at < 0.25 else 0.8 if at < 0.6 else 0.1
        return ConsumerMember if self.random.random() < share else Member

    def add(self, instance: str | None = None) -> None:
        if len(self.readers) >= 6:
            return
        if instance is None and not self.migrates and self.random.random() < 0.3:
            instance = f"i{self.number}"
        self.number += 1
        self.readers.append(Reader(self, f"m{self.number}", self.protocol(), instance))

    def leave(self) -> None:
        if len(self.readers) > 1:
            reader = self.random.choice(self.readers)
            if not reader.is_leaving:
                reader.leave()

    def die(self) -> None:
        if self.readers:
            reader = self.random.choice(self.readers)
            reader.die()
            if reader.member.config.instance is not None and self.random.random() < 0.7:  # and is started again
                self.add(reader.member.config.instance)

    def be_busy(self) -> None:
        if self.readers:
            self.random.choice(self.readers).busy = True

    def be_idle(self) -> None:
        for reader in self.readers:
            if reader.busy and not reader.is_leaving and self.random.random() < 0.7:
                reader.busy = False

    def stop(self) -> None:
        """SIGSTOP; also for longer than a session."""
        if self.readers:
            driver = self.random.choice(self.readers).driver
            driver.until = max(driver.until, self.world.now + self.random.choice((0.5, 3.0, 7.0, LONGEST_STOP)))

    def cut_off(self) -> None:
        """One member's connections carry nothing for a while; also for longer than a session."""
        if self.readers:
            for link in list(self.random.choice(self.readers).driver._ids):
                link.stall(self.random.choice((0.5, 3.0, 8.0)))

    def move(self) -> None:
        self.world.cluster.move_coordinator("g")

    def grow(self) -> None:
        cluster = self.world.cluster
        topic = cluster.topics.get("t")
        if topic is not None and len(topic) < 12:
            topic.partitions.append(cluster.new_partition(topic, len(topic), [0, 1, 2]))
            self.place(topic.partitions[-1:])
            self.produce()

    def make_anew(self) -> None:
        """Another topic of the same name, with offsets of its own; reading notices that by itself."""
        cluster = self.world.cluster
        size = len(cluster.topics["u"])
        self.former_until = self.world.now + POLL + SESSION
        cluster.delete_topic("u")
        self.place(cluster.create_topic("u", size))
        for number in range(size):
            tp = TopicPartition("u", number)
            self.groups.get("g").offsets.pop(tp, None)
            self.given[tp] = 0
            self.ends[tp] = self.random.randint(1, 100)
            for reader in self.readers:
                reader.made_anew(tp)

    def nothing(self) -> None:
        self.produce()

    # -- what must be --------------------------------------------------------------------------------------------------

    def may_be_former(self, tp: TopicPartition) -> bool:
        """Whether somebody may take an offset of the former topic for one of this one; then that is given, too."""
        return tp.topic == "u" and self.world.now < self.former_until

    def stored(self, offsets: Mapping[tuple[str, int], model.Committed]) -> None:
        before = self.groups.get("g").offsets
        for place, found in offsets.items():
            self.counts["committed"] += 1
            tp = TopicPartition(*place)
            if self.may_be_former(tp):
                self.given[tp] = max(self.given[tp], found.offset)
            if found.offset > self.given[tp]:
                raise Violation("committed unread", f"{tp} at {found.offset}, given {self.given[tp]}")
            if tp.topic == "u" or place not in before or found.offset >= before[place].offset:
                continue
            is_delayed = self.sent[tp, found.offset] < self.sent[tp, before[place].offset]
            if not is_delayed and not any(reader.is_giving_up_unknown(tp) for reader in self.readers):
                raise Violation("committed back", f"{tp} from {before[place].offset} to {found.offset}")

    def watching(self, start: Callable[..., None]) -> Callable[..., None]:
        """Notes which offsets are sent, and when: a connection that stands still may bring them late."""

        def watched(route: Any, message_class: Any, build: Callable[[int], Any], *args: Any, **options: Any) -> None:
            def builds(version: int) -> Any:
                request = build(version)
                for topic in request.topics if message_class is OffsetCommitRequest else ():
                    for entry in topic.partitions:
                        tp = TopicPartition(topic.name, entry.partition_index)
                        self.sent[tp, entry.committed_offset] = next(self.moments)
                return request

            start(route, message_class, builds, *args, **options)

        return watched

    def are_at_once(self, one: Reader, other: Reader) -> bool:
        """Whether the coordinator takes both for members as they take themselves."""
        known: Any = self.groups.consumer.get("g")
        if known is not None and known.members:
            return all(
                each.member.id in known.members and each.member.generation == known.members[each.member.id].epoch
                for each in (one, other)
            )
        is_alike = type(one.member) is type(other.member)  # each protocol counts by itself
        return is_alike and one.member.generation == other.member.generation >= 0

    def generation(self) -> int:
        known = self.groups.consumer.get("g")
        return known.epoch if known is not None and known.members else self.groups.get("g").generation

    def known(self) -> set[str]:
        consumers = self.groups.consumer.get("g")
        return set(self.groups.get("g").members if consumers is None else consumers.members)

    def is_at_rest(self) -> bool:
        held = [tp for reader in self.readers for tp in reader.positions]
        everything = {
            TopicPartition(name, number)
            for name, topic in self.world.cluster.topics.items()
            for number in range(len(topic))
        }
        return (
            all(reader.is_at_rest() for reader in self.readers)
            and len(held) == len(set(held))
            and set(held) == everything
            and {reader.member.generation for reader in self.readers} == {self.generation()}
            and self.known() == {reader.member.id for reader in self.readers}  # none that has died
        )

    def is_all_read(self) -> bool:
        return self.is_at_rest() and all(
            reader.positions[tp] == self.ends[tp] for reader in self.readers for tp in reader.positions
        )

    def requests(self) -> int:
        groups = {request.API_KEY for request in (*GROUP, ConsumerGroupHeartbeatRequest)}
        return sum(key in groups for broker in self.world.cluster.brokers for key, _ in broker.requests)

    def check_requests(self, kind: str, most: float) -> None:
        if self.requests() > most * self.seconds:
            raise Violation(kind, f"{self.requests()} requests in {self.seconds:.0f} seconds of members")

    def state(self) -> list[Any]:
        return [
            self.protocols,
            self.strategy,
            self.generation(),
            [
                (r.name, type(r.member).__name__, r.member.state, r.member.generation, len(r.positions))
                for r in self.readers
            ],
        ]
