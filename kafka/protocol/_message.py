"""What every generated class has: equality, a short repr, errors, JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from kafka.errors import BrokerResponseError, DecodeError
from kafka.result import Err, Ok, Result

if TYPE_CHECKING:
    from typing_extensions import Self

    from kafka.protocol._program import FieldSpec

S = TypeVar("S", bound="Struct")


class Struct:
    """A struct of the protocol. Constructors take keyword arguments and fill in the schema's defaults.

    `unknown_tags`: tag -> bytes of the tagged fields that this schema does not know, or None.
    """

    __slots__ = ("unknown_tags",)
    unknown_tags: Mapping[int, bytes] | None
    _PROGRAM: ClassVar[str] = ""
    _plans: ClassVar[dict[int, Any]] = {}
    _field_specs: ClassVar[tuple[FieldSpec, ...] | None] = None
    _error_plan: ClassVar[tuple[tuple[str, ...], tuple[FieldSpec, ...]]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._plans = {}  # version -> what the kernel made of the program
        cls._field_specs = None

    @classmethod
    def fields(cls) -> tuple[FieldSpec, ...]:
        """The fields in wire order: names, types, versions, defaults."""
        if cls._field_specs is None:
            from kafka.protocol._program import parse_program

            cls._field_specs = parse_program(cls)
        return cls._field_specs

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        for field in self.fields():
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.array and mine is not None and theirs is not None:
                mine, theirs = tuple(mine), tuple(theirs)
            if mine != theirs:
                return False
        return (self.unknown_tags or None) == (getattr(other, "unknown_tags", None) or None)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = []
        for field in self.fields():
            value = getattr(self, field.name, "<unset>")
            if not field.is_default(value):
                if isinstance(value, memoryview):
                    value = f"<{value.nbytes} bytes>"
                else:
                    value = repr(value)
                shown.append(f"{field.name}={value}")
        if self.unknown_tags:
            shown.append(f"unknown_tags={self.unknown_tags!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


class Message(Struct):
    """What a frame, a record or a group member's metadata holds. `VERSIONS`: (lowest, highest);
    `FLEXIBLE`: the first flexible version or None; `PREFIXED`: whether its version precedes it as an int16.
    """

    __slots__ = ()
    VERSIONS: ClassVar[tuple[int, int]]
    FLEXIBLE: ClassVar[int | None]
    PREFIXED: ClassVar[bool] = False

    def to_json(self, version: int) -> Any:
        """The message in the form of Java's JsonConverter: camelCase, bytes in base64.

        Raises `UnsupportedField` or `EncodeError`, as `encode` would give them.
        """
        from kafka.protocol._json import to_json

        return to_json(self, version)

    @classmethod
    def from_json(cls, data: Any, version: int | None = None) -> Result[Self, DecodeError]:
        """The message from that form; `version` is the highest one unless given. The inverse of `to_json`."""
        from kafka.protocol._json import from_json

        return from_json(cls, data, cls.VERSIONS[1] if version is None else version)


class Request(Message):
    """`ROUTE` says who should get it: "any", "controller", "leader" (of the partition), "group" or
    "transaction" (their coordinators), "broker" (the one it is about)."""

    __slots__ = ()
    API_KEY: ClassVar[int]
    ROUTE: ClassVar[str]
    RESPONSE: ClassVar[Any]


class Response(Message):
    """A broker's answer."""

    __slots__ = ()
    API_KEY: ClassVar[int]
    REQUEST: ClassVar[Any]

    def errors(self) -> list[tuple[str, BrokerResponseError]]:
        """Every error in the response, each with the path of its struct, in wire order."""
        return list(_errors(self, ""))


def _errors(struct: Struct, path: str) -> Iterator[tuple[str, BrokerResponseError]]:
    from kafka.protocol._program import error_plan

    properties, below = error_plan(type(struct))
    for name in properties:
        error = getattr(struct, name)
        if error is not None:
            yield (path if name == "error" else f"{path}.{name}".lstrip(".")), error
    for field in below:
        value = getattr(struct, field.name)
        inside = f"{path}.{field.name}".lstrip(".")
        if value is not None and field.array:
            for index, element in enumerate(value):
                yield from _errors(element, f"{inside}[{index}]")
        elif value is not None:
            yield from _errors(value, inside)


def result_of(struct: S) -> Result[S, BrokerResponseError]:
    """`Ok(struct)`, or `Err` of the first of its own errors."""
    from kafka.protocol._program import error_plan

    for name in error_plan(type(struct))[0]:
        error = getattr(struct, name)
        if error is not None:
            return Err(error)
    return Ok(struct)
