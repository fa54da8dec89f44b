"""What users have reported of other consumers, as tests: those of groups. See `test_reports` for names and letters."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.core.groups.assignors import STRATEGIES, Subscription
from kafka.errors import CommitFailedError, FencedInstanceIdError, RebalanceInProgressError
from kafka.protocol import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    FindCoordinatorRequest,
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    OffsetCommitRequest,
    SyncGroupRequest,
)
from kafka.protocol.codes import Code
from kafka.testing import EmbeddedCluster
from kafka.testing.model.world import Hangup

PARTITIONS = 4
ALL = [TopicPartition("t", number) for number in range(PARTITIONS)]


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(topics={"t": PARTITIONS}, auto_create=False) as cluster:
        yield cluster


@pytest.fixture
def consumer_defaults() -> dict[str, Any]:
    return {"group_id": "g", "auto_offset_reset": "earliest", "heartbeat_interval_ms": 50}


class Told(ConsumerRebalanceListener):
    def __init__(self) -> None:
        self.events: list[str] = []
        self.at: dict[str, Callable[[], object]] = {}

    def _event(self, name: str) -> None:
        self.events.append(name)
        self.at.get(name, lambda: None)()

    def on_partitions_revoked(self, revoked: Any) -> None:
        self._event("revoked")

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._event("assigned")

    def on_partitions_lost(self, lost: Any) -> None:
        self._event("lost")


class Reader:
    """What several consumers have read."""

    def __init__(self, *consumers: KafkaConsumer) -> None:
        self.consumers = list(consumers)
        self.values: list[int] = []

    def until(self, done: Callable[[], object], seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"read {len(self.values)}: it did not come to that"
            for consumer in self.consumers:
                for records in consumer.poll(20).values():
                    self.values += [int(record.value) for record in records]


def fill(producer: KafkaProducer, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        producer.send("t", b"%d" % number, partition=number % PARTITIONS)
    producer.flush()


def intercept(cluster: EmbeddedCluster, request: Any, handler: Callable[[Any, Callable[[], Any]], Any]) -> None:
    """Has `handler(request, own)` answer these requests, where `own()` is what they would be answered."""

    def change() -> None:
        for node in cluster.nodes:
            own = node.handlers[request.API_KEY]
            node.handlers[request.API_KEY] = lambda broker, header, asked, own=own: handler(
                asked, lambda: own(broker, header, asked)
            )

    cluster._on_thread(change)


def expel(cluster: EmbeddedCluster) -> None:
    group = cluster.groups.get("g")
    cluster._on_thread(lambda: [group.leave(id, None) for id in list(group.members)])


@pytest.mark.parametrize(
    "request_class", [FindCoordinatorRequest, JoinGroupRequest, SyncGroupRequest, HeartbeatRequest]
)
def test_04_the_coordinator_s_connection_is_cut(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any, request_class: Any
) -> None:
    """K#1626, K#1671, K#1623: a deadlock of heartbeats and polling at a reconnect."""
    cut: list[int] = []

    def handler(asked: Any, own: Callable[[], Any]) -> Any:
        if len(cut) < 3:
            cut.append(1)
            if len(cut) == 2:
                own()  # it was heard, and the answer is lost
            raise Hangup
        return own()

    intercept(cluster, request_class, handler)
    fill(producer, 20)
    reader = Reader(make("t", session_timeout_ms=6000))
    longest = 0.0
    deadline = time.monotonic() + 30
    while (len(reader.values) < 20 or len(cut) < 3) and time.monotonic() < deadline:
        began = time.monotonic()
        for records in reader.consumers[0].poll(100).values():
            reader.values += [int(record.value) for record in records]
        longest = max(longest, time.monotonic() - began)
    assert sorted(set(reader.values)) == list(range(20)) and len(cut) == 3
    assert longest < 2.0


