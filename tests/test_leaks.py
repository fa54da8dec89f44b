"""Nothing that the extensions do leaves a reference or a block behind.

Release builds of Python have no sys.gettotalrefcount, so three counts stand in for it over many rounds of one action:
blocks of Python's allocators, references to the objects that an action works with (singletons, classes, its input), and
the resident memory, for what is taken from malloc directly. LEAK_ROUNDS multiplies the rounds.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from golden.corpus import Line, message_class, messages

from kafka import result
from kafka._codec import Accumulator, ManualHost, ProducerBase, Unsent
from kafka.errors import DecodeError, EncodeError, KafkaError, UnsupportedField
from kafka.protocol import decode, decode_request, decode_response, encode, encode_request, encode_response
from tests.trying import try_send_many

ROUNDS = 12 * int(os.environ.get("LEAK_ROUNDS", "1"))
# Immortal from Python 3.12 on, and then of no use here, nor of harm.
SINGLETONS = [None, True, False, 0, 1, -1, "", b"", (), bytes(16)]
RESULTS = [result.Ok, result.Err, DecodeError, EncodeError, UnsupportedField]
# Every message in one version at least, the newest: all the kernel's operations are in there.
NEWEST = [line for lines in messages().values() for line in lines if line.version == lines[-1].version]
CLASSES = [message_class(name) for name in messages()]


def assert_steady(action: Callable[[], object], watched: Sequence[Any] = (), rounds: int = ROUNDS) -> None:
    """Fails when `rounds` more rounds of `action` leave more behind than the first ones did."""
    watched = [*SINGLETONS, *RESULTS, *CLASSES, *watched]
    for _ in range(3):
        action()

    # What leaks does so every time; a thread of an earlier test that comes to its end does it once.
    for _ in range(3):
        grown = growth(action, watched, rounds)
        if not grown:
            return
    raise AssertionError(grown)


def growth(action: Callable[[], object], watched: Sequence[Any], rounds: int) -> dict[str, int]:
    """What `rounds` rounds of `action` have left behind, or taken away."""
    gc.collect()
    references = list(map(sys.getrefcount, watched))
    resident = resident_bytes()
    blocks = sys.getallocatedblocks()
    for _ in range(rounds):
        action()
    gc.collect()
    blocks = sys.getallocatedblocks() - blocks
    resident = resident_bytes() - resident
    # A leak in one of the many paths of an action costs at least one a round; what is kept by chance is kept once.
    grown = {"allocated blocks": blocks} if abs(blocks) >= rounds else {}
    for each, count in zip(watched, references, strict=True):
        if abs(sys.getrefcount(each) - count) >= rounds:
            grown[repr(each)[:60]] = sys.getrefcount(each) - count
    if resident >= 2 << 20:
        grown["resident bytes"] = resident
    return grown


def resident_bytes() -> int:
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:  # not Linux
        return 0


def decoded(line: Line) -> Any:
    return decode(message_class(line.name), line.version, line.data).unwrap()


@pytest.mark.slow
@pytest.mark.timing
def test_decoding():
    data = [line.data for line in NEWEST]

    def action():
        for line in NEWEST:
            assert decode(message_class(line.name), line.version, line.data).is_ok()

    assert_steady(action, data)


@pytest.mark.slow
@pytest.mark.timing
def test_decoding_what_is_cut_short():
    data = [
        (message_class(line.name), line.version, line.data[:end])
        for line in NEWEST
        for end in range(0, len(line.data), 3)
    ]

    def action():
        for cls, version, prefix in data:
            assert not decode(cls, version, prefix).is_ok()

    assert_steady(action, [prefix for _, _, prefix in data[::50]])


@pytest.mark.slow
@pytest.mark.timing
def test_decoding_hostile_bytes():
    def action():
        for line in NEWEST[::3]:
            for offset in range(0, len(line.data), 2):
                for hostile in (b"\x00", b"\xff\xff\xff\xff\x0f", b"\x7f\xff"):
                    data = line.data[:offset] + hostile + line.data[offset + len(hostile) :]
                    decode(message_class(line.name), line.version, data)

    assert_steady(action)


@pytest.mark.slow
@pytest.mark.timing
def test_encoding():
    made = [(decoded(line), line.version) for line in NEWEST]

    def action():
        for message, version in made:
            assert encode(message, version).is_ok()

    assert_steady(action, [message for message, _ in made])


@pytest.mark.slow
@pytest.mark.timing
def test_encoding_what_cannot_be():
    """Each field in turn of a type that nothing has, and a version that lacks the fields."""
    made = [(decoded(line), message_class(line.name).VERSIONS) for line in NEWEST if line.kind == "many"]
    wrong = object()

    def action():
        for message, (low, high) in made:
            encode(message, low)
            encode(message, low, lenient=True)
            for field in message.fields():
                value = getattr(message, field.name)
                setattr(message, field.name, wrong)
                encode(message, high)
                setattr(message, field.name, value)

    assert_steady(action, [wrong, *(message for message, _ in made)])


@pytest.mark.slow
@pytest.mark.timing
def test_json():
    made = [(message_class(line.name), line.version, decoded(line)) for line in NEWEST]

    def action():
        for cls, version, message in made:
            assert cls.from_json(message.to_json(version), version).is_ok()

    assert_steady(action)


@pytest.mark.slow
@pytest.mark.timing
def test_frames():
    requests = [(decoded(line), line.version) for line in NEWEST if line.name.endswith("Request")]
    responses = [(decoded(line), line.version) for line in NEWEST if line.name.endswith("Response")]

    def action():
        for message, version in requests:
            frame = b"".join(encode_request(message, version, 7, "me").unwrap())
            assert decode_request(frame[4:]).is_ok()
            assert not decode_request(frame[4:-1]).is_ok()
        for message, version in responses:
            frame = b"".join(encode_response(message, version, 7).unwrap())
            assert decode_response(type(message), version, frame[4:]).is_ok()
            assert not decode_response(type(message), version, frame[4:-1]).is_ok()

    assert_steady(action, [message for message, _ in requests + responses])


@pytest.mark.timing
def test_large_records_are_given_back():
    """64 MB pass through a process that may keep 2."""
    from kafka.protocol import ProduceRequest

    records = bytes(1 << 20)
    part = ProduceRequest.PartitionProduceData(index=0, records=records)
    topic = ProduceRequest.TopicProduceData(name="t", partition_data=[part])
    request = ProduceRequest(acks=-1, timeout_ms=1, topic_data=[topic])

    def action():
        body = encode(request, 9).unwrap()
        again = decode(ProduceRequest, 9, body).unwrap()
        assert len(again.topic_data[0].partition_data[0].records) == len(records)
        encode_request(request, 9, 1, "me").unwrap()

    assert_steady(action, [records, request, part], rounds=64)


@pytest.mark.timing
def test_sending():
    class Plain:
        def serialize(self, topic, headers, data):
            if data == "wrong":
                raise ValueError(data)
            headers.append(("added", b"x"))
            return data if data is None else data.encode()

        def partition(self, topic, key, key_bytes, value, value_bytes, cluster):
            return 1

    class Producer(ProducerBase):
        def _cluster(self):
            return None

        def _wait(self, unsent):
            raise KafkaError("nobody waits")

    large = bytes(9000)  # it stays where it is
    key, value, many, headers, plain = b"key" * 9, b"value" * 9, [b"v" * 50] * 3, [("h", b"1"), ("n", None)], Plain()
    watched = [key, value, many, headers, plain, *headers, many[0], large]
    options = ({}, {"partitioner": "crc32"}, {"partitioner": "round_robin"}, {"partitioner": plain})

    def action():
        accumulator = Accumulator(ManualHost(), memory=1 << 16, linger=0.0, delivery_timeout=1.0)
        accumulator.set_partition_count("t", 3)
        for producer in [Producer(accumulator, **each) for each in options]:
            for arguments in [
                (value,), (value, key), (None, key), (bytearray(value), memoryview(key), headers, 2, 7), (None,),
                (value, 5), (5,), (value, key, "headers"), (value, key, [("h", 1)]), (value, key, None, "1"),
                (value, key, None, 9), (value, key, None, None, 1.5), (bytes(1 << 21),), (bytes(65000),),
                (bytes(70000),), (large, key), (large, None, headers),
            ]:  # fmt: skip
                with contextlib.suppress(ValueError, TypeError, KafkaError):
                    producer.send("t", *arguments)
                with contextlib.suppress(ValueError, TypeError, KafkaError):
                    producer.send("unknown", *arguments)
            for arguments in [
                (many,), (many, many), (many, [key] * 3, [headers, None, ()], [1, 2, 3], 1), (many, [key] * 2),
                (many, [key, 5, key]), ([value, None],), (many, None, [5, None, None]), (many, None, None, ["1"] * 3),
                ([bytearray(value)] * 3, [memoryview(key)] * 3), ([bytes(30000)] * 4,), ([large, value, large],),
            ]:  # fmt: skip
                with contextlib.suppress(ValueError, TypeError, KafkaError):
                    producer.send_many("t", *arguments)
                found = None
                with contextlib.suppress(ValueError, TypeError, KafkaError):
                    found = try_send_many(producer, "unknown", *arguments)
                if isinstance(found, Unsent):
                    assert found.try_again() is found
                    found.give_up()
        producer = Producer(accumulator, key_serializer=plain, value_serializer=plain, partitioner=plain)
        for arguments in [("v", "k"), ("v",), ("wrong",), ("v", "k", headers.copy())]:
            with contextlib.suppress(ValueError, TypeError, KafkaError):
                producer.send("t", *arguments)
        for arguments in [(["v"] * 3, ["k"] * 3), (["v", "wrong"],), (["v"], None, [headers.copy()])]:
            with contextlib.suppress(ValueError, TypeError, KafkaError):
                producer.send_many("t", *arguments)
        for queue in accumulator.take_ready(0.0):
            while (batch := queue.pull(0.0)) is not None:
                batch.complete(0)
        assert accumulator.waiting == 0

    assert_steady(action, watched)
