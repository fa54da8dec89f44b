"""What the class of a client says of its configuration, to help() and editors: made when somebody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from kafka.config.key import Configuration

if TYPE_CHECKING:
    from inspect import Signature

C = TypeVar("C")


class _Docstring:
    """The docstring in the source, and what each key does."""

    def __init__(self, beginning: str, config: type[Configuration]) -> None:
        self.beginning = beginning
        self.config = config

    def __get__(self, client: object, owner: type) -> str:
        from inspect import cleandoc
        from textwrap import fill

        lines = [cleandoc(self.beginning), "", "Keyword arguments:"]
        for name, key in self.config.KEYS.items():
            said = f"{key.kind.wanted}; {key.default_text} by default." if key.implemented else "Not implemented."
            lines.append(fill(f"{name}: {said} {key.text}", 100, initial_indent="    ", subsequent_indent="        "))
        return "\n".join(lines) + "\n"


class _Signature:
    """Every key with its default. A subclass with a constructor of its own has a signature of its own."""

    def __init__(self, constructor: Callable[..., None], config: type[Configuration]) -> None:
        self.constructor = constructor
        self.config = config

    def __get__(self, client: object, owner: Any) -> Signature:
        if owner.__init__ is not self.constructor:
            raise AttributeError("__signature__")
        found = _signature(self.constructor, self.config)
        _, *parameters = found.parameters.values()
        return found.replace(parameters=parameters, return_annotation=found.empty)


def _signature(constructor: Any, config: type[Configuration]) -> Signature:
    """The constructor's; from then on it is what `inspect` finds there, too."""
    from inspect import Parameter, signature  # costs some 5 ms to import

    if not hasattr(constructor, "__signature__"):
        found = signature(constructor)
        *others, configs = found.parameters.values()
        keys = [
            configs.replace(name=name, kind=Parameter.KEYWORD_ONLY, default=key.default, annotation=key.kind.hint)
            for name, key in config.KEYS.items()
        ]
        constructor.__signature__ = found.replace(parameters=[*others, *keys])
    made: Signature = constructor.__signature__
    return made


def described_by(config: type[Configuration]) -> Callable[[type[C]], type[C]]:
    """Has a client's class, whose constructor takes `**configs`, say what these are."""

    def describe(client: type[C]) -> type[C]:
        constructor: Any = client.__dict__["__init__"]
        # Its arguments' names and types are for type checkers alone: typing.get_type_hints would not find them.
        constructor.__annotations__ = {**constructor.__annotations__, "configs": Any}
        described: Any = client
        described.__doc__ = _Docstring(client.__doc__ or "", config)
        described.__signature__ = _Signature(constructor, config)
        if "inspect" in sys.modules:  # as wherever tests run: unittest.mock looks at the constructor, not at the class
            _signature(constructor, config)
        return client

    return describe
