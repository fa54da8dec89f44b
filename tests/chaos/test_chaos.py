"""A producer at work while three real Kafka nodes die, freeze, restart and hand each other their partitions."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from certificates import Certificates

from kafka import KafkaProducer
from kafka._codec import murmur2
from kafka.errors import DeliveryFailed
from tests.broker.requests import until
from tests.chaos.oracle import Counts, Ledger, Sender
from tests.chaos.sessions import Sessions
from tests.chaos.three import Three

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

PARTITIONS = 6
KEYS = [b"key %d" % number for number in range(20)]


@pytest.fixture(scope="module")
def three(certificates: Certificates) -> Iterator[Three]:
    three = Three(certificates)
    with three.cluster:
        yield three
        for node in three.nodes:
            node.kill()  # a clean end takes three nodes six seconds


@pytest.fixture(autouse=True)
def mended(three: Three) -> Iterator[None]:
    yield
    three.all_well()


def partition_of(topic: str, key: bytes) -> int:
    return (murmur2(key) & 0x7FFFFFFF) % PARTITIONS


def produce_through(
    three: Three, topic: str, trouble: Callable[[], object], *, leads_on: bool = False, **configs: Any
) -> Counts:
    """Two threads send with keys and two without, before, while and after `trouble` happens; the ledger is checked.

    `leads_on`: the trouble may be over before a leader moves.
    """
    ledger = Ledger()
    senders = [ledger.sender(topic, keys) for keys in (KEYS, None, KEYS, None)]
    configs = {"bootstrap_servers": three.cluster.bootstrap, "linger_ms": 5, **configs}
    producer = KafkaProducer(**configs)
    stop = threading.Event()
    errors: list[BaseException] = []

    def work(sender: Sender) -> None:
        try:
            while not stop.wait(0.01):
                for _ in range(30):
                    sender.send(producer)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(sender,)) for sender in senders]
    before = three.moves(topic)
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        trouble()
        time.sleep(0.5)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        with contextlib.suppress(DeliveryFailed):  # the ledger tells more
            producer.flush(60)
        producer.close(10)
    assert not errors, errors
    assert leads_on or three.moves(topic) > before, "the trouble was none"
    counts = ledger.check(partition_of, three.records(topic))
    print(counts)
    return counts


def test_a_leader_is_killed(three: Three) -> None:
    three.create_topic("killed", PARTITIONS)
    counts = produce_through(three, "killed", lambda: three.kill(three.leader("killed")))
    assert counts.delivered == counts.sent


def test_a_leader_is_restarted(three: Three) -> None:
    three.create_topic("restarted", PARTITIONS)
    counts = produce_through(three, "restarted", lambda: three.restart(three.leader("restarted")))
    assert counts.delivered == counts.sent


def test_a_leader_is_frozen_until_another_leads(three: Three) -> None:
    three.create_topic("frozen", PARTITIONS)
    counts = produce_through(
        three, "frozen", lambda: three.freeze([three.leader("frozen")], 5), request_timeout_ms=2000
    )
    assert counts.delivered == counts.sent


def test_both_followers_are_frozen(three: Three) -> None:
    """The leader has the records and cannot say that they are safe: it answers REQUEST_TIMED_OUT."""
    three.create_topic("followers", PARTITIONS)
    leader = three.leader("followers")
    followers = [node for node in three.nodes if node is not leader]
    counts = produce_through(
        three, "followers", lambda: three.freeze(followers, 3), leads_on=True, request_timeout_ms=1000
    )
    assert counts.delivered == counts.sent


def test_partitions_change_their_replicas_and_leaders(three: Three) -> None:
    three.create_topic("moved", PARTITIONS, replicas=2)

    def move() -> None:
        for step in range(3):
            replicas = {index: [1 + (index + step + other) % 3 for other in (1, 0)] for index in range(PARTITIONS)}
            three.move("moved", replicas)

    counts = produce_through(three, "moved", move)
    assert counts.delivered == counts.sent


def test_records_that_fail_say_whether_they_may_be_there(three: Three) -> None:
    """Too little time for what happens: records are given up before, while and after they may have been written."""
    three.create_topic("given-up", PARTITIONS)

    def trouble() -> None:
        leader = three.leader("given-up")
        three.freeze([node for node in three.nodes if node is not leader], 2.5)
        three.freeze([three.leader("given-up")], 4)

    counts = produce_through(
        three, "given-up", trouble, leads_on=True, request_timeout_ms=700, delivery_timeout_ms=1200
    )
    assert counts.not_persisted > 0
    assert counts.possibly_persisted > 0


def test_sessions_end_while_a_leader_is_killed_and_another_frozen(three: Three) -> None:
    """Over TLS. Who sends to the third node alone keeps its connection, whose session is renewed."""
    three.create_topic("sessions", PARTITIONS)
    three.create_topic_on(three.nodes[2], "calm")
    over_tls = three.cluster.client()
    shaken, calm = Sessions(), Sessions()
    over = threading.Event()
    offsets: list[int] = []

    def send() -> None:
        with KafkaProducer(**three.cluster.client("PLAIN"), hooks=[calm]) as producer:
            while not over.wait(0.02):
                offsets.append(producer.send("calm", b"x").get(30).offset)

    def trouble() -> None:
        until(lambda: shaken.renewals)  # the next ones are due while a node is frozen; they may come too late then
        three.kill(three.nodes[0])
        three.freeze([three.nodes[1]], 5)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        counts = produce_through(three, "sessions", trouble, **over_tls, hooks=[shaken])
    finally:
        over.set()
        thread.join()
    assert counts.delivered == counts.sent
    assert offsets and offsets == list(range(len(offsets)))
    assert calm.renewals[3] >= 1
    assert (calm.connections[3], calm.ends[3]) == (1, 0)


@pytest.mark.sustained
@pytest.mark.parametrize("secured", [False, True])
def test_all_are_killed_at_once(three: Three, secured: bool) -> None:
    topic = f"power-cut-{secured}"
    three.create_topic(topic, PARTITIONS)

    def trouble() -> None:
        for node in three.nodes:
            node.kill()
        three.all_well()

    over_tls = three.cluster.client() if secured else {}
    counts = produce_through(three, topic, trouble, linger_ms=0, batch_size=2000, **over_tls)
    assert counts.delivered == counts.sent


@pytest.mark.sustained
@pytest.mark.parametrize(
    "mechanism, seed", [*((None, seed) for seed in range(1, 6)), ("PLAIN", 6), ("SCRAM-SHA-512", 7)]
)
def test_one_after_another(three: Three, seed: int, mechanism: str | None) -> None:
    """`mechanism`: over TLS, in sessions."""
    random = Random(seed)
    topic = f"all-{seed}-{mechanism}"
    sessions = Sessions()
    three.create_topic(topic, PARTITIONS)

    def rotate() -> None:
        first = random.randrange(3)
        three.move(
            topic, {index: [1 + (first + index + other) % 3 for other in range(3)] for index in range(PARTITIONS)}
        )

    def trouble() -> None:
        troubles: list[Callable[[], object]] = [
            rotate,
            lambda: three.freeze([random.choice(three.nodes)], random.uniform(0.2, 2)),
            lambda: three.kill(three.leader(topic, random.randrange(PARTITIONS))),
            lambda: three.freeze([three.leader(topic, random.randrange(PARTITIONS))], random.uniform(2, 5)),
        ]
        random.shuffle(troubles)
        for what in troubles:
            what()

    counts = produce_through(
        three,
        topic,
        trouble,
        request_timeout_ms=random.choice([1000, 2000, 30000]),
        linger_ms=random.choice([0, 5, 50]),
        batch_size=random.choice([500, 16384, 200_000]),
        compression_type=random.choice([None, "lz4"]),
        max_in_flight_requests_per_connection=random.choice([1, 5]),
        hooks=[sessions],
        **(three.cluster.client(mechanism) if mechanism else {}),
    )
    assert counts.delivered == counts.sent
    assert bool(sessions.renewals) == bool(mechanism)
