"""Kafka's message definitions, read and checked.

The checks are those of Java's generator plus the few that our program format needs; each error
names the file and the field. Everything downstream may rely on them.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codegen.versions import HIGHEST, NONE, Versions

INTEGERS = {"int8": (-(2**7), 2**7 - 1), "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1),
            "int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
SCALARS = {*INTEGERS, "bool", "float64", "uuid", "string", "bytes", "records"}
NULLABLE = {"string", "bytes", "records"}  # and arrays and structs
ENTITY_TYPES = {"topicName": "string", "groupId": "string", "transactionalId": "string",
                "brokerId": "int32", "producerId": "int64"}
MESSAGE_TYPES = {"request", "response", "header", "data", "metadata", "coordinator-key", "coordinator-value"}
# What the base classes of the generated ones have; a field must not be called so.
RESERVED = {"unknown_tags", "error", "errors", "result", "to_json", "from_json"}

# Where another name reads better than Kafka's in snake case.
PYTHON_NAMES = {"RequestApiKey": "api_key", "RequestApiVersion": "api_version"}


class SchemaError(ValueError):
    """A definition that breaks a rule; the text starts with `file:field`."""


@dataclass(frozen=True)
class Field:
    name: str  # as Kafka writes it: TopicId
    python_name: str
    type: str  # without the leading [] of an array
    array: bool
    versions: Versions
    nullable: Versions
    tag: int | None
    ignorable: bool
    default: object  # () for arrays; () for structs too, meaning "its own defaults"
    compact: bool  # False: never in the compact form, whatever the version (the client id of the header)
    entity: str | None

    @property
    def struct(self) -> bool:
        return self.type not in SCALARS


@dataclass
class Struct:
    name: str
    versions: Versions
    fields: list[Field] = field(default_factory=list)


@dataclass
class Message:
    name: str
    kind: str
    api_key: int | None
    listeners: tuple[str, ...]
    versions: Versions
    flexible: Versions
    root: Struct
    structs: list[Struct]  # all nested ones, each once, in the order of their first use


def snake(name: str) -> str:
    """`ThrottleTimeMs` -> `throttle_time_ms`; a Python keyword gets an underscore."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return name + "_" if keyword.iskeyword(name) else name


