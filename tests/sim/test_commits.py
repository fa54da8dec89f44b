"""Commits on their way to a coordinator: none undoes a later one, whichever finds it first."""

from __future__ import annotations

from typing import Any

from kafka.core.flows import Task
from kafka.core.groups.offsets import Commits, Membership, commit
from kafka.errors import CommitFailedError, KafkaError
from kafka.protocol import OffsetCommitRequest, OffsetCommitResponse
from kafka.protocol.codes import Code
from kafka.result import Ok, Result
from kafka.structs import OffsetAndMetadata, TopicPartition
from tests.sim.test_membership import GROUP
from tests.sim.world import World

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)


class CommitWorld(World):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.cluster.offer(*GROUP)
        self.cluster.create_topic("t", 2)
        assert isinstance(self.bootstrap(), Ok)
        self.commits = Commits()
        self.group = self.cluster.groups.get("g")

    def begin(self, *partitions: TopicPartition, offset: int, member: Membership | None = None) -> list[Any]:
        """Its result, once there is one."""
        offsets = {tp: OffsetAndMetadata(offset, "") for tp in partitions}
        turn = self.commits.begin(offsets)
        found: list[Result[None, KafkaError]] = []
        flow = commit(self.core.services, "g", member or Membership(), offsets, self.now, 20.0, turn)
        Task(flow, lambda result, now: found.append(result)).start(self.now)
        self.client.turn()
        return found

    def stored(self, tp: TopicPartition) -> int:
        return self.group.offsets[tp].offset

    def refuses_once(self) -> list[Any]:
        """The next commit is to be tried again; the offsets that came since then."""
        own = self.cluster.brokers[0].handlers[OffsetCommitRequest.API_KEY]
        came: list[dict[TopicPartition, int]] = []

        def handler(broker: Any, header: Any, request: Any) -> Any:
            came.append(
                {
                    TopicPartition(topic.name, entry.partition_index): entry.committed_offset
                    for topic in request.topics
                    for entry in topic.partitions
                }
            )
            if len(came) > 1:
                return own(broker, header, request)
            refused = [
                OffsetCommitResponse.OffsetCommitResponsePartition(
                    partition_index=tp.partition, error_code=Code.REQUEST_TIMED_OUT
                )
                for tp in came[0]
            ]
            return OffsetCommitResponse(
                topics=[OffsetCommitResponse.OffsetCommitResponseTopic(name="t", partitions=refused)]
            )

        for broker in self.cluster.brokers:
            broker.handlers[OffsetCommitRequest.API_KEY] = handler
        return came


def test_what_pauses_after_a_failure_is_not_sent_behind_a_later_one() -> None:
    w = CommitWorld(0)
    home = w.cluster.home("g")
    assert w.run(5.0, lambda first=w.begin(T0, offset=1): bool(first))
    home.stop()
    w.run(1.0)
    earlier = w.begin(T0, T1, offset=5)
    assert w.run(5.0, lambda: any(call.pause is not None for call in w.core.calls._open))  # it was not sent
    home.start()
    later = w.begin(T0, offset=6)
    assert w.run(20.0, lambda: bool(earlier and later))
    assert later == [Ok(None)] and w.stored(T0) == 6
    assert w.stored(T1) == 5  # which nothing has overtaken
    assert "t[0]" in str(earlier[0].error) and "overtaken" in str(earlier[0].error)


def test_what_the_group_has_taken_away_is_not_tried_again_and_is_not_called_overtaken() -> None:
    w = CommitWorld(1)
    came = w.refuses_once()
    found = w.begin(T0, T1, offset=5, member=Membership("somebody"))
    assert w.run(5.0, lambda: bool(came))
    w.commits.forget(T0)
    assert w.run(5.0, lambda: bool(found))
    assert came == [{T0: 5, T1: 5}, {T1: 5}]
    assert isinstance(found[0].error, CommitFailedError)
    assert "t[0]" in str(found[0].error) and "taken the partition" in str(found[0].error)
    assert "overtaken" not in str(found[0].error)


def test_who_assigns_partitions_itself_commits_also_what_it_does_not_read_any_more() -> None:
    w = CommitWorld(2)
    came = w.refuses_once()
    found = w.begin(T0, offset=5)
    assert w.run(5.0, lambda: bool(came))
    w.commits.forget(T0)
    assert w.run(5.0, lambda: bool(found))
    assert found == [Ok(None)] and w.stored(T0) == 5


def test_of_two_partitions_the_one_that_was_committed_again_is_named() -> None:
    w = CommitWorld(3)
    came = w.refuses_once()
    earlier = w.begin(T0, T1, offset=5)
    assert w.run(5.0, lambda: bool(came))
    later = w.begin(T1, offset=6)
    assert w.run(5.0, lambda: bool(earlier and later))
    assert later == [Ok(None)] and w.stored(T0) == 5 and w.stored(T1) == 6
    assert came == [{T0: 5, T1: 5}, {T1: 6}, {T0: 5}]
    assert "t[1]" in str(earlier[0].error) and "overtaken" in str(earlier[0].error)
