"""The same requests to the embedded broker and to Apache Kafka: equal answers."""

import struct
import time

import pytest
from testing.test_fetch import fetch_request, list_offsets
from testing.test_produce import GOOD, changed, numbered
from testing.test_transactions import add, end, init, transactional, visible, write
from testing.wire import Closed, Peer, batch, produce, produce_request

from kafka.protocol import (
    ApiVersionsRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DescribeProducersRequest,
    FetchRequest,
    FindCoordinatorRequest,
    ListOffsetsRequest,
    MetadataRequest,
    OffsetCommitRequest,
)
from kafka.records import read_batches
from kafka.testing import EmbeddedCluster

pytestmark = pytest.mark.kafka


def broken_batches(peer, topic):
    for data in (
        b"",
        GOOD[:60],
        GOOD[:-1],
        GOOD + GOOD,
        changed(GOOD, ">B", len(GOOD) - 2, 0x41, mend=False),
        changed(GOOD, ">I", 17, 12345, mend=False),
        changed(GOOD, ">q", 0, 7),
        changed(GOOD, ">i", 57, 3),
        changed(GOOD, ">i", 57, -1),
        changed(GOOD, ">i", 23, 0),
        changed(GOOD, ">h", 21, 0x20),
        changed(GOOD, ">h", 21, 0x05),
        changed(GOOD, ">b", 16, 1),
        batch(b"a", pid=5, epoch=0, sequence=-1),
        batch(b"x" * (1 << 20)),
        GOOD,
    ):
        yield produce(peer, topic, 0, data)
    yield produce(peer, topic, 0, batch(b"a" * 100, compression="zstd"), version=6)
    yield produce(peer, topic, 0, batch(b"a" * 100, compression="zstd"), version=7)


def unknown_places(peer, topic):
    yield produce(peer, "no-such-topic", 0, GOOD)
    yield produce(peer, topic, 9, GOOD)
    answer = peer.ask(produce_request(b"\1" * 16, (0, GOOD)), 13).responses[0].partition_responses[0]
    yield answer.error_code, answer.base_offset
    answer = peer.ask(produce_request(topic, (0, GOOD), acks=2), 9).responses[0].partition_responses[0]
    yield answer.error_code, answer.base_offset


def named_twice(peer, topic):
    response = peer.ask(produce_request(topic, (0, batch(b"first")), (0, batch(b"second", b"third"))), 9)
    yield [(p.index, p.error_code, p.base_offset) for t in response.responses for p in t.partition_responses]
    yield from read(peer, topic, 0, 0)


def sequences(peer, topic):
    for sequence in (0, 2, 4, 6, 8, 10, 10, 8, 6, 4, 2, 0, 13, 12):
        yield produce(peer, topic, 0, numbered(sequence, 2))
    yield produce(peer, topic, 0, numbered(10, 3))
    yield produce(peer, topic, 0, numbered(5, epoch=1))
    yield produce(peer, topic, 0, numbered(0, epoch=1))
    yield produce(peer, topic, 0, numbered(14, epoch=0))
    yield produce(peer, topic, 1, numbered(7))
    top = 2**31 - 1
    yield produce(peer, topic, 1, numbered(top - 1, 4, pid=8))
    yield produce(peer, topic, 1, numbered(top - 1, 4, pid=8))
    yield produce(peer, topic, 1, numbered(2, pid=8))


def acks_0(peer, topic):
    peer.send(produce_request(topic, (0, GOOD), acks=0), 9)
    peer.count -= 1
    yield produce(peer, topic, 0, GOOD)
    peer.send(produce_request(topic, (9, GOOD), acks=0), 9)
    try:
        yield peer.frame()
    except Closed:
        yield "closed"


def read(peer, topic, partition, offset, **limits):
    response = peer.ask(fetch_request((partition, offset), topic=topic, **limits), 12)
    for part in response.responses[0].partitions:
        batches = [result.unwrap() for result in read_batches(part.records)]
        values = [(b.base_offset, b.count, [r.value for r in b.records().unwrap()]) for b in batches]
        yield part.error_code, part.high_watermark, part.last_stable_offset, part.log_start_offset, values


def fetching(peer, topic):
    for number in range(4):
        produce(peer, topic, 0, batch(b"a%d" % number, b"b%d" % number))
    size = len(batch(b"a0", b"b0"))
    for offset in (0, 1, 7, 8, 9, -1):
        yield list(read(peer, topic, 0, offset))
    yield list(read(peer, topic, 0, 0, most_each=2 * size))
    yield list(read(peer, topic, 0, 0, most_each=1))
    yield list(read(peer, topic, 9, 0))
    yield list(read(peer, topic, 0, 0, epoch=7))
    unknown = peer.ask(fetch_request((0, 0), topic=b"\7" * 16), 13)
    yield unknown.error_code, unknown.responses[0].partitions[0].error_code
    yield peer.ask(fetch_request(session_id=5, session_epoch=1), 12).error_code
    yield len(peer.ask(FetchRequest(max_wait_ms=0), 12).responses)


