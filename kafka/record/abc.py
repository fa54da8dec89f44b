"""The type by which instrumentation annotates a record."""

from abc import ABC


class ABCRecord(ABC):  # noqa: B024 - a name for annotations; nobody implements it
    """A record as read from a partition."""
