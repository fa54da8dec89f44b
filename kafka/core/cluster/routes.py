"""Which broker a request is for: said by intent, found again for every attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from kafka.errors import KafkaError
from kafka.protocol.codes import Code

if TYPE_CHECKING:
    from kafka.core.cluster.coordinators import Coordinators
    from kafka.core.cluster.metadata import Metadata
    from kafka.core.cluster.snapshot import Snapshot

# Kinds of coordinators, as FindCoordinator counts them.
GROUP, TRANSACTION, SHARE = 0, 1, 2

_COORDINATOR_MOVED = frozenset((Code.COORDINATOR_NOT_AVAILABLE, Code.NOT_COORDINATOR))
_LEADER_MOVED = frozenset(
    (
        Code.UNKNOWN_TOPIC_OR_PARTITION,
        Code.LEADER_NOT_AVAILABLE,
        Code.NOT_LEADER_OR_FOLLOWER,
        Code.FENCED_LEADER_EPOCH,
        Code.UNKNOWN_TOPIC_ID,
    )
)


class View(Protocol):
    """What routes look at, and whom they tell what is missing."""

    @property
    def snapshot(self) -> Snapshot: ...
    @property
    def metadata(self) -> Metadata: ...
    @property
    def coordinators(self) -> Coordinators: ...


class Route(Protocol):
    """To one broker, whichever that is at the time."""

    def broker_id(self, view: View) -> int:
        """Which it is, as far as is known; -1: that has to be found out first."""

    def seek(self, view: View, now: float) -> KafkaError | None:
        """See to it that it is known, or stays so. Not None: why it never will be."""

    def is_elsewhere(self, error: KafkaError) -> bool:
        """Whether this error, a broker's or that of a connection, says that it may be another one."""

    def forget(self, view: View, now: float) -> None:
        """What is known of it is not to be trusted any more."""


class AnyBroker(NamedTuple):
    """Any broker; with `advertised` only those that metadata names, not the addresses of bootstrap_servers.

    `controller`: for requests that change the cluster, which must not reach two brokers at once. Since KRaft any
    broker hands them on, and the controller that metadata names is a random live one; before, only that one carries
    them out. So it is asked first, and NOT_CONTROLLER means another one.
    """

    advertised: bool = False
    controller: bool = False

    def is_elsewhere(self, error: KafkaError) -> bool:
        return self.controller and error.errno == Code.NOT_CONTROLLER

    def forget(self, view: View, now: float) -> None:
        view.metadata.refresh(None, now)

    def __str__(self) -> str:
        return "to the controller" if self.controller else "to any broker"


class ToBroker(NamedTuple):
    id: int

    def broker_id(self, view: View) -> int:
        return self.id

    def seek(self, view: View, now: float) -> KafkaError | None:
        if self.id not in view.snapshot.brokers:
            view.metadata.refresh(None, now)
        return None

    def is_elsewhere(self, error: KafkaError) -> bool:
        return False

    def forget(self, view: View, now: float) -> None:
        pass

    def __str__(self) -> str:
        return f"to broker {self.id}"


class Leader(NamedTuple):
    topic: str
    partition: int

    def broker_id(self, view: View) -> int:
        return view.snapshot.leader(self.topic, self.partition)

    def seek(self, view: View, now: float) -> KafkaError | None:
        view.metadata.want(self.topic, now)
        topic = view.snapshot.topics.get(self.topic)
        return topic.error if topic is not None and topic.error is not None and not topic.error.retriable else None

    def is_elsewhere(self, error: KafkaError) -> bool:
        return error.errno is None or error.errno in _LEADER_MOVED

    def forget(self, view: View, now: float) -> None:
        view.metadata.refresh(self.topic, now)

    def __str__(self) -> str:
        return f"to the leader of {self.topic}[{self.partition}]"


class Coordinator(NamedTuple):
    kind: int
    key: str  # group, transactional id, or (share) "group:topic id:partition"

    def broker_id(self, view: View) -> int:
        return view.coordinators.get(self)

    def seek(self, view: View, now: float) -> KafkaError | None:
        view.coordinators.look_up(self, now)
        return None

    def is_elsewhere(self, error: KafkaError) -> bool:
        return error.errno is None or error.errno in _COORDINATOR_MOVED

    def forget(self, view: View, now: float) -> None:
        view.coordinators.forget(self)

    def __str__(self) -> str:
        return f"to the coordinator of {('group', 'transaction', 'share group')[self.kind]} {self.key!r}"


ANY = AnyBroker()
ADVERTISED = AnyBroker(advertised=True)
CONTROLLER = AnyBroker(advertised=True, controller=True)
