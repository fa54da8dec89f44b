"""Brokers and the connections to them: name lookup, connecting, reconnecting with backoff, health.

A node is a broker known by its id, or an address of bootstrap_servers (negative ids: -1, -2, ...). It has at most one
connection. Every address of its name is tried in turn, at once; when all have failed the node is down and waits, longer
each time. Only ApiVersions answered makes it ready and ends the series of failures.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any, Protocol

from kafka.core.backoff import Backoff
from kafka.core.config import Config
from kafka.core.effects import Address, Buffer, Close, Connect, Effect, Notice, Resolve, Send
from kafka.core.events import Listeners
from kafka.core.net.connection import API_VERSIONS_FALL_BACK, Callback, Connection
from kafka.core.net.failures import (
    BRING_UP,
    CONNECT,
    DNS,
    REQUEST,
    advertised_hint,
    all_addresses_failed,
    closed_at_once_hint,
    connection_error,
    describe,
    silent_hint,
)
from kafka.core.net.node import Node
from kafka.core.net.states import Event, State
from kafka.core.timers import Timers
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.protocol.codes import Code
from kafka.result import Err, Result

INFINITY = float("inf")


class Listener(Protocol):
    """What the nodes tell the core."""

    def on_open(self, node: Node, now: float) -> None: ...

    def on_answers(self, node: Node, now: float) -> None: ...

    def on_down(self, node: Node, error: KafkaError, now: float) -> None: ...


class Nodes:
    def __init__(
        self,
        config: Config,
        random: Any,
        timers: Timers,
        effects: list[Effect],
        listener: Listener,
        listeners: Listeners,
    ) -> None:
        self._config = config
        self._timers = timers
        self._effects = effects
        self._listener = listener
        self._listeners = listeners
        self._random = random
        self._reconnect = Backoff(config.reconnect_backoff, config.reconnect_backoff_max, random)
        self._setup = Backoff(config.connection_setup_timeout, config.connection_setup_timeout_max, random)
        self._next_id = 0
        self._by_connection: dict[int, tuple[Node, Connection]] = {}
        self._resolving: dict[tuple[str, int], list[Node]] = {}
        self.nodes: dict[int, Node] = {}
        self._paused: dict[int, float] = {}  # until when brokers that were dropped are to be left alone
        self._features: dict[str, int] = {}
        self._features_epoch = -1
        for index, (host, port) in enumerate(config.bootstrap):
            self.nodes[-1 - index] = Node(-1 - index, host, port)

    def broker(self, id: int) -> Node | None:
        """The broker with this id; none has a negative one, -1 being Kafka's word for "nobody"."""
        return self.nodes.get(id) if id >= 0 else None

    def finalized_feature(self, name: str) -> int:
        """The level this feature is finalized at, by the newest word of any broker; 0: off, or nobody said."""
        return self._features.get(name, 0)

    # -- known brokers ---------------------------------------------------------------------------------------------

    def learn(self, broker_id: int, host: str, port: int, now: float) -> Node:
        """Makes a broker known, or notes where it is now.

        Where it was may be another broker by now, so a connection to there ends with the answers that it owes.
        """
        node = self.nodes.get(broker_id)
        if node is None:
            node = self.nodes[broker_id] = Node(broker_id, host, port)
            node.throttled_until = self._paused.pop(broker_id, 0.0)
            if node.throttled_until > now:
                self._await_throttle(node)
        elif (node.host, node.port) != (host, port):
            node.host, node.port = host, port
            node.retry_at = 0.0  # what failed was the old place
            node.addresses.clear()
            node.moved = node.connection is not None
            self._leave_old_place(node, now)
        return node

    def _leave_old_place(self, node: Node, now: float) -> None:
        connection = node.connection
        if connection is None or not node.moved:
            return
        if not (node.is_ready and (connection.in_flight or connection.unwritten)):
            self.disconnect(node, now)
            self.ensure(node, now)

    def forget_all_but(self, broker_ids: Any, now: float) -> None:
        """Drops brokers the cluster no longer names, once nothing holds on to their connection.

        A throttled one is kept meanwhile: named again, it must still be left alone.
        """
        for node in list(self.nodes.values()):
            if node.id < 0:
                if node.is_ready and not node.connection.in_flight:  # type: ignore[union-attr]
                    self.disconnect(node, now)
            elif node.id not in broker_ids and not (node.connection or node.resolving or node.throttle):
                self._cancel_timer(node)
                del self.nodes[node.id]
                gone = connection_error(node.name, CONNECT, "the cluster no longer names this broker")
                self._listener.on_down(node, gone, now)  # whoever waits for it has to look elsewhere

    def drop(self, node: Node, error: KafkaError, now: float) -> None:
        """Forgets a broker at once, and its connection with it; a bootstrap address only loses its connection."""
        # To those who wait for its answers the connection broke: no broker has refused what they asked.
        error = connection_error(node.name, REQUEST, error)
        connection = node.connection
        if node.id < 0:
            if connection is not None:
                self._give_up(node, connection, error, now)
            return
        del self.nodes[node.id]
        self._cancel_timer(node)
        if node.throttle is not None:
            node.throttle.cancel()
            self._paused[node.id] = node.throttled_until
        node.resolving = False
        if connection is not None:
            self._effects.append(Close(connection.id))
            del self._by_connection[connection.id]
            node.connection = None
            if connection.state is State.READY:
                self._tell_disconnected(node, error, now)
            connection.close(error, now)
        self._listener.on_down(node, error, now)

    # -- connecting ------------------------------------------------------------------------------------------------

    def ensure(self, node: Node, now: float) -> None:
        """Sees to it that the node gets connected: at once, or when its backoff is over."""
        if node.connection is not None or node.resolving:
            return
        if now < node.retry_at:
            if node.timer is None:
                node.timer = self._timers.at(node.retry_at, lambda now: self._retry(node, now))
            return
        self._cancel_timer(node)
        node.errors = []
        node.fall_back = 0
        node.resolving = True
        node.connecting_since = now
        self._arm_setup(node, now)
        place = (node.host, node.port)
        waiting = self._resolving.setdefault(place, [])
        waiting.append(node)
        if len(waiting) == 1:
            self._effects.append(Resolve(*place))

    def _retry(self, node: Node, now: float) -> None:
        node.timer = None
        self.ensure(node, now)

    def resolved(self, host: str, port: int, result: list[Address] | BaseException, now: float) -> None:
        for node in self._resolving.pop((host, port), ()):
            if not node.resolving:
                continue
            node.resolving = False
            if (node.host, node.port) != (host, port):  # it has moved in the meantime
                self._cancel_timer(node)
                self.ensure(node, now)
                continue
            if isinstance(result, BaseException) or not result:
                cause = describe(result) if result else "the name has no address"
                node.errors.append(connection_error(node.name, DNS, cause, self._hint(node)))
                self._failed(node, now)
            else:
                # A fixed order would send every client to the same one of several addresses first.
                start = self._random.randrange(len(result))
                node.addresses = deque([*result[start:], *result[:start]])
                self._connect(node, node.addresses.popleft(), now)

    def _connect(self, node: Node, address: Address, now: float) -> None:
        self._next_id += 1
        config, tell = self._config, self._listeners
        connection = Connection(
            self._next_id,
            address,
            node.name_with(address),
            client_id=config.client_id,
            software=config.software,
            limit=config.receive_message_max_bytes,
            most_in_flight=config.max_in_flight,
            on_throttle=partial(self._throttled, node),
            on_request=partial(tell.request, node) if tell.request is not None else None,
            on_response=partial(tell.response, node) if tell.response is not None else None,
        )
        node.connection = connection
        node.moved = False
        self._by_connection[connection.id] = (node, connection)
        self._arm_setup(node, now)
        self._effects.append(Connect(connection.id, address, node.host, node.port))

    def connected(self, connection_id: int, now: float) -> None:
        found = self._by_connection.get(connection_id)
        if found is not None:
            node, connection = found
            connection.handle(Event.CONNECTED)
            self._negotiate(node, connection, API_VERSIONS_FALL_BACK[node.fall_back], now)

    def _negotiate(self, node: Node, connection: Connection, version: int, now: float) -> None:
        def answered(result: Result[Any, KafkaError], now: float) -> None:
            if connection.state is not State.NEGOTIATING:
                return  # closed while it waited; whoever closed it sees to the rest
            if isinstance(result, Err):
                self._give_up(node, connection, connection_error(connection.name, BRING_UP, result.error), now)
            elif result.value.error_code == Code.UNSUPPORTED_VERSION and version > 0:
                connection.handle(Event.RENEGOTIATE)
                theirs = [api.max_version for api in result.value.api_keys if api.api_key == 18]
                self._negotiate(node, connection, min([version - 1, *theirs]) if theirs else 0, now)
            elif result.value.error_code != 0:
                error = connection_error(connection.name, BRING_UP, result.value.error)
                self._give_up(node, connection, error, now)
            else:
                connection.negotiated(result.value)
                if connection.features_epoch > self._features_epoch:  # brokers learn of changes one by one
                    self._features, self._features_epoch = connection.features, connection.features_epoch
                self._up(node, now)

        # No deadline of its own: that of the set-up covers it.
        self._effects.append(Send(connection.id, connection.negotiate(version, answered, now, INFINITY)))

    def _up(self, node: Node, now: float) -> None:
        self._cancel_timer(node)
        node.errors = []
        node.addresses.clear()
        self._note(node.reporter.recovered(node, now))
        if self._listeners.connected is not None:
            self._listeners.connected(node, now - node.connecting_since, now)
        if self._listeners.recovered is not None and node.failing_since is not None:
            self._listeners.recovered(node, now - node.failing_since, now)
        node.failures = 0
        node.failing_since = None
        node.error = None
        self._arm_idle(node, now)
        if node.is_open:
            self._listener.on_open(node, now)

    # -- requests --------------------------------------------------------------------------------------------------

    def send(
        self, node: Node, message: Any, version: int, callback: Callback, now: float, timeout: float, answered: bool
    ) -> KafkaError | None:
        """Sends on the node's ready connection. Only if this returns None will the callback be called."""
        connection = node.connection
        assert connection is not None and connection.state is State.READY
        encoded = connection.send(message, version, callback, now, timeout, answered=answered)
        if isinstance(encoded, Err):
            return encoded.error
        self._effects.append(Send(connection.id, encoded.value, not answered))
        if now + timeout < node.timer.deadline:  # type: ignore[union-attr]
            self._arm_requests(node, now + timeout)
        return None

    def written(self, connection_id: int, now: float) -> None:
        found = self._by_connection.get(connection_id)
        if found is not None:
            found[1].written(now)
            self._leave_old_place(found[0], now)
            if found[0].is_open:
                self._listener.on_answers(found[0], now)

    def received(self, connection_id: int, data: Buffer, now: float) -> None:
        found = self._by_connection.get(connection_id)
        if found is None:
            return
        node, connection = found
        was_ready = connection.state is State.READY
        error = connection.receive(data, now)
        if error is not None:
            self._give_up(node, connection, error, now)
        elif was_ready:
            self._leave_old_place(node, now)
            if node.is_open:
                self._listener.on_answers(node, now)

    # -- throttling ------------------------------------------------------------------------------------------------

    def _throttled(self, node: Node, seconds: float, now: float) -> None:
        """The broker says that it will not look at what this client sends for so long (KIP-219).

        It stops reading from the connection, so what is in flight there gets that much more time.
        """
        before = max(node.throttled_until, now)
        node.throttled_until = max(before, now + seconds)
        longer = node.throttled_until - before
        node.throttles += 1
        node.throttle_seconds += longer
        if longer > 0 and node.connection is not None:
            node.connection.postpone(longer)
        if node.throttle is None:
            self._await_throttle(node)
        self._note(node.reporter.throttled(node, seconds, now))
        if self._listeners.throttled is not None:
            self._listeners.throttled(node, seconds, now)

    def _await_throttle(self, node: Node) -> None:
        node.throttle = self._timers.at(node.throttled_until, lambda now: self._throttle_over(node, now))

    def _throttle_over(self, node: Node, now: float) -> None:
        node.throttle = None
        if now < node.throttled_until:
            self._await_throttle(node)
        elif node.is_ready:
            self._listener.on_open(node, now)

    # -- the end of a connection -----------------------------------------------------------------------------------

    def closed(self, connection_id: int, cause: object, now: float) -> None:
        """The driver reports that a connection could not be opened or has ended; cause None: an orderly end."""
        found = self._by_connection.get(connection_id)
        if found is None:
            return
        node, connection = found
        hint = None
        if connection.state is State.CONNECTING:
            stage, hint = CONNECT, self._hint(node)
        elif connection.state is State.NEGOTIATING:
            stage = BRING_UP
            if not connection.heard:
                hint = closed_at_once_hint()
        else:
            stage = REQUEST
        error = connection_error(connection.name, stage, describe(cause), hint)
        if connection.state is State.READY and not connection.in_flight and not connection.unwritten:
            # Brokers and balancers drop idle connections. If more is wrong, the next attempt will tell.
            self._drop(node, connection)
            self._tell_disconnected(node, None, now)
            node.retry_at = now + self._reconnect.delay(1)
            connection.close(error, now)
            self._listener.on_down(node, error, now)
        else:
            self._lost(node, connection, error, now)

    def disconnect(self, node: Node, now: float) -> None:
        """Closes an idle connection; nothing is wrong with the node."""
        connection = node.connection
        if connection is not None:
            self._effects.append(Close(connection.id))
            self._drop(node, connection)
            if connection.state is State.READY:
                self._tell_disconnected(node, None, now)
            connection.close(connection_error(connection.name, REQUEST, "closed by this client"), now)

    def _drop(self, node: Node, connection: Connection) -> None:
        """Settles the node's own state, before any callback can look at it."""
        del self._by_connection[connection.id]
        node.connection = None
        self._cancel_timer(node)

    def _give_up(self, node: Node, connection: Connection, error: KafkaError, now: float) -> None:
        self._effects.append(Close(connection.id))
        self._lost(node, connection, error, now)

    def _lost(self, node: Node, connection: Connection, error: KafkaError, now: float) -> None:
        state, heard = connection.state, connection.heard
        self._drop(node, connection)
        if state is State.READY:
            self._tell_disconnected(node, error, now)
            node.errors = [error]  # type: ignore[list-item]
            self._note_failure(node, now)
            connection.close(error, now)
            self._listener.on_down(node, node.error or error, now)
            return
        connection.close(error, now)
        if state is State.NEGOTIATING and not heard and node.fall_back + 1 < len(API_VERSIONS_FALL_BACK):
            node.fall_back += 1
            self._connect(node, connection.address, now)
            return
        node.fall_back = 0
        node.errors.append(error)  # type: ignore[arg-type]
        if node.addresses:
            self._connect(node, node.addresses.popleft(), now)
        else:
            self._failed(node, now)

    def _failed(self, node: Node, now: float) -> None:
        self._cancel_timer(node)
        self._note_failure(node, now)
        assert node.error is not None
        self._listener.on_down(node, node.error, now)

    def _note_failure(self, node: Node, now: float) -> None:
        node.failures += 1
        node.retry_at = now + self._reconnect.delay(node.failures)
        is_first = node.failing_since is None
        if is_first:
            node.failing_since = now
        node.error = all_addresses_failed(node.name, node.errors)
        self._note(node.reporter.failed(node, now))
        if self._listeners.failing is not None and is_first:
            self._listeners.failing(node, node.error, now)

    def _tell_disconnected(self, node: Node, error: KafkaError | None, now: float) -> None:
        if self._listeners.disconnected is not None:
            self._listeners.disconnected(node, error, now)

    def _note(self, notice: Notice | None) -> None:
        if notice is not None:
            self._effects.append(notice)

    # -- time ------------------------------------------------------------------------------------------------------

    def _arm_setup(self, node: Node, now: float) -> None:
        self._cancel_timer(node)
        timeout = self._setup.delay(node.failures + 1)
        node.timer = self._timers.at(now + timeout, lambda now: self._setup_timed_out(node, timeout, now))

    def _setup_timed_out(self, node: Node, timeout: float, now: float) -> None:
        node.timer = None
        error = self.pending_error(node, timeout)
        if node.resolving:
            node.resolving = False
            for waiting in self._resolving.values():  # perhaps for the name it had before
                if node in waiting:
                    waiting.remove(node)
            node.errors.append(error)
            self._failed(node, now)
        elif node.connection is not None:
            node.fall_back = len(API_VERSIONS_FALL_BACK)  # silence is no sign of an unknown version
            self._give_up(node, node.connection, error, now)

    def pending_error(self, node: Node, waited: float) -> KafkaConnectionError:
        """What to say of a node that was waited for in vain."""
        name, hint, connection = node.name, self._hint(node), node.connection
        if node.throttle is not None and node.is_ready:
            return connection_error(name, REQUEST, f"still throttled by the broker's quota after {waited:.1f} s")
        if node.resolving or connection is None:
            stage = DNS if node.resolving else CONNECT
        else:
            name = connection.name
            if connection.state is State.CONNECTING:
                stage = CONNECT
            else:
                stage = BRING_UP if connection.state is State.NEGOTIATING else REQUEST
                hint = None if connection.heard else silent_hint()
        return connection_error(name, stage, f"no answer within {waited:.1f} s", hint)

    def _arm_requests(self, node: Node, deadline: float) -> None:
        self._cancel_timer(node)
        node.timer = self._timers.at(deadline, lambda now: self._check(node, now))

    def _arm_idle(self, node: Node, now: float) -> None:
        connection = node.connection
        assert connection is not None
        self._arm_requests(node, max(connection.used, now) + self._config.connections_max_idle)

    def _check(self, node: Node, now: float) -> None:
        """One timer a connection, moved only when it fires: one per request would cost more than the request."""
        node.timer = None
        connection = node.connection
        if connection is None:
            return
        deadline = connection.deadline()
        if deadline <= now:
            names = [entry[1].REQUEST.__name__ for entry in connection.in_flight if entry[4] <= now]
            cause = f"no answer to {names[0]} in time" if names else "nothing could be written in time"
            self._give_up(node, connection, connection_error(connection.name, REQUEST, cause), now)
        elif connection.in_flight or connection.unwritten:
            self._arm_requests(node, min(deadline, now + self._config.connections_max_idle))
        elif node.throttle is not None:  # who has something to send waits for its end
            self._arm_requests(node, now + self._config.connections_max_idle)
        elif connection.used + self._config.connections_max_idle <= now:
            self.disconnect(node, now)
        else:
            self._arm_requests(node, connection.used + self._config.connections_max_idle)

    def _cancel_timer(self, node: Node) -> None:
        if node.timer is not None:
            node.timer.cancel()
            node.timer = None

    def _hint(self, node: Node) -> str | None:
        return advertised_hint(node.id, node.host, node.port) if node.id >= 0 else None

    def close(self, error: KafkaError, now: float) -> None:
        for node, connection in list(self._by_connection.values()):
            self._effects.append(Close(connection.id))
            node.connection = None
            self._cancel_timer(node)
            if connection.state is State.READY:
                self._tell_disconnected(node, None, now)
            connection.close(error, now)
        self._by_connection.clear()
        for node in self.nodes.values():
            self._cancel_timer(node)
