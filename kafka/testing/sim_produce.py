"""What goes wrong in a simulated broker's produce requests, around the model's handler.

A batch is appended at once and acknowledged when it is on all replicas (acks=all). What becomes known in between
changes the answer, not the log: a broker that has lost the leadership answers error 6 for what it appended, and the
base offset in that answer is all that tells it from a refusal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kafka.protocol import ProduceRequest, ProduceResponse
from kafka.protocol._message import Response
from kafka.protocol.codes import Code
from kafka.records import read_batches
from kafka.testing.model.broker import Broker
from kafka.testing.model.produce import Pending
from kafka.testing.model.produce import produce as take
from kafka.testing.model.producers import Appended, codec_of
from kafka.testing.model.world import Answer, Later
from kafka.testing.sim_log import SimPartition

if TYPE_CHECKING:
    from kafka.testing.sim_broker import SimCluster


def produce(broker: ProducesBadly, header: Any, request: Any) -> Answer:
    """The model's answer, counted."""
    answer = take(broker, header, request)
    if isinstance(answer, Later):
        complete = answer.complete
        answer.complete = lambda: _counted(broker, complete())
        return answer
    return _counted(broker, answer)


def _counted(broker: ProducesBadly, response: Response | None) -> Response | None:
    if isinstance(response, ProduceResponse):
        for topic in response.responses:
            for answer in topic.partition_responses:
                broker.cluster.answers[ProduceRequest.API_KEY, answer.error_code] += 1
    return response


class ProducesBadly(Broker):
    """The part of a simulated broker that records go through."""

    cluster: SimCluster

    def append(self, place: Any, partition: Any, batch: Any, version: int, transactional_id: str | None) -> Appended:
        cluster, now = self.cluster, self.cluster.simulation.now
        assert isinstance(partition, SimPartition)
        former = partition.leader != self.id and partition.former == self.id and now < partition.former_until
        if not former and not self.leads(partition):
            return Appended(Code.NOT_LEADER_OR_FOLLOWER)
        error = cluster.injected_error(ProduceRequest.API_KEY)
        if not error and now < partition.trouble_until and not partition.trouble_after_append:
            error = partition.trouble
        data = b"" if batch is None else bytes(batch)
        compressed = codec_of(data) != 0
        limit = cluster.limits.get(place[0])
        if not error and limit is not None and len(data) > limit:
            error = Code.MESSAGE_TOO_LARGE
            cluster.events["compressed batch too large"] += compressed
        if error:
            return Appended(error)
        may_be_refused = compressed or cluster.refused_value in data  # looking closer takes long
        if may_be_refused and (refused := _refused(data, cluster.refused_value)):
            reasons = tuple((index, "This record is refused.") for index in refused)
            message = "One or more records have been rejected"
            return Appended(Code.INVALID_RECORD, message=message, refused=reasons)
        if former:
            # It believes itself the leader: what it appends now is nobody's log any more, and never acknowledged.
            cluster.events["appended by a former leader"] += 1
            return Appended(0, partition.end, 0)
        appended = super().append(place, partition, batch, version, transactional_id)
        if appended.error == Code.CORRUPT_MESSAGE:
            cluster.events["damaged batch"] += 1
        if appended.error == Code.OUT_OF_ORDER_SEQUENCE_NUMBER and now < cluster.spiteful_until:
            cluster.move_soon(partition)
        if appended.duplicate:
            cluster.events["duplicate recognised"] += 1
            cluster.events["compressed batch recognised"] += compressed
        return appended._replace(message=None)  # as little as Kafka says

    def replication(self, pending: Sequence[Pending], timeout: float) -> float:
        now = self.cluster.simulation.now
        for entry in pending:
            assert isinstance(entry.partition, SimPartition)
            if entry.partition.trouble == Code.REQUEST_TIMED_OUT and now < entry.partition.trouble_until:
                return min(timeout, 0.5)
        return self.cluster.random.uniform(*self.cluster.replication)

    def replicated(self, entry: Pending) -> int:
        """The batch is committed, unless something came in between."""
        partition = entry.partition
        assert isinstance(partition, SimPartition)
        if partition.leader != self.id or partition.epoch != entry.epoch:
            self.cluster.events["leader lost after append"] += 1
            return Code.NOT_LEADER_OR_FOLLOWER  # the base offset stays
        if self.cluster.simulation.now < partition.trouble_until and partition.trouble_after_append:
            return partition.trouble
        partition.commit(entry.end)
        return 0

    def leader_of(self, topic: str, index: int) -> tuple[int, int] | None:
        if self.cluster.random.random() >= self.cluster.hints:
            return None
        found = super().leader_of(topic, index)
        if found is not None and found[0] < 0:
            return None
        self.cluster.events["leader named"] += found is not None
        return found


def _refused(data: bytes, value: bytes) -> list[int]:
    (batch,) = read_batches(data)
    return [
        record.offset
        for record in batch.unwrap().records().unwrap()
        if record.value is not None and value in record.value
    ]
