"""Transaction coordinators for the simulator's brokers: both generations of the protocol, as Apache Kafka 4 has them.

    transactions = SimTransactions(cluster, version=2)  # the finalized transaction.version; 1: the older protocol
    transactions.move("my-id")  # another broker coordinates it from now on, and is loading first

What coordinators know survives them, as it does in a replicated log. A transaction ends in two steps: it is prepared,
which is answered, and markers are written into its partitions a little later; until then the coordinator refuses with
CONCURRENT_TRANSACTIONS. `read_committed` reads a partition as a consumer with that isolation level does.
"""

from __future__ import annotations

import struct
from collections import Counter
from functools import partial
from typing import Any

from kafka.protocol import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    ApiVersionsRequest,
    ApiVersionsResponse,
    EndTxnRequest,
    EndTxnResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    ProduceRequest,
    ProduceResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)
from kafka.records import RecordBatchBuilder, read_batches
from kafka.testing.sim_broker import SimBroker, SimCluster
from kafka.testing.sim_log import Batch, SimPartition

Place = tuple[str, int]

UNKNOWN_TOPIC, LOADING, NOT_COORDINATOR, NOT_ENOUGH_REPLICAS = 3, 14, 16, 19
ILLEGAL_GENERATION, UNKNOWN_MEMBER, INVALID_EPOCH, INVALID_STATE, INVALID_MAPPING = 22, 25, 47, 48, 49
CONCURRENT, NOT_ATTEMPTED, FENCED, ABORTABLE = 51, 55, 90, 120
LAST_EPOCH = 32766  # that a client ever has; the one after it is for the coordinator's own markers

EMPTY, ONGOING = "Empty", "Ongoing"
PREPARE_COMMIT, PREPARE_ABORT = "PrepareCommit", "PrepareAbort"
COMPLETE_COMMIT, COMPLETE_ABORT = "CompleteCommit", "CompleteAbort"
_PREPARED = (PREPARE_COMMIT, PREPARE_ABORT)

# A v2 batch's producer id, epoch and attributes.
_ATTRIBUTES = struct.Struct(">h")
_PRODUCER = struct.Struct(">qh")
_ATTRIBUTES_AT, _PRODUCER_AT = 21, 43
_TRANSACTIONAL = 0x10


class Transaction:
    """What the coordinator knows of one transactional id."""

    def __init__(self, transactional_id: str, producer_id: int) -> None:
        self.transactional_id = transactional_id
        self.producer_id = producer_id
        self.next_producer_id = -1  # once the present one has used up its epochs
        self.last_producer_id = -1
        self.epoch = -1
        self.last_epoch = -1  # that the epoch may have been raised from without the client knowing
        self.timeout = 60.0
        self.state = EMPTY
        self.serial = 0  # counts transactions
        self.partitions: set[Place] = set()
        self.groups: set[str] = set()
        self.offsets: dict[tuple[str, str, int], int] = {}  # (group, topic, partition) -> offset, pending

    @property
    def is_exhausted(self) -> bool:
        return self.epoch >= LAST_EPOCH