def test_05_a_member_that_was_removed_is_told_once_and_joins_once(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any
) -> None:
    """A#575, A#727, A#821: commits get the same error for ever, the consumer "will rejoin" and does not."""
    joins: list[str] = []
    fill(producer, 8)
    consumer, told = make(enable_auto_commit=False), Told()
    consumer.subscribe(["t"], listener=told)
    reader = Reader(consumer)
    reader.until(lambda: len(reader.values) == 8)

    def count(asked: Any, own: Callable[[], Any]) -> Any:
        joins.append(asked.member_id)
        return own()

    intercept(cluster, JoinGroupRequest, count)
    errors: list[Any] = []
    expel(cluster)
    consumer.commit_async(callback=lambda offsets, error: errors.append(error))
    reader.until(lambda: told.events == ["assigned", "lost", "assigned"])
    reader.until(lambda: len(errors) == 1 and len(reader.values) == 16)
    assert isinstance(errors[0], CommitFailedError)
    assert joins[0] == "" and len(joins) == 2  # without an id, and with the one that it was given
    consumer.commit()
    reader.until(lambda: True)
    assert consumer.committed(ALL[0]) == 2 and len(errors) == 1


def test_06_and_07_a_commit_while_the_group_rebalances(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any
) -> None:
    """R#1605, KxSystems#69: partitions are not read afterwards; alpakka#755: it must be an error that passes."""
    refused: list[int] = []

    def handler(asked: Any, own: Callable[[], Any]) -> Any:
        response = own()
        if asked.generation_id_or_member_epoch >= 0 and not refused:
            refused.append(1)
            for topic in response.topics:
                for entry in topic.partitions:
                    entry.error_code = Code.REBALANCE_IN_PROGRESS
        return response

    intercept(cluster, OffsetCommitRequest, handler)
    fill(producer, 8)
    one = make("t", enable_auto_commit=False)
    reader = Reader(one)
    reader.until(lambda: len(reader.values) == 8)
    with pytest.raises(RebalanceInProgressError):  # which is no CommitFailedError
        one.commit()
    one.commit()
    two = make("t", enable_auto_commit=False)
    one.commit_async()
    reader.consumers.append(two)
    reader.until(lambda: len(one.assignment()) == len(two.assignment()) == 2)
    fill(producer, 40, 100)
    reader.until(lambda: set(range(100, 140)) <= set(reader.values))


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_08_what_was_fetched_of_lost_partitions_is_not_delivered(
    producer: KafkaProducer, make: Any, strategy: str
) -> None:
    """K#497: records of lost partitions were dropped, some delivered twice."""
    fill(producer, 4000)
    configs = {"partition_assignment_strategy": [strategy], "max_poll_records": 10}
    one = make("t", **configs)
    reader = Reader(one)
    reader.until(lambda: len(reader.values) >= 40)  # nearly all of it is fetched by now
    reader.consumers.append(make("t", **configs))
    reader.until(lambda: len(reader.values) >= 4000)
    assert sorted(reader.values) == list(range(4000))  # nothing twice, nothing missing


def test_09_and_10_a_partition_that_was_lost_comes_back_where_it_was_committed_and_not_paused(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any
) -> None:
    """R#1802: it went on at the old position; F#507, F#1272: the pause outlived it, and nothing came."""
    fill(producer, 40)
    consumer = make("t", enable_auto_commit=False)
    reader = Reader(consumer)
    reader.until(lambda: len(reader.values) == 40)
    consumer.commit({tp: OffsetAndMetadata(4, "", -1) for tp in ALL})
    consumer.pause(*ALL)
    expel(cluster)
    reader.until(lambda: len(reader.values) == 64)
    assert consumer.paused() == set()
    assert sorted(reader.values[40:]) == list(range(16, 40))


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_10_a_partition_that_stays_keeps_its_pause(producer: KafkaProducer, make: Any, strategy: str) -> None:
    one = make("t", partition_assignment_strategy=[strategy])
    reader = Reader(one)
    reader.until(lambda: len(one.assignment()) == 4)
    one.pause(*ALL)
    two = make("t", partition_assignment_strategy=[strategy])
    reader.consumers.append(two)
    reader.until(lambda: len(one.assignment()) == len(two.assignment()) == 2)
    # By the eager protocol all were revoked, and assigned anew.
    assert one.paused() == (one.assignment() if strategy == "cooperative-sticky" else set())
    assert two.paused() == set()


