"""Reading without a consumer: positions, and errors of partitions on the way."""

import time

import pytest

from kafka import KafkaProducer
from kafka.cli.reader import EARLIEST, LATEST, Reader
from kafka.errors import CorruptRecordError, KafkaTimeoutError, TopicAlreadyExistsError, UnknownError
from kafka.protocol import FetchRequest
from kafka.protocol.codes import Code
from kafka.testing import EmbeddedCluster


@pytest.fixture
def cluster():
    with EmbeddedCluster(nodes=2, topics={"t": 3}) as cluster:
        with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            for round in range(5):
                for partition in range(3):
                    producer.send_many("t", [b"%d" % (100 * round + n) for n in range(100)], partition=partition)
                producer.flush()
        yield cluster


def read(reader, positions, ends):
    found = {partition: [] for partition in positions}
    for partition, batch in reader.batches("t", positions, ends):
        found[partition] += [(record.offset, record.value) for record in batch.records().unwrap()]
    return found


ALL = [(n, b"%d" % n) for n in range(500)]


def fail_fetches(cluster, fails, code):
    """Has every node answer those Fetch requests (by number) with an error."""
    seen = []

    def fetch(node, header, request):
        seen.append(request)
        response = handler(node, header, request)
        if fails(len(seen)) and request.topics:
            for partition in response.responses[0].partitions:
                partition.error_code, partition.records = code, b""
        return response

    handler = cluster.nodes[0].handlers[FetchRequest.API_KEY]
    for node in cluster.nodes:
        node.handlers[FetchRequest.API_KEY] = fetch


def small_answers(monkeypatch):
    monkeypatch.setattr("kafka.cli.reader._MOST", 100)  # a batch at a time


def test_everything_is_read_once(cluster, monkeypatch):
    small_answers(monkeypatch)
    with Reader(cluster.bootstrap) as reader:
        assert reader.partitions("t") == [0, 1, 2]
        ends = reader.offsets("t", [0, 1, 2], LATEST)
        assert ends == dict.fromkeys(range(3), 500) and reader.offsets("t", [1], EARLIEST) == {1: 0}
        assert read(reader, dict.fromkeys(range(3), 0), ends) == dict.fromkeys(range(3), ALL)
        assert read(reader, {1: 300, 2: 500}, ends) == {1: ALL[300:], 2: []}


def test_a_leader_that_is_away_for_a_moment(cluster, monkeypatch):
    small_answers(monkeypatch)
    fail_fetches(cluster, lambda number: number % 3 == 0, Code.NOT_LEADER_OR_FOLLOWER)
    with Reader(cluster.bootstrap) as reader:
        ends = dict.fromkeys(range(3), 500)
        assert read(reader, dict.fromkeys(range(3), 0), ends) == dict.fromkeys(range(3), ALL)


def test_an_error_that_stays_is_raised(cluster):
    fail_fetches(cluster, lambda number: True, Code.UNKNOWN_SERVER_ERROR)
    with Reader(cluster.bootstrap) as reader, pytest.raises(UnknownError):
        read(reader, {0: 0}, {0: 500})


def test_a_corrupt_batch_is_raised(cluster):
    log = cluster.topics["t"].partitions[0].log
    log.storage._batches[2][100] ^= 1
    with Reader(cluster.bootstrap) as reader, pytest.raises(CorruptRecordError, match=r"t\[0\]|offset 200"):
        read(reader, {0: 0}, {0: 500})


def test_topics_are_created_and_brokers_missed(cluster):
    with Reader(cluster.bootstrap) as reader:
        reader.create_topic("new", 4)
        assert len(cluster.topics["new"].partitions) == 4
        with pytest.raises(TopicAlreadyExistsError):
            reader.create_topic("new", 4)
    cluster.stop()
    with pytest.raises(KafkaTimeoutError, match="refused"):
        Reader(cluster.bootstrap)


def test_hundreds_of_idle_partitions_hold_up_none_that_is_not():
    """A broker works on one fetch of a connection at a time, and each waits for records."""
    with EmbeddedCluster(topics={"t": 200}) as cluster, Reader(cluster.bootstrap) as reader:
        found = reader.batches("t", dict.fromkeys(range(200), 0))
        with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            producer.send("t", b"x", partition=150)
        start = time.monotonic()
        partition, batch = next(found)
        assert (partition, batch.records().unwrap()[0].value) == (150, b"x")
        assert time.monotonic() - start < 10


def test_answers_that_nobody_takes_are_few():
    """However many partitions there are: each answer may have megabytes."""
    with EmbeddedCluster(topics={"t": 40}) as cluster, Reader(cluster.bootstrap) as reader:
        with KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            for partition in range(40):
                producer.send("t", b"%d" % partition, partition=partition)
        seen = []
        handlers = cluster.nodes[0].handlers
        usual = handlers[FetchRequest.API_KEY]
        handlers[FetchRequest.API_KEY] = lambda *request: seen.append(request) or usual(*request)
        found = reader.batches("t", dict.fromkeys(range(40), 0), dict.fromkeys(range(40), 1))
        partitions = [next(found)[0]]
        for _ in range(50):
            reader.partitions("t")  # a turn of the broker
            assert len(seen) <= 9
        partitions += [partition for partition, _ in found]
        assert sorted(partitions) == list(range(40)) and len(seen) == 40
