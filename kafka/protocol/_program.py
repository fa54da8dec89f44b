"""The program of a struct: what `codegen` wrote down about its fields, one line for each.

    Name type versions [null=versions] [tag=N] [plain] [ignorable] [default=value]

`versions` is `3+`, `3-7`, `3` or `none`; `[]` before a type makes an array; a type in capitals is a
struct of the same message; `plain` means never in the compact form. The Python names stand in the
class's `__slots__`, in the same order.
"""

from __future__ import annotations

import sys
from typing import Any

from kafka.protocol._message import Message, Struct

ZERO = {"bool": False, "float64": 0.0, "uuid": bytes(16), "string": "", "bytes": b"", "records": b""}
HIGHEST = 32767


class FieldSpec:
    """One field, for all versions. `versions` and `nullable` are (lowest, highest), empty when crossed."""

    __slots__ = (
        "array", "default", "ignorable", "json_name", "name", "nullable", "plain", "struct", "tag", "type", "versions",
    )

    def __init__(self, line: str, name: str, message: type[Message]) -> None:
        wire_name, type_, versions, *options = line.split(" ")
        flags = dict(option.partition("=")[::2] for option in options)
        self.name = name
        self.json_name = wire_name[0].lower() + wire_name[1:]
        self.array = type_.startswith("[]")
        self.type = type_[2:] if self.array else type_
        self.struct: type[Struct] | None = getattr(message, self.type) if self.type[0].isupper() else None
        self.versions = parse_versions(versions)
        self.nullable = parse_versions(flags.get("null", "none"))
        self.tag = int(flags["tag"]) if "tag" in flags else None
        self.plain = "plain" in flags
        self.ignorable = "ignorable" in flags
        self.default = self._default(flags.get("default"))

    def _default(self, text: str | None) -> Any:
        """The default; `()` for a struct means a new one with its own defaults."""
        if text == "null":
            return None
        if self.array or self.struct is not None:
            return ()
        zero: Any = ZERO.get(self.type, 0)
        if text is None:
            return zero
        if isinstance(zero, bool):
            return text == "True"
        return type(zero)(text)

    def is_default(self, value: Any) -> bool:
        if self.default is None or value is None:
            return value is self.default
        if self.array or self.type in ("bytes", "records"):
            try:
                return len(value) == 0
            except TypeError:  # no value for this field at all
                return False
        if self.struct is not None:
            return bool(value == self.struct())
        return bool(value == self.default)


def parse_versions(text: str) -> tuple[int, int]:
    if text == "none":
        return 0, -1
    if text.endswith("+"):
        return int(text[:-1]), HIGHEST
    lowest, _, highest = text.partition("-")
    return int(lowest), int(highest or lowest)


def parse_program(cls: type[Struct]) -> tuple[FieldSpec, ...]:
    """The fields of a generated class (or of a subclass of one)."""
    owner: Any = next(base for base in cls.__mro__ if "_PROGRAM" in base.__dict__)
    message = getattr(sys.modules[owner.__module__], owner.__qualname__.split(".")[0], None)
    return tuple(
        FieldSpec(line.strip(), name, message)
        for line, name in zip(owner._PROGRAM.strip().splitlines(), owner.__dict__["__slots__"], strict=True)
    ) if message is not None else ()


def error_properties(cls: type[Struct]) -> tuple[str, ...]:
    """The names of the properties that give an error, in the order of their codes."""
    names = [field.name for field in cls.fields() if field.type == "int16" and field.name.endswith("error_code")]
    main = "error_code" if "error_code" in names else names[0] if names else None
    return tuple("error" if name == main else name.removesuffix("_code") for name in names)


def error_plan(cls: type[Struct]) -> tuple[tuple[str, ...], tuple[FieldSpec, ...]]:
    """Where a struct keeps its errors: its own properties, and the fields with more of them inside."""
    if "_error_plan" not in cls.__dict__:
        below = tuple(field for field in cls.fields() if field.struct is not None and any(error_plan(field.struct)))
        cls._error_plan = error_properties(cls), below
    return cls._error_plan
