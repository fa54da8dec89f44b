"""The cluster around the logs: versions, topics, nodes, producer ids, folders, what closes a connection."""

import gc
import json
import os
import signal
import socket
import struct
from pathlib import Path

import pytest
from testing.wire import Closed, Peer, batch, produce, produce_request

from kafka.protocol import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DescribeClusterRequest,
    DescribeGroupsRequest,
    FetchRequest,
    FindCoordinatorRequest,
    InitProducerIdRequest,
    MetadataRequest,
    MetadataResponse,
    decode_response,
)
from kafka.protocol.codes import Code
from kafka.records import CorruptBatchError
from kafka.testing import EmbeddedCluster
from kafka.testing.node import Node


@pytest.fixture
def cluster():
    with EmbeddedCluster(nodes=3, topics={"t": 6}) as cluster:
        yield cluster


@pytest.fixture
def peer(cluster):
    with Peer(cluster.nodes[0].address) as peer:
        yield peer


def test_codes_are_kafkas():
    table = json.loads((Path(__file__).parents[2] / "schemas" / "errors.json").read_text())
    names = {row["code"]: row["name"] for row in table}
    assert {code: names[code] for code in Code} == {code: code.name for code in Code}


# -- versions --------------------------------------------------------------------------------------------------------


def test_only_what_is_there_is_advertised_and_every_version_of_it_answers(cluster, peer):
    for version in range(5):
        response = peer.ask(ApiVersionsRequest(client_software_name="x", client_software_version="1"), version)
        assert response.error_code == 0
        advertised = {api.api_key: (api.min_version, api.max_version) for api in response.api_keys}
        assert advertised == cluster.nodes[0].versions
        assert set(advertised) == {*range(4), *range(8, 16), 17, 18, 19, 20, 22, 23, 24, 25, 26, 28, 36, 60, 61, 68}
    for request in (
        MetadataRequest(topics=[]),
        FindCoordinatorRequest(key="g", coordinator_keys=["g"]),
        CreateTopicsRequest(),
        DeleteTopicsRequest(),
        DescribeClusterRequest(),
        DescribeGroupsRequest(),
        InitProducerIdRequest(transactional_id=None),
    ):
        lowest, highest = advertised[request.API_KEY]
        for version in range(lowest, highest + 1):
            from kafka.protocol import encode

            dropped = encode(request, version, lenient=True).dropped
            for path, _ in dropped:
                field = request.fields()[[f.name for f in request.fields()].index(path)]
                setattr(request, path, field.default if field.default is not None else "")
            assert not peer.ask(request, version).errors()


def test_an_unknown_version_of_api_versions_is_answered_in_version_0(cluster, peer):
    body = struct.pack(">hhih", 18, 99, 7, -1) + b"\0garbage"
    peer.socket.sendall(struct.pack(">i", len(body)) + body)
    correlation_id, response = decode_response(ApiVersionsResponse, 0, peer.frame()).unwrap()
    assert (correlation_id, response.error_code) == (7, Code.UNSUPPORTED_VERSION)
    assert [(api.api_key, api.min_version, api.max_version) for api in response.api_keys] == [(18, 0, 4)]
    assert peer.ask(ApiVersionsRequest(), 0).error_code == 0


def test_a_clients_name_is_checked(peer):
    assert peer.ask(ApiVersionsRequest(client_software_name="a b", client_software_version="1"), 3).error_code == 42


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">hhih", 0, 99, 1, -1),
        struct.pack(">hhih", 4, 0, 1, -1),
        struct.pack(">hhih", 3, 12, 1, -1) + b"\xff" * 20,
        b"\0\0\0",
    ],
    ids=["version", "api", "garbage", "short"],
)
def test_what_cannot_be_served_closes_the_connection(peer, frame):
    peer.socket.sendall(struct.pack(">i", len(frame)) + frame)
    with pytest.raises(Closed):
        peer.frame()


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\xff\xff\xff\xff", b"\x7f" * 9]
)
def test_other_protocols_are_hung_up_on_at_once(cluster, peer, data):
    peer.socket.sendall(data)
    with pytest.raises(Closed):
        peer.frame()
    with Peer(cluster.nodes[0].address) as other:
        assert other.ask(ApiVersionsRequest(), 0).error_code == 0


def test_bytes_behind_a_request_are_not_looked_at(cluster, peer):
    """As librdkafka 2.16 asks for all topics: its count is four bytes of which one is read."""
    body = bytes.fromhex("0003 000d 00000001 0007 72646b61666b61 00 00000000 01 00 00")
    peer.socket.sendall(struct.pack(">i", len(body)) + body)
    correlation_id, response = decode_response(MetadataResponse, 13, peer.frame()).unwrap()
    assert correlation_id == 1 and [topic.name for topic in response.topics] == ["t"]