def test_25_a_static_member_does_not_fence_itself(cluster: EmbeddedCluster, producer: KafkaProducer, make: Any) -> None:
    """R#3437, confluent-go#494: it did after a lost connection; only another process may."""
    consumer = make("t", group_instance_id="one", session_timeout_ms=6000)
    reader = Reader(consumer)
    reader.until(lambda: len(consumer.assignment()) == 4)
    id, generation = consumer.group_metadata().member_id, consumer.group_metadata().generation_id
    for _ in range(3):
        cluster._on_thread(lambda: [node.disconnect() for node in cluster.nodes])
        end = time.monotonic() + 0.3
        reader.until(lambda end=end: time.monotonic() > end)  # type: ignore[misc]
    assert (consumer.group_metadata().member_id, consumer.group_metadata().generation_id) == (id, generation)
    fill(producer, 8)
    reader.until(lambda: len(reader.values) == 8)
    other = make("t", group_instance_id="one", session_timeout_ms=6000)
    with pytest.raises(FencedInstanceIdError):
        Reader(consumer, other).until(lambda: False)


def test_26_a_static_member_starts_again_after_a_crash(cluster: EmbeddedCluster, make: Any) -> None:
    """F#931: it was refused with error 82."""
    one, two = make("t", group_instance_id="one"), make("t", group_instance_id="two")
    reader = Reader(one, two)
    reader.until(lambda: len(one.assignment()) == len(two.assignment()) == 2)
    had, generation = one.assignment(), cluster.groups.get("g").generation
    one._driver.stop(KeyboardInterrupt("as by SIGKILL"))  # type: ignore[arg-type]
    again = make("t", group_instance_id="one")
    reader = Reader(again, two)
    reader.until(lambda: again.assignment() == had)
    assert cluster.groups.get("g").generation == generation


def test_27_a_member_without_partitions_of_a_topic_does_not_rebalance(cluster: EmbeddedCluster, make: Any) -> None:
    """C#559, R#2261: metadata of assigned topics only, and no end of rebalances."""
    cluster.create_topic("single", 1)
    configs = {"metadata_max_age_ms": 100, "partition_assignment_strategy": ["range"]}
    one, two = make("t", "single", **configs), make("t", "single", **configs)
    reader = Reader(one, two)
    reader.until(lambda: len(one.assignment()) + len(two.assignment()) == 5 and two.assignment() and one.assignment())
    generation = cluster.groups.get("g").generation
    end = time.monotonic() + 1.2
    reader.until(lambda: time.monotonic() > end)
    assert cluster.groups.get("g").generation == generation


def black_hole(cluster: EmbeddedCluster) -> None:
    """The coordinator takes requests and answers nothing."""
    for request in (
        HeartbeatRequest, JoinGroupRequest, SyncGroupRequest, OffsetCommitRequest, FindCoordinatorRequest,
        LeaveGroupRequest,
    ):  # fmt: skip
        intercept(cluster, request, lambda asked, own: None)


def test_30_closing_does_not_wait_for_a_coordinator_that_is_gone(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any
) -> None:
    """KAFKA-19357, R#4041, K#932, C#76: close() hangs."""
    fill(producer, 8)
    consumer, told = make(), Told()
    consumer.subscribe(["t"], listener=told)
    reader = Reader(consumer)
    reader.until(lambda: len(reader.values) == 8)
    black_hole(cluster)
    began = time.monotonic()
    consumer.close(timeout_ms=500)
    assert time.monotonic() - began < 1.5  # 0.6 s on a machine with nothing else to do
    assert told.events == ["assigned", "revoked"]


