"""How large a request each broker takes.

A broker closes the connection on a request above its socket.request.max.bytes, without an answer, and so does many a
proxy: it looks as if the connection had broken. So who is hung up on sends less at a time; and one batch that is hung
up on again and again, alone on its connection, while the broker answers what is smaller, is taken to be too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka.core.produce.partitions import Partition
from kafka.core.produce.request import PendingRequest
from kafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError

if TYPE_CHECKING:
    from kafka._codec import Batch

SMALL = 4096  # bytes: every broker takes a request of so many
CONVINCING = 4  # how often a batch is hung up on; but for the first time it is alone on its connection
LIMIT_KEPT = 300.0  # seconds: connections may break for other reasons, and brokers get another configuration


class RequestSizes:
    def __init__(self) -> None:
        self.suspects = 0  # how many partitions have a batch that was hung up on
        self.limits: dict[int, tuple[int, float]] = {}  # by node: bytes of a request with several batches, until when
        self._answered: dict[int, int] = {}  # by node: the largest that it took
        self._too_large: dict[int, tuple[int, float]] = {}  # by node: the smallest that it did not take, until when

    def has_space(self, pending: PendingRequest, size: int, now: float) -> bool:
        """Whether it may get a batch of so many bytes beside those that it has."""
        limit, until = self.limits[pending.node_id]
        if now >= until:
            del self.limits[pending.node_id]
            return True
        return pending.size + size <= limit

    def taken(self, pending: PendingRequest) -> None:
        """The broker answered it."""
        if pending.size > self._answered.get(pending.node_id, 0):
            self._answered[pending.node_id] = pending.size
        if self.suspects:
            for partition, batch in pending.sent.items():
                self.forget(partition, batch)

    def hung_up(self, pending: PendingRequest, now: float) -> bool:
        """The peer closed the connection instead of answering it. Whether it is taken to be too large by now."""
        if pending.size <= max(SMALL, self._answered.get(pending.node_id, 0)):
            return False
        if len(pending.sent) > 1:
            limit, until = self.limits.get(pending.node_id, (pending.size, 0.0))
            size = min(limit, pending.size) if now < until else pending.size
            self.limits[pending.node_id] = (size // 2, now + LIMIT_KEPT)
            return False
        ((partition, batch),) = pending.sent.items()
        if partition.suspect is not batch:
            self.suspects += partition.suspect is None
            partition.suspect = batch
            partition.hangups = 0
        partition.hangups += 1
        known, until = self._too_large.get(pending.node_id, (pending.size, 0.0))
        is_known = now < until  # that it takes no request of so many bytes
        if partition.hangups < (CONVINCING if not is_known else 2 if pending.size < known else 1):
            return False
        self._too_large[pending.node_id] = (min(known, pending.size) if is_known else pending.size, now + LIMIT_KEPT)
        return True

    def forget(self, partition: Partition, batch: Batch) -> None:
        """Nothing is wrong with the size of this batch, or it is not sent any more."""
        if partition.suspect is batch:
            partition.suspect = None
            self.suspects -= 1


def too_large(cause: KafkaConnectionError, partition: Partition, batch: Batch, size: int) -> KafkaError:
    """`size`: bytes of the request."""
    times = f"{partition.hangups} times" if partition.hangups > 1 else "again"
    records = f"{batch.records} record{'s' if batch.records > 1 else ''}"
    error = MessageSizeTooLargeError(
        f"{cause.address} closed the connection {times}, without an answer, on a request of {size} bytes with {records}"
        f" for {partition}; smaller requests it answers."
    )
    error.hint = (
        "That is what brokers do above their socket.request.max.bytes: raise it there (and max.message.bytes of the"
        " topic), or lower max_request_size, for send() to refuse such a record."
    )
    error.__cause__ = cause
    return error
