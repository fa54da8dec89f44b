"""One seed of the big test of reading: logs that grow, and lose their ends and beginnings; a reader; and faults.

What the reader is given is compared with what was ever written, as it is given:

* no record that was never on all replicas, and with read_committed none of an aborted transaction;
* in order, and nothing left out but markers, what was aborted, and what retention or compaction took;
* again only where a log was truncated, or the reader itself went back;
* and in the end everything that is in the logs.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from kafka.protocol import FetchRequest
from kafka.records import RecordBatchBuilder, read_batches
from kafka.structs import TopicPartition
from kafka.testing.model.producers import CONTROL, header_of
from kafka.testing.sim_faults import Faults
from kafka.testing.sim_log import SimPartition
from tests.sim.oracle import Violation
from tests.sim.reading import ReadingWorld

SECONDS = 30.0
STEPS = 120
FAULTS = 8
KINDS = tuple(kind for kind in Faults.KINDS if kind not in ("recreate", "coordinator"))
_FENCES = 9  # the first version of Fetch that says whom the client takes for the leader


class Written:
    """What was ever written to one partition, and what the reader has been given of it."""

    def __init__(self, partition: SimPartition) -> None:
        self.partition = partition
        self.values: dict[int, set[bytes]] = {}
        self.aborted: set[bytes] = set()
        self.gone: set[int] = set()  # offsets of which there is nothing to read any more, or never was
        self.committed = 0  # the highest that it ever was
        self.given: set[tuple[int, bytes]] = set()
        self.next = 0
        self.unseen = 0  # below there, a truncation may have gone unnoticed
        self.back_to: list[int] = []  # truncations, and the reader itself, let it go back to there

    def take(self, offset: int, value: bytes) -> None:
        if value not in self.values.get(offset, ()):
            raise Violation("what was never written", f"{value!r} at offset {offset}")
        if value in self.aborted:
            raise Violation("aborted", f"{value!r} at offset {offset} was given to a reader of what is committed")
        if offset >= self.committed:
            raise Violation("not on all replicas", f"offset {offset} of {self.committed}")
        if offset < self.next:
            if not any(place <= offset for place in self.back_to):
                raise Violation("again", f"offset {offset} after {self.next - 1}, back to {self.back_to} at most")
            self.back_to = [place for place in self.back_to if place > offset]
        elif left_out := [each for each in range(self.next, offset) if each not in self.gone]:
            raise Violation("left out", f"offsets {left_out[:5]} before {offset}")
        self.next = offset + 1
        self.given.add((offset, value))


class ReadingScenario:
    def __init__(self, seed: int) -> None:
        self.random = choose = random.Random(f"reading {seed}")
        self.isolation = choose.choice((0, 1))
        self.counts: Counter[str] = Counter()
        self.world = w = ReadingWorld(
            seed,
            choose.choice((1, 3, 3, 4)),
            tracing=False,
            fetch={
                "isolation": self.isolation,
                "sessions": choose.random() < 0.8,
                "partition_max_bytes": choose.choice((300, 2000, 1 << 20)),
                "max_bytes": choose.choice((500, 5000, 1 << 20)),
                "buffer_bytes": choose.choice((1000, 20_000, 1 << 22)),
                "max_wait": choose.choice((0.05, 0.5)),
            },
            request_timeout=choose.choice((1.0, 4.0)),
            retry_backoff=choose.choice((0.01, 0.1)),
            metadata_max_age=choose.choice((5.0, 300.0)),
        )
        w.simulation.most_steps = 300_000
        w.network.cuts = (0,) * 16 + (1, 2, 100, 1000)
        newest = choose.choice((4, 11, 12, 13, 18, 18, 18))
        self.truncates = newest >= _FENCES
        for broker in w.cluster.brokers:
            broker.versions[FetchRequest.API_KEY] = (4, newest)
            broker.fetch_sessions.slots = choose.choice((0, 1000, 1000))
        w.cluster.create_topic("t", choose.choice((1, 5, 12)))
        w.bootstrap().unwrap()
        self.written: dict[TopicPartition, Written] = {}
        for index, partition in enumerate(w.cluster.topics["t"]):
            assert isinstance(partition, SimPartition)
            self.written[TopicPartition("t", index)] = Written(partition)
        self.number = 0
        self.sequences: dict[tuple[TopicPartition, int], int] = {}
        self.transactions: dict[int, list[tuple[int, bytes]]] = {}  # what each producer wrote
        self.outcomes: dict[int, bool] = {}  # whether it was committed

    def play(self) -> None:
        w, choose = self.world, self.random
        w.assign("t", range(len(self.written)), offset=choose.choice((0, None)))
        start = w.now
        faults = Faults(w.cluster, until=start + SECONDS, every=SECONDS / FAULTS, kinds=KINDS, at_least=FAULTS)
        things: list[Any] = [self.append] * 12 + [self.transaction] * 3 + [self.compact, self.expire, self.go_back]
        things += [self.pause, self.be_slow, self.forget_sessions]
        if self.truncates:
            things.append(self.truncate)
        for _ in range(STEPS):
            tp = choose.choice(list(self.written))
            thing = choose.choice(things)
            thing(tp, self.written[tp])
            self.counts[thing.__name__] += 1
            w.run(choose.uniform(0.0, 2 * SECONDS / STEPS))
            self.check()
        w.run(max(start + SECONDS - w.now, 0.0) + 0.001)
        for tp in self.written:
            w.pause(tp, False)
        w.reads = True
        w._read()
        for written in self.written.values():  # whose end nobody waits for any more
            written.partition.commit(written.partition.end)
        if not w.run(120.0, self.is_all_read):
            behind = {tp: (w.positions[tp].offset, each.partition.end) for tp, each in self.written.items()}
            raise Violation("never read", f"(position, end) of {behind}, {w.errors[-3:]}")
        self.check()
        for tp, written in self.written.items():
            if left := [each for each in self.present(written) - written.given if each[0] >= written.unseen]:
                raise Violation("left out in the end", f"{sorted(left)[:5]} of {tp}")
        if sum(faults.counts.values()) < FAULTS or not self.counts["append"]:
            raise Violation("nothing happened", f"{faults.counts} {self.counts}")
        asked = self.fetches()
        w.run(10.0)
        if self.fetches() - asked > (10 / w.fetch.config.max_wait + 15) * len(w.cluster.brokers):
            raise Violation("busy", f"{self.fetches() - asked} Fetches in 10 s of peace")

    def fetches(self) -> int:
        return sum(key == FetchRequest.API_KEY for b in self.world.cluster.brokers for key, _ in b.requests)

    def is_all_read(self) -> bool:
        w = self.world
        return all(w.positions[tp].offset >= each.partition.end for tp, each in self.written.items())

    def check(self) -> None:
        """What has been given since the last time."""
        for tp, written in self.written.items():
            written.committed = max(written.committed, written.partition.committed)
            read = self.world.read[tp]
            for offset, value in read:
                written.take(offset, value)
            read.clear()

    def present(self, written: Written) -> set[tuple[int, bytes]]:
        found = set()
        for batch in written.partition.log:
            for result in read_batches(batch.data):
                records = result.unwrap()
                if not records.is_control:
                    found |= {(record.offset, record.value) for record in records.records().unwrap()}
        return {(offset, value) for offset, value in found if value is not None and value not in written.aborted}

    # -- what happens --------------------------------------------------------------------------------------------------

    def write(self, tp: TopicPartition, written: Written, producer: int = -1) -> list[bytes]:
        partition, count = written.partition, self.random.randint(1, 12)
        options: dict[str, Any] = {}
        if producer >= 0:
            sequence = self.sequences.setdefault((tp, producer), 0)
            self.sequences[tp, producer] = sequence + count
            options = {
                "transactional": True, "producer_id": producer, "producer_epoch": 0, "base_sequence": sequence,
            }  # fmt: skip
        builder = RecordBatchBuilder(self.random.choice(("none", "none", "lz4")), **options)
        base, values = partition.end, []
        for index in range(count):
            self.number += 1
            value = b"%d " % self.number + bytes(self.random.choice((0, 0, 100)))
            builder.append(1000, None, value)
            written.values.setdefault(base + index, set()).add(value)
            written.gone.discard(base + index)
            values.append(value)
            if producer >= 0:
                self.transactions.setdefault(producer, []).append((base + index, value))
        appended = partition.append(bytes(builder.build()))
        assert not appended.error, appended
        return values

    def append(self, tp: TopicPartition, written: Written) -> None:
        self.write(tp, written)
        if self.random.random() < 0.7:
            written.partition.commit(written.partition.end)

    def transaction(self, tp: TopicPartition, written: Written) -> None:
        """One that is over at once, with other records between its own."""
        self.number += 1
        producer = 1_000_000 + self.number
        self.outcomes[producer] = self.random.random() < 0.5
        for _ in range(self.random.randint(1, 3)):
            self.write(tp, written, producer)
            if self.random.random() < 0.5:
                self.write(tp, written)
        self.end_transaction(written, producer)

    def end_transaction(self, written: Written, producer: int) -> None:
        partition, committed = written.partition, self.outcomes[producer]
        if not committed and self.isolation:
            for offset, value in self.transactions[producer]:
                if offset < partition.end:
                    written.aborted.add(value)
                    written.gone.add(offset)
        written.gone.add(partition.end)
        partition.end_transaction(producer, 0, committed)

    def truncate(self, tp: TopicPartition, written: Written) -> None:
        """A replica that was not in sync leads from now on: what was on all others is lost."""
        partition = written.partition
        bases = partition.log.bases
        if not bases:
            return
        end = self.random.choice(bases[-4:])
        partition.committed = min(partition.committed, end)
        alive = [broker.id for broker in self.world.cluster.alive()]
        self.check()
        partition.move(self.random.choice(alive), self.random)
        lost_from = partition.end
        partition.commit(partition.end)
        partition.log.replay()
        written.gone.difference_update([offset for offset in written.gone if offset >= lost_from])
        for producer in list(partition.log.producers.open):  # whose marker is lost
            self.end_transaction(written, producer)
        if written.back_to or not written.given:
            # Who has just been sent somewhere does not know the epoch of what is before it: it may begin anew, or
            # find nothing wrong where the log has grown past it again.
            written.back_to.append(0)
            written.unseen = max(written.unseen, self.world.positions[tp].offset)
        written.back_to.append(lost_from)

    def compact(self, tp: TopicPartition, written: Written) -> None:
        bases = written.partition.log.bases
        if len(bases) > 3:
            self.drop(written, self.random.randrange(1, len(bases) - 2))

    def expire(self, tp: TopicPartition, written: Written) -> None:
        for _ in range(self.random.randint(1, 3)):
            if len(written.partition.log.bases) > 2:
                self.drop(written, 0)

    def drop(self, written: Written, number: int) -> None:
        """Unless it is not on all replicas, or is a transaction's end, which goes after all that was in it."""
        partition = written.partition
        if partition.log.bases[number + 1] > partition.committed:
            return
        header = header_of(partition.log.batch(number))
        if number and header.attributes & CONTROL:
            return
        partition.drop(number)
        written.gone.update(range(header.base_offset, header.base_offset + header.last_delta + 1))

    def go_back(self, tp: TopicPartition, written: Written) -> None:
        log = written.partition.log
        furthest = min(self.world.positions[tp].offset, log.end)
        if furthest > log.start:
            self.check()
            offset = self.random.randint(log.start, furthest)
            written.back_to.append(offset)
            self.world.seek(tp, offset)

    def pause(self, tp: TopicPartition, written: Written) -> None:
        self.world.pause(tp, not self.world.positions[tp].paused)

    def be_slow(self, tp: TopicPartition, written: Written) -> None:
        w = self.world
        w.reads = not w.reads
        if w.reads:
            w._read()

    def forget_sessions(self, tp: TopicPartition, written: Written) -> None:
        self.random.choice(self.world.cluster.brokers).fetch_sessions.clear()
