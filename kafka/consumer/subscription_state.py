"""How a program hears that its consumer's partitions change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection

from kafka.structs import TopicPartition


class ConsumerRebalanceListener(ABC):
    """Passed to `subscribe()`; called while the group moves partitions between its members."""

    @abstractmethod
    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """These partitions are about to go to others: the last moment to commit their offsets."""

    @abstractmethod
    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """These partitions are now ours; reading has not begun."""

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """These partitions have gone already, too late to commit; as revoked, unless overridden."""
        self.on_partitions_revoked(lost)


class AsyncConsumerRebalanceListener(ABC):
    """The same, with coroutines."""

    @abstractmethod
    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """These partitions are about to go to others: the last moment to commit their offsets."""

    @abstractmethod
    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """These partitions are now ours; reading has not begun."""

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """These partitions have gone already, too late to commit; as revoked, unless overridden."""
        await self.on_partitions_revoked(lost)
