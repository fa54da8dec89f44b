"""The kernel against its specification in plain Python: the same bytes, the same objects, the same errors."""

import os
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kafka.protocol
from kafka import _codec_py
from kafka.protocol import decode, encode

from .random_messages import message_versions, random_struct

ALL = message_versions()
NAMES = sorted({name for name, _ in ALL})
FULL = bool(os.environ.get("FULL"))


def same_decode(cls, version, data):
    ours, theirs = decode(cls, version, data), _codec_py.decode(cls, version, data)
    assert ours == theirs, (cls.__name__, version, data.hex())
    return ours


@pytest.mark.parametrize("name", NAMES)
def test_valid_messages(name):
    cls = getattr(kafka.protocol, name)
    source = random.Random(name)
    for version in range(cls.VERSIONS[0], cls.VERSIONS[1] + 1):
        for _ in range(20 if FULL else 3):
            message = random_struct(cls, version, source)
            ours = encode(message, version)
            assert ours == _codec_py.encode(message, version)
            assert same_decode(cls, version, ours.value).value == message


@pytest.mark.parametrize("name", NAMES)
def test_damaged_messages(name):
    """Cut anywhere, any byte overwritten, bytes put in and left out: the same error, path and offset."""
    cls = getattr(kafka.protocol, name)
    source = random.Random(name)
    for version in range(cls.VERSIONS[0], cls.VERSIONS[1] + 1):
        data = encode(random_struct(cls, version, source), version).value
        for _ in range(400 if FULL else 25):
            hurt = bytearray(data)
            for _ in range(source.choice([1, 1, 2])):
                if not hurt:
                    break
                at = source.randrange(len(hurt))
                damage = source.randrange(4)
                if damage == 0:
                    hurt[at] = source.choice([0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)])
                elif damage == 1:
                    del hurt[at:]
                elif damage == 2:
                    hurt[at:at] = source.choice(
                        [b"\xff\xff\xff\xff", b"\x80", b"\xff\xff\xff\xff\x0f", b"\x7f\xff\xff\xff"]
                    )
                else:
                    del hurt[at]
            same_decode(cls, version, bytes(hurt))


@settings(max_examples=2_000 if FULL else 300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(ALL), st.binary(max_size=200))
def test_arbitrary_bytes(which, data):
    cls = getattr(kafka.protocol, which[0])
    same_decode(cls, which[1], data)


@settings(max_examples=1_000 if FULL else 150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(ALL), st.randoms(use_true_random=False))
def test_wrong_values(which, source):
    """Any field given a value of the wrong kind: both refuse it with the same words."""
    cls = getattr(kafka.protocol, which[0])
    message = random_struct(cls, which[1], source)
    target = message
    while True:
        fields = target.fields()
        if not fields:
            return
        field = source.choice(fields)
        value = getattr(target, field.name)
        inner = value if field.struct is not None and value else None
        if inner is None or source.random() < 0.3:
            break
        target = source.choice(inner) if field.array else inner
    setattr(
        target,
        field.name,
        source.choice(
            [
                None,
                "text",
                "x" * 40_000,
                "\ud800",
                -1,
                2**15,
                2**31,
                2**63,
                2**70,
                1.5,
                b"x",
                b"y" * 16,
                [],
                [None],
                ["t"],
                [3],
                (b"z",),
                {},
                object,
                True,
                {1: 2},
            ]
        ),
    )
    assert encode(message, which[1]) == _codec_py.encode(message, which[1])
