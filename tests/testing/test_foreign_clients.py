"""Clients that nobody here wrote, on the embedded broker: confluent-kafka, and Java's console producer and consumer."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import confluent_kafka
import pytest
from broker.cluster import KafkaCluster
from confluent_kafka.admin import AdminClient, NewTopic

from kafka import KafkaProducer
from kafka.records import read_batches
from kafka.testing import EmbeddedCluster


@pytest.fixture(params=["memory", "folder"])
def cluster(request, tmp_path):
    folder = tmp_path / "logs" if request.param == "folder" else None
    with EmbeddedCluster(nodes=3, topics={"t": 6}, folder=folder) as cluster:
        yield cluster


def produce(cluster, topic, records, **configs):
    """Sends (key, value) pairs; the number of delivery reports without an error."""
    delivered = []
    failed = []
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.bootstrap, **configs})
    for key, value in records:
        producer.produce(topic, value, key, on_delivery=lambda e, m: failed.append(e) if e else delivered.append(m))
        producer.poll(0)
    assert producer.flush(30) == 0
    assert failed == []
    return len(delivered)


def consume(cluster, topic, partitions, count, **configs):
    """The first `count` records from the beginning: {(partition, offset): (key, value)}."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": cluster.bootstrap, "group.id": "none", "enable.auto.commit": False, **configs}
    )
    consumer.assign(
        [confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING) for p in range(partitions)]
    )
    found = {}
    try:
        while len(found) < count:
            message = consumer.poll(20)
            assert message is not None, f"{len(found)} of {count} records after 20 s"
            assert message.error() is None, message.error()
            found[message.partition(), message.offset()] = (message.key(), message.value())
    finally:
        consumer.close()
    return found


def test_confluent_kafka_writes_and_reads_transactions(cluster):
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.bootstrap, "transactional.id": "theirs"})
    producer.init_transactions(30)
    for number in range(6):
        producer.begin_transaction()
        for partition in range(6):
            producer.produce("t", b"%d" % number, partition=partition)
        assert producer.flush(30) == 0
        if number % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce("t", b"open", partition=0)
    assert producer.flush(30) == 0
    # Of each partition the last stable offset is what 6 records and 6 markers take.
    found = consume(cluster, "t", 6, 18, **{"isolation.level": "read_committed"})
    assert sorted(value for _, value in found.values()) == sorted([b"0", b"2", b"4"] * 6)
    assert {offset for _, offset in found} == {0, 4, 8}
    producer.abort_transaction(30)


RECORDS = [(b"key %d" % (number % 97), b"value %d" % number) for number in range(5000)]


@pytest.mark.parametrize(
    "configs",
    [
        {},
        {"enable.idempotence": True},
        {"acks": 0},
        {"compression.type": "gzip"},
        {"compression.type": "zstd"},
        {"compression.type": "lz4"},
        {"compression.type": "snappy"},
    ],
    ids=lambda configs: "-".join(map(str, configs.values())) or "defaults",
)
def test_confluent_kafka_writes_and_reads(cluster, configs):
    assert produce(cluster, "t", RECORDS, **configs) == len(RECORDS)
    found = consume(cluster, "t", 6, len(RECORDS))
    assert sorted(found.values()) == sorted(RECORDS)
    ours = {(p, r.offset): (r.key, r.value) for p in range(6) for r in cluster.records("t", p)}
    assert found == ours
    if "compression.type" in configs:
        assert sum(len(p.log.read_all()) for p in cluster.topics["t"].partitions) < len(RECORDS) * 20


@pytest.mark.parametrize(
    ("codec", "level", "missing"),
    [
        ("gzip", None, ()),
        ("gzip", None, ("isal.isal_zlib",)),
        ("gzip", 9, ("isal.isal_zlib", "zlib_ng.zlib_ng")),
        ("snappy", None, ()),
        ("lz4", None, ()),
        ("lz4", 12, ()),
        ("zstd", None, ()),
        ("zstd", 22, ()),
        ("zstd", -5, ()),
    ],
)
def test_confluent_kafka_reads_what_we_write(cluster, hide, codec, level, missing):
    hide(*missing)
    # Batches of several blocks.
    values = [(b"%d of many, " % number) * 100 for number in range(1000)]
    with KafkaProducer(
        bootstrap_servers=cluster.bootstrap, compression_type=codec, compression_level=level, batch_size=900_000,
        linger_ms=200,
    ) as producer:  # fmt: skip
        for number, value in enumerate(values):
            producer.send("t", value, key=b"%d" % number, partition=number % 2)
    assert consume(cluster, "t", 6, len(values)) == {
        (number % 2, number // 2): (b"%d" % number, value) for number, value in enumerate(values)
    }
    log = cluster.topics["t"].partitions[0].log.read_all()
    assert {batch.unwrap().compression for batch in read_batches(log)} == {codec}


def test_confluent_kafka_waits_for_new_records(cluster):
    consumed = {}
    reader = threading.Thread(target=lambda: consumed.update(consume(cluster, "t", 6, len(RECORDS))))
    reader.start()
    produce(cluster, "t", RECORDS)
    reader.join(30)
    assert sorted(consumed.values()) == sorted(RECORDS)


def test_confluent_kafkas_admin_client(cluster):
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic("made", 4, 2)])["made"].result(20)
    with pytest.raises(confluent_kafka.KafkaException, match="TOPIC_ALREADY_EXISTS"):
        admin.create_topics([NewTopic("made", 4, 2)])["made"].result(20)
    topics = admin.list_topics(timeout=20).topics
    assert len(topics["made"].partitions) == 4 and len(topics["made"].partitions[0].replicas) == 2
    assert len(admin.describe_cluster().result(20).nodes) == 3
    produce(cluster, "made", RECORDS[:10])
    places = {confluent_kafka.TopicPartition("made", p): confluent_kafka.admin.OffsetSpec.latest() for p in range(4)}
    found = {place.partition: future.result(20).offset for place, future in admin.list_offsets(places).items()}
    assert found == cluster.end_offsets("made")
    admin.delete_topics(["made"])["made"].result(20)
    assert "made" not in cluster.topics


