"""`kafka-turbo consume`: where it begins, where it ends, and what it prints of what."""

import base64
import json
import os
import signal
import threading
import time

import pytest
from cli.test_commands import run, start, until

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.protocol import FetchRequest
from kafka.testing import EmbeddedCluster


@pytest.fixture(scope="module")
def cluster():
    with EmbeddedCluster(nodes=2, topics={"t": 2, "idle": 160}) as cluster:
        with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            for number in range(10):
                producer.send("t", b"%d" % number, partition=0, timestamp_ms=1_700_000_000_000 + number)
            producer.send("t", b"\xff", b"k", headers=[("h", b"\xfe"), ("n", None)], partition=1, timestamp_ms=5)
        yield cluster


@pytest.fixture
def consume(cluster):
    def consume(*arguments):
        code, out, err = run("consume", "-b", cluster.bootstrap, *arguments)
        assert (code, err) == (0, "")
        return out.splitlines()

    return consume


def test_the_last_of_each_partition(consume):
    assert consume("t", "-p0", "-o", "-3") == [b"7", b"8", b"9"]
    assert consume("t", "-o", "-1") == [b"9", b"\xff"] or consume("t", "-o", "-1") == [b"\xff", b"9"]
    assert len(consume("t", "-o", "-1000")) == 11


@pytest.mark.parametrize("at", ["1700000000007", "2023-11-14T22:13:20.007+00:00", "2023-11-14T22:13:20.007Z"])
def test_from_a_time_on(consume, at):
    assert consume("t", "-o", f"@{at}") == [b"7", b"8", b"9"]


def test_a_number_beyond_the_end_and_counts(consume):
    assert consume("t", "-p0", "-o", "1000") == []
    assert consume("t", "-p0", "-c", "3") == consume("t", "-p0", "--count", "3") == [b"0", b"1", b"2"]
    assert consume("t", "-c", "0") == []


def test_base64(consume):
    (line,) = consume("t", "-p1", "--base64", "-f", "json")
    found = json.loads(line)
    decoded = [base64.b64decode(found[name]) for name in ("key", "value")]
    assert decoded == [b"k", b"\xff"] and found["headers"] == [["h", "/g=="], ["n", None]]
    assert consume("t", "-p1", "--base64", "-f", "pairs") == [b"aw==\t/w=="]
    assert consume("t", "-p1", "--base64") == [b"/w=="]


def test_transactions(cluster, consume):
    cluster.create_topic("written", 1)
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="x") as producer:
        producer.init_transactions()
        for text, ends in ((b"kept", producer.commit_transaction), (b"aborted", producer.abort_transaction)):
            producer.begin_transaction()
            producer.send("written", text)
            ends()
    assert consume("written") == [b"kept"]
    assert consume("written", "--read-uncommitted") == [b"kept", b"aborted"]
    assert consume("written", "-X", "isolation_level=read_uncommitted") == [b"kept", b"aborted"]


def test_a_group_goes_on_where_it_was(cluster, consume):
    with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
        cluster.create_topic("shared", 2)
        for number in range(6):
            producer.send("shared", b"%d" % number, partition=0)
        producer.flush()
        assert consume("shared", "-G", "g", "-e", "-c", "2") == [b"0", b"1"]
        assert consume("shared", "-G", "g", "-e") == [b"2", b"3", b"4", b"5"]
        assert consume("shared", "-X", "group.id=g", "-e") == []
        with start("consume", "-b", cluster.bootstrap, "shared", "-G", "g") as process:
            lines = []
            reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, b"")), daemon=True)
            reader.start()
            producer.send("shared", b"6", partition=0)
            until(lambda: lines == [b"6\n"])
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
            reader.join()
            assert process.stderr.read() == b"kafka-turbo consume: interrupted\n"
    with KafkaConsumer(bootstrap_servers=cluster.bootstrap, group_id="g") as consumer:
        assert consumer.committed(TopicPartition("shared", 0)) == 7
    code, _, err = run("consume", "-b", cluster.bootstrap, "shared", "-G", "g", "-o", "end")
    assert code == 2 and "leave out --offset and --partition" in err


def test_a_group_that_a_file_names_is_left_alone(cluster, consume, tmp_path):
    path = tmp_path / "client.properties"
    path.write_text("group.id=theirs\nmax.poll.records=7\n")
    assert len(consume("t", "--command-config", path)) == 11
    with KafkaConsumer(bootstrap_servers=cluster.bootstrap, group_id="theirs") as consumer:
        assert consumer.committed(TopicPartition("t", 0)) is None


def test_many_idle_partitions_are_one_fetch(cluster):
    """Each of them had a long poll of its own, one behind the other; a record waited for all of them."""
    seen = []
    handlers = [node.handlers for node in cluster.nodes]
    usual = handlers[0][FetchRequest.API_KEY]
    for each in handlers:
        each[FetchRequest.API_KEY] = lambda *request: seen.append(request[2]) or usual(*request)
    try:
        with start("consume", "-b", cluster.bootstrap, "idle", "--follow", "-o", "end") as process:
            until(lambda: sum(len(t.partitions) for request in seen for t in request.topics) >= 160)
            with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
                sent = time.monotonic()
                producer.send("idle", b"x", partition=150)
            assert process.stdout.readline() == b"x\n" and time.monotonic() - sent < 10
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
    finally:
        for each in handlers:
            each[FetchRequest.API_KEY] = usual
    assert max(sum(len(topic.partitions) for topic in request.topics) for request in seen) >= 40


@pytest.mark.timing
def test_memory_is_bounded_where_nobody_reads_the_output(cluster):
    """It grew with the number of partitions: 4 MB of each."""
    cluster.create_topic("big", 60)
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, batch_size=1_000_000) as producer:
        for partition in range(60):
            producer.send_many("big", [os.urandom(100_000)] * 40, partition=partition)
            producer.flush()
    with start("consume", "-b", cluster.bootstrap, "big") as process:
        most = 0
        settled = time.monotonic() + 5
        while time.monotonic() < settled:
            with open(f"/proc/{process.pid}/status") as status:
                (line,) = [line for line in status if line.startswith("VmHWM")]
            found = int(line.split()[1])
            if found > most:
                most, settled = found, time.monotonic() + 5
        assert most < 160_000, f"{most} kB"
        process.stdout.close()
        assert process.wait(30) == 141


@pytest.mark.kafka
def test_idle_partitions_and_aborted_records_of_apache_kafka(kafka_cluster):
    kafka_cluster.create_topic("cli.idle", partitions=160)
    arguments = ("consume", "-b", kafka_cluster.bootstrap, "cli.idle")
    assert run(*arguments) == (0, b"", "")
    with KafkaProducer(bootstrap_servers=kafka_cluster.bootstrap, transactional_id="cli") as producer:
        producer.init_transactions()
        for text, ends in ((b"kept", producer.commit_transaction), (b"aborted", producer.abort_transaction)):
            producer.begin_transaction()
            producer.send("cli.idle", text, partition=7)
            ends()
    assert run(*arguments) == (0, b"kept\n", "")
    assert run(*arguments, "--read-uncommitted") == (0, b"kept\naborted\n", "")
    assert run(*arguments, "-G", "cli.group", "-e") == (0, b"kept\n", "")
    assert run(*arguments, "-G", "cli.group", "-e") == (0, b"", "")
