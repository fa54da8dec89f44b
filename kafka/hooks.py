"""Hooks: what a producer tells of itself while it works, event by event.

    class Watch:
        def on_broker_failing(self, event):
            alert(f"{event.broker}: {event.error}")

    producer = KafkaProducer(hooks=[Watch()])

A hook is any object with some of the methods of `Hooks`; there is nothing to inherit. Each gets one event, a named
tuple; later versions may add fields at its end. Hooks are called on the producer's IO thread: while one runs nothing is
sent, so hand slow work to another thread, and do not wait for the producer in there. One that raises is logged, at
most once a minute for each kind of event, and otherwise ignored. Events nobody has a method for cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka._log import Log, Repeats
from kafka.core.events import Listeners

if TYPE_CHECKING:
    import logging

    from kafka._codec import Batch
    from kafka.core.cluster.snapshot import Snapshot
    from kafka.core.net.node import Node
    from kafka.core.produce.partitions import Partition

log = Log("kafka.hooks")


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


class BatchSent(NamedTuple):
    """A batch is in a request that has been handed to the socket."""

    topic: str
    partition: int
    records: int
    bytes: int  # on the wire
    uncompressed: int  # bytes
    waited: float  # seconds from its first record to now
    attempt: int  # 1: the first


class BatchRetried(NamedTuple):
    """A batch was not taken, or nobody knows whether it was; it will be sent again."""

    topic: str
    partition: int
    records: int
    bytes: int
    attempts: int  # so far
    error: Exception


class BatchDelivered(NamedTuple):
    """A broker has acknowledged a batch (with acks=0: it has been written to the socket); its futures follow."""

    topic: str
    partition: int
    records: int
    bytes: int
    seconds: float  # since its first record was sent
    base_offset: int  # of its first record; -1 where brokers do not say


class BatchFailed(NamedTuple):
    """The records of a batch have failed; their futures get this error, or (bad records) errors of their own."""

    topic: str
    partition: int  # -1: it never had one
    records: int
    bytes: int
    seconds: float  # since its first record was sent
    error: BaseException


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


class Hooks:
    """Every method that a hook may have. Inherit from it for the sake of type checkers, or do not.

    Only the methods that a hook's class overrides, or an unrelated class has, are called.
    """

    def on_connect(self, event: Connected) -> None: ...

    def on_disconnect(self, event: Disconnected) -> None: ...

    def on_broker_failing(self, event: BrokerFailing) -> None: ...

    def on_broker_recovered(self, event: BrokerRecovered) -> None: ...

    def on_request(self, event: RequestSent) -> None: ...

    def on_response(self, event: ResponseReceived) -> None: ...

    def on_throttle(self, event: Throttled) -> None: ...

    def on_batch_sent(self, event: BatchSent) -> None: ...

    def on_batch_retried(self, event: BatchRetried) -> None: ...

    def on_batch_delivered(self, event: BatchDelivered) -> None: ...

    def on_batch_failed(self, event: BatchFailed) -> None: ...

    def on_leader_changed(self, event: LeaderChanged) -> None: ...

    def on_metadata(self, event: MetadataReceived) -> None: ...


METHODS = tuple(name for name in vars(Hooks) if name.startswith("on_"))


def listeners(hooks: Sequence[object], recorder: object | None = None) -> Listeners:
    """What the core is to call: the methods of `recorder` (named as the events), then those of the hooks."""
    made = Listeners()
    for event, (method, as_events) in _EVENTS.items():
        calls = [_Guarded(hook, method) for hook in hooks if is_implemented(hook, method)]
        record = getattr(recorder, event, None)
        if calls:
            setattr(made, event, _fan_out(record, as_events, calls))
        elif record is not None:
            setattr(made, event, record)
    return made


def is_implemented(hook: object, method: str) -> bool:
    """Whether a hook wants this event: it has the method, not just the empty one of `Hooks`."""
    found = getattr(hook, method, None)
    return callable(found) and getattr(type(hook), method, None) is not getattr(Hooks, method)


def _fan_out(record: Callable[..., None] | None, as_events: Callable[..., Any], calls: list[_Guarded]) -> Any:
    def tell(*args: Any) -> None:
        if record is not None:
            record(*args)
        events = as_events(*args)
        for event in events if type(events) is list else (events,):
            for call in calls:
                call(event)

    return tell


class _Guarded:
    """A hook's method. What it raises goes to the log, and no further."""

    __slots__ = ("_hook", "_method", "_repeats")

    def __init__(self, hook: object, method: str) -> None:
        self._hook = hook
        self._method = method
        self._repeats = Repeats()

    def __call__(self, event: Any) -> None:
        try:
            getattr(self._hook, self._method)(event)
        except BaseException:  # on the IO thread, where there is nothing that sys.exit() could end
            left_out = self._repeats.due("")
            if left_out is not None:
                log.exception("the hook %s.%s raised%s", type(self._hook).__name__, self._method, left_out)


