"""Transactions on the embedded broker: what is committed is read, what is aborted or open is not, zombies fail."""

import struct
import time

import pytest
from testing.test_fetch import fetch_request, fetched
from testing.wire import Peer, batch, produce, produce_request

from kafka import KafkaProducer
from kafka.errors import KafkaError, ProducerFencedError
from kafka.protocol import (
    AddPartitionsToTxnRequest,
    DescribeProducersRequest,
    EndTxnRequest,
    InitProducerIdRequest,
    ListOffsetsRequest,
    TxnOffsetCommitRequest,
)
from kafka.protocol.codes import Code
from kafka.records import RecordBatchBuilder, read_batches
from kafka.structs import OffsetAndMetadata, TopicPartition
from kafka.testing import EmbeddedCluster

OLD, NEW = 1, 2


@pytest.fixture(params=[OLD, NEW], ids=["old protocol", "new protocol"])
def cluster(request):
    with EmbeddedCluster(topics={"t": 2}) as cluster:
        cluster.transactions.version = request.param
        yield cluster


@pytest.fixture
def peer(cluster):
    with Peer(cluster.bootstrap) as peer:
        yield peer


def producer_for(cluster, id="tx", **options):
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id=id, **options)
    producer.init_transactions()
    return producer


def read(peer, partition=0, offset=0, committed=True, version=12, **more):
    """The answer of a fetch for one partition."""
    response = peer.ask(fetch_request((partition, offset), isolation_level=int(committed), **more), version)
    ((answer,),) = (topic.partitions for topic in response.responses)
    return answer


def visible(answer):
    """(offset, value) of what a consumer with read_committed makes of an answer."""
    aborted = sorted((entry.first_offset, entry.producer_id) for entry in answer.aborted_transactions or ())
    skipped: set[int] = set()
    found = []
    for result in read_batches(answer.records):
        data = result.unwrap()
        while aborted and aborted[0][0] <= data.last_offset:
            skipped.add(aborted.pop(0)[1])
        records = data.records().unwrap()
        if data.is_control:
            skipped.discard(data.producer_id)
        elif not (data.is_transactional and data.producer_id in skipped):
            found += [(record.offset, record.value) for record in records]
    return found


def latest(peer, committed):
    part = ListOffsetsRequest.ListOffsetsPartition(partition_index=0, timestamp=-1)
    topic = ListOffsetsRequest.ListOffsetsTopic(name="t", partitions=[part])
    request = ListOffsetsRequest(replica_id=-1, isolation_level=int(committed), topics=[topic])
    ((answer,),) = (topic.partitions for topic in peer.ask(request, 5).topics)
    return answer.offset


# -- through the client ------------------------------------------------------------------------------------------------


def test_what_is_committed_is_read_and_what_is_aborted_is_not(cluster, peer):
    with producer_for(cluster) as producer:
        for outcome in ("commit", "abort", "commit"):
            producer.begin_transaction()
            for partition in range(2):
                producer.send("t", outcome.encode(), partition=partition).get(10)  # an abort drops what was not sent
            getattr(producer, f"{outcome}_transaction")()
    for partition in range(2):
        answer = read(peer, partition)
        assert visible(answer) == [(0, b"commit"), (4, b"commit")]
        assert (answer.high_watermark, answer.last_stable_offset) == (6, 6)
        assert [entry.first_offset for entry in answer.aborted_transactions] == [2]
        controls = [b for b in (r.unwrap() for r in read_batches(answer.records)) if b.is_control]
        keys = [struct.unpack(">hh", b.records().unwrap()[0].key) for b in controls]
        assert keys == [(0, 1), (0, 0), (0, 1)] and [b.base_offset for b in controls] == [1, 3, 5]
        everything = read(peer, partition, committed=False)
        assert everything.records == answer.records and everything.aborted_transactions is None
        assert [entry.first_offset for entry in read(peer, partition, 3).aborted_transactions] == [2]  # its marker
        # Reading from behind it, and what ends before it, does not name the aborted one.
        assert list(read(peer, partition, 4).aborted_transactions) == []
        assert list(read(peer, partition, 0, most_each=1).aborted_transactions) == []
        assert read(peer, partition, 2, most_each=1).aborted_transactions
        assert [record.value for record in cluster.records("t", partition)] == [b"commit", b"abort", b"commit"]