class _Reader:
    """Reads one file; `where` is the field that an error would be about."""

    def __init__(self, file: str, data: dict[str, Any]) -> None:
        self.file = file
        self.data = data
        self.where = data.get("name", "?")
        self.structs: dict[str, Struct] = {}
        self.common: dict[str, dict[str, Any]] = {}

    def fail(self, reason: str) -> SchemaError:
        return SchemaError(f"{self.file}:{self.where}: {reason}")

    def check(self, holds: bool, reason: str) -> None:
        if not holds:
            raise self.fail(reason)

    def parse_versions(self, text: str) -> Versions:
        try:
            return Versions.parse(text)
        except ValueError as error:
            raise self.fail(str(error)) from None

    def message(self) -> Message | None:
        data = self.data
        kind = str(data.get("type"))
        self.check(kind in MESSAGE_TYPES, f"unknown message type {kind!r}")
        self.check(re.fullmatch(r"[A-Z][A-Za-z0-9]*", data["name"]) is not None, "not a legal name")
        self.check(("apiKey" in data) == (kind in ("request", "response")), "requests and responses have an apiKey")
        self.valid = self.parse_versions(data["validVersions"])
        if not self.valid:
            return None  # retired
        self.check(self.valid.highest != HIGHEST, "validVersions must have an end")
        self.check("flexibleVersions" in data, "flexibleVersions is missing")
        self.flexible = self.parse_versions(data["flexibleVersions"])
        self.check(not self.flexible or self.flexible.highest == HIGHEST, "flexibleVersions must be open-ended")
        for struct in data.get("commonStructs", []):
            self.check(struct["name"] not in self.common, f"struct {struct['name']} is defined twice")
            self.common[struct["name"]] = struct
        root = Struct(data["name"], self.valid)
        self.structs[root.name] = root
        self.fields(root, data.get("fields", []), self.valid)
        unused = set(self.common) - set(self.structs)
        self.check(not unused, f"common structs that nothing uses: {sorted(unused)}")
        return Message(
            data["name"], kind, data.get("apiKey"), tuple(data.get("listeners", ())), self.valid, self.flexible,
            root, list(self.structs.values())[1:],
        )

    def fields(self, struct: Struct, fields: list[dict[str, Any]], versions: Versions) -> None:
        for data in fields:
            self.where = f"{struct.name}.{data.get('name', '?')}"
            struct.fields.append(self.field(data, versions))
        self.where = struct.name
        names = [f.python_name for f in struct.fields]
        self.check(len(set(names)) == len(names), "two fields have the same name")
        tags = sorted(f.tag for f in struct.fields if f.tag is not None)
        self.check(tags == list(range(len(tags))), f"tags are not 0, 1, 2, ...: {tags}")

    def field(self, data: dict[str, Any], enclosing: Versions) -> Field:
        name = data.get("name", "")
        self.check(re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", name) is not None, "not a legal name")
        python_name = PYTHON_NAMES.get(name) or snake(name)
        self.check(python_name not in RESERVED, f"the name {python_name} is taken by the base class")
        declared = data["type"]
        array = declared.startswith("[]")
        type_ = declared[2:] if array else declared
        self.check(type_ in SCALARS or re.fullmatch(r"[A-Z][A-Za-z0-9]*", type_) is not None, f"no type {declared!r}")

        tagged = self.parse_versions(data["taggedVersions"]) if "taggedVersions" in data else NONE
        self.check("versions" in data or bool(tagged), "versions are missing")
        versions = self.parse_versions(data.get("versions", str(tagged)))
        self.check(bool(versions), "versions are empty")
        here = versions & enclosing
        nullable = self.parse_versions(data.get("nullableVersions", "none"))
        self.check(not nullable or array or type_ in NULLABLE or type_ not in SCALARS, f"{declared} cannot be null")
        self.check(not nullable or nullable.highest == HIGHEST or versions.covers(nullable),
                   "nullableVersions go beyond versions")

        tag = int(data["tag"]) if "tag" in data else None
        self.check((tag is None) == (not tagged), "tag and taggedVersions go together")
        if tagged:
            self.check(tagged.highest == HIGHEST, "taggedVersions must be open-ended")
            self.check(versions.covers(tagged) and tagged.covers(here), "a field is tagged in all its versions or none")
            self.check(self.flexible.covers(here), "tagged in versions that are not flexible")
            self.check(type_ != "records", "records cannot be tagged: they are sent without a copy")
        entity = data.get("entityType")
        if entity is not None:
            self.check(ENTITY_TYPES.get(entity) == type_, f"entity type {entity!r} does not fit {declared}")
        compact = "flexibleVersions" not in data
        self.check(compact or (data["flexibleVersions"], type_) == ("none", "string"),
                   "flexibleVersions of a field: only 'none', only for strings")

        if type_ not in SCALARS:
            self.nested(type_, data, here)
        else:
            self.check("fields" not in data, f"{declared} has no fields of its own")
        default = self.default(data, type_, array, nullable)
        return Field(name, python_name, type_, array, here, nullable & here, tag, bool(data.get("ignorable", False)),
                     default, compact, entity)

    def nested(self, name: str, data: dict[str, Any], versions: Versions) -> None:
        outer = self.where
        if name in self.common:
            self.check("fields" not in data, f"struct {name} is defined twice")
            if name not in self.structs:
                common = self.common[name]
                within = self.parse_versions(common["versions"]) & self.valid
                self.structs[name] = struct = Struct(name, within)
                self.fields(struct, common["fields"], within)
        else:
            self.check("fields" in data, f"no type {name!r}")
            self.check(name not in self.structs, f"struct {name} is defined twice")
            self.structs[name] = struct = Struct(name, versions)
            self.fields(struct, data["fields"], versions)
        self.where = outer

    def default(self, data: dict[str, Any], type_: str, array: bool, nullable: Versions) -> object:
        given = data.get("default")
        text = str(given) if given is not None else ""
        if text == "null":
            self.check(bool(nullable), "the default is null, but the field never is")
            return None
        if array or type_ == "bytes" or type_ not in SCALARS:
            self.check(text == "", "arrays, bytes and structs have no default but null")
            return b"" if type_ == "bytes" and not array else ()
        if type_ == "records":
            return None if nullable else b""  # Java: null always, which only a nullable field can send
        if type_ == "string":
            return text
        if type_ == "uuid":
            self.check(text == "", "a uuid has no default of its own")
            return bytes(16)
        if type_ == "bool":
            self.check(text.lower() in ("", "true", "false"), f"{text!r} is not a bool")
            return text.lower() == "true"
        if type_ == "float64":
            return float(text or 0)
        try:
            value = int(text, 0) if text else 0  # 0x7fffffff occurs
        except ValueError:
            raise self.fail(f"{text!r} is not a number") from None
        lowest, highest = INTEGERS[type_]
        self.check(lowest <= value <= highest, f"the default {text} does not fit {type_}")
        return value


def read_message(file: str, data: dict[str, Any]) -> Message | None:
    """The message of one file, or None where it is retired. Raises SchemaError."""
    return _Reader(file, data).message()


def read_all(folder: Path) -> Iterator[Message]:
    """Every live message, by file name."""
    for path in sorted(folder.glob("*.json")):
        if path.name != "errors.json":
            message = read_message(path.name, json.loads(path.read_text()))
            if message is not None:
                yield message
