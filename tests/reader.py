"""A small client of another kind than the public ones, for what all of them have in common: one request at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kafka.client import Answer, Client
from kafka.config import ClientConfig
from kafka.core.cluster.routes import ANY, CONTROLLER, Leader
from kafka.core.net.lanes import Lane
from kafka.errors import IllegalStateError, KafkaError
from kafka.protocol import CreateTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest
from kafka.records import RecordBatch, read_batches
from kafka.result import Err

EARLIEST, LATEST = -2, -1
_TIMEOUT = 30.0
_MOST = 4 * 1024 * 1024  # bytes in an answer
_BY_NAME = 12  # the last version of Fetch that names topics by name
_WAIT_MS = 250  # for records at the end of all partitions: a broker waits for one after the other
_RETRY_PAUSE = 0.1
_AT_ONCE = 8  # fetches, and so answers that nobody has taken yet


class Arrivals:
    """Answers to several requests, in the order in which they come. On the IO thread only."""

    def __init__(self) -> None:
        self._waiting: deque[Any] = deque()
        self._answer: Answer | None = None

    def put(self, value: Any) -> None:
        if self._answer is None:
            self._waiting.append(value)
        else:
            answer, self._answer = self._answer, None
            answer(value)

    def next(self, answer: Answer, now: float) -> None:
        """Call `answer` with the next one, now or when it comes."""
        if self._waiting:
            answer(self._waiting.popleft())
        else:
            self._answer = answer


class Reader(Client):
    """`configs`: arguments that all clients take. Every method raises KafkaError where the cluster does."""

    def __init__(self, bootstrap_servers: str, **configs: Any) -> None:
        super().__init__(
            ClientConfig(
                {
                    "bootstrap_servers": bootstrap_servers,
                    "client_id": "kafka-turbo-cli",
                    "reconnect_backoff_max_ms": 1000,
                    **configs,
                }
            )
        )

    def partitions(self, topic: str) -> list[int]:
        """Raises UnknownTopicOrPartitionError if there is no such topic: none is created."""

        def build(version: int) -> MetadataRequest:
            asked = MetadataRequest.MetadataRequestTopic(name=topic)
            return MetadataRequest(topics=[asked], allow_auto_topic_creation=False)

        response = self._obtain(
            lambda answer, now: self._core.calls.request(ANY, MetadataRequest, build, answer, now, _TIMEOUT),
            _TIMEOUT + 5,
            f"topic {topic}",
        )
        (found,) = response.topics
        if found.error is not None:
            raise found.error.about(f"topic {topic}")
        return sorted(partition.partition_index for partition in found.partitions)

    def create_topic(self, topic: str, partitions: int) -> None:
        """With the cluster's default replication; raises TopicAlreadyExistsError, ..."""
        wanted = CreateTopicsRequest.CreatableTopic(name=topic, num_partitions=partitions, replication_factor=-1)
        request = CreateTopicsRequest(topics=[wanted])
        response = self._obtain(
            lambda answer, now: self._core.calls.request(
                CONTROLLER, CreateTopicsRequest, lambda version: request, answer, now, _TIMEOUT
            ),
            _TIMEOUT + 5,
            f"the creation of topic {topic}",
        )
        for found in response.topics:
            if found.error is not None:
                raise found.error.about(f"topic {topic}")

    def offsets(self, topic: str, partitions: Sequence[int], which: int) -> dict[int, int]:
        """The offset of each partition's beginning (`EARLIEST`) or end (`LATEST`)."""
        arrivals = Arrivals()
        for partition in partitions:
            asked = ListOffsetsRequest.ListOffsetsPartition(partition_index=partition, timestamp=which)
            named = ListOffsetsRequest.ListOffsetsTopic(name=topic, partitions=[asked])
            self._request(topic, partition, ListOffsetsRequest(replica_id=-1, topics=[named]), arrivals)
        found: dict[int, int] = {}
        while len(found) < len(partitions):
            partition, response = self._next(topic, arrivals)
            ((answer,),) = (each.partitions for each in response.topics)
            if answer.error is not None:
                raise answer.error.about(f"{topic}[{partition}]")
            found[partition] = answer.offset
        return found

    def batches(
        self, topic: str, positions: Mapping[int, int], ends: Mapping[int, int] | None = None
    ) -> Iterator[tuple[int, RecordBatch]]:
        """(partition, batch) as they come, each partition in order, from `positions` on (partition -> offset).

        Ends when every partition has come to its offset in `ends`, never without. The first batch of a partition may
        begin before its position. Control batches are left out.
        """
        self._check_open()
        process = os.getpid()
        arrivals = Arrivals()
        positions = {p: at for p, at in positions.items() if ends is None or at < ends[p]}
        trouble: dict[int, int] = {}
        turns = deque(positions)  # partitions of which nothing is on its way
        for _ in range(_AT_ONCE):
            self._fetch_next(topic, turns, positions, trouble, arrivals)
        while positions:
            if os.getpid() != process:
                raise IllegalStateError(f"The process forked; its parent reads topic {topic}. Begin again.")
            partition, response = self._next(topic, arrivals)
            ((answer,),) = (each.partitions for each in response.responses)
            position = positions[partition]
            if answer.error is not None:
                trouble[partition] = trouble.get(partition, 0) + 1
                if not answer.error.retriable or trouble[partition] * _RETRY_PAUSE > _TIMEOUT:
                    raise answer.error.about(f"{topic}[{partition}]")
                turns.append(partition)
                self._fetch_next(topic, turns, positions, trouble, arrivals)
                continue
            trouble.pop(partition, None)
            found = [result.unwrap() for result in read_batches(answer.records, topic=topic, partition=partition)]
            if found:
                position = positions[partition] = found[-1].last_offset + 1
            if ends is not None and position >= ends[partition]:
                del positions[partition]
            else:
                turns.append(partition)
            self._fetch_next(topic, turns, positions, trouble, arrivals)
            for batch in found:
                if not batch.is_control:
                    yield partition, batch

    def _fetch_next(
        self,
        topic: str,
        turns: deque[int],
        positions: Mapping[int, int],
        trouble: Mapping[int, int],
        arrivals: Arrivals,
    ) -> None:
        """Ask for the partition whose turn it is, if any."""
        if not turns:
            return
        partition = turns.popleft()
        wanted = FetchRequest.FetchPartition(
            partition=partition, fetch_offset=positions[partition], partition_max_bytes=_MOST
        )
        request = FetchRequest(
            max_wait_ms=max(1, _WAIT_MS // len(positions)),
            min_bytes=1,
            max_bytes=_MOST,
            topics=[FetchRequest.FetchTopic(topic=topic, partitions=[wanted])],
        )
        pause = _RETRY_PAUSE if partition in trouble else 0.0
        self._request(topic, partition, request, arrivals, newest=_BY_NAME, pause=pause, lane=Lane.FETCH)

    def _request(
        self,
        topic: str,
        partition: int,
        request: Any,
        arrivals: Arrivals,
        *,
        newest: int | None = None,
        pause: float = 0.0,
        lane: Lane = Lane.CONTROL,
    ) -> None:
        """Send the partition's leader a request, after `pause` seconds; (partition, Result) is among the arrivals."""

        def start(now: float) -> None:
            if pause:
                self._core.metadata.refresh(topic, now)
            self._core.calls.request(
                Leader(topic, partition),
                type(request),
                lambda version: request,
                lambda result, now: arrivals.put((partition, result)),
                now,
                _TIMEOUT,
                newest=newest,
                lane=lane,
            )

        def begin(now: float) -> None:
            if pause:
                self._core.timers.at(now + pause, start)
            else:
                start(now)

        self._check_open()
        self._driver.call(begin)

    def _next(self, topic: str, arrivals: Arrivals) -> tuple[int, Any]:
        """(partition, response) of the next answer."""
        partition, result = self._ask(arrivals.next, _TIMEOUT + 5, f"topic {topic}")
        if isinstance(result, Err):
            error: KafkaError = result.error
            raise error.fresh()
        return partition, result.unwrap()