class SimTransactions:
    def __init__(self, cluster: SimCluster, version: int = 2) -> None:
        self.cluster = cluster
        self.simulation = cluster.simulation
        self.version = version
        self.transactions: dict[str, Transaction] = {}
        self.shifts: Counter[str] = Counter()  # how often a coordinator was moved
        self._homes: dict[str, int] = {}  # where each was last seen
        self.loading: dict[str, float] = {}  # until when
        self.load_time = 0.2
        self.marker_delay = (0.001, 0.02)
        self.committed_offsets: dict[tuple[str, str, int], int] = {}
        self.members: dict[str, tuple[str, int]] = {}  # group -> (member id, generation), where it is to be checked
        self.counts: Counter[str] = Counter()  # what happened how often
        self._open: set[tuple[Place, int, int]] = set()  # partitions whose log has an open transaction of (id, epoch)
        self._next_producer_id = 5000
        self._produce = cluster.brokers[0].handlers[ProduceRequest.API_KEY]
        self._api_versions = cluster.brokers[0].handlers[ApiVersionsRequest.API_KEY]
        handlers: dict[Any, Any] = {
            ApiVersionsRequest: self._answer_api_versions,
            FindCoordinatorRequest: self._find_coordinator,
            InitProducerIdRequest: self._init_producer_id,
            AddPartitionsToTxnRequest: self._add_partitions,
            AddOffsetsToTxnRequest: self._add_offsets,
            EndTxnRequest: self._end_txn,
            TxnOffsetCommitRequest: self._offset_commit,
            ProduceRequest: self._answer_produce,
        }
        for broker in cluster.brokers:
            for request, handler in handlers.items():
                broker.handlers[request.API_KEY] = handler
                broker.versions.setdefault(request.API_KEY, request.VERSIONS)

    # -- who coordinates -----------------------------------------------------------------------------------------------

    def home(self, key: str) -> SimBroker:
        """The broker that coordinates this transactional id or group; where it is down, another one takes over."""
        brokers = self.cluster.brokers
        home = (sum(key.encode()) + self.shifts[key] + self.cluster.coordinator_shift) % len(brokers)
        while not brokers[home].is_up:
            home = (home + 1) % len(brokers)
        if self._homes.setdefault(key, home) != home:
            self._homes[key] = home
            self.loading[key] = self.simulation.now + self.load_time
            self.counts["coordinator moved"] += 1
        return brokers[home]

    def move(self, key: str) -> None:
        self.home(key)
        self.shifts[key] += 1

    def _not_here(self, broker: SimBroker, key: str) -> int:
        if self.home(key) is not broker:
            return self._count(NOT_COORDINATOR)
        injected = self.cluster.injected_error(InitProducerIdRequest.API_KEY)
        if injected:
            return self._count(injected)
        return self._count(LOADING) if self.loading.get(key, 0.0) > self.simulation.now else 0

    def _count(self, code: int) -> int:
        self.counts[f"error {code}"] += 1
        return code

    # -- a transaction's steps -----------------------------------------------------------------------------------------

    def _check(self, transactional_id: str, producer_id: int, epoch: int) -> tuple[int, Transaction | None]:
        """Whether the coordinator takes something into this transaction."""
        txn = self.transactions.get(transactional_id)
        if txn is not None and txn.state in _PREPARED:
            return CONCURRENT, None  # before all else: the producer may have its next id already
        if txn is None or txn.producer_id != producer_id:
            return INVALID_MAPPING, None
        return (FENCED, None) if txn.epoch != epoch else (0, txn)

    def _enter(self, txn: Transaction) -> None:
        """Something becomes part of the transaction; with the first it begins."""
        if txn.state != ONGOING:
            txn.state = ONGOING
            txn.serial += 1
            self.simulation.after(txn.timeout, partial(self._time_out, txn, txn.serial))

    def _time_out(self, txn: Transaction, serial: int) -> None:
        if txn.serial == serial and txn.state == ONGOING:
            self.counts["timed out"] += 1
            self._fence(txn)

    def _fence(self, txn: Transaction) -> None:
        txn.epoch += 1
        txn.last_epoch = -1
        self._prepare(txn, False)

    def _prepare(self, txn: Transaction, committed: bool) -> None:
        txn.state = PREPARE_COMMIT if committed else PREPARE_ABORT
        self.counts["committed" if committed else "aborted"] += 1
        self.simulation.after(
            self.simulation.random.uniform(*self.marker_delay), partial(self._complete, txn, committed)
        )

    def _complete(self, txn: Transaction, committed: bool) -> None:
        """Writes the markers; as long as a leader is away nothing is complete."""
        places = [self.cluster.partition_of(b"", *place) for place in sorted(txn.partitions)]
        led = [partition for partition in places if partition is not None]  # others' topics were deleted
        if not all(self.cluster.brokers[partition.leader].is_up for partition in led):
            self.simulation.after(0.05, partial(self._complete, txn, committed))
            return
        self._open = {entry for entry in self._open if entry[1] != txn.producer_id}
        for partition in led:
            append_marker(partition, txn.producer_id, txn.epoch, committed)
        if committed:
            self.committed_offsets.update(txn.offsets)
        txn.partitions.clear()
        txn.groups.clear()
        txn.offsets.clear()
        if txn.next_producer_id >= 0:
            txn.last_producer_id, txn.producer_id, txn.epoch = txn.producer_id, txn.next_producer_id, 0
            txn.next_producer_id = -1
        txn.state = COMPLETE_COMMIT if committed else COMPLETE_ABORT

    def _new_producer_id(self) -> int:
        self._next_producer_id += 1
        return self._next_producer_id

    # -- what brokers answer -------------------------------------------------------------------------------------------

    def _answer_api_versions(self, broker: SimBroker, header: Any, request: Any) -> Any:
        response = self._api_versions(broker, header, request)
        response.finalized_features_epoch = 1
        response.finalized_features = [
            ApiVersionsResponse.FinalizedFeatureKey(
                name="transaction.version", max_version_level=self.version, min_version_level=self.version
            )
        ]
        return response

    def _find_coordinator(self, broker: SimBroker, header: Any, request: Any) -> Any:
        if header.api_version < 4:
            home = self.home(request.key)
            return FindCoordinatorResponse(node_id=home.id, host=home.advertised[0], port=home.advertised[1])
        homes = [(key, self.home(key)) for key in request.coordinator_keys]
        return FindCoordinatorResponse(
            coordinators=[
                FindCoordinatorResponse.Coordinator(
                    key=key, node_id=home.id, host=home.advertised[0], port=home.advertised[1]
                )
                for key, home in homes
            ]
        )

    def _init_producer_id(self, broker: SimBroker, header: Any, request: Any) -> Any:
        if request.transactional_id is None:
            return InitProducerIdResponse(producer_id=self._new_producer_id(), producer_epoch=0)
        code = self._not_here(broker, request.transactional_id)
        txn = self.transactions.get(request.transactional_id)
        if not code:
            if txn is None:
                txn = Transaction(request.transactional_id, self._new_producer_id())
                self.transactions[request.transactional_id] = txn
            txn.timeout = request.transaction_timeout_ms / 1000
            code = self._init(txn, request.producer_id, request.producer_epoch)
        if code:
            code = self._count(INVALID_EPOCH if code == FENCED and header.api_version < 4 else code)
            return InitProducerIdResponse(error_code=code, producer_id=-1, producer_epoch=-1)
        assert txn is not None
        return InitProducerIdResponse(producer_id=txn.producer_id, producer_epoch=txn.epoch)

    def _init(self, txn: Transaction, producer_id: int, epoch: int) -> int:
        is_first = producer_id < 0  # a producer that has no id yet: it takes over from whoever has one
        may_be_retry = producer_id == txn.last_producer_id and epoch >= LAST_EPOCH
        if not is_first and txn.epoch >= 0 and producer_id != txn.producer_id and not may_be_retry:
            return FENCED
        if txn.state in _PREPARED:
            return CONCURRENT
        if txn.state == ONGOING:
            self.counts["fenced while open"] += 1
            self._fence(txn)
            return CONCURRENT
        if txn.is_exhausted and (is_first or epoch == txn.epoch):
            txn.last_producer_id, txn.producer_id = txn.producer_id, self._new_producer_id()
            txn.last_epoch, txn.epoch = -1 if is_first else txn.epoch, 0
            self.counts["epochs used up"] += 1
        elif is_first:
            txn.epoch, txn.last_epoch = txn.epoch + 1, -1
        elif txn.epoch < 0 or epoch == txn.epoch:
            txn.epoch, txn.last_epoch = txn.epoch + 1, txn.epoch
            self.counts["epoch renewed"] += 1
        elif epoch != txn.last_epoch:
            return FENCED
        txn.state = EMPTY
        return 0

    def _add_partitions(self, broker: SimBroker, header: Any, request: Any) -> Any:
        places = [(t.name, index) for t in request.v3_and_below_topics for index in t.partitions]
        codes = dict.fromkeys(places, self._not_here(broker, request.v3_and_below_transactional_id))
        if not any(codes.values()):
            unknown = {place for place in places if self.cluster.partition_of(b"", *place) is None}
            code, txn = self._check(
                request.v3_and_below_transactional_id,
                request.v3_and_below_producer_id,
                request.v3_and_below_producer_epoch,
            )
            if unknown:
                codes = {place: UNKNOWN_TOPIC if place in unknown else NOT_ATTEMPTED for place in places}
            elif txn is None:
                codes = dict.fromkeys(places, self._count(code))
            else:
                self._enter(txn)
                txn.partitions.update(places)
                self.counts["partitions added"] += len(places)
        by_topic: dict[str, list[Any]] = {}
        for (name, index), code in codes.items():
            by_topic.setdefault(name, []).append(
                AddPartitionsToTxnResponse.AddPartitionsToTxnPartitionResult(
                    partition_index=index, partition_error_code=code
                )
            )
        return AddPartitionsToTxnResponse(
            results_by_topic_v3_and_below=[
                AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult(name=name, results_by_partition=results)
                for name, results in by_topic.items()
            ]
        )

    def _add_offsets(self, broker: SimBroker, header: Any, request: Any) -> Any:
        code = self._not_here(broker, request.transactional_id)
        if not code:
            code, txn = self._check(request.transactional_id, request.producer_id, request.producer_epoch)
            if txn is not None:
                self._enter(txn)
                txn.groups.add(request.group_id)
        return AddOffsetsToTxnResponse(error_code=self._count(code) if code else 0)

    def _offset_commit(self, broker: SimBroker, header: Any, request: Any) -> Any:
        code = self._not_here(broker, request.group_id)
        if not code:
            code, txn = self._check(request.transactional_id, request.producer_id, request.producer_epoch)
            member, generation = self.members.get(request.group_id, (request.member_id, request.generation_id))
            if txn is None:
                code = INVALID_EPOCH if code == FENCED else code
            elif request.member_id and request.member_id != member:
                code = UNKNOWN_MEMBER
            elif request.generation_id >= 0 and request.generation_id != generation:
                code = ILLEGAL_GENERATION
            elif header.api_version < 5 and request.group_id not in txn.groups:
                code = INVALID_STATE
            else:
                self._enter(txn)
                txn.groups.add(request.group_id)
                for topic in request.topics:
                    for partition in topic.partitions:
                        place = (request.group_id, topic.name, partition.partition_index)
                        txn.offsets[place] = partition.committed_offset
        partition_class = TxnOffsetCommitResponse.TxnOffsetCommitResponsePartition
        return TxnOffsetCommitResponse(
            topics=[
                TxnOffsetCommitResponse.TxnOffsetCommitResponseTopic(
                    name=topic.name,
                    partitions=[
                        partition_class(partition_index=partition.partition_index, error_code=code)
                        for partition in topic.partitions
                    ],
                )
                for topic in request.topics
            ]
        )

    def _end_txn(self, broker: SimBroker, header: Any, request: Any) -> Any:
        code, txn = self._not_here(broker, request.transactional_id), None
        if not code:
            txn = self.transactions.get(request.transactional_id)
            if txn is None:
                code = INVALID_MAPPING
            elif header.api_version >= 5:
                code = self._end_v2(txn, request.producer_id, request.producer_epoch, request.committed)
            else:
                code = self._end_v1(txn, request.producer_id, request.producer_epoch, request.committed)
        if code:
            return EndTxnResponse(error_code=self._count(code))
        if header.api_version < 5:
            return EndTxnResponse()
        assert txn is not None
        if txn.next_producer_id >= 0:
            return EndTxnResponse(producer_id=txn.next_producer_id, producer_epoch=0)
        return EndTxnResponse(producer_id=txn.producer_id, producer_epoch=txn.epoch)

    def _end_v1(self, txn: Transaction, producer_id: int, epoch: int, committed: bool) -> int:
        if producer_id != txn.producer_id:
            return INVALID_MAPPING
        if epoch != txn.epoch:
            return FENCED
        if txn.state == ONGOING:
            self._prepare(txn, committed)
            return 0
        if txn.state == (COMPLETE_COMMIT if committed else COMPLETE_ABORT):
            self.counts["ended again"] += 1
            return 0
        return CONCURRENT if txn.state == (PREPARE_COMMIT if committed else PREPARE_ABORT) else INVALID_STATE

    def _end_v2(self, txn: Transaction, producer_id: int, epoch: int, committed: bool) -> int:
        raised = producer_id == txn.producer_id and txn.epoch == epoch + 1
        rotated = producer_id == txn.last_producer_id and epoch == LAST_EPOCH and txn.epoch == 0
        is_retry = raised or (rotated and txn.state not in (ONGOING, EMPTY))
        if producer_id != txn.producer_id and not is_retry:
            return INVALID_MAPPING
        prepared, complete = (PREPARE_COMMIT, COMPLETE_COMMIT) if committed else (PREPARE_ABORT, COMPLETE_ABORT)
        if is_retry and txn.state in (*_PREPARED, COMPLETE_COMMIT, COMPLETE_ABORT):
            self.counts["ended again"] += txn.state == complete
            return CONCURRENT if txn.state == prepared else 0 if txn.state == complete else INVALID_STATE
        if txn.state in _PREPARED or epoch != txn.epoch:
            return FENCED
        if txn.state != ONGOING and committed:
            return INVALID_STATE
        if txn.is_exhausted:
            txn.next_producer_id = self._new_producer_id()
            self.counts["epochs used up"] += 1
        txn.epoch, txn.last_epoch = txn.epoch + 1, txn.epoch
        self._prepare(txn, committed)
        return 0

    # -- records -------------------------------------------------------------------------------------------------------

    def _answer_produce(self, broker: SimBroker, header: Any, request: Any) -> Any:
        """The broker's own answer, but for what the coordinator does not let into the transaction."""
        refused: dict[tuple[Any, int], int] = {}
        for topic in request.topic_data:
            allowed = []
            for data in topic.partition_data:
                name = topic.name or next(n for n, id in self.cluster.topic_ids.items() if id == topic.topic_id)
                code = self._admit(
                    header.api_version, request.transactional_id, (name, data.index), bytes(data.records)
                )
                if code:
                    refused[topic.topic_id if header.api_version >= 13 else topic.name, data.index] = self._count(code)
                else:
                    allowed.append(data)
            topic.partition_data = allowed
        response = self._produce(broker, header, request)
        for topic in response.responses if refused and response is not None else ():
            key = topic.topic_id if header.api_version >= 13 else topic.name
            topic.partition_responses = [
                *topic.partition_responses,
                *(
                    ProduceResponse.PartitionProduceResponse(index=index, error_code=code, base_offset=-1)
                    for (where, index), code in refused.items()
                    if where == key
                ),
            ]
        return response

    def _admit(self, version: int, transactional_id: str | None, place: Place, batch: bytes) -> int:
        """Under the newer protocol this is what adds a partition; under the older one it must have been added."""
        if len(batch) < 61 or not _ATTRIBUTES.unpack_from(batch, _ATTRIBUTES_AT)[0] & _TRANSACTIONAL:
            return 0
        assert transactional_id is not None, "a transactional batch in a request without transactional id"
        partition = self.cluster.partition_of(b"", *place)
        if partition is None or not self.cluster.brokers[partition.leader].is_up:
            return 0  # the broker will say so itself
        producer_id, epoch = _PRODUCER.unpack_from(batch, _PRODUCER_AT)
        if (place, producer_id, epoch) in self._open:
            return 0  # the leader's own log says enough
        if self.loading.get(transactional_id, 0.0) > self.simulation.now:
            return CONCURRENT if version >= 12 else NOT_ENOUGH_REPLICAS
        code, txn = self._check(transactional_id, producer_id, epoch)
        if txn is None:
            if code == CONCURRENT and version < 12:
                return NOT_ENOUGH_REPLICAS
            return INVALID_EPOCH if code == FENCED else code
        if place not in txn.partitions or txn.state != ONGOING:
            if version < 12:
                return ABORTABLE if version >= 11 else INVALID_STATE
            self._enter(txn)
            txn.partitions.add(place)
        self._open.add((place, producer_id, epoch))
        return 0


def append_marker(partition: SimPartition, producer_id: int, epoch: int, committed: bool) -> None:
    """The control batch that ends a transaction in one partition; batches of older epochs are refused from then on."""
    builder = RecordBatchBuilder(transactional=True, control=True, producer_id=producer_id, producer_epoch=epoch)
    builder.append(0, struct.pack(">hh", 0, 1 if committed else 0), struct.pack(">hi", 0, 0))
    partition.log.append(Batch(partition.end, 1, builder.build(partition.end)))
    partition.end = partition.committed = partition.end + 1
    known = partition.producers.get(producer_id)
    if known is not None:
        known.raise_epoch(epoch)


def read_committed(partition: SimPartition) -> list[tuple[int, bytes | None]]:
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
            pending.setdefault(batch.producer_id, []).extend((base + r.offset, r.value) for r in records)
            open_since.setdefault(batch.producer_id, base)
        else:
            found += [(base + record.offset, record.value) for record in records]
    last_stable = min(open_since.values(), default=partition.end)
    return sorted((offset, value) for offset, value in found if offset < last_stable)
