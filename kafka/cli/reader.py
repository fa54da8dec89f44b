"""Reading a topic without a consumer: one Fetch request per partition at a time, on a core and IO thread of its own.

For the command line and the demo, until there is the real consumer: no group, no transactions' isolation, and the
partitions of a broker share its connection, so that a wait for one delays the others.
"""

from __future__ import annotations

import queue
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from kafka.core.cluster.routes import ANY, CONTROLLER, Leader
from kafka.core.config import Config
from kafka.core.core import Core
from kafka.drivers._turn import Turn
from kafka.drivers.threads import Driver
from kafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError
from kafka.producer.config import ProducerConfig
from kafka.protocol import CreateTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest
from kafka.records import RecordBatch, read_batches
from kafka.result import Err

EARLIEST, LATEST = -2, -1
_TIMEOUT = 30.0
_MOST = 4 * 1024 * 1024  # bytes in an answer
_BY_NAME = 12  # the last version of Fetch that names topics by name
_WAIT_MS = 250  # for records at the end of a partition
_RETRY_PAUSE = 0.1

T = TypeVar("T")


class Reader:
    """`bootstrap_servers` as KafkaProducer takes them. Every method raises KafkaError where the cluster does."""

    def __init__(self, bootstrap_servers: str) -> None:
        addresses = ProducerConfig({"bootstrap_servers": bootstrap_servers}).bootstrap_servers
        turn = Turn()
        self._core = Core(Config(bootstrap=tuple(addresses), client_id="kafka-turbo-cli"), random.Random())
        self._driver = Driver(self._core, turn, name="kafka-turbo-reader")
        self._driver.start()
        try:
            self._wait(lambda answer, now: self._core.bootstrap(answer, now, 10.0))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._driver.call(lambda now: self._core.close(IllegalStateError("The reader is closed."), now))
        self._driver.stop(5.0)

    def _wait(self, start: Callable[[Callable[[Any, float], None], float], None]) -> Any:
        """Starts something on the IO thread, waits for its result."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._driver.call(lambda now: start(lambda result, now: answers.put(result), now))
        result = _next(answers)
        if isinstance(result, Err):
            raise result.error.fresh()
        return result.value

    def partitions(self, topic: str) -> list[int]:
        """Raises UnknownTopicOrPartitionError if there is no such topic: none is created."""

        def build(version: int) -> MetadataRequest:
            asked = MetadataRequest.MetadataRequestTopic(name=topic)
            return MetadataRequest(topics=[asked], allow_auto_topic_creation=False)

        response = self._wait(
            lambda answer, now: self._core.calls.request(ANY, MetadataRequest, build, answer, now, _TIMEOUT)
        )
        (found,) = response.topics
        if found.error is not None:
            raise found.error.fresh()
        return sorted(partition.partition_index for partition in found.partitions)

    def create_topic(self, topic: str, partitions: int) -> None:
        """With the cluster's default replication; raises TopicAlreadyExistsError, ..."""
        wanted = CreateTopicsRequest.CreatableTopic(name=topic, num_partitions=partitions, replication_factor=-1)
        request = CreateTopicsRequest(topics=[wanted])
        response = self._wait(
            lambda answer, now: self._core.calls.request(
                CONTROLLER, CreateTopicsRequest, lambda version: request, answer, now, _TIMEOUT
            )
        )
        for found in response.topics:
            if found.error is not None:
                raise found.error.fresh()

    def offsets(self, topic: str, partitions: Sequence[int], which: int) -> dict[int, int]:
        """The offset of each partition's beginning (`EARLIEST`) or end (`LATEST`)."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for partition in partitions:
            self._ask_offset(topic, partition, which, answers)
        found: dict[int, int] = {}
        while len(found) < len(partitions):
            partition, result = _next(answers)
            ((answer,),) = (each.partitions for each in _value(result).topics)
            if answer.error is not None:
                raise answer.error.fresh()
            found[partition] = answer.offset
        return found

    def _ask_offset(self, topic: str, partition: int, which: int, answers: queue.SimpleQueue[Any]) -> None:
        asked = ListOffsetsRequest.ListOffsetsPartition(partition_index=partition, timestamp=which)
        request = ListOffsetsRequest(
            replica_id=-1, topics=[ListOffsetsRequest.ListOffsetsTopic(name=topic, partitions=[asked])]
        )
        self._driver.call(
            lambda now: self._core.calls.request(
                Leader(topic, partition),
                ListOffsetsRequest,
                lambda version: request,
                lambda result, now: answers.put((partition, result)),
                now,
                _TIMEOUT,
            )
        )

    def batches(
        self, topic: str, positions: Mapping[int, int], ends: Mapping[int, int] | None = None
    ) -> Iterator[tuple[int, RecordBatch]]:
        """(partition, batch) as they come, each partition in order, from `positions` on (partition -> offset).

        Ends when every partition has come to its offset in `ends`, never without. The first batch of a partition may
        begin before its position. Control batches are left out.
        """
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        positions = {p: at for p, at in positions.items() if ends is None or at < ends[p]}
        trouble: dict[int, int] = {}
        for partition, position in positions.items():
            self._fetch(topic, partition, position, answers)
        while positions:
            partition, result = _next(answers)
            ((answer,),) = (each.partitions for each in _value(result).responses)
            position = positions[partition]
            if answer.error is not None:
                trouble[partition] = trouble.get(partition, 0) + 1
                if not answer.error.retriable or trouble[partition] * _RETRY_PAUSE > _TIMEOUT:
                    raise answer.error.fresh()
                self._fetch(topic, partition, position, answers, pause=_RETRY_PAUSE)
                continue
            trouble.pop(partition, None)
            found = [result.unwrap() for result in read_batches(answer.records, topic=topic, partition=partition)]
            if found:
                position = positions[partition] = found[-1].last_offset + 1
            if ends is not None and position >= ends[partition]:
                del positions[partition]
            else:
                self._fetch(topic, partition, position, answers)
            for batch in found:
                if not batch.is_control:
                    yield partition, batch

    def _fetch(
        self, topic: str, partition: int, position: int, answers: queue.SimpleQueue[Any], pause: float = 0.0
    ) -> None:
        wanted = FetchRequest.FetchPartition(partition=partition, fetch_offset=position, partition_max_bytes=_MOST)
        request = FetchRequest(
            max_wait_ms=_WAIT_MS,
            min_bytes=1,
            max_bytes=_MOST,
            topics=[FetchRequest.FetchTopic(topic=topic, partitions=[wanted])],
        )

        def start(now: float) -> None:
            if pause:
                self._core.metadata.refresh(topic, now)
            self._core.calls.request(
                Leader(topic, partition),
                FetchRequest,
                lambda version: request,
                lambda result, now: answers.put((partition, result)),
                now,
                _TIMEOUT,
                newest=_BY_NAME,
            )

        def begin(now: float) -> None:
            if pause:
                self._core.timers.at(now + pause, start)
            else:
                start(now)

        self._driver.call(begin)


def _next(answers: queue.SimpleQueue[Any]) -> Any:
    try:
        return answers.get(timeout=_TIMEOUT + 5)
    except queue.Empty:
        raise KafkaTimeoutError(f"No answer came within {_TIMEOUT + 5:g} s.") from None


def _value(result: Any) -> Any:
    if isinstance(result, Err):
        error: KafkaError = result.error
        raise error.fresh()
    return result.value
