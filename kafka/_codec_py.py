"""The protocol in plain Python: what the kernel in `_codec` has to do, written to be read.

An interpreter of the same programs (`kafka/protocol/_program.py`). It is the specification and the
oracle of the kernel; nothing but tests uses it, and it is some twenty times slower.
"""

from __future__ import annotations

import struct
from typing import Any

from kafka.errors import DecodeError, EncodeError, UnsupportedField
from kafka.protocol._message import Message, Struct
from kafka.protocol._program import FieldSpec
from kafka.result import Err, Ok, Result

FORMATS = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "int64": ">q", "float64": ">d"}
LONGEST_STRING = 0x7FFF


class _Bad(Exception):
    """Input or a value that cannot be; the path grows on the way out."""

    def __init__(self, reason: str, offset: int = 0, unsupported: bool = False, value: Any = None) -> None:
        self.path = ""
        self.reason = reason
        self.offset = offset
        self.unsupported = unsupported
        self.value = value

    def within(self, piece: str | int) -> _Bad:
        self.path = f"[{piece}]{self.path}" if isinstance(piece, int) else f".{piece}{self.path}"
        return self


def _includes(versions: tuple[int, int], version: int) -> bool:
    return versions[0] <= version <= versions[1]


def _flexible(cls: type[Message], version: int) -> bool:
    return cls.FLEXIBLE is not None and version >= cls.FLEXIBLE


# Decoding ---------------------------------------------------------------------------------------


class _Reader:
    def __init__(self, data: bytes, version: int, flexible: bool) -> None:
        self.data = data
        self.at = 0
        self.end = len(data)
        self.version = version
        self.flexible = flexible

    def take(self, size: int) -> bytes:
        left = self.end - self.at
        if size > left:
            raise _Bad(f"needs {size} byte{'' if size == 1 else 's'}, {left} left", self.at)
        self.at += size
        return self.data[self.at - size : self.at]

    def uvarint(self) -> int:
        start, value = self.at, 0
        for shift in range(0, 35, 7):
            if self.at == self.end:
                left = self.end - start
                self.at = start
                raise _Bad(f"needs another byte of a varint, {left} left" if left else "needs 1 byte, 0 left", start)
            byte = self.take(1)[0]
            if shift == 28 and byte > 0x0F:
                break
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        self.at = start
        raise _Bad("a varint that does not fit 32 bits", start)

    def size(self, compact: bool, format_: str, nullable: bool) -> int:
        """A length; -1 for null where null may be."""
        start = self.at
        size = self.uvarint() - 1 if compact else struct.unpack(format_, self.take(struct.calcsize(format_)))[0]
        if size < -1 or (size == -1 and not nullable):
            where = self.at - 1 if compact else start
            reason = "is null, which this version does not allow" if size == -1 else f"has the length {size}"
            raise _Bad(reason, where)
        return int(size)

    def struct(self, cls: type[Struct]) -> Any:
        target: Any = cls()
        known = {}
        for field in cls.fields():
            if not _includes(field.versions, self.version):
                continue
            if field.tag is not None:
                known[field.tag] = field
                continue
            try:
                setattr(target, field.name, self.value(field))
            except _Bad as bad:
                raise bad.within(field.name) from None
        if self.flexible:
            self.tags(target, known)
        return target

    def tags(self, target: Any, known: dict[int, FieldSpec]) -> None:
        unknown = {}
        count = self.uvarint()
        if count > (self.end - self.at) // 2:
            left = self.end - self.at
            raise _Bad(f"{count} tagged fields of at least 2 bytes each, {left} left", self.at)
        last = -1
        for _ in range(count):
            tag = self.uvarint()
            if tag <= last:
                raise _Bad(f"tag {tag} comes after tag {last}", self.at)
            last = tag
            size = self.uvarint()
            left = self.end - self.at
            if size > left:
                raise _Bad(f"needs {size} byte{'' if size == 1 else 's'}, {left} left", self.at)
            if tag not in known:
                unknown[tag] = self.take(size)
                continue
            end, self.end = self.end, self.at + size
            try:
                setattr(target, known[tag].name, self.value(known[tag]))
                if self.at != self.end:
                    raise _Bad(f"{self.end - self.at} bytes of the tagged field are left over", self.at)
            except _Bad as bad:
                raise bad.within(known[tag].name) from None
            self.end = end
        target.unknown_tags = unknown or None

    def value(self, field: FieldSpec) -> Any:
        compact = self.flexible and not field.plain
        nullable = _includes(field.nullable, self.version)
        if field.array:
            count = self.size(compact, ">i", nullable)
            if count < 0:
                return None
            if count > self.end - self.at:
                raise _Bad(f"{count} elements, {self.end - self.at} bytes left", self.at)
            elements = []
            for index in range(count):
                try:
                    elements.append(self.scalar(field, compact, False))
                except _Bad as bad:
                    raise bad.within(index) from None
            return tuple(elements)
        if field.struct is not None and nullable:
            marker = self.uvarint() if field.tag is not None else struct.unpack(">b", self.take(1))[0] + 1
            if not marker > 0:
                return None
        return self.scalar(field, compact, nullable)

    def scalar(self, field: FieldSpec, compact: bool, nullable: bool) -> Any:
        kind = field.type
        if field.struct is not None:
            return self.struct(field.struct)
        if kind in FORMATS:
            return struct.unpack(FORMATS[kind], self.take(struct.calcsize(FORMATS[kind])))[0]
        if kind == "bool":
            return self.take(1) != b"\0"
        if kind == "uuid":
            return self.take(16)
        size = self.size(compact, ">h" if kind == "string" else ">i", nullable)
        if size < 0:
            return None
        if kind != "string":
            raw = self.take(size)
            return memoryview(raw) if kind == "records" else raw
        if size > LONGEST_STRING:
            raise _Bad(f"a string of {size} bytes; {LONGEST_STRING} is the most", self.at)
        start = self.at
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise _Bad("is not valid UTF-8", start) from None


