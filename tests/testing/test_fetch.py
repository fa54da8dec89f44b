"""Reading from the embedded broker: Fetch with its waiting and its limits, ListOffsets."""

import threading
import time

import pytest
from testing.wire import Peer, batch, produce, produce_request

from kafka.protocol import ApiVersionsRequest, FetchRequest, ListOffsetsRequest
from kafka.protocol.codes import Code
from kafka.records import read_batches
from kafka.testing import EmbeddedCluster


@pytest.fixture(params=["memory", "folder"])
def cluster(request, tmp_path):
    with EmbeddedCluster(topics={"t": 2}, folder=tmp_path / "logs" if request.param == "folder" else None) as cluster:
        yield cluster


@pytest.fixture
def peer(cluster):
    with Peer(cluster.bootstrap) as peer:
        yield peer


def fetch_request(*wanted, topic="t", wait=0, least=1, most=1 << 20, most_each=1 << 20, epoch=-1, **more):
    """`wanted`: (partition, offset) each."""
    partitions = [
        FetchRequest.FetchPartition(
            partition=partition, fetch_offset=offset, partition_max_bytes=most_each, current_leader_epoch=epoch
        )
        for partition, offset in wanted
    ]
    named = {"topic": topic} if isinstance(topic, str) else {"topic_id": topic}
    return FetchRequest(
        max_wait_ms=wait,
        min_bytes=least,
        max_bytes=most,
        topics=[FetchRequest.FetchTopic(**named, partitions=partitions)] if wanted else [],
        **more,
    )


def fetched(response):
    """partition -> (error code, high watermark, [(offset, value)])."""
    found = {}
    for topic in response.responses:
        for part in topic.partitions:
            batches = [result.unwrap() for result in read_batches(part.records)]
            records = [(r.offset, r.value) for b in batches for r in b.records().unwrap()]
            found[part.partition_index] = (part.error_code, part.high_watermark, records)
    return found


