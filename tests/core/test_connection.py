"""One connection: framing under every segmentation, correlation, limits, foreign peers, versions."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import pytest

from kafka.core.net.connection import Connection
from kafka.core.net.states import ConnectionEvent, ConnectionState
from kafka.errors import CorrelationError, DecodeError, KafkaConnectionError, KafkaError, UnsupportedVersionError
from kafka.protocol import (
    ApiVersionsResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    MetadataRequest,
    ProduceRequest,
    decode_request,
    encode_response,
)
from kafka.result import Err, Ok, Result

VERSION = 4


def connection(limit: int = 1000, ready: bool = True) -> Connection:
    made = Connection(
        1, ("10.0.0.1", 9092), "kafka1:9092", client_id="me", software=("kafka-turbo", "1"), limit=limit,
        most_in_flight=5,
        patience=30.0,
        on_throttle=lambda seconds, now: None,
    )  # fmt: skip
    made.handle(ConnectionEvent.CONNECTED)
    if ready:
        made.negotiated(
            ApiVersionsResponse(
                api_keys=[
                    ApiVersionsResponse.ApiVersion(api_key=22, min_version=0, max_version=VERSION),
                    ApiVersionsResponse.ApiVersion(api_key=3, min_version=0, max_version=9),
                ]
            )
        )
    return made


class Answers:
    def __init__(self) -> None:
        self.results: list[Result[Any, KafkaError]] = []

    def __call__(self, result: Result[Any, KafkaError], now: float) -> None:
        self.results.append(result)

    @property
    def ids(self) -> list[int]:
        return [result.value.producer_id for result in self.results if isinstance(result, Ok)]


def ask(on: Connection, answers: Answers, count: int = 1) -> None:
    for _ in range(count):
        assert isinstance(on.send(InitProducerIdRequest(), VERSION, answers, 0.0, 30.0), Ok)


def answer(correlation_id: int, producer_id: int) -> bytes:
    response = InitProducerIdResponse(producer_id=producer_id)
    return b"".join(encode_response(response, VERSION, correlation_id).unwrap())


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 9, 13, 64, 10_000])
def test_frames_arrive_whole_however_they_are_cut(size: int) -> None:
    on, answers = connection(), Answers()
    ask(on, answers, 5)
    data = b"".join(answer(index, 100 + index) for index in range(5))
    for start in range(0, len(data), size):
        assert on.receive(data[start : start + size], 0.0) is None
        assert len(answers.ids) == min(start + size, len(data)) // (len(data) // 5)
    assert answers.ids == [100, 101, 102, 103, 104]
    assert not on.in_flight


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_buffer_will_do(kind: Any) -> None:
    on, answers = connection(), Answers()
    ask(on, answers, 2)
    data = answer(0, 7) + answer(1, 8)
    for cut in (data[:10], data[10:31], data[31:]):
        assert on.receive(kind(cut), 0.0) is None
    assert answers.ids == [7, 8]


def test_an_answer_out_of_order_is_an_error() -> None:
    on, answers = connection(), Answers()
    ask(on, answers, 2)
    error = on.receive(answer(1, 7), 0.0)
    assert isinstance(error, CorrelationError)
    assert "response 1 where 0 was due" in str(error)
    assert answers.results == []
    on.close(error, 0.0)
    assert answers.results == [Err(error), Err(error)]


def test_an_answer_to_nothing_is_an_error() -> None:
    assert isinstance(connection().receive(answer(0, 7), 0.0), CorrelationError)


@pytest.mark.parametrize("size", [-1, 0, 3, 1001, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("piece", [1, 4, 100])
def test_a_frame_out_of_bounds_is_an_error(size: int, piece: int) -> None:
    on, answers = connection(), Answers()
    ask(on, answers)
    data = struct.pack(">i", size) + bytes(50)
    errors = [error for start in range(0, len(data), piece) if (error := on.receive(data[start : start + piece], 0.0))]
    assert errors and isinstance(errors[0], KafkaConnectionError)
    assert str(size) in str(errors[0])


def test_a_frame_that_is_too_large_is_an_error_also_where_all_of_it_is_there() -> None:
    on, answers = connection(), Answers()
    ask(on, answers, 2)
    whole = answer(0, 7)
    error = on.receive(whole + struct.pack(">ii", 1001, 1) + bytes(997), 0.0)
    assert isinstance(error, KafkaConnectionError) and "1001" in str(error)
    assert answers.ids == [7]


def test_an_announced_size_costs_no_memory() -> None:
    on, answers = connection(limit=2**31 - 1), Answers()
    ask(on, answers)
    tracemalloc.start()
    try:
        assert on.receive(struct.pack(">i", 2**30) + bytes(100), 0.0) is None
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_response_that_cannot_be_decoded_fails_its_request_only() -> None:
    on, answers = connection(), Answers()
    ask(on, answers, 2)
    broken = answer(0, 7)[4:-3]
    assert on.receive(struct.pack(">i", len(broken)) + broken + answer(1, 8), 0.0) is None
    assert isinstance(answers.results[0], Err) and isinstance(answers.results[0].error, DecodeError)
    assert answers.ids == [8]


@pytest.mark.parametrize(
    ("reply", "word"),
    [(b"\x15\x03\x03\x00\x02\x02\x50", "TLS"), (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
     (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP")],
)  # fmt: skip
@pytest.mark.parametrize("piece", [1, 5, 100])
def test_a_foreign_peer_is_recognised_by_its_first_bytes(reply: bytes, word: str, piece: int) -> None:
    on, answers = connection(limit=2**31 - 1, ready=False), Answers()
    on.negotiate(4, answers, 0.0)
    errors = [
        error for start in range(0, len(reply), piece) if (error := on.receive(reply[start : start + piece], 0.0))
    ]
    assert errors and isinstance(errors[0], KafkaConnectionError)
    assert errors[0].hint is not None and word in errors[0].hint
    assert errors[0].address == "kafka1:9092" and errors[0].stage == "api versions"


def test_the_first_request_names_the_software() -> None:
    on, answers = connection(ready=False), Answers()
    frame = b"".join(on.negotiate(4, answers, 0.0))
    header, request = decode_request(frame[4:]).unwrap()
    assert (header.api_key, header.api_version, header.client_id) == (18, 4, "me")
    assert (request.client_software_name, request.client_software_version) == ("kafka-turbo", "1")


def test_error_35_comes_in_the_form_of_version_0() -> None:
    on, answers = connection(ready=False), Answers()
    on.negotiate(4, answers, 0.0)
    refusal = ApiVersionsResponse(
        error_code=35, api_keys=[ApiVersionsResponse.ApiVersion(api_key=18, min_version=0, max_version=2)]
    )
    assert on.receive(b"".join(encode_response(refusal, 0, 0).unwrap()), 0.0) is None
    assert answers.results[0].unwrap().error_code == 35
    assert answers.results[0].unwrap().api_keys[0].max_version == 2


def test_error_35_may_come_in_a_form_of_its_own() -> None:
    """As from librdkafka's mock cluster; the error is all that can be told then."""
    on, answers = connection(ready=False), Answers()
    on.negotiate(4, answers, 0.0)
    body = bytes.fromhex("00000000 0023 01 0012 0000 0002 00 00000000")
    assert on.receive(len(body).to_bytes(4, "big") + body, 0.0) is None
    assert answers.results[0].unwrap() == ApiVersionsResponse(error_code=35)


