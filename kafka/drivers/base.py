"""What every driver does alike: it carries out the core's effects, and ends what is under way when it ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from kafka._log import Log
from kafka.core.effects import Close, Connect, Effect, Notice, Resolve, Secure, Send, Work
from kafka.errors import KafkaError

if TYPE_CHECKING:
    from kafka.core.core import Core

log = Log("kafka.driver")


class Desk(Protocol):
    """What a client's threads share with its IO thread: where they put work and find what came of it.

    A producer's is its accumulator. This is how the driver uses it, always on the IO thread.
    """

    def begin(self) -> None:
        """The IO thread begins: it is the one that calls this."""

    def sleep(self, until: float) -> bool:
        """It is about to sleep, until clock second `until` or until whoever brings work wakes it.

        False where there is work already, or will be before: then it does not sleep.
        """

    def awake(self) -> None:
        """It looks for work by itself: nobody need wake it."""

    def after_turn(self) -> None:
        """Whoever waited for what this turn has freed may go on."""

    def close(self) -> None:
        """Take nothing more: the IO thread ends."""

    def abandon(self, error: KafkaError) -> None:
        """Fail with `error` whatever the core's parts have left: nobody will look at it any more."""


class BaseDriver:
    """Hands each effect of a core to the method for its kind, which a driver provides."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def _send(self, effect: Send) -> None:
        raise NotImplementedError

    def _connect(self, effect: Connect) -> None:
        raise NotImplementedError

    def _secure(self, effect: Secure) -> None:
        raise NotImplementedError

    def _close(self, effect: Close) -> None:
        raise NotImplementedError

    def _resolve(self, effect: Resolve) -> None:
        raise NotImplementedError

    def _work(self, effect: Work) -> None:
        raise NotImplementedError

    def _notice(self, effect: Notice) -> None:
        raise NotImplementedError

    def carry_out(self) -> None:
        """Carry out what the core wants, and what it wants in consequence."""
        while effects := self.core.effects():
            for effect in effects:
                getattr(self, _METHODS[type(effect)])(effect)

    def _end(self, desk: Desk | None, error: KafkaError, now: float) -> None:
        """Fail with `error` all that is under way; by a bug perhaps, so no step relies on another."""
        steps: list[Callable[[], Any]] = [partial(self.core.close, error, now), self.carry_out]
        if desk is not None:
            # First it takes nothing more: what came after the core's parts were closed would never be told.
            steps = [desk.close, *steps, partial(desk.abandon, error)]
        for step in steps:
            try:
                step()
            except BaseException:
                log.exception("what the IO thread left behind cannot be put in order")


_METHODS: dict[type[Effect], str] = {
    Send: "_send",
    Connect: "_connect",
    Secure: "_secure",
    Close: "_close",
    Resolve: "_resolve",
    Work: "_work",
    Notice: "_notice",
}