# -- from what the core says to what hooks are told --------------------------------------------------------------------


def _broker(node: Node) -> Broker:
    return Broker(node.id, node.host, node.port)


def _api(request_class: Any) -> str:
    return str(request_class.__name__).removesuffix("Request")


def _metadata(snapshot: Snapshot, now: float) -> MetadataReceived:
    brokers = tuple(Broker(broker.id, broker.host, broker.port) for broker in snapshot.brokers.values())
    return MetadataReceived(snapshot.cluster_id, snapshot.controller_id, brokers, len(snapshot.topics))


def _batches(sent: Mapping[Partition, Batch], now: float) -> list[BatchSent]:
    return [
        BatchSent(
            batch.topic,
            batch.partition,
            batch.records,
            batch.size,
            batch.plain or batch.size,
            now - batch.created,
            batch.attempts,
        )
        for batch in sent.values()
    ]


# What the core calls: the method of hooks, and what makes its argument; a list of several where it calls once for them.
_EVENTS: dict[str, tuple[str, Callable[..., Any]]] = {
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
    "batches_sent": ("on_batch_sent", _batches),
    "batch_retried": ("on_batch_retried", lambda *args: BatchRetried(*args[:-1])),
    "batch_delivered": ("on_batch_delivered", lambda *args: BatchDelivered(*args[:-1])),
    "batch_failed": ("on_batch_failed", lambda *args: BatchFailed(*args[:-1])),
    "leader_changed": ("on_leader_changed", lambda *args: LeaderChanged(*args[:-1])),
    "metadata": ("on_metadata", _metadata),
}


# -- to the log --------------------------------------------------------------------------------------------------------


class LoggingHooks(Hooks):
    """Writes events to a logger: trouble as WARNING or ERROR, connections and leaders as INFO, traffic as DEBUG.

        KafkaProducer(hooks=[LoggingHooks(logging.getLogger("my.kafka"))])

    Of the same trouble in the same place (a broker, a topic) one line a minute is written, with the number of those
    left out. Records' contents are in no event.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        import logging

        self._logger = logger or logging.getLogger("kafka.events")
        self._repeats = Repeats()

    def on_connect(self, event: Connected) -> None:
        self._logger.info("connected to %s in %.3f s", event.broker, event.seconds)

    def on_disconnect(self, event: Disconnected) -> None:
        if event.error is None:
            self._logger.info("closed the connection to %s", event.broker)
        else:
            self._trouble("lost", str(event.broker), "lost the connection to %s: %s", event.broker, event.error)

    def on_broker_failing(self, event: BrokerFailing) -> None:
        self._trouble("failing", str(event.broker), "%s fails: %s", event.broker, event.error)

    def on_broker_recovered(self, event: BrokerRecovered) -> None:
        self._logger.info("%s is back after %.1f s", event.broker, event.seconds)

    def on_request(self, event: RequestSent) -> None:
        self._logger.debug("%s v%d to %s: %d bytes", event.api, event.version, event.broker, event.bytes)

    def on_response(self, event: ResponseReceived) -> None:
        args = (event.api, event.version, event.broker, event.bytes, event.seconds * 1000, event.error or "answered")
        self._logger.debug("%s v%d at %s: %d bytes after %.1f ms: %s", *args)

    def on_throttle(self, event: Throttled) -> None:
        text = "%s throttles this client for %.3f s"
        self._trouble("throttle", str(event.broker), text, event.broker, event.seconds)

    def on_batch_sent(self, event: BatchSent) -> None:
        self._logger.debug("%s", event)

    def on_batch_delivered(self, event: BatchDelivered) -> None:
        self._logger.debug("%s", event)

    def on_batch_retried(self, event: BatchRetried) -> None:
        args = (event.records, event.topic, event.partition, event.attempts, event.error)
        self._trouble("retried", event.topic, "%d records for %s[%d] have to be sent again (sent %d times): %s", *args)

    def on_batch_failed(self, event: BatchFailed) -> None:
        args = (event.records, event.topic, event.partition, event.error)
        self._trouble("failed", event.topic, "%d records for %s[%d] have failed: %s", *args, error=True)

    def on_leader_changed(self, event: LeaderChanged) -> None:
        self._logger.info("%s[%d] is led by %d, no longer by %d", event.topic, event.partition, event.new, event.old)

    def on_metadata(self, event: MetadataReceived) -> None:
        self._logger.debug("%s", event)

    def _trouble(self, kind: str, place: str, text: str, *args: Any, error: bool = False) -> None:
        left_out = self._repeats.due((kind, place))
        if left_out is not None:
            (self._logger.error if error else self._logger.warning)(f"{text}%s", *args, left_out)
