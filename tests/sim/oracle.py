"""What must never happen, watched on the wire and looked for in the logs when all is over."""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import Any, NamedTuple

from kafka._codec import murmur2
from kafka.errors import InvalidRecordError, KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, Persisted
from kafka.protocol import ProduceRequest, decode_request
from kafka.records import read_batches
from kafka.result import Ok
from kafka.testing.model.producers import header_of
from kafka.testing.sim_broker import SimCluster
from kafka.testing.sim_network import Link

_SIZE_AND_API = struct.Struct(">ihhi")
PRODUCE = ProduceRequest.API_KEY
# Answers that say of a batch that it may be in the log, whatever else they say; others do if they give a base offset.
AMBIGUOUS = frozenset((7, 20))


class Violation(AssertionError):
    """`kind` is one of the things that must not happen."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Sent(NamedTuple):
    """One batch of a request under way."""

    place: tuple[str, int]  # topic and partition
    stamp: tuple[int, int, int]  # producer id, epoch, first sequence
    records: int


class Stamped:
    """The bytes sent under a stamp, and whether they may be in the log: then they are the only ones for it."""

    __slots__ = ("data", "in_flight", "ambiguous", "deletions")

    def __init__(self, data: bytes, deletions: int) -> None:
        self.data = data
        self.in_flight = 0
        self.ambiguous = False
        self.deletions = deletions  # how often the topic had been deleted


class Wire:
    """Every produce request, from when the client hands it over until it has the answer or lost the connection."""

    def __init__(self, cluster: SimCluster) -> None:
        self.cluster = cluster
        self.simulation = cluster.simulation
        self.links: dict[Link, dict[int, list[Sent]]] = {}
        self.places: dict[tuple[str, int], list[Link]] = defaultdict(list)  # a link for each batch in flight
        self.proven: dict[tuple[str, int], tuple[Link, int, int]] = {}  # where, and under which id, one succeeded last
        self.stamped: dict[tuple[tuple[str, int], tuple[int, int, int]], Stamped] = {}
        self.quiet: dict[Link, float] = {}  # until when a broker asked there not to be sent anything
        self.carriers: set[Link] = set()  # those that batches went over
        self.requests = 0
        self.most_in_flight = 0

    def sent(self, link: Link, data: bytes) -> None:
        size, api_key, version, correlation_id = _SIZE_AND_API.unpack_from(data)
        if api_key != PRODUCE:
            return
        self.carriers.add(link)
        for other, until in self.quiet.items():
            # What it says to one who knows it by an address of bootstrap_servers is about that connection only.
            if other.address == link.address and other in self.carriers and self.simulation.now < until - 1e-9:
                raise Violation("throttle ignored", f"a batch was sent to {link.address}, which asked for a pause")
        assert size == len(data) - 4
        _, request = decode_request(memoryview(data)[4:]).unwrap()
        self.requests += 1
        batches: list[Sent] = []
        for topic in request.topic_data:
            name = topic.name if version < 13 else self.cluster.names[topic.topic_id]
            for entry in topic.partition_data:
                batches.append(self._batch(link, (name, entry.index), bytes(entry.records)))
        if len({batch.place for batch in batches}) < len(batches):
            raise Violation("partition named twice", f"{[batch.place for batch in batches]} in one request")
        if request.acks == 0:
            return
        for batch in batches:
            self.places[batch.place].append(link)
        self.links.setdefault(link, {})[correlation_id] = batches

    def _batch(self, link: Link, place: tuple[str, int], data: bytes) -> Sent:
        header = header_of(data)
        pid, epoch, first, records = header.producer_id, header.epoch, header.first, header.records
        batch = Sent(place, (pid, epoch, first), records)
        self.simulation.note("batch", link.address[0], *place, "stamp", *batch.stamp, "records", records, len(data))
        if pid < 0:
            return batch
        there = self.places[place]
        if any(other is not link for other in there):
            raise Violation(
                "two brokers at once", f"{place} was sent to {link.address} while {there[0].address} had not answered"
            )
        self.most_in_flight = max(self.most_in_flight, len(there) + 1)
        if len(there) >= 5:
            raise Violation("more than five in flight", f"{place} had {len(there)} batches in flight already")
        if there and self.proven.get(place) != (link, pid, epoch):
            raise Violation(
                "more than one in flight before the first success",
                f"{place} has {len(there)} batches in flight to {link.address} under {pid, epoch}",
            )
        deletions = len(self.cluster.deleted.get(place[0], ()))
        known = self.stamped.get((place, batch.stamp))
        if known is not None and known.deletions == deletions and known.data != data:
            # A topic made anew starts its sequences anew; when the client learns of it is its own affair.
            if (known.ambiguous or known.in_flight) and not deletions:
                raise Violation("bytes changed", f"{place} was sent other bytes under the stamp {batch.stamp}")
            known = None
        if known is None or known.deletions != deletions:
            known = self.stamped[place, batch.stamp] = Stamped(data, deletions)
        known.in_flight += 1
        return batch

    def answered(self, link: Link, correlation_id: int, response: Any) -> None:
        throttle = getattr(response, "throttle_time_ms", 0)
        if throttle:
            self.quiet[link] = max(self.quiet.get(link, 0.0), self.simulation.now + throttle / 1000)
        batches = self.links.get(link, {}).pop(correlation_id, None)
        if batches is None:
            return
        codes = {}
        for topic in response.responses:
            name = topic.name or self.cluster.names.get(topic.topic_id, "")
            for answer in topic.partition_responses:
                codes[name, answer.index] = (answer.error_code, answer.base_offset)
        for batch in batches:
            code, base = codes.get(batch.place, (-1, 0))
            self.simulation.note("answer", link.address[0], *batch.place, "stamp", *batch.stamp, "error", code, base)
            if code == 0:
                self.proven[batch.place] = (link, batch.stamp[0], batch.stamp[1])
            self._over(link, batch, base >= 0 or code in AMBIGUOUS)

    def _over(self, link: Link, batch: Sent, ambiguous: bool) -> None:
        self.places[batch.place].remove(link)
        stamped = self.stamped.get((batch.place, batch.stamp))
        if stamped is not None:
            stamped.in_flight -= 1
            stamped.ambiguous |= ambiguous

    def closed(self, link: Link) -> None:
        for batches in self.links.pop(link, {}).values():
            for batch in batches:
                self.simulation.note("unanswered", link.address[0], *batch.place, "stamp", *batch.stamp)
                self._over(link, batch, True)


class Lot(NamedTuple):
    """Records of one call: numbers `first` to `first + count - 1`."""

    first: int
    count: int
    topic: str
    keys: list[bytes] | None
    partition: int | None  # None: the key decides, or the producer
    partitions: int  # how many the topic has
    future: Any


class Ledger:
    """Every record by its number, which its value begins with; what became of it, and where it lies."""

    def __init__(self, cluster: SimCluster, by_name: bool) -> None:
        self.cluster = cluster
        self.refused: set[int] = set()  # records that brokers refuse
        self.by_name = by_name  # requests cannot tell a topic from a later one of that name, so order may suffer there
        self.lots: list[Lot] = []
        self.records = 0
        self.told: list[bool | None] = []  # for each lot: what its callback was told, whether all were delivered
        self.open = 0  # calls whose callback was not called yet
        self.delivered = self.failed = 0

    def add(
        self, count: int, topic: str, keys: list[bytes] | None, partition: int | None, partitions: int, future: Any
    ) -> None:
        number = len(self.lots)
        self.lots.append(Lot(self.records, count, topic, keys, partition, partitions, future))
        self.told.append(None)
        self.records += count
        self.open += 1
        future.add_both(self._tell, number)

    def _tell(self, number: int, *value: Any) -> None:
        if self.told[number] is not None:
            raise Violation("resolved twice", f"the callback of call {number} was called again")
        self.open -= 1
        self.told[number] = self.lots[number].future.succeeded()

    def all_done(self) -> bool:
        return self.open == 0

    def check(self) -> None:
        places = self._read_logs()
        for number, lot in enumerate(self.lots):
            future = lot.future
            if not future.is_done or self.told[number] is None:
                raise Violation("never resolved", f"call {number}: {future}")
            if self.told[number] != future.succeeded():
                raise Violation("resolved twice", f"call {number} had another outcome before: {future}")
            if lot.count == 1 and not hasattr(future, "__len__"):
                error = future.exception
                self._check_record(lot, 0, None if error is not None else future.get(0), error, places)
                continue
            for index, outcome in enumerate(future):
                if isinstance(outcome, Ok):
                    self._check_record(lot, index, outcome.value, None, places)
                else:
                    self._check_record(lot, index, None, outcome.error, places)

    def _check_record(self, lot: Lot, index: int, metadata: Any, error: Any, places: dict[int, Any]) -> None:
        number = lot.first + index
        found = places.get(number, ())
        if error is not None:
            self.failed += 1
            self._check_reason(lot, number, error)
            persisted = getattr(error, "persisted", None)
            lives = len(self.cluster.deleted.get(lot.topic, ()))
            there = [place for place in found if place[1] == lives]  # what a deleted topic had is gone
            if there and persisted is not None and persisted.name == "NOT_PERSISTED":
                raise Violation(
                    "not persisted, and in the log", f"record {number} is at {found}; it failed with {error!r}"
                )
        else:
            self.delivered += 1
            if not found:
                raise Violation("missing", f"record {number} was delivered to {metadata}")
            here = [place for place in found if place[2] == metadata.partition]
            if metadata.topic != lot.topic or not here:
                raise Violation("wrong partition", f"record {number} was delivered to {metadata} and is at {found}")
            if metadata.offset >= 0 and not any(place[3] == metadata.offset for place in here):
                raise Violation("wrong offset", f"record {number} was delivered to {metadata} and is at {found}")
        wanted = lot.partition
        if wanted is None and lot.keys is not None:
            wanted = (murmur2(lot.keys[index]) & 0x7FFFFFFF) % lot.partitions
        for topic, _, partition, _ in found:
            if topic != lot.topic:
                raise Violation("wrong topic", f"record {number} of {lot.topic} is at {found}")
            if wanted is not None and partition != wanted:
                raise Violation("wrong partition", f"record {number} belongs to {wanted} and is at {found}")

    def _check_reason(self, lot: Lot, number: int, error: KafkaError) -> None:
        """A record fails because its time is over, by its own fault, or where nobody can tell whether it is there."""
        if isinstance(error, InvalidRecordError):
            if "This record is refused." in str(error) and number not in self.refused:
                raise Violation("another's error", f"record {number} is good, and failed with {error!r}")
            return
        if isinstance(error, MessageSizeTooLargeError):
            if lot.topic in self.cluster.limits:
                return
        elif isinstance(error, KafkaTimeoutError):
            return  # counted from the creation of the batch, which may be much earlier
        elif error.persisted is Persisted.POSSIBLY_PERSISTED:
            return
        raise Violation("failed without a reason", f"record {number}: {error!r}, which is {error.persisted}")

    def _read_logs(self) -> dict[int, list[tuple[str, int, int, int]]]:
        """Of each record: (topic, which of that name, partition, offset), everywhere it lies."""
        cluster = self.cluster
        keyed = bytearray(self.records)
        for lot in self.lots:
            if lot.keys is not None or lot.partition is not None:
                keyed[lot.first : lot.first + lot.count] = b"\1" * lot.count
        places: dict[int, list[tuple[str, int, int, int]]] = {}
        for topic in {*cluster.topics, *cluster.deleted}:
            lives = [*cluster.deleted.get(topic, ()), *([cluster.topics[topic]] if topic in cluster.topics else ())]
            for life, partitions in enumerate(lives):
                for index, partition in enumerate(partitions):
                    last = [-1, -1]  # of the keyless and of the keyed: they wait in queues of their own
                    for batch in partition.log:
                        (decoded,) = read_batches(batch.data)
                        for record in decoded.unwrap().records().unwrap():
                            assert record.value is not None
                            number = int(record.value.split(b" ", 1)[0])
                            if number >= self.records:
                                raise Violation("never sent", f"record {number} is in {topic}[{index}]")
                            place = (topic, life, index, record.offset)
                            there = places.setdefault(number, [])
                            if any(other[:2] == (topic, life) for other in there):
                                raise Violation("duplicate", f"record {number} is at {[*there, place]}")
                            there.append(place)
                            if number < last[keyed[number]] and not (self.by_name and life):
                                raise Violation(
                                    "reordered", f"record {number} is at {place}, after {last[keyed[number]]}"
                                )
                            last[keyed[number]] = number
        return places
