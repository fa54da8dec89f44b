"""Reads messages.tsv.xz and fields.tsv.xz, what Kafka's own classes wrote (see make.py)."""

from __future__ import annotations

import collections
import json
import lzma
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import kafka.protocol


class Line(NamedTuple):
    """One message: `json` as Java's JsonConverter prints it, `data` as Java writes it.

    `kind` says what values it has: "one" (arrays of one element, nothing at its default), "many", "sparse" (nulls,
    empty arrays and strings, extreme numbers), "unknown" (as "one", with tags that the schema does not know).
    """

    name: str
    version: int
    kind: str
    json: Any
    data: bytes


def message_class(name: str) -> Any:
    return getattr(kafka.protocol, name)


class FieldLine(NamedTuple):
    """A message at its defaults but for one field, and what Java makes of it in every version.

    `outcomes`: version -> the bytes, or "unsupported" or "null" where Java refuses. `json` is of `json_version`.
    """

    name: str
    path: str
    json_version: int
    json: Any
    outcomes: dict[int, bytes | str]


def prefix(name: str, version: int) -> bytes:
    """What precedes a message on the wire: its version, for a few. Java writes and reads it apart from the message."""
    return struct.pack(">h", version) if message_class(name).PREFIXED else b""


@cache
def messages() -> dict[str, list[Line]]:
    found = collections.defaultdict(list)
    for name, version, kind, text, data in _lines("messages.tsv.xz"):
        wire = prefix(name, int(version)) + bytes.fromhex(data)
        found[name].append(Line(name, int(version), kind, json.loads(text), wire))
    return dict(found)


@cache
def fields() -> dict[str, list[FieldLine]]:
    found = collections.defaultdict(list)
    for name, path, json_version, text, *outcomes in _lines("fields.tsv.xz"):
        by_version: dict[int, bytes | str] = {}
        for version, outcome in (each.split("=") for each in outcomes):
            refused = outcome.startswith("!")
            wire = outcome[1:] if refused else prefix(name, int(version)) + bytes.fromhex(outcome)
            by_version[int(version)] = wire
        found[name].append(FieldLine(name, path, int(json_version), json.loads(text), by_version))
    return dict(found)


def _lines(file_name: str) -> Iterator[list[str]]:
    with lzma.open(Path(__file__).with_name(file_name), "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.rstrip("\n").split("\t")
