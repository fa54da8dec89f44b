"""What all connections of a client share, and whom they tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from kafka.core.backoff import Backoff, Random
from kafka.core.config import Config
from kafka.core.effects import Effect, Notice, Work
from kafka.core.events import Listeners
from kafka.core.flows import Resume, Wish
from kafka.core.timers import Timers
from kafka.errors import KafkaError
from kafka.result import Result

if TYPE_CHECKING:
    from kafka.core.net.channel import Channel


class Owner(Protocol):
    """Whom channels tell what concerns requests."""

    def on_open(self, channel: Channel, now: float) -> None:
        """It takes requests now, for the first time or again."""

    def on_answers(self, channel: Channel, now: float) -> None:
        """Something was answered, so it may have room."""

    def on_down(self, channel: Channel, error: KafkaError, now: float) -> None:
        """It has lost its connection, or could not get one; its requests have all been called back already."""


class Network:
    """What all channels of a client share."""

    def __init__(
        self,
        config: Config,
        random: Random,
        timers: Timers,
        effects: list[Effect],
        owner: Owner,
        events: Listeners,
    ) -> None:
        self.config = config
        self.random = random
        self.timers = timers
        self.effects = effects
        self.owner = owner
        self.events = events
        self.reconnect = Backoff(config.reconnect_backoff, config.reconnect_backoff_max, random)
        self.setup = Backoff(config.connection_setup_timeout, config.connection_setup_timeout_max, random)
        self.by_connection: dict[int, Channel] = {}
        self.looking_up: dict[tuple[str, int], dict[Channel, None]] = {}
        self.working: dict[int, Resume[Result[Any, BaseException]]] = {}  # who waits for the answer to a `Work`
        self.features: dict[str, int] = {}
        self.features_epoch = -1
        # Somebody waits so long for the first broker to answer: each of a name's addresses is to get its turn.
        self.awaited_until = float("-inf")
        self.closed = False  # for good: nothing connects any more
        self._last_id = 0  # of connections and of work

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def work(self, function: Callable[[], Any]) -> Wish[Result[Any, BaseException]]:
        """What `function` returns or raises; the driver calls it on a thread of its own. It may read no state."""

        def start(resume: Resume[Result[Any, BaseException]], now: float) -> Callable[[], None]:
            work_id = self.next_id()
            self.working[work_id] = resume
            self.effects.append(Work(work_id, function))
            return lambda: self.working.pop(work_id, None) and None

        return Wish(start)

    def note(self, notice: Notice | None) -> None:
        if notice is not None:
            self.effects.append(notice)
