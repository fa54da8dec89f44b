"""Messages as JSON, in the names and forms of Java's JsonConverter classes."""

from __future__ import annotations

from typing import Any


def to_json(message: Any, version: int) -> Any:
    raise NotImplementedError


def from_json(cls: Any, data: Any, version: int) -> Any:
    raise NotImplementedError
