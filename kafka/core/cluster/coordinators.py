"""Which broker coordinates a group or a transaction: asked for once per key, forgotten when it turns out wrong."""

from __future__ import annotations

from functools import partial
from typing import Any

from kafka.core.backoff import Backoff, Random
from kafka.core.cluster.call import Answer
from kafka.core.cluster.calls import Calls
from kafka.core.cluster.routes import ADVERTISED, Coordinator
from kafka.core.config import Config
from kafka.core.flows import Task, pause
from kafka.core.net.nodes import Nodes
from kafka.core.timers import Timers
from kafka.errors import KafkaError, ProtocolError, for_code
from kafka.protocol import FindCoordinatorRequest
from kafka.result import Err, Result

# From this version on a request may name many keys.
_MANY_KEYS = 4


class Coordinators:
    def __init__(self, config: Config, random: Random, timers: Timers, nodes: Nodes, calls: Calls) -> None:
        self._timers = timers
        self._nodes = nodes
        self._calls = calls
        self._timeout = config.request_timeout
        self._backoff = Backoff(config.retry_backoff, config.retry_backoff_max, random)
        self._known: dict[Coordinator, int] = {}
        self._sought: dict[Coordinator, None] = {}  # being looked up
        self._new: dict[int, list[Coordinator]] = {}  # by kind: to be looked up at once

    def get(self, route: Coordinator) -> int:
        """The coordinator's id; -1 if it must first be found."""
        node = self._nodes.broker(self._known.get(route, -1))
        return -1 if node is None else node.id

    def forget(self, route: Coordinator) -> None:
        self._known.pop(route, None)

    def look_up(self, route: Coordinator, now: float) -> None:
        """Finds it, unless it is known or looked for; `Calls.on_coordinator` follows."""
        if route in self._sought or self.get(route) >= 0:
            return
        self._sought[route] = None
        new = self._new.setdefault(route.kind, [])
        new.append(route)
        if len(new) == 1:  # whoever else asks in this moment is asked for along with it
            self._timers.at(now, lambda now: self._start(route.kind, now))

    def _start(self, kind: int, now: float) -> None:
        self._find_all(self._new.pop(kind), now)

    def _find_all(self, routes: list[Coordinator], now: float) -> None:
        Task(self._find(routes, now), lambda result, now: None).start(now)

    async def _find(self, routes: list[Coordinator], now: float) -> None:
        """Looks up these, all of one kind."""
        failures = 0

        def build(version: int) -> Any:
            if version >= _MANY_KEYS:
                keys = [route.key for route in routes]
                return FindCoordinatorRequest(key_type=routes[0].kind, coordinator_keys=keys)
            for route in routes[1:]:  # beside each other: what is wrong with one key is no other's affair
                self._timers.at(now, partial(self._find_all, [route]))
            del routes[1:]
            return FindCoordinatorRequest(key_type=routes[0].kind, key=routes[0].key)

        while routes:
            result, now = await self._calls.ask(ADVERTISED, FindCoordinatorRequest, build, self._timeout)
            routes[:] = [route for route in routes if self._is_to_be_asked_again(route, result, now)]
            if routes:
                failures += 1
                _, now = await pause(self._timers, self._backoff.delay(failures))

    def _is_to_be_asked_again(self, route: Coordinator, result: Result[Answer, KafkaError], now: float) -> bool:
        """Notes what the answer says of this one, and tells those who wait, unless another look may tell more."""
        if isinstance(result, Err):
            error: KafkaError | None = result.error
        else:
            response = result.value.response
            said: Any = response  # before there were many keys
            if result.value.version >= _MANY_KEYS:
                said = next((each for each in response.coordinators if each.key == route.key), None)
            if said is None:
                error = ProtocolError(f"the answer to a FindCoordinatorRequest does not name {route.key!r}")
            else:
                error = for_code(said.error_code, said.error_message)
                if error is None:
                    self._known[route] = said.node_id
                    self._nodes.learn(said.node_id, said.host, said.port, now)
                elif error.retriable and self._calls.is_wanted(route):
                    return True
        del self._sought[route]
        self._calls.on_coordinator(route, error, now)
        return False
