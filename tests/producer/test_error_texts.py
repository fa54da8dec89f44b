"""What errors say to whoever reads them at night: what happened, where, and what to do; and nothing that is not so."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    InvalidRecordError,
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    OffsetOutOfRangeError,
    Persisted,
    TopicAuthorizationFailedError,
    for_code,
)
from kafka.protocol import (
    FetchRequest,
    InitProducerIdRequest,
    InitProducerIdResponse,
    ListOffsetsRequest,
    ProduceRequest,
    ProduceResponse,
)
from kafka.protocol.codes import Code
from kafka.testing import EmbeddedCluster
from tests.producer.brokers import CLOSE, MESSAGE_TOO_LARGE, ScriptedCluster, refuse_all
from tests.sim.world import changed

Make = Callable[..., KafkaProducer]


def refusing(cluster: ScriptedCluster, code: int) -> None:
    cluster.script = lambda node, header, request: (
        refuse_all(request, code) if isinstance(request, ProduceRequest) else None
    )


def refusing_records(cluster: ScriptedCluster, code: int, bad: dict[int, str], message: str) -> None:
    """The first batch is refused for some of its records (KIP-467)."""

    def script(node: Any, header: Any, request: Any) -> Any:
        if not isinstance(request, ProduceRequest):
            return None
        answer = refuse_all(request, code)
        for topic in answer.responses:
            for partition in topic.partition_responses:
                partition.error_message = message
                partition.record_errors = [
                    ProduceResponse.BatchIndexAndErrorMessage(batch_index=index, batch_index_error_message=text)
                    for index, text in bad.items()
                ]
        return answer

    cluster.script = script


def test_a_record_over_max_request_size_is_told_to_raise_it(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(max_request_size=1000)
    with pytest.raises(MessageSizeTooLargeError) as caught:
        producer.send("t", bytes(2000))
    assert "Hint: Raise max_request_size" in str(caught.value) and "Lower" not in str(caught.value)


def test_a_record_over_buffer_memory_is_told_to_raise_that(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(buffer_memory=10_000)
    with pytest.raises(MessageSizeTooLargeError) as caught:
        producer.send("t", bytes(20_000))
    assert "Hint: Raise buffer_memory" in str(caught.value) and "max.message.bytes" not in str(caught.value)


def test_a_record_over_the_topics_limit_is_told_of_that(cluster: ScriptedCluster, make_producer: Make) -> None:
    refusing(cluster, MESSAGE_TOO_LARGE)
    error = _error(make_producer())
    assert isinstance(error, MessageSizeTooLargeError)
    assert "Hint: Raise max.message.bytes of the topic" in str(error)


def _error(producer: KafkaProducer, topic: str = "t", partition: int = 0) -> KafkaError:
    with pytest.raises(KafkaError) as caught:
        producer.send(topic, b"v", partition=partition).get(10)
    return caught.value


@pytest.mark.parametrize("code", [TopicAuthorizationFailedError.errno, NotEnoughReplicasError.errno, 87, 1, 56])
def test_what_get_raises_names_topic_and_partition_once(
    cluster: ScriptedCluster, make_producer: Make, code: int
) -> None:
    refusing(cluster, code)
    error = _error(make_producer(retries=0, enable_idempotence=False), "t4", 3)
    assert error.errno == code and error.place == "t4[3]" and str(error).count("t4[3]") == 1
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.place == "t4[3]"
    shared = for_code(code)
    assert shared is not None and shared.place is None


def test_a_record_that_never_got_a_partition_names_its_topic(cluster: ScriptedCluster, make_producer: Make) -> None:
    cluster.freeze()
    producer = make_producer(
        api_version=(3, 0), delivery_timeout_ms=300, request_timeout_ms=200, enable_idempotence=False
    )
    with pytest.raises(KafkaTimeoutError, match="topic t4") as caught:
        producer.send("t4", b"v").get(10)
    assert str(caught.value).count("topic t4") == 1


def test_a_get_that_ends_too_early_names_topic_and_partition(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    producer.partitions_for("t4")
    cluster.freeze()
    with pytest.raises(KafkaTimeoutError, match=r"No answer for t4\[3\] within 0.05 seconds"):
        producer.send("t4", b"v", partition=3).get(0.05)


def test_a_producer_that_is_closed_names_what_it_did_not_deliver(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    producer.partitions_for("t4")
    cluster.freeze()
    future = producer.send("t4", b"v", partition=3)
    with pytest.raises(KafkaError):
        producer.close(timeout=0)
    with pytest.raises(KafkaError, match=r"t4\[3\]"):
        future.get(5)


def test_good_neighbours_of_a_bad_timestamp_hear_nothing_of_keys(cluster: ScriptedCluster, make_producer: Make) -> None:
    refusing_records(
        cluster, Code.INVALID_TIMESTAMP, {1: "Timestamp 5 of message with offset 1 is out of range."}, "bad"
    )
    future = make_producer(linger_ms=20).send_many("t", [b"a", b"b", b"c"], partition=0)
    with pytest.raises(KafkaError):
        future.get(10)
    errors = [future[number].error for number in range(3)]
    assert isinstance(errors[1], InvalidTimestampError) and "message.timestamp.before.max.ms" in str(errors[1])
    for good in (errors[0], errors[2]):
        assert isinstance(good, InvalidRecordError) and good.persisted is Persisted.NOT_PERSISTED
        assert "key" not in str(good) and "compacted" not in str(good)
        assert "refused along with 1 bad record" in str(good) and "Nothing is wrong with this record" in str(good)
    assert all(str(error).count("t[0]") == 1 for error in errors)


def test_a_record_without_a_key_in_a_compacted_topic_is_told_of_that(
    cluster: ScriptedCluster, make_producer: Make
) -> None:
    text = "Compacted topic cannot accept message without key in topic partition t-0."
    refusing_records(cluster, Code.INVALID_RECORD, {0: text}, "One or more records have been rejected")
    future = make_producer(linger_ms=20).send_many("t", [b"a", b"b"], partition=0)
    with pytest.raises(KafkaError):
        future.get(10)
    assert "Hint: A compacted topic accepts only records with a key." in str(future[0].error)
    assert "Hint: A compacted" not in str(future[1].error)


def test_a_record_that_is_invalid_for_another_reason_hears_nothing_of_keys(
    cluster: ScriptedCluster, make_producer: Make
) -> None:
    refusing_records(cluster, Code.INVALID_RECORD, {0: "Record is corrupt."}, "One or more records have been rejected")
    assert "key" not in str(_error(make_producer()))


def test_a_callback_that_kept_the_io_thread_past_the_delivery_timeout_is_named(
    cluster: ScriptedCluster, make_producer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    producer = make_producer(delivery_timeout_ms=500, request_timeout_ms=400, linger_ms=0)
    producer.send("t", b"before", partition=0).get(5)
    begun, over = threading.Event(), threading.Event()

    def slow_callback(metadata: Any) -> None:
        begun.set()
        over.wait(10)

    with caplog.at_level(logging.WARNING, "kafka.producer"):
        producer.send("t", b"1", partition=0).add_callback(slow_callback)
        assert begun.wait(5)
        future = producer.send("t", b"2", partition=0)
        time.sleep(1.5)  # the clock that matters is the producer's own
        over.set()
        with pytest.raises(KafkaTimeoutError) as caught:
            future.get(10)
    assert "a callback or hook kept the IO thread" in str(caught.value)
    assert "Nothing could be sent or received for " in str(caught.value)
    (line,) = [record.getMessage() for record in caplog.records if "kept the IO thread" in record.getMessage()]
    assert "slow_callback" in line
    cluster.freeze()
    with pytest.raises(KafkaTimeoutError) as caught:
        producer.send("t", b"3", partition=0).get(10)
    assert "callback" not in str(caught.value), "that was another time"


def test_futures_say_why_they_cannot_be_pickled(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer()
    for future in (producer.send("t", b"v"), producer.send_many("t", [b"v"])):
        with pytest.raises(TypeError, match=f"a {type(future).__name__} cannot be pickled: .*get") as caught:
            pickle.dumps(future)
        assert "__cinit__" not in str(caught.value)


def test_no_answer_in_time_says_how_long_that_is(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(request_timeout_ms=300, delivery_timeout_ms=700)
    producer.send("t", b"before", partition=0).get(5)
    cluster.freeze()
    said = str(_error(producer))
    assert "no answer to ProduceRequest within 0.3 s" in said and "request_timeout_ms" in said


def test_what_is_wrong_with_a_topic_names_it(cluster: ScriptedCluster, make_producer: Make) -> None:
    cluster.topic_errors["secret"] = TopicAuthorizationFailedError.errno or 0
    producer = make_producer()
    for ask in (producer.partitions_for, lambda topic: producer.send(topic, b"v", key=b"k")):
        with pytest.raises(TopicAuthorizationFailedError, match="topic secret: "):
            ask("secret")
    with pytest.raises(TopicAuthorizationFailedError, match="topic secret: "):
        producer.send("secret", b"v").get(10)


def test_a_full_buffer_says_which_broker_is_to_blame(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(buffer_memory=100_000, max_block_ms=1500)
    producer.send("t", b"v", partition=0).get(5)
    address = cluster.bootstrap
    cluster.stop()
    with pytest.raises(KafkaTimeoutError) as caught:
        for _ in range(1000):
            producer.send("t", bytes(1000), partition=0)
    assert "buffer_memory (100000 bytes) stayed full" in str(caught.value)
    assert f"{address} failed in stage " in str(caught.value)


def test_a_cluster_that_went_away_is_told_of_once(cluster: ScriptedCluster, make_producer: Make) -> None:
    """Not once more as an address of bootstrap_servers, at which nobody ever was."""
    producer = make_producer(max_block_ms=1500)
    producer.send("t", b"v", partition=0).get(5)
    cluster.stop()
    with pytest.raises(KafkaTimeoutError) as caught:
        producer.partitions_for("new")
    said = str(caught.value)
    assert said.count("KafkaConnectionError: broker ") == said.count("KafkaConnectionError") >= 1
    assert "It was reached there before" in said and "check host and port" not in said


def test_who_is_hung_up_on_is_told_where_to_look(cluster: ScriptedCluster, make_producer: Make) -> None:
    producer = make_producer(request_timeout_ms=400, delivery_timeout_ms=900)
    producer.send("t", b"v", partition=0).get(5)
    cluster.script = lambda node, header, request: CLOSE if isinstance(request, ProduceRequest) else None
    said = str(_error(producer))
    assert "the peer closed the connection" in said and "its log says why" in said


def test_a_frame_that_is_too_large_names_the_key(cluster: ScriptedCluster, make_producer: Make) -> None:
    cluster.leaders["wide"] = [1] * 3000
    producer = make_producer(receive_message_max_bytes=20_000, max_block_ms=1000)
    with pytest.raises(KafkaTimeoutError, match="raise receive_message_max_bytes"):
        producer.partitions_for("wide")


@pytest.mark.parametrize("api", [FetchRequest, ListOffsetsRequest])
def test_what_a_consumer_is_refused_names_topic_and_partition_once(api: Any) -> None:
    with EmbeddedCluster() as cluster:
        cluster.create_topic("t", 2)
        node = cluster.nodes[0]
        original = node.handlers[api.API_KEY]

        def refuse(answer: Any) -> None:
            parts = answer.topics if api is ListOffsetsRequest else answer.responses
            for partition in [partition for topic in parts for partition in topic.partitions]:
                partition.error_code = Code.TOPIC_AUTHORIZATION_FAILED

        node.handlers[api.API_KEY] = lambda *asked: changed(original(*asked), refuse)
        with closing(KafkaConsumer(bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest")) as consumer:
            consumer.assign([TopicPartition("t", 1)])
            with pytest.raises(TopicAuthorizationFailedError) as caught:
                for _ in range(100):
                    consumer.poll(timeout_ms=100)
            assert str(caught.value).count("t[1]") == 1
            if api is ListOffsetsRequest:
                with pytest.raises(TopicAuthorizationFailedError, match=r"t\[1\]: "):
                    consumer.end_offsets([TopicPartition("t", 1)])


def test_an_offset_out_of_range_says_what_that_means() -> None:
    said = str(OffsetOutOfRangeError({TopicPartition("t", 1): 5}))
    assert "does not contain the requested offset" in said and "partition=1): 5" in said


def test_what_is_wrong_with_a_transactional_id_names_it() -> None:
    with EmbeddedCluster() as cluster:
        for node in cluster.nodes:
            node.handlers[InitProducerIdRequest.API_KEY] = lambda node, header, request: InitProducerIdResponse(
                error_code=Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, producer_id=-1, producer_epoch=-1
            )
        with KafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="orders-7") as producer:
            with pytest.raises(KafkaError, match="transactional id 'orders-7': ") as caught:
                producer.init_transactions()
            assert "Hint: Grant the principal Write and Describe" in str(caught.value)
