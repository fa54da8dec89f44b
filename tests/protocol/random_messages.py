"""Random valid messages, for round trips and for comparing the two implementations."""

from __future__ import annotations

import random
from typing import Any

import kafka.protocol
from kafka.protocol._program import FieldSpec

RANGES = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}


def message_versions() -> list[tuple[str, int]]:
    """(name, version) of every message there is."""
    found = []
    for name in kafka.protocol._names.MODULES:
        lowest, highest = getattr(kafka.protocol, name).VERSIONS
        found += [(name, version) for version in range(lowest, highest + 1)]
    return found


def struct_classes() -> list[Any]:
    """Every message class and every struct class inside one."""
    found = []
    for name in kafka.protocol._names.MODULES:
        cls = getattr(kafka.protocol, name)
        found.append(cls)
        found += [
            value for key, value in vars(cls).items() if isinstance(value, type) and key not in ("REQUEST", "RESPONSE")
        ]
    return found


def includes(versions: tuple[int, int], version: int) -> bool:
    return versions[0] <= version <= versions[1]


def scalar(field: FieldSpec, version: int, source: random.Random, unknown_tags: bool) -> Any:
    kind = field.type
    if field.struct is not None:
        return random_struct(field.struct, version, source, unknown_tags)
    if kind in RANGES:
        lowest, highest = RANGES[kind]
        return source.choice([0, 1, lowest, highest, source.randint(lowest, highest)])
    if kind == "bool":
        return source.random() < 0.5
    if kind == "float64":
        return source.choice([0.0, -1.5, source.random(), float("inf")])
    if kind == "uuid":
        return source.randbytes(16)
    if kind == "string":
        return "".join(source.choices("abcXYZ0-_.äß€𝄞", k=source.choice([0, 1, 5, 140])))
    return source.randbytes(source.choice([0, 1, 5, 150]))


def random_struct(cls: Any, version: int, source: random.Random, unknown_tags: bool = True) -> Any:
    """An object with random values in every field that the version has, tagged ones half of the time."""
    struct = cls()
    message = getattr(kafka.protocol, cls.__qualname__.split(".")[0])
    for field in cls.fields():
        if not includes(field.versions, version) or (field.tag is not None and source.random() < 0.5):
            continue
        if includes(field.nullable, version) and source.random() < 0.25:
            value = None
        elif field.array:
            value = tuple(scalar(field, version, source, unknown_tags) for _ in range(source.choice([0, 1, 2])))
        else:
            value = scalar(field, version, source, unknown_tags)
        setattr(struct, field.name, value)
    flexible = message.FLEXIBLE is not None and version >= message.FLEXIBLE
    if unknown_tags and flexible and source.random() < 0.1:
        struct.unknown_tags = {source.choice([40, 200, 2**31 - 1]): source.randbytes(source.choice([0, 3, 130]))}
    return struct
