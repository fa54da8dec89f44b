"""What is said of a batch whose outcome is known: to its futures, to whoever listens, and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kafka.core.cluster.metadata import Metadata
from kafka.core.events import Listeners
from kafka.core.produce.numbering import Numbering
from kafka.core.produce.partitions import Partition, Topic
from kafka.core.timers import Timers
from kafka.errors import InvalidRecordError, KafkaError, KafkaTimeoutError, Persisted, for_code
from kafka.protocol.codes import Code

if TYPE_CHECKING:
    from kafka._codec import Batch, Deferred


class Outcomes:
    def __init__(
        self,
        metadata: Metadata,
        topics: Mapping[str, Topic],
        events: Listeners,
        numbering: Numbering,
        counts: Counter[str],
        delivery_timeout: float,
        timers: Timers,
    ) -> None:
        self._metadata = metadata
        self._timers = timers
        self._topics = topics
        self._events = events
        self._numbering = numbering
        self._counts = counts
        self._delivery_timeout = delivery_timeout  # seconds

    def delivered(self, batch: Batch, base_offset: int, log_append_time: int, now: float) -> None:
        if self._events.batch_delivered is not None:
            seconds = now - batch.created
            self._events.batch_delivered(
                batch.topic, batch.partition, batch.records, batch.size, seconds, base_offset, now
            )
        batch.complete(base_offset, log_append_time)  # last: whoever waits for it finds all told

    def failed(self, batch: Batch, error: KafkaError, now: float) -> None:
        """It was not acknowledged: its futures get an error of their own, which says whether it may be in the log."""
        own = error.fresh()
        in_doubt = batch.doubtful or batch.in_flight
        own.persisted = Persisted.POSSIBLY_PERSISTED if in_doubt else Persisted.NOT_PERSISTED
        own.place = _place(batch)
        self._counts[str(own.persisted)] += 1
        self._tell_failed(batch, own, now)
        batch.fail(own)
        self._numbering.on_batch_failed(own, now)

    def deferred_failed(self, record: Deferred, error: KafkaError, now: float) -> None:
        """It never had a place."""
        if record.done:
            return
        own = error.fresh()
        own.persisted = Persisted.NOT_PERSISTED
        if self._events.batch_failed is not None:
            self._events.batch_failed(record.topic, -1, 1, record.size, now - record.created, own, now)
        record.fail(own)
        self._numbering.on_batch_failed(own, now)

    def records_refused(self, batch: Batch, answer: Any, now: float) -> None:
        """Some of its records are bad, and the others were refused along with them (KIP-467)."""
        self._counts["record errors"] += 1
        errors, other = _record_errors(answer, batch)
        self._tell_failed(batch, answer.error, now)
        batch.fail_records(errors, other)
        self._numbering.on_batch_failed(other, now)

    def retried(self, batch: Batch, error: KafkaError, now: float) -> None:
        """It will be sent again, because of this error."""
        if self._events.batch_retried is not None and not batch.done:
            self._events.batch_retried(
                batch.topic, batch.partition, batch.records, batch.size, batch.attempts, error, now
            )

    def _tell_failed(self, batch: Batch, error: KafkaError, now: float) -> None:
        if self._events.batch_failed is not None:
            seconds = now - batch.created
            self._events.batch_failed(batch.topic, batch.partition, batch.records, batch.size, seconds, error, now)

    def timed_out(self, batch: Batch, partition: Partition | None) -> KafkaTimeoutError:
        """What happened to a batch that did not make it within the delivery timeout."""
        error = self._cause(batch, partition)
        timeout = KafkaTimeoutError(
            f"{batch.records} record{'s were' if batch.records > 1 else ' was'} not delivered to {_place(batch)} within"
            f" delivery_timeout_ms ({self._delivery_timeout * 1000:.0f} ms); times sent: {batch.attempts}."
            + self._timers.held_up(batch.created)
            + (f" The last failure: {error}" if error is not None else "")
        )
        timeout.__cause__ = error
        return timeout

    def _cause(self, batch: Batch, partition: Partition | None) -> KafkaError | None:
        if partition is not None and partition.last_error is not None:
            return partition.last_error
        if batch.partition < 0:
            topic = self._topics.get(batch.topic)
            errors = [p.last_error for p in topic.partitions if p.last_error is not None] if topic is not None else []
            if errors:
                return errors[0]
        if (error := self._numbering.trouble()) is not None:
            return error
        known = self._metadata.snapshot.topics.get(batch.topic)
        if known is not None and known.error is not None:
            return known.error
        if known is not None and known.partitions:
            leaders = [partition.leader] if partition is not None else [place.leader for place in known.partitions]
            if max(leaders) < 0:
                return for_code(Code.LEADER_NOT_AVAILABLE)
        return self._metadata.error


def _place(batch: Batch) -> str:
    return f"topic {batch.topic}" if batch.partition < 0 else f"{batch.topic}[{batch.partition}]"


def _record_errors(answer: Any, batch: Batch) -> tuple[dict[int, KafkaError], KafkaError]:
    """Each bad record's own error, and that of the others."""
    errors: dict[int, KafkaError] = {}
    for entry in answer.record_errors:
        if 0 <= entry.batch_index < batch.records:
            text = entry.batch_index_error_message or answer.error_message
            own = (for_code(answer.error_code, text) or answer.error).fresh()
            if own.hint is None and text is not None and "compacted" in text.lower():
                own.hint = "A compacted topic accepts only records with a key."
            errors[entry.batch_index] = own
    other = InvalidRecordError(
        f"refused along with {len(errors)} bad record{'s' if len(errors) != 1 else ''} of the same batch"
        + (f": {answer.error_message}" if answer.error_message else "")
    )
    other.hint = "Nothing is wrong with this record: send it again."
    for error in (*errors.values(), other):
        error.persisted = Persisted.NOT_PERSISTED
        error.place = _place(batch)
    return errors, other