class InSession:
    """A client's side of a fetch session: what an answer says, with the session's id as its age."""

    def __init__(self, peer, topic):
        self.peer, self.topic = peer, topic
        self.ids = {0: 0}

    def ask(self, id, epoch, *wanted, version=12, forgotten=(), topic=None, **more):
        topic = topic or self.topic
        named = {"topic": topic} if isinstance(topic, str) else {"topic_id": topic}
        if forgotten:
            more["forgotten_topics_data"] = [FetchRequest.ForgottenTopic(**named, partitions=list(forgotten))]
        request = fetch_request(*wanted, topic=topic, session_id=id, session_epoch=epoch, **more)
        answer = self.peer.ask(request, version)
        self.id = answer.session_id
        found = [
            (part.partition_index, part.error_code, part.high_watermark, len(part.records or b""))
            for entry in answer.responses
            for part in entry.partitions
        ]
        return answer.error_code, self.ids.setdefault(answer.session_id, len(self.ids)), found


def fetch_sessions(peer, topic):
    client = InSession(peer, topic)
    yield client.ask(0, 0, (0, 0), (1, 0))
    first = client.id
    yield client.ask(first, 1)
    yield client.ask(first, 1), "the same epoch again"
    yield client.ask(first, 3), "one left out"
    for partition in (0, 0, 1):
        produce(peer, topic, partition, batch(b"a", b"b"))
    yield client.ask(first, 2, most=1), "the first one's turn"
    yield client.ask(first, 3, most=1), "the other's"
    yield client.ask(first, 4, (1, 2), most=1)
    yield client.ask(first, 5, (0, 4)), "all is read"
    yield client.ask(first, 6)
    yield client.ask(first, 7, (9, 0)), "no such partition"
    yield client.ask(first, 8), "each time again"
    yield client.ask(first, 9, forgotten=[9])
    yield client.ask(first, 10, (0, 77)), "out of range"
    yield client.ask(first, 11, (0, 0), forgotten=[1])
    yield client.ask(first, 12, version=13, topic=b"\7" * 16)[0], "by ids"
    yield client.ask(first, 12, forgotten=[0]), "the last one"
    yield client.ask(first, 13)
    yield client.ask(0, 0, (0, 0)), "another one"
    second = client.id
    yield client.ask(second, 0, (1, 0)), "begun anew"
    yield client.ask(second, 1)
    third = client.id
    yield client.ask(third, -1, (1, 0)), "ended"
    yield client.ask(third, 1)
    yield client.ask(12345, 0, (0, 0)), "with an id that is none"
    yield client.ask(0, -1, (0, 0))
    yield client.ask(0, 0), "of nothing"
    yield client.ask(0, 5), "of nothing, in the middle"


def fetch_sessions_by_id(peer, topic):
    def id_of(name):
        asked = MetadataRequest.MetadataRequestTopic(name=name)
        return peer.ask(MetadataRequest(topics=[asked], allow_auto_topic_creation=False), 12).topics[0].topic_id

    def made(name, is_there):
        if not is_there:
            state = DeleteTopicsRequest.DeleteTopicState(name=name)
            peer.ask(DeleteTopicsRequest(topics=[state], timeout_ms=10_000), 6)
            return until(lambda: id_of(name) == bytes(16))
        wanted = CreateTopicsRequest.CreatableTopic(name=name, num_partitions=1, replication_factor=1)
        peer.ask(CreateTopicsRequest(topics=[wanted], timeout_ms=10_000), 7)
        return until(lambda: id_of(name) != bytes(16) and list_offsets(peer, -1, topic=name)[0][0] == 0)

    def until(done):
        deadline = time.monotonic() + 30
        while not done():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    name = topic + "2"
    made(name, True)
    id = id_of(name)
    client = InSession(peer, topic)
    yield client.ask(0, 0, (0, 0), version=13, topic=id)
    session = client.id
    yield client.ask(session, 1, (0, 0), version=13, topic=b"\7" * 16), "an unknown one"
    yield client.ask(session, 2, version=13, forgotten=[0], topic=b"\7" * 16)
    made(name, False)
    yield client.ask(session, 3, version=13)
    yield client.ask(session, 4, version=13)
    made(name, True)
    yield client.ask(session, 5, version=13), "made anew"
    yield client.ask(0, -1, (0, 0), version=13, topic=id), "without a session"
    yield client.ask(session, 6, (0, 0), version=13, topic=id_of(name), forgotten=[])
    yield client.ask(session, 7, version=13)
    made(name, False)


