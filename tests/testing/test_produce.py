"""What the embedded broker says to Produce requests: as Apache Kafka does, seen in test_as_kafka.py too."""

import errno
import os
import struct

import pytest
from testing.wire import Closed, Peer, batch, produce, produce_request

from kafka import KafkaProducer
from kafka.protocol import MetadataRequest, ProduceRequest
from kafka.protocol.codes import Code
from kafka.records.crc import crc32c
from kafka.testing import EmbeddedCluster


@pytest.fixture(params=["memory", "folder", "discard"])
def cluster(request, tmp_path):
    options = {"memory": {}, "folder": {"folder": tmp_path / "logs"}, "discard": {"discard": True}}[request.param]
    with EmbeddedCluster(topics={"t": 2}, **options) as cluster:
        yield cluster


@pytest.fixture
def peer(cluster):
    with Peer(cluster.bootstrap) as peer:
        yield peer


def changed(data, form, at, value, mend=True):
    """The batch with a field changed, and its CRC with it."""
    data = bytearray(data)
    struct.pack_into(form, data, at, value)
    if mend:
        struct.pack_into(">I", data, 17, crc32c(data[21:]))
    return bytes(data)


@pytest.mark.parametrize("version", range(ProduceRequest.VERSIONS[0], ProduceRequest.VERSIONS[1] + 1))
def test_every_version_appends(cluster, peer, version):
    topic = cluster.topics["t"].id if version >= 13 else "t"
    for round in range(2):
        response = peer.ask(produce_request(topic, (1, batch(b"a", b"b")), (0, batch(b"c"))), version)
        (answer,) = response.responses
        assert (answer.topic_id if version >= 13 else answer.name) == topic
        assert [(p.index, p.error_code, p.base_offset) for p in answer.partition_responses] == [
            (1, 0, 2 * round),
            (0, 0, round),
        ]
    assert cluster.end_offsets("t") == {0: 2, 1: 4}
    assert cluster.end_offset("t", 1) == 4


def test_what_was_appended_is_there(cluster, peer):
    if cluster.discards:
        with pytest.raises(ValueError, match="throws its records away"):
            cluster.records("t", 0)
        return
    produce(peer, "t", 0, batch(b"a", b"b"))
    produce(peer, "t", 0, batch(b"c", compression="gzip"))
    assert [(record.offset, record.value) for record in cluster.records("t", 0)] == [(0, b"a"), (1, b"b"), (2, b"c")]
    assert cluster.records("t", 1) == []


def test_pipelined_requests_are_answered_in_order(cluster, peer):
    for number in range(300):
        peer.send(produce_request("t", (0, batch(b"%d" % number))), 9)
    answers = [peer.receive().responses[0].partition_responses[0].base_offset for _ in range(300)]
    assert answers == list(range(300))


def test_large_batches_and_small_requests_mixed(cluster, peer):
    for size in (1, 70_000, 3, 900_000, 65_000):
        peer.send(produce_request("t", (0, batch(b"x" * size))), 9)
        peer.send(MetadataRequest(topics=None), 9)
    for number in range(5):
        assert peer.receive().responses[0].partition_responses[0].base_offset == number
        assert [topic.name for topic in peer.receive().topics] == ["t"]


def test_a_frame_in_single_bytes(cluster, peer):
    from kafka.protocol import encode_request

    peer.sent.append((ProduceRequest.RESPONSE, 9))
    peer.count = 1
    for byte in b"".join(encode_request(produce_request("t", (0, batch(b"v"))), 9, 1, "slow").unwrap()):
        peer.socket.sendall(bytes([byte]))
    assert peer.receive().responses[0].partition_responses[0].error_code == 0


