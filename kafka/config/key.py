"""A configuration key, and the kinds of values that keys take. What is said of a key is said once, where it is defined.

    class ProducerConfig(ClientConfig):
        linger_ms = Key(milliseconds(), 0, "How long a batch waits for more records. Raise it ...")

From such definitions come the checks when a client is constructed, `DEFAULT_CONFIG`, the docstrings, and what
`python -m codegen` writes: the arguments' types for type checkers and docs/configuration.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from operator import index
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from kafka.errors import ConfigurationValueError

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class Unwanted(Exception):
    """A value is not what a kind wants. A message, if any, goes on after the key's name: " must be ..."."""


class SharedName(str):
    """A key's name, from a file that clients of several kinds read: one that does not have the key passes over it."""

    __slots__ = ()


class Kind(Generic[T]):
    """What values a key takes.

    `hint` is what type checkers are told, as source text; `wanted` says it in words, after "must be". `understand`
    makes of a value what a client works with, or raises Unwanted. What is `secret` is not shown.
    """

    __slots__ = ("hint", "secret", "understand", "wanted")

    def __init__(self, hint: str, wanted: str, understand: Callable[[Any], T], *, secret: bool = False) -> None:
        self.hint = hint
        self.wanted = wanted
        self.understand = understand
        self.secret = secret


class Key(Generic[T]):
    """One key, as an attribute of a `Configuration`, whose instances have in its place what was made of the value.

    `text` says what it does and when to change it: sentences, of which the first stands alone where space is short.
    Of one that is not implemented, a value other than the default raises NotImplementedError.
    """

    name: str

    def __init__(self, kind: Kind[T], default: Any, text: str, *, implemented: bool = True) -> None:
        self.kind = kind
        self.default = default
        self.text = text
        self.implemented = implemented

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, config: None, owner: type) -> Self: ...
    @overload
    def __get__(self, config: object, owner: type) -> T: ...
    def __get__(self, config: object | None, owner: type) -> Self | T:
        if config is None:
            return self
        raise AttributeError(self.name)  # an instance has its own, where the key is implemented

    def changed(self, *, kind: Kind[T] | None = None, default: Any = ...) -> Key[T]:
        """The same for a client with another kind or default of it."""
        default = self.default if default is ... else default
        return Key(kind or self.kind, default, self.text, implemented=self.implemented)

    def understood(self, value: Any) -> T:
        """What a value means; raises ConfigurationValueError."""
        try:
            return self.kind.understand(value)
        except Unwanted as unwanted:
            shown = _shown(value)
            if self.kind.secret:
                shown = "an empty one" if value in ("", b"") else type(value).__name__
            said = str(unwanted) or f" must be {self.kind.wanted}, not {shown}."
            raise ConfigurationValueError(f"{self.name}{said}") from None

    @property
    def default_text(self) -> str:
        """The default as one would write it."""
        if self.default == float("inf"):
            return 'float("inf")'
        plain = isinstance(self.default, (str, int, float, list, type(None)))
        return repr(self.default) if plain else f"{type(self.default).__name__}()"

    def is_default(self, value: Any) -> bool:
        return bool(value is self.default or (type(value) is type(self.default) and value == self.default))


def _shown(value: Any) -> str:
    """For a message: no longer than a line or two, whatever it is."""
    kind = type(value).__name__
    try:
        text = repr(value)
    except Exception:  # a number of thousands of digits, say
        return kind
    return f"{text if len(text) <= 200 else f'{text[:150]} ... {text[-30:]}'} ({kind})"


class Configuration:
    """Keys that belong together. A subclass has those of its bases too, after its own."""

    TITLE: ClassVar[str]  # of its own keys, in the documentation
    KEYS: ClassVar[Mapping[str, Key[Any]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        keys: dict[str, Key[Any]] = {}
        for base in cls.__mro__:
            for name, thing in vars(base).items():
                if isinstance(thing, Key):
                    keys.setdefault(name, thing)
        cls.KEYS = keys

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        return {name: key.default for name, key in cls.KEYS.items()}


# -- kinds -------------------------------------------------------------------------------------------------------------


def whole(unit: str, low: int, high: int = 2**31 - 1) -> Kind[int]:
    """An integer; a float such as 1e6 counts when it is whole, a bool does not."""

    def understand(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        try:
            number = index(value)
        except TypeError:
            raise Unwanted from None
        if isinstance(value, bool) or not low <= number <= high:
            raise Unwanted
        return number

    return Kind("int", f"a whole number{f' of {unit}' if unit else ''} from {low} to {high}", understand)


def number(value: Any) -> float:
    """0 or more, infinity included."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise Unwanted from None
    if isinstance(value, (bool, str, bytes, bytearray)) or not number >= 0:  # NaN is not >= 0 either
        raise Unwanted
    return number


def milliseconds(high: float = float("inf")) -> Kind[float]:
    """A duration of 0 to `high`; for ever is a duration where `high` is infinite."""

    def understand(value: Any) -> float:
        found = number(value)
        if found > high:
            raise Unwanted
        return found

    limits = ", 0 or more" if high == float("inf") else f" from 0 to {high:.0f}"
    return Kind("float", f"a number of milliseconds{limits}", understand)


def choice(*values: Any, meaning: Mapping[Any, Any] = MappingProxyType({})) -> Kind[Any]:
    """One of the values; `meaning` has those that stand for another one."""

    def understand(value: Any) -> Any:
        if isinstance(value, bool) or value not in values:
            raise Unwanted
        found = values[values.index(value)]  # 1 for 1.0
        return meaning.get(found, found)

    *most, last = map(repr, values)
    hint = ", ".join((*most, last)).replace("'", '"')
    return Kind(f"Literal[{hint}]", f"{', '.join(most)} or {last}", understand)


def or_none(kind: Kind[T], otherwise: str) -> Kind[T | None]:
    """Also None, which stands for `otherwise`."""

    def understand(value: Any) -> T | None:
        return None if value is None else kind.understand(value)

    return Kind(f"{kind.hint} | None", f"{kind.wanted}, or None for {otherwise}", understand, secret=kind.secret)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unwanted
    return value


boolean = Kind("bool", "True or False", _boolean)


def encoded_size(text: str) -> float:
    """Its bytes in UTF-8; infinity where it has none."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return float("inf")


def numbered(client: str) -> Kind[str]:
    """For `client_id`: a name, or a number for those of this kind ("producer", say) that are given none."""
    numbers = itertools.count(1)

    def understand(value: Any) -> str:
        if value is None:
            return f"kafka-turbo-{client}-{next(numbers)}"
        if not isinstance(value, str) or encoded_size(value) > 32767:
            raise Unwanted
        return value

    wanted = f"a string of at most 32767 bytes, or None for kafka-turbo-{client}-1, -2 and so on"
    return Kind("str | None", wanted, understand)


def unchecked(hint: str, wanted: str) -> Kind[Any]:
    """For keys that are not implemented: nothing but the default gets further than this."""
    return Kind(hint, wanted, lambda value: value)