# -- topics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(14))
def test_metadata(cluster, peer, version):
    response = peer.ask(MetadataRequest(topics=[] if version == 0 else None), version)
    assert [(node.node_id, node.host, node.port) for node in response.brokers] == [
        (number + 1, "127.0.0.1", cluster.nodes[number].port) for number in range(3)
    ]
    (topic,) = response.topics
    assert (topic.name, topic.error_code) == ("t", 0)
    assert [part.partition_index for part in topic.partitions] == list(range(6))
    assert [part.leader_id for part in topic.partitions] == [1, 2, 3, 1, 2, 3]
    assert all(sorted(part.replica_nodes) == [1, 2, 3] == sorted(part.isr_nodes) for part in topic.partitions)
    assert topic.topic_id == (cluster.topics["t"].id if version >= 10 else bytes(16))


def topic_of(peer, name=None, id=bytes(16), create=True, version=12):
    asked = MetadataRequest.MetadataRequestTopic(name=name, topic_id=id)
    (topic,) = peer.ask(MetadataRequest(topics=[asked], allow_auto_topic_creation=create), version).topics
    return topic


def test_a_topic_is_created_when_it_is_asked_for(cluster, peer):
    assert topic_of(peer, "new", create=False).error_code == Code.UNKNOWN_TOPIC_OR_PARTITION
    assert topic_of(peer, "a b").error_code == Code.INVALID_TOPIC_EXCEPTION
    created = topic_of(peer, "new")
    assert (created.error_code, len(created.partitions)) == (0, 1)
    assert topic_of(peer, id=created.topic_id).name == "new"
    assert topic_of(peer, id=b"\5" * 16).error_code == Code.UNKNOWN_TOPIC_ID
    assert topic_of(peer, id=b"\5" * 16, version=11).name == ""
    cluster.auto_create = False
    assert topic_of(peer, "newer").error_code == Code.UNKNOWN_TOPIC_OR_PARTITION


def test_only_the_leader_takes_and_gives(cluster, peer):
    assert produce(peer, "t", 1, batch(b"v")) == (Code.NOT_LEADER_OR_FOLLOWER, -1)
    response = peer.ask(produce_request(cluster.topics["t"].id, (1, batch(b"v")), (2, batch(b"v"))), 13)
    hints = [part.current_leader.leader_id for part in response.responses[0].partition_responses]
    assert hints == [2, 3]
    assert [(node.node_id, node.port) for node in response.node_endpoints] == [
        (2, cluster.nodes[1].port),
        (3, cluster.nodes[2].port),
    ]
    part = FetchRequest.FetchPartition(partition=1, partition_max_bytes=100)
    topic = FetchRequest.FetchTopic(topic_id=cluster.topics["t"].id, partitions=[part])
    response = peer.ask(FetchRequest(topics=[topic], max_wait_ms=0), 16)
    (answer,) = response.responses[0].partitions
    assert (answer.error_code, answer.current_leader.leader_id) == (Code.NOT_LEADER_OR_FOLLOWER, 2)
    with Peer(cluster.nodes[1].address) as other:
        assert produce(other, "t", 1, batch(b"v")) == (0, 0)


def create(peer, *topics, version=7, **more):
    created = [
        CreateTopicsRequest.CreatableTopic(**{"num_partitions": 1, "replication_factor": 1, **t}) for t in topics
    ]
    answers = peer.ask(CreateTopicsRequest(topics=created, **more), version).topics
    return [answer.error_code for answer in answers]


def test_create_topics(cluster, peer):
    assert create(peer, {"name": "a", "num_partitions": 4, "replication_factor": 2}, {"name": "b"}) == [0, 0]
    assert len(cluster.topics["a"].partitions) == 4
    assert len(cluster.topics["a"].partitions[0].replicas) == 2
    assert create(peer, {"name": "c"}, validate_only=True) == [0]
    assert "c" not in cluster.topics
    assert create(peer, {"name": "d", "num_partitions": -1, "replication_factor": -1}) == [0]
    assignments = [CreateTopicsRequest.CreatableReplicaAssignment(partition_index=0, broker_ids=(3, 1))]
    by_hand = {"name": "e", "num_partitions": -1, "replication_factor": -1, "assignments": assignments}
    assert create(peer, by_hand) == [0]
    assert cluster.topics["e"].partitions[0].leader == 3
    for version in range(2, 8):
        assert create(peer, {"name": f"v{version}"}, version=version) == [0]


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ({"name": "t"}, Code.TOPIC_ALREADY_EXISTS),
        ({"name": "a/b"}, Code.INVALID_TOPIC_EXCEPTION),
        ({"name": "x", "num_partitions": 0}, Code.INVALID_PARTITIONS),
        ({"name": "x", "replication_factor": 4}, Code.INVALID_REPLICATION_FACTOR),
        ({"name": "x", "replication_factor": 0}, Code.INVALID_REPLICATION_FACTOR),
    ],
)
def test_topics_that_cannot_be_created(cluster, peer, topic, code):
    assert create(peer, topic) == [code]
    assert set(cluster.topics) == {"t"}


