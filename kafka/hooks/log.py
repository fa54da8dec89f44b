"""Hooks that write to a logger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka._log import Repeats
from kafka.hooks.client import (
    BrokerFailing,
    BrokerRecovered,
    Connected,
    Disconnected,
    LeaderChanged,
    MetadataReceived,
    RequestSent,
    ResponseReceived,
    Throttled,
)
from kafka.hooks.consumer import OffsetsCommitted, Rebalanced, RecordsFetched
from kafka.hooks.dispatch import Hooks
from kafka.hooks.producer import BatchDelivered, BatchFailed, BatchRetried, BatchSent

if TYPE_CHECKING:
    import logging


class LoggingHooks(Hooks):
    """Writes events to a logger: trouble as WARNING or ERROR, connections and leaders as INFO, traffic as DEBUG.

        KafkaProducer(hooks=[LoggingHooks(logging.getLogger("my.kafka"))])

    Of the same trouble in the same place (a broker, a topic) one line a minute is written, with the number of those
    left out. Records' contents are in no event.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        import logging  # it takes milliseconds, and most programs without these hooks have no use for it

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

    def on_records_fetched(self, event: RecordsFetched) -> None:
        self._logger.debug("%s", event)

    def on_offsets_committed(self, event: OffsetsCommitted) -> None:
        if event.error is None:
            self._logger.debug("%s", event)
        else:
            self._trouble("commit", event.group, "offsets of group %s were not committed: %s", event.group, event.error)

    def on_rebalance(self, event: Rebalanced) -> None:
        counts = (len(event.assigned), len(event.revoked), len(event.lost))
        self._logger.info("group %s: %d partitions assigned, %d revoked, %d lost", event.group, *counts)

    def on_leader_changed(self, event: LeaderChanged) -> None:
        self._logger.info("%s[%d] is led by %d, no longer by %d", event.topic, event.partition, event.new, event.old)

    def on_metadata(self, event: MetadataReceived) -> None:
        self._logger.debug("%s", event)

    def _trouble(self, kind: str, place: str, text: str, *args: Any, error: bool = False) -> None:
        left_out = self._repeats.due((kind, place))
        if left_out is not None:
            (self._logger.error if error else self._logger.warning)(f"{text}%s", *args, left_out)
