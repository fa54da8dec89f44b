"""Whatever a user passes as a serializer, behind the one interface."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

from kafka.serializer.abstract import Deserializer, Headers, Serializer


class Serializes(Protocol):
    """An object whose `serialize` takes (topic, headers, data), or (topic, data), as for kafka-python 1 and 2."""

    def serialize(self, *args: Any, **kwargs: Any) -> Any: ...


class Deserializes(Protocol):
    """An object whose `deserialize` takes (topic, headers, data), or (topic, data), as for kafka-python 1 and 2."""

    def deserialize(self, *args: Any, **kwargs: Any) -> Any: ...


class SerializeWrapper(Serializer):
    """A plain function of the data, `fn(data)`, as a Serializer; `fn` None passes the data through."""

    def __init__(self, fn: Callable[[Any], Any] | None) -> None:
        self.fn = fn

    def serialize(self, topic: str, headers: Headers, data: Any) -> Any:
        return data if self.fn is None else self.fn(data)


class DeserializeWrapper(Deserializer):
    """A plain function of the bytes, `fn(data)`, as a Deserializer; `fn` None passes the bytes through."""

    def __init__(self, fn: Callable[[Any], Any] | None) -> None:
        self.fn = fn

    def deserialize(self, topic: str, headers: Headers, data: bytes) -> Any:
        return data if self.fn is None else self.fn(data)


class _WithoutHeaders(Serializer):
    """A serializer written for kafka-python 1 or 2, whose `serialize` takes (topic, value)."""

    def __init__(self, old: Any) -> None:
        self.old = old

    def serialize(self, topic: str, headers: Headers, data: Any) -> Any:
        return self.old.serialize(topic, data)

    def close(self) -> None:
        close_each(self.old)


class _OldDeserializer(Deserializer):
    """A deserializer written for kafka-python 1 or 2, whose `deserialize` takes (topic, bytes)."""

    def __init__(self, old: Any) -> None:
        self.old = old

    def deserialize(self, topic: str, headers: Headers, data: bytes) -> Any:
        return self.old.deserialize(topic, data)

    def close(self) -> None:
        close_each(self.old)


def close_each(*given: Serializer | Deserializer | None) -> None:
    """Close them at the end of their client, each once, whatever one raises. Users' own need not have a `close()`."""
    with ExitStack() as stack:
        for one in {id(each): each for each in given}.values():
            close = getattr(one, "close", None)
            if close is not None:
                stack.callback(close)


def as_serializer(given: Any) -> Serializer | None:
    """A Serializer for None, a Serializer (of either signature), anything with a `serialize` method, or a function.

    Raises:
        TypeError: `given` is none of these.
    """
    if given is None:
        return None
    method = getattr(given, "serialize", None)
    if method is None:
        if callable(given):
            return SerializeWrapper(given)
        raise TypeError(f"no serializer: {type(given).__name__}")
    if _takes(method, 3):
        return given  # type: ignore[no-any-return]
    # New Relic puts one of the old signature around each serializer, which then fails where it has the new one.
    inner: Any = getattr(given, "__wrapped__", None)
    if hasattr(inner, "serialize") and _takes(inner.serialize, 3):
        return as_serializer(inner)
    return _WithoutHeaders(given)


def as_deserializer(given: Any) -> Deserializer | None:
    """A Deserializer for None, a Deserializer (of either signature), anything with such a method, or a function.

    Raises:
        TypeError: `given` is none of these.
    """
    if given is None:
        return None
    method = getattr(given, "deserialize", None)
    if method is None:
        if callable(given):
            return DeserializeWrapper(given)
        raise TypeError(f"no deserializer: {type(given).__name__}")
    if _takes(method, 3):
        return given  # type: ignore[no-any-return]
    return _OldDeserializer(given)


def _takes(method: Callable[..., Any], count: int) -> bool:
    # inspect costs some 10 ms to import: only for serializers, which most producers do not have.
    from inspect import signature

    try:
        signature(method).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # no signature to be had, as for some C functions: trust the interface
        return True
    return True