def decode(cls: type[Any], version: int | None, data: Any) -> Result[Any, DecodeError]:
    """As `kafka.protocol.decode`."""
    data = bytes(data)
    newer = False
    start = 0
    if cls.PREFIXED:
        if len(data) < 2:
            reason = f"needs 2 bytes, {len(data)} left"
            return Err(DecodeError(cls.__name__, -1 if version is None else version, "", 0, reason))
        wire = struct.unpack_from(">h", data)[0]
        if version is not None and wire != version:
            return Err(DecodeError(cls.__name__, version, "", 0, f"the version in front is {wire}"))
        version = min(wire, cls.VERSIONS[1])
        newer = wire > version
        start = 2
    assert version is not None
    if not _includes(cls.VERSIONS, version):
        return Err(DecodeError(cls.__name__, version, "", 0, "there are versions {} to {}".format(*cls.VERSIONS)))
    reader = _Reader(data, version, _flexible(cls, version))
    reader.at = start
    try:
        message = reader.struct(cls)
        if reader.at != reader.end and not newer:
            raise _Bad(f"{reader.end - reader.at} bytes are left over", reader.at)
        return Ok(message)
    except _Bad as bad:
        return Err(DecodeError(cls.__name__, version, bad.path.lstrip("."), bad.offset, bad.reason))


# Encoding ---------------------------------------------------------------------------------------