def test_30_closing_commits_nothing_where_it_must_not(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any
) -> None:
    commits: list[Any] = []

    def count(asked: Any, own: Callable[[], Any]) -> Any:
        commits.append(asked)
        return own()

    intercept(cluster, OffsetCommitRequest, count)
    fill(producer, 8)
    for leave in ("autocommit=False", "an exception"):
        consumer = make("t")
        reader = Reader(consumer)
        reader.until(lambda reader=reader: len(reader.values) == 8)  # type: ignore[misc]
        if leave == "autocommit=False":
            consumer.close(autocommit=False)
        else:
            with pytest.raises(KeyError), consumer:
                raise KeyError
    assert commits == []
    consumer = make("t")
    reader = Reader(consumer)
    reader.until(lambda: len(reader.values) == 8)
    consumer.close()
    assert len(commits) == 1


def test_32_where_the_first_start_begins_is_committed(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any
) -> None:
    """K#343 and others: with `latest` and no commit at the first start, what came before the second one is skipped."""
    fill(producer, 8)
    consumer = make("t", auto_offset_reset="latest", auto_commit_interval_ms=20)
    reader = Reader(consumer)
    reader.until(lambda: all(consumer.committed(tp) == 2 for tp in ALL))
    consumer._driver.stop(KeyboardInterrupt("as by SIGKILL"))  # type: ignore[arg-type]
    expel(cluster)
    fill(producer, 8, 8)
    again = make("t", auto_offset_reset="latest")
    reader = Reader(again)
    reader.until(lambda: len(reader.values) == 8)
    assert sorted(reader.values) == list(range(8, 16))


def test_two_threads_may_not_commit_and_poll_at_once_without_either_hanging(producer: KafkaProducer, make: Any) -> None:
    fill(producer, 400)
    consumer = make("t", enable_auto_commit=False, max_poll_records=5)
    reader = Reader(consumer)
    reader.until(lambda: reader.values)
    over = threading.Event()
    errors: list[BaseException] = []

    def commits() -> None:
        try:
            while not over.is_set():
                consumer.commit(timeout_ms=5000)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=commits)
    thread.start()
    try:
        reader.until(lambda: len(reader.values) == 400)
    finally:
        over.set()
        thread.join(20)
    assert not thread.is_alive() and not errors
    assert re.match(r"<KafkaConsumer .* open>", repr(consumer))


@pytest.mark.parametrize("group", ["g", None])
def test_29_a_pattern_finds_new_topics(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any, group: str | None
) -> None:
    """K#1079, dotnet#1223, R#2361: topics that were made later were not read."""
    for name in ("logs.a", "other", "my-logs.x"):
        cluster.create_topic(name, 2)
    consumer = make(group_id=group, metadata_max_age_ms=200)
    consumer.subscribe(pattern=r"logs\.")
    assert consumer.subscription() == set()
    reader = Reader(consumer)
    reader.until(lambda: len(consumer.assignment()) == 2)
    assert consumer.subscription() == {"logs.a"}
    for number, name in enumerate(("logs.a", "other", "my-logs.x")):
        producer.send(name, b"%d" % number)
    reader.until(lambda: reader.values == [0])
    cluster.create_topic("logs.b", 1)
    producer.send("logs.b", b"7", partition=0)
    producer.flush()
    reader.until(lambda: reader.values == [0, 7])
    assert {tp.topic for tp in consumer.assignment()} == {"logs.a", "logs.b"}
    cluster.delete_topic("logs.a")
    reader.until(lambda: consumer.subscription() == {"logs.b"})
    consumer.unsubscribe()
    assert consumer.subscription() is None and consumer.assignment() == set()
    consumer.subscribe(["other"])
    reader.until(lambda: reader.values == [0, 7, 1])