def test_offsets_are_committed_with_the_transaction_or_not_at_all(cluster):
    with producer_for(cluster) as producer:
        for outcome, offset in (("abort", 5), ("commit", 7)):
            producer.begin_transaction()
            producer.send("t", b"v", partition=1)
            producer.send_offsets_to_transaction({TopicPartition("t", 0): OffsetAndMetadata(offset, "", -1)}, "g")
            assert cluster.committed_offsets("g") == {}
            getattr(producer, f"{outcome}_transaction")()
    assert cluster.committed_offsets("g") == {("t", 0): 7} and cluster.committed_offsets("other") == {}


def test_a_second_producer_fences_the_first(cluster, peer):
    with producer_for(cluster) as first:
        first.begin_transaction()
        first.send("t", b"of a zombie", partition=0).get(10)
        with producer_for(cluster) as second:
            assert visible(read(peer)) == [] and latest(peer, True) == 2
            second.begin_transaction()
            second.send("t", b"v", partition=0)
            second.commit_transaction()
        with pytest.raises(ProducerFencedError):
            first.commit_transaction()
    assert visible(read(peer)) == [(2, b"v")]


def test_a_transaction_that_takes_too_long_is_aborted(cluster, peer):
    with producer_for(cluster, transaction_timeout_ms=200) as producer:
        producer.begin_transaction()
        producer.send("t", b"v", partition=0).get(10)
        assert latest(peer, True) == 0
        deadline = time.monotonic() + 10
        while latest(peer, True) == 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert visible(read(peer)) == []
        with pytest.raises(KafkaError):
            producer.commit_transaction()


def test_transactions_go_on_when_a_cluster_starts_again():
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        with Peer(cluster.bootstrap) as peer:
            pid, epoch = init(peer, "slow", timeout=1500)
            assert write(peer, transactional(pid, epoch), 12, id="slow") == 0
            cluster.transactions.marker_delay = (60.0, 60.0)
            pid, epoch = init(peer, "w")
            assert write(peer, transactional(pid, epoch), 12) == 0
            assert end(peer, pid, epoch, True, 5).error_code == 0
        cluster.stop()
        cluster.transactions.marker_delay = (0.0, 0.0)
        cluster.start()
        with Peer(cluster.bootstrap) as peer:
            # What was prepared is complete; what was open is aborted once its time is over.
            deadline = time.monotonic() + 20
            while latest(peer, True) < latest(peer, False):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert [offset for offset, _ in visible(read(peer))] == [1]
            assert [entry.first_offset for entry in read(peer).aborted_transactions] == [0]
        assert {name: t.state for name, t in cluster.transactions.transactions.items()} == {
            "slow": "CompleteAbort",
            "w": "CompleteCommit",
        }


def test_nodes_coordinate_for_each_other():
    with EmbeddedCluster(nodes=3, topics={"t": 6}) as cluster:
        for id in ("a", "b", "c"):  # each another node's
            with producer_for(cluster, id) as producer, producer.transaction():
                for partition in range(6):
                    producer.send("t", id.encode(), partition=partition)
        assert len({cluster.home(id) for id in "abc"}) == 3
        for partition in range(6):
            assert [record.value for record in cluster.records("t", partition)] == [b"a", b"b", b"c"]
            assert cluster.end_offset("t", partition) == 6


# -- open ones ---------------------------------------------------------------------------------------------------------


def test_nothing_behind_an_open_transaction_is_read_before_it_ends(cluster, peer):
    with producer_for(cluster) as producer:
        produce(peer, "t", 0, batch(b"before"))
        producer.begin_transaction()
        producer.send("t", b"open", partition=0).get(10)
        produce(peer, "t", 0, batch(b"behind"))
        answer = read(peer)
        assert visible(answer) == [(0, b"before")] and list(answer.aborted_transactions) == []
        assert (answer.high_watermark, answer.last_stable_offset) == (3, 1)
        assert (latest(peer, True), latest(peer, False)) == (1, 3)
        with Peer(cluster.bootstrap) as other:
            other.send(fetch_request((0, 1), wait=20_000, isolation_level=1), 12)
            produce(peer, "t", 0, batch(b"more"))  # nothing for who waits there
            assert peer.ask(fetch_request((0, 1)), 12).responses  # the broker's thread has been there
            started = time.monotonic()
            producer.commit_transaction()
            assert fetched(other.receive())[0][:2] == (0, 5)
            assert time.monotonic() - started < 10
    assert [value for _, value in visible(read(peer))] == [b"before", b"open", b"behind", b"more"]


