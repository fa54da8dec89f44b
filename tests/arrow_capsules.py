"""Arrow's C data interface by hand: arrays and streams in capsules, right or wrong, that count their releases."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any

RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
NEXT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
ERROR = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
P, I64 = ctypes.c_void_p, ctypes.c_int64


class CSchema(ctypes.Structure):
    _fields_ = [
        ("format", ctypes.c_char_p), ("name", ctypes.c_char_p), ("metadata", P), ("flags", I64), ("n_children", I64),
        ("children", P), ("dictionary", P), ("release", P), ("private_data", P),
    ]  # fmt: skip


class CArray(ctypes.Structure):
    _fields_ = [
        ("length", I64), ("null_count", I64), ("offset", I64), ("n_buffers", I64), ("n_children", I64),
        ("buffers", P), ("children", P), ("dictionary", P), ("release", P), ("private_data", P),
    ]  # fmt: skip


class CStream(ctypes.Structure):
    _fields_ = [(name, P) for name in ("get_schema", "get_next", "get_last_error", "release", "private_data")]


DESTRUCTOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new = ctypes.pythonapi.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = [P, ctypes.c_char_p, P]
_pointer = ctypes.PYFUNCTYPE(P, P, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
_KEPT: list[Any] = []  # what the structs point to, for ever: a test is short


class Column:
    """Offers itself as an array. `released` counts; it is at 1 once whoever took it has let go."""

    def __init__(
        self,
        format: bytes,
        buffers: Sequence[bytes | None],
        length: int,
        *,
        nulls: int = 0,
        offset: int = 0,
        name: bytes = b"",
        dictionary: Column | None = None,
        gone: bool = False,
    ) -> None:
        self.released = 0
        self.kept: list[Any] = []
        addresses = []
        for data in buffers:
            memory = None if data is None else ctypes.create_string_buffer(data, max(len(data), 1))
            self.kept.append(memory)
            addresses.append(None if memory is None else ctypes.addressof(memory))
        pointers = (P * max(len(addresses), 1))(*addresses)
        self.array = CArray(length, nulls, offset, len(buffers), 0, ctypes.addressof(pointers))
        self.schema = CSchema(format, name, None, 2)
        on_schema, on_array = DESTRUCTOR(self._release_schema), DESTRUCTOR(self._release_array)
        self.schema.release = ctypes.cast(on_schema, P)
        self.array.release = None if gone else ctypes.cast(on_array, P)
        if dictionary is not None:
            self.schema.dictionary = ctypes.addressof(dictionary.schema)
            self.array.dictionary = ctypes.addressof(dictionary.array)
        self.kept += [pointers, on_schema, on_array, dictionary]
        _KEPT.append(self)

    def _release_schema(self, at: int) -> None:
        CSchema.from_address(at).release = None

    def _release_array(self, at: int) -> None:
        self.released += 1
        CArray.from_address(at).release = None

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return (
            _new(ctypes.addressof(self.schema), b"arrow_schema", ctypes.cast(_END_SCHEMA, P)),
            _new(ctypes.addressof(self.array), b"arrow_array", ctypes.cast(_END_ARRAY, P)),
        )


class Stream:
    """Offers itself as a stream of these columns, then ends, or fails with `failure`."""

    def __init__(self, *columns: Column, failure: bytes | None = None, format: bytes = b"z") -> None:
        self.columns, self.failure, self.at, self.released = columns, failure, 0, 0
        self.text = ctypes.create_string_buffer(failure or b"")
        self.schema = Column(format, [None], 0).schema if not columns else columns[0].schema
        self.functions = (NEXT(self._schema), NEXT(self._next), ERROR(self._error), DESTRUCTOR(self._release))
        self.stream = CStream(*(ctypes.cast(function, P) for function in self.functions))
        _KEPT.append(self)

    def _schema(self, stream: int, out: int) -> int:
        ctypes.memmove(out, ctypes.addressof(self.schema), ctypes.sizeof(CSchema))
        return 0

    def _next(self, stream: int, out: int) -> int:
        if self.at < len(self.columns):
            column = self.columns[self.at]
            self.at += 1
            ctypes.memmove(out, ctypes.addressof(column.array), ctypes.sizeof(CArray))
            return 0
        if self.failure is not None:
            return 5
        ctypes.memset(out, 0, ctypes.sizeof(CArray))
        return 0

    def _error(self, stream: int) -> int | None:
        return ctypes.addressof(self.text) if self.failure else None

    def _release(self, at: int) -> None:
        self.released += 1
        CStream.from_address(at).release = None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return _new(ctypes.addressof(self.stream), b"arrow_array_stream", ctypes.cast(_END_STREAM, P))


def _ends(name: bytes, kind: Any) -> Any:
    def end(capsule: int) -> None:
        at = _pointer(capsule, name)
        release = kind.from_address(at).release
        if release:
            RELEASE(release)(at)

    return ctypes.PYFUNCTYPE(None, P)(end)


_END_SCHEMA, _END_ARRAY = _ends(b"arrow_schema", CSchema), _ends(b"arrow_array", CArray)
_END_STREAM = _ends(b"arrow_array_stream", CStream)


def bits(items: Sequence[object]) -> bytes:
    number = sum(1 << at for at, item in enumerate(items) if item is not None)
    return number.to_bytes((len(items) + 7) // 8 + 1, "little")


def binary(items: Sequence[bytes | None], format: bytes = b"z", **options: Any) -> Column:
    """A column of binary (z, u), large binary (Z, U) or views (vz, vu)."""
    nulls = sum(item is None for item in items)
    valid = bits(items) if nulls else None
    if format[:1] == b"v":
        data, views = b"", b""
        for item in items:
            plain = item or b""
            if len(plain) <= 12:
                views += struct.pack("<i12s", len(plain), plain)
            else:
                views += struct.pack("<i4sii", len(plain), plain[:4], 0, len(data))
                data += plain
        return Column(format, [valid, views, data, struct.pack("<q", len(data))], len(items), nulls=nulls, **options)
    ends = [0]
    for item in items:
        ends.append(ends[-1] + len(item or b""))
    packed = struct.pack(f"<{len(ends)}{'q' if format in (b'Z', b'U') else 'i'}", *ends)
    return Column(format, [valid, packed, b"".join(item or b"" for item in items)], len(items), nulls=nulls, **options)