@pytest.mark.parametrize("version", range(FetchRequest.VERSIONS[0], FetchRequest.VERSIONS[1] + 1))
def test_every_version_reads_back_what_was_produced(cluster, peer, version):
    produce(peer, "t", 0, batch(b"a", b"b"))
    produce(peer, "t", 0, batch(b"c", b"d", compression="lz4"))
    topic = cluster.topics["t"].id if version >= 13 else "t"
    response = peer.ask(fetch_request((0, 0), (1, 0), topic=topic), version)
    (answer,) = response.responses
    assert (answer.topic_id if version >= 13 else answer.topic) == topic
    assert fetched(response) == {0: (0, 4, [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")]), 1: (0, 0, [])}
    # From the middle of a batch on, the whole batch comes.
    assert fetched(peer.ask(fetch_request((0, 3), topic=topic), version))[0][2] == [(2, b"c"), (3, b"d")]
    assert answer.partitions[0].log_start_offset == (0 if version >= 5 else -1)
    assert answer.partitions[0].last_stable_offset == 4


def test_limits_cut_between_batches_and_the_first_comes_in_any_case(cluster, peer):
    size = len(batch(b"x" * 100))
    for _ in range(4):
        for partition in range(2):
            produce(peer, "t", partition, batch(b"x" * 100))

    def counts(**limits):
        return {p: len(found[2]) for p, found in fetched(peer.ask(fetch_request((0, 0), (1, 0), **limits), 12)).items()}

    assert counts() == {0: 4, 1: 4}
    assert counts(most_each=2 * size) == {0: 2, 1: 2}
    assert counts(most_each=2 * size + 50) == {0: 2, 1: 2}
    assert counts(most=5 * size) == {0: 4, 1: 1}
    assert counts(most=1) == {0: 1, 1: 0}
    assert counts(most_each=1) == {0: 1, 1: 0}


def test_a_fetch_waits_for_records(cluster, peer):
    started = time.monotonic()
    peer.send(fetch_request((0, 0), (1, 0), wait=20_000, least=1), 12)
    with Peer(cluster.bootstrap) as other:
        produce(other, "t", 1, batch(b"late"))
    assert fetched(peer.receive()) == {0: (0, 0, []), 1: (0, 1, [(0, b"late")])}
    assert time.monotonic() - started < 10


def test_a_fetch_waits_for_enough_bytes(cluster, peer):
    size = len(batch(b"x" * 100))
    peer.send(fetch_request((0, 0), wait=20_000, least=2 * size + 1), 12)
    with Peer(cluster.bootstrap) as other:
        for _ in range(3):
            produce(other, "t", 0, batch(b"x" * 100))
    assert len(fetched(peer.receive())[0][2]) == 3


def test_a_fetch_waits_no_longer_than_it_was_told_and_the_next_request_waits_for_it(cluster, peer):
    started = time.monotonic()
    peer.send(fetch_request((0, 0), wait=200), 12)
    peer.send(produce_request("t", (0, batch(b"v"))), 9)
    assert fetched(peer.receive()) == {0: (0, 0, [])}
    assert time.monotonic() - started >= 0.19
    assert peer.receive().responses[0].partition_responses[0].error_code == 0
    assert not any(partition.log.waiting for partition in cluster.topics["t"].partitions)


def test_much_may_wait_behind_a_fetch(cluster, peer):
    peer.send(fetch_request((0, 0), wait=300), 12)
    for _ in range(3):
        peer.send(produce_request("t", (0, batch(b"x" * 100_000))), 9)
    for _ in range(500):
        peer.send(produce_request("t", (0, batch(b"x" * 100))), 9)
    assert fetched(peer.receive()) == {0: (0, 0, [])}
    answers = [peer.receive().responses[0].partition_responses[0].base_offset for _ in range(503)]
    assert answers == list(range(503))


def test_answers_leave_in_the_order_of_requests_when_one_is_larger_than_the_sockets_take(cluster, peer):
    """Once the first is through, the third must wait for the second, which is held back."""
    size = 1_000_000
    log = cluster.topics["t"].partitions[0].log
    peer.send(fetch_request((0, 0), wait=60_000, most=1 << 30, most_each=1 << 30), 12)
    with Peer(cluster.bootstrap) as other:
        while not log.waiting:
            other.ask(ApiVersionsRequest(), 0)

        def fill():
            waiting, log.waiting = log.waiting, set()
            for _ in range(30):
                log.append(memoryview(bytearray(batch(b"x" * size))), 12)
            log.waiting = waiting
            log.tell()

        cluster._on_thread(fill)
        peer.send(fetch_request((1, 0), wait=500), 12)
        peer.send(ApiVersionsRequest(), 0)
        assert other.ask(ApiVersionsRequest(), 0).error_code == 0  # which holds up nobody else
        assert len(fetched(peer.receive())[0][2]) == 30  # `receive` says so if it is not the answer to that request
        assert fetched(peer.receive()) == {1: (0, 0, [])}
        assert peer.receive().error_code == 0


def test_a_fetch_whose_topic_is_deleted_waits_no_longer(cluster, peer):
    peer.send(fetch_request((0, 0), wait=20_000), 12)
    started = time.monotonic()
    log = cluster.topics["t"].partitions[0].log
    while not log.waiting:
        time.sleep(0.01)
    cluster.delete_topic("t")
    assert fetched(peer.receive())[0][0] == Code.UNKNOWN_TOPIC_OR_PARTITION
    assert time.monotonic() - started < 10


def test_errors_do_not_wait(cluster, peer):
    def code(wanted, **more):
        started = time.monotonic()
        (found,) = fetched(peer.ask(fetch_request(wanted, wait=20_000, **more), 13 if "topic" in more else 12)).values()
        assert time.monotonic() - started < 10
        return found[0]

    assert code((0, 1)) == Code.OFFSET_OUT_OF_RANGE
    assert code((0, -1)) == Code.OFFSET_OUT_OF_RANGE
    assert code((9, 0)) == Code.UNKNOWN_TOPIC_OR_PARTITION
    assert code((0, 0), topic=b"\7" * 16) == Code.UNKNOWN_TOPIC_ID
    assert code((0, 0), epoch=3) == Code.UNKNOWN_LEADER_EPOCH


def test_a_session_says_only_what_is_new(cluster, peer):
    first = peer.ask(fetch_request((0, 0), (1, 0), session_epoch=0), 12)
    assert first.session_id > 0 and len(fetched(first)) == 2
    produce(peer, "t", 1, batch(b"a"))
    news = peer.ask(fetch_request(session_id=first.session_id, session_epoch=1), 12)
    assert fetched(news) == {1: (0, 1, [(0, b"a")])}
    again = peer.ask(fetch_request(session_id=first.session_id, session_epoch=1), 12)
    assert again.error_code == Code.INVALID_FETCH_SESSION_EPOCH
    response = peer.ask(fetch_request(session_id=5000, session_epoch=1), 12)
    assert response.error_code == Code.FETCH_SESSION_ID_NOT_FOUND


def test_closing_the_cluster_under_a_waiting_fetch():
    with EmbeddedCluster(topics={"t": 1}) as cluster, Peer(cluster.bootstrap) as peer:
        peer.send(fetch_request((0, 0), wait=60_000), 12)
        started = time.monotonic()
        cluster.stop()
        assert time.monotonic() - started < 5
    assert not any(thread.name == "kafka.testing" for thread in threading.enumerate())


def list_offsets(peer, *timestamps, version=11, topic="t", partition=0):
    found = []
    for timestamp in timestamps:
        part = ListOffsetsRequest.ListOffsetsPartition(partition_index=partition, timestamp=timestamp)
        request = ListOffsetsRequest(
            replica_id=-1, topics=[ListOffsetsRequest.ListOffsetsTopic(name=topic, partitions=[part])]
        )
        ((answer,),) = (topic.partitions for topic in peer.ask(request, version).topics)
        found.append((answer.error_code, answer.offset, answer.timestamp))
    return found


@pytest.mark.parametrize("version", range(ListOffsetsRequest.VERSIONS[0], ListOffsetsRequest.VERSIONS[1] + 1))
def test_offsets_by_time_and_by_name(cluster, peer, version):
    assert list_offsets(peer, -1, -2, 5, version=version) == [(0, 0, -1), (0, 0, -1), (0, -1, -1)]
    produce(peer, "t", 0, batch(b"a", b"b", b"c", timestamp=1000))
    produce(peer, "t", 0, batch(b"d", b"e", timestamp=5000, compression="gzip"))
    produce(peer, "t", 0, batch(b"f", timestamp=2000))
    assert list_offsets(peer, -1, -2, version=version) == [(0, 6, -1), (0, 0, -1)]
    assert list_offsets(peer, 0, 1001, 1003, 5001, 5002, version=version) == [
        (0, 0, 1000),
        (0, 1, 1001),
        (0, 3, 5000),
        (0, 4, 5001),
        (0, -1, -1),
    ]
    assert list_offsets(peer, -3, -4, -5, version=version) == [(0, 4, 5001), (0, 0, -1), (0, -1, -1)]


def test_offsets_are_told_by_the_leader_in_the_epoch_that_is_asked_for(cluster, peer):
    def code(epoch):
        part = ListOffsetsRequest.ListOffsetsPartition(partition_index=0, timestamp=-1, current_leader_epoch=epoch)
        topic = ListOffsetsRequest.ListOffsetsTopic(name="t", partitions=[part])
        return peer.ask(ListOffsetsRequest(replica_id=-1, topics=[topic]), 11).topics[0].partitions[0].error_code

    cluster.topics["t"][0].epoch = 2
    assert [code(epoch) for epoch in (-1, 1, 2, 3)] == [0, Code.FENCED_LEADER_EPOCH, 0, Code.UNKNOWN_LEADER_EPOCH]


def test_offsets_of_what_is_not_there(cluster, peer):
    assert list_offsets(peer, -1, topic="no") == [(Code.UNKNOWN_TOPIC_OR_PARTITION, -1, -1)]
    assert list_offsets(peer, -1, partition=2) == [(Code.UNKNOWN_TOPIC_OR_PARTITION, -1, -1)]


def test_what_is_thrown_away_is_as_if_it_had_expired():
    with EmbeddedCluster(topics={"t": 1}, discard=True) as cluster, Peer(cluster.bootstrap) as peer:
        produce(peer, "t", 0, batch(b"a", b"b"))
        assert list_offsets(peer, -1, -2, 0) == [(0, 2, -1), (0, 2, -1), (0, -1, -1)]
        assert fetched(peer.ask(fetch_request((0, 0)), 12))[0][0] == Code.OFFSET_OUT_OF_RANGE
        assert fetched(peer.ask(fetch_request((0, 2)), 12)) == {0: (0, 2, [])}
