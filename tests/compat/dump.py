"""Prints the surface of whichever `kafka` this interpreter imports, as JSON {kind: {name: description}}.

Runs alone, under kafka-python and under this package; `test_surface` compares the two.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import pickle
import pkgutil
from typing import Any

# Modules whose names people import. Of all others only the path itself counts.
MODULES = (
    "kafka",
    "kafka.admin",
    "kafka.consumer",
    "kafka.consumer.fetcher",
    "kafka.consumer.group",
    "kafka.consumer.subscription_state",
    "kafka.errors",
    "kafka.future",
    "kafka.net.sasl.oauth",
    "kafka.partitioner",
    "kafka.partitioner.default",
    "kafka.partitioner.sticky",
    "kafka.producer",
    "kafka.producer.future",
    "kafka.producer.kafka",
    "kafka.record.abc",
    "kafka.serializer",
    "kafka.structs",
    "kafka.version",
)
# Not part of anybody's interface: vendored code, benchmarks, the wire protocol's modules, command lines.
IGNORED_MODULES = ("kafka.benchmarks", "kafka.cli", "kafka.protocol.", "kafka.vendor")


def main() -> None:
    surface: dict[str, dict[str, Any]] = {
        "module": dict.fromkeys(modules("kafka"), "there"),
        "name": {},
        "signature": {},
        "attribute": {},
        "fields": {},
        "config": config(),
        "exception": {},
        "logging": {"handlers of 'kafka'": [type(h).__name__ for h in logging.getLogger("kafka").handlers]},
    }
    for module_name in MODULES:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        public = getattr(module, "__all__", None)
        for name in public or dir(module):
            thing = getattr(module, name)
            # Without __all__, what a module defines; what it merely imports belongs elsewhere.
            if not name.startswith("_") and (public or getattr(thing, "__module__", None) == module_name):
                describe(surface, f"{module_name}.{name}", name, thing)
    print(json.dumps(surface, indent=1, sort_keys=True))


def modules(package: str) -> list[str]:
    found = []
    for path in importlib.import_module(package).__path__:
        for module in pkgutil.iter_modules([path], f"{package}."):
            if module.name.startswith(IGNORED_MODULES) or module.name.rpartition(".")[2].startswith("_"):
                continue
            found.append(module.name)
            if module.ispkg:
                try:
                    found += modules(module.name)
                except ImportError:
                    pass
    return found


def describe(surface: dict[str, dict[str, Any]], path: str, name: str, thing: Any) -> None:
    """Notes what is behind one name of one module, and once for each class its members."""
    surface["name"][path] = "class" if inspect.isclass(thing) else "function" if callable(thing) else "value"
    if inspect.isclass(thing):
        if issubclass(thing, BaseException):
            exception(surface, name, thing)
        elif hasattr(thing, "_fields"):
            surface["fields"][name] = {"fields": list(thing._fields), "defaults": shown(thing._field_defaults)}
        else:
            members(surface, name, thing)
    elif callable(thing):
        surface["signature"][name] = signature(thing)


def members(surface: dict[str, dict[str, Any]], name: str, kind: type) -> None:
    if "__init__" in dir(kind) and kind.__init__ is not object.__init__:
        getattr(kind.__init__, "__dict__", {}).pop("__signature__", None)  # with each key: "config" has them
        surface["signature"][f"{name}.__init__"] = signature(kind.__init__)
    for member in dir(kind):
        # What every IntEnum inherits differs between Python versions, not between libraries.
        if member.startswith("_") or hasattr(int, member) or hasattr(str, member) or member == "DEFAULT_CONFIG":
            continue
        value = inspect.getattr_static(kind, member)
        if isinstance(value, (classmethod, staticmethod)):
            value = value.__func__
        if callable(value):
            surface["signature"][f"{name}.{member}"] = signature(value)
        else:
            plain = isinstance(value, (int, str, float, bool))
            surface["attribute"][f"{name}.{member}"] = shown(value) if plain else "there"


def signature(function: Any) -> str:
    """Names, kinds and defaults of the parameters; not their annotations."""
    try:
        found = inspect.signature(function)
    except (ValueError, TypeError):
        return "unknown"
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    if parameters and parameters[0].name in ("self", "cls"):
        del parameters[0]
    return f"({', '.join(str(p) for p in parameters)})"


def config() -> dict[str, str]:
    found = {}
    import kafka

    for client in ("KafkaProducer", "KafkaConsumer", "KafkaAdminClient"):
        for key, value in getattr(getattr(kafka, client, None), "DEFAULT_CONFIG", {}).items():
            found[f"{client}.{key}"] = shown(value)
    return found


def exception(surface: dict[str, dict[str, Any]], name: str, kind: type[BaseException]) -> None:
    facts: dict[str, Any] = {
        # By their names in kafka.errors, for some of them are classes of the same name elsewhere.
        "ancestors": sorted(base.__name__ for base in kind.__mro__[1:] if base is not object),
        "is": kind.__name__,
    }
    for attribute in ("errno", "message", "retriable", "invalid_metadata"):
        if hasattr(kind, attribute):
            facts[attribute] = getattr(kind, attribute)
    try:
        made = kind("text")
        again = pickle.loads(pickle.dumps(made))
        facts["pickles"] = type(again) is kind and again.args == made.args
        facts["args"] = list(made.args)
    except Exception as error:
        facts["pickles"] = type(error).__name__
    for fact, value in facts.items():
        surface["exception"][f"{name}.{fact}"] = value


def shown(value: Any) -> str:
    """A default as text that is equal in both libraries when the value is."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {shown(v)}" for k, v in value.items()) + "}"
    if isinstance(value, type):
        return value.__name__
    if value is None or isinstance(value, (bool, int, float, str, tuple, list)):
        return repr(value)
    return f"{type(value).__name__}()"


if __name__ == "__main__":
    main()
