"""Requests with a route: "any broker", "the controller", "the leader of this partition", not a connection.

A call is tied to its intent. It picks a broker when it starts and again whenever that broker fails, answers that it is
the wrong one, or (where any broker will do) takes too long; the data path of produce and fetch does not pass through
here. The callback of every call is called exactly once: with the response, or with an error, at the latest at its
deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka.core.backoff import Backoff
from kafka.core.net.connection import Callback
from kafka.core.net.failures import unreachable
from kafka.core.net.lanes import CONNECTION_OF, Lane
from kafka.core.timers import Timer
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.protocol.codes import Code
from kafka.result import Err, Ok, Result

if TYPE_CHECKING:
    from kafka.core.core import Core
    from kafka.core.net.channel import Channel
    from kafka.core.net.node import Node


class AnyBroker(NamedTuple):
    """Any broker; with `advertised` only those that metadata names, not the addresses of bootstrap_servers."""

    advertised: bool = False


class Broker(NamedTuple):
    id: int


class Leader(NamedTuple):
    topic: str
    partition: int


class Controller(NamedTuple):
    pass


class Coordinator(NamedTuple):
    kind: int  # 0: consumer group, 1: transaction
    key: str


Route = AnyBroker | Broker | Leader | Controller | Coordinator
Refuse = Callable[["Node", Any, float], KafkaError | None]
ANY = AnyBroker()
ADVERTISED = AnyBroker(advertised=True)
CONTROLLER = Controller()

# A broker that has owed an answer, or a connection, for so many seconds is asked only if there is no better one.
SILENT_AFTER = 0.5

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


class Call:
    __slots__ = (
        "route",
        "message_class",
        "build",
        "callback",
        "started",
        "deadline",
        "patience",
        "newest",
        "name",
        "refuse",
        "once",
        "avoid",
        "lane",
        "answer_within",
        "node",
        "attempt",
        "version",
        "failures",
        "tried",
        "errors",
        "timer",
        "pause",
        "done",
    )

    def __init__(
        self,
        route: Route,
        message_class: Any,
        build: Callable[[int], Any],
        callback: Callback,
        now: float,
        timeout: float,
        patience: float,
        newest: int | None,
        name: str,
        refuse: Refuse | None,
        once: bool,
        avoid: int | None,
        lane: Lane,
        answer_within: float,
    ) -> None:
        self.route = route
        self.message_class = message_class
        self.build = build
        self.callback = callback
        self.started = now
        self.deadline = now + timeout
        self.patience = patience  # how long to go on when every broker there is has failed
        self.newest = newest
        self.name = name or f"{message_class.__name__} ({_describe(route)})"  # for error messages
        self.refuse = refuse
        self.avoid = avoid  # the id of a broker that is asked only if no other one is well
        self.lane = lane
        self.answer_within = answer_within  # seconds, once it is written
        self.once = once  # the first attempt that is written is the last
        self.node: Node | None = None  # where the present attempt goes
        self.attempt = 0  # of answers to earlier ones only a good one counts, and that only where any broker will do
        self.version = -1  # of the last request built
        self.failures = 0  # rounds for "any broker", else attempts
        self.tried: dict[int, None] = {}  # nodes of this round
        self.errors: dict[str, KafkaError] = {}  # the last one of each address
        self.timer: Timer | None = None  # of the present attempt, and of the call's deadline
        self.pause: Timer | None = None
        self.done = False


class Calls:
    def __init__(self, core: Core) -> None:
        self._core = core
        config = core.config
        self._backoff = Backoff(config.retry_backoff, config.retry_backoff_max, core.random)
        self._waiting: dict[Channel, dict[Call, None]] = {}  # for it to become ready
        self._for_metadata: dict[Call, None] = {}
        self._open: dict[int, Call] = {}
        self._next_id = 0

    def start(
        self,
        route: Route,
        message_class: Any,
        build: Callable[[int], Any],
        callback: Callback,
        now: float,
        timeout: float,
        *,
        patience: float = float("inf"),
        newest: int | None = None,
        name: str = "",
        refuse: Refuse | None = None,
        once: bool = False,
        avoid: int | None = None,
        lane: Lane = Lane.CONTROL,
        answer_within: float | None = None,
    ) -> None:
        """See `Core.request`. What `refuse(node, response, now)` gives an error for counts as a failed attempt."""
        if self._core.closed_by is not None:
            callback(Err(self._core.closed_by), now)
            return
        if answer_within is None:
            answer_within = self._core.config.request_timeout
        call = Call(
            route, message_class, build, callback, now, timeout, patience, newest, name, refuse, once, avoid, lane,
            answer_within,
        )  # fmt: skip
        self._next_id += 1
        self._open[self._next_id] = call
        call.callback = self._once(self._next_id, callback)
        self._route(call, now)

    def _once(self, id: int, callback: Callback) -> Callback:
        def finish(result: Result[Any, KafkaError], now: float) -> None:
            del self._open[id]
            callback(result, now)

        return finish

    # -- choosing a broker -----------------------------------------------------------------------------------------

    def _route(self, call: Call, now: float) -> None:
        call.attempt += 1
        call.node = None
        nodes, snapshot, route = self._core.nodes, self._core.snapshot, call.route
        attempt_ends = call.deadline
        node: Node | None
        if isinstance(route, AnyBroker):
            candidates = self._candidates(route)
            untried = [n for n in candidates if n.id not in call.tried]
            node = None
            if call.avoid is not None:
                others = [n for n in untried if n.id >= 0 and n.id != call.avoid]
                node = self._best([n for n in others if not n.channel(call.lane).failures], call.lane, now)
            node = node or self._best(untried, call.lane, now)
            if node is None and candidates:
                self._round_over(call, now)
                return
            # Doubled with each round, for a cluster where all are slow; an answer that comes late counts all the same.
            attempt = self._core.config.any_broker_attempt * 2.0 ** min(call.failures, 8)
            attempt += max(call.answer_within - self._core.config.request_timeout, 0.0)  # the broker's to hold it back
            attempt_ends = min(attempt_ends, now + attempt)
        elif isinstance(route, Broker):
            node = nodes.broker(route.id)
        elif isinstance(route, Leader):
            self._core.metadata.want(route.topic, now)
            node = nodes.broker(snapshot.leader(route.topic, route.partition))
            topic = snapshot.topics.get(route.topic)
            if node is None and topic is not None and topic.error is not None and not topic.error.retriable:
                self._finish(call, Err(topic.error), now)
                return
        elif isinstance(route, Controller):
            node = nodes.broker(snapshot.controller_id)
        else:
            node = self._core.coordinators.get(route, now)
        if node is None:
            attempt_ends = call.deadline  # nobody is being waited for
        self._arm(call, attempt_ends, now)
        if node is None:
            if not isinstance(route, Coordinator):
                self._for_metadata[call] = None
                if not isinstance(route, Leader):
                    self._core.metadata.refresh(None, now)
            return
        call.node = node
        channel = node.channel(call.lane)
        if channel.is_open:
            self._send(call, channel, now)
        else:
            self._waiting.setdefault(channel, {})[call] = None
            channel.ensure(now)

    def _candidates(self, route: AnyBroker) -> list[Node]:
        nodes = self._core.nodes.nodes
        known = [nodes[id] for id in self._core.snapshot.brokers if id in nodes]
        if route.advertised:
            return known
        # The bootstrap addresses stay in reserve: the whole cluster may have moved (KIP-899).
        return known + [node for node in nodes.values() if node.id < 0]

    def _best(self, nodes: list[Node], lane: Lane, now: float) -> Node | None:
        """The one most likely to answer soon; of ready ones the one with least in flight."""
        random = self._core.random
        best, best_rank = None, (99, 0.0, 0.0)
        for node in nodes:
            channel = node.channel(lane)
            urgency = 0.0
            if channel.is_open:
                connection = channel.connection
                assert connection is not None
                silent = now - connection.waiting_since >= SILENT_AFTER
                rank, urgency = 3 if silent else 0, len(connection.in_flight)
            elif channel.is_ready:
                rank, urgency = 4, channel.throttled_until
            elif channel.failures or (channel.is_connecting and now - channel.connecting_since >= SILENT_AFTER):
                rank = 6 + (node.id < 0)
            elif node.id < 0:  # an address of bootstrap_servers: one of the brokers by another name
                rank = 5
            else:
                rank = 1 if channel.is_connecting else 2
            if (rank, urgency, tie := random.random()) < best_rank:
                best, best_rank = node, (rank, urgency, tie)
        return best

    # -- one attempt -----------------------------------------------------------------------------------------------

    def _send(self, call: Call, channel: Channel, now: float) -> None:
        assert channel.connection is not None
        version = channel.connection.version_for(call.message_class, call.newest)
        if not isinstance(version, int):
            if isinstance(call.route, AnyBroker):  # brokers of different releases: another one may know it
                self._failed(call, version, now)
            else:
                self._finish(call, Err(version), now)
            return
        attempt, call.version = call.attempt, version

        def answered(result: Result[Any, KafkaError], now: float) -> None:
            if call.done:
                return
            refused = None
            if call.refuse is not None and _is_good(result):
                refused = call.refuse(channel.node, result.unwrap(), now)
            if refused is not None:
                if call.attempt == attempt:
                    self._failed(call, refused, now)
            elif call.attempt == attempt:
                self._answered(call, result, now)
            elif isinstance(call.route, AnyBroker) and call.version == version and _is_good(result):
                self._finish(call, result, now)  # another broker is being asked by now, but this is as good as any

        # Not the call's own time: an impatient call gives up alone, without taking others with it, and a patient one
        # finds out that the connection is dead while there is time for another attempt.
        error = channel.send(call.build(version), version, answered, now, call.answer_within)
        if error is not None:
            self._finish(call, Err(error), now)

    def _answered(self, call: Call, result: Result[Any, KafkaError], now: float) -> None:
        error = result.error if isinstance(result, Err) else getattr(result.value, "error", None)
        if call.once:
            for said in [inner for _, inner in result.unwrap().errors()] if error is None else [error]:
                self._wrong_broker(call, said, now)
            self._finish(call, result if error is None else Err(error), now)
            return
        if error is None:
            # Many responses have their errors inside: one that says "not I" concerns the route, any other the caller.
            for _, inner in [] if isinstance(call.route, (AnyBroker, Broker)) else result.unwrap().errors():
                if self._wrong_broker(call, inner, now):
                    self._failed(call, inner, now)
                    return
            self._finish(call, result, now)
        elif error.retriable:
            self._wrong_broker(call, error, now)
            self._failed(call, error, now)
        elif self._wrong_broker(call, error, now):
            self._failed(call, error, now)
        else:
            self._finish(call, Err(error), now)

    def _wrong_broker(self, call: Call, error: KafkaError, now: float) -> bool:
        code, route = error.errno, call.route
        if isinstance(route, Coordinator) and (code in _COORDINATOR_MOVED or code is None):
            self._core.coordinators.forget(route)
            return True
        if isinstance(route, Controller) and code == Code.NOT_CONTROLLER:
            self._core.metadata.refresh(None, now)
            return True
        if isinstance(route, Leader) and (code in _LEADER_MOVED or code is None):
            self._core.metadata.refresh(route.topic, now)
            return True
        return False

    def _failed(self, call: Call, error: KafkaError, now: float) -> None:
        """One attempt is over; what comes next depends on the route."""
        if call.node is not None:
            call.errors[call.node.name] = error
            call.tried[call.node.id] = None
        if isinstance(call.route, AnyBroker):
            self._route(call, now)  # the next broker, at once
        else:
            self._pause(call, now)

    def _round_over(self, call: Call, now: float) -> None:
        if now - call.started >= call.patience:
            self._expire(call, now)
            return
        call.tried.clear()
        if call.route == ADVERTISED:
            self._core.metadata.refresh(None, now)  # they may all have moved
        self._pause(call, now)

    def _pause(self, call: Call, now: float) -> None:
        call.attempt += 1
        call.failures += 1
        call.node = None
        self._arm(call, call.deadline, now)
        ends = now + self._backoff.delay(call.failures)
        call.pause = self._core.timers.at(ends, lambda now: self._pause_over(call, now))

    def _pause_over(self, call: Call, now: float) -> None:
        call.pause = None
        if not call.done:
            self._route(call, now)

    # -- what happens around it ------------------------------------------------------------------------------------

    def on_open(self, channel: Channel, now: float) -> None:
        node = channel.node
        for call in self._waiting.pop(channel, ()):
            if not call.done and call.node is node:
                if channel.is_open:
                    self._send(call, channel, now)
                else:  # one of the calls before it has closed the connection
                    self._route(call, now)
        for other, waiting in list(self._waiting.items()):
            for call in [call for call in waiting if _might_ask(call, channel)]:
                if call.node is other.node and channel.is_open:
                    waiting.pop(call, None)
                    self._route(call, now)

    def on_down(self, channel: Channel, error: KafkaError, now: float) -> None:
        for call in self._waiting.pop(channel, ()):
            if not call.done and call.node is channel.node:
                self._wrong_broker(call, error, now)
                self._failed(call, error, now)

    def on_metadata(self, now: float) -> None:
        waiting, self._for_metadata = self._for_metadata, {}
        for call in waiting:
            if not call.done and call.node is None and call.pause is None:
                self._route(call, now)
        for waiting_there in list(self._waiting.values()):
            for call in [call for call in waiting_there if self._has_moved(call)]:
                waiting_there.pop(call, None)
                self._route(call, now)

    def _has_moved(self, call: Call) -> bool:
        """Whether a call that waits for a connection would by now wait for another one."""
        route, snapshot = call.route, self._core.snapshot
        if isinstance(route, Leader):
            goes_to = snapshot.leader(route.topic, route.partition)
        elif isinstance(route, Controller):
            goes_to = snapshot.controller_id
        else:
            return False
        return not call.done and call.node is not None and goes_to not in (-1, call.node.id)

    def on_coordinator(self, route: Coordinator, error: KafkaError | None, now: float) -> None:
        """The coordinator of this key is known, or (error) will not be."""
        for call in list(self._open.values()):
            if call.route == route and not call.done and call.node is None and call.pause is None:
                if error is None:
                    self._route(call, now)
                else:
                    self._finish(call, Err(error), now)

    def wanted(self, route: Coordinator) -> bool:
        return any(call.route == route and not call.done for call in self._open.values())

    # -- the end ---------------------------------------------------------------------------------------------------

    def _arm(self, call: Call, deadline: float, now: float) -> None:
        if call.timer is not None:
            call.timer.cancel()
        call.timer = self._core.timers.at(deadline, lambda now: self._attempt_over(call, now))

    def _attempt_over(self, call: Call, now: float) -> None:
        call.timer = None
        if call.done:
            return
        if now < call.deadline:  # this broker has had its chance
            assert call.node is not None
            self._failed(call, call.node.channel(call.lane).pending_error(now - call.started), now)
        else:
            self._expire(call, now)

    def _expire(self, call: Call, now: float) -> None:
        waited = now - call.started
        if call.node is not None and call.node.name not in call.errors:
            call.errors[call.node.name] = call.node.channel(call.lane).pending_error(waited)
        what = f"{call.name} did not succeed within {waited:.1f} s"
        if call.errors:
            self._finish(call, Err(unreachable(what + ":", call.errors.values())), now)
        elif self._core.metadata.error is not None:
            self._finish(call, Err(unreachable(what + ", for want of metadata:", [self._core.metadata.error])), now)
        else:
            self._finish(call, Err(KafkaTimeoutError(what + ".")), now)

    def _finish(self, call: Call, result: Result[Any, KafkaError], now: float) -> None:
        call.done = True
        self._for_metadata.pop(call, None)
        for timer in (call.timer, call.pause):
            if timer is not None:
                timer.cancel()
        call.callback(result, now)

    def close(self, error: KafkaError, now: float) -> None:
        for call in list(self._open.values()):
            if not call.done:
                self._finish(call, Err(error), now)


def _might_ask(call: Call, channel: Channel) -> bool:
    """Whether a call that waits for another broker may as well go to this one."""
    route, node = call.route, channel.node
    if CONNECTION_OF[call.lane] is not channel.lane:
        return False
    if call.done or not isinstance(route, AnyBroker) or node.id in call.tried:
        return False
    return node.id >= 0 or not route.advertised


def _is_good(result: Result[Any, KafkaError]) -> bool:
    return isinstance(result, Ok) and getattr(result.value, "error", None) is None


def _describe(route: Route) -> str:
    if isinstance(route, AnyBroker):
        return "to any broker"
    if isinstance(route, Broker):
        return f"to broker {route.id}"
    if isinstance(route, Leader):
        return f"to the leader of {route.topic}[{route.partition}]"
    if isinstance(route, Controller):
        return "to the controller"
    return f"to the coordinator of {'group' if route.kind == 0 else 'transaction'} {route.key!r}"