GOOD = batch(b"a", b"b")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, Code.INVALID_RECORD),
        (b"", Code.INVALID_RECORD),
        (GOOD[:60], Code.INVALID_RECORD),
        (GOOD[:-1], Code.INVALID_RECORD),
        (GOOD + GOOD, Code.INVALID_RECORD),
        (changed(GOOD, ">B", len(GOOD) - 2, 0x41, mend=False), Code.CORRUPT_MESSAGE),
        (changed(GOOD, ">I", 17, 12345, mend=False), Code.CORRUPT_MESSAGE),
        (changed(GOOD, ">b", 16, 1), Code.INVALID_RECORD),
        (changed(GOOD, ">q", 0, 7), Code.INVALID_RECORD),
        (changed(GOOD, ">i", 57, 3), Code.INVALID_RECORD),
        (changed(GOOD, ">i", 57, -1), Code.INVALID_RECORD),
        (changed(GOOD, ">i", 23, 0), Code.INVALID_RECORD),
        (changed(GOOD, ">h", 21, 0x20), Code.INVALID_RECORD),
        (changed(GOOD, ">h", 21, 0x05), Code.UNKNOWN_SERVER_ERROR),
        (batch(b"a", pid=5, epoch=0, sequence=-1), Code.INVALID_RECORD),
        (batch(b"x" * (1 << 20)), Code.MESSAGE_TOO_LARGE),
    ],
    ids=[
        "null", "empty", "less than a header", "cut", "two batches", "bytes flipped", "CRC", "magic", "base offset",
        "count too high", "count negative", "last offset delta", "control", "codec", "sequence", "too large",
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_batch_is_found(cluster, peer, data, code):
    assert produce(peer, "t", 0, data) == (code, -1)
    assert cluster.end_offset("t", 0) == 0
    assert produce(peer, "t", 0, GOOD) == (0, 0)


def test_zstd_needs_version_7(cluster, peer):
    data = batch(b"a" * 100, compression="zstd")
    assert produce(peer, "t", 0, data, version=6) == (Code.UNSUPPORTED_COMPRESSION_TYPE, -1)
    assert produce(peer, "t", 0, data, version=7) == (0, 0)


def test_unknown_topics_partitions_and_ids(cluster, peer):
    assert produce(peer, "no", 0, GOOD) == (Code.UNKNOWN_TOPIC_OR_PARTITION, -1)
    assert produce(peer, "t", 2, GOOD) == (Code.UNKNOWN_TOPIC_OR_PARTITION, -1)
    assert produce(peer, "t", -1, GOOD) == (Code.UNKNOWN_TOPIC_OR_PARTITION, -1)
    response = peer.ask(produce_request(b"\1" * 16, (0, GOOD)), 13)
    assert response.responses[0].partition_responses[0].error_code == Code.UNKNOWN_TOPIC_ID


def test_a_partition_named_twice_gets_one_answer_and_one_batch(cluster, peer):
    response = peer.ask(produce_request("t", (0, batch(b"first")), (0, batch(b"second"))), 9)
    (answer,) = response.responses[0].partition_responses
    assert (answer.index, answer.error_code, answer.base_offset) == (0, 0, 0)
    assert cluster.end_offset("t", 0) == 1
    if not cluster.discards:
        assert [record.value for record in cluster.records("t", 0)] == [b"second"]


def test_a_topic_named_twice_gets_one_answer(cluster, peer):
    request = produce_request("t", (0, batch(b"first")))
    request.topic_data = [*request.topic_data, *produce_request("t", (0, batch(b"second")), (1, GOOD)).topic_data]
    response = peer.ask(request, 9)
    assert [[p.index for p in topic.partition_responses] for topic in response.responses] == [[0, 1]]
    assert cluster.end_offsets("t") == {0: 1, 1: 2}


def test_no_answer_with_acks_0_and_a_closed_connection_where_it_failed(cluster, peer):
    peer.send(produce_request("t", (0, GOOD), acks=0), 9)
    peer.count -= 1  # there is no answer to it: the next one is that to the next request
    assert produce(peer, "t", 0, GOOD) == (0, 2)
    peer.send(produce_request("t", (5, GOOD), acks=0), 9)
    with pytest.raises(Closed):
        peer.frame()


def test_other_acks_are_refused(cluster, peer):
    response = peer.ask(produce_request("t", (0, GOOD), acks=2), 9)
    assert response.responses[0].partition_responses[0].error_code == Code.INVALID_REQUIRED_ACKS
    assert cluster.end_offset("t", 0) == 0


# -- producers' sequences --------------------------------------------------------------------------------------------


def numbered(sequence, count=1, pid=7, epoch=0):
    return batch(*(b"v",) * count, pid=pid, epoch=epoch, sequence=sequence)


def test_the_last_five_batches_are_recognised_when_they_come_again(cluster, peer):
    for sequence in range(0, 12, 2):
        assert produce(peer, "t", 0, numbered(sequence, 2)) == (0, sequence)
    for sequence in range(2, 12, 2):
        assert produce(peer, "t", 0, numbered(sequence, 2)) == (0, sequence)
    assert produce(peer, "t", 0, numbered(0, 2)) == (Code.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    assert produce(peer, "t", 0, numbered(10, 3)) == (Code.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    assert cluster.end_offset("t", 0) == 12


def test_a_gap_is_refused_but_a_new_producer_may_begin_anywhere(cluster, peer):
    assert produce(peer, "t", 0, numbered(7)) == (0, 0)
    assert produce(peer, "t", 0, numbered(9)) == (Code.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    assert produce(peer, "t", 0, numbered(8)) == (0, 1)
    assert produce(peer, "t", 1, numbered(0)) == (0, 0)


def test_epochs(cluster, peer):
    assert produce(peer, "t", 0, numbered(0, 5)) == (0, 0)
    assert produce(peer, "t", 0, numbered(5, epoch=1)) == (Code.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
    assert produce(peer, "t", 0, numbered(0, epoch=1)) == (0, 5)
    assert produce(peer, "t", 0, numbered(5, epoch=0)) == (Code.INVALID_PRODUCER_EPOCH, -1)
    assert produce(peer, "t", 1, numbered(0, epoch=0)) == (0, 0)  # per partition


def test_sequences_wrap(cluster, peer):
    top = 2**31 - 1
    assert produce(peer, "t", 0, numbered(top - 1, 4)) == (0, 0)
    assert produce(peer, "t", 0, numbered(top - 1, 4)) == (0, 0)
    assert produce(peer, "t", 0, numbered(2)) == (0, 4)


# -- disks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [0, 50], ids=["nothing written", "a part written"])
def test_a_full_disk_takes_nothing_and_a_resend_is_no_duplicate(tmp_path, monkeypatch, written):
    """Noted before it was written, the batch would be acknowledged when it comes again, and be nowhere."""
    failures = [OSError(errno.ENOSPC, "No space left on device")]
    pwrite = os.pwrite

    def full(file, data, offset):
        if failures:
            pwrite(file, data[:written], offset)
            raise failures.pop()
        return pwrite(file, data, offset)

    with EmbeddedCluster(topics={"t": 1}, folder=tmp_path) as cluster, Peer(cluster.bootstrap) as peer:
        assert produce(peer, "t", 0, numbered(0)) == (0, 0)
        monkeypatch.setattr("kafka.testing.storage.os.pwrite", full)
        assert produce(peer, "t", 0, numbered(1)) == (Code.KAFKA_STORAGE_ERROR, -1)
        assert cluster.end_offset("t", 0) == 1 and not failures
        assert produce(peer, "t", 0, numbered(1)) == (0, 1)
        assert produce(peer, "t", 0, numbered(1)) == (0, 1)  # now it is one
        assert produce(peer, "t", 0, numbered(2)) == (0, 2)
        before = [(record.offset, record.value) for record in cluster.records("t")]
    assert len(before) == 3
    with EmbeddedCluster(folder=tmp_path) as cluster:
        assert [(record.offset, record.value) for record in cluster.records("t")] == before


def test_a_marker_that_finds_the_disk_full_is_written_later(tmp_path):
    with EmbeddedCluster(topics={"t": 1}, folder=tmp_path) as cluster:
        storage = cluster.topics["t"][0].log.storage
        append, failures = storage.append, [OSError(errno.ENOSPC, "No space left on device")] * 3

        def full(data, base):
            if failures and base == 1:
                raise failures.pop()
            append(data, base)

        storage.append = full
        with KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="tx") as producer:
            producer.init_transactions()
            for value in (b"one", b"two"):
                with producer.transaction():
                    producer.send("t", value)
        assert [(record.offset, record.value) for record in cluster.records("t")] == [(0, b"one"), (2, b"two")]
        assert not failures
