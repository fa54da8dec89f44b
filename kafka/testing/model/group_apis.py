"""Joining, leaving and heartbeats of groups, their offsets: what their coordinator answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka.protocol import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from kafka.protocol.codes import Code
from kafka.protocol.header import RequestHeader
from kafka.testing.model.groups import LONGEST_METADATA, Committed, Place, State
from kafka.testing.model.world import Later

if TYPE_CHECKING:
    from kafka.testing.model.broker import Broker

_EPOCHS = 9  # the first version of both that members of the consumer protocol use
_MANY_GROUPS, _BY_ID = 8, 10  # of OffsetFetch and, the latter, of OffsetCommit: the first versions with it


def join(broker: Broker, header: RequestHeader, request: JoinGroupRequest) -> JoinGroupResponse | Later:
    code = broker.cluster.refusal(broker, request.group_id)
    if code:
        return JoinGroupResponse(error_code=code, member_id=request.member_id, protocol_name="")
    others = broker.cluster.groups.with_consumers(request.group_id)
    if others is not None:
        return others.join(request, header.api_version, header.client_id or "")
    broker.cluster.groups.consumer.pop(request.group_id, None)
    group = broker.cluster.groups.get(request.group_id)
    return group.join(request, header.api_version, header.client_id or "")


def sync(broker: Broker, header: RequestHeader, request: SyncGroupRequest) -> SyncGroupResponse | Later:
    code = broker.cluster.refusal(broker, request.group_id)
    if code:
        return SyncGroupResponse(error_code=code)
    others = broker.cluster.groups.with_consumers(request.group_id)
    return broker.cluster.groups.get(request.group_id).sync(request) if others is None else others.sync(request)


def heartbeat(broker: Broker, header: RequestHeader, request: HeartbeatRequest) -> HeartbeatResponse:
    code = broker.cluster.refusal(broker, request.group_id)
    if code:
        return HeartbeatResponse(error_code=code)
    others = broker.cluster.groups.with_consumers(request.group_id)
    if others is not None:
        return others.classic_heartbeat(request.member_id, request.generation_id)
    group = broker.cluster.groups.get(request.group_id)
    return group.heartbeat(request.member_id, request.group_instance_id, request.generation_id)


def consumer_heartbeat(
    broker: Broker, header: RequestHeader, request: ConsumerGroupHeartbeatRequest
) -> ConsumerGroupHeartbeatResponse:
    code = broker.cluster.refusal(broker, request.group_id)
    group = (
        None
        if code
        else broker.cluster.groups.of_consumers(request.group_id, broker.cluster, request.member_epoch == 0)
    )
    if group is None:
        return ConsumerGroupHeartbeatResponse(error_code=code or Code.GROUP_ID_NOT_FOUND)
    return group.heartbeat(request)


def leave(broker: Broker, header: RequestHeader, request: LeaveGroupRequest) -> LeaveGroupResponse:
    code = broker.cluster.refusal(broker, request.group_id)
    if code:
        return LeaveGroupResponse(error_code=code)
    others = broker.cluster.groups.with_consumers(request.group_id)
    group = broker.cluster.groups.get(request.group_id)

    def leaves(id: str, instance: str | None) -> int:
        return group.leave(id, instance) if others is None else others.classic_leave(id)

    if header.api_version < 3:
        return LeaveGroupResponse(error_code=leaves(request.member_id, None))
    return LeaveGroupResponse(
        members=[
            LeaveGroupResponse.MemberResponse(
                member_id=each.member_id,
                group_instance_id=each.group_instance_id,
                error_code=leaves(each.member_id, each.group_instance_id),
            )
            for each in request.members
        ]
    )


def describe(broker: Broker, header: RequestHeader, request: DescribeGroupsRequest) -> DescribeGroupsResponse:
    """Classic groups; what is assigned is told of a stable one only."""
    found = []
    for id in request.groups:
        code = broker.cluster.refusal(broker, id)
        group = broker.cluster.groups.groups.get(id)
        if group is None or code or broker.cluster.groups.with_consumers(id) is not None:
            missing = Code.GROUP_ID_NOT_FOUND if header.api_version >= 6 else 0
            found.append(
                DescribeGroupsResponse.DescribedGroup(error_code=code or missing, group_id=id, group_state="Dead")
            )
        else:
            found.append(
                DescribeGroupsResponse.DescribedGroup(
                    group_id=id,
                    group_state=group.state.value,
                    protocol_type=group.protocol_type,
                    protocol_data=group.protocol if group.state is State.STABLE else "",
                    members=[
                        DescribeGroupsResponse.DescribedGroupMember(
                            member_id=member.id,
                            group_instance_id=member.instance,
                            member_assignment=member.assignment if group.state is State.STABLE else b"",
                        )
                        for member in group.members.values()
                    ],
                )
            )
    return DescribeGroupsResponse(groups=found)


def _place(broker: Broker, version: int, name: str, id: bytes, index: int) -> tuple[Place | None, int]:
    """The partition that a request names, or what is wrong with that."""
    cluster = broker.cluster
    topic = cluster.topics_by_id.get(id) if version >= _BY_ID else cluster.topics.get(name)
    if topic is None or topic.get(index) is None:
        unknown_id = topic is None and version >= _BY_ID
        return None, Code.UNKNOWN_TOPIC_ID if unknown_id else Code.UNKNOWN_TOPIC_OR_PARTITION
    return (topic.name, index), 0


def commit(broker: Broker, header: RequestHeader, request: OffsetCommitRequest) -> OffsetCommitResponse:
    version, groups = header.api_version, broker.cluster.groups
    refused = broker.cluster.refusal(broker, request.group_id)
    consumers = None
    if not refused:
        generation = request.generation_id_or_member_epoch
        consumers = groups.with_consumers(request.group_id)
        if consumers is None:
            group = groups.get(request.group_id)
            refused = group.may_commit(request.member_id, request.group_instance_id, generation)
        elif version < _EPOCHS:
            refused = Code.UNSUPPORTED_VERSION
    topics = []
    for topic in request.topics:
        answers = []
        for wanted in topic.partitions:
            place, code = _place(broker, version, topic.name, topic.topic_id, wanted.partition_index)
            code = refused or code
            if not code and consumers is not None:
                assert place is not None
                known = broker.cluster.topics[place[0]]
                code = consumers.may_commit(request.member_id, generation, (known.id, place[1]))
            if not code and len((wanted.committed_metadata or "").encode()) > LONGEST_METADATA:
                code = Code.OFFSET_METADATA_TOO_LARGE
            if not code:
                assert place is not None
                stored = Committed(wanted.committed_offset, wanted.committed_leader_epoch, wanted.committed_metadata)
                groups.store(request.group_id, {place: stored})
            answers.append(
                OffsetCommitResponse.OffsetCommitResponsePartition(
                    partition_index=wanted.partition_index, error_code=code
                )
            )
        topics.append(
            OffsetCommitResponse.OffsetCommitResponseTopic(name=topic.name, topic_id=topic.topic_id, partitions=answers)
        )
    return OffsetCommitResponse(topics=topics)


def fetch(broker: Broker, header: RequestHeader, request: OffsetFetchRequest) -> OffsetFetchResponse:
    version = header.api_version
    if version >= _MANY_GROUPS:
        return OffsetFetchResponse(groups=[_fetched(broker, version, each, request) for each in request.groups])
    asked = OffsetFetchRequest.OffsetFetchRequestGroup(
        group_id=request.group_id,
        topics=None
        if request.topics is None
        else [
            OffsetFetchRequest.OffsetFetchRequestTopics(name=topic.name, partition_indexes=topic.partition_indexes)
            for topic in request.topics
        ],
    )
    found = _fetched(broker, version, asked, request)
    return OffsetFetchResponse(
        error_code=found.error_code,
        topics=[
            OffsetFetchResponse.OffsetFetchResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetFetchResponse.OffsetFetchResponsePartition(
                        partition_index=each.partition_index,
                        committed_offset=each.committed_offset,
                        committed_leader_epoch=each.committed_leader_epoch,
                        metadata=each.metadata,
                        error_code=each.error_code,
                    )
                    for each in topic.partitions
                ],
            )
            for topic in found.topics
        ],
    )


def _fetched(
    broker: Broker,
    version: int,
    asked: OffsetFetchRequest.OffsetFetchRequestGroup,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse.OffsetFetchResponseGroup:
    cluster = broker.cluster
    code = cluster.refusal(broker, asked.group_id)
    consumers = cluster.groups.consumer.get(asked.group_id)
    if not code and version >= _EPOCHS and consumers is not None and consumers.members:
        code = consumers.may_fetch(asked.member_id or "", asked.member_epoch)
    if code:
        return OffsetFetchResponse.OffsetFetchResponseGroup(group_id=asked.group_id, error_code=code, topics=[])
    known = cluster.groups.get(asked.group_id).offsets
    undecided = cluster.transactions.undecided(asked.group_id) if request.require_stable else set()
    if asked.topics is None:
        wanted: dict[tuple[str, bytes], list[int]] = {}
        for name, index in known:
            if (name, index) not in undecided:
                id = cluster.topics[name].id if name in cluster.topics else bytes(16)
                wanted.setdefault((name, id), []).append(index)
    else:
        wanted = {(topic.name, topic.topic_id): list(topic.partition_indexes) for topic in asked.topics}
    topics = []
    for (name, id), indexes in wanted.items():
        answers = []
        for index in indexes:
            place, code = _place(broker, version, name, id, index)
            if version < _BY_ID:  # by name nothing is said of a topic that is not there
                place, code = (name, index), 0
            if not code and place in undecided:
                code = Code.UNSTABLE_OFFSET_COMMIT
            found = None if code or place is None else known.get(place)
            answers.append(
                OffsetFetchResponse.OffsetFetchResponsePartitions(
                    partition_index=index,
                    committed_offset=-1 if found is None else found.offset,
                    committed_leader_epoch=-1 if found is None else found.epoch,
                    metadata="" if found is None else found.metadata,
                    error_code=code,
                )
            )
        topics.append(OffsetFetchResponse.OffsetFetchResponseTopics(name=name, topic_id=id, partitions=answers))
    return OffsetFetchResponse.OffsetFetchResponseGroup(group_id=asked.group_id, topics=topics)
