"""Small things that programs written for kafka-python rely on, against the embedded broker."""

import random
import time

import pytest

from kafka import KafkaConsumer, KafkaProducer, Serializer, TopicPartition
from kafka.errors import IllegalStateError
from kafka.testing import EmbeddedCluster


@pytest.fixture(scope="module")
def cluster():
    with EmbeddedCluster(topics={"t": 2}) as cluster:
        yield cluster


def test_a_record_without_an_answer_is_over_once_it_is_written(cluster):
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, acks=0) as producer:
        producer.send("t", b"first", partition=0).get(10)
        start = time.monotonic()
        assert producer.send("t", b"v", partition=0).get(10).offset == -1
        assert time.monotonic() - start < 2


@pytest.mark.parametrize("headers", [None, [], [("mine", b"1")]])
def test_a_serializer_may_add_headers(cluster, headers):
    class Adding(Serializer):
        def serialize(self, topic, headers, data):
            headers.append(("added", b"by it"))
            return data

    with KafkaProducer(bootstrap_servers=cluster.bootstrap, value_serializer=Adding()) as producer:
        size = producer.send("t", b"v", partition=0, headers=headers).get(10).serialized_header_size
    assert size == len("addedby it") + (len("mine1") if headers and headers[0][0] == "mine" else 0)


def test_a_serializer_of_ones_own_may_have_no_close(cluster):
    class Plain:
        def serialize(self, topic, headers, data):
            return data.encode()

        def deserialize(self, topic, headers, data):
            return data.decode()

    with KafkaProducer(bootstrap_servers=cluster.bootstrap, value_serializer=Plain()) as producer:
        offset = producer.send("t", "text", partition=1).get(10).offset
    consumer = KafkaConsumer(bootstrap_servers=cluster.bootstrap, value_deserializer=Plain(), consumer_timeout_ms=10000)
    with consumer:
        consumer.assign([TopicPartition("t", 1)])
        consumer.seek(TopicPartition("t", 1), offset)
        assert next(consumer).value == "text"


def test_the_size_of_headers_is_that_of_their_keys_and_values(cluster):
    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
        sizes = [
            producer.send("t", b"v", partition=0, headers=headers).get(10).serialized_header_size
            for headers in (None, [], [("key", b"value")], [("\u00fc", b""), ("k", None)], [("k", b"x" * 1000)])
        ]
        many = producer.send_many("t", [b"a", b"b", b"c"], headers=[[("key", b"value")], None, []], partition=0)
        several = [metadata.serialized_header_size for metadata in many.get(10)]
    assert sizes == [-1, -1, 8, 3, 1001]
    assert several == [8, -1, -1]


def test_what_is_possible_after_closing(cluster):
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap)
    with pytest.raises(ValueError, match="timeout"):
        producer.close(timeout=-1)
    producer.close()
    producer.close()
    producer.flush()
    with pytest.raises(IllegalStateError):
        producer.send("t", b"v")


def test_transactions_need_an_id(cluster):
    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
        for call in (
            producer.init_transactions,
            producer.begin_transaction,
            producer.commit_transaction,
            producer.abort_transaction,
            lambda: producer.send_offsets_to_transaction({}, "group"),
        ):
            with pytest.raises(IllegalStateError, match="transactional_id"):
                call()
        assert producer.max_usable_produce_magic((4, 3)) == 2


@pytest.mark.parametrize("timestamps", [None, range(1_600_000_000_000, 1_600_000_020_000)], ids=["clock", "given"])
def test_every_record_of_send_many_knows_where_and_when_it_is(timestamps):
    choose = random.Random(1)
    values = [b"%d" % number for number in range(20_000)]
    keys = [b"%d" % choose.randrange(50) for _ in values]
    with (
        EmbeddedCluster(topics={"t": 3}) as cluster,
        KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer,
    ):
        future = producer.send_many("t", values, keys=keys, timestamps=timestamps)
        found = future.get(30)
        log = {
            (partition, record.offset): record for partition in range(3) for record in cluster.records("t", partition)
        }
    assert len(log) == len(found) == len(values)
    for number, metadata in enumerate(found):
        record = log[metadata.partition, metadata.offset]
        assert (record.key, record.value) == (keys[number], values[number])
        assert record.timestamp == metadata.timestamp
        assert timestamps is None or metadata.timestamp == timestamps[number]
        assert metadata.serialized_key_size == len(keys[number])
