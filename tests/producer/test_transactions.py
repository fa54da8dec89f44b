"""What `KafkaProducer`'s transaction methods refuse, on the embedded broker."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from kafka import KafkaProducer
from kafka.errors import IllegalStateError, InvalidRequestError
from kafka.protocol import InitProducerIdRequest, InitProducerIdResponse
from kafka.protocol.codes import Code
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, RecordMetadata, TopicPartition
from kafka.testing import EmbeddedCluster

PLACE = TopicPartition("t", 0)


@pytest.fixture(scope="module")
def cluster():
    with EmbeddedCluster() as cluster:
        yield cluster


@pytest.mark.parametrize(
    "offsets, group, error, words",
    [
        ({PLACE: 1}, None, TypeError, "group_metadata must be"),
        ({PLACE: 1}, "", TypeError, "group_metadata must be"),
        ({PLACE: 1}, ConsumerGroupMetadata(), TypeError, "group_metadata must be"),
        ({PLACE: 1}, ConsumerGroupMetadata("g", 3), ValueError, "must have a member_id"),
        ({PLACE: 2**63}, "g", ValueError, "fit 64 bits"),
        ({PLACE: OffsetAndMetadata(1, "x" * 32768)}, "g", ValueError, "metadata must be of at most 32767 bytes"),
        ({PLACE: OffsetAndMetadata(1, "", None)}, "g", TypeError, "an integer as leader_epoch"),
        ({("t", -1): 1}, "g", ValueError, "no partition of a topic"),
        ({("t", 2**31): 1}, "g", ValueError, "no partition of a topic"),
        ({PLACE: 1}, "x" * 32768, ValueError, "at most 32767 bytes"),
        ({PLACE: 1}, "\ud800", ValueError, "at most 32767 bytes"),
        ({PLACE: -1}, "g", TypeError, "an offset must be"),
        ({PLACE: True}, "g", TypeError, "an offset must be"),
        ({PLACE: OffsetAndMetadata()}, "g", TypeError, "an offset must be"),
        ({("t", "0"): 1}, "g", TypeError, "as keys"),
        ({PLACE: 1}, "g", IllegalStateError, r"init_transactions\(\) must be called first"),
    ],
)
def test_offsets_and_groups_that_make_no_sense(cluster, offsets: Any, group: Any, error: Any, words: str) -> None:
    with (
        KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="t") as producer,
        pytest.raises(error, match=words),
    ):
        producer.send_offsets_to_transaction(offsets, group)


def refuse(broker: Any, header: Any, request: Any) -> InitProducerIdResponse:
    return InitProducerIdResponse(error_code=Code.INVALID_REQUEST)


def test_a_fatal_error_is_raised_by_everything_that_follows(cluster, monkeypatch) -> None:
    monkeypatch.setitem(cluster.nodes[0].handlers, InitProducerIdRequest.API_KEY, refuse)
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="t") as producer:
        with pytest.raises(IllegalStateError, match="outside of a transaction"):
            producer.send("t", b"v")
        with pytest.raises(InvalidRequestError):
            producer.init_transactions()
        for call in (producer.begin_transaction, producer.commit_transaction, lambda: producer.send("t", b"v")):
            with pytest.raises(InvalidRequestError):
                call()
        with pytest.raises(InvalidRequestError), producer.transaction():
            raise AssertionError("the block must not be entered")
        producer.flush()


def test_no_waiting_on_the_io_thread(cluster) -> None:
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="t") as producer:
        raised: list[BaseException] = []
        called = threading.Event()

        def call(now: float) -> None:
            try:
                producer.commit_transaction()
            except BaseException as error:
                raised.append(error)
            called.set()

        producer._driver.call(call)
        assert called.wait(10)
    assert isinstance(raised[0], IllegalStateError) and "would wait for the thread it runs on" in str(raised[0])


def test_a_dropped_producer_aborts_the_transaction_that_is_open(cluster, caplog: pytest.LogCaptureFixture) -> None:
    def drop(producer: KafkaProducer) -> RecordMetadata:
        producer.init_transactions()
        producer.begin_transaction()
        return producer.send("dropped", b"v").get(10)

    place = drop(KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="dropped"))
    producers = cluster.topics["dropped"].partitions[place.partition].log.producers
    deadline = time.monotonic() + 10
    while producers.open or "is aborted" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (warning,) = caplog.messages
    assert warning.endswith("was dropped without close(): the transaction that is open is aborted")
