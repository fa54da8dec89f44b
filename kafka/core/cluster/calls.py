"""Requests with a route: "any broker", "the controller", "the leader of this partition", not a connection.

A call is tied to its intent. It picks a broker when it starts and again whenever that broker fails, answers that it is
the wrong one, or (where any broker will do) takes too long; the data path of produce and fetch does not pass through
here. The callback of every call is called exactly once: with the response, or with an error, at the latest at its
deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from kafka.core.backoff import Backoff, Random
from kafka.core.cluster.call import Answer, Call, Refuse
from kafka.core.cluster.routes import AnyBroker, Coordinator, Route, View
from kafka.core.config import Config
from kafka.core.flows import Resume, Wish
from kafka.core.net.channel import Channel
from kafka.core.net.connection import Callback
from kafka.core.net.failures import is_final, refusal, refused_by, unreachable
from kafka.core.net.lanes import CONNECTION_OF, Lane
from kafka.core.net.node import Node
from kafka.core.net.nodes import Nodes
from kafka.core.timers import Timers
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, UnsupportedVersionError
from kafka.result import Err, Ok, Result

# A broker that has owed an answer, or a connection, for so many seconds is asked only if there is no better one.
SILENT_AFTER = 0.5


class Calls:
    def __init__(self, config: Config, random: Random, timers: Timers, nodes: Nodes, view: View) -> None:
        self._config = config
        self._random = random
        self._timers = timers
        self._nodes = nodes
        self._view = view
        self._backoff = Backoff(config.retry_backoff, config.retry_backoff_max, random)
        self._open: dict[Call, None] = {}
        # Those that wait, by what they wait for.
        self._for_channel: dict[Channel, dict[Call, None]] = {}
        self._for_coordinator: dict[Coordinator, dict[Call, None]] = {}
        self._for_metadata: dict[Call, None] = {}
        self.closed_by: KafkaError | None = None

    # -- starting ------------------------------------------------------------------------------------------------------

    def request(
        self,
        route: AnyBroker | Route,
        message_class: Any,
        build: Callable[[int], Any],
        callback: Callback,
        now: float,
        timeout: float,
        **options: Any,
    ) -> None:
        """Sends a request to whichever broker the route leads to, connecting and re-routing as needed.

        `build(version)` makes the message once the version is known, again for each attempt. `callback(result, now)` is
        called exactly once, at the latest after `timeout` seconds: Ok(response), or Err with a transport error, a
        decoding error, or the response's own top-level error; other errors inside the response are the caller's.
        Failures that may pass (a lost connection, a moved leader or coordinator, a retriable error) are retried until
        then: any request may reach brokers twice. For `options` see `start`.
        """

        def answered(result: Result[Answer, KafkaError], now: float) -> None:
            callback(result if isinstance(result, Err) else Ok(result.value.response), now)

        self.start(route, message_class, build, answered, now, timeout, **options)

    def ask(
        self, route: AnyBroker | Route, message_class: Any, build: Callable[[int], Any], timeout: float, **options: Any
    ) -> Wish[Result[Answer, KafkaError]]:
        """`request` for flows."""

        def start(resume: Resume[Result[Answer, KafkaError]], now: float) -> None:
            self.start(route, message_class, build, resume, now, timeout, **options)

        return Wish(start)

    def start(
        self,
        route: AnyBroker | Route,
        message_class: Any,
        build: Callable[[int], Any],
        callback: Callable[[Result[Answer, KafkaError], float], None],
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
        takes: Collection[int] = (),
    ) -> None:
        """`request`, with more of the answer.

        `newest` caps the version. With `once` the request reaches one broker at most: what came of the first attempt
        that was written is the result, and only what fails before that is tried again. It goes over the broker's
        connection for this `lane`. `answer_within`: seconds after which a connection without an answer counts as dead
        (default: request_timeout), for requests whose answer the broker may hold back. What
        `refuse(node, response, now)` gives an error for counts as a failed attempt. A response whose own error is one
        of `takes` is the result, as if it had none.
        """
        if self.closed_by is not None:
            callback(Err(self.closed_by), now)
            return
        if answer_within is None:
            answer_within = self._config.request_timeout
        call = Call(
            route, message_class, build, callback, now, now + timeout, patience, newest, name, refuse, once, avoid,
            lane, answer_within, takes,
        )  # fmt: skip
        self._open[call] = None
        self._route(call, now)

    # -- choosing a broker ---------------------------------------------------------------------------------------------

    def _route(self, call: Call, now: float) -> None:
        call.attempt += 1
        call.node = None
        if isinstance(call.route, AnyBroker):
            node = self._choose(call, call.route, now)
            if node is None and call.tried:
                self._round_over(call, now)
                return
        else:
            error = call.route.seek(self._view, now)
            node = self._nodes.broker(call.route.broker_id(self._view))
            if node is None and error is not None:
                self._finish(call, Err(error), now)
                return
        self._arm(call, self._attempt_ends(call, node, now) if node is not None else call.deadline)
        if node is None:
            if isinstance(call.route, AnyBroker):
                call.route.forget(self._view, now)
            self._park(call, self._for_coordinator.setdefault(call.route, {}) if isinstance(call.route, Coordinator)
                       else self._for_metadata)  # fmt: skip
            return
        call.node = node
        channel = node.channel(call.lane)
        if channel.is_open:
            self._send(call, channel, now)
        else:
            self._park(call, self._for_channel.setdefault(channel, {}))
            channel.ensure(now)

    def _attempt_ends(self, call: Call, node: Node, now: float) -> float:
        if not isinstance(call.route, AnyBroker) or call.route.controller:
            return call.deadline
        # Doubled with each round, for a cluster where all are slow; an answer that comes late counts all the same.
        seconds = self._config.any_broker_attempt * 2.0 ** min(call.failures, 8)
        if call.patience < float("inf"):  # somebody waits just so long: all are to get their turn
            untried = sum(node.id not in call.tried for node in self._candidates(call.route))
            seconds = min(seconds, (call.deadline - now) / max(untried, 1))
        held = max(call.answer_within - self._config.request_timeout, 0.0)
        ends = min(call.deadline, now + seconds + held)
        refused = self._refusals(call)
        if refused and node.id not in refused:
            ends = min(ends, max(now, call.started + call.patience))  # whoever waits is to hear of the refusal
        return ends

    def _choose(self, call: Call, route: AnyBroker, now: float) -> Node | None:
        """One that was not tried in this round; None: there is none, or (nothing was tried) no broker is known."""
        untried = [node for node in self._candidates(route) if node.id not in call.tried]
        preferred: list[Node] = []
        if route.controller:
            preferred = [node for node in untried if node.id == self._view.snapshot.controller_id]
        elif call.avoid is not None:
            preferred = [node for node in untried if node.id >= 0 and node.id != call.avoid]
        well = [node for node in preferred if _is_well(node.channel(call.lane), now)]
        return self._best(well, call.lane, now) or self._best(untried, call.lane, now)

    def _candidates(self, route: AnyBroker) -> list[Node]:
        nodes = self._nodes.nodes
        candidates = [nodes[id] for id in self._view.snapshot.brokers if id in nodes]
        if not route.advertised:
            # The bootstrap addresses stay in reserve: the whole cluster may have moved (KIP-899).
            candidates += [node for node in nodes.values() if node.id < 0]
        return candidates

    def _best(self, nodes: list[Node], lane: Lane, now: float) -> Node | None:
        """The one most likely to answer soon; of ready ones the one with least in flight."""
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
            elif not _is_well(channel, now):
                rank = 6 + (node.id < 0)
            elif node.id < 0:  # an address of bootstrap_servers: one of the brokers by another name
                rank = 5
            else:
                rank = 1 if channel.is_connecting else 2
            if (rank, urgency, tie := self._random.random()) < best_rank:
                best, best_rank = node, (rank, urgency, tie)
        return best

    # -- one attempt ---------------------------------------------------------------------------------------------------

    def _send(self, call: Call, channel: Channel, now: float) -> None:
        assert channel.connection is not None
        version = channel.connection.version_for(call.message_class, call.newest)
        if not isinstance(version, int):
            if isinstance(call.route, AnyBroker):  # brokers of different releases: another one may know it
                self._failed(call, version, now)
            else:
                self._finish(call, Err(version), now)
            return
        attempt = call.attempt

        def answered(result: Result[Any, KafkaError], now: float) -> None:
            self._answered(call, attempt, version, channel.node, result, now)

        # Not the call's own time: an impatient call gives up alone, without taking others with it, and a patient one
        # finds out that the connection is dead while there is time for another attempt.
        error = channel.send(call.build(version), version, answered, now, call.answer_within)
        if error is not None:
            self._finish(call, Err(error), now)

    def _answered(
        self, call: Call, attempt: int, version: int, node: Node, result: Result[Any, KafkaError], now: float
    ) -> None:
        if call.done:
            return
        error = result.error if isinstance(result, Err) else getattr(result.value, "error", None)
        if error is not None and error.errno in call.takes and isinstance(result, Ok):
            error = None
        if error is None and call.refuse is not None:
            refused = call.refuse(node, result.unwrap(), now)
            if refused is not None:
                if call.attempt == attempt:
                    self._failed(call, refused, now)
                return
        is_current = call.attempt == attempt
        if error is None:
            answer = Ok(Answer(result.unwrap(), version, node.id))
            if not is_current and not (isinstance(call.route, AnyBroker) and not call.route.controller):
                return  # another broker is being asked by now; where any will do, this is as good
            wrong = self._inner(call, result.unwrap(), now) if is_current else None
            if wrong is None or call.once:
                self._finish(call, answer, now)
            else:
                self._failed(call, wrong, now)
        elif is_current:
            is_wrong = self._is_wrong(call, error, now)
            if not call.once and (error.retriable or is_wrong):
                self._failed(call, error, now)
            else:
                self._finish(call, Err(error), now)

    def _inner(self, call: Call, response: Any, now: float) -> KafkaError | None:
        """Many responses have their errors inside: one that says "not I" concerns the route, any other the caller."""
        if isinstance(call.route, AnyBroker) and not call.route.controller:
            return None
        return next((error for _, error in response.errors() if self._is_wrong(call, error, now)), None)

    def _is_wrong(self, call: Call, error: KafkaError, now: float) -> bool:
        if not call.route.is_elsewhere(error):
            return False
        call.route.forget(self._view, now)
        return True

    def _failed(self, call: Call, error: KafkaError, now: float) -> None:
        """One attempt is over; what comes next depends on the route."""
        if call.node is not None:
            call.errors[call.node.name] = error
            call.tried[call.node.id] = None
            call.silent.pop(call.node.id, None)
        if not isinstance(call.route, AnyBroker):
            self._pause(call, now)
        elif call.route.controller and error.errno is None:
            self._pause(call, now)  # what it was asked may be under way: another one is not asked the same at once
        else:
            self._route(call, now)  # the next broker, at once

    def _round_over(self, call: Call, now: float) -> None:
        errors = [call.errors[node.name] for id in call.tried if (node := self._nodes.nodes.get(id)) is not None]
        if errors and all(isinstance(error, UnsupportedVersionError) for error in errors):
            self._finish(call, Err(errors[0]), now)  # all there are were heard, and none knows such a request
            return
        in_vain = any(is_final(*found) for found in self._refusals(call).values())
        if in_vain or (now - call.started >= call.patience and not self._is_kept_waiting(call)):
            self._expire(call, now)
            return
        if call.patience < float("inf") and all(_is_mistake(error) for error in call.errors.values()):
            self._finish(call, Err(unreachable(f"{call.name} failed:", call.errors.values())), now)
            return
        call.tried.clear()
        if isinstance(call.route, AnyBroker) and call.route.advertised:
            call.route.forget(self._view, now)  # they may all have moved
        self._pause(call, now)

    def _refusals(self, call: Call) -> dict[int, tuple[KafkaError, int]]:
        """Who refuses this client: why, and how often so far. For who starts it, who can mend that; for others none."""
        found: dict[int, tuple[KafkaError, int]] = {}
        if call.patience < float("inf") and isinstance(call.route, AnyBroker):
            for node in self._candidates(call.route):
                channel = node.channel(call.lane)
                why = refusal(channel.error) if channel.failed_at >= call.started else None
                if why is not None:
                    found[node.id] = (refused_by(node.name, why), channel.refusals)
        return found

    def _is_kept_waiting(self, call: Call) -> bool:
        """Whether a node that it asked has neither answered nor refused to: it may yet."""
        for id in call.tried:
            if (node := self._nodes.nodes.get(id)) is not None:
                channel = node.channel(call.lane)
                if channel.was_silent or channel.failed_at < call.silent.get(id, 0.0):
                    return True
        return False

    def _pause(self, call: Call, now: float) -> None:
        call.attempt += 1
        call.failures += 1
        call.node = None
        self._arm(call, call.deadline)
        ends = now + self._backoff.delay(call.failures)
        call.pause = self._timers.at(ends, lambda now: self._pause_over(call, now))

    def _pause_over(self, call: Call, now: float) -> None:
        call.pause = None
        if not call.done:
            self._route(call, now)

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _park(self, call: Call, group: dict[Call, None]) -> None:
        group[call] = None
        call.parked = group

    def _unpark(self, call: Call) -> None:
        if call.parked is not None:
            call.parked.pop(call, None)
            call.parked = None

    def _take(self, group: dict[Call, None]) -> list[Call]:
        """All that wait in this group; they wait no longer."""
        calls = list(group)
        for call in calls:
            self._unpark(call)
        return calls

    def on_open(self, channel: Channel, now: float) -> None:
        for call in self._take(self._for_channel.pop(channel, {})):
            if call.done:
                continue
            if channel.is_open:
                self._send(call, channel, now)
            else:  # one of the calls before it has closed the connection
                self._route(call, now)
        for waiting in list(self._for_channel.values()):
            for call in [call for call in waiting if _might_ask(call, channel)]:
                if call.parked is waiting and channel.is_open:
                    self._unpark(call)
                    self._route(call, now)

    def on_down(self, channel: Channel, error: KafkaError, now: float) -> None:
        for call in self._take(self._for_channel.pop(channel, {})):
            if not call.done:
                self._is_wrong(call, error, now)
                self._failed(call, error, now)

    def on_metadata(self, now: float) -> None:
        for call in self._take(self._for_metadata):
            if not call.done:
                self._route(call, now)
        for channel, waiting in list(self._for_channel.items()):
            for call in [call for call in waiting if self._has_moved(call, channel)]:
                if call.parked is waiting:
                    self._unpark(call)
                    self._route(call, now)

    def _has_moved(self, call: Call, channel: Channel) -> bool:
        """Whether a call that waits for a connection would by now wait for another one."""
        if isinstance(call.route, AnyBroker):
            goes_to = self._view.snapshot.controller_id if call.route.controller else -1
        else:
            goes_to = call.route.broker_id(self._view)
        return goes_to not in (-1, channel.node.id)

    def on_coordinator(self, route: Coordinator, error: KafkaError | None, now: float) -> None:
        """The coordinator of this key is known, or (error) will not be."""
        for call in self._take(self._for_coordinator.pop(route, {})):
            if call.done:
                continue
            if error is None:
                self._route(call, now)
            else:
                self._finish(call, Err(error), now)

    def is_wanted(self, route: Coordinator) -> bool:
        """Whether a call waits for this coordinator to be found."""
        return bool(self._for_coordinator.get(route))

    # -- the end -------------------------------------------------------------------------------------------------------

    def _arm(self, call: Call, deadline: float) -> None:
        if call.timer is not None:
            call.timer.cancel()
        call.timer = self._timers.at(deadline, lambda now: self._attempt_over(call, now))

    def _attempt_over(self, call: Call, now: float) -> None:
        call.timer = None
        if call.done:
            return
        if now < call.deadline:
            node = call.node
            assert node is not None
            channel = node.channel(call.lane)
            ends = self._attempt_ends(call, node, now)
            if channel.waits_for is not None and now < ends:  # the client is not ready, whichever broker it would ask
                self._arm(call, ends)
                return
            self._unpark(call)  # this broker has had its chance
            call.errors[node.name] = channel.pending_error(call.started, now)
            call.tried[node.id] = None
            call.silent[node.id] = now
            self._route(call, now)  # the next broker, at once
        else:
            self._expire(call, now)

    def _expire(self, call: Call, now: float) -> None:
        waited = now - call.started
        kept_waiting = [node for id in call.silent if (node := self._nodes.nodes.get(id)) is not None]
        if call.node is not None and call.node.name not in call.errors:
            kept_waiting.append(call.node)
        for node in kept_waiting:
            call.errors[node.name] = node.channel(call.lane).pending_error(call.started, now)
        if refused := self._refusals(call):
            self._finish(call, Err(max(refused.values(), key=lambda found: is_final(*found))[0]), now)
            return
        what = f"{call.name} did not succeed within {waited:.1f} s"
        metadata_error = self._view.metadata.error
        if call.errors:
            self._finish(call, Err(unreachable(what + ":", call.errors.values())), now)
        elif metadata_error is not None:
            self._finish(call, Err(unreachable(what + ", for want of metadata:", [metadata_error])), now)
        else:
            self._finish(call, Err(KafkaTimeoutError(what + ".")), now)

    def _finish(self, call: Call, result: Result[Answer, KafkaError], now: float) -> None:
        call.done = True
        del self._open[call]
        self._unpark(call)
        for timer in (call.timer, call.pause):
            if timer is not None:
                timer.cancel()
        call.callback(result, now)

    def close(self, error: KafkaError, now: float) -> None:
        """Fails all that are open with this error, and those that are started later."""
        self.closed_by = error
        for call in list(self._open):
            if not call.done:
                self._finish(call, Err(error), now)


def _is_mistake(error: KafkaError) -> bool:
    """Whether nothing comes of trying again before somebody has changed something."""
    return isinstance(error, KafkaConnectionError) and error.is_mistake


def _is_well(channel: Channel, now: float) -> bool:
    """Whether nothing says that this broker cannot be reached."""
    return not channel.failures and not (channel.is_connecting and now - channel.connecting_since >= SILENT_AFTER)


def _might_ask(call: Call, channel: Channel) -> bool:
    """Whether a call that waits for another broker may as well go to this one."""
    route, node = call.route, channel.node
    if CONNECTION_OF[call.lane] is not channel.lane or not isinstance(route, AnyBroker) or node.id in call.tried:
        return False
    return node.id >= 0 or not route.advertised
