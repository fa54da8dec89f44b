"""What a simulated broker answers to everything but Produce."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka.protocol import (
    ApiVersionsResponse,
    DescribeProducersRequest,
    DescribeProducersResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    MetadataRequest,
    MetadataResponse,
)

if TYPE_CHECKING:
    from kafka.testing.sim_broker import SimBroker

UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, LOADING, UNKNOWN_TOPIC_ID, REBOOTSTRAP_REQUIRED = 3, 5, 14, 100, 129
NOT_LEADER, FENCED_EPOCH, UNKNOWN_EPOCH = 6, 74, 75
NO_ID = bytes(16)


def api_versions(broker: SimBroker, header: Any, request: Any) -> Any:
    return ApiVersionsResponse(
        api_keys=[
            ApiVersionsResponse.ApiVersion(api_key=key, min_version=low, max_version=high)
            for key, (low, high) in sorted(broker.versions.items())
        ]
    )


def metadata(broker: SimBroker, header: Any, request: Any) -> Any:
    cluster = broker.cluster
    if cluster.sends_back and header.api_version >= 13:
        cluster.sends_back = False
        cluster.answers[MetadataRequest.API_KEY, REBOOTSTRAP_REQUIRED] += 1
        return MetadataResponse(error_code=REBOOTSTRAP_REQUIRED)
    alive = cluster.alive()
    view = broker.stale or cluster.view()
    names = {id: name for name, id in view.ids.items()}
    wanted: list[tuple[str | None, bytes]] = [(name, NO_ID) for name in view.ids]
    if request.topics is not None:
        wanted = [(topic.name, topic.topic_id) for topic in request.topics]
    topics = []
    for name, id in wanted:
        if name is None:
            name = names.get(id)
        creates = cluster.auto_create and request.allow_auto_topic_creation
        if creates and name is not None and name not in view.ids and name not in cluster.topics:
            cluster.create_topic(name, cluster.auto_create)
            view = cluster.view()
        error = UNKNOWN_TOPIC if name is None or name not in view.ids else 0
        if name is None:
            error = UNKNOWN_TOPIC_ID
        error = error or cluster.injected_error(MetadataRequest.API_KEY)
        cluster.answers[MetadataRequest.API_KEY, error] += 1
        if error:
            topics.append(MetadataResponse.MetadataResponseTopic(error_code=error, name=name, topic_id=id))
            continue
        assert name is not None
        up = {b.id for b in alive}
        partitions = [
            MetadataResponse.MetadataResponsePartition(
                error_code=0 if leader in up or broker.stale else LEADER_NOT_AVAILABLE,
                partition_index=index,
                leader_id=leader if leader in up or broker.stale else -1,
                leader_epoch=epoch,
                replica_nodes=[b.id for b in cluster.brokers],
                isr_nodes=[b.id for b in alive],
            )
            for index, (leader, epoch) in enumerate(view.leaders[name])
        ]
        topics.append(MetadataResponse.MetadataResponseTopic(name=name, topic_id=view.ids[name], partitions=partitions))
    return MetadataResponse(
        brokers=[
            MetadataResponse.MetadataResponseBroker(
                node_id=b.id, host=b.advertised[0], port=b.advertised[1], rack=b.rack
            )
            for b in alive
        ],
        cluster_id="simulated",
        controller_id=alive[0].id,
        topics=topics,
    )


def init_producer_id(broker: SimBroker, header: Any, request: Any) -> Any:
    cluster = broker.cluster
    error = LOADING if cluster.simulation.now < broker.loading_until else 0
    error = error or cluster.injected_error(InitProducerIdRequest.API_KEY)
    cluster.answers[InitProducerIdRequest.API_KEY, error] += 1
    if error:
        return InitProducerIdResponse(error_code=error)
    cluster.next_producer_id += 1
    return InitProducerIdResponse(producer_id=cluster.next_producer_id, producer_epoch=cluster.first_epoch)


def describe_producers(broker: SimBroker, header: Any, request: Any) -> Any:
    """What this broker's copy of the log has of each producer, be it the leader or not.

    A leader says so of batches that are not on all replicas yet; a follower may not have them.
    """
    cluster = broker.cluster
    topics = []
    for topic in request.topics:
        partitions = []
        for index in topic.partition_indexes:
            partition = cluster.partition_of(b"", topic.name, index) if topic.name else None
            error = UNKNOWN_TOPIC if partition is None else 0
            error = error or cluster.injected_error(DescribeProducersRequest.API_KEY)
            cluster.answers[DescribeProducersRequest.API_KEY, error] += 1
            producers = []
            if partition is not None and not error:
                known = partition.producers
                if partition.leader != broker.id:
                    cluster.events["producers described by a follower"] += 1
                    known = partition.followed(cluster.random)
                producers = [
                    DescribeProducersResponse.ProducerState(
                        producer_id=pid, producer_epoch=state.epoch, last_sequence=state.last
                    )
                    for pid, state in known.items()
                ]
            partitions.append(
                DescribeProducersResponse.PartitionResponse(
                    partition_index=index, error_code=error, active_producers=producers
                )
            )
        topics.append(DescribeProducersResponse.TopicResponse(name=topic.name, partitions=partitions))
    return DescribeProducersResponse(topics=topics)


def list_offsets(broker: SimBroker, header: Any, request: Any) -> Any:
    """The log's end, as its leader in the epoch that is asked for."""
    cluster = broker.cluster
    topics = []
    for topic in request.topics:
        partitions = []
        for asked in topic.partitions:
            partition = cluster.partition_of(b"", topic.name, asked.partition_index) if topic.name else None
            if partition is None:
                error = UNKNOWN_TOPIC
            elif partition.leader != broker.id or cluster.simulation.now < partition.aware_at:
                error = NOT_LEADER
            elif asked.current_leader_epoch not in (-1, partition.epoch):
                error = FENCED_EPOCH if asked.current_leader_epoch < partition.epoch else UNKNOWN_EPOCH
            else:
                error = cluster.injected_error(ListOffsetsRequest.API_KEY)
            cluster.answers[ListOffsetsRequest.API_KEY, error] += 1
            partitions.append(
                ListOffsetsResponse.ListOffsetsPartitionResponse(
                    partition_index=asked.partition_index,
                    error_code=error,
                    offset=partition.committed if partition is not None and not error else -1,
                )
            )
        topics.append(ListOffsetsResponse.ListOffsetsTopicResponse(name=topic.name, partitions=partitions))
    return ListOffsetsResponse(topics=topics)


def find_coordinator(broker: SimBroker, header: Any, request: Any) -> Any:
    cluster = broker.cluster
    alive = cluster.alive()
    keys = request.coordinator_keys if header.api_version >= 4 else [request.key]
    error = cluster.injected_error(FindCoordinatorRequest.API_KEY)
    cluster.answers[FindCoordinatorRequest.API_KEY, error] += 1
    found = [alive[(sum(key.encode()) + cluster.coordinator_shift) % len(alive)] for key in keys]
    if header.api_version >= 4:
        return FindCoordinatorResponse(
            coordinators=[
                FindCoordinatorResponse.Coordinator(
                    key=key, error_code=error, node_id=b.id, host=b.advertised[0], port=b.advertised[1]
                )
                for key, b in zip(keys, found, strict=True)
            ]
        )
    b = found[0]
    return FindCoordinatorResponse(error_code=error, node_id=b.id, host=b.advertised[0], port=b.advertised[1])
