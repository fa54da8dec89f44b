"""Groups at work while three real Kafka nodes die and freeze, and members are killed and started.

What is produced meanwhile is read whole: no record is left out, and none is read again that had been committed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from broker.cluster import KafkaNode

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.protocol import FindCoordinatorRequest
from tests.broker.requests import until
from tests.chaos.groups import Group
from tests.chaos.test_chaos import PARTITIONS, mended, three  # noqa: F401 (fixtures)
from tests.chaos.three import Three

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

MEMBERS = 3
SESSION_MS = 3000  # of members: no longer than brokers take to be missed
PROTOCOLS: dict[str, dict[str, Any]] = {
    **{
        strategy: {"partition_assignment_strategy": [strategy]}
        for strategy in ("range", "roundrobin", "sticky", "cooperative-sticky")
    },
    "consumer": {"group_protocol": "consumer"},
}


class Work:
    """A topic that is produced to, slowly, from `with` to `finish`, and a group that reads it."""

    def __init__(self, nodes: Three, name: str, folder: Path, *, pause: float = 0.01, **configs: Any) -> None:
        self.nodes = nodes
        self.topic = name
        self.client = {"bootstrap_servers": nodes.cluster.bootstrap}
        if configs.pop("secured", False):
            self.client = nodes.cluster.client()
        configs = {
            "group_id": name,
            "auto_offset_reset": "earliest",
            "session_timeout_ms": SESSION_MS,
            "heartbeat_interval_ms": 300,
            "auto_commit_interval_ms": 300,
            **self.client,
            **configs,
        }
        nodes.create_topic(name, PARTITIONS)
        self.group = Group(configs, name, folder)
        self.pause = pause
        self._producer = KafkaProducer(**self.client, linger_ms=5)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._produce)
        self._futures: list[Any] = []

    def _produce(self) -> None:
        while not self._over.wait(self.pause):
            for _ in range(10):
                number = len(self._futures)
                self._futures.append(self._producer.send(self.topic, b"%d" % number, partition=number % PARTITIONS))

    def __enter__(self) -> Work:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()
        self._producer.close(10)
        self.group.__exit__()

    def _stop(self) -> None:
        self._over.set()
        self._thread.join()

    def is_shared(self) -> bool:
        """Every member that lives has read of what was produced since it last got partitions."""
        self.group.all_well()
        living = self.group.living
        return bool(living) and all(member.of("read") for member in living)

    def finish(self) -> int:
        """All is read, and committed by those who leave. How many records were read again, for a reason."""
        self._stop()
        self._producer.flush(60)
        assert all(future.succeeded() for future in self._futures)
        logs = {
            partition: [record.value for record in found]
            for (_, partition), found in self.nodes.records(self.topic).items()
        }
        counts = {partition: len(values) for partition, values in logs.items()}
        assert sum(counts.values()) == len(self._futures)
        until(lambda: self.group.has_read(counts), 90, 0.2)
        for member in self.group.living:
            member.stop()
        again = self.group.check(logs)
        with KafkaConsumer(group_id=self.topic, **self.client) as consumer:
            left = {number: consumer.committed(TopicPartition(self.topic, number)) for number in counts}
        assert left == counts
        print(f"{self.topic}: {len(self._futures)} records, {again} of them again, {len(self.group.members)} members")
        return again


def replacing(random: Random, group: Group) -> Callable[[], object]:
    """A member dies, or is stopped as it should be, and another takes its place; or it is taken for dead."""

    def replace() -> None:
        member, *others = random.sample(group.living, 2)
        random.choice([member.kill, member.stop])()
        group.start()
        if random.random() < 0.5:
            others[0].freeze(1.5 * SESSION_MS / 1000)

    return replace


def shaken(nodes: Three, name: str, folder: Path, seed: int, steps: int, **configs: Any) -> Work:
    """Brokers and members die, freeze and come back, one after another."""
    random = Random(seed)
    with Work(nodes, name, folder, **configs) as work:
        for _ in range(MEMBERS):
            work.group.start()
        until(work.is_shared)
        replace = replacing(random, work.group)
        troubles: list[Callable[[], object]] = [
            lambda: nodes.kill(nodes.nodes[0], random.uniform(0, 2)),
            lambda: nodes.freeze([nodes.nodes[1]], random.uniform(1, 5)),
            lambda: nodes.kill(nodes.nodes[2]),
            lambda: nodes.freeze([nodes.nodes[0]], random.uniform(4, 6)),
            lambda: nodes.kill(nodes.nodes[1]),
        ]
        random.shuffle(troubles)
        for trouble in troubles[:steps]:
            trouble()
            replace()
            time.sleep(random.uniform(0, 2))
        work.finish()
    return work


@pytest.mark.parametrize("protocol", ["cooperative-sticky", "consumer"])
def test_a_group_goes_on(three: Three, tmp_path: Path, protocol: str) -> None:  # noqa: F811
    shaken(three, f"goes-on-{protocol}", tmp_path, 1, 1, **PROTOCOLS[protocol])


@pytest.mark.sustained
@pytest.mark.parametrize("commits", ["auto", "manual"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_after_another(three: Three, tmp_path: Path, protocol: str, commits: str) -> None:  # noqa: F811
    seed = 2 * list(PROTOCOLS).index(protocol) + (commits == "auto")
    configs = {"enable_auto_commit": commits == "auto", **PROTOCOLS[protocol]}
    shaken(three, f"{protocol}-{commits}", tmp_path, seed, 5, **configs)


@pytest.mark.sustained
@pytest.mark.parametrize("protocol", ["cooperative-sticky", "consumer"])
def test_sessions_end(three: Three, tmp_path: Path, protocol: str) -> None:  # noqa: F811
    """The same over TLS; members authenticate again and again."""
    work = shaken(three, f"sessions-{protocol}", tmp_path, 20, 5, secured=True, **PROTOCOLS[protocol])
    counted = [member.of("closed")[0][3] for member in work.group.members if member.of("closed")]
    assert sum(sum(each["renewals"].values()) for each in counted) >= 10


def coordinator(nodes: Three, group: str) -> KafkaNode:
    """Who leads the group's partition of the brokers' own topic."""
    with nodes.peer() as peer:
        request = FindCoordinatorRequest(key_type=0, coordinator_keys=[group])
        (found,) = until(lambda: [c for c in peer.ask(request, 4).coordinators if c.error_code == 0])
    return nodes.nodes[found.node_id - 1]


@pytest.mark.sustained
@pytest.mark.parametrize("protocol", ["range", "consumer"])
def test_the_coordinator_is_killed(three: Three, tmp_path: Path, protocol: str) -> None:  # noqa: F811
    """Partitions led elsewhere are read on; commits resume within 15 seconds; the processor is at rest meanwhile."""
    topic = f"coordinator-{protocol}"
    with Work(three, topic, tmp_path, pause=0.1, session_timeout_ms=30_000, **PROTOCOLS[protocol]) as work:
        member = work.group.start()
        until(lambda: {partition for _, partition, offset in member.commits() if offset} == set(range(PARTITIONS)))
        node = coordinator(three, topic)
        elsewhere = {p for p, (leader, _) in three.leaders(topic).items() if leader != node.node_id}
        used, killed = member.cpu(), time.monotonic()
        node.kill()
        until(lambda: any(when > killed for when, _, _ in member.commits()), 60, 0.2)
        resumed = min(when for when, _, _ in member.commits() if when > killed)
        seconds, used = time.monotonic() - killed, member.cpu() - used
        read = {partition for _, when, partition, _, _, _ in member.of("read") if killed + 1 < when < resumed}
        print(f"{topic}: commits after {resumed - killed:.1f} s, {used / seconds:.1%} of a processor")
        three.all_well()
        assert work.finish() == 0
    assert resumed - killed < 15
    assert used / seconds < 0.05
    assert read >= elsewhere