def test_a_topic_named_twice_is_not_created(cluster, peer):
    assert create(peer, {"name": "a"}, {"name": "a"}, {"name": "b"}) == [Code.INVALID_REQUEST, 0]
    assert set(cluster.topics) == {"t", "b"}


def test_delete_topics(cluster, peer):
    ids = {name: topic_of(peer, name).topic_id for name in ("a", "b")}
    by_name = DeleteTopicsRequest.DeleteTopicState(name="a")
    by_id = DeleteTopicsRequest.DeleteTopicState(name=None, topic_id=ids["b"])
    missing = DeleteTopicsRequest.DeleteTopicState(name=None, topic_id=b"\1" * 16)
    responses = peer.ask(DeleteTopicsRequest(topics=[by_name, by_id, by_id, missing]), 6).responses
    assert [r.error_code for r in responses] == [0, 0, Code.UNKNOWN_TOPIC_ID, Code.UNKNOWN_TOPIC_ID]
    responses = peer.ask(DeleteTopicsRequest(topic_names=["t", "a"]), 5).responses
    assert [r.error_code for r in responses] == [0, Code.UNKNOWN_TOPIC_OR_PARTITION]
    assert cluster.topics == cluster.topics_by_id == {}


def test_producer_ids_coordinators_and_the_cluster(cluster, peer):
    ids = [peer.ask(InitProducerIdRequest(transactional_id=None), 5) for _ in range(3)]
    assert len({answer.producer_id for answer in ids}) == 3 and {answer.producer_epoch for answer in ids} == {0}
    (found,) = peer.ask(FindCoordinatorRequest(coordinator_keys=["g"]), 6).coordinators
    assert found.port in {node.port for node in cluster.nodes}
    (found,) = peer.ask(FindCoordinatorRequest(coordinator_keys=["tx"], key_type=1), 6).coordinators
    assert found.port in {node.port for node in cluster.nodes}
    (none,) = peer.ask(FindCoordinatorRequest(coordinator_keys=["s"], key_type=2), 6).coordinators
    assert none.error_code == Code.INVALID_REQUEST
    described = peer.ask(DescribeClusterRequest(), 2)
    assert described.cluster_id == cluster.id == peer.ask(MetadataRequest(topics=[]), 12).cluster_id
    assert [broker.port for broker in described.brokers] == [node.port for node in cluster.nodes]


# -- folders, life ---------------------------------------------------------------------------------------------------


def numbered(sequence):
    return batch(b"v", b"w", pid=4321, epoch=3, sequence=sequence)


