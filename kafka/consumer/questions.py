"""What a consumer can ask the cluster: topics, their partitions, and where these begin and end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import index
from typing import TYPE_CHECKING, Any

from kafka._codec import check_topic
from kafka._log import Log
from kafka.consumer.bounded import BoundedRead, bounded_read
from kafka.core.cluster.routes import ANY
from kafka.core.consume.offsets import EARLIEST, LATEST, Found, list_offsets
from kafka.core.flows import Task
from kafka.protocol import MetadataRequest
from kafka.result import Err
from kafka.structs import OffsetAndTimestamp, TopicPartition

if TYPE_CHECKING:
    from kafka.client import Client
    from kafka.consumer.config import ConsumerConfig

    Base = Client
else:
    Base = object


log = Log("kafka.consumer")
_SECONDS = 10**11  # what is less is hardly a time in milliseconds: they would be of before 1973


def checked(tp: Any) -> TopicPartition:
    if not isinstance(tp, TopicPartition):
        raise TypeError(f"partitions must be kafka.TopicPartition, not {tp!r}")
    check_topic(tp.topic)
    try:
        number = index(tp.partition)
    except TypeError:
        raise TypeError(f"the partition of {tp!r} must be a whole number, not {type(tp.partition).__name__}") from None
    if not 0 <= number < 2**31:
        raise ValueError(f"the partition of {tp!r} must be from 0 to 2147483647")
    return tp


class Questions(Base):
    _checked: ConsumerConfig

    def beginning_offsets(
        self, partitions: Iterable[TopicPartition], timeout_ms: float | None = None
    ) -> dict[TopicPartition, int]:
        """The offset of the first record of each partition."""
        found = self._list_offsets(dict.fromkeys(map(checked, partitions), EARLIEST), timeout_ms)
        return {tp: place.offset for tp, place in found.items()}

    def end_offsets(
        self, partitions: Iterable[TopicPartition], timeout_ms: float | None = None
    ) -> dict[TopicPartition, int]:
        """The offset after the last record of each partition; with read_committed, of the first undecided one."""
        found = self._list_offsets(dict.fromkeys(map(checked, partitions), LATEST), timeout_ms)
        return {tp: place.offset for tp, place in found.items()}

    def offsets_for_times(
        self, timestamps: Mapping[TopicPartition, int], timeout_ms: float | None = None
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """For each partition the first record at or after a time (ms since 1970); None where there is none."""
        if not isinstance(timestamps, Mapping):
            raise TypeError(f"timestamps must be a dict of times by TopicPartition, not {timestamps!r}")
        wanted = {checked(tp): int(timestamp) for tp, timestamp in timestamps.items()}
        for tp, timestamp in wanted.items():
            if timestamp < 0:
                raise ValueError(f"the time for {tp.topic}[{tp.partition}] must be 0 or more: {timestamp}")
            if 0 < timestamp < _SECONDS:
                log.warning(
                    "offsets_for_times() is asked for %d of %s[%d], which in milliseconds is in the year %d: are these"
                    " seconds?",
                    timestamp, tp.topic, tp.partition, 1970 + timestamp // 31_556_952_000,
                )  # fmt: skip
        found = self._list_offsets(wanted, timeout_ms)
        return {
            tp: None if place.offset < 0 else OffsetAndTimestamp(place.offset, place.timestamp, place.epoch)
            for tp, place in found.items()
        }

    def _list_offsets(
        self, wanted: Mapping[TopicPartition, int], timeout_ms: float | None
    ) -> dict[TopicPartition, Found]:
        if not wanted:
            return {}
        timeout = (self._checked.request_timeout_ms if timeout_ms is None else timeout_ms) / 1000
        isolation = self._checked.isolation_level

        def question(answer: Any, now: float) -> None:
            Task(list_offsets(self._core.services, wanted, isolation, now, timeout), answer).start(now)

        places = self._ask(question, timeout + 5, "the offsets of partitions")
        for tp, place in places.items():
            if isinstance(place, Err):
                raise place.error.about(f"{tp.topic}[{tp.partition}]")
        return {tp: places[tp].value for tp in wanted}

    def read_to_end(
        self,
        offsets: Mapping[TopicPartition, int] | None = None,
        times: Mapping[TopicPartition, int] | None = None,
        timeout_ms: float | None = None,
    ) -> BoundedRead:
        """Read partitions from these offsets or times (ms since 1970) on, to where they end now, and no further.

        Assigns them, and no others. What is before a partition's first offset is passed over. The ends are found within
        `timeout_ms` (default: request_timeout_ms); with read_committed, an end is the first undecided offset.
        """
        return bounded_read(self, offsets or {}, times or {}, timeout_ms)

    def topics(self) -> set[str]:
        """The names of all topics that may be seen; asks the cluster each time."""
        response = self._metadata_of(None)
        return {
            topic.name
            for topic in response.topics
            if topic.error_code == 0 and not (topic.is_internal and self._checked.exclude_internal_topics)
        }

    def partitions_for_topic(self, topic: str) -> set[int]:
        """The partitions of a topic; an empty set where there is no such topic."""
        if not isinstance(topic, str):
            raise TypeError(f"topic must be a str, not {topic!r}")
        known = self._core.snapshot.partitions(topic)
        if known:
            return set(range(known))
        return {
            partition.partition_index for found in self._metadata_of([topic]).topics for partition in found.partitions
        }

    def _metadata_of(self, names: list[str] | None) -> Any:
        timeout = self._checked.request_timeout_ms / 1000
        request = MetadataRequest(
            topics=None if names is None else [MetadataRequest.MetadataRequestTopic(name=name) for name in names],
            allow_auto_topic_creation=False,
        )

        def question(answer: Any, now: float) -> None:
            self._core.calls.request(ANY, MetadataRequest, lambda version: request, answer, now, timeout)

        return self._obtain(question, timeout + 5, "topics")