def test_versions_are_the_newest_both_sides_know() -> None:
    on = connection()
    assert on.version_for(MetadataRequest) == 9
    assert on.version_for(MetadataRequest, newest=5) == 5
    assert on.version_for(MetadataRequest) == 9
    unknown = on.version_for(ProduceRequest)
    assert isinstance(unknown, UnsupportedVersionError) and "ProduceRequest" in str(unknown)
    on.versions[0] = (0, 2)
    too_old = on.version_for(ProduceRequest)
    assert isinstance(too_old, UnsupportedVersionError) and "0 to 2" in str(too_old)


def test_closing_fails_what_is_in_flight_in_order_and_once() -> None:
    on, order = connection(), []
    for index in range(3):
        on.send(InitProducerIdRequest(), VERSION, lambda result, now, index=index: order.append(index), 0.0, 30.0)
    on.send(InitProducerIdRequest(), VERSION, lambda result, now: order.append(3), 0.0, 30.0, answered=False)
    on.close(KafkaError("over"), 1.0)
    assert order == [0, 1, 2, 3]
    assert on.state is ConnectionState.CLOSED
    with pytest.raises(KeyError):
        on.close(KafkaError("again"), 1.0)


def test_a_request_without_answer_is_over_when_written() -> None:
    on, answers = connection(), Answers()
    on.send(InitProducerIdRequest(), VERSION, answers, 0.0, 30.0, answered=False)
    assert on.deadline() == 30.0
    on.written(0.5)
    assert answers.results == [Ok(None)]
    assert on.deadline() == float("inf")


def test_a_callback_may_close_the_connection() -> None:
    on, answers = connection(), Answers()
    on.send(InitProducerIdRequest(), VERSION, lambda result, now: on.close(KafkaError("enough"), now), 0.0, 30.0)
    ask(on, answers)
    assert on.receive(answer(0, 1) + answer(1, 2), 0.0) is None
    assert answers.results == [Err(KafkaError("enough"))]


def test_correlation_ids_wrap() -> None:
    on, answers = connection(), Answers()
    on._next_correlation = 0x7FFFFFFF
    ask(on, answers, 2)
    assert on.receive(answer(0x7FFFFFFF, 1) + answer(0, 2), 0.0) is None
    assert answers.ids == [1, 2]


def test_the_deadline_is_that_of_the_most_urgent_request() -> None:
    on, answers = connection(), Answers()
    assert on.deadline() == float("inf")
    on.send(InitProducerIdRequest(), VERSION, answers, 0.0, 30.0)
    on.send(InitProducerIdRequest(), VERSION, answers, 1.0, 5.0)
    assert on.deadline() == 6.0


def test_a_large_frame_in_many_pieces_is_copied_once() -> None:
    on, answers = connection(limit=2**20), Answers()
    ask(on, answers)
    data = struct.pack(">i", 2**20) + bytes(2**19)
    assert on.receive(data[:100], 0.0) is None
    put_aside = on._rest
    for start in range(100, len(data), 4096):
        assert on.receive(data[start : start + 4096], 0.0) is None
        assert on._rest is put_aside
    assert bytes(put_aside) == data
