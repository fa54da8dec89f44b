"""Our codec against Java's: the bytes and the JSON that Kafka's own classes wrote (see make.py)."""

from __future__ import annotations

from typing import Any

import pytest
from golden.corpus import fields, message_class, messages

from kafka.errors import EncodeError, UnsupportedField
from kafka.protocol import decode, encode

# Java's JsonConverter leaves the bytes of records out: it prints "".
RECORDS = ("records", "unalignedRecords")


GOLDEN = messages()
each_message = pytest.mark.parametrize("name", GOLDEN)


def without_records(value: Any) -> Any:
    """`value` as Java's JsonConverter prints it: the bytes of records left out."""
    if isinstance(value, list):
        return [without_records(each) for each in value]
    if isinstance(value, dict):
        return {
            key: "" if key in RECORDS and isinstance(each, str) else without_records(each)
            for key, each in value.items()
        }
    return value


def has_records(value: Any) -> bool:
    if isinstance(value, list):
        return any(has_records(each) for each in value)
    return isinstance(value, dict) and any(
        (key in RECORDS and isinstance(each, str)) or has_records(each) for key, each in value.items()
    )


def test_every_message_and_version_is_there():
    assert len(GOLDEN) == 190
    for name, lines in GOLDEN.items():
        low, high = message_class(name).VERSIONS
        assert {line.version for line in lines} == set(range(low, high + 1)), name
        for version in range(low, high + 1):
            assert sum(line.version == version for line in lines) >= 3, (name, version)


@each_message
def test_bytes_of_java_decode_to_what_java_prints(name):
    for line in GOLDEN[name]:
        message = decode(message_class(name), line.version, line.data).unwrap()
        assert without_records(message.to_json(line.version)) == line.json, line


@each_message
def test_bytes_of_java_come_back_exactly(name):
    for line in GOLDEN[name]:
        message = decode(message_class(name), line.version, line.data).unwrap()
        assert encode(message, line.version).unwrap() == line.data, line


@each_message
def test_json_of_java_gives_the_message_of_its_bytes(name):
    """But for what Java's JSON leaves out: records and unknown tags."""
    for line in GOLDEN[name]:
        if line.kind == "unknown" or has_records(line.json):
            continue
        from_json = message_class(name).from_json(line.json, line.version).unwrap()
        assert from_json == decode(message_class(name), line.version, line.data).unwrap(), line
        assert encode(from_json, line.version).unwrap() == line.data, line


@each_message
def test_our_json_comes_back_exactly(name):
    """Ours has the records; unknown tags are not in it."""
    for line in GOLDEN[name]:
        if line.kind != "unknown":
            message = decode(message_class(name), line.version, line.data).unwrap()
            again = message_class(name).from_json(message.to_json(line.version), line.version).unwrap()
            assert encode(again, line.version).unwrap() == line.data, line


@each_message
def test_unknown_tags_are_kept_apart_from_the_known_fields(name):
    for line in GOLDEN[name]:
        if line.kind == "unknown":
            message = decode(message_class(name), line.version, line.data).unwrap()
            assert message.unknown_tags, line
            stripped = message_class(name).from_json(message.to_json(line.version), line.version).unwrap()
            assert len(encode(stripped, line.version).unwrap()) < len(line.data), line


@each_message
def test_each_field_in_each_version_as_java(name):
    """What a version does not have is dropped or refused, what is null is written or refused, as in Java."""
    for line in fields()[name]:
        if line.path.split(".")[-1] in ("records", "unaligned_records"):
            continue  # Java's JSON leaves them out
        message = message_class(name).from_json(line.json, line.json_version).unwrap()
        for version, outcome in line.outcomes.items():
            result = encode(message, version)
            if isinstance(outcome, bytes):
                assert result.unwrap() == outcome, (line, version)
            elif outcome == "unsupported":
                assert isinstance(result.error, UnsupportedField), (line, version)
                assert result.error.version == version
            else:
                assert isinstance(result.error, EncodeError), (line, version)
                assert not isinstance(result.error, UnsupportedField)
