"""The producer id under which brokers recognise a producer's batches: asked for once, and again when it is used up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka.core.cluster.calls import Calls
from kafka.core.cluster.routes import ADVERTISED
from kafka.errors import ClusterAuthorizationFailedError, KafkaError, UnsupportedVersionError
from kafka.protocol import InitProducerIdRequest
from kafka.result import Err, Result

LARGEST_EPOCH = 32767
# Without a transactional id the time limit of transactions means nothing; Java sends the largest too.
_NO_TIMEOUT = 2**31 - 1


class Identity:
    """Of an idempotent producer. `producer_id` is -1 until a broker gave one; then `on_change(now)` is called.

    `error` says why there is none, where asking again would not help; it stays until somebody requests an id again.
    """

    def __init__(self, calls: Calls, request_timeout: float, on_change: Callable[[float], None]) -> None:
        self._calls = calls
        self._timeout = request_timeout
        self._on_change = on_change
        self._asking = False
        self.producer_id = -1
        self.epoch = -1
        self.error: KafkaError | None = None
        self.last_error: KafkaError | None = None  # why it takes so long

    def request(self, now: float) -> None:
        """See to it that there is an id."""
        if self.producer_id < 0 and not self._asking:
            self._asking = True
            self.error = None
            self._ask(now)

    def renew(self, producer_id: int, now: float) -> None:
        """This id is of no more use: its epochs are used up, or brokers refuse it."""
        if producer_id == self.producer_id:
            self.producer_id = self.epoch = -1
        self.request(now)

    def _ask(self, now: float) -> None:
        def build(version: int) -> Any:
            return InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=_NO_TIMEOUT)

        # Not of a bootstrap server: until its metadata has been seen, that may belong to another cluster.
        self._calls.request(ADVERTISED, InitProducerIdRequest, build, self._answered, now, self._timeout)

    def _answered(self, result: Result[Any, KafkaError], now: float) -> None:
        if not isinstance(result, Err):
            self._asking = False
            self.last_error = None
            self.producer_id, self.epoch = result.value.producer_id, result.value.producer_epoch
        elif result.error.retriable and self._calls.closed_by is None:
            self.last_error = result.error
            self._ask(now)  # with the pauses that calls to any broker make between rounds
            return
        else:
            self._asking = False
            self.error = self.last_error = _explained(result.error)
        self._on_change(now)


def _explained(error: KafkaError) -> KafkaError:
    """With what to do about it: what brokers say of the request tells nothing of whoever sends records."""
    if isinstance(error, UnsupportedVersionError):
        error = UnsupportedVersionError(f"No broker gives out producer ids, which idempotence needs: {error.args[0]}")
        error.hint = "Set enable_idempotence=False; a retry may then write a record twice, or out of order."
    elif isinstance(error, ClusterAuthorizationFailedError):
        error = error.fresh()
        error.hint = (
            "Idempotence needs Write on the topic (before Kafka 2.8: IdempotentWrite on the cluster): grant that to"
            " the principal, or set enable_idempotence=False."
        )
    return error
