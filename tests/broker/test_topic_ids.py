"""What a real broker does with topic ids (KIP-516, produce version 13 on): new topics, and topics recreated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from kafka import KafkaProducer
from kafka.core.cluster.snapshot import EMPTY, merge
from kafka.protocol import CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest, ProduceRequest
from tests.testing.wire import Peer, batch, produce_request

pytestmark = pytest.mark.kafka

UNKNOWN_TOPIC, ALREADY_EXISTS, UNKNOWN_ID = 3, 36, 100
BY_NAME, BY_ID = 12, 13
# A broker that answered CreateTopics may still deny the topic, as any other may; on a busy machine for a second.
NOT_YET = {UNKNOWN_TOPIC, UNKNOWN_ID, 5, 6}


@pytest.fixture
def peer(kafka_cluster: Any) -> Iterator[Peer]:
    with Peer(kafka_cluster.nodes[0].address, 30.0) as peer:
        yield peer


def create(peer: Peer, name: str, accepted: int = 0) -> bytes:
    topic = CreateTopicsRequest.CreatableTopic(
        name=name, num_partitions=1, replication_factor=1, assignments=[], configs=[]
    )
    (answer,) = peer.ask(CreateTopicsRequest(topics=[topic], timeout_ms=30_000), 7).topics
    assert answer.error_code in (0, accepted), answer
    return answer.topic_id  # type: ignore[no-any-return]


def delete(peer: Peer, name: str) -> None:
    state = DeleteTopicsRequest.DeleteTopicState(name=name)
    (answer,) = peer.ask(DeleteTopicsRequest(topics=[state], timeout_ms=30_000), 6).responses
    assert answer.error_code == 0, answer


def produce(peer: Peer, topic: str | bytes, data: bytes, version: int) -> tuple[int, int]:
    (answer,) = peer.ask(produce_request(topic, (0, data)), version).responses
    (partition,) = answer.partition_responses
    return partition.error_code, partition.base_offset


def settled(peer: Peer, topic: str | bytes, version: int) -> set[int]:
    """Produces until that succeeds; the errors before."""
    errors, deadline = set(), time.monotonic() + 30
    while (error := produce(peer, topic, batch(b"first"), version)[0]) != 0:
        errors.add(error)
        assert time.monotonic() < deadline, errors
        time.sleep(0.01)
    return errors


def metadata(peer: Peer, name: str) -> Any:
    topic = MetadataRequest.MetadataRequestTopic(name=name)
    return peer.ask(MetadataRequest(topics=[topic], allow_auto_topic_creation=False), 12)


def test_an_id_that_nobody_has_is_an_unknown_topic_id(peer: Peer) -> None:
    assert produce(peer, b"\7" * 16, batch(b"x"), BY_ID) == (UNKNOWN_ID, -1)
    assert produce(peer, bytes(16), batch(b"x"), BY_ID) == (UNKNOWN_ID, -1), "no id is not taken for a name"
    assert produce(peer, "topic.ids.nope", batch(b"x"), BY_NAME) == (UNKNOWN_TOPIC, -1)


@pytest.mark.parametrize("version", [BY_NAME, BY_ID])
def test_a_new_topic_is_at_worst_not_known_yet(peer: Peer, version: int) -> None:
    for index in range(5):
        name = f"topic.ids.new.{version}.{index}"
        id = create(peer, name)
        assert settled(peer, id if version == BY_ID else name, version) <= NOT_YET


def test_one_unknown_id_does_not_fail_the_others(peer: Peer) -> None:
    id = create(peer, "topic.ids.mixed")
    settled(peer, id, BY_ID)
    topics = [produce_request(one, (0, batch(b"x"))).topic_data[0] for one in (b"\7" * 16, id)]
    answer = peer.ask(ProduceRequest(acks=-1, timeout_ms=10_000, topic_data=topics), BY_ID)
    found = {topic.topic_id: topic.partition_responses[0].error_code for topic in answer.responses}
    assert found == {b"\7" * 16: UNKNOWN_ID, id: 0}
    assert {topic.name for topic in answer.responses} == {""}, "answers by id have no names"


def test_a_topic_made_anew_takes_nothing_by_its_old_id(peer: Peer) -> None:
    """By name it does: a producer that does not look at ids goes on in another topic, and no sequence warns it."""
    name = "topic.ids.anew"
    old = create(peer, name)
    settled(peer, old, BY_ID)
    before = merge(EMPTY, metadata(peer, name), 12, 0.0)
    for sequence in range(3):
        assert produce(peer, old, batch(b"x", pid=77, epoch=0, sequence=sequence), BY_ID)[0] == 0
    delete(peer, name)
    new = create(peer, name)
    assert new != old
    for _ in range(20):
        assert produce(peer, old, batch(b"late", pid=77, epoch=0, sequence=3), BY_ID) == (UNKNOWN_ID, -1)
    assert settled(peer, new, BY_ID) <= NOT_YET
    error, offset = produce(peer, name, batch(b"late", pid=77, epoch=0, sequence=3), BY_NAME)
    assert (error, offset) == (0, 1), "a producer that the log does not know may start anywhere"
    # The client sees it by the id; the leader epoch alone would say that this is old news.
    answer = metadata(peer, name)
    assert answer.topics[0].partitions[0].leader_epoch == 0
    assert merge(before, answer, 12, 5.0).topic_id(name) == old
    assert merge(merge(before, answer, 12, 5.0), answer, 12, 5.1).topic_id(name) == new


def test_a_producer_goes_on_in_the_topic_made_anew(kafka_cluster: Any, peer: Peer) -> None:
    """What was acknowledged after the topic was recreated is in the new one, once and in order."""
    name = "topic.ids.producer"
    create(peer, name)
    with KafkaProducer(bootstrap_servers=kafka_cluster.bootstrap, linger_ms=0, retry_backoff_ms=50) as producer:
        before = [producer.send(name, b"%d" % number, key=b"k") for number in range(200)]
        producer.flush(30)
        assert [future.get(30).offset for future in before] == list(range(200))
        delete(peer, name)
        during = [producer.send(name, b"%d" % number, key=b"k") for number in range(200, 300)]
        create(peer, name, ALREADY_EXISTS)  # where the producer asked for it first, a broker created it
        after = [producer.send(name, b"%d" % number, key=b"k") for number in range(300, 500)]
        producer.flush(60)
        offsets = [future.get(30).offset for future in after]
    assert offsets == sorted(offsets) and len(set(offsets)) == 200
    values = [record.value for record in kafka_cluster.console_consume(name, 300, 0)]
    assert len(values) == len(set(values)) and values == sorted(values, key=lambda value: int(value or b"-1"))
    assert set(values) >= {b"%d" % number for number in range(300, 500)}
    # What was sent in between is in the one or in the other.
    there = {int(value or b"-1") for value in values}
    assert all(future.exception is None for number, future in enumerate(during, 200) if number in there)
