"""What the IO thread hands to the thread that reads, and what comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kafka._codec import Fetched, ReadPosition
from kafka.errors import KafkaError


class Failure:
    """Why nothing comes of a partition. It counts only as long as the position is of this generation."""

    __slots__ = ("error", "generation", "is_told", "position", "sticks")

    def __init__(self, position: ReadPosition, error: KafkaError, sticks: bool) -> None:
        self.position = position
        self.generation = position.generation
        self.error = error
        self.sticks = sticks  # nothing more comes until the position is moved: it is told at each call
        self.is_told = False

    @property
    def is_stale(self) -> bool:
        return self.generation != self.position.generation


class Deliveries:
    """Two queues between two threads; each end is used by one of them alone."""

    def __init__(self) -> None:
        self.arrived: deque[Fetched | Failure] = deque()
        self.returned: deque[Fetched] = deque()  # those that the reader has no more use for
        self.is_starving = False  # a Fetch waits for memory that the reader has to give back
        self.tell: Callable[[], None] = lambda: None  # something has arrived; called on the IO thread
