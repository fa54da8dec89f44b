"""The contract that the producer relies on, measured on real brokers: tests.broker.probe's table, and what takes two
nodes or a request of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import kafka_jars
import pytest
from broker.cluster import KafkaCluster

from kafka.protocol import ApiVersionsRequest
from tests.broker import probe, requests
from tests.broker.probe import VERSIONS, Answer, Log, State
from tests.broker.requests import until
from tests.testing.wire import Peer, batch, produce, produce_request

PARTITIONS = 80
BY_NAME = 11  # the last version of Produce that all of VERSIONS have


class Leader:
    """Two nodes; the second leads every partition of the topic `probe` alone, and restarts."""

    def __init__(self, version: str) -> None:
        self.cluster = KafkaCluster(
            2, {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}, version, controllers=1
        )
        self.other, self.node = self.cluster.nodes
        self.used = 0
        self.id_errors: list[int] = []

    def begin(self) -> None:
        self.peer, self.other_peer = Peer(self.node.address), Peer(self.other.address)
        self.producer_id, errors = requests.producer_id(self.peer)
        self.id_errors += errors
        self.create("probe", [[self.node.node_id]] * PARTITIONS)

    def create(self, topic: str, assignments: Sequence[Sequence[int]]) -> None:
        requests.create_topic(self.other_peer, topic, assignments, {})
        self.await_lead(self.peer, topic, dict.fromkeys(range(len(assignments)), -1))

    def await_lead(self, peer: Peer, topic: str, after: dict[int, int]) -> None:
        until(lambda: requests.leads(peer, self.other_peer, topic, after))

    def epochs(self, topic: str) -> dict[int, int]:
        """Partition -> leader epoch, of those that the node leads."""
        leaders = requests.leaders(self.other_peer, topic).items()
        return {index: epoch for index, (leader, epoch) in leaders if leader == self.node.node_id}

    def restart(self, *, clean: bool) -> None:
        before = self.epochs("probe")
        self.peer.socket.close()
        if clean:
            self.node.stop()
        else:
            self.node.kill()
        self.node.start()
        self.node.wait_ready()
        self.peer = Peer(self.node.address)
        _, errors = requests.producer_id(self.peer)
        self.id_errors += errors
        self.await_lead(self.peer, "probe", before)

    def partition(self) -> int:
        """One that nobody wrote to."""
        self.used += 1
        return self.used - 1

    def log(self) -> Log:
        partition = self.partition()

        def append(data: bytes) -> Answer:
            return produce(self.peer, "probe", partition, data, BY_NAME)

        def describe(producer_id: int) -> State | None:
            found = requests.producers(self.peer, "probe", [partition])[partition]
            assert found is not None
            return found.get(producer_id)

        return Log(self.producer_id + partition, append, describe)

    def stamped(self, sequence: int) -> bytes:
        return batch(b"x", pid=self.producer_id, epoch=0, sequence=sequence, timestamp=probe.now())


VERSION = [
    pytest.param(version, marks=[pytest.mark.kafka, *([pytest.mark.versions] if version != kafka_jars.VERSION else [])])
    for version in VERSIONS
]


@pytest.fixture(scope="module", params=VERSION)
def leader(request: pytest.FixtureRequest) -> Iterator[Leader]:
    try:
        leader = Leader(request.param)
    except kafka_jars.Unavailable as error:
        pytest.skip(f"no Apache Kafka {request.param}: {error}")
    with leader.cluster:
        leader.begin()
        yield leader
        leader.peer.socket.close()
        leader.other_peer.socket.close()


@pytest.fixture(scope="module")
def seen(leader: Leader) -> dict[str, Any]:
    """What every row saw, all measured with two restarts."""
    seen = probe.run(probe.ROWS, leader.log, lambda: None)
    for how, clean in (("clean", True), ("kill", False)):
        rows = probe.run(probe.RESTART_ROWS, leader.log, lambda clean=clean: leader.restart(clean=clean))
        seen.update({f"{name}-{how}": row for name, row in rows.items()})
    return seen


@pytest.mark.parametrize("row", probe.ROWS)
def test_row(seen: dict[str, Any], row: str) -> None:
    assert seen[row] == probe.ROWS[row][1]


@pytest.mark.parametrize("how", ["clean", "kill"])
@pytest.mark.parametrize("row", probe.RESTART_ROWS)
def test_row_with_a_restart(seen: dict[str, Any], row: str, how: str) -> None:
    assert seen[f"{row}-{how}"] == probe.RESTART_ROWS[row][1]


def test_a_new_leader_asked_for_a_producer_id_may_say_that_it_is_loading(leader: Leader, seen: dict[str, Any]) -> None:
    # After each of three starts; the errors, if any, are over within a second, and each comes at once.
    assert set(leader.id_errors) <= {requests.COORDINATOR_LOAD_IN_PROGRESS}


def test_two_hundred_in_flight(leader: Leader) -> None:
    partition = leader.partition()
    for sequence in range(200):
        leader.peer.send(produce_request("probe", (partition, leader.stamped(sequence))), BY_NAME)
    answers = [leader.peer.receive().responses[0].partition_responses[0] for _ in range(200)]
    assert [(answer.error_code, answer.base_offset) for answer in answers] == [(0, offset) for offset in range(200)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_a_partition_named_twice_only_the_last_is_taken(leader: Leader, order: tuple[int, int]) -> None:
    """And one answer comes, NONE: the first would be lost and reported as delivered."""
    partition = leader.partition()
    request = produce_request("probe", *((partition, leader.stamped(sequence)) for sequence in order))
    (topic,) = leader.peer.ask(request, BY_NAME).responses
    (answer,) = topic.partition_responses
    assert (answer.error_code, answer.base_offset) == (0, 0)
    assert requests.high_watermarks(leader.peer, "probe", {partition: -1}) == {partition: 1}
    assert requests.producers(leader.peer, "probe", [partition])[partition] == {leader.producer_id: (0, order[-1])}


def test_of_a_topic_named_twice_too(leader: Leader) -> None:
    partition = leader.partition()
    request = produce_request("probe", (partition, leader.stamped(0)))
    request.topic_data = [*request.topic_data, *produce_request("probe", (partition, leader.stamped(1))).topic_data]
    (topic,) = leader.peer.ask(request, BY_NAME).responses
    assert [answer.error_code for answer in topic.partition_responses] == [0]
    assert requests.producers(leader.peer, "probe", [partition])[partition] == {leader.producer_id: (0, 1)}


def test_two_batches_of_one_partition_are_refused(leader: Leader) -> None:
    partition = leader.partition()
    data = leader.stamped(0) + leader.stamped(1)
    assert produce(leader.peer, "probe", partition, data, BY_NAME) == (87, -1)


def test_a_node_that_leads_no_more_says_who_does(leader: Leader) -> None:
    partition = leader.partition()
    requests.reassign(leader.other_peer, "probe", {partition: [leader.other.node_id]})
    until(lambda: requests.leaders(leader.peer, "probe")[partition][0] == leader.other.node_id)
    leader.await_lead(leader.other_peer, "probe", {partition: -1})
    topic_id, (_, epoch) = (
        requests.metadata(leader.peer, "probe").topic_id,
        requests.leaders(leader.peer, "probe")[partition],
    )

    versions = leader.peer.ask(ApiVersionsRequest(client_software_name="probe", client_software_version="1"), 3)
    last = next(api.max_version for api in versions.api_keys if api.api_key == 0)
    assert last == {"3.9": 11, "4.0": 12, "4.3": 13}[leader.cluster.version[:3]]
    for version in range(9, last + 1):
        topic: Any = "probe" if version < 13 else topic_id
        answer = leader.peer.ask(produce_request(topic, (partition, leader.stamped(0))), version)
        (refused,) = answer.responses[0].partition_responses
        hint = (refused.current_leader.leader_id, refused.current_leader.leader_epoch)
        addresses = [(node.node_id, f"{node.host}:{node.port}") for node in answer.node_endpoints]
        assert (refused.error_code, refused.base_offset) == (6, -1)
        if version < 10:
            assert (hint, addresses) == ((-1, -1), [])
        else:
            assert (hint, addresses) == ((leader.other.node_id, epoch), [(leader.other.node_id, leader.other.address)])
    if last >= 13:  # a topic id that nobody has
        answer = leader.peer.ask(produce_request(b"\1" * 16, (partition, leader.stamped(0))), 13)
        assert answer.responses[0].partition_responses[0].error_code == 100
    assert produce(leader.peer, "nobody-made-it", 0, leader.stamped(0), BY_NAME) == (3, -1)


def test_a_follower_that_comes_to_lead_knows_what_it_copied_since_its_start(leader: Leader, seen: Any) -> None:
    """`seen`: the restarts are over."""
    old, new = leader.node.node_id, leader.other.node_id
    leader.create("pair", [[old, new]] * 2)

    def send(peer: Peer, partition: int, sequences: Sequence[int]) -> list[int | str]:
        answers = (produce(peer, "pair", partition, leader.stamped(sequence), BY_NAME) for sequence in sequences)
        return [code or f"@{offset}" for code, offset in answers]

    def lead(order: list[int], peer: Peer) -> None:
        before = {index: epoch for index, (_, epoch) in requests.leaders(leader.other_peer, "pair").items()}
        requests.reassign(leader.other_peer, "pair", {0: order, 1: order})
        until(lambda: requests.elect_preferred(leader.other_peer, "pair", [0, 1]))
        leader.await_lead(peer, "pair", before)

    for partition in (0, 1):
        assert send(leader.peer, partition, range(5)) == ["@0", "@1", "@2", "@3", "@4"]
    lead([new, old], leader.other_peer)
    assert send(leader.other_peer, 0, range(5)) == ["@0", "@1", "@2", "@3", "@4"]
    # DescribeProducers is answered without an error by those too that do not lead, of what they have copied.
    for peer in (leader.peer, leader.other_peer):
        assert requests.producers(peer, "pair", [0]) == {0: {leader.producer_id: (0, 4)}}

    leader.restart(clean=True)
    assert send(leader.other_peer, 1, [5, 6]) == ["@5", "@6"]
    lead([old, new], leader.peer)
    assert send(leader.peer, 0, range(5)) == [45, 45, 45, 45, "@4"]
    assert send(leader.peer, 1, range(7)) == [45, 45, 45, 45, "@4", "@5", "@6"]
