"""Groups of the broker model, by raw requests: what Apache Kafka 4.3.0 was measured to answer in each state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kafka.protocol import (
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    SyncGroupRequest,
)
from kafka.protocol.codes import Code
from kafka.testing import EmbeddedCluster
from tests.testing.wire import Peer

REBALANCE, UNKNOWN, ILLEGAL = Code.REBALANCE_IN_PROGRESS, Code.UNKNOWN_MEMBER_ID, Code.ILLEGAL_GENERATION


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(topics={"t": 2}) as cluster:
        yield cluster


class Member:
    """A member with a connection of its own, on which its Join and Sync may wait."""

    def __init__(self, cluster: EmbeddedCluster, group: str = "g", instance: str | None = None) -> None:
        self.peer = Peer(cluster.nodes[0].address, 10.0)
        self.group, self.instance = group, instance
        self.id, self.generation = "", -1
        self.version = 9

    def __enter__(self) -> Member:
        self.peer.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.peer.__exit__(*error)

    def join_request(self, **options: Any) -> JoinGroupRequest:
        protocols = [
            JoinGroupRequest.JoinGroupRequestProtocol(name=name, metadata=options.get("metadata", b"m"))
            for name in options.get("strategies", ["range"])
        ]
        return JoinGroupRequest(
            group_id=self.group,
            session_timeout_ms=options.get("session", 6000),
            rebalance_timeout_ms=6000,
            member_id=options.get("id", self.id),
            group_instance_id=self.instance,
            protocol_type=options.get("type", "consumer"),
            protocols=protocols,
        )

    def join(self, **options: Any) -> Any:
        answer = self.peer.ask(self.join_request(**options), self.version)
        if answer.error_code in (0, Code.MEMBER_ID_REQUIRED):
            self.id, self.generation = answer.member_id, answer.generation_id
        return answer

    def enter(self, **options: Any) -> Any:
        """Both steps of a member without a name: it is handed an id, and joins with it."""
        assert self.join(**options).error_code == Code.MEMBER_ID_REQUIRED and self.id
        return self.join(**options)

    def sync(self, shares: dict[str, bytes] | None = None, **options: Any) -> Any:
        request = SyncGroupRequest(
            group_id=self.group,
            generation_id=options.get("generation", self.generation),
            member_id=self.id,
            group_instance_id=self.instance,
            protocol_type="consumer",
            protocol_name=options.get("strategy", "range"),
            assignments=[
                SyncGroupRequest.SyncGroupRequestAssignment(member_id=id, assignment=share)
                for id, share in (shares or {}).items()
            ],
        )
        return self.peer.ask(request, 5)

    def beat(self, generation: int | None = None, id: str | None = None) -> int:
        request = HeartbeatRequest(
            group_id=self.group,
            generation_id=self.generation if generation is None else generation,
            member_id=self.id if id is None else id,
            group_instance_id=self.instance,
        )
        return self.peer.ask(request, 4).error_code  # type: ignore[no-any-return]

    def leave(self) -> int:
        identity = LeaveGroupRequest.MemberIdentity(member_id=self.id, group_instance_id=self.instance)
        answer = self.peer.ask(LeaveGroupRequest(group_id=self.group, members=[identity]), 5)
        assert answer.error_code == 0
        return answer.members[0].error_code  # type: ignore[no-any-return]

    def commit(self, offset: int = 5, generation: int | None = None, id: str | None = None, note: str = "") -> int:
        partition = OffsetCommitRequest.OffsetCommitRequestPartition(
            partition_index=0, committed_offset=offset, committed_metadata=note
        )
        request = OffsetCommitRequest(
            group_id=self.group,
            generation_id_or_member_epoch=self.generation if generation is None else generation,
            member_id=self.id if id is None else id,
            group_instance_id=self.instance,
            topics=[OffsetCommitRequest.OffsetCommitRequestTopic(name="t", partitions=[partition])],
        )
        return self.peer.ask(request, 9).topics[0].partitions[0].error_code  # type: ignore[no-any-return]

    def committed(self) -> tuple[int, int]:
        """Of t[0] and t[1]; -1 for none."""
        topics = [OffsetFetchRequest.OffsetFetchRequestTopics(name="t", partition_indexes=[0, 1])]
        group = OffsetFetchRequest.OffsetFetchRequestGroup(group_id=self.group, topics=topics)
        (answer,) = self.peer.ask(OffsetFetchRequest(groups=[group]), 8).groups
        one, two = answer.topics[0].partitions
        return one.committed_offset, two.committed_offset


@pytest.fixture
def one(cluster: EmbeddedCluster) -> Iterator[Member]:
    with Member(cluster) as member:
        yield member


@pytest.fixture
def two(cluster: EmbeddedCluster) -> Iterator[Member]:
    with Member(cluster) as member:
        yield member


def test_a_first_member(one: Member) -> None:
    answer = one.enter()
    assert (answer.error_code, answer.generation_id, answer.leader) == (0, 1, one.id)
    assert [member.member_id for member in answer.members] == [one.id] and answer.protocol_name == "range"
    assert one.beat() == 0 and one.commit() == REBALANCE  # until the leader has said who reads what
    assert one.sync({one.id: b"all"}).assignment == b"all"
    assert one.sync().assignment == b"all"
    assert one.beat() == 0 and one.commit(7) == 0
    assert one.committed() == (7, -1)


def test_what_is_refused_in_a_stable_group(one: Member) -> None:
    one.enter()
    one.sync({one.id: b"x"})
    for wrong, code in (((0, None), ILLEGAL), ((2, None), ILLEGAL), ((1, "nobody"), UNKNOWN)):
        assert one.beat(*wrong) == code
        assert one.commit(5, *wrong) == code
    assert one.commit(5, -1, "") == UNKNOWN  # somebody without a group's place, while the group has members
    assert one.sync(generation=7).error_code == ILLEGAL
    assert one.sync(strategy="other").error_code == Code.INCONSISTENT_GROUP_PROTOCOL
    assert one.commit(note="x" * 4096) == 0
    assert one.commit(note="x" * 4097) == Code.OFFSET_METADATA_TOO_LARGE


def test_joins_that_are_refused(one: Member, two: Member) -> None:
    for options, code in (
        ({"session": 5999}, Code.INVALID_SESSION_TIMEOUT),
        ({"session": 1_800_001}, Code.INVALID_SESSION_TIMEOUT),
        ({"strategies": []}, Code.INCONSISTENT_GROUP_PROTOCOL),
        ({"id": "made up"}, UNKNOWN),
    ):
        assert one.join(**options).error_code == code
    one.enter()
    assert two.join(strategies=["other"]).error_code == Code.INCONSISTENT_GROUP_PROTOCOL
    assert two.join(type="connect").error_code == Code.INCONSISTENT_GROUP_PROTOCOL
    nameless = Member.__new__(Member)
    nameless.__dict__.update(two.__dict__, group="")
    assert nameless.join().error_code == Code.INVALID_GROUP_ID


def test_a_second_member(one: Member, two: Member) -> None:
    one.enter()
    one.sync({one.id: b"all"})
    assert two.join().error_code == Code.MEMBER_ID_REQUIRED
    two.peer.send(two.join_request(), 9)  # waits for the first to join again
    while one.beat() != REBALANCE:
        pass
    assert one.commit(3) == 0  # the last chance
    answer = one.join()
    assert answer.generation_id == 2 and answer.leader == one.id and len(answer.members) == 2
    theirs = two.peer.receive()
    two.id, two.generation = theirs.member_id, theirs.generation_id
    assert (theirs.leader, list(theirs.members), theirs.generation_id) == (one.id, [], 2)
    assert one.beat(1) == ILLEGAL
    one.sync({one.id: b"mine", two.id: b"yours"})
    assert two.sync().assignment == b"yours"
    # A follower that joins again with nothing new hears the same; the leader makes another rebalance of it.
    assert two.join().generation_id == 2
    assert two.leave() == 0 and two.leave() == UNKNOWN
    assert one.beat() == REBALANCE


def test_offsets_without_members(one: Member) -> None:
    assert one.beat(1, "nobody") == UNKNOWN
    assert one.commit(4, 3, "nobody") == UNKNOWN
    assert one.commit(4, -1, "") == 0
    assert one.committed() == (4, -1)


def test_what_is_committed_is_told_without_a_client(cluster: EmbeddedCluster, one: Member) -> None:
    assert cluster.committed_offsets("g") == {}
    assert one.commit(7) == 0
    assert cluster.committed_offsets("g") == {("t", 0): 7} and cluster.committed_offsets("other") == {}


def test_a_static_member_that_starts_again(cluster: EmbeddedCluster, two: Member) -> None:
    with Member(cluster, instance="i") as first, Member(cluster, instance="i") as again:
        assert first.join().error_code == 0  # at once: nobody hands an id to who has a name
        first.sync({first.id: b"all"})
        answer = again.join()
        assert (answer.generation_id, answer.skip_assignment, len(answer.members)) == (1, True, 1)
        assert again.id != first.id
        assert again.sync().assignment == b"all" and again.beat() == 0
        assert first.beat() == first.commit() == Code.FENCED_INSTANCE_ID
        assert first.leave() == Code.FENCED_INSTANCE_ID
        again.id = ""
        assert again.leave() == 0


@pytest.mark.slow
def test_a_silent_member_is_thrown_out(cluster: EmbeddedCluster, one: Member) -> None:
    one.enter()
    one.sync({one.id: b"x"})
    with Member(cluster) as two:
        two.join()
        two.peer.send(two.join_request(), 9)
        assert two.peer.receive().generation_id == 2  # once the other's time to join is over
    assert one.beat() == UNKNOWN
