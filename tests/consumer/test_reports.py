"""What users have reported of other consumers, as tests: reading, without a group.

Each name begins with the number that the report has in the list these come from; those of groups are in
`test_reports_groups`, and where brokers have to fail in `tests/sim/test_reports.py`. K is dpkp/kafka-python, A
aiokafka, C confluent-kafka-python, R librdkafka, F franz-go, J Apache Kafka.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from consumer.batches import values

from kafka import KafkaProducer, TopicPartition
from kafka._codec import BATCH_CRC
from kafka.errors import (
    CorruptRecordError,
    IllegalStateError,
    KafkaTimeoutError,
    RecordDeserializationError,
    UnknownTopicOrPartitionError,
    UnsupportedCodecError,
)
from kafka.testing import EmbeddedCluster

T0, T1 = (TopicPartition("t", number) for number in range(2))


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(topics={"t": 2}, auto_create=False) as cluster:
        yield cluster


@pytest.fixture
def consumer_defaults() -> dict[str, Any]:
    return {"auto_offset_reset": "earliest", "consumer_timeout_ms": 5000}


def write(cluster: EmbeddedCluster, *batches: bytes, end: int | None = None, partition: int = 0) -> None:
    """As they are, with the base offsets they have; the log then ends at `end`."""

    def put() -> None:
        log = cluster.topics["t"].partitions[partition].log
        assert log.storage is not None
        for batch in batches:
            log.storage.append(memoryview(bytearray(batch)), int.from_bytes(batch[:8], "big"))
            log.restore(batch)
        if end is not None:
            log.end = end
        log.tell()

    cluster._on_thread(put)


def compacted(base: int, last: int, *items: bytes) -> bytes:
    """A batch of which compaction has left these, the first at `base`; its last offset is still that of all."""
    return stamped(values(*items, base=base), last_delta=last - base)


def stamped(batch: bytes, *, last_delta: int) -> bytes:
    from kafka.records.crc import crc32c

    changed = bytearray(batch)
    changed[23:27] = last_delta.to_bytes(4, "big")
    changed[BATCH_CRC : BATCH_CRC + 4] = crc32c(changed[BATCH_CRC + 4 :]).to_bytes(4, "big")
    return bytes(changed)


def empty(base: int, last: int) -> bytes:
    whole = bytearray(values(b"x", base=base)[:61])
    whole[8:12] = (61 - 12).to_bytes(4, "big")
    whole[57:61] = bytes(4)
    return stamped(bytes(whole), last_delta=last - base)


def test_11_seek_and_pause_in_either_order(producer: KafkaProducer, make: Any) -> None:
    """R#3471: a seek before or after a pause was lost."""
    for number in range(20):
        producer.send("t", b"%d" % number, partition=0)
    producer.flush()
    consumer = make()
    consumer.assign([T0])
    next(consumer)
    consumer.seek(T0, 15)
    consumer.pause(T0)
    assert consumer.poll(300) == {}
    consumer.resume(T0)
    assert next(consumer).offset == 15
    consumer.pause(T0)
    consumer.seek(T0, 7)
    assert consumer.poll(300) == {}
    consumer.resume(T0)
    assert next(consumer).offset == 7


def test_12_who_seeks_before_there_is_an_assignment_is_told_why(make: Any) -> None:
    """C#373, K#1207, K#1981."""
    consumer = make("t", group_id="g")
    with pytest.raises(ValueError, match=r"t\[0\] is not assigned; assign it, or wait until subscribe\(\) has brought"):
        consumer.seek(T0, 1)


def test_13_a_timeout_shorter_than_the_join_loses_nothing(producer: KafkaProducer, make: Any) -> None:
    """K#888: `consumer_timeout_ms` shorter than joining took looked like a topic without data."""
    producer.send("t", b"x", partition=0)
    producer.flush()
    consumer = make("t", group_id="g", consumer_timeout_ms=1)
    ended = 0
    for _ in range(5000):
        try:
            assert next(consumer).value == b"x"
            break
        except StopIteration:
            ended += 1
    else:
        raise AssertionError("it never came")
    assert ended >= 1


