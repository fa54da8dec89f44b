"""What the tests ask of real brokers, through the codec: topics with chosen leaders, moves, producers, offsets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kafka.protocol import (
    AlterPartitionReassignmentsRequest,
    CreateTopicsRequest,
    DescribeProducersRequest,
    ElectLeadersRequest,
    InitProducerIdRequest,
    ListOffsetsRequest,
    MetadataRequest,
)
from tests.testing.wire import Peer

# kafka.errors has the names; what tests compare with is shorter as a number.
NONE, COORDINATOR_LOAD_IN_PROGRESS, PREFERRED_LEADER_NOT_AVAILABLE, ELECTION_NOT_NEEDED = 0, 14, 80, 84
_LATEST = -1


def until(condition: Callable[[], Any], timeout: float = 60.0, interval: float = 0.02) -> Any:
    """What `condition` says, as soon as that is true."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s"
        time.sleep(interval)
    return found


def create_topic(peer: Peer, name: str, assignments: Sequence[Sequence[int]], configs: Mapping[str, str]) -> None:
    """A topic with these replicas of each partition; the first of them is to lead. See `ready`."""
    request = CreateTopicsRequest
    topic = request.CreatableTopic(
        name=name,
        num_partitions=-1,
        replication_factor=-1,
        assignments=[
            request.CreatableReplicaAssignment(partition_index=index, broker_ids=replicas)
            for index, replicas in enumerate(assignments)
        ],
        configs=[request.CreatableTopicConfig(name=key, value=value) for key, value in configs.items()],
    )
    (answer,) = peer.ask(request(topics=[topic]), 5).topics
    assert answer.error_code == NONE, answer


def producers(peer: Peer, topic: str, partitions: Iterable[int]) -> dict[int, dict[int, tuple[int, int]] | None]:
    """Partition -> producer id -> (epoch, last sequence); None for a partition that this node has no copy of."""
    request = DescribeProducersRequest
    asked = request.TopicRequest(name=topic, partition_indexes=list(partitions))
    (answer,) = peer.ask(request(topics=[asked]), 0).topics
    return {
        found.partition_index: None
        if found.error_code
        else {p.producer_id: (p.producer_epoch, p.last_sequence) for p in found.active_producers}
        for found in answer.partitions
    }


def producer_id(peer: Peer, timeout: float = 60.0) -> tuple[int, list[int]]:
    """A new producer id, and the errors before it came."""
    codes: list[int] = []
    deadline = time.monotonic() + timeout
    while True:
        answer = peer.ask(InitProducerIdRequest(transactional_id=None), 4)
        if answer.error_code == NONE:
            return answer.producer_id, codes
        codes.append(answer.error_code)
        assert time.monotonic() < deadline, codes
        time.sleep(0.01)


def reassign(peer: Peer, topic: str, replicas: Mapping[int, Sequence[int]]) -> None:
    """Starts to move partitions to these replicas, in this order of preference."""
    request = AlterPartitionReassignmentsRequest
    partitions = [
        request.ReassignablePartition(partition_index=index, replicas=list(nodes)) for index, nodes in replicas.items()
    ]
    answer = peer.ask(request(topics=[request.ReassignableTopic(name=topic, partitions=partitions)]), 0)
    assert answer.error_code == NONE, answer
    assert all(found.error_code == NONE for topic in answer.responses for found in topic.partitions), answer


def elect_preferred(peer: Peer, topic: str, partitions: Sequence[int]) -> bool:
    """Makes the first replica lead; False if that was not possible yet."""
    request = ElectLeadersRequest
    asked = request.TopicPartitions(topic=topic, partitions=list(partitions))
    answer = peer.ask(request(election_type=0, topic_partitions=[asked], timeout_ms=5000), 2)
    codes = {found.error_code for topic in answer.replica_election_results for found in topic.partition_result}
    assert answer.error_code == NONE and codes <= {NONE, PREFERRED_LEADER_NOT_AVAILABLE, ELECTION_NOT_NEEDED}, answer
    return PREFERRED_LEADER_NOT_AVAILABLE not in codes


def metadata(peer: Peer, topic: str) -> Any:
    """What MetadataResponse v12 says of one topic."""
    return peer.ask(MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name=topic)]), 12).topics[0]


def leaders(peer: Peer, topic: str) -> dict[int, tuple[int, int]]:
    """Partition -> (leader, its epoch), as this node has heard."""
    return {p.partition_index: (p.leader_id, p.leader_epoch) for p in metadata(peer, topic).partitions}


def high_watermarks(peer: Peer, topic: str, epochs: Mapping[int, int]) -> dict[int, int]:
    """Partition -> high watermark, of those of `epochs` (partition -> leader epoch) that this node leads in this epoch;
    with epoch -1, in any."""
    request = ListOffsetsRequest
    asked = [
        request.ListOffsetsPartition(partition_index=index, current_leader_epoch=epoch, timestamp=_LATEST)
        for index, epoch in epochs.items()
    ]
    answer = peer.ask(request(replica_id=-1, topics=[request.ListOffsetsTopic(name=topic, partitions=asked)]), 7)
    (found,) = answer.topics
    return {p.partition_index: p.offset for p in found.partitions if p.error_code == NONE}


def leads(peer: Peer, controller: Peer, topic: str, after: Mapping[int, int]) -> bool:
    """Whether the node behind `peer` leads each partition of `after` by now, in a later epoch than `after` says.

    Metadata changes a moment before it is true, and a node that has restarted leads first by what it remembers.
    """
    now = {index: epoch for index, (_, epoch) in leaders(controller, topic).items() if index in after}
    late = any(epoch <= after[index] for index, epoch in now.items())
    return not late and high_watermarks(peer, topic, now).keys() == after.keys()
