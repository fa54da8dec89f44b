"""Conversations that read from top to bottom: coroutines that the core itself runs, in its own time.

    async def greet(line: Line, now: float) -> Greeting:
        answer, now = await line.ask(HelloRequest(), now)
        _, now = await pause(line.timers, 0.1)
        ...

There is no event loop and no clock: what a flow waits for is a `Wish`, and whoever grants it says what came of it and
when. Nothing of asyncio is involved, so the same inputs give the same effects. A conversation is a flow; the life of
something (a connection, a transaction) stays a table, and a stream (the produce path) stays callbacks.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from kafka.core.timers import Timers

T = TypeVar("T")
Resume = Callable[[T, float], None]
Flow = Coroutine["Wish[Any]", Any, T]


class Wish(Generic[T]):
    """Something to wait for. `await` gives the pair (what came of it, now).

    `start(resume, now)` begins it and sees to it that `resume(value, now)` is called once, at once or later; what it
    returns, if anything, is called when the flow no longer waits.
    """

    __slots__ = ("start",)

    def __init__(self, start: Callable[[Resume[T], float], Callable[[], None] | None]) -> None:
        self.start = start

    def __await__(self) -> Generator[Wish[Any], tuple[T, float], tuple[T, float]]:
        return (yield self)


def pause(timers: Timers, seconds: float) -> Wish[None]:
    """Waits for so long."""

    def start(resume: Resume[None], now: float) -> Callable[[], None]:
        return timers.at(now + seconds, lambda now: resume(None, now)).cancel

    return Wish(start)


def until(timers: Timers, moment: float) -> Wish[None]:
    """Waits for clock second `moment`; not at all where that is over."""

    def start(resume: Resume[None], now: float) -> Callable[[], None] | None:
        if now < moment:
            return timers.at(moment, lambda now: resume(None, now)).cancel
        resume(None, now)
        return None

    return Wish(start)


def within(timers: Timers, seconds: float, wish: Wish[T]) -> Wish[T | None]:
    """What comes of a wish, or None where nothing does for so long; it is then taken back."""

    def start(resume: Resume[T | None], now: float) -> Callable[[], None]:
        is_over = False
        taken_back: Callable[[], None] | None = None

        def withdraw() -> None:
            nonlocal is_over
            is_over = True
            timer.cancel()
            if taken_back is not None:
                taken_back()

        def granted(value: T, now: float) -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                timer.cancel()
                resume(value, now)

        def late(now: float) -> None:
            withdraw()
            resume(None, now)

        timer = timers.at(now + seconds, late)
        taken_back = wish.start(granted, now)
        return withdraw

    return Wish(start)


class Signal:
    """Something a flow waits for that others make happen. What happens while nobody waits is not remembered."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Resume[None]] = []

    @property
    def is_awaited(self) -> bool:
        return bool(self._waiting)

    def happens(self, now: float) -> None:
        waiting, self._waiting = self._waiting, []
        for resume in waiting:
            resume(None, now)

    def wait(self) -> Wish[None]:
        def start(resume: Resume[None], now: float) -> Callable[[], None]:
            self._waiting.append(resume)
            return lambda: self._waiting.remove(resume) if resume in self._waiting else None

        return Wish(start)


def first(*wishes: Wish[Any]) -> Wish[None]:
    """Waits for whichever comes first; the others are taken back."""

    def start(resume: Resume[None], now: float) -> Callable[[], None]:
        withdrawals: list[Callable[[], None]] = []
        is_granted = False

        def withdraw() -> None:
            for each in withdrawals:
                each()

        def granted(value: Any, now: float) -> None:
            nonlocal is_granted
            is_granted = True
            withdraw()
            resume(None, now)

        for wish in wishes:
            if not is_granted and (taken_back := wish.start(granted, now)) is not None:
                withdrawals.append(taken_back)
        return withdraw

    return Wish(start)


def all_of(wishes: Sequence[Wish[T]]) -> Wish[list[T]]:
    """Waits for all of them, which are begun at the same time: what came of each, in their order."""

    def start(resume: Resume[list[T]], now: float) -> Callable[[], None]:
        values: dict[int, T] = {}
        withdrawals: list[Callable[[], None]] = []

        def granted(index: int, value: T, now: float) -> None:
            values[index] = value
            if len(values) == len(wishes):
                resume([values[index] for index in range(len(wishes))], now)

        for index, wish in enumerate(wishes):
            if (taken_back := wish.start(partial(granted, index), now)) is not None:
                withdrawals.append(taken_back)
        if not wishes:
            resume([], now)

        def withdraw() -> None:
            for each in withdrawals:
                each()

        return withdraw

    return Wish(start)


class Task(Generic[T]):
    """A flow under way. `done(value, now)` is called with what it returns, unless it was cancelled."""

    __slots__ = ("_flow", "_done", "_step", "_is_running", "_granted", "_withdraw")

    def __init__(self, flow: Flow[T], done: Resume[T]) -> None:
        self._flow: Flow[T] | None = flow
        self._done = done
        self._step = 0  # counts the wishes: what is said of an earlier one is too late
        self._is_running = False
        self._granted: list[tuple[Any, float]] = []  # what came of the present wish, while the task is running
        self._withdraw: Callable[[], None] | None = None

    def start(self, now: float) -> Task[T]:
        self._run(None, now)
        return self

    @property
    def is_over(self) -> bool:
        return self._flow is None

    def cancel(self) -> None:
        """The flow ends where it waits (its `finally` blocks run); `done` is not called."""
        flow, self._flow = self._flow, None
        self._step += 1
        withdraw, self._withdraw = self._withdraw, None
        if withdraw is not None:
            withdraw()
        if flow is not None and not self._is_running:
            flow.close()

    def _run(self, answer: tuple[Any, float] | None, now: float) -> None:
        flow = self._flow
        assert flow is not None
        self._is_running = True
        try:
            while True:
                try:
                    wish = flow.send(answer)
                except StopIteration as end:
                    returned = end.value
                    break
                except BaseException:
                    self._flow = None
                    raise
                if self._flow is None:  # cancelled by what it has just done
                    flow.close()
                    return
                self._step += 1
                withdraw = wish.start(partial(self._resume, self._step), now)
                if self.is_over:  # cancelled by what its wish began
                    self._granted.clear()
                    flow.close()
                    if withdraw is not None:
                        withdraw()
                    return
                if not self._granted:
                    self._withdraw = withdraw
                    return
                answer = self._granted.pop()
                now = answer[1]
        finally:
            self._is_running = False
        was_cancelled, self._flow = self._flow is None, None
        if not was_cancelled:
            self._done(returned, now)

    def _resume(self, step: int, value: Any, now: float) -> None:
        if step != self._step:
            return
        self._step += 1
        self._withdraw = None
        if self._is_running:  # granted as soon as it was begun
            self._granted.append((value, now))
        else:
            self._run((value, now), now)
