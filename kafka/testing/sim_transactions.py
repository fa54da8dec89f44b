"""Transactions in the simulator: the model's coordinators, which take their time and move.

    transactions = SimTransactions(cluster, version=2)  # the finalized transaction.version; 1: the older protocol
    cluster.move_coordinator("my-id")  # another broker coordinates it from now on, and is loading first

`read_committed` reads a partition as a consumer with that isolation level does.
"""

from __future__ import annotations

import struct

from kafka.protocol import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    TxnOffsetCommitRequest,
)
from kafka.protocol.codes import Code
from kafka.records import read_batches
from kafka.testing.model.cluster import Partition
from kafka.testing.model.groups import Place
from kafka.testing.model.transactions import LAST_EPOCH, Transactions
from kafka.testing.sim_broker import SimCluster

__all__ = ["LAST_EPOCH", "SimTransactions", "read_committed"]


class SimTransactions(Transactions):
    """From now on the cluster's brokers have transactions, and say so."""

    cluster: SimCluster

    def __init__(self, cluster: SimCluster, version: int = 2) -> None:
        super().__init__(cluster, version)
        self.marker_delay = (0.001, 0.02)
        cluster.transactions = self
        cluster.offer(AddPartitionsToTxnRequest, AddOffsetsToTxnRequest, EndTxnRequest, TxnOffsetCommitRequest)

    def admit(self, version: int, transactional_id: str | None, place: Place, producer_id: int, epoch: int) -> int:
        assert transactional_id is not None, "a transactional batch in a request without transactional id"
        return super().admit(version, transactional_id, place, producer_id, epoch)

    def _admit(self, version: int, transactional_id: str, place: Place, producer_id: int, epoch: int) -> int:
        if self.cluster.is_loading(transactional_id):
            return Code.CONCURRENT_TRANSACTIONS if version >= 12 else Code.NOT_ENOUGH_REPLICAS
        return super()._admit(version, transactional_id, place, producer_id, epoch)


def read_committed(partition: Partition) -> list[tuple[int, bytes | None]]:
    """(offset, value) of every record that a read_committed consumer gets: nothing aborted, nothing still open."""
    found: list[tuple[int, bytes | None]] = []
    pending: dict[int, list[tuple[int, bytes | None]]] = {}
    open_since: dict[int, int] = {}
    for base, _, data in partition.log:
        (result,) = read_batches(data)
        batch = result.unwrap()
        records = batch.records().unwrap()
        if batch.is_control:
            ended = pending.pop(batch.producer_id, [])
            open_since.pop(batch.producer_id, None)
            if struct.unpack(">hh", records[0].key or b"")[1] == 1:
                found += ended
        elif batch.is_transactional:
            pending.setdefault(batch.producer_id, []).extend((record.offset, record.value) for record in records)
            open_since.setdefault(batch.producer_id, base)
        else:
            found += [(record.offset, record.value) for record in records]
    last_stable = min(open_since.values(), default=partition.end)
    return sorted((offset, value) for offset, value in found if offset < last_stable)