def test_what_was_open_when_a_cluster_ended_is_aborted(tmp_path):
    with EmbeddedCluster(topics={"t": 1}, folder=tmp_path) as cluster:
        producer = producer_for(cluster)
        with producer.transaction():
            producer.send("t", b"committed")
        producer.begin_transaction()
        producer.send("t", b"open").get(10)
        cluster.stop()
        producer.close(timeout=0)
    for _ in range(2):
        with EmbeddedCluster(folder=tmp_path) as cluster, Peer(cluster.bootstrap) as peer:
            answer = read(peer)
            assert visible(answer) == [(0, b"committed")] and answer.last_stable_offset == 4
            assert [entry.first_offset for entry in answer.aborted_transactions] == [2]


# -- on the wire -------------------------------------------------------------------------------------------------------


def init(peer, id="w", timeout=60_000):
    """(producer id, epoch), once the coordinator has loaded and an earlier transaction is over."""
    deadline = time.monotonic() + 30
    while True:
        answer = peer.ask(InitProducerIdRequest(transactional_id=id, transaction_timeout_ms=timeout), 4)
        if answer.error_code == 0:
            return answer.producer_id, answer.producer_epoch
        assert answer.error_code in (14, 15, 16, 51) and time.monotonic() < deadline, answer
        time.sleep(0.02)


def transactional(pid, epoch, sequence=0, value=b"v"):
    builder = RecordBatchBuilder(transactional=True, producer_id=pid, producer_epoch=epoch, base_sequence=sequence)
    builder.append(int(time.time() * 1000), None, value)  # as new as the markers: Kafka would begin a new segment
    return builder.build()


def write(peer, data, version, id="w", topic="t"):
    request = produce_request(topic, (0, data))
    request.transactional_id = id
    ((answer,),) = (given.partition_responses for given in peer.ask(request, version).responses)
    return answer.error_code


def add(peer, pid, epoch, *partitions, topic="t", id="w"):
    topics = [AddPartitionsToTxnRequest.AddPartitionsToTxnTopic(name=topic, partitions=partitions)]
    request = AddPartitionsToTxnRequest(
        v3_and_below_transactional_id=id,
        v3_and_below_producer_id=pid,
        v3_and_below_producer_epoch=epoch,
        v3_and_below_topics=topics,
    )
    (answer,) = peer.ask(request, 3).results_by_topic_v3_and_below
    return [entry.partition_error_code for entry in answer.results_by_partition]


def end(peer, pid, epoch, committed, version, id="w"):
    request = EndTxnRequest(transactional_id=id, producer_id=pid, producer_epoch=epoch, committed=committed)
    return peer.ask(request, version)


def test_under_the_older_protocol_partitions_have_to_be_added(peer):
    pid, epoch = init(peer)
    assert write(peer, transactional(pid, epoch), 9) == Code.INVALID_TXN_STATE
    assert write(peer, transactional(pid, epoch), 11) == Code.TRANSACTION_ABORTABLE
    assert add(peer, pid, epoch, 0, 1, 9) == [Code.OPERATION_NOT_ATTEMPTED] * 2 + [Code.UNKNOWN_TOPIC_OR_PARTITION]
    assert add(peer, pid, epoch + 1, 0) == [Code.PRODUCER_FENCED]
    assert add(peer, pid, epoch, 0) == [0]
    assert write(peer, transactional(pid, epoch), 9) == 0
    assert end(peer, pid, epoch, True, 4).error_code == 0
    assert end(peer, pid, epoch, True, 4).error_code == 0  # the same once more
    assert end(peer, pid, epoch, False, 4).error_code == Code.INVALID_TXN_STATE
    assert visible(read(peer)) == [(0, b"v")]


