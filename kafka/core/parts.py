"""What a client is made of beside the core: a part for each path (produce, fetch, a membership); and what parts use."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from kafka.core.backoff import Random
from kafka.core.cluster.calls import Calls
from kafka.core.cluster.coordinators import Coordinators
from kafka.core.cluster.metadata import Metadata
from kafka.core.cluster.snapshot import Snapshot
from kafka.core.config import Config
from kafka.core.events import Listeners
from kafka.core.net.brokers import Brokers
from kafka.core.net.lanes import Lane
from kafka.core.net.nodes import Nodes
from kafka.core.timers import Timers
from kafka.errors import KafkaError


class Part(Protocol):
    """As the core calls it, on the driver's thread. It may call back into what it was given."""

    lane: Lane  # whose connections it is told of

    def on_room(self, node_id: int, now: float) -> None:
        """A broker takes another request: it got ready, answered, or throttles no more. See `Brokers.room`."""

    def on_node_down(self, node_id: int, error: KafkaError, now: float) -> None:
        """A connection to this broker ended or could not be made; its requests have all been called back already."""

    def on_metadata(self, snapshot: Snapshot, now: float) -> None:
        """There is a new snapshot."""

    def uses(self, topic: str) -> bool:
        """Whether this topic must stay known."""

    def tick(self, now: float) -> None:
        """Time has passed."""

    def next_deadline(self) -> float:
        """When `tick` is next due, in clock seconds; inf if never."""

    def close(self, error: KafkaError, now: float) -> None:
        """The client ends: fail what is under way with this error."""


class Services(NamedTuple):
    """What parts are given."""

    config: Config
    random: Random
    timers: Timers
    events: Listeners
    nodes: Nodes
    calls: Calls
    metadata: Metadata
    coordinators: Coordinators
    notice: Callable[[str, str], None]  # a level and a sentence for the log

    def brokers(self, lane: Lane) -> Brokers:
        """The brokers, over their connections for this lane."""
        return Brokers(self.nodes, lane, self.config.request_timeout)