@pytest.mark.kafka
def test_javas_console_producer_and_consumer():
    lines = [b"k%d\tv%d" % (number % 7, number) for number in range(300)]
    options = ("--reader-property", "parse.key=true", "--compression-codec", "zstd")
    with EmbeddedCluster(nodes=3, topics={"t": 3}) as cluster, java_tools(cluster) as tools:
        tools.console_produce("t", lines, *options)
        assert sum(cluster.end_offsets("t").values()) == len(lines)
        assert tools.end_offsets("t") == cluster.end_offsets("t")
        found = {p: tools.console_consume("t", end, p) for p, end in cluster.end_offsets("t").items() if end}
    written = [(r.key, r.value, p, r.offset) for p in range(3) for r in cluster.records("t", p)]
    assert sorted(b"%b\t%b" % (key, value) for key, value, _, _ in written) == sorted(lines)
    assert [(r.key, r.value, r.partition, r.offset) for part in found.values() for r in part] == written


@pytest.mark.kafka
def test_javas_tools_find_our_segments_in_order(tmp_path):
    """DumpLogSegments on a folder of ours."""
    with EmbeddedCluster(topics={"t": 1}, folder=tmp_path / "t") as cluster:
        produce(cluster, "t", RECORDS, **{"compression.type": "lz4", "batch.num.messages": 500})
    with java_tools(cluster) as tools:
        tools.nodes[0].data = tmp_path / "t"
        batches = tools.dump_log("t", 0)
    assert len(batches) >= 10 and {batch.fields["isvalid"] for batch in batches} == {"true"}
    assert sum(int(batch.fields["count"]) for batch in batches) == len(RECORDS)
    assert [int(batch.fields["baseOffset"]) for batch in batches[1:]] == [
        int(batch.fields["lastOffset"]) + 1 for batch in batches[:-1]
    ]


@contextmanager
def java_tools(cluster):
    """The tools of the fixture's Kafka, pointed at our cluster; no node of Kafka runs."""
    tools = KafkaCluster(nodes=1)
    tools.bootstrap = cluster.bootstrap
    try:
        yield tools
    finally:
        tools.stop()


USERS = {"alice": "alice-secret"}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_confluent_kafka_authenticates(mechanism):
    """And does so again: a session of two seconds is renewed by it, too."""
    configs = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.username": "alice",
        "sasl.password": "alice-secret",
    }
    with EmbeddedCluster(nodes=2, topics={"t": 2}, users=USERS) as cluster:
        cluster.sasl.lifetime = 2.0
        records = [(b"%d" % n, b"x") for n in range(100)]
        assert produce(cluster, "t", records, **configs) == 100
        producer = confluent_kafka.Producer({"bootstrap.servers": cluster.bootstrap, **configs})
        delivered = []
        until = time.monotonic() + 30
        while cluster.sasl.counts["renewed"] < 2:
            assert time.monotonic() < until
            producer.produce("t", b"x", on_delivery=lambda error, message: delivered.append(error))
            producer.poll(0.05)
        assert producer.flush(30) == 0
        assert not any(delivered)
        assert not cluster.sasl.counts["refused"]


def test_confluent_kafka_is_refused():
    configs = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "alice",
        "sasl.password": "wrong",
    }
    with EmbeddedCluster(nodes=1, users=USERS) as cluster:
        errors = []
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": cluster.bootstrap, "error_cb": errors.append, "log_level": 0, **configs}
        )
        until = time.monotonic() + 30
        while not any("invalid credentials" in str(error) for error in errors):
            assert time.monotonic() < until, errors
            producer.poll(0.1)