def test_14_what_compaction_leaves_is_read_to_its_end(cluster: EmbeddedCluster, make: Any) -> None:
    """K#1390, K#1571, K#1701, brod#263: the tail of a batch, or all its records, are gone; the same offset is fetched
    for ever."""
    write(cluster, compacted(20, 24, b"20", b"21"), empty(30, 32), values(b"33", b"34", b"35", base=33))
    consumer = make(fetch_max_bytes=1, max_partition_fetch_bytes=1)
    consumer.assign([T0])
    records = consumer.poll(5000, max_records=2)[T0]
    assert [record.offset for record in records] == [20, 21]
    assert next(consumer).offset == 33
    assert [next(consumer).offset, next(consumer).offset, consumer.position(T0)] == [34, 35, 36]
    for at, first in ((22, 33), (25, 33), (30, 33), (31, 33), (0, 20)):
        consumer.seek(T0, at)
        assert next(consumer).offset == first


def test_14_positions_move_past_what_is_gone(cluster: EmbeddedCluster, make: Any) -> None:
    write(cluster, compacted(20, 24, b"20", b"21"), empty(30, 32))
    consumer = make(fetch_max_bytes=1, max_partition_fetch_bytes=1)
    consumer.assign([T0])
    assert len(consumer.poll(5000)[T0]) == 2
    deadline = time.monotonic() + 20
    while consumer.position(T0) != 33 and time.monotonic() < deadline:
        assert consumer.poll(100) == {}
    assert consumer.position(T0) == consumer.end_offsets([T0])[T0] == 33


def test_15_to_17_behind_the_markers_of_transactions(cluster: EmbeddedCluster, make: Any) -> None:
    """kafka-node#1336, R#2539, R#3917, spring#1587, druid#16689: the lag stays 1, or there is a stall, behind a marker;
    klag-exporter#104: the end is another one for who reads what is committed."""
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="x") as producer:
        producer.init_transactions()
        for commits in (True, False, False, True):
            producer.begin_transaction()
            producer.send("t", b"x", partition=0)
            producer.commit_transaction() if commits else producer.abort_transaction()
        consumer = make(
            "t", group_id="g", isolation_level="read_committed", auto_commit_interval_ms=50, max_poll_records=1
        )
        assert [next(consumer).offset, next(consumer).offset] == [0, 6]
        deadline = time.monotonic() + 20
        while consumer.committed(T0) != 8 and time.monotonic() < deadline:
            assert consumer.poll(50) == {}
        assert consumer.position(T0) == consumer.end_offsets([T0])[T0] == consumer.highwater(T0) == 8
        assert consumer.committed(T0) == 8  # though no record was delivered
        producer.begin_transaction()
        producer.send("t", b"open", partition=0).get(10)
        assert consumer.end_offsets([T0]) == {T0: 8}
        dirty = make()
        assert dirty.end_offsets([T0]) == {T0: 9}
        producer.abort_transaction()


def test_18_what_cannot_be_deserialized(producer: KafkaProducer, make: Any) -> None:
    """K#1141, A#744, dotnet#1020: retried for ever, or everything stops."""
    for value in (b"0", b"1", b"poison", b"3", None):  # one batch
        producer.send("t", value, key=b"k", partition=0)
    producer.flush()
    consumer = make(value_deserializer=lambda data: None if data is None else int(data))
    consumer.assign([T0])
    assert [record.value for record in consumer.poll(5000)[T0]] == [0, 1]
    for _ in range(3):
        with pytest.raises(RecordDeserializationError, match=r"offset 2 of t\[0\]") as caught:
            consumer.poll(5000)
        assert caught.value.record.value == b"poison" and caught.value.record.key == b"k"
        assert isinstance(caught.value.__cause__, ValueError)
        assert consumer.position(T0) == 2
    consumer.seek(T0, 3)
    assert [record.value for record in consumer.poll(5000)[T0]] == [3, None]


def test_18_nobody_reads_past_what_cannot_be_deserialized(producer: KafkaProducer, make: Any) -> None:
    """What was fetched behind it was handed out, and it never again."""
    for value in (b"0", b"poison", b"2"):
        producer.send("t", value, partition=0)
    producer.flush()
    consumer = make(value_deserializer=int)
    consumer.assign([T0, T1])
    assert [record.value for record in consumer.poll(5000)[T0]] == [0]
    with pytest.raises(RecordDeserializationError):
        consumer.poll(5000)
    for number in range(3, 6):
        producer.send("t", b"%d" % number, partition=0)
        producer.send("t", b"%d" % number, partition=1).get(10)
    read: list[int] = []
    deadline = time.monotonic() + 20
    while len(read) < 3 and time.monotonic() < deadline:
        with contextlib.suppress(RecordDeserializationError):
            for tp, records in consumer.poll(200).items():
                assert tp == T1
                read += [record.value for record in records]
    assert read == [3, 4, 5] and consumer.position(T0) == 1
    consumer.seek(T0, 2)
    read.clear()
    while len(read) < 4 and time.monotonic() < deadline:
        read += [record.value for record in consumer.poll(5000)[T0]]
    assert read == [2, 3, 4, 5]