def test_a_folder_is_there_again(tmp_path):
    with EmbeddedCluster(topics={"t": 2, "with-dash-7": 1}, folder=tmp_path) as cluster:
        before = cluster.id, cluster.topics["t"].id
        with Peer(cluster.bootstrap) as peer:
            for sequence in (0, 2, 4):
                assert produce(peer, "t", 1, numbered(sequence)) == (0, sequence)
            produce(peer, "with-dash-7", 0, batch(b"x", compression="zstd"))
    log = tmp_path / "t-1" / "00000000000000000000.log"
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:50])  # as if a write had been cut short
    with EmbeddedCluster(folder=tmp_path) as cluster:
        assert (cluster.id, cluster.topics["t"].id) == before
        assert cluster.end_offsets("t") == {0: 0, 1: 6}
        assert log.read_bytes() == whole
        assert [record.value for record in cluster.records("with-dash-7")] == [b"x"]
        with Peer(cluster.bootstrap) as peer:
            # Of what the producer wrote before, Kafka then recognises the last batch only.
            assert produce(peer, "t", 1, numbered(4)) == (0, 4)
            assert produce(peer, "t", 1, numbered(2)) == (Code.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
            assert produce(peer, "t", 1, numbered(6)) == (0, 6)
            assert peer.ask(InitProducerIdRequest(transactional_id=None), 5).producer_id == 5000
    with EmbeddedCluster(folder=tmp_path) as cluster:
        assert [record.offset for record in cluster.records("t", 1)] == list(range(8))
        cluster.delete_topic("t")
        assert not (tmp_path / "t-1").exists()


def test_segments_roll_and_reads_go_across_them(tmp_path):
    from kafka.testing.storage import FolderStorage

    storage = FolderStorage(tmp_path / "t-0", segment_bytes=250)
    batches = [batch(b"%d" % number) for number in range(10)]
    for number, data in enumerate(batches):
        storage.append(memoryview(data), number)
    names = sorted(path.name for path in storage.folder.iterdir())
    assert names[:2] == ["00000000000000000000.log", "00000000000000000003.log"] and len(names) == 4
    assert storage.read(0, 1 << 30, True) == b"".join(batches)
    assert storage.read(2, 2 * len(batches[0]), False) == b"".join(batches[2:4])
    storage.close()
    again = FolderStorage(tmp_path / "t-0", segment_bytes=250)
    assert len(list(again.reopen())) == 10
    assert again.read(5, 1 << 30, True) == b"".join(batches[5:])
    again.close()


def test_ports_are_chosen_and_a_taken_one_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            EmbeddedCluster(port=port).start()
    with EmbeddedCluster(port=port) as cluster:
        assert cluster.bootstrap == f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    "options",
    [
        {"nodes": 0},
        {"nodes": "3"},
        {"default_partitions": 0},
        {"topics": {"a": "3"}},
        {"topics": {1: 1}},
        {"topics": {"a b": 1}},
        {"topics": {"a": 0}},
        {"discard": True, "folder": "x"},
        {"port": 65536},
        {"port": -1},
        {"port": 65535, "nodes": 2},
    ],
)
def test_options_that_make_no_sense(options):
    with pytest.raises(ValueError):
        EmbeddedCluster(**options)


@pytest.mark.parametrize("options", [{"topics": ["a"]}, {"users": {"a": 1}}, {"tls": True}])
def test_options_that_are_something_else(options):
    with pytest.raises(TypeError, match=f"^{next(iter(options))} "):
        EmbeddedCluster(**options)


def test_what_is_not_there_yet_and_what_never_is():
    cluster = EmbeddedCluster(topics={"t": 2})
    with pytest.raises(RuntimeError, match="start"):
        cluster.bootstrap  # noqa: B018
    with cluster:
        for ask in (cluster.records, cluster.end_offset):
            for partition in (-1, 2):
                with pytest.raises(IndexError):
                    ask("t", partition)
        with pytest.raises(ValueError, match="no topic None"):
            cluster.create_topic(None)


def test_topics_from_the_test_itself(cluster):
    cluster.create_topic("mine", 2)
    assert cluster.end_offsets("mine") == {0: 0, 1: 0}
    with pytest.raises(ValueError, match="exists"):
        cluster.create_topic("mine")
    cluster.delete_topic("mine")
    with pytest.raises(KeyError):
        cluster.end_offsets("mine")


def test_a_child_that_is_forked_neither_stops_its_parents_cluster_nor_waits_for_it():
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # no hang
            code = 1
            try:
                with pytest.raises(RuntimeError, match="forked"):
                    cluster.end_offsets("t")
                cluster.stop()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        with Peer(cluster.bootstrap) as peer:
            assert produce(peer, "t", 0, batch(b"a")) == (0, 0)
        assert cluster.end_offsets("t") == {0: 1}


def test_what_is_in_a_folder_is_read_by_a_cluster_that_runs(tmp_path):
    with EmbeddedCluster(topics={"t": 1}, folder=tmp_path) as cluster, Peer(cluster.bootstrap) as peer:
        produce(peer, "t", 0, batch(b"a"))
    with pytest.raises(RuntimeError, match=f"stopped, and its records are in {tmp_path}"):
        cluster.records("t")
    with cluster:
        assert [record.value for record in cluster.records("t")] == [b"a"]


def test_what_is_in_memory_can_be_looked_at_after_the_end():
    with EmbeddedCluster(topics={"t": 1}) as cluster, Peer(cluster.bootstrap) as peer:
        produce(peer, "t", 0, batch(b"a"))
    assert [record.value for record in cluster.records("t")] == [b"a"]
    with pytest.raises(OSError):
        Peer(cluster.bootstrap, timeout=1)


# -- starting again --------------------------------------------------------------------------------------------------


def is_free(address):
    host, port = address.split(":")
    with socket.create_server((host, int(port))):
        return True


