"""A broker: who it is, which APIs it answers, and what it takes part in. Where nothing goes wrong it is complete; the
simulator's overrides what may: who leads, what it believes of the others, when a batch is on all replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kafka.protocol.codes import Code
from kafka.testing.model.fetch_sessions import FetchSessions
from kafka.testing.model.handlers import HANDLERS, HIGHEST
from kafka.testing.model.producers import Appended, Producers, header_of, is_transactional

if TYPE_CHECKING:
    from kafka.testing.model.cluster import Cluster, Partition, Topic
    from kafka.testing.model.produce import Pending
    from kafka.testing.model.sasl import Sasl
    from kafka.testing.model.world import Handler


class Broker:
    """Its `handlers`, and `versions` (lowest, highest), by API key may be changed."""

    cluster: Cluster

    def __init__(self, cluster: Cluster, id: int, host: str, port: int) -> None:
        self.cluster = cluster
        self.id = id
        self.host, self.port = host, port
        self.advertised = (host, port)
        self.rack: str | None = None
        self.is_up = True
        self.fetch_sessions = FetchSessions()
        self.own_sasl: Sasl | None = None  # how clients authenticate with it, where that is not as with the others
        self.handlers: dict[int, Handler] = {request.API_KEY: handler for request, handler in HANDLERS.items()}
        self.versions: dict[int, tuple[int, int]] = {
            request.API_KEY: (request.VERSIONS[0], HIGHEST.get(request, request.VERSIONS[1])) for request in HANDLERS
        }

    # -- what it believes ----------------------------------------------------------------------------------------------

    @property
    def topics(self) -> Mapping[str, Topic]:
        return self.cluster.topics

    def believes_up(self, other: Broker) -> bool:
        return other.is_up

    def leads(self, partition: Partition) -> bool:
        return partition.leader == self.id

    def refuses(self, partition: Partition, epoch: int) -> int:
        """The error for a client that takes it for the leader in that epoch (-1: does not say); 0: it is."""
        if not self.leads(partition):
            return Code.NOT_LEADER_OR_FOLLOWER
        if epoch in (-1, partition.epoch):
            return 0
        return Code.FENCED_LEADER_EPOCH if epoch < partition.epoch else Code.UNKNOWN_LEADER_EPOCH

    def leader_of(self, topic: str, index: int) -> tuple[int, int] | None:
        """(leader, epoch), which a broker that does not lead tells (KIP-951); None: it does not say."""
        known = self.topics.get(topic)
        partition = None if known is None else known.get(index)
        return None if partition is None else (partition.leader, partition.epoch)

    # -- records -------------------------------------------------------------------------------------------------------

    def append(
        self,
        place: tuple[str, int],
        partition: Partition,
        batch: memoryview | None,
        version: int,
        transactional_id: str | None,
    ) -> Appended:
        """What a Produce request of that version has for one partition."""
        if not self.leads(partition):
            return Appended(Code.NOT_LEADER_OR_FOLLOWER)
        if batch is not None and is_transactional(batch):
            header = header_of(batch)
            code = self.cluster.transactions.admit(version, transactional_id, place, header.producer_id, header.epoch)
            if code:
                return Appended(code)
        return partition.append(batch, version)

    def replication(self, pending: Sequence[Pending], timeout: float) -> float:
        """Seconds until the batches are on all replicas, or will not be in time."""
        return 0.0

    def replicated(self, entry: Pending) -> int:
        """The error that is answered when that time is over; 0: the batch is on all of them."""
        return 0

    def producers(self, partition: Partition) -> Producers:
        """What its copy of the log tells of them, be it the leader or not."""
        return partition.log.producers