@pytest.mark.parametrize("way", ["poll", "iterate"])
def test_18_it_is_told_while_others_have_more_and_they_go_on(producer: KafkaProducer, make: Any, way: str) -> None:
    for value in (b"0", b"poison"):
        producer.send("t", value, partition=0)
    for number in range(3000):
        producer.send("t", b"%d" % number, partition=1)
    producer.flush()
    consumer = make(value_deserializer=int, max_poll_records=50, max_partition_fetch_bytes=2000)
    consumer.assign([T0, T1])
    values: list[int] = []
    told: list[int] = []  # after how many records
    where: set[tuple[int, int]] = set()
    while len(values) < 3001 and len(told) < 3001:
        try:
            if way == "poll":
                values += [record.value for records in consumer.poll(5000).values() for record in records]
            else:
                values.append(next(consumer).value)
        except RecordDeserializationError as error:
            where.add((error.record.partition, error.record.offset))
            told.append(len(values))
    assert where == {(0, 1)}
    assert sorted(values) == sorted([0, *range(3000)])
    assert told and (way == "iterate" or told[0] <= 150)


def test_18_what_cannot_be_read_keeps_no_memory_from_others(
    cluster: EmbeddedCluster, producer: KafkaProducer, make: Any
) -> None:
    """Three partitions that each hold as much as they may; each is named, again and again."""
    cluster.create_topic("u", partitions=4)
    for number in range(40):
        for partition in range(4):
            value = b"poison" if partition < 3 and number == 0 else b"%d" % number
            producer.send("u", value.ljust(5000), partition=partition)
    producer.flush()

    def read(data: bytes) -> int:
        return int(data)

    consumer = make(value_deserializer=read, fetch_max_bytes=100_000, max_partition_fetch_bytes=50_000)
    partitions = [TopicPartition("u", number) for number in range(4)]
    consumer.assign(partitions[:3])
    told: list[int] = []
    deadline = time.monotonic() + 20

    def poll() -> list[int]:
        try:
            return [record.value for records in consumer.poll(100).values() for record in records]
        except RecordDeserializationError as error:
            told.append(error.record.partition)
            return []

    while (set(told) != {0, 1, 2} or len(told) < 6) and time.monotonic() < deadline:
        poll()
    assert set(told) == {0, 1, 2}
    consumer.assign(partitions)
    values: list[int] = []
    while len(values) < 40 and time.monotonic() < deadline:
        values += poll()
    assert values == list(range(40))
    for tp in partitions[:3]:
        consumer.seek(tp, 1)
    while len(values) < 4 * 40 - 3 and time.monotonic() < deadline:
        values += poll()
    assert sorted(values[40:]) == sorted([*range(1, 40)] * 3)


def test_19_a_corrupt_batch(cluster: EmbeddedCluster, producer: KafkaProducer, make: Any) -> None:
    """KAFKA-5211, KAFKA-5630: the batches before it are delivered, it is named until somebody seeks past it."""
    good, bad, last = values(b"0", b"1"), bytearray(values(b"2", b"3", base=2)), values(b"4", base=4)
    bad[-2] ^= 0xFF
    write(cluster, good, bytes(bad), last)
    producer.send("t", b"other", partition=1)
    producer.flush()
    consumer = make()
    consumer.assign([T0, T1])
    read: list[Any] = []
    errors: list[str] = []
    deadline = time.monotonic() + 20
    while (len(errors) < 3 or len(read) < 3) and time.monotonic() < deadline:
        try:
            for records in consumer.poll(100).values():
                read += [record.value for record in records]
        except CorruptRecordError as error:
            errors.append(str(error))
    assert len(errors) >= 3 and sorted(read) == [b"0", b"1", b"other"]
    assert "t[0]" in errors[0] and "offset 2" in errors[0]
    consumer.seek(T0, 4)
    assert [record.value for record in consumer.poll(5000)[T0]] == [b"4"]


