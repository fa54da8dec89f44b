"""The interface of a partitioner, and those of earlier days behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Set
from typing import Any, Protocol


class Cluster(Protocol):
    """What a partitioner may ask about the cluster. The answers come from one immutable snapshot of its metadata."""

    def topics(self) -> Set[str]: ...

    def partitions_for_topic(self, topic: str) -> Set[int] | None:
        """All partitions of `topic`; None when the topic is not known."""

    def available_partitions_for_topic(self, topic: str) -> Set[int] | None:
        """The partitions of `topic` that have a leader; None when the topic is not known."""


class Partitioner(ABC):
    """Chooses the partition of each record that is sent without one; pass an instance as `partitioner=`.

    It is called on the thread that calls `send()`, after the serializers. An exception it raises reaches that caller.
    """

    @abstractmethod
    def partition(
        self,
        topic: str,
        key: Any,
        serialized_key: bytes | None,
        value: Any,
        serialized_value: bytes | None,
        cluster: Cluster,
    ) -> int:
        """The partition for this record: one of `cluster.partitions_for_topic(topic)`."""


class Partitions(Protocol):
    """A Partitioner, or an object with one of the older `partition` methods."""

    def partition(self, *args: Any, **kwargs: Any) -> int: ...


class _OfTopicAndKey(Partitioner):
    """A partitioner written for the interface in between, whose `partition` takes (topic, serialized key, cluster)."""

    def __init__(self, old: Any) -> None:
        self.old = old

    def __repr__(self) -> str:
        return repr(self.old)

    def partition(
        self, topic: str, key: Any, serialized_key: bytes | None, value: Any, serialized_value: bytes | None,
        cluster: Cluster,
    ) -> int:  # fmt: skip
        return self.old.partition(topic, serialized_key, cluster)  # type: ignore[no-any-return]


class _Function(Partitioner):
    """A function (serialized key, all partitions, available partitions), which is what kafka-python 1 and 2 took."""

    def __init__(self, function: Callable[[bytes | None, list[int], list[int]], int]) -> None:
        self.function = function

    def __repr__(self) -> str:
        return repr(self.function)

    def partition(
        self, topic: str, key: Any, serialized_key: bytes | None, value: Any, serialized_value: bytes | None,
        cluster: Cluster,
    ) -> int:  # fmt: skip
        return self.function(
            serialized_key,
            known(topic, cluster.partitions_for_topic(topic)),
            sorted(cluster.available_partitions_for_topic(topic) or ()),
        )


def as_partitioner(given: Any) -> Partitioner:
    """A Partitioner for a Partitioner, an object with the older `partition` method, or a function.

    Raises:
        TypeError: `given` is none of these.
    """
    if isinstance(given, Partitioner):
        return given
    if callable(getattr(given, "partition", None)):
        return _OfTopicAndKey(given)
    if callable(given):
        return _Function(given)
    raise TypeError(f"no partitioner: {type(given).__name__}")


def known(topic: str, partitions: Iterable[int] | None) -> list[int]:
    """The partitions in order; ValueError when there are none, for then the topic is not in the metadata."""
    if not partitions:
        raise ValueError(f"Topic {topic} is not in the cluster's metadata.")
    return sorted(partitions)
