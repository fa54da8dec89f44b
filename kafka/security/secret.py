"""Secrets as users have them: text, a function that returns it, or a file, which is read whenever it is needed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from kafka._log import Log
from kafka.errors import ConfigurationValueError
from kafka.security.material import Source

log = Log("kafka.security")

Given = str | os.PathLike[str] | Callable[[], str]


class Secret:
    """The value of a configuration key. So one that is renewed, in its file say, needs no new client."""

    def __init__(self, key: str, given: Given) -> None:
        self.key = key
        self._given = given
        self._file = SecretFile(key, given) if isinstance(given, os.PathLike) else None

    def __repr__(self) -> str:
        return f"<{self.key}>"

    @property
    def is_asked_for(self) -> bool:
        """Whether it is a function's, which is for a thread that may wait."""
        return callable(self._given)

    def read(self) -> str:
        """Raises ConfigurationValueError, and whatever a function of the user's raises."""
        if self._file is not None:
            value: object = self._file.read()
        else:
            value = self._given() if callable(self._given) else self._given
        if not isinstance(value, str):
            raise ConfigurationValueError(f"{self.key} must be a string, not {type(value).__name__}.")
        if not value or "\0" in value:
            raise ConfigurationValueError(f"{self.key} must not be empty, nor have a NUL character in it.")
        return value


class SecretFile:
    """A file with a secret in it, or its text. Once a client it is said in the log that others can read it, too."""

    def __init__(self, key: str, path: str | bytes | os.PathLike[str]) -> None:
        self.source = Source(key, path)
        self._is_told = self.source.is_text

    def __repr__(self) -> str:
        return f"<{self.source.key}>"

    def read(self) -> str:
        """Without the end of the last line. Raises ConfigurationValueError."""
        try:
            return self.read_bytes().decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise self.source.wrong("is not text in UTF-8") from None

    def read_bytes(self) -> bytes:
        """Raises ConfigurationValueError."""
        data = self.source.read()
        if not self._is_told and self._is_public():
            self._is_told = True
            log.warning("%s has a secret in it, and every user of this machine can read it: chmod o-r", self.source)
        return data

    def _is_public(self) -> bool:
        try:
            return os.name == "posix" and bool(os.stat(self.source.value).st_mode & stat.S_IROTH)
        except OSError:
            return False
