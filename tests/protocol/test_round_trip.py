"""Every message in every version, there and back."""

import random

import pytest

import kafka.protocol
from kafka.protocol import decode, encode
from kafka.result import Err, Ok

from .random_messages import message_versions, random_struct

ALL = message_versions()


def test_there_are_as_many_as_kafka_has():
    assert len(ALL) == 625
    assert len(kafka.protocol._names.REQUESTS) == 89


@pytest.mark.parametrize("name", sorted({name for name, _ in ALL}))
def test_round_trip(name):
    cls = getattr(kafka.protocol, name)
    source = random.Random(name)
    for version in range(cls.VERSIONS[0], cls.VERSIONS[1] + 1):
        for _ in range(8):
            message = random_struct(cls, version, source)
            data = encode(message, version).unwrap()
            back = decode(cls, version, data)
            assert isinstance(back, Ok), back
            assert back.value == message
            assert encode(back.value, version).unwrap() == data


@pytest.mark.parametrize("name", sorted({name for name, _ in ALL}))
def test_every_prefix_and_every_longer_one_is_an_error(name):
    cls = getattr(kafka.protocol, name)
    source = random.Random(name)
    for version in range(cls.VERSIONS[0], cls.VERSIONS[1] + 1):
        data = encode(random_struct(cls, version, source), version).unwrap()
        for end in range(len(data)):
            result = decode(cls, version, data[:end])
            assert isinstance(result, Err), (version, end)
            assert 0 <= result.error.offset <= end
        result = decode(cls, version, data + b"\0")
        assert isinstance(result, Err) and result.error.reason == "1 bytes are left over"