def test_20_a_codec_whose_package_is_missing(cluster: EmbeddedCluster, make: Any, hide: Any) -> None:
    """K#1033, K#1443, A#922, K#2187: polls came back empty."""
    write(cluster, values(b"x" * 100, codec="snappy"))
    hide("cramjam", "snappy")
    consumer = make()
    consumer.assign([T0])
    for _ in range(2):
        with pytest.raises(UnsupportedCodecError, match=r"pip install") as caught:
            consumer.poll(5000)
        assert "snappy" in str(caught.value) and "t[0]" in str(caught.value)


def test_21_a_record_above_every_limit(producer: KafkaProducer, make: Any) -> None:
    """K#377, K#1232, pykafka#102, KAFKA-2515: a message larger than the limit of a partition stops everything."""
    producer.send("t", bytes(900_000), partition=0)
    producer.send("t", b"small", partition=0)
    producer.flush()
    consumer = make(fetch_max_bytes=1, max_partition_fetch_bytes=1, fetch_buffer_bytes=1)
    consumer.assign([T0])
    assert [len(next(consumer).value), next(consumer).value] == [900_000, b"small"]


def test_22_no_record_is_that_young(producer: KafkaProducer, make: Any, caplog: Any) -> None:
    """K#2030, A#1067, KAFKA-17826: a key was missing; C#497: seconds where milliseconds were meant."""
    producer.send("t", b"x", partition=0, timestamp_ms=1_700_000_000_000)
    producer.flush()
    consumer = make()
    found = consumer.offsets_for_times({T0: 1_700_000_000_001, T1: 1_700_000_000_000})
    assert found == {T0: None, T1: None}
    assert not caplog.records
    assert consumer.offsets_for_times({T0: 1_700_000_000})[T0].offset == 0
    assert "milliseconds" in caplog.text and "1700000000" in caplog.text


def test_23_a_topic_that_is_gone(cluster: EmbeddedCluster, producer: KafkaProducer, make: Any) -> None:
    """K#1780, K#686: calls about an unknown or deleted topic never returned."""
    cluster.create_topic("other", 1)
    other = TopicPartition("other", 0)
    consumer = make()
    consumer.assign([T0, other])
    consumer.position(other)
    cluster.delete_topic("other")
    producer.send("t", b"x", partition=0)
    assert next(consumer).value == b"x"  # other partitions go on
    began = time.monotonic()
    with pytest.raises((KafkaTimeoutError, UnknownTopicOrPartitionError), match=r"other\[0\]"):
        consumer.end_offsets([other], timeout_ms=700)
    assert consumer.poll(300) == {}
    unknown = TopicPartition("never", 0)
    consumer.assign([unknown])
    assert consumer.position(unknown, timeout_ms=500) is None
    with pytest.raises((KafkaTimeoutError, UnknownTopicOrPartitionError), match=r"never\[0\]"):
        consumer.beginning_offsets([unknown], timeout_ms=500)
    assert time.monotonic() - began < 15


def test_24_a_topic_made_anew(cluster: EmbeddedCluster, producer: KafkaProducer, make: Any, caplog: Any) -> None:
    """C#1787, C#1907, R#3255, F#358: silence, or records of the new topic that are skipped."""
    for number in range(10):
        producer.send("t", b"old %d" % number, partition=0)
    producer.flush()
    consumer = make(metadata_max_age_ms=300)
    consumer.assign([T0])
    for _ in range(10):
        next(consumer)
    cluster.delete_topic("t")
    cluster.create_topic("t", 2)
    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as again:
        for number in range(20):
            again.send("t", b"new %d" % number, partition=0)
    assert [next(consumer).value for _ in range(20)] == [b"new %d" % number for number in range(20)]
    assert "made anew" in caplog.text


def test_a_closed_consumer_says_so_whatever_is_asked(make: Any) -> None:
    consumer = make("t", group_id="g")
    consumer.close()
    for call in (
        consumer.poll,
        consumer.topics,
        consumer.commit,
        consumer.commit_async,
        consumer.unsubscribe,
        lambda: consumer.partitions_for_topic("never"),
        lambda: consumer.subscribe(["t"]),
        lambda: consumer.end_offsets([T0]),
        lambda: consumer.committed(T0),
    ):
        with pytest.raises(IllegalStateError, match="closed"):
            call()
    assert consumer.bootstrap_connected() is False and consumer.subscription() == {"t"}
