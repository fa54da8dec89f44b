"""One lane of one broker: its connection, over all the sockets it has had, and when to try again.

Only a connection that came up whole ends the series of failures. What one lane suffers (a failure, a stall, a throttle)
is its own; but a lane that comes up shows that the broker can be reached, so the others try again at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kafka.core.effects import Buffer, Close, Connect, Notice, Send
from kafka.core.net.bring_up import Attempt, Route
from kafka.core.net.connection import Callback, Connection
from kafka.core.net.failures import (
    REQUEST,
    SASL,
    STAGES,
    all_addresses_failed,
    closed_at_once_hint,
    closed_hint,
    connect_hint,
    connection_error,
    describe,
    hung_up_hint,
    is_by_peer,
    late_answer,
    no_answer,
    proxy_hung_up_hint,
    refusal,
    wants_sasl_hint,
)
from kafka.core.net.lanes import Lane
from kafka.core.net.network import Network
from kafka.core.net.states import ConnectionState
from kafka.core.net.tls_failures import is_tls, tls_error
from kafka.core.timers import Timer
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.result import Err, Ok

if TYPE_CHECKING:
    from kafka.core.net.node import Node


class Channel:
    __slots__ = (
        "node", "lane", "connection", "connecting_since", "retry_at", "failures", "failing_since", "failed_at", "error",
        "moved", "throttled_until", "throttle", "throttles", "throttle_seconds", "troubles", "tried_since",
        "was_silent", "refusals", "network", "_attempt", "_route", "_timer",
    )  # fmt: skip

    def __init__(self, node: Node, lane: Lane, network: Network) -> None:
        self.node = node
        self.lane = lane
        self.connection: Connection | None = None
        self.connecting_since = 0.0
        self.retry_at = 0.0
        self.failures = 0  # in a row
        self.failing_since: float | None = None
        self.failed_at = 0.0
        self.error: KafkaError | None = None
        self.moved = False  # its connection leads to where the broker was before
        self.throttled_until = 0.0
        self.throttle: Timer | None = None  # while it is throttled: until then nothing is to be sent
        self.throttles = 0
        self.throttle_seconds = 0.0
        self.troubles: dict[Route, KafkaConnectionError] = {}  # what was last wrong with each of the name's addresses
        self.was_silent = False  # no answer came in time, when it was last tried
        self.tried_since = 0.0  # the present step: the name's look-up, or one address
        self.refusals = 0  # how often in a row the broker did not take this client
        self.network = network
        self._attempt: Attempt | None = None  # to get a connection
        self._route: Route | None = None  # that of the last connection
        self._timer: Timer | None = None  # of connection set-up, of the next attempt, or of the requests in flight

    def __repr__(self) -> str:
        return f"{self.lane.name} of {self.node.name}"

    @property
    def is_up(self) -> bool:
        """Whether requests are answered: it is ready, or authenticates behind them."""
        connection = self.connection  # read once: `health` is for other threads too
        return connection is not None and connection.is_up

    @property
    def is_ready(self) -> bool:
        connection = self.connection
        return connection is not None and connection.state is ConnectionState.READY

    @property
    def is_open(self) -> bool:
        """Whether it takes requests now: ready, neither throttled nor moved, and its session goes on."""
        if self.throttle is not None or self.moved or not self.is_ready:
            return False
        session = self.connection.session  # type: ignore[union-attr]
        return session is None or not session.is_due

    @property
    def is_connecting(self) -> bool:
        return self._attempt is not None

    @property
    def looks_up(self) -> tuple[str, int] | None:
        """The name (and port) whose addresses are waited for, if any."""
        return None if self._attempt is None else self._attempt.looks_up

    @property
    def is_tried(self) -> bool:
        """Whether a connection is being made, or will be when the backoff is over."""
        return self._attempt is not None or (self.connection is None and self._timer is not None)

    @property
    def room(self) -> int:
        """How many more requests it takes now."""
        if not self.is_open:
            return 0
        connection = self.connection
        assert connection is not None
        return connection.window.limit - len(connection.in_flight) - len(connection.unwritten)

    # -- bringing a connection up --------------------------------------------------------------------------------------

    def ensure(self, now: float) -> None:
        """Sees to it that there is a connection that takes requests: at once, or when the backoff is over."""
        if self.connection is not None or self._attempt is not None or self.network.closed:
            if self.throttle is None:
                self._want_session(now)
            return
        if now < self.retry_at:
            if self._timer is None:
                self._timer = self.network.timers.at(self.retry_at, self._retry)
            return
        self.connecting_since = now
        self.was_silent = False
        self._attempt = Attempt(self, self._brought_up, now)
        self._attempt.start(now)

    def _retry(self, now: float) -> None:
        self._timer = None
        self.ensure(now)

    def open(self, route: Route, addresses: int, now: float) -> Connection:
        """A new connection, which the driver is to open; `addresses`: how many are left to try, this one included."""
        network, node = self.network, self.node
        config, events = network.config, network.events
        self._route = route
        connection = self.connection = Connection(
            network.next_id(),
            route.address,
            route.name(node, config.proxy),
            client_id=config.client_id,
            software=config.software,
            limit=config.receive_message_max_bytes,
            most_in_flight=config.max_in_flight,
            patience=config.request_timeout,
            on_throttle=self._throttled,
            on_request=partial(events.request, node) if events.request is not None else None,
            on_response=partial(events.response, node) if events.response is not None else None,
        )
        self.moved = False
        network.by_connection[connection.id] = self
        self.arm_setup(now, addresses)
        network.effects.append(Connect(connection.id, route.address, node.host, node.port))
        return connection

    def on_connected(self, now: float) -> None:
        if self._attempt is not None:
            self._attempt.go_on(Ok(None), now)

    def on_secured(self, now: float, by: str | None) -> None:
        if self.connection is not None:
            self.connection.tls = by
        self.on_connected(now)

    def _brought_up(self, errors: list[KafkaConnectionError], now: float) -> None:
        self._attempt = None
        if errors:
            self._failed(errors, now)
        else:
            self._up(now)

    def _up(self, now: float) -> None:
        network, node, connection = self.network, self.node, self.connection
        assert connection is not None
        if connection.features_epoch > network.features_epoch:  # brokers learn of changes one by one
            network.features, network.features_epoch = connection.features, connection.features_epoch
        failing_since = node.failing_since
        if network.events.connected is not None:
            network.events.connected(node, now - self.connecting_since, now)
        node.was_reached = True
        self.troubles.clear()
        self._forget_failures()
        # Those that failed after this attempt began have shown something that it does not disprove.
        others = [c for c in node.channels.values() if c.connection is None and c.failed_at < self.connecting_since]
        for channel in others:
            channel._forget_failures()
        if failing_since is not None and node.failing_since is None:
            network.note(node.reporter.recovered(node, now - failing_since))
            if network.events.recovered is not None:
                network.events.recovered(node, now - failing_since, now)
        self._arm_requests(now + network.config.connections_max_idle)
        if connection.session is not None:
            connection.session.begin(now)
        if self.is_open:
            network.owner.on_open(self, now)
        for channel in others:
            if channel._timer is not None and not channel.is_connecting:  # it waited for its backoff to be over
                channel.cancel_timer()
                channel.ensure(now)

    def _forget_failures(self) -> None:
        self.failures = self.refusals = 0
        self.failing_since = None
        self.error = None
        self.retry_at = 0.0

    # -- requests ------------------------------------------------------------------------------------------------------

    def send(
        self,
        message: Any,
        version: int,
        callback: Callback,
        now: float,
        answer_within: float,
        *,
        answered: bool = True,
        timed: bool = False,
    ) -> KafkaError | None:
        """See `Connection.send`. It must be ready. Only if this returns None will the callback be called."""
        connection = self.connection
        assert connection is not None and connection.state is ConnectionState.READY
        encoded = connection.send(message, version, callback, now, answer_within, answered=answered, timed=timed)
        if isinstance(encoded, Err):
            return encoded.error
        self.network.effects.append(Send(connection.id, encoded.value, not answered))
        if now + answer_within < self._timer.deadline:  # type: ignore[union-attr]
            self._arm_requests(now + answer_within)
        return None

    def ask(self, message: Any, version: int, callback: Callback, now: float) -> None:
        """Sends what a session is made of, on a connection that comes up or is up. The callback is called once."""
        connection, patience = self.connection, self.network.config.request_timeout
        assert connection is not None
        encoded = connection.send(message, version, callback, now, patience)
        if isinstance(encoded, Err):
            callback(encoded, now)
            return
        self.network.effects.append(Send(connection.id, encoded.value))
        if not connection.is_up:
            self.arm_setup(now)
        elif now + patience < self._timer.deadline:  # type: ignore[union-attr]
            self._arm_requests(now + patience)

    def await_own_work(self) -> None:
        """It is not the broker that is waited for."""
        if not self.is_up:
            self.cancel_timer()

    def on_written(self, now: float) -> None:
        assert self.connection is not None
        self.connection.written(now)
        self._leave_old_place(now)
        if self.is_open:
            self.network.owner.on_answers(self, now)

    def on_received(self, data: Buffer, now: float) -> None:
        was_up = self.is_up
        connection = self.connection
        assert connection is not None
        if not was_up and connection.state is ConnectionState.PROXYING:
            self._attempt.go_on(Ok(data), now)  # type: ignore[union-attr]
            return
        error = connection.receive(data, now)
        if error is not None:
            self.fail(error, now)
        elif was_up:
            if connection.is_earlier:
                connection.is_earlier = False
                if self.is_up and connection.deadline() < self._timer.deadline:  # type: ignore[union-attr]
                    self._arm_requests(connection.deadline())
            self._leave_old_place(now)
            if self.is_open:
                self.network.owner.on_answers(self, now)

    # -- throttling ----------------------------------------------------------------------------------------------------

    def _throttled(self, seconds: float, now: float) -> None:
        """The broker says that it will not look at what is sent on this connection for so long (KIP-219).

        It stops reading from it, so what is in flight there gets that much more time.
        """
        network = self.network
        before = max(self.throttled_until, now)
        self.throttled_until = max(before, now + seconds)
        longer = self.throttled_until - before
        self.throttles += 1
        self.throttle_seconds += longer
        if longer > 0 and self.connection is not None:
            self.connection.postpone(longer)
        if self.throttle is None:
            self.await_throttle()
        network.note(self.node.reporter.throttled(self.node, seconds, now))
        if network.events.throttled is not None:
            network.events.throttled(self.node, seconds, now)

    def await_throttle(self) -> None:
        self.throttle = self.network.timers.at(self.throttled_until, self._throttle_over)

    def _throttle_over(self, now: float) -> None:
        self.throttle = None
        if now < self.throttled_until:
            self.await_throttle()
        elif self.is_ready:
            self._want_session(now)
            self.network.owner.on_open(self, now)

    # -- its session (SASL) --------------------------------------------------------------------------------------------

    @property
    def waits_for(self) -> str | None:
        """What is being done on this side before the connection can be used, if anything."""
        connection = self.connection
        return None if connection is None or connection.session is None else connection.session.waits_for

    def _want_session(self, now: float) -> None:
        if self.connection is not None and self.connection.session is not None:
            self.connection.session.want(now)

    def on_reauthenticated(self, now: float) -> None:
        if self.is_open:
            self.network.owner.on_open(self, now)

    def on_session_lost(self, error: KafkaError, now: float) -> None:
        """It could not be renewed. A new connection may do better: on this one the client can be nobody else."""
        connection = self.connection
        assert connection is not None
        failure = connection_error(connection.name, SASL, error)
        self.network.note(Notice("info", f"A session could not be renewed, so a new connection is made. {failure}"))
        self.retry_at = now + self.network.reconnect.delay(1)
        self.end(connection, failure, now, told=failure)
        self.network.owner.on_down(self, failure, now)

    # -- the end of a connection ---------------------------------------------------------------------------------------

    def on_closed(self, cause: object, now: float) -> None:
        """The driver reports that it could not be opened or has ended; cause None: an orderly end."""
        connection, hint = self.connection, None
        assert connection is not None
        by_peer = connection.is_up and is_by_peer(cause)
        if connection.state is ConnectionState.CONNECTING:
            hint = connect_hint(cause, self.node, self.network.config.proxy is not None)
        elif connection.state is ConnectionState.PROXYING:
            hint = proxy_hung_up_hint()
        elif connection.state is ConnectionState.NEGOTIATING and not connection.heard and not is_tls(cause):
            connection.was_refused = True
            hint = closed_at_once_hint(self.node.was_reached, self.network.config.tls)
        elif connection.state is ConnectionState.AUTHENTICATING:
            hint = hung_up_hint()
        elif by_peer and connection.is_busy and self.network.mechanism is None and not self.network.was_answered():
            hint = wants_sasl_hint(self.network.config.tls)
        elif by_peer:
            hint = closed_hint()
        # With TLS 1.3 the broker looks at our certificate when to us the handshake is over.
        if connection.state is ConnectionState.SECURING or (is_tls(cause) and not connection.heard):
            error = tls_error(connection.name, cause, self.node.host, self.node.id >= 0)
        else:
            error = connection_error(connection.name, STAGES[connection.state], describe(cause), hint)
        error.closed_by_peer = by_peer
        if connection.is_up and not connection.is_busy:
            # Brokers and balancers drop idle connections. If more is wrong, the next attempt will tell.
            self.retry_at = now + self.network.reconnect.delay(1)
            self._drop(connection, None, now)
            connection.close(error, now)
            self.network.owner.on_down(self, error, now)
        else:
            self._lost(connection, error, now)

    def move(self, now: float) -> None:
        """The broker is elsewhere by now. A connection to where it was ends with the answers that it owes.

        What it may hold back for long is not waited for.
        """
        self.retry_at = 0.0  # what failed was the old place
        self.moved = self.connection is not None
        if self.is_connecting:
            self.disconnect(now)
            self.ensure(now)
        else:
            self._leave_old_place(now)

    def _leave_old_place(self, now: float) -> None:
        connection = self.connection
        if connection is None or not self.moved:
            return
        if not connection.is_busy or now < connection.waiting_since < float("inf"):
            self.disconnect(now)
            self.ensure(now)

    def disconnect(self, now: float) -> None:
        """Closes an idle connection, or ends an attempt to get one; nothing is wrong with the broker."""
        self._give_up_attempt()
        connection = self.connection
        if connection is not None:
            self.end(connection, connection_error(connection.name, REQUEST, "closed by this client"), now)

    def end(self, connection: Connection, error: KafkaError, now: float, told: KafkaError | None = None) -> None:
        """Closes it, whatever its state; what is in flight fails with `error`. `told`: what the listeners hear."""
        self.network.effects.append(Close(connection.id))
        self._drop(connection, told, now)
        connection.close(error, now)

    def close(self, error: KafkaError, now: float, told: KafkaError | None = None) -> None:
        """Ends all there is of it."""
        self._give_up_attempt()
        self.cancel_timer()
        if self.throttle is not None:
            self.throttle.cancel()
            self.throttle = None
        if self.connection is not None:
            self.end(self.connection, error, now, told)

    def fail(self, error: KafkaError, now: float) -> None:
        """Ends the connection as if it had broken, or the attempt to get one as if it had failed."""
        if self.connection is not None:
            self.network.effects.append(Close(self.connection.id))
            self._lost(self.connection, error, now)
        elif self._attempt is not None:
            self._attempt.fail(error, now)

    def _drop(self, connection: Connection, told: KafkaError | None, now: float) -> None:
        """Settles the channel's own state, before any callback can look at it."""
        del self.network.by_connection[connection.id]
        self.connection = None
        self.cancel_timer()
        if connection.session is not None:
            connection.session.end()
        self.network.answered |= connection.heard > 1
        if connection.is_up and self.network.events.disconnected is not None:
            self.network.events.disconnected(self.node, told, now)

    def _lost(self, connection: Connection, error: KafkaError, now: float) -> None:
        was_up = connection.is_up
        self._drop(connection, error, now)
        if was_up:
            self._note_failure([error], now)  # type: ignore[list-item]
            connection.close(error, now)
            self.network.owner.on_down(self, self.error or error, now)
        else:  # the attempt goes on, with the next address
            attempt = self._attempt
            waits_for_answer = attempt is None or attempt.waits_for_answer
            connection.close(error, now)  # whose callback lets it go on where it waits for an answer
            if attempt is not None and not waits_for_answer:
                attempt.go_on(Err(error), now)

    def _give_up_attempt(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None
            self.cancel_timer()

    def _failed(self, errors: list[KafkaConnectionError], now: float) -> None:
        self.cancel_timer()
        self._note_failure(errors, now)
        assert self.error is not None
        self.network.owner.on_down(self, self.error, now)

    def _note_failure(self, errors: list[KafkaConnectionError], now: float) -> None:
        network, node = self.network, self.node
        self.failures += 1
        is_first = node.failing_since is None
        if self.failing_since is None:
            self.failing_since = now
        self.failed_at = now
        self.error = all_addresses_failed(node.name, errors)
        self.refusals = self.refusals + 1 if refusal(self.error) is not None else 0
        backoff = network.refused if self.refusals else network.reconnect
        self.retry_at = now + backoff.delay(self.failures)
        network.note(node.reporter.failed(node, now))
        if network.events.failing is not None and is_first:
            network.events.failing(node, self.error, now)

    # -- time ----------------------------------------------------------------------------------------------------------

    def arm_setup(self, now: float, addresses: int = 1) -> None:
        """Gives what begins now its time; `addresses`: how many have yet to get theirs, this one included."""
        self.cancel_timer()
        timeout = self.network.setup.delay(self.failures + 1)
        if now < self.network.awaited_until:
            timeout = min(timeout, (self.network.awaited_until - now) / addresses)
        self.tried_since = now
        self._timer = self.network.timers.at(now + timeout, self._setup_timed_out)

    def _setup_timed_out(self, now: float) -> None:
        self._timer = None
        self.was_silent = True
        self.fail(no_answer(self, self.tried_since, now), now)

    def pending_error(self, since: float, now: float) -> KafkaError:
        """What to say of a broker that was waited for in vain: what is wrong with each address tried so far."""
        if self.connection is None and self.error is not None:
            return self.error
        tried = self._route if self.connection is not None else None
        others = [error for route, error in self.troubles.items() if route != tried]
        return all_addresses_failed(self.node.name, [*others, no_answer(self, since, now)])

    def _arm_requests(self, deadline: float) -> None:
        self.cancel_timer()
        self._timer = self.network.timers.at(deadline, self._check)

    def _check(self, now: float) -> None:
        """One timer a connection, moved only when it fires: one per request would cost more than the request."""
        self._timer = None
        connection = self.connection
        if connection is None:
            return
        max_idle = self.network.config.connections_max_idle
        deadline = connection.deadline()
        if deadline <= now:
            late = next((entry for entry in connection.in_flight if entry.deadline <= now), None)
            self.was_silent = True
            self.fail(late_answer(connection.name, late, now), now)
        elif connection.is_busy:
            self._arm_requests(min(deadline, now + max_idle))
        elif self.throttle is not None:  # who has something to send waits for its end
            self._arm_requests(now + max_idle)
        elif connection.used + max_idle <= now:
            self.disconnect(now)
        else:
            self._arm_requests(connection.used + max_idle)

    def cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
