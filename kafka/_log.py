"""Loggers that load `logging` with the first line they write: it costs more to import than our core does."""

from __future__ import annotations

from typing import Any


class Log:
    """Stands for `logging.getLogger(name)`."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        import logging

        return getattr(logging.getLogger(self._name), method)