def open_files():
    gc.collect()  # of other tests
    return len(os.listdir("/dev/fd"))


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_a_cluster_starts_again_where_it_was_with_what_it_had(tmp_path, where):
    cluster = EmbeddedCluster(nodes=2, topics={"t": 2, "gone": 1}, folder=tmp_path if where == "folder" else None)
    before = open_files()
    handlers = cluster.nodes[0].handlers
    with cluster:
        bootstrap = cluster.bootstrap
        cluster.delete_topic("gone")
        with Peer(cluster.nodes[0].address) as peer:
            assert produce(peer, "t", 0, numbered(0)) == (0, 0)
    for sequence in (2, 4):
        cluster.start()
        try:
            assert cluster.bootstrap == bootstrap and cluster.nodes[0].handlers is handlers
            assert set(cluster.topics) == {"t"}
            with Peer(cluster.nodes[0].address) as peer:
                assert produce(peer, "t", 0, numbered(sequence)) == (0, sequence)
        finally:
            cluster.stop()
        cluster.stop()  # once more is nothing
        assert open_files() <= before
    with cluster:
        assert [record.offset for record in cluster.records("t")] == list(range(6))


def test_a_fetch_that_waited_when_the_cluster_stopped_is_nobodys():
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        part = FetchRequest.FetchPartition(partition=0, partition_max_bytes=100)
        topic = FetchRequest.FetchTopic(topic="t", partitions=[part])
        with Peer(cluster.bootstrap) as waits:
            waits.send(FetchRequest(topics=[topic], max_wait_ms=60_000, min_bytes=1), 11)
            with Peer(cluster.bootstrap) as peer:
                while not cluster.topics["t"].partitions[0].log.waiting:
                    peer.ask(ApiVersionsRequest(), 0)
            cluster.stop()
            cluster.start()
            with Peer(cluster.bootstrap) as peer:
                assert produce(peer, "t", 0, batch(b"a")) == (0, 0)
            with pytest.raises(Closed):
                waits.receive()
        assert cluster.topics["t"].partitions[0].log.waiting == set()


def test_a_cluster_that_runs_does_not_start_twice():
    with EmbeddedCluster() as cluster:
        with pytest.raises(RuntimeError, match=f"runs already, at {cluster.bootstrap}"):
            cluster.start()
        with Peer(cluster.bootstrap) as peer:
            assert peer.ask(ApiVersionsRequest(), 0).error_code == 0


def test_a_damaged_log_leaves_nothing_open_and_can_be_mended(tmp_path):
    topics = {"a": 2, "t": 1}
    with EmbeddedCluster(2, topics=topics, folder=tmp_path) as cluster, Peer(cluster.nodes[0].address) as peer:
        assert produce(peer, "a", 0, batch(b"x" * 50)) == (0, 0)
    log = tmp_path / "a-0" / "00000000000000000000.log"
    good = log.read_bytes()
    log.write_bytes(good[:-3] + b"?" + good[-2:])
    before = open_files()
    cluster = EmbeddedCluster(nodes=2, folder=tmp_path)
    where = rf"a\[0\].* Hint: {log} is damaged; what stands before byte 0 is whole"
    with pytest.raises(CorruptBatchError, match=where):
        cluster.start()
    assert open_files() <= before and all(map(is_free, cluster.bootstrap.split(",")))
    log.write_bytes(good)
    with cluster:
        assert [record.value for record in cluster.records("a")] == [b"x" * 50]
    assert open_files() <= before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("meta.properties", "version=1\n"),
        ("t-0/partition.metadata", "version: 0\n"),
        ("t-0/partition.metadata", "version: 0\ntopic_id: short\n"),
        ("t-2/partition.metadata", "version: 0\n"),
    ],
)
def test_a_folder_with_something_else_in_it_is_named(tmp_path, name, text):
    with EmbeddedCluster(topics={"t": 1}, folder=tmp_path):
        pass
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    cluster = EmbeddedCluster(folder=tmp_path)
    with pytest.raises(ValueError, match=str(tmp_path)):
        cluster.start()
    assert is_free(cluster.bootstrap)


def test_a_thread_that_cannot_serve_is_no_hang(monkeypatch):
    async def fail(node):
        if node.id == 2:
            raise OSError("no more sockets")
        await start(node)

    start = Node.start
    cluster = EmbeddedCluster(nodes=2)
    with monkeypatch.context() as patched:
        patched.setattr(Node, "start", fail)
        with pytest.raises(OSError, match="no more sockets"):
            cluster.start()
    assert all(map(is_free, cluster.bootstrap.split(",")))
    with cluster, Peer(cluster.nodes[1].address) as peer:
        assert peer.ask(ApiVersionsRequest(), 0).error_code == 0
