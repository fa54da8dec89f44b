"""Three Kafka nodes to be hard on: who leads, what is in their logs, and the troubles."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from broker.cluster import KafkaNode
from certificates import Certificates

from kafka.records import RecordBatch, read_batches
from tests.broker import requests
from tests.broker.requests import until
from tests.broker.secured import ShortSessions
from tests.chaos.oracle import Found
from tests.testing.wire import Peer

# A node that does not say anything for three seconds has lost what it led.
CONFIGS = {
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.election.backoff.max.ms": "300",
    "replica.fetch.wait.max.ms": "100",
    # Members of groups neither.
    "group.min.session.timeout.ms": "3000",
    "group.consumer.min.session.timeout.ms": "3000",
    "group.consumer.session.timeout.ms": "3000",
    "log.segment.bytes": "100000000",  # what is read at once, in the end
}


def batches_of(node: KafkaNode, partition: str, end: int) -> Iterator[RecordBatch]:
    """What the node has in its files of a partition ("t-0"), up to this offset."""
    offset = 0
    for file in sorted(node.data.joinpath(partition).glob("*.log")):
        for item in read_batches(file.read_bytes()):
            batch = item.unwrap()
            assert batch.base_offset == offset, f"{partition} of node {node.node_id}: a gap at {offset}"
            if offset == end:
                return
            yield batch
            offset += batch.count
    assert offset == end, f"{partition} of node {node.node_id} ends at {offset}, its high watermark is {end}"


def found_in(batches: Iterable[RecordBatch]) -> list[Found]:
    return [
        Found(batch.base_offset + index, record.key, record.value or b"")
        for batch in batches
        for index, record in enumerate(batch.records().unwrap())
    ]


class Three:
    """`cluster.client()` is how they are reached over TLS, in sessions that end soon."""

    def __init__(self, certificates: Certificates) -> None:
        self.cluster = ShortSessions(certificates, 3, CONFIGS)
        self.nodes = self.cluster.nodes

    @contextmanager
    def peer(self, node: KafkaNode | None = None) -> Iterator[Peer]:
        """To this node, or to one that lives."""
        with Peer((node or next(node for node in self.nodes if node.alive)).address) as peer:
            yield peer

    def create_topic(self, name: str, partitions: int, replicas: int = 3) -> None:
        """The partitions' leaders take turns. A write needs two replicas."""
        assignments = [[1 + (first + other) % 3 for other in range(replicas)] for first in range(partitions)]
        with self.peer() as peer:
            requests.create_topic(peer, name, assignments, {"min.insync.replicas": "2"})
        until(lambda: self.led(name))

    def create_topic_on(self, node: KafkaNode, name: str) -> None:
        """One partition, that the node has alone: what happens to the others cannot hold it up."""
        with self.peer() as peer:
            requests.create_topic(peer, name, [[node.node_id]], {})
        until(lambda: self.led(name))

    def leaders(self, topic: str) -> dict[int, tuple[int, int]]:
        """Partition -> (leader, its epoch)."""
        with self.peer() as peer:
            return requests.leaders(peer, topic)

    def led(self, topic: str) -> dict[int, int] | None:
        """Partition -> high watermark, when every partition has a leader that says so itself."""
        leaders = self.leaders(topic)
        found: dict[int, int] = {}
        for node in self.nodes:
            epochs = {index: epoch for index, (leader, epoch) in leaders.items() if leader == node.node_id}
            if epochs:
                try:
                    with self.peer(node) as peer:
                        found |= requests.high_watermarks(peer, topic, epochs)
                except OSError:
                    return None
        return found if leaders and found.keys() == leaders.keys() else None

    def leader(self, topic: str, partition: int = 0) -> KafkaNode:
        return until(lambda: self.nodes[self.leaders(topic)[partition][0] - 1] if self.led(topic) else None)

    def moves(self, topic: str) -> int:
        """How often the partitions have changed their leaders, or these their epochs, all together."""
        return sum(epoch for _, epoch in self.leaders(topic).values())

    def batches(self, topic: str) -> Iterator[tuple[int, Iterator[RecordBatch]]]:
        """What consumers would see, of one partition after another: the leaders' own files up to the high watermark."""
        watermarks = until(lambda: self.led(topic))
        leaders = self.leaders(topic)
        for partition, end in watermarks.items():
            yield partition, batches_of(self.nodes[leaders[partition][0] - 1], f"{topic}-{partition}", end)

    def records(self, topic: str) -> dict[tuple[str, int], list[Found]]:
        """The same, as records."""
        return {(topic, partition): found_in(batches) for partition, batches in self.batches(topic)}

    # Troubles

    def kill(self, node: KafkaNode, away: float = 0.0) -> None:
        """SIGKILL, `away` seconds of nothing, and a start."""
        node.kill()
        time.sleep(away)
        node.start()
        node.wait_ready()

    def restart(self, node: KafkaNode) -> None:
        """As an operator does it."""
        node.stop()
        node.start()
        node.wait_ready()

    def freeze(self, nodes: Sequence[KafkaNode], seconds: float) -> None:
        """SIGSTOP: connections stay, nothing is said; then they go on where they were."""
        for node in nodes:
            node.pause()
        time.sleep(seconds)
        for node in nodes:
            node.resume()

    def move(self, topic: str, replicas: dict[int, list[int]]) -> None:
        """Makes these the replicas, and the first of them lead; returns when it is so."""
        with self.peer() as peer:
            requests.reassign(peer, topic, replicas)

            def done() -> bool:
                found = requests.metadata(peer, topic).partitions
                if any(list(p.replica_nodes) != replicas[p.partition_index] for p in found):
                    return False
                return requests.elect_preferred(peer, topic, list(replicas))

            until(done)

    def all_well(self) -> None:
        """Every node runs."""
        for node in self.nodes:
            if not node.alive:
                node.start()
            node.resume()
        for node in self.nodes:
            node.wait_ready()
