"""`MetricName`: what identifies a metric."""

from __future__ import annotations

from typing import Any


class MetricName:
    """A metric's name, the group it belongs to, and tags such as {"client-id": ...}; these three make it unique."""

    __slots__ = ("_name", "_group", "_description", "_tags", "_hash")

    def __init__(
        self, name: str, group: str, description: str | None = None, tags: dict[str, Any] | None = None
    ) -> None:
        if not (name and group):
            raise ValueError("name and group must be non-empty.")
        if tags is not None and not isinstance(tags, dict):
            raise ValueError("tags must be a dict if present.")
        self._name = name
        self._group = group
        self._description = description
        self._tags = dict(tags) if tags is not None else None
        self._hash = hash((name, group, frozenset((tags or {}).items())))

    @property
    def name(self) -> str:
        return self._name

    @property
    def group(self) -> str:
        return self._group

    @property
    def description(self) -> str | None:
        return self._description

    @property
    def tags(self) -> dict[str, Any] | None:
        """A copy."""
        return dict(self._tags) if self._tags is not None else None

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MetricName):
            return NotImplemented
        return (self._name, self._group, self._tags) == (other._name, other._group, other._tags)

    def __repr__(self) -> str:
        return f"MetricName(name={self._name}, group={self._group}, description={self._description}, tags={self._tags})"
