"""The produce path in the simulator: where batches go, what becomes of them, under faults and without."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

from kafka._codec import murmur2
from kafka.core.produce.path import closed_error
from kafka.errors import IllegalStateError, KafkaTimeoutError, NotLeaderForPartitionError, ProtocolError
from kafka.protocol import ProduceRequest
from kafka.protocol.codes import Code
from kafka.records import CODECS, read_batches
from kafka.records.compression import Codec
from kafka.testing.sim_broker import HANDLERS
from kafka.testing.sim_faults import Faults
from tests.sim.producing import SimProducer
from tests.sim.world import World, changed

SEEDS = int(os.environ.get("SIM_SEEDS", "30"))
PRODUCE = ProduceRequest.API_KEY


def start(seed: int = 1, partitions: int = 6, brokers: int = 3, config: Any = None, **options: Any) -> SimProducer:
    world = World(seed, brokers, **(config or {}))
    world.cluster.create_topic("t", partitions)
    world.bootstrap().unwrap()
    return SimProducer(world, **options)


def settle(producer: SimProducer, seconds: float = 30.0) -> None:
    assert producer.world.run(seconds, producer.all_done), [str(f) for _, f in producer.sent if not f.is_done]


def test_keyless_records_need_no_metadata_and_spread_evenly() -> None:
    producer = start()
    assert producer.accumulator.partition_count("t") == -1
    for _ in range(600):
        future = producer.put("t")
        producer.world.run(0.01, lambda future=future: future.is_done)
    settle(producer)
    producer.check("t")
    sizes = [len(log) for log in producer.logs("t")]
    assert max(sizes) - min(sizes) <= 2, sizes


@pytest.mark.parametrize(("records", "every"), [(20, 0.001), (500, 0.0005)], ids=["20,000 a second", "full rate"])
def test_keyless_bytes_per_partition_differ_by_less_than_a_tenth(records: int, every: float) -> None:
    producer = start(linger=0.005, batch_size=4096, memory=64 << 20, idempotent=True)
    futures = []
    while producer.accumulator.batches_taken < 1_000:
        producer.keep_time()
        futures.append(producer.send_many("t", [bytes(100)] * records))
        producer.world.run(every)
    assert producer.world.run(60.0, lambda: all(future.is_done for future in futures))
    sizes = [sum(len(batch.data) for batch in partition.log) for partition in producer.world.cluster.topics["t"]]
    assert max(sizes) < 1.1 * min(sizes), sizes


def test_a_slow_broker_takes_fewer_batches_not_all_of_the_time() -> None:
    producer = start(partitions=3, linger=0.0)
    for broker, work in zip(producer.world.cluster.brokers, (0.001, 0.001, 0.1), strict=True):
        broker.least_work = broker.most_work = work
    for _ in range(400):
        producer.put("t")
        producer.world.run(0.002)
    settle(producer)
    producer.check("t")
    fast, other, slow = (len(log) for log in producer.logs("t"))
    assert slow < fast / 2
    assert slow < other / 2


def test_keyed_records_go_where_murmur2_says_in_order() -> None:
    producer = start()
    producer.learn("t")
    for number in range(300):
        producer.put("t", key=b"key-%d" % (number % 17))
        producer.world.run(0.001)
    settle(producer)
    producer.check("t")
    for index, log in enumerate(producer.logs("t")):
        numbers = [int(value) for _, value in log if value is not None]
        assert numbers == sorted(numbers)
        assert all((murmur2(b"key-%d" % (n % 17)) & 0x7FFFFFFF) % 6 == index for n in numbers)


def test_a_request_never_names_a_partition_twice() -> None:
    """Kafka keeps one of two batches for a partition in a request, and says nothing."""
    producer = start(partitions=2, brokers=1, linger=0.0, batch_size=100)
    named: list[int] = []

    def handler(broker: Any, header: Any, request: Any) -> Any:
        for topic in request.topic_data:
            partitions = [data.index for data in topic.partition_data]
            assert len(set(partitions)) == len(partitions)
            named.append(len(partitions))
        assert len({topic.name for topic in request.topic_data}) == len(request.topic_data)
        return HANDLERS[PRODUCE](broker, header, request)

    producer.world.cluster.brokers[0].handlers[PRODUCE] = handler
    for _ in range(200):
        producer.put("t")
    settle(producer)
    producer.check("t")
    assert max(named) == 2


def test_a_moved_leader_is_found_and_the_same_bytes_are_sent_again() -> None:
    producer = start(partitions=1)
    producer.put("t")
    settle(producer)
    producer.world.cluster.move_leader("t", 0, 1)
    seen: list[bytes] = []
    for broker in producer.world.cluster.brokers:

        def handler(broker: Any, header: Any, request: Any) -> Any:
            seen.append(bytes(request.topic_data[0].partition_data[0].records))
            return HANDLERS[PRODUCE](broker, header, request)

        broker.handlers[PRODUCE] = handler
    producer.put("t")
    settle(producer)
    producer.check("t")
    assert len(seen) >= 2
    assert len(set(seen)) == 1


def test_keyless_records_avoid_a_broker_that_is_down() -> None:
    producer = start(partitions=3)
    producer.put("t")
    settle(producer)
    producer.world.cluster.brokers[2].stop()
    producer.world.cluster.topics["t"][2].leader = 2  # no new leader: nobody else may take it
    for _ in range(50):
        producer.put("t")
        producer.world.run(0.01)
    settle(producer, 5.0)
    producer.check("t")


def test_keyless_records_stay_in_the_rack_while_a_leader_there_can_be_reached() -> None:
    world = World(1, 3)
    for broker, rack in zip(world.cluster.brokers, ("a", "b", "b"), strict=True):
        broker.rack = rack
    world.cluster.create_topic("t", 6)  # partition p is led by broker p % 3
    world.bootstrap().unwrap()
    producer = SimProducer(world, rack="a", linger=0.0)
    for _ in range(60):
        producer.put("t")
        world.run(0.01)
    settle(producer)
    sizes = [len(log) for log in producer.logs("t")]
    assert sizes[1] == sizes[2] == sizes[4] == sizes[5] == 0 and abs(sizes[0] - sizes[3]) <= 1
    world.cluster.brokers[0].stop()
    producer.world.cluster.topics["t"][0].leader = producer.world.cluster.topics["t"][3].leader = 0
    for _ in range(60):
        producer.put("t")
        world.run(0.01)
    settle(producer)
    producer.check("t")
    assert sum(len(log) for log in producer.logs("t")) == 120


def asked_at_once(producer: SimProducer, count: int) -> set[int]:
    """The partitions of keyless records whose partition somebody reads as soon as each is sent."""
    chosen = []
    for _ in range(count):
        future = producer.put("t")
        place = future._produce_future.topic_partition  # type: ignore[attr-defined]
        producer.world.run(0.02)
        chosen.append((place, future))
    settle(producer)
    producer.check("t")
    assert chosen[0][0] is None  # nobody had asked before
    assert all(place == future.get(0).topic_partition for place, future in chosen[1:])
    return {place.partition for place, _ in chosen[1:]}


def test_keyless_records_that_are_to_know_their_partition_at_once_go_where_somebody_leads() -> None:
    producer = start()
    producer.world.cluster.topics["t"][1].leader = producer.world.cluster.topics["t"][4].leader = -1
    producer.learn("t")
    assert asked_at_once(producer, 30) == {0, 2, 3, 5}


def test_keyless_records_that_are_to_know_their_partition_at_once_stay_in_the_rack() -> None:
    world = World(1, 3)
    for broker, rack in zip(world.cluster.brokers, ("a", "b", "b"), strict=True):
        broker.rack = rack
    world.cluster.create_topic("t", 6)  # partition p is led by broker p % 3
    world.bootstrap().unwrap()
    producer = SimProducer(world, rack="a", linger=0.0)
    producer.learn("t")
    assert asked_at_once(producer, 30) == {0, 3}


def test_delivery_timeout_names_the_cause() -> None:
    producer = start(delivery_timeout=3.0, config={"request_timeout": 1.0})
    for broker in producer.world.cluster.brokers:
        broker.pause()
    future = producer.put("t")
    assert producer.world.run(3.1, lambda: future.is_done)
    assert isinstance(future.exception, KafkaTimeoutError)
    assert "delivery_timeout_ms" in str(future.exception)
    assert "no answer" in str(future.exception)
    producer.world.run(5.0)
    assert producer.accumulator.used == 0


def test_a_batch_that_expires_in_flight_keeps_its_bytes_until_the_request_is_over() -> None:
    producer = start(partitions=1, brokers=1, delivery_timeout=1.0, config={"request_timeout": 10.0})
    producer.put("t")
    settle(producer)
    producer.world.cluster.brokers[0].pause()
    future = producer.put("t")
    assert producer.world.run(1.5, lambda: future.is_done)
    assert future.failed()
    assert producer.accumulator.used > 0
    producer.world.cluster.brokers[0].resume()
    producer.world.run(1.0)
    assert producer.accumulator.used == 0
    assert future.failed()  # its outcome does not change, though it is in the log


@pytest.mark.parametrize("retries", [0, 2])
def test_retries_are_counted(retries: int) -> None:
    producer = start(partitions=1, brokers=1, retries=retries)
    asked = []

    def handler(broker: Any, header: Any, request: Any) -> Any:
        asked.append(request)
        return changed(HANDLERS[PRODUCE](broker, header, request), refuse)

    def refuse(response: Any) -> None:
        response.responses[0].partition_responses[0].error_code = Code.NOT_LEADER_OR_FOLLOWER

    producer.world.cluster.brokers[0].handlers[PRODUCE] = handler
    future = producer.put("t")
    settle(producer)
    assert isinstance(future.exception, NotLeaderForPartitionError)
    assert len(asked) == retries + 1


@pytest.mark.parametrize("kind", ["missing", "twice", "other"])
def test_an_answer_that_does_not_name_every_partition_once_confirms_nothing(kind: str) -> None:
    producer = start(partitions=1, brokers=1)

    def change(response: Any) -> None:
        answer = response.responses[0].partition_responses[0]
        if kind == "missing":
            response.responses[0].partition_responses = []
        elif kind == "twice":
            response.responses[0].partition_responses = [answer, answer]
        else:
            answer.index = 7

    def handler(broker: Any, header: Any, request: Any) -> Any:
        return changed(HANDLERS[PRODUCE](broker, header, request), change)

    producer.world.cluster.brokers[0].handlers[PRODUCE] = handler
    future = producer.put("t")
    settle(producer)
    assert isinstance(future.exception, ProtocolError)


def test_acks_0_is_over_when_written() -> None:
    producer = start(acks=0)
    for _ in range(100):
        producer.put("t")
        producer.world.run(0.001)
    settle(producer)
    producer.world.run(1.0)
    producer.check("t")
    assert {future.get(0).offset for _, future in producer.sent} == {-1}
    assert sum(len(log) for log in producer.logs("t")) == 100


def test_topics_that_do_not_exist_yet() -> None:
    producer = start()
    future = producer.put("later")
    producer.world.run(5.0)
    assert not future.is_done
    producer.world.cluster.create_topic("later", 2)
    settle(producer, 5.0)
    assert future.succeeded()


def test_close_fails_what_is_left() -> None:
    producer = start()
    for broker in producer.world.cluster.brokers:
        broker.pause()
    for _ in range(10):
        producer.put("t")
    producer.world.run(0.1)
    producer.put("t")
    producer.produce.close(closed_error(), producer.world.now)
    producer.world.core.close(closed_error(), producer.world.now)
    producer.world.client.turn()
    assert all(isinstance(future.exception, IllegalStateError) for _, future in producer.sent)
    assert producer.accumulator.unresolved() == []


def test_many_topics_in_bounded_memory() -> None:
    producer = start(memory=64 * 1024)
    for number in range(40):
        producer.world.cluster.create_topic(f"topic-{number}", 1)
    for _ in range(3):
        for number in range(40):
            producer.put(f"topic-{number}")
        settle(producer)
    assert producer.accumulator.used == 0


COUNTS: Counter[str] = Counter()
KINDS = tuple(kind for kind in Faults.KINDS if kind != "recreate")  # `check` looks at one log only


@pytest.mark.parametrize("seed", range(SEEDS), ids=lambda seed: f"seed_{seed}")
def test_under_faults_nothing_acknowledged_is_missing(seed: int) -> None:
    """Retries without idempotence may double a record; none that was reported as delivered may be missing."""
    producer = start(seed, config={"request_timeout": 3.0, "connection_setup_timeout": 2.0}, delivery_timeout=60.0)
    world = producer.world
    random = world.simulation.random
    producer.learn("t")
    faults = Faults(world.cluster, until=world.now + 40.0, every=2.0, kinds=KINDS)
    for number in range(600):
        producer.put("t", key=b"%d" % number if random.random() < 0.4 else None)
        world.run(random.choice((0.0, 0.01, 0.1, 0.2)))
    settle(producer, 90.0)
    world.run(40.0)  # a request on a half-open connection holds its bytes until it times out
    producer.check("t", duplicates=True)
    COUNTS.update(faults.counts)
    COUNTS["delivered"] += sum(future.succeeded() for _, future in producer.sent)
    COUNTS["failed"] += sum(future.failed() for _, future in producer.sent)


def test_the_seeds_met_every_kind_of_fault() -> None:
    if not COUNTS:
        pytest.skip("run together with the seeds")
    for kind in (*KINDS, "delivered"):
        assert COUNTS[kind] > 0, kind


@pytest.mark.parametrize("codec", CODECS[1:])
def test_compressed_batches_can_be_read(codec: str) -> None:
    producer = start(codec=Codec(codec))
    for _ in range(100):
        producer.put("t")
    settle(producer)
    producer.check("t")
    (batch,) = (data for partition in producer.world.cluster.topics["t"] for _, _, data in partition.log)
    assert read_batches(batch)[0].unwrap().compression == codec


def test_a_batch_that_cannot_be_compressed_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: object) -> bytes:
        raise MemoryError("no room")

    codec = Codec("gzip")
    producer = start(codec=codec)
    monkeypatch.setattr(codec, "compress", broken)
    future = producer.put("t")
    settle(producer)
    assert "no room" in str(future.exception)
    monkeypatch.undo()
    assert producer.put("t").topic_partition is None
    producer.world.run(1.0)
    assert producer.sent[-1][1].succeeded()
    assert producer.accumulator.used == 0


def test_a_batch_that_is_too_large_and_cannot_be_split_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Codec, data: object, limit: int) -> object:
        raise MemoryError("no room")

    producer = start(codec=Codec("gzip"), idempotent=True)
    producer.world.cluster.limits["t"] = 200
    monkeypatch.setattr(Codec, "decompress", broken)
    futures = [producer.put("t") for _ in range(300)]
    settle(producer)
    assert {future.succeeded() for future in futures} == {False}
    assert "too large for the topic, and could not be split: MemoryError('no room')" in str(futures[0].exception)
    monkeypatch.undo()
    producer.put("t")
    settle(producer)
    assert producer.sent[-1][1].succeeded()
    assert producer.accumulator.used == 0
