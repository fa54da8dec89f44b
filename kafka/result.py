"""`Ok` and `Err`: the two outcomes of everything that can fail without it being a bug."""

from __future__ import annotations

from typing import Any, Generic, NoReturn, TypeVar, Union

# Covariant: an Err[DecodeError] is an Err[KafkaError]. Nobody assigns to what they hold.
T = TypeVar("T", covariant=True)
E = TypeVar("E", bound=BaseException, covariant=True)


class Ok(Generic[T]):
    """It worked; `value` is what came of it."""

    __slots__ = ("value",)
    __match_args__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def is_ok(self) -> bool:
        return True

    def unwrap(self) -> T:
        """The value."""
        return self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ok) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash((Ok, self.value))

    def __repr__(self) -> str:
        return f"Ok({self.value!r})"


class Err(Generic[E]):
    """It failed; `error` is the exception that says how. It has not been raised."""

    __slots__ = ("error",)
    __match_args__ = ("error",)

    def __init__(self, error: E) -> None:
        self.error = error

    def is_ok(self) -> bool:
        return False

    def unwrap(self) -> NoReturn:
        """Raises the error (a fresh copy where instances are shared: `KafkaError.fresh`)."""
        fresh = getattr(self.error, "fresh", None)
        raise self.error if fresh is None else fresh()

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Err) and bool(self.error == other.error)

    def __hash__(self) -> int:
        return hash((Err, self.error))

    def __repr__(self) -> str:
        return f"Err({self.error!r})"


Result = Union[Ok[T], Err[E]]
