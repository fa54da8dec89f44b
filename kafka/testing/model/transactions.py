"""The coordinators of transactions: both generations of the protocol, as Apache Kafka 4 has them.

What coordinators know survives them, as it does in a replicated log. A transaction ends in two steps: it is prepared,
which is answered, and markers are written into its partitions, at once or `marker_delay` later; until then the
coordinator refuses with CONCURRENT_TRANSACTIONS. Methods give error codes; `transaction_apis` makes answers of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from kafka.protocol.codes import Code
from kafka.testing.model.groups import Committed, Place

if TYPE_CHECKING:
    from kafka.testing.model.broker import Broker
    from kafka.testing.model.cluster import Cluster, Partition


LAST_EPOCH = 32766  # that a client ever has; the one after it is for the coordinator's own markers

EMPTY, ONGOING = "Empty", "Ongoing"
PREPARE_COMMIT, PREPARE_ABORT = "PrepareCommit", "PrepareAbort"
COMPLETE_COMMIT, COMPLETE_ABORT = "CompleteCommit", "CompleteAbort"
_PREPARED = (PREPARE_COMMIT, PREPARE_ABORT)


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


class Transactions:
    """`version` is the finalized transaction.version: 2 is the newer protocol, 1 the older one, 0 is not spoken of."""

    def __init__(self, cluster: Cluster, version: int = 2) -> None:
        self.cluster = cluster
        self.version = version
        self.transactions: dict[str, Transaction] = {}
        self.marker_delay = (0.0, 0.0)  # seconds
        self.committed_offsets: dict[tuple[str, str, int], int] = {}
        self.members: dict[str, tuple[str, int]] = {}  # group -> (member id, generation), where it is to be checked
        self.counts: Counter[str] = Counter()  # what happened how often

    def forget(self) -> None:
        """What coordinators knew is lost."""
        self.transactions.clear()
        self.committed_offsets.clear()

    def resume(self) -> None:
        """The world begins again: what is prepared is completed, and what is open has its whole time."""
        for txn in self.transactions.values():
            if txn.state == ONGOING:
                self.cluster.world.after(txn.timeout, partial(self._time_out, txn, txn.serial))
            elif txn.state in _PREPARED:
                self._complete(txn, txn.state == PREPARE_COMMIT)

    def refusal(self, broker: Broker, key: str) -> int:
        """What a broker answers that does not coordinate this transactional id or group (now); 0: it does."""
        return self.count(self.cluster.refusal(broker, key))

    def undecided(self, group: str) -> set[Place]:
        """The partitions for which transactions that are under way have offsets of this group."""
        return {
            (topic, partition)
            for txn in self.transactions.values()
            for of, topic, partition in txn.offsets
            if of == group
        }

    def count(self, code: int) -> int:
        if code:
            self.counts[f"error {int(code)}"] += 1
        return code

    # -- producers -----------------------------------------------------------------------------------------------------

    def init(self, transactional_id: str, producer_id: int, epoch: int, timeout: float) -> tuple[int, Transaction]:
        txn = self.transactions.get(transactional_id)
        if txn is None:
            txn = self.transactions[transactional_id] = Transaction(transactional_id, self.cluster.new_producer_id())
        error = self._init(txn, producer_id, epoch)
        if error == 0:
            txn.timeout = timeout
        return error, txn

    def _init(self, txn: Transaction, producer_id: int, epoch: int) -> int:
        is_first = producer_id < 0  # a producer that has no id yet: it takes over from whoever has one
        may_be_retry = producer_id == txn.last_producer_id and epoch >= LAST_EPOCH
        if not is_first and txn.epoch >= 0 and producer_id != txn.producer_id and not may_be_retry:
            return Code.PRODUCER_FENCED
        if txn.state in _PREPARED:
            return Code.CONCURRENT_TRANSACTIONS
        if txn.state == ONGOING:
            self.counts["fenced while open"] += 1
            self._fence(txn)
            return Code.CONCURRENT_TRANSACTIONS
        if txn.is_exhausted and (is_first or epoch == txn.epoch):
            txn.last_producer_id, txn.producer_id = txn.producer_id, self.cluster.new_producer_id()
            txn.last_epoch, txn.epoch = -1 if is_first else txn.epoch, 0
            self.counts["epochs used up"] += 1
        elif is_first:
            txn.epoch, txn.last_epoch = txn.epoch + 1, -1
        elif txn.epoch < 0 or epoch == txn.epoch:
            txn.epoch, txn.last_epoch = txn.epoch + 1, txn.epoch
            self.counts["epoch renewed"] += 1
        elif epoch != txn.last_epoch:
            return Code.PRODUCER_FENCED
        txn.state = EMPTY
        return 0

    # -- what becomes part of a transaction ----------------------------------------------------------------------------

    def _check(self, transactional_id: str, producer_id: int, epoch: int) -> tuple[int, Transaction | None]:
        """Whether the coordinator takes something into this transaction."""
        txn = self.transactions.get(transactional_id)
        if txn is not None and txn.state in _PREPARED:
            return Code.CONCURRENT_TRANSACTIONS, None  # before all else: the producer may have its next id already
        if txn is None or txn.producer_id != producer_id:
            return Code.INVALID_PRODUCER_ID_MAPPING, None
        return (Code.PRODUCER_FENCED, None) if txn.epoch != epoch else (0, txn)

    def _enter(self, txn: Transaction) -> None:
        """Something becomes part of the transaction; with the first it begins."""
        if txn.state != ONGOING:
            txn.state = ONGOING
            txn.serial += 1
            self.cluster.world.after(txn.timeout, partial(self._time_out, txn, txn.serial))

    def add_partitions(
        self, transactional_id: str, producer_id: int, epoch: int, places: Iterable[Place]
    ) -> dict[Place, int]:
        """The error code for each; all or none are added."""
        places = list(places)
        unknown = {(topic, index) for topic, index in places if self._partition(topic, index) is None}
        if unknown:
            none = (Code.UNKNOWN_TOPIC_OR_PARTITION, Code.OPERATION_NOT_ATTEMPTED)
            return {place: none[place not in unknown] for place in places}
        code, txn = self._check(transactional_id, producer_id, epoch)
        if txn is None:
            return dict.fromkeys(places, self.count(code))
        self._enter(txn)
        txn.partitions.update(places)
        self.counts["partitions added"] += len(places)
        return dict.fromkeys(places, 0)

    def admit(self, version: int, transactional_id: str | None, place: Place, producer_id: int, epoch: int) -> int:
        """Whether a leader may append this. Under the newer protocol this is what adds a partition; under the older
        one, before version 12 of Produce, it must have been added."""
        if transactional_id is None:
            return Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        partition = self._partition(*place)
        if partition is not None and partition.log.producers.is_open(producer_id, epoch):
            return 0  # the leader's own log says enough
        return self.count(self._admit(version, transactional_id, place, producer_id, epoch))

    def _admit(self, version: int, transactional_id: str, place: Place, producer_id: int, epoch: int) -> int:
        code, txn = self._check(transactional_id, producer_id, epoch)
        if txn is None:
            if code == Code.CONCURRENT_TRANSACTIONS and version < 12:
                return Code.NOT_ENOUGH_REPLICAS
            return Code.INVALID_PRODUCER_EPOCH if code == Code.PRODUCER_FENCED else code
        if place not in txn.partitions or txn.state != ONGOING:
            if version < 12:
                return Code.TRANSACTION_ABORTABLE if version >= 11 else Code.INVALID_TXN_STATE
            self._enter(txn)
            txn.partitions.add(place)
        return 0

    def add_group(self, transactional_id: str, producer_id: int, epoch: int, group: str) -> int:
        code, txn = self._check(transactional_id, producer_id, epoch)
        if txn is not None:
            self._enter(txn)
            txn.groups.add(group)
        return self.count(code)

    def add_offsets(
        self,
        transactional_id: str,
        producer_id: int,
        epoch: int,
        group: str,
        member: tuple[str, int],
        offsets: Mapping[Place, int],
        *,
        adds_group: bool,
    ) -> int:
        """For the coordinator of the group. `member`: id and generation, "" and -1 for none. `adds_group`: under the
        newer protocol; under the older one it must have been added."""
        code, txn = self._check(transactional_id, producer_id, epoch)
        code_of_group = self._check_member(group, *member)
        if txn is None:
            return Code.INVALID_PRODUCER_EPOCH if code == Code.PRODUCER_FENCED else code
        if code_of_group:
            return code_of_group
        if not adds_group and group not in txn.groups:
            return Code.INVALID_TXN_STATE
        self._enter(txn)
        txn.groups.add(group)
        txn.offsets.update({(group, *place): offset for place, offset in offsets.items()})
        return 0

    def _check_member(self, group: str, id: str, generation: int) -> int:
        """What is wrong with who says that it is a member of the group; 0 for who does not say so, too."""
        members = self.cluster.groups.get(group).members
        known = self.members.get(group)
        if known is None and not members:
            return 0
        if id and (id not in members if known is None else id != known[0]):
            return Code.UNKNOWN_MEMBER_ID
        current = self.cluster.groups.get(group).generation if known is None else known[1]
        return Code.ILLEGAL_GENERATION if generation >= 0 and generation != current else 0

    # -- its end -------------------------------------------------------------------------------------------------------

    def end(self, transactional_id: str, producer_id: int, epoch: int, committed: bool, newer: bool) -> int:
        """`newer`: by the newer protocol, which raises the epoch."""
        txn = self.transactions.get(transactional_id)
        if txn is None:
            return self.count(Code.INVALID_PRODUCER_ID_MAPPING)
        end = self._end_v2 if newer else self._end_v1
        return self.count(end(txn, producer_id, epoch, committed))

    def _end_v1(self, txn: Transaction, producer_id: int, epoch: int, committed: bool) -> int:
        if producer_id != txn.producer_id:
            return Code.INVALID_PRODUCER_ID_MAPPING
        if epoch != txn.epoch:
            return Code.PRODUCER_FENCED
        if txn.state == ONGOING:
            self._prepare(txn, committed)
            return 0
        if txn.state == (COMPLETE_COMMIT if committed else COMPLETE_ABORT):
            self.counts["ended again"] += 1
            return 0
        if txn.state == (PREPARE_COMMIT if committed else PREPARE_ABORT):
            return Code.CONCURRENT_TRANSACTIONS
        return Code.INVALID_TXN_STATE

    def _end_v2(self, txn: Transaction, producer_id: int, epoch: int, committed: bool) -> int:
        raised = producer_id == txn.producer_id and txn.epoch == epoch + 1
        rotated = producer_id == txn.last_producer_id and epoch == LAST_EPOCH and txn.epoch == 0
        is_retry = raised or (rotated and txn.state not in (ONGOING, EMPTY))
        if producer_id != txn.producer_id and not is_retry:
            return Code.INVALID_PRODUCER_ID_MAPPING
        prepared, complete = (PREPARE_COMMIT, COMPLETE_COMMIT) if committed else (PREPARE_ABORT, COMPLETE_ABORT)
        if is_retry and txn.state in (*_PREPARED, COMPLETE_COMMIT, COMPLETE_ABORT):
            self.counts["ended again"] += txn.state == complete
            if txn.state == prepared:
                return Code.CONCURRENT_TRANSACTIONS
            return 0 if txn.state == complete else Code.INVALID_TXN_STATE
        if txn.state in _PREPARED or epoch != txn.epoch:
            return Code.PRODUCER_FENCED
        if txn.state != ONGOING and committed:
            return Code.INVALID_TXN_STATE
        if txn.is_exhausted:
            txn.next_producer_id = self.cluster.new_producer_id()
            self.counts["epochs used up"] += 1
        txn.epoch, txn.last_epoch = txn.epoch + 1, txn.epoch
        self._prepare(txn, committed)
        return 0

    def _time_out(self, txn: Transaction, serial: int) -> None:
        if txn.serial == serial and txn.state == ONGOING:
            self.counts["timed out"] += 1
            epoch = txn.epoch
            self._fence(txn)
            txn.last_epoch = epoch  # its producer may have the next one, unless another one has come (KIP-588)

    def _fence(self, txn: Transaction) -> None:
        txn.epoch += 1
        txn.last_epoch = -1
        self._prepare(txn, False)

    def _prepare(self, txn: Transaction, committed: bool) -> None:
        txn.state = PREPARE_COMMIT if committed else PREPARE_ABORT
        self.counts["committed" if committed else "aborted"] += 1
        delay = self.cluster.world.random.uniform(*self.marker_delay)
        if delay:
            self.cluster.world.after(delay, partial(self._complete, txn, committed))
        else:
            self._complete(txn, committed)

    def _complete(self, txn: Transaction, committed: bool) -> None:
        """Writes the markers; as long as a leader is away, or cannot write its own, nothing is complete."""
        for place in sorted(txn.partitions):
            partition = self._partition(*place)
            if partition is None:  # its topic was deleted
                txn.partitions.discard(place)
            elif self.cluster.broker(partition.leader).is_up:
                try:
                    partition.end_transaction(txn.producer_id, txn.epoch, committed)
                except OSError:
                    continue
                txn.partitions.discard(place)
        if txn.partitions:
            self.cluster.world.after(0.05, partial(self._complete, txn, committed))
            return
        if committed:
            self.committed_offsets.update(txn.offsets)
            for (group, topic, index), offset in txn.offsets.items():
                self.cluster.groups.store(group, {(topic, index): Committed(offset)})
        txn.groups.clear()
        txn.offsets.clear()
        if txn.next_producer_id >= 0:
            txn.last_producer_id, txn.producer_id, txn.epoch = txn.producer_id, txn.next_producer_id, 0
            txn.next_producer_id = -1
        txn.state = COMPLETE_COMMIT if committed else COMPLETE_ABORT

    def _partition(self, topic: str, index: int) -> Partition | None:
        known = self.cluster.topics.get(topic)
        return None if known is None else known.get(index)
