"""What a simulated broker does with a produce request.

A batch is appended at once and acknowledged when it is on all replicas (acks=all). What becomes known in between
changes the answer, not the log: a broker that has lost the leadership answers error 6 for what it appended, and the
base offset in that answer is all that tells it from a refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka.protocol import ProduceRequest, ProduceResponse
from kafka.records import read_batches
from kafka.testing.sim_log import CORRUPT, OUT_OF_ORDER, Appended, SimPartition, is_compressed

if TYPE_CHECKING:
    from kafka.testing.sim_broker import SimBroker

UNKNOWN_TOPIC, NOT_LEADER, TIMED_OUT, TOO_LARGE, UNKNOWN_TOPIC_ID = 3, 6, 7, 10, 100
NOT_ENOUGH_REPLICAS, NOT_ENOUGH_AFTER_APPEND, INVALID_RECORD = 19, 20, 87

_Answer = ProduceResponse.PartitionProduceResponse


class _Waiting:
    """An answer that is not complete before its batch is on all replicas."""

    __slots__ = ("answer", "partition", "epoch", "end")

    def __init__(self, answer: Any, partition: SimPartition, epoch: int, end: int) -> None:
        self.answer = answer
        self.partition = partition
        self.epoch = epoch
        self.end = end


def produce(broker: SimBroker, header: Any, request: Any) -> Any:
    cluster = broker.cluster
    by_id = header.api_version >= 13
    waiting: list[_Waiting] = []
    responses = []
    last = {(t.topic_id, t.name, data.index): data for t in request.topic_data for data in t.partition_data}
    for topic in request.topic_data:
        name = "" if by_id else topic.name
        answers = []
        for data in topic.partition_data:
            if last[topic.topic_id, topic.name, data.index] is not data:  # named twice: the last is kept, nothing said
                cluster.events["partition named twice"] += 1
                continue
            partition = cluster.partition_of(topic.topic_id, name, data.index)
            answer = _Answer(index=data.index, base_offset=-1)
            answers.append(answer)
            if partition is None:
                answer.error_code = UNKNOWN_TOPIC_ID if by_id else UNKNOWN_TOPIC
            else:
                limit = cluster.limits.get(_name(broker, topic, by_id))
                _append(broker, partition, bytes(data.records), answer, limit, waiting)
        responses.append(
            ProduceResponse.TopicProduceResponse(
                name=name, topic_id=topic.topic_id if by_id else bytes(16), partition_responses=answers
            )
        )
    if request.acks == 0:
        return None
    response = ProduceResponse(responses=responses)

    def complete() -> None:
        for entry in waiting:
            _replicated(broker, entry)
        for entry_ in responses:
            for answer in entry_.partition_responses:
                cluster.answers[ProduceRequest.API_KEY, answer.error_code] += 1
        if header.api_version >= 10:
            _hint(broker, request, response, by_id)

    if waiting and request.acks == -1:
        stuck = any(
            e.partition.trouble == TIMED_OUT and broker_now(broker) < e.partition.trouble_until for e in waiting
        )
        delay = min(request.timeout_ms / 1000, 0.5) if stuck else cluster.random.uniform(*cluster.replication)
        broker.waits = (delay, complete)
    else:
        waiting.clear()
        complete()
    return response


def broker_now(broker: SimBroker) -> float:
    return broker.cluster.simulation.now


def _name(broker: SimBroker, topic: Any, by_id: bool) -> str:
    if not by_id:
        return topic.name  # type: ignore[no-any-return]
    return next((name for name, id in broker.cluster.topic_ids.items() if id == topic.topic_id), "")


def _append(
    broker: SimBroker, partition: SimPartition, data: bytes, answer: Any, limit: int | None, waiting: list[_Waiting]
) -> None:
    cluster, now = broker.cluster, broker.cluster.simulation.now
    former = partition.leader != broker.id and partition.former == broker.id and now < partition.former_until
    if not former and (partition.leader != broker.id or now < partition.aware_at):
        answer.error_code = NOT_LEADER
        return
    error = cluster.injected_error(ProduceRequest.API_KEY)
    if not error and now < partition.trouble_until and not partition.trouble_after_append:
        error = partition.trouble
    compressed = is_compressed(data)
    if not error and limit is not None and len(data) > limit:
        error = TOO_LARGE
        cluster.events["compressed batch too large"] += compressed
    may_be_refused = compressed or cluster.refused_value in data  # looking closer takes long
    if not error and may_be_refused and (refused := _refused(data, cluster.refused_value)):
        error = INVALID_RECORD
        answer.record_errors = [
            ProduceResponse.BatchIndexAndErrorMessage(
                batch_index=index, batch_index_error_message="This record is refused."
            )
            for index in refused
        ]
        answer.error_message = "One or more records have been rejected"
    if former and not error:
        # It believes itself the leader: what it appends now is nobody's log any more, and never acknowledged.
        cluster.events["appended by a former leader"] += 1
        answer.base_offset = partition.end
        waiting.append(_Waiting(answer, partition, -1, 0))
        return
    appended = Appended(error) if error else partition.append(data)
    if appended.error == CORRUPT and not error:
        cluster.events["damaged batch"] += 1
    if appended.error == OUT_OF_ORDER and now < cluster.spiteful_until:
        cluster.move_soon(partition)
    answer.error_code, answer.base_offset = appended.error, appended.base
    if not appended.error:
        if appended.duplicate:
            cluster.events["duplicate recognised"] += 1
            cluster.events["compressed batch recognised"] += compressed
        waiting.append(_Waiting(answer, partition, partition.epoch, appended.end))


def _refused(data: bytes, value: bytes) -> list[int]:
    (batch,) = read_batches(data)
    return [
        record.offset
        for record in batch.unwrap().records().unwrap()
        if record.value is not None and value in record.value
    ]


def _replicated(broker: SimBroker, entry: _Waiting) -> None:
    """The time for replication is over: the batch is committed, unless something came in between."""
    partition, answer, now = entry.partition, entry.answer, broker.cluster.simulation.now
    if answer.error_code:
        return  # a test's doing
    if partition.leader != broker.id or partition.epoch != entry.epoch:
        answer.error_code = NOT_LEADER  # the base offset stays
        broker.cluster.events["leader lost after append"] += 1
    elif now < partition.trouble_until and partition.trouble_after_append:
        answer.error_code = partition.trouble
    else:
        partition.committed = max(partition.committed, entry.end)


def _hint(broker: SimBroker, request: Any, response: Any, by_id: bool) -> None:
    """Names the leader where this broker is not it, and where that one can be reached (KIP-951)."""
    cluster = broker.cluster
    nodes = set()
    for topic, answers in zip(request.topic_data, response.responses, strict=True):
        for answer in answers.partition_responses:
            if answer.error_code != NOT_LEADER or cluster.random.random() >= cluster.hints:
                continue
            name = _name(broker, topic, by_id)
            if broker.stale is not None:
                leaders = broker.stale.leaders.get(name, [])
                leader, epoch = leaders[answer.index] if answer.index < len(leaders) else (-1, -1)
            else:
                partition = cluster.partition_of(topic.topic_id, name, answer.index)
                leader, epoch = (partition.leader, partition.epoch) if partition is not None else (-1, -1)
            if leader < 0:
                continue
            answer.current_leader = ProduceResponse.LeaderIdAndEpoch(leader_id=leader, leader_epoch=epoch)
            nodes.add(leader)
            cluster.events["leader named"] += 1
    response.node_endpoints = [
        ProduceResponse.NodeEndpoint(
            node_id=id, host=cluster.brokers[id].advertised[0], port=cluster.brokers[id].advertised[1]
        )
        for id in sorted(nodes)
    ]
