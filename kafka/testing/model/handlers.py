"""Which API is answered by what."""

from __future__ import annotations

from kafka.protocol import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    ApiVersionsRequest,
    ConsumerGroupHeartbeatRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DescribeClusterRequest,
    DescribeGroupsRequest,
    DescribeProducersRequest,
    EndTxnRequest,
    FetchRequest,
    FindCoordinatorRequest,
    HeartbeatRequest,
    InitProducerIdRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    ListOffsetsRequest,
    MetadataRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    OffsetForLeaderEpochRequest,
    ProduceRequest,
    SaslAuthenticateRequest,
    SaslHandshakeRequest,
    SyncGroupRequest,
    TxnOffsetCommitRequest,
)
from kafka.protocol._message import Request
from kafka.testing.model import admin, group_apis, offsets, sasl, transaction_apis
from kafka.testing.model.fetch import fetch
from kafka.testing.model.produce import produce
from kafka.testing.model.world import Handler

HANDLERS: dict[type[Request], Handler] = {
    ProduceRequest: produce,
    FetchRequest: fetch,
    ListOffsetsRequest: offsets.list_offsets,
    OffsetForLeaderEpochRequest: offsets.epoch_ends,
    DescribeProducersRequest: offsets.describe_producers,
    ApiVersionsRequest: admin.api_versions,
    MetadataRequest: admin.metadata,
    CreateTopicsRequest: admin.create_topics,
    DeleteTopicsRequest: admin.delete_topics,
    FindCoordinatorRequest: admin.find_coordinator,
    DescribeClusterRequest: admin.describe_cluster,
    InitProducerIdRequest: transaction_apis.init_producer_id,
    AddPartitionsToTxnRequest: transaction_apis.add_partitions,
    AddOffsetsToTxnRequest: transaction_apis.add_offsets,
    TxnOffsetCommitRequest: transaction_apis.commit_offsets,
    EndTxnRequest: transaction_apis.end,
    JoinGroupRequest: group_apis.join,
    SyncGroupRequest: group_apis.sync,
    HeartbeatRequest: group_apis.heartbeat,
    ConsumerGroupHeartbeatRequest: group_apis.consumer_heartbeat,
    LeaveGroupRequest: group_apis.leave,
    DescribeGroupsRequest: group_apis.describe,
    OffsetCommitRequest: group_apis.commit,
    OffsetFetchRequest: group_apis.fetch,
    SaslHandshakeRequest: sasl.refuse_handshake,
    SaslAuthenticateRequest: sasl.refuse_authentication,
}
# What the schemas have, but Kafka 4.3 keeps to itself unless unstable versions are enabled; what only brokers send.
HIGHEST: dict[type[Request], int] = {InitProducerIdRequest: 5, AddPartitionsToTxnRequest: 3}
