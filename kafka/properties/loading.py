"""From text to what clients are made with."""

from __future__ import annotations

import os
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
            text = file.read().decode("latin-1")
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationValueError(f"{shown}: cannot be read: {said}.") from error
    try:
        return [Entry(name, value, f"{shown}, line {line}") for name, value, line in properties(text)]
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
    without_effect = []
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
        if said.without_effect:
            without_effect.append(entry)
        for key, value in said.keys.items():
            kept: str = SharedName(key) if entry.is_shared and not _is_everybodys(key) else key
            found.pop(kept, None)  # with it the name that it had
            found[kept] = _value(entry, key, value)
    if without_effect:
        log.warning(
            "%s: %s mean something to Java's clients or to other programs, and have no effect here",
            without_effect[0].place.partition(",")[0], ", ".join(entry.name for entry in without_effect),
        )  # fmt: skip
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

    nearest = get_close_matches(name, [*KEYS, *RENAMED, *JAVA_ONLY, "sasl_jaas_config"], 1, 0.5)
    shown = [each.replace("_", ".") if "." in entry.name else each for each in nearest]
    return ConfigurationValueError(
        f"{entry.place}: there is no configuration key {entry.name!r}"
        + (f" (did you mean {shown[0]!r}?)." if shown else ".")
    )
