"""Which broker coordinates a group or a transaction: asked for once per key, forgotten when it turns out wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka.core.backoff import Backoff
from kafka.core.cluster.calls import ADVERTISED, Coordinator
from kafka.errors import KafkaError, for_code
from kafka.protocol import FindCoordinatorRequest
from kafka.result import Err, Result

if TYPE_CHECKING:
    from kafka.core.core import Core
    from kafka.core.net.node import Node


class Coordinators:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._backoff = Backoff(core.config.retry_backoff, core.config.retry_backoff_max, core.random)
        self._known: dict[Coordinator, int] = {}
        self._failures: dict[Coordinator, int] = {}  # of lookups under way

    def get(self, key: Coordinator, now: float) -> Node | None:
        """The coordinator's node; None if it must first be found: `Calls.on_coordinator` follows."""
        node = self._core.nodes.broker(self._known.get(key, -1))
        if node is None and key not in self._failures:
            self._failures[key] = 0
            self._find(key, now)
        return node

    def forget(self, key: Coordinator) -> None:
        self._known.pop(key, None)

    def _find(self, key: Coordinator, now: float) -> None:
        def build(version: int) -> Any:
            if version >= 4:
                return FindCoordinatorRequest(key_type=key.kind, coordinator_keys=[key.key])
            return FindCoordinatorRequest(key_type=key.kind, key=key.key)

        timeout = self._core.config.request_timeout
        self._core.calls.start(
            ADVERTISED, FindCoordinatorRequest, build, lambda result, now: self._found(key, result, now), now, timeout
        )

    def _found(self, key: Coordinator, result: Result[Any, KafkaError], now: float) -> None:
        if isinstance(result, Err):
            self._over(key, result.error, now)
            return
        answer = result.value.coordinators[0] if result.value.coordinators else result.value
        error = for_code(answer.error_code, answer.error_message)
        if error is None:
            self._known[key] = answer.node_id
            self._core.nodes.learn(answer.node_id, answer.host, answer.port, now)
            self._over(key, None, now)
        elif error.retriable and self._core.calls.wanted(key):
            self._failures[key] += 1
            pause = self._backoff.delay(self._failures[key])
            self._core.timers.at(now + pause, lambda now: self._find(key, now))
        else:
            self._over(key, error, now)

    def _over(self, key: Coordinator, error: KafkaError | None, now: float) -> None:
        del self._failures[key]
        self._core.calls.on_coordinator(key, error, now)
