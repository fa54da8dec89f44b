"""Feeds the codec what costs the most memory, and reports the worst of it. Run by test_hostile.py;
its argument N makes it take every Nth message only.

Two kinds of input: lengths that promise much (followed by as many bytes as they say, or by few), and valid messages
that are all small elements, where an object in memory stands for a byte or two of input.

Two guards: tracemalloc counts what Python's allocators hand out (the codec has no other), and the address space of the
process is limited to what one input may cost, so that whatever goes past Python's allocators fails too.

Prints JSON: how many inputs, how many of them decoded, and the worst of them. Ends with an error when `decode` raises
or the process runs out of memory.
"""

from __future__ import annotations

import gc
import itertools
import json
import resource
import struct
import sys
import tracemalloc

from golden.corpus import message_class, messages

from kafka.protocol import decode, encode
from kafka.protocol._program import ZERO

PER_BYTE, FREE = 200, 1 << 20
BIG = 100_000
# What the greatest input may cost, and room for the arenas and heaps that Python and malloc take from the system.
LIMIT = PER_BYTE * BIG + FREE + (24 << 20)


def main() -> None:
    every = int(sys.argv[1])
    lines = [line for name in list(messages())[::every] for line in lines_to_attack(name)]
    for line in lines:
        decode(message_class(line.name), line.version, line.data).unwrap()
    gc.collect()
    gc.freeze()
    report = {"inputs": 0, "decoded": 0, "worst": {"bytes_per_input_byte": 0.0}}
    for line in lines:
        cls = message_class(line.name)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        crowded = list(crowds(cls, line.version))
        resource.setrlimit(resource.RLIMIT_AS, (address_space() + LIMIT, resource.RLIM_INFINITY))
        tracemalloc.start()
        for what, data in itertools.chain(attacks(line.data), crowded):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            result = decode(cls, line.version, data)
            peak = tracemalloc.get_traced_memory()[1] - before
            report["inputs"] += 1
            report["decoded"] += result.is_ok()
            ratio = max(0, peak - FREE) / len(data)
            if ratio > report["worst"]["bytes_per_input_byte"]:
                report["worst"] = {
                    "bytes_per_input_byte": ratio,
                    "message": line.name,
                    "version": line.version,
                    "attack": what,
                    "peak": peak,
                    "input": len(data),
                }
            del result
        tracemalloc.stop()
    json.dump(report, sys.stdout)


def lines_to_attack(name: str):
    """The newest version, and the newest that has the lengths of before the flexible versions."""
    cls = message_class(name)
    newest = {cls.VERSIONS[1], (cls.FLEXIBLE or 0) - 1}
    return [line for line in messages()[name] if line.kind == "one" and line.version in newest]


def attacks(data: bytes):
    """A length in the place of each field, with as many bytes after it as it says or far fewer."""
    for offset in range(len(data)):
        head = data[:offset]
        yield f"compact {BIG} at {offset}", head + uvarint(BIG + 1) + b"\x02" * BIG
        yield f"int32 {BIG} at {offset}", head + struct.pack(">i", BIG) + bytes(BIG)
        yield f"compact 2^31-2 at {offset}", head + uvarint(2**31 - 1) + bytes(64)
        yield f"int32 2^31-1 at {offset}", head + struct.pack(">i", 2**31 - 1) + bytes(64)


def crowds(cls, version: int):
    """Messages of nothing but elements at their defaults in one array, for each array; and one of unknown tags."""
    for path in arrays(cls, version, ()):
        one = encode(crowd(cls, path, 1), version)
        two = encode(crowd(cls, path, 2), version)
        if one.is_ok() and two.is_ok():
            count = BIG // (len(two.value) - len(one.value))
            where = ".".join(field.name for field in path)
            yield f"{count} x {where}", encode(crowd(cls, path, count), version).unwrap()
    if cls.FLEXIBLE is not None and version >= cls.FLEXIBLE:
        message = cls()
        message.unknown_tags = dict.fromkeys(range(100, 100 + BIG // 4), b"")
        data = encode(message, version)
        if data.is_ok():
            yield "unknown tags", data.value


def arrays(cls, version: int, above: tuple):
    for field in cls.fields():
        if field.versions[0] <= version <= field.versions[1]:
            if field.array:
                yield (*above, field)
            if field.struct is not None:
                yield from arrays(field.struct, version, (*above, field))


def crowd(cls, path: tuple, count: int):
    made = cls()
    field, *below = path
    if below:
        inner = crowd(field.struct, tuple(below), count)
        setattr(made, field.name, [inner] if field.array else inner)
    else:
        element = field.struct() if field.struct is not None else ZERO.get(field.type, 0)
        setattr(made, field.name, [element] * count)
    return made


def uvarint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def address_space() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main()
