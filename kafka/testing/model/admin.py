"""What clients ask about the cluster: versions, topics, coordinators. One handler per API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kafka.protocol import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DescribeClusterRequest,
    DescribeClusterResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    MetadataRequest,
    MetadataResponse,
)
from kafka.protocol.codes import Code
from kafka.protocol.header import RequestHeader
from kafka.testing.model.cluster import NO_ID

if TYPE_CHECKING:
    from kafka.testing.model.broker import Broker
    from kafka.testing.model.cluster import Topic

_CLIENT_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?")
_GROUP, _TRANSACTION = 0, 1  # of FindCoordinator's key types


def api_versions(broker: Broker, header: RequestHeader, request: ApiVersionsRequest) -> ApiVersionsResponse:
    names = (request.client_software_name, request.client_software_version)
    if header.api_version >= 3 and not all(map(_CLIENT_NAME.fullmatch, names)):
        return ApiVersionsResponse(error_code=Code.INVALID_REQUEST)
    response = ApiVersionsResponse(
        api_keys=[
            ApiVersionsResponse.ApiVersion(api_key=key, min_version=lowest, max_version=highest)
            for key, (lowest, highest) in sorted(broker.versions.items())
        ]
    )
    if level := broker.cluster.transactions.version:
        feature = ApiVersionsResponse.FinalizedFeatureKey(
            name="transaction.version", max_version_level=level, min_version_level=level
        )
        response.finalized_features_epoch, response.finalized_features = 1, [feature]
    return response


def metadata(broker: Broker, header: RequestHeader, request: MetadataRequest) -> MetadataResponse:
    cluster = broker.cluster
    topics = broker.topics
    answers = []
    if request.topics is None or (header.api_version == 0 and not request.topics):
        answers = [_describe(broker, topic) for topic in topics.values()]
    for asked in request.topics or ():
        if asked.name is None or asked.topic_id != NO_ID:
            found = next((topic for topic in topics.values() if topic.id == asked.topic_id), None)
            if found is None:
                answers.append(
                    MetadataResponse.MetadataResponseTopic(
                        error_code=Code.UNKNOWN_TOPIC_ID,
                        name=None if header.api_version >= 12 else "",
                        topic_id=asked.topic_id,
                    )
                )
            else:
                answers.append(_describe(broker, found))
            continue
        found = topics.get(asked.name)
        error = Code.UNKNOWN_TOPIC_OR_PARTITION
        if found is None and not cluster.is_valid_name(asked.name):
            error = Code.INVALID_TOPIC_EXCEPTION
        elif (
            found is None
            and cluster.auto_create
            and request.allow_auto_topic_creation
            and asked.name not in cluster.topics
        ):
            found = cluster.mention(asked.name)
            topics = cluster.topics
        answers.append(
            MetadataResponse.MetadataResponseTopic(error_code=error, name=asked.name)
            if found is None
            else _describe(broker, found)
        )
    alive = cluster.alive()
    return MetadataResponse(
        brokers=[
            MetadataResponse.MetadataResponseBroker(
                node_id=other.id, host=other.advertised[0], port=other.advertised[1], rack=other.rack
            )
            for other in alive
        ],
        cluster_id=cluster.id,
        controller_id=alive[0].id,
        topics=answers,
    )


def _describe(broker: Broker, topic: Topic) -> MetadataResponse.MetadataResponseTopic:
    alive = {other.id for other in broker.cluster.alive()}
    up = {other.id for other in broker.cluster.brokers if broker.believes_up(other)}
    return MetadataResponse.MetadataResponseTopic(
        name=topic.name,
        topic_id=topic.id,
        partitions=[
            MetadataResponse.MetadataResponsePartition(
                error_code=0 if partition.leader in up else Code.LEADER_NOT_AVAILABLE,
                partition_index=index,
                leader_id=partition.leader if partition.leader in up else -1,
                leader_epoch=partition.epoch,
                replica_nodes=partition.replicas,
                isr_nodes=[id for id in partition.replicas if id in alive],
            )
            for index, partition in enumerate(topic)
        ],
    )


def create_topics(broker: Broker, header: RequestHeader, request: CreateTopicsRequest) -> CreateTopicsResponse:
    names = [topic.name for topic in request.topics]
    results: list[CreateTopicsResponse.CreatableTopicResult] = []
    for asked in request.topics:
        if names.count(asked.name) > 1:
            if not any(result.name == asked.name for result in results):
                results.append(_refused(asked.name, Code.INVALID_REQUEST, "the request names this topic twice"))
            continue
        results.append(_create(broker, asked, request.validate_only))
    return CreateTopicsResponse(topics=results)


def _create(
    broker: Broker, asked: CreateTopicsRequest.CreatableTopic, validate_only: bool
) -> CreateTopicsResponse.CreatableTopicResult:
    cluster = broker.cluster
    name, count, copies = asked.name, asked.num_partitions, asked.replication_factor
    if not cluster.is_valid_name(name):
        return _refused(name, Code.INVALID_TOPIC_EXCEPTION, "a name has 1 to 249 of the characters a-z A-Z 0-9 . _ -")
    if name in cluster.topics:
        return _refused(name, Code.TOPIC_ALREADY_EXISTS, f"topic {name!r} exists")
    replicas: Sequence[Sequence[int]] | None = None
    if asked.assignments:
        by_partition = {given.partition_index: tuple(given.broker_ids) for given in asked.assignments}
        known = {other.id for other in cluster.brokers}
        replicas = [by_partition.get(index, ()) for index in range(len(by_partition))]
        if count != -1 or copies != -1:
            return _refused(name, Code.INVALID_REQUEST, "with assignments, both numbers must be -1")
        if not all(replicas) or not all(known.issuperset(ids) and len(set(ids)) == len(ids) for ids in replicas):
            return _refused(
                name, Code.INVALID_REPLICA_ASSIGNMENT, "each partition from 0 on needs nodes that exist, once each"
            )
        count = len(replicas)
    elif count != -1 and count < 1:
        return _refused(name, Code.INVALID_PARTITIONS, f"a topic cannot have {count} partitions")
    elif copies != -1 and not 1 <= copies <= len(cluster.brokers):
        return _refused(
            name, Code.INVALID_REPLICATION_FACTOR, f"{copies} replicas of a partition on {len(cluster.brokers)} nodes"
        )
    configs = {config.name: config.value for config in asked.configs}
    topic = cluster.add_topic(
        name,
        count if count != -1 else None,
        copies=copies if copies != -1 else None,
        replicas=replicas,
        configs=configs,
        dry_run=validate_only,
    )
    return CreateTopicsResponse.CreatableTopicResult(
        name=name,
        topic_id=topic.id,
        num_partitions=len(topic.partitions),
        replication_factor=len(topic.partitions[0].replicas),
        configs=[
            CreateTopicsResponse.CreatableTopicConfigs(name=key, value=value, config_source=1)
            for key, value in configs.items()
        ],
    )


def _refused(name: str, error: Code, message: str) -> CreateTopicsResponse.CreatableTopicResult:
    return CreateTopicsResponse.CreatableTopicResult(name=name, error_code=error, error_message=message)


def delete_topics(broker: Broker, header: RequestHeader, request: DeleteTopicsRequest) -> DeleteTopicsResponse:
    cluster = broker.cluster
    asked: Iterable[tuple[str | None, bytes]] = [(state.name, state.topic_id) for state in request.topics]
    if header.api_version < 6:
        asked = [(name, NO_ID) for name in request.topic_names]
    results = []
    for name, id in asked:
        topic = cluster.topics_by_id.get(id) if name is None else cluster.topics.get(name)
        if topic is None:
            error = Code.UNKNOWN_TOPIC_ID if name is None else Code.UNKNOWN_TOPIC_OR_PARTITION
            results.append(DeleteTopicsResponse.DeletableTopicResult(name=name, topic_id=id, error_code=error))
            continue
        cluster.remove_topic(topic)
        results.append(DeleteTopicsResponse.DeletableTopicResult(name=topic.name, topic_id=topic.id))
    return DeleteTopicsResponse(responses=results)


def find_coordinator(broker: Broker, header: RequestHeader, request: FindCoordinatorRequest) -> FindCoordinatorResponse:
    keys = request.coordinator_keys if header.api_version >= 4 else [request.key]
    found = []
    for key in keys:
        if request.key_type not in (_GROUP, _TRANSACTION):
            found.append(
                FindCoordinatorResponse.Coordinator(
                    key=key,
                    node_id=-1,
                    port=-1,
                    error_code=Code.INVALID_REQUEST,
                    error_message="this cluster has coordinators of groups and transactions only",
                )
            )
            continue
        home = broker.cluster.home(key)
        host, port = home.advertised
        found.append(FindCoordinatorResponse.Coordinator(key=key, node_id=home.id, host=host, port=port))
    if header.api_version >= 4:
        return FindCoordinatorResponse(coordinators=found)
    (one,) = found
    return FindCoordinatorResponse(
        error_code=one.error_code,
        error_message=one.error_message,
        node_id=one.node_id,
        host=one.host,
        port=one.port,
    )


def describe_cluster(broker: Broker, header: RequestHeader, request: DescribeClusterRequest) -> DescribeClusterResponse:
    cluster = broker.cluster
    return DescribeClusterResponse(
        cluster_id=cluster.id,
        controller_id=cluster.alive()[0].id,
        brokers=[
            DescribeClusterResponse.DescribeClusterBroker(
                broker_id=other.id, host=other.advertised[0], port=other.advertised[1], rack=other.rack
            )
            for other in cluster.alive()
        ],
    )
