"""From text to what clients are made with."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from kafka._log import Log
from kafka.config.key import Key, SharedName
from kafka.config.security import is_secret
from kafka.consumer.config import ConsumerConfig
from kafka.errors import ConfigurationValueError
from kafka.producer.config import ProducerConfig
from kafka.properties.java import Meaning, Wrong, has_no_effect, meaning
from kafka.properties.text import properties

log = Log("kafka.config")

#: What environment variables begin with: KAFKA_TURBO_CONFIG_SASL_PLAIN_PASSWORD=... sets sasl_plain_password.
ENVIRONMENT = "KAFKA_TURBO_CONFIG_"

_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TRIMMED = "".join(map(chr, range(33)))  # by Java off both ends of a value
_NAME = re.compile(r"[\w.\-]{1,60}")  # what may be one, and is no line of a key in base64

KEYS: Mapping[str, Key[Any]] = {**ProducerConfig.KEYS, **ConsumerConfig.KEYS}


class Entry(NamedTuple):
    """A key and its value, as they were written. `place` says where; `is_shared`: others may read it there, too, so
    that a client passes over what is for clients of another kind."""

    name: str
    value: str
    place: str
    is_shared: bool = True

    def __repr__(self) -> str:
        return f"<{self.place}: {self.name}>"  # not what may be a password


class Secret(str):
    """A password, which shows itself only to those who ask for it: `str(secret)`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<hidden>"


def load_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a properties file of Java's tools says, as arguments: `KafkaProducer(**load_config("client.properties"))`.

    Keys have Java's names (`bootstrap.servers`, `sasl.jaas.config`, `ssl.truststore.location`) or ours. Those that are
    for another kind of client are passed over by the client. Passwords are not in the repr, and `str()` of one gives
    it. The file is read as Java reads it: ISO 8859-1, with \\uXXXX for other characters.

    Raises ConfigurationValueError, with file and line, for a key that nobody knows, a value that makes no sense, and
    what only Java can do (classes, JKS stores); keys that change nothing here are named in a warning in the log.
    """
    return understand(from_file(path))


def from_file(path: str | os.PathLike[str]) -> list[Entry]:
    """The entries of a properties file. Raises ConfigurationValueError."""
    shown = os.fspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationValueError(f"{shown}: cannot be read: {said}.") from error
    if data.startswith(_BYTE_ORDER_MARKS):
        raise ConfigurationValueError(
            f"{shown}: begins with a byte order mark, so it is in UTF-8 or UTF-16; Java reads such a file as ISO "
            "8859-1: save it as ASCII."
        )
    try:
        entries = properties(data.decode("latin-1"))
        return [Entry(name, value.strip(_TRIMMED), f"{shown}, line {line}") for name, value, line in entries]
    except ValueError as error:
        line, what = error.args
        raise ConfigurationValueError(f"{shown}, line {line}: {what}.") from None


def from_environment(environment: Mapping[str, str]) -> list[Entry]:
    """Those of variables whose names begin with `ENVIRONMENT`."""
    return [
        Entry(name.removeprefix(ENVIRONMENT), value, f"environment variable {name}")
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT)
    ]


def understand(entries: Iterable[Entry]) -> dict[str, Any]:
    """What they say, for a client's constructor; of the same key the last one counts. ConfigurationValueError."""
    given: dict[str, Entry] = {}
    for entry in entries:
        name = entry.name.strip().replace(".", "_").replace("-", "_").lower()
        given.pop(name, None)  # what comes later counts, where two keys say the same
        given[name] = entry
    values = {name: entry.value for name, entry in given.items()}
    found: dict[str, Any] = {}
    without_effect: dict[str, list[str]] = {}  # by the place
    for name, entry in given.items():
        try:
            said = meaning(name, entry.value, values)
        except Wrong as wrong:
            raise ConfigurationValueError(f"{entry.place}: {entry.name} {wrong}.") from None
        if said is None:
            if name in KEYS:
                said = Meaning({name: entry.value})
            elif has_no_effect(name):
                said = Meaning({}, without_effect=True)
            else:
                raise _unknown(entry, name)
        idle = [entry.name] if said.without_effect else [f"{option} in {entry.name}" for option in said.options]
        if idle:
            without_effect.setdefault(entry.place.rpartition(", line ")[0] or entry.place, []).extend(idle)
        for key, value in said.keys.items():
            kept: str = SharedName(key) if entry.is_shared and not _is_everybodys(key) else key
            found.pop(kept, None)  # with it the name that it had
            found[kept] = _value(entry, key, value)
    for place, names in without_effect.items():
        log.warning("%s: for Java's clients or other programs, and without effect here: %s", place, ", ".join(names))
    return found


def _is_everybodys(key: str) -> bool:
    return key in ProducerConfig.KEYS and key in ConsumerConfig.KEYS


def _value(entry: Entry, name: str, value: object) -> Any:
    """What a client is to get: text, or a number, a bool, ... where the key takes those."""
    key = KEYS[name]
    found = value
    if isinstance(value, str):
        for candidate in _readings(value):
            try:
                key.understood(candidate)
            except ConfigurationValueError:
                continue
            found = candidate
            break
    try:
        if key.implemented:
            key.understood(found)
    except ConfigurationValueError as error:
        raise ConfigurationValueError(f"{entry.place}: {error.args[0]}") from None
    return Secret(found) if isinstance(found, str) and is_secret(name, found) else found


def _readings(text: str) -> Iterator[Any]:
    """What the text may be, the likeliest first."""
    yield text
    plain = text.strip()
    if plain.lower() in ("true", "false"):
        yield plain.lower() == "true"
    try:
        import json

        yield json.loads(plain)  # numbers, null
    except (ValueError, RecursionError):
        yield plain


def _unknown(entry: Entry, name: str) -> ConfigurationValueError:
    from difflib import get_close_matches  # only on the way to an error

    from kafka.properties.java import JAVA_ONLY, RENAMED

    if not _NAME.fullmatch(entry.name):
        return ConfigurationValueError(f"{entry.place}: this is no NAME=VALUE with the name of a configuration key.")
    nearest = get_close_matches(name, [*KEYS, *RENAMED, *JAVA_ONLY, "sasl_jaas_config"], 1, 0.5)
    shown = [each.replace("_", ".") if "." in entry.name else each for each in nearest]
    return ConfigurationValueError(
        f"{entry.place}: there is no configuration key {entry.name!r}"
        + (f" (did you mean {shown[0]!r}?)." if shown else ".")
    )