def commits_of_nothing(peer, topic):
    for member in ("", "nobody"):
        request = OffsetCommitRequest(
            group_id=topic, member_id=member, generation_id_or_member_epoch=-1 if not member else 3, topics=[]
        )
        yield list(peer.ask(request, 9).topics)


def offsets(peer, topic):
    yield list_offsets(peer, -1, -2, -3, -4, -5, 5, topic=topic)
    produce(peer, topic, 0, batch(b"a", b"b", b"c", timestamp=1000))
    produce(peer, topic, 0, batch(b"d", b"e", timestamp=5000, compression="gzip"))
    produce(peer, topic, 0, batch(b"f", timestamp=2000))
    yield list_offsets(peer, -1, -2, -3, -4, -5, 0, 1001, 1003, 5001, 5002, topic=topic)
    yield list_offsets(peer, -1, topic="no-such-topic")
    yield list_offsets(peer, -1, partition=9, topic=topic)
    request = ListOffsetsRequest(replica_id=-1, topics=[])
    yield peer.ask(request, 5)


def topics(peer, topic):
    for asked in (
        {"name": topic},
        {"name": "a/b"},
        {"name": "x" * 250},
        {"name": ".."},
        {"name": "x", "num_partitions": 0},
        {"name": "x", "replication_factor": 4},
        {"name": "x", "replication_factor": 0},
    ):
        wanted = CreateTopicsRequest.CreatableTopic(**{"num_partitions": 1, "replication_factor": 1, **asked})
        yield [answer.error_code for answer in peer.ask(CreateTopicsRequest(topics=[wanted]), 7).topics]
    wanted = CreateTopicsRequest.CreatableTopic(name=topic + "2", num_partitions=2, replication_factor=-1)
    twice = peer.ask(CreateTopicsRequest(topics=[wanted, wanted]), 7).topics
    yield {(answer.name == topic + "2", answer.error_code) for answer in twice}
    (answer,) = peer.ask(CreateTopicsRequest(topics=[wanted], validate_only=True), 7).topics
    yield answer.error_code, answer.num_partitions, answer.replication_factor, answer.topic_id != bytes(16)
    state = DeleteTopicsRequest.DeleteTopicState
    gone = (state(name="no-such-topic"), state(name=None, topic_id=b"\1" * 16))
    yield sorted(
        answer.error_code for answer in peer.ask(DeleteTopicsRequest(topics=gone, timeout_ms=10_000), 6).responses
    )
    for asked, create in (
        ({"name": "no-such-topic"}, False),
        ({"name": "a b"}, True),
        ({"topic_id": b"\5" * 16}, True),
    ):
        for version in (10, 12):
            if version == 10 and "topic_id" in asked:
                continue
            one = MetadataRequest.MetadataRequestTopic(**{"name": None, **asked})
            (found,) = peer.ask(MetadataRequest(topics=[one], allow_auto_topic_creation=create), version).topics
            yield found.error_code, found.name, found.topic_id


def versions(peer, topic):
    for client, version in (("a b", 3), ("a-b.1", 3), ("", 3)):
        request = ApiVersionsRequest(client_software_name=client, client_software_version="1")
        yield peer.ask(request, version).error_code
    body = struct.pack(">hhihb", 18, 99, 7, -1, 0)
    peer.socket.sendall(struct.pack(">i", len(body)) + body)
    yield peer.frame()
    coordinator = peer.ask(FindCoordinatorRequest(coordinator_keys=[]), 4)
    yield coordinator.coordinators


def hung_up_on(peer, topic):
    for frame in (struct.pack(">hhih", 0, 99, 1, -1), struct.pack(">hhih", 3, 12, 1, -1) + b"\xff" * 20):
        peer.socket.sendall(struct.pack(">i", len(frame)) + frame)
        try:
            yield peer.frame()
        except Closed:
            yield "closed"
        break


def settled(ask, error=lambda answer: answer):
    """The answer once the coordinator has loaded, and the transaction before it is over."""
    deadline = time.monotonic() + 30
    while error(answer := ask()) in (14, 15, 16, 51):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return answer