def test_patterns_that_are_none(make: Any) -> None:
    consumer = make()
    with pytest.raises(ValueError, match="no regular expression"):
        consumer.subscribe(pattern="(")
    with pytest.raises(TypeError, match="pattern must be a str"):
        consumer.subscribe(pattern=re.compile("x"))
    with pytest.raises(ValueError, match="no legal topic name"):
        consumer.subscribe(["a b"])
    assert consumer.subscription() is None


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_03_a_thread_that_computes_does_not_take_the_member_out(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any, protocol: str
) -> None:
    """K#2149: heartbeats are not sent in time while Python computes."""
    cluster._on_thread(lambda: setattr(cluster.groups, "session", 6.0))
    consumer, told = make(group_protocol=protocol, session_timeout_ms=6000), Told()
    consumer.subscribe(["t"], listener=told)
    Reader(consumer).until(lambda: len(consumer.assignment()) == PARTITIONS)
    before = consumer.group_metadata()
    until, total = time.monotonic() + 9.0, 0
    while time.monotonic() < until:  # a session and a half
        total += sum(number * number for number in range(2000))
    consumer.commit()
    assert consumer.group_metadata() == before and told.events == ["assigned"]


@pytest.mark.timing
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_02_a_coordinator_that_is_silent_costs_nothing(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any, protocol: str
) -> None:
    """K#2695: a busy loop while the coordinator is unreachable, without auto-commit."""
    consumer = make("t", group_protocol=protocol, enable_auto_commit=False, request_timeout_ms=1000)
    Reader(consumer).until(lambda: len(consumer.assignment()) == PARTITIONS)
    black_hole(cluster)
    intercept(cluster, ConsumerGroupHeartbeatRequest, lambda asked, own: None)
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() < began + 5.0:
        consumer.poll(500)
    assert time.process_time() - used < 0.05 * 5.0  # of all threads, the broker's among them


@pytest.mark.timing
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_28_whatever_members_claim_the_assignment_is_whole_and_soon_made(strategy: str) -> None:
    """R#4783, K#3164, KAFKA-15170, KAFKA-14639, R#3891: an assignor loops, or gives a partition to two members."""
    sizes = {f"t{number}": 100 for number in range(10)}
    everything = [TopicPartition(topic, number) for topic, size in sizes.items() for number in range(size)]
    for seed in range(5):
        choose = random.Random(seed)
        members = {
            f"m{number}": Subscription(
                tuple(sizes) if seed % 2 else tuple(choose.sample(sorted(sizes), choose.randint(1, 10))),
                tuple(choose.choices(everything, k=choose.randint(0, 30))),  # others claim the same
                choose.randint(-1, 4),
                choose.choice(("a", "b", None)) if seed > 2 else None,
            )
            for number in range(100)
        }
        racks = {tp: frozenset(choose.sample(("a", "b", "c"), 2)) for tp in everything} if seed > 2 else {}
        began = time.perf_counter()
        shares = STRATEGIES[strategy].assign(members, sizes, racks)
        assert time.perf_counter() - began < 1.0
        given = [tp for share in shares.values() for tp in share]
        assert len(given) == len(set(given))
        claimed = {tp for member in members.values() for tp in member.owned}
        missing = set(everything) - set(given)
        assert not missing or (strategy == "cooperative-sticky" and missing <= claimed)


def test_34_no_heartbeat_while_what_is_lost_is_given_up(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any
) -> None:
    """KAFKA-16251: a member that was fenced beats on, in its old epoch, while its listener is told."""
    cluster._on_thread(lambda: setattr(cluster.groups, "heartbeat_interval", 0.05))
    events: list[Any] = []
    fences = threading.Event()

    def heard(asked: Any, own: Callable[[], Any]) -> Any:
        events.append(asked.member_epoch)
        if fences.is_set():
            fences.clear()
            events.append("fenced")
            return ConsumerGroupHeartbeatResponse(error_code=Code.FENCED_MEMBER_EPOCH)
        return own()

    intercept(cluster, ConsumerGroupHeartbeatRequest, heard)
    consumer, told = make(group_protocol="consumer"), Told()

    def is_told() -> None:
        time.sleep(0.5)  # ten heartbeats
        events.append("told")

    told.at["lost"] = is_told
    consumer.subscribe(["t"], listener=told)
    reader = Reader(consumer)
    reader.until(lambda: len(consumer.assignment()) == PARTITIONS)
    fences.set()
    reader.until(lambda: told.events == ["assigned", "lost", "assigned"])
    at = events.index("fenced")
    assert events[at + 1 : at + 3] == ["told", 0]
