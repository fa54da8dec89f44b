"""Messages as JSON, in the names and forms of Java's JsonConverter classes.

Bytes and records are base64, a uuid is base64 for URLs without padding, null is null; tagged fields
at their default and fields that the version does not have are left out. Unknown tags have no form.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from kafka._codec import encode
from kafka.errors import DecodeError
from kafka.protocol._message import Message, Struct
from kafka.protocol._program import FieldSpec
from kafka.result import Err, Ok, Result

INTEGERS = {"int8": (-(2**7), 2**7 - 1), "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1),
            "int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def to_json(message: Message, version: int) -> dict[str, Any]:
    encode(message, version).unwrap()  # whatever cannot be sent cannot be shown: the same errors
    return _struct_to_json(message, version)


def _struct_to_json(struct: Struct, version: int) -> dict[str, Any]:
    shown = {}
    for field in struct.fields():
        value = getattr(struct, field.name)
        if not field.versions[0] <= version <= field.versions[1] or (field.tag is not None and field.is_default(value)):
            continue
        if value is not None and field.array:
            shown[field.json_name] = [_to_json(field, element, version) for element in value]
        else:
            shown[field.json_name] = _to_json(field, value, version)
    return shown


def _to_json(field: FieldSpec, value: Any, version: int) -> Any:
    if value is None:
        return None
    if field.struct is not None:
        return _struct_to_json(value, version)
    if field.type == "uuid":
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    if field.type in ("bytes", "records"):
        return base64.b64encode(value).decode()
    if field.type == "bool":
        return bool(value)
    return value


class _Bad(Exception):
    """Why the JSON is no message; the path grows on the way out."""

    def __init__(self, reason: str) -> None:
        self.path = ""
        self.reason = reason


def from_json(cls: type[Any], data: Any, version: int) -> Result[Any, DecodeError]:
    lowest, highest = cls.VERSIONS
    if not lowest <= version <= highest:
        return Err(DecodeError(cls.__name__, version, "", -1, f"there are versions {lowest} to {highest}"))
    try:
        return Ok(_struct_from_json(cls, data, version))
    except _Bad as bad:
        return Err(DecodeError(cls.__name__, version, bad.path.lstrip("."), -1, bad.reason))


def _struct_from_json(cls: type[Struct], data: Any, version: int) -> Any:
    if not isinstance(data, dict):
        raise _Bad(f"needs an object, not {type(data).__name__}")
    struct: Any = cls()
    left = dict(data)
    for field in cls.fields():
        present = field.versions[0] <= version <= field.versions[1]
        if field.json_name not in left:
            if present and field.tag is None:
                raise _Bad(f"lacks {field.json_name}")
            continue
        value = left.pop(field.json_name)
        try:
            if not present:
                raise _Bad("this version has no such field")
            setattr(struct, field.name, _field_from_json(field, value, version))
        except _Bad as bad:
            bad.path = f".{field.json_name}{bad.path}"
            raise
    if left:
        raise _Bad(f"has unknown fields: {', '.join(sorted(map(str, left)))}")
    return struct


def _field_from_json(field: FieldSpec, value: Any, version: int) -> Any:
    if value is None:
        if not field.nullable[0] <= version <= field.nullable[1]:
            raise _Bad("is null, which this version does not allow")
        return None
    if not field.array:
        return _from_json(field, value, version)
    if not isinstance(value, (list, tuple)):
        raise _Bad(f"needs an array, not {type(value).__name__}")
    elements = []
    for index, element in enumerate(value):
        try:
            elements.append(_from_json(field, element, version))
        except _Bad as bad:
            bad.path = f"[{index}]{bad.path}"
            raise
    return tuple(elements)


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python writes no int of more than 4,300 digits
        return f"an {type(value).__name__} of too many digits"


def _from_json(field: FieldSpec, value: Any, version: int) -> Any:
    if field.struct is not None:
        return _struct_from_json(field.struct, value, version)
    kind = field.type
    if kind in INTEGERS:
        lowest, highest = INTEGERS[kind]
        if type(value) is not int or not lowest <= value <= highest:
            raise _Bad(f"needs an {kind}, not {_shown(value)}")
        return value
    if kind == "bool":
        if type(value) is not bool:
            raise _Bad(f"needs true or false, not {_shown(value)}")
        return value
    if kind == "float64":
        if type(value) not in (int, float):
            raise _Bad(f"needs a number, not {_shown(value)}")
        try:
            return float(value)
        except OverflowError:
            raise _Bad("needs a number that fits 64 bits of floating point") from None
    if not isinstance(value, str):
        raise _Bad(f"needs a string, not {type(value).__name__}")
    if kind == "string":
        return value
    try:
        if kind == "uuid":
            raw = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
        else:
            raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _Bad("is not valid base64") from None
    if kind == "uuid" and len(raw) != 16:
        raise _Bad(f"needs 16 bytes, not {len(raw)}")
    return raw