def _uvarint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Writer:
    def __init__(self, version: int, flexible: bool) -> None:
        self.version = version
        self.flexible = flexible

    def size(self, compact: bool, format_: str, size: int) -> bytes:
        return _uvarint(size + 1) if compact else struct.pack(format_, size)

    def struct(self, target: Any, cls: type[Struct]) -> bytes:
        if not isinstance(target, cls):
            raise _Bad(f"needs a {cls.__name__}, not {_shown(target)}")
        out = b""
        tagged: dict[int, bytes] = {}
        fields = cls.fields()
        present = [field for field in fields if _includes(field.versions, self.version)]
        for field in present:
            if field.tag is None:
                out += self.field(target, field)
        for field in fields:
            value = getattr(target, field.name)
            if field not in present and not field.ignorable and not field.is_default(value):
                raise _Bad("", unsupported=True, value=value).within(field.name)
        for field in present:
            if field.tag is not None and not field.is_default(getattr(target, field.name)):
                tagged[field.tag] = self.field(target, field)
        unknown = target.unknown_tags or {}
        if not self.flexible:
            if unknown:
                raise _Bad("", unsupported=True, value=unknown).within("unknown_tags")
            return out
        for tag in sorted(unknown):
            if any(field.tag == tag and _includes(field.versions, self.version) for field in cls.fields()):
                raise _Bad(f"has tag {tag}, which is a field of its own").within("unknown_tags")
            tagged[tag] = unknown[tag]
        out += _uvarint(len(tagged))
        for tag in sorted(tagged):
            out += _uvarint(tag) + _uvarint(len(tagged[tag])) + tagged[tag]
        return out

    def field(self, target: Any, field: FieldSpec) -> bytes:
        try:
            return self.value(field, getattr(target, field.name))
        except AttributeError:
            raise _Bad("is not set").within(field.name) from None
        except _Bad as bad:
            raise bad.within(field.name) from None

    def value(self, field: FieldSpec, value: Any) -> bytes:
        compact = self.flexible and not field.plain
        nullable = _includes(field.nullable, self.version)
        if value is None:
            if not nullable:
                raise _Bad("cannot be null in this version")
            if field.struct is not None and not field.array:
                return b"\0" if field.tag is not None else b"\xff"
            return self.size(compact, ">h" if field.type == "string" and not field.array else ">i", -1)
        if field.array:
            if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
                raise _Bad(f"needs a sequence, not {_shown(value)}")
            elements = list(value)
            out = self.size(compact, ">i", len(elements))
            for index, element in enumerate(elements):
                try:
                    if element is None:
                        raise _Bad("cannot be null")
                    out += self.scalar(field, element, compact)
                except _Bad as bad:
                    raise bad.within(index) from None
            return out
        marker = b"\1" if field.struct is not None and nullable else b""
        return marker + self.scalar(field, value, compact)

    def scalar(self, field: FieldSpec, value: Any, compact: bool) -> bytes:
        kind = field.type
        if field.struct is not None:
            return self.struct(value, field.struct)
        if kind == "float64":
            if not isinstance(value, (int, float)):
                raise _Bad(f"needs a float, not {_shown(value)}")
            try:
                return struct.pack(">d", value)
            except OverflowError:
                raise _Bad(f"float64 cannot hold {_shown(value)}") from None
        if kind == "bool":
            if not isinstance(value, int):
                raise _Bad(f"needs a bool, not {_shown(value)}")
            if value not in (0, 1):
                raise _Bad(f"bool cannot hold {_shown(value)}")
            return b"\1" if value else b"\0"
        if kind in FORMATS:
            if not isinstance(value, int):
                raise _Bad(f"needs an int, not {_shown(value)}")
            try:
                return struct.pack(FORMATS[kind], value)
            except struct.error:
                raise _Bad(f"{kind} cannot hold {_shown(value)}") from None
        if kind == "string":
            if not isinstance(value, str):
                raise _Bad(f"needs a str, not {_shown(value)}")
            try:
                raw = value.encode()
            except UnicodeEncodeError:
                raise _Bad("cannot be written as UTF-8") from None
            if len(raw) > LONGEST_STRING:
                raise _Bad(f"a string of {len(raw)} bytes; {LONGEST_STRING} is the most")
            return self.size(compact, ">h", len(raw)) + raw
        try:
            raw = bytes(memoryview(value))
        except (TypeError, BufferError):
            raw = b""
            if kind != "uuid":
                what = "bytes" if isinstance(value, str) else "contiguous bytes"
                raise _Bad(f"needs {what}, not {_shown(value)}") from None
        if kind == "uuid":
            if len(raw) != 16:
                raise _Bad(f"needs 16 bytes, not {_shown(value)}")
            return raw
        return self.size(compact, ">i", len(raw)) + raw


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def encode(message: Any, version: int) -> Result[bytes, EncodeError | UnsupportedField]:
    """As `kafka.protocol.encode`, without `lenient`."""
    cls = type(message)
    if not _includes(cls.VERSIONS, version):
        return Err(EncodeError(cls.__name__, version, "", "there are versions {} to {}".format(*cls.VERSIONS)))
    prefix = struct.pack(">h", version) if cls.PREFIXED else b""
    try:
        return Ok(prefix + _Writer(version, _flexible(cls, version)).struct(message, cls))
    except _Bad as bad:
        path = bad.path.lstrip(".")
        if bad.unsupported:
            return Err(UnsupportedField(cls.__name__, version, path, bad.value))
        return Err(EncodeError(cls.__name__, version, path, bad.reason))
