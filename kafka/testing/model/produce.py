"""Produce. A batch is appended at once, and with acks=all acknowledged when it is on all replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kafka.protocol import ProduceRequest, ProduceResponse
from kafka.protocol.codes import Code
from kafka.protocol.header import RequestHeader
from kafka.testing.model.world import Hangup, Later

if TYPE_CHECKING:
    from kafka.testing.model.broker import Broker
    from kafka.testing.model.cluster import Partition

_BY_ID = 13  # the first version that names topics by their ids
_NAMES_LEADERS = 10  # the first version whose refusals say who leads (KIP-951)


class Pending(NamedTuple):
    """A batch that was appended and is to be on all replicas before `answer` says so."""

    answer: Any
    partition: Partition
    epoch: int  # the leader's, when it was appended
    end: int


def produce(broker: Broker, header: RequestHeader, request: ProduceRequest) -> ProduceResponse | Later | None:
    cluster = broker.cluster
    version = header.api_version
    # What names a partition twice is answered once: Kafka goes through a request into a map, where the last one stays.
    asked: dict[str | bytes, dict[int, memoryview | None]] = {}
    for given in request.topic_data:
        batches = asked.setdefault(given.name if version < _BY_ID else given.topic_id, {})
        for partition_data in given.partition_data:
            batches[partition_data.index] = partition_data.records  # type: ignore[assignment]
    responses = []
    names: list[str] = []
    pending: list[Pending] = []
    failed = False
    for key, batches in asked.items():
        topic = cluster.topics.get(key) if isinstance(key, str) else cluster.topics_by_id.get(key)
        answers = []
        for index, batch in batches.items():
            partition = None if topic is None else topic.get(index)
            answer = ProduceResponse.PartitionProduceResponse(index=index, base_offset=-1)
            answers.append(answer)
            if request.acks not in (-1, 0, 1):
                answer.error_code = Code.INVALID_REQUIRED_ACKS
            elif topic is None or partition is None:
                unknown_id = topic is None and not isinstance(key, str)
                answer.error_code = Code.UNKNOWN_TOPIC_ID if unknown_id else Code.UNKNOWN_TOPIC_OR_PARTITION
            else:
                place = topic.name, index
                appended = broker.append(place, partition, batch, version, request.transactional_id)
                answer.error_code, answer.base_offset = appended.error, appended.base
                answer.error_message = appended.message
                if appended.error:
                    answer.record_errors = [
                        ProduceResponse.BatchIndexAndErrorMessage(batch_index=number, batch_index_error_message=text)
                        for number, text in appended.refused
                    ]
                else:
                    answer.log_start_offset = partition.log.start
                    pending.append(Pending(answer, partition, partition.epoch, appended.end))
            failed = failed or answer.error_code != 0
        named = {"name": key} if isinstance(key, str) else {"topic_id": key}
        responses.append(ProduceResponse.TopicProduceResponse(**named, partition_responses=answers))
        names.append("" if topic is None else topic.name)
    if request.acks == 0:
        if failed:  # the only way to tell such a client that it should look for the leaders again
            raise Hangup("a Produce request with acks=0 failed")
        return None
    response = ProduceResponse(responses=responses)
    delay = broker.replication(pending, request.timeout_ms / 1000) if pending and request.acks == -1 else 0.0

    def complete() -> ProduceResponse:
        for entry in pending if request.acks == -1 else ():
            entry.answer.error_code = broker.replicated(entry)
        if version >= _NAMES_LEADERS:
            _name_leaders(broker, names, response)
        return response

    if not delay:
        return complete()
    later = Later(complete)
    cluster.world.after(delay, later.ready)
    return later


def _name_leaders(broker: Broker, names: list[str], response: ProduceResponse) -> None:
    """Where this broker is not the leader, the answer says who is and where that one can be reached."""
    nodes = set()
    for name, topic in zip(names, response.responses, strict=True):
        for answer in topic.partition_responses:
            if answer.error_code == Code.NOT_LEADER_OR_FOLLOWER and (found := broker.leader_of(name, answer.index)):
                answer.current_leader.leader_id, answer.current_leader.leader_epoch = found
                nodes.add(found[0])
    response.node_endpoints = [
        ProduceResponse.NodeEndpoint(node_id=other.id, host=other.advertised[0], port=other.advertised[1])
        for other in broker.cluster.brokers
        if other.id in nodes
    ]
