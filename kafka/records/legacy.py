"""Message formats v0 and v1, which old brokers keep and old clients write; read only.

A set of messages is (offset int64, length int32, message) one behind the other; a message is CRC-32 of what follows,
magic, attributes, in v1 a timestamp, key, value. A compressed set is the value of a message around it, whose offset is
that of the last message inside. Inside, v0 has the true offsets and v1 has them counted from the first one.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from typing import TYPE_CHECKING, NamedTuple

from kafka._codec import Record

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: The bytes of the smallest message: CRC, magic, attributes, the lengths of a null key and a null value.
MIN_LENGTH = 14

# What a record takes at most beside its key and value, in bytes: itself, its place in a list, two objects of bytes.
_RECORD_MEMORY = 192

_ENTRY = struct.Struct(">qi")
_MESSAGE = struct.Struct(">IBb")
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")
_MOST_OFFSET = 2**63 - 1


class Message(NamedTuple):
    magic: int
    attributes: int
    timestamp: int  # -1 in v0
    key: memoryview | None
    value: memoryview | None


def parse_message(view: memoryview, check_crc: bool) -> Message | str:
    """The message that `view` is, or what is wrong with it."""
    if len(view) < MIN_LENGTH:
        return f"has a message of {len(view)} bytes"
    crc, magic, attributes = _MESSAGE.unpack_from(view)
    if magic > 1:
        return f"has a message of magic {magic} among older ones"
    if check_crc:
        computed = zlib.crc32(view[4:])
        if computed != crc:
            return f"has CRC {crc:#010x} in its header, but its bytes have {computed:#010x}"
    at = 6
    timestamp = -1
    if magic == 1:
        if len(view) < MIN_LENGTH + 8:
            return f"has a message of {len(view)} bytes"
        (timestamp,) = _INT64.unpack_from(view, at)
        at += 8
    fields: list[memoryview | None] = []
    for name in ("key", "value"):
        if len(view) - at < 4:
            return f"has a message that ends before its {name}"
        (length,) = _INT32.unpack_from(view, at)
        at += 4
        if not -1 <= length <= len(view) - at:
            return f"has a message whose {name} has length {length}, {len(view) - at} bytes are left"
        fields.append(None if length < 0 else view[at : at + length])
        at += max(length, 0)
    if at != len(view):
        return f"has a message with {len(view) - at} bytes left over"
    return Message(magic, attributes, timestamp, fields[0], fields[1])


def records(
    magic: int,
    compressed: bool,
    last_offset: int,
    wrapper_timestamp: int,
    timestamp_type: int,
    payload: Buffer,
    memory: int,
) -> list[Record] | str | None:
    """The records of the message that `payload` is, with its offset; or those of the set it was compressed to.

    Or what is wrong; None where they would take more than `memory` bytes beside what they hold. The outer CRC covers
    what is inside, whose own CRCs are not looked at.
    """
    view = memoryview(payload).cast("B")
    entries = _entries(view)
    if isinstance(entries, str):
        return entries
    if not entries:
        return "is a compressed set that holds no message"
    if len(entries) * _RECORD_MEMORY > memory:
        return None
    first = last_offset - _ENTRY.unpack_from(view, entries[-1] - _ENTRY.size)[0] if compressed and magic == 1 else 0
    found = []
    for at in entries:
        offset, length = _ENTRY.unpack_from(view, at - _ENTRY.size)
        message = parse_message(view[at : at + length], False)
        if isinstance(message, str):
            return message
        if message.magic != magic:
            return f"has a message of magic {message.magic} in a set of magic {magic}"
        if compressed and message.attributes & 7:
            return "has a compressed set inside a compressed set"
        if not -_MOST_OFFSET - 1 <= first + offset <= _MOST_OFFSET:
            return f"has a message at offset {first + offset}, which does not fit 64 bits"
        found.append(
            Record(
                first + offset,
                wrapper_timestamp if timestamp_type == 1 else message.timestamp,
                timestamp_type,
                None if message.key is None else bytes(message.key),
                None if message.value is None else bytes(message.value),
            )
        )
    return found


def _entries(view: memoryview) -> array[int] | str:
    """Where each message of a set starts, behind its offset and length; or what is wrong."""
    starts = array("q")
    at = 0
    while at < len(view):
        if len(view) - at < _ENTRY.size:
            return "has a message whose header is cut short"
        _, length = _ENTRY.unpack_from(view, at)
        at += _ENTRY.size
        if not MIN_LENGTH <= length <= len(view) - at:
            return f"has a message of length {length}, {len(view) - at} bytes are left"
        starts.append(at)
        at += length
    return starts


def mend_lz4_header(frame: memoryview) -> memoryview:
    """The LZ4 frame of a v0 message with the header checksum that it should have.

    Java's clients computed it over the wrong bytes before format v1 (KIP-57).
    """
    if len(frame) < 7 or bytes(frame[:4]) != b"\x04\x22\x4d\x18":
        return frame
    end = 6 + (8 if frame[4] & 0x08 else 0) + (4 if frame[4] & 0x01 else 0)
    if len(frame) <= end:
        return frame
    mended = bytearray(frame)
    mended[end] = (_xxh32(mended[4:end]) >> 8) & 0xFF
    return memoryview(mended)


def _xxh32(data: bytes | bytearray) -> int:
    """xxHash32 with seed 0 of fewer than 16 bytes."""
    mask = 0xFFFFFFFF
    value = (374761393 + len(data)) & mask
    at = 0
    while at + 4 <= len(data):
        value = (value + int.from_bytes(data[at : at + 4], "little") * 3266489917) & mask
        value = (((value << 17) | (value >> 15)) & mask) * 668265263 & mask
        at += 4
    for byte in data[at:]:
        value = (value + byte * 374761393) & mask
        value = (((value << 11) | (value >> 21)) & mask) * 2654435761 & mask
    value = (value ^ (value >> 15)) * 2246822519 & mask
    value = (value ^ (value >> 13)) * 3266489917 & mask
    return value ^ (value >> 16)