def test_under_the_newer_protocol_each_end_raises_the_epoch(peer):
    pid, epoch = init(peer)
    for number in range(3):
        assert write(peer, transactional(pid, epoch, value=b"%d" % number), 12) == 0
        answer = end(peer, pid, epoch, True, 5)
        assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (0, pid, epoch + 1)
        again = end(peer, pid, epoch, True, 5)
        assert (again.error_code, again.producer_epoch) == (0, epoch + 1)
        assert write(peer, transactional(pid, epoch, 1), 12) == Code.INVALID_PRODUCER_EPOCH
        epoch += 1
    assert visible(read(peer)) == [(0, b"0"), (2, b"1"), (4, b"2")]


def test_who_is_not_known_and_who_says_nothing(peer):
    pid, epoch = init(peer)
    assert write(peer, transactional(pid, epoch), 12, id=None) == Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert write(peer, transactional(pid, epoch), 12, id="x") == Code.INVALID_PRODUCER_ID_MAPPING
    assert end(peer, pid, epoch, True, 4, id="x").error_code == Code.INVALID_PRODUCER_ID_MAPPING
    partition = TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=3)
    topic = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic(name="t", partitions=[partition])
    for version, code in ((4, Code.INVALID_TXN_STATE), (5, 0)):  # AddOffsetsToTxn is needed before version 5
        request = TxnOffsetCommitRequest(
            transactional_id="w", group_id="g", producer_id=pid, producer_epoch=epoch, topics=[topic]
        )
        assert peer.ask(request, version).topics[0].partitions[0].error_code == code


def test_producers_are_described(peer):
    pid, epoch = init(peer)
    produce(peer, "t", 0, batch(b"a", b"b", pid=77, epoch=3, sequence=5))
    assert write(peer, transactional(pid, epoch), 12) == 0
    asked = DescribeProducersRequest.TopicRequest(name="t", partition_indexes=[0, 1, 9])
    ((known, empty, unknown),) = (
        topic.partitions for topic in peer.ask(DescribeProducersRequest(topics=[asked]), 0).topics
    )
    found = [
        (state.producer_id, state.producer_epoch, state.last_sequence, state.current_txn_start_offset)
        for state in known.active_producers
    ]
    assert found == [(77, 3, 6, -1), (pid, epoch, 0, 2)]
    assert not empty.active_producers and unknown.error_code == Code.UNKNOWN_TOPIC_OR_PARTITION


def test_a_plain_batch_of_a_producer_with_an_open_transaction_is_refused(peer):
    pid, epoch = init(peer)
    assert add(peer, pid, epoch, 0) == [0]
    assert write(peer, transactional(pid, epoch), 9) == 0
    for later in (epoch, epoch + 1):
        plain = RecordBatchBuilder(producer_id=pid, producer_epoch=later, base_sequence=(later - epoch and 0) or 1)
        plain.append(int(time.time() * 1000), None, b"plain")
        assert write(peer, plain.build(), 9, id=None) == Code.INVALID_TXN_STATE
    assert end(peer, pid, epoch, True, 4).error_code == 0
    assert visible(read(peer)) == [(0, b"v")]


def test_who_was_too_slow_may_have_the_next_epoch_but_not_who_was_replaced(peer):
    """KIP-588, as Kafka 4.3 has it."""

    def again(pid, epoch):
        deadline = time.monotonic() + 30
        while True:
            request = InitProducerIdRequest(
                transactional_id="w", transaction_timeout_ms=200, producer_id=pid, producer_epoch=epoch
            )
            answer = peer.ask(request, 4)
            if answer.error_code not in (14, 15, 16, 51):
                return answer.error_code, answer.producer_epoch
            assert time.monotonic() < deadline
            time.sleep(0.02)

    pid, epoch = init(peer)
    error, epoch = again(pid, epoch)  # now with the short timeout
    assert error == 0
    assert add(peer, pid, epoch, 0) == [0]
    time.sleep(0.4)
    error, after = again(pid, epoch)
    assert (error, after) == (0, epoch + 1)
    init(peer)
    assert again(pid, after)[0] == Code.PRODUCER_FENCED
