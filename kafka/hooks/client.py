"""What any client tells of: brokers and their connections, requests and answers, what is known of the cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from kafka.core.cluster.snapshot import Snapshot
    from kafka.core.net.node import Node


class Broker(NamedTuple):
    id: int  # negative: an address of bootstrap_servers
    host: str
    port: int

    def __str__(self) -> str:
        place = f"{self.host}:{self.port}"
        return f"broker {self.id} at {place}" if self.id >= 0 else place


class Connected(NamedTuple):
    """A broker has answered on a new connection; requests can flow."""

    broker: Broker
    seconds: float  # from opening the socket to the first answer


class Disconnected(NamedTuple):
    """A connection that was up has ended."""

    broker: Broker
    error: Exception | None  # None: it was idle, or this client closed it


class BrokerFailing(NamedTuple):
    """The first failure of a broker that was well, or had not been tried yet. It is tried again while it is needed."""

    broker: Broker
    error: Exception


class BrokerRecovered(NamedTuple):
    broker: Broker
    seconds: float  # how long it had been failing


class RequestSent(NamedTuple):
    """A request has been handed to the socket."""

    broker: Broker
    api: str  # "Produce", "Metadata", ...
    version: int
    bytes: int  # of its frame


class ResponseReceived(NamedTuple):
    """A request is over: answered, or known not to be."""

    broker: Broker
    api: str
    version: int
    bytes: int  # of its frame; 0 where no answer came
    seconds: float  # since the request was sent
    error: Exception | None  # why no answer came or it could not be read; what the answer itself says is not in here


class Throttled(NamedTuple):
    """A quota is exceeded: the broker asks this client to be quiet for a while, and it obeys."""

    broker: Broker
    seconds: float


class LeaderChanged(NamedTuple):
    topic: str
    partition: int
    old: int  # broker ids; -1: nobody leads it
    new: int
    epoch: int  # the new leader's; -1: unknown


class MetadataReceived(NamedTuple):
    """What is known of the cluster has changed or been confirmed."""

    cluster_id: str | None
    controller_id: int  # -1: unknown
    brokers: tuple[Broker, ...]
    topics: int  # how many are known


class ClientHooks:
    """The methods for these events."""

    def on_connect(self, event: Connected) -> None: ...

    def on_disconnect(self, event: Disconnected) -> None: ...

    def on_broker_failing(self, event: BrokerFailing) -> None: ...

    def on_broker_recovered(self, event: BrokerRecovered) -> None: ...

    def on_request(self, event: RequestSent) -> None: ...

    def on_response(self, event: ResponseReceived) -> None: ...

    def on_throttle(self, event: Throttled) -> None: ...

    def on_leader_changed(self, event: LeaderChanged) -> None: ...

    def on_metadata(self, event: MetadataReceived) -> None: ...


def _broker(node: Node) -> Broker:
    return Broker(node.id, node.host, node.port)


def _api(request_class: Any) -> str:
    return str(request_class.__name__).removesuffix("Request")


def _metadata(snapshot: Snapshot, now: float) -> MetadataReceived:
    brokers = tuple(Broker(broker.id, broker.host, broker.port) for broker in snapshot.brokers.values())
    return MetadataReceived(snapshot.cluster_id, snapshot.controller_id, brokers, len(snapshot.topics))


# What the core calls: the method of hooks, and what makes its argument.
EVENTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "connected": ("on_connect", lambda node, seconds, now: Connected(_broker(node), seconds)),
    "disconnected": ("on_disconnect", lambda node, error, now: Disconnected(_broker(node), error)),
    "failing": ("on_broker_failing", lambda node, error, now: BrokerFailing(_broker(node), error)),
    "recovered": ("on_broker_recovered", lambda node, seconds, now: BrokerRecovered(_broker(node), seconds)),
    "request": (
        "on_request",
        lambda node, request, version, size, now: RequestSent(_broker(node), _api(request), version, size),
    ),
    "response": (
        "on_response",
        lambda node, request, version, size, seconds, error, now: ResponseReceived(
            _broker(node), _api(request), version, size, seconds, error
        ),
    ),
    "throttled": ("on_throttle", lambda node, seconds, now: Throttled(_broker(node), seconds)),
    "leader_changed": ("on_leader_changed", lambda *args: LeaderChanged(*args[:-1])),
    "metadata": ("on_metadata", _metadata),
}
