"""The codec under attack: whatever the bytes say, `decode` answers Ok or Err, and its memory is bounded by the input.

The attacks start from valid messages (those that Java wrote) and break them at every offset.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from golden.corpus import message_class, messages

from kafka.errors import DecodeError
from kafka.protocol import ApiVersionsResponse, decode, encode
from kafka.result import Err, Ok

# What a length field may be made to say: -1, -2, the greatest of 16 and 32 bits, varints of those and of more than
# 32 bits, one too many.
LENGTHS = [
    b"\xff\xff",
    b"\xff\xfe",
    b"\x7f\xff",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xfe",
    b"\x7f\xff\xff\xff",
    b"\x00\xff\xff\xff",
    b"\x80\x80\x01",
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x80\x80\x80\x00",
    b"\x00",
]
each_message = pytest.mark.parametrize("name", messages())


def lines_of(name, *kinds):
    return [line for line in messages()[name] if line.kind in kinds]


@each_message
def test_every_prefix_is_an_error(name):
    for line in lines_of(name, "one", "sparse", "unknown"):
        for length in range(len(line.data)):
            result = decode(message_class(name), line.version, line.data[:length])
            assert isinstance(result, Err), (line, length)
            assert isinstance(result.error, DecodeError)
            assert 0 <= result.error.offset <= length, (line, length)


@each_message
def test_bytes_left_over_are_an_error(name):
    for line in messages()[name]:
        for garbage in (b"\x00", b"\xff" * 9):
            assert isinstance(decode(message_class(name), line.version, line.data + garbage), Err), line


@pytest.mark.slow
@each_message
def test_a_hostile_length_anywhere_gives_a_result(name):
    """What still decodes must encode, and to bytes that say the same."""
    for line in lines_of(name, "one", "unknown"):
        for offset in range(len(line.data)):
            for length in LENGTHS:
                data = line.data[:offset] + length + line.data[offset + len(length) :]
                result = decode(message_class(name), line.version, data)
                if isinstance(result, Ok):
                    # By the bytes: what was made a NaN is not equal to itself.
                    again = encode(result.value, line.version).unwrap()
                    twice = decode(message_class(name), line.version, again).unwrap()
                    assert encode(twice, line.version).unwrap() == again, (line, offset, length)
                else:
                    assert isinstance(result.error, DecodeError), (line, offset, length)


@pytest.mark.slow
@each_message
def test_every_byte_flipped_gives_a_result(name):
    for line in lines_of(name, "many"):
        for offset in range(len(line.data)):
            for mask in (0x01, 0x80, 0xFF):
                data = bytearray(line.data)
                data[offset] ^= mask
                result = decode(message_class(name), line.version, data)
                assert isinstance(result, Ok) or isinstance(result.error, DecodeError), (line, offset, mask)


def test_a_tagged_field_fills_its_size_exactly():
    """A size that leaves bytes over, or is too small, within a message that is otherwise whole."""
    message = ApiVersionsResponse(finalized_features_epoch=5)
    data = encode(message, 4).unwrap()
    field = b"\x01\x08" + bytes(7) + b"\x05"
    assert data.count(field) == 1
    for wrong in (b"\x01\x09" + bytes(7) + b"\x05\x00", b"\x01\x07" + bytes(6) + b"\x05"):
        assert isinstance(decode(ApiVersionsResponse, 4, data.replace(field, wrong)), Err)


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space reliably")
@pytest.mark.parametrize(
    "every", [pytest.param(9, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.full)], ids=["some", "all"]
)
def test_memory_is_bounded_by_the_input(every):
    """At most 200 bytes per input byte and 1 MB, in a process that cannot get much more."""
    attack = Path(__file__).with_name("attack_memory.py")
    path = os.pathsep.join([str(attack.parent.parent), str(attack.parent.parent.parent)])
    command = [sys.executable, attack, str(every)]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["inputs"] > 30_000 / every
    assert report["decoded"] > 300 / every, "the crowds are messages"
    assert report["worst"]["bytes_per_input_byte"] <= 200, report
