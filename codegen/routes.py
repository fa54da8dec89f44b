"""Which broker a request belongs to. Not in the schemas; taken from what Java's clients do."""

from __future__ import annotations

# Everything that is not named here goes to any broker.
_ROUTES = {
    # The leader of the partition.
    "leader": "Produce Fetch ListOffsets OffsetForLeaderEpoch DeleteRecords DescribeProducers ShareFetch "
              "ShareAcknowledge FetchSnapshot WriteTxnMarkers",
    # The coordinator of the group.
    "group": "OffsetCommit OffsetFetch JoinGroup Heartbeat LeaveGroup SyncGroup DescribeGroups DeleteGroups "
             "OffsetDelete TxnOffsetCommit ConsumerGroupHeartbeat ConsumerGroupDescribe ShareGroupHeartbeat "
             "ShareGroupDescribe StreamsGroupHeartbeat StreamsGroupDescribe DescribeShareGroupOffsets "
             "AlterShareGroupOffsets DeleteShareGroupOffsets InitializeShareGroupState ReadShareGroupState "
             "WriteShareGroupState DeleteShareGroupState ReadShareGroupStateSummary",
    # The coordinator of the transactional id.
    "transaction": "InitProducerId AddPartitionsToTxn AddOffsetsToTxn EndTxn DescribeTransactions",
    # Since KRaft any broker hands these on; before it the controller alone carries them out.
    "controller": "CreateTopics DeleteTopics CreatePartitions ElectLeaders AlterPartitionReassignments "
                  "ListPartitionReassignments AlterUserScramCredentials UpdateFeatures UnregisterBroker "
                  "AddRaftVoter RemoveRaftVoter UpdateRaftVoter DescribeQuorum AlterPartition BrokerRegistration "
                  "BrokerHeartbeat ControllerRegistration AllocateProducerIds AssignReplicasToDirs Envelope "
                  "Vote BeginQuorumEpoch EndQuorumEpoch",
    # The broker that it is about, or whose connection it is.
    "broker": "ApiVersions SaslHandshake SaslAuthenticate DescribeLogDirs AlterReplicaLogDirs ListGroups "
              "ListTransactions GetTelemetrySubscriptions PushTelemetry",
}
ROUTES = {name: route for route, names in _ROUTES.items() for name in names.split()}


def route(api: str) -> str:
    return ROUTES.get(api, "any")