def older_transactions(peer, topic):
    settled(
        lambda: peer.ask(FindCoordinatorRequest(coordinator_keys=[topic], key_type=1), 4).coordinators[0].error_code
    )
    pid, epoch = init(peer, topic)
    yield epoch
    names = {"id": topic, "topic": topic}
    yield [write(peer, transactional(pid, epoch), version, **names) for version in (9, 11)]
    yield add(peer, pid, epoch, 0, 1, 9, **names)
    yield add(peer, pid, epoch + 1, 0, **names)
    yield add(peer, pid + 1000, epoch, 0, **names)
    yield end(peer, pid, epoch, True, 4, id=topic).error_code
    for committed in (True, False):
        yield settled(lambda: add(peer, pid, epoch, 0, **names), max)
        number = 0 if committed else 1
        yield write(peer, transactional(pid, epoch, number), 9, **names)
        yield produce(peer, topic, 0, batch(b"not in it", timestamp=int(time.time() * 1000)))
        yield list(read(peer, topic, 0, 0)), visible(fetch(peer, topic)), list(offsets_by_isolation(peer, topic))
        yield settled(lambda: end(peer, pid, epoch, committed, 4, id=topic).error_code)  # noqa: B023
        yield settled(lambda: end(peer, pid, epoch, committed, 4, id=topic).error_code)  # noqa: B023
        yield end(peer, pid, epoch, not committed, 4, id=topic).error_code
        found = fetch(peer, topic)
        yield visible(found), found.last_stable_offset, [entry.first_offset for entry in found.aborted_transactions]
        yield list(offsets_by_isolation(peer, topic))
    again, later = init(peer, topic)
    yield again == pid, later
    yield [write(peer, transactional(pid, epoch, 2), version, **names) for version in (9, 12)]


def newer_transactions(peer, topic):
    settled(
        lambda: peer.ask(FindCoordinatorRequest(coordinator_keys=[topic], key_type=1), 4).coordinators[0].error_code
    )
    pid, epoch = init(peer, topic)
    names = {"id": topic, "topic": topic}
    yield write(peer, transactional(pid, epoch), 12, id=None, topic=topic)
    yield write(peer, transactional(pid, epoch), 12, id=topic + "?", topic=topic)
    yield end(peer, pid, epoch, True, 5, id=topic).error_code
    for number, committed in enumerate((True, False, True)):
        yield settled(lambda: write(peer, transactional(pid, epoch), 12, **names))  # noqa: B023
        yield fetch(peer, topic).last_stable_offset
        answer = end(peer, pid, epoch, committed, 5, id=topic)
        yield answer.error_code, answer.producer_id == pid, answer.producer_epoch
        again = settled(lambda: end(peer, pid, epoch, committed, 5, id=topic), lambda a: a.error_code)  # noqa: B023
        yield again.error_code, again.producer_epoch
        yield end(peer, pid, epoch, not committed, 5, id=topic).error_code
        yield write(peer, transactional(pid, epoch, 1), 12, **names)
        epoch += 1
        found = fetch(peer, topic)
        yield number, visible(found), found.last_stable_offset
        yield [entry.first_offset for entry in found.aborted_transactions]
    asked = DescribeProducersRequest.TopicRequest(name=topic, partition_indexes=[0])
    ((described,),) = (entry.partitions for entry in peer.ask(DescribeProducersRequest(topics=[asked]), 0).topics)
    yield [
        (state.producer_id == pid, state.producer_epoch, state.last_sequence, state.current_txn_start_offset)
        for state in described.active_producers
    ]


def fetch(peer, topic):
    return peer.ask(fetch_request((0, 0), topic=topic, isolation_level=1), 12).responses[0].partitions[0]


def offsets_by_isolation(peer, topic):
    for isolation in (0, 1):
        part = ListOffsetsRequest.ListOffsetsPartition(partition_index=0, timestamp=-1)
        asked = ListOffsetsRequest.ListOffsetsTopic(name=topic, partitions=[part])
        request = ListOffsetsRequest(replica_id=-1, isolation_level=isolation, topics=[asked])
        yield peer.ask(request, 5).topics[0].partitions[0].offset


PROBES = [
    broken_batches, unknown_places, named_twice, sequences, acks_0, fetching, fetch_sessions, fetch_sessions_by_id,
    commits_of_nothing, offsets, topics, versions, hung_up_on,
    older_transactions, newer_transactions,
]  # fmt: skip


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.__name__)
def test_equal_answers(kafka_cluster, probe):
    topic = f"as-kafka.{probe.__name__}"
    kafka_cluster.create_topic(topic, partitions=2)
    with (
        EmbeddedCluster(topics={topic: 2}) as cluster,
        Peer(cluster.bootstrap) as ours,
        Peer(kafka_cluster.nodes[0].address) as theirs,
    ):
        deadline = time.monotonic() + 30
        while any(list_offsets(theirs, -1, topic=topic, partition=p)[0][0] for p in range(2)):
            assert time.monotonic() < deadline  # a new topic's leader takes a moment
            time.sleep(0.02)
        answers = list(probe(ours, topic)), list(probe(theirs, topic))
    for number, (mine, right) in enumerate(zip(*answers, strict=True)):
        assert mine == right, f"answer {number}"
