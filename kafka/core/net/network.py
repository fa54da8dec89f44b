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
from kafka.result import Err, Result

if TYPE_CHECKING:
    from kafka.core.net.bring_up import Attempt
    from kafka.core.net.channel import Channel


# Who was refused tries again after so many seconds at the earliest: a user or a token may be new to that broker, and
# accounts are locked by those who try too often.
REFUSED_BACKOFF = 1.0
# How many calls beside the IO thread may be under way. Each is a thread, and one that hangs is not heard of again.
MOST_WORK = 32


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
        self.looking_up: dict[tuple[str, int], dict[Attempt, None]] = {}
        self.refused = Backoff(REFUSED_BACKOFF, max(config.reconnect_backoff_max, REFUSED_BACKOFF), random)
        self.mechanism = config.sasl(self) if config.sasl is not None else None
        # Work under way, and who waits for its result: nobody any more, where None.
        self.working: dict[int, Resume[Result[Any, BaseException]] | None] = {}
        self.features: dict[str, int] = {}
        self.features_epoch = -1
        self.answered = False  # whether a broker has answered a request, on a connection that has ended
        # Somebody waits so long for the first broker to answer: each of a name's addresses is to get its turn.
        self.awaited_until = float("-inf")
        self.closed = False  # for good: nothing connects any more
        self._last_id = 0  # of connections and of work

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def was_answered(self) -> bool:
        """Whether a broker has ever answered more than the first request, ApiVersions."""
        live = [channel.connection for channel in self.by_connection.values()]
        return self.answered or any(connection is not None and connection.heard > 1 for connection in live)

    def work(self, function: Callable[[], Any]) -> Wish[Result[Any, BaseException]]:
        """What `function` returns or raises; the driver calls it on a thread of its own. It may read no state."""

        def start(resume: Resume[Result[Any, BaseException]], now: float) -> Callable[[], None] | None:
            if len(self.working) >= MOST_WORK:
                resume(Err(KafkaError(f"{MOST_WORK} calls like it have not returned yet, so it was not made.")), now)
                return None
            work_id = self.next_id()
            self.working[work_id] = resume
            self.effects.append(Work(work_id, function))

            def forget() -> None:
                if work_id in self.working:
                    self.working[work_id] = None

            return forget

        return Wish(start)

    def note(self, notice: Notice | None) -> None:
        if notice is not None:
            self.effects.append(notice)
