"""What the JSON serializers write is what the standard library writes, byte for byte, and so is what they refuse."""

from __future__ import annotations

import collections
import datetime
import enum
import json
import math
import random
import struct
import sys
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kafka import KafkaProducer
from kafka._codec import plain_json
from kafka.errors import KafkaConfigurationError
from kafka.producer.config import ProducerConfig
from kafka.serializer import JsonSerializer
from kafka.serializer.json import CompactJsonSerializer


def reference(data: Any, *, compact: bool) -> Any:
    """The bytes, or the kind of error."""
    try:
        return (
            json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
            if compact
            else json.dumps(data).encode()
        )
    except (TypeError, ValueError, RecursionError) as error:
        return type(error)


def written(data: Any, *, compact: bool) -> Any:
    serializer: Any = CompactJsonSerializer() if compact else JsonSerializer()
    try:
        return serializer.serialize("t", [], data)
    except (TypeError, ValueError, RecursionError) as error:
        return type(error)


def check(data: Any) -> None:
    for compact in (True, False):
        assert written(data, compact=compact) == reference(data, compact=compact)


TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.text('abc"\\\n\x7f é😀', max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(PLAIN.filter(lambda data: data is not None))
@example({"a": [1, 2.5, None, True, False, "x"], "b": {}, "c": [], "d": ()})
@example("\ud800")
@example("a" * 7 + "\ud83d" + "b" * 9)
@example("\U0001f600\uffff\u07ff\u0800\x7f\x80")
def test_any_plain_object(data: Any) -> None:
    check(data)


@pytest.mark.parametrize("place", range(17))
def test_every_character_in_every_place(place: int) -> None:
    for character in [*range(0x180), 0x7FF, 0x800, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF]:
        text = "a" * place + chr(character) + "b" * (16 - place)
        check(text)
        check({text: text})


@pytest.mark.parametrize(
    "number",
    [0, -0.0, 0.0, 1e15, 1e16, -1e16, 1e-4, 1e-5, 1.5e300, 5e-324, sys.float_info.max, math.nan, math.inf, -math.inf,
     2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**70, 10**300, 123456789012345.0, 999999999999999.0, 0.1 + 0.2],
)  # fmt: skip
def test_numbers(number: float) -> None:
    check(number)
    check({"n": [number, -number]})


def test_floats_of_all_bits() -> None:
    chance = random.Random(1)
    for _ in range(20_000):
        check(struct.unpack("d", chance.randbytes(8))[0])
        check(round(chance.uniform(-1e6, 1e6), chance.randrange(6)))


class Colour(enum.IntEnum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


class Named(str):
    __slots__ = ()


def circular() -> Any:
    data: list[Any] = []
    data.append({"me": data})
    return data


def deep(levels: int) -> Any:
    data: Any = 1
    for level in range(levels):
        data = [data] if level % 2 else {"k": data}
    return data


@pytest.mark.parametrize(
    "data",
    [
        {1: "an int"}, {1.5: 0, True: 1, None: 2}, {("a", "b"): 1}, {b"k": 1}, {Named("key"): Named("value")},
        Colour.RED, [Colour.RED], Named('"'), collections.OrderedDict(b=1, a=2), collections.defaultdict(list, a=[1]),
        Point(1, 2), {1, 2}, b"bytes", bytearray(), datetime.date(2020, 1, 1), object(),
        {"a": object()}, circular(), deep(63), deep(64), deep(65), deep(300), "x" * (1 << 20), "é" * ((1 << 20) + 1),
        {"k" * 5000: ["v" * 70_000] * 40},
    ],
    ids=lambda data: type(data).__name__,
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_standard_library(data: Any) -> None:
    check(data)


def test_what_is_plain_is_not_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("json.dumps", None)
    row = {"ts": 1764300000000, "ms": 12.345, "ok": True, "path": "/é/\n", "none": None, "list": [1, -2, (3.0,)]}
    assert CompactJsonSerializer().serialize("t", [], row) == (
        '{"ts":1764300000000,"ms":12.345,"ok":true,"path":"/é/\\n","none":null,"list":[1,-2,[3.0]]}'.encode()
    )
    assert JsonSerializer().serialize("t", [], {"a": ["é", 1]}) == b'{"a": ["\\u00e9", 1]}'
    assert plain_json(object(), compact=True) is None
    with pytest.raises(TypeError):
        CompactJsonSerializer().serialize("t", [], object())  # the None that stands there


def test_none_stays_none_and_encodings_are_those_asked_for() -> None:
    assert CompactJsonSerializer().serialize("t", [], None) is None
    assert JsonSerializer().serialize("t", [], None) is None
    assert JsonSerializer("utf-16-le").serialize("t", [], ["a"]) == '["a"]'.encode("utf-16-le")
    assert JsonSerializer("utf-16-le").deserialize("t", [], '["a"]'.encode("utf-16-le")) == ["a"]


def test_by_name() -> None:
    config = ProducerConfig({"key_serializer": "json", "value_serializer": "json"})
    assert config.key_serializer is not None and config.value_serializer is not None
    assert config.key_serializer.serialize("t", [], {"id": 7, "at": [1, 2]}) == b'{"id":7,"at":[1,2]}'
    assert config.value_serializer.serialize("t", [], "é") == '"é"'.encode()
    for wrong in ("JSON", "yaml", ""):
        with pytest.raises(KafkaConfigurationError, match="or 'json'"):
            KafkaProducer(bootstrap_servers="unused", value_serializer=wrong)  # type: ignore[arg-type]
