"""Flows: coroutines that the core runs in its own time."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from kafka.core.flows import Flow, Resume, Signal, Task, Wish, first, pause, until, within
from kafka.core.timers import Timers


class Desk:
    """Grants wishes when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Resume[Any]]] = []
        self.withdrawn: list[str] = []

    def wish(self, name: str) -> Wish[Any]:
        def start(resume: Resume[Any], now: float) -> Any:
            self.waiting.append((name, resume))
            return lambda: self.withdrawn.append(name)

        return Wish(start)

    def grant(self, value: Any, now: float) -> None:
        self.waiting.pop(0)[1](value, now)


def run(flow: Flow[Any]) -> tuple[Task[Any], list[tuple[Any, float]]]:
    results: list[tuple[Any, float]] = []
    return Task(flow, lambda value, now: results.append((value, now))).start(0.0), results


def at_once(value: Any) -> Wish[Any]:
    return Wish(lambda resume, now: resume(value, now))


def test_a_flow_gets_what_came_of_its_wishes_and_when() -> None:
    desk = Desk()

    async def flow() -> Any:
        first = await desk.wish("a")
        second = await desk.wish("b")
        return [first, second]

    task, results = run(flow())
    desk.grant("x", 1.0)
    assert results == [] and not task.is_over
    desk.grant("y", 2.5)
    assert results == [([("x", 1.0), ("y", 2.5)], 2.5)] and task.is_over


def test_flows_call_flows() -> None:
    desk = Desk()

    async def ask(name: str) -> str:
        value, _ = await desk.wish(name)
        return f"{name}{value}"

    async def flow() -> str:
        return await ask("a") + await ask("b")

    _, results = run(flow())
    desk.grant(1, 0.0)
    desk.grant(2, 3.0)
    assert results == [("a1b2", 3.0)]


def test_wishes_granted_at_once_do_not_pile_up() -> None:
    async def flow() -> int:
        total = 0
        for number in range(50_000):
            value, _ = await at_once(number)
            total += value
        return total

    _, results = run(flow())
    assert results == [(sum(range(50_000)), 0.0)]


def test_a_pause_is_a_timer() -> None:
    timers = Timers()

    async def flow() -> float:
        _, now = await pause(timers, 0.5)
        _, now = await pause(timers, 0.25)
        return now

    task, results = run(flow())
    timers.fire(0.4)
    assert results == []
    timers.fire(0.6)
    timers.fire(0.84)
    assert results == []
    timers.fire(0.85)
    assert results == [(0.85, 0.85)]
    assert timers.next_deadline() == float("inf")


def test_a_cancelled_flow_ends_where_it_waits_and_takes_its_wish_back() -> None:
    desk, ended = Desk(), []

    async def flow() -> None:
        try:
            await desk.wish("a")
        finally:
            ended.append(True)

    task, results = run(flow())
    task.cancel()
    assert ended == [True] and desk.withdrawn == ["a"] and task.is_over
    desk.grant("late", 1.0)
    task.cancel()
    assert results == [] and desk.withdrawn == ["a"]


def test_a_flow_that_cancels_itself_is_not_resumed() -> None:
    desk = Desk()
    tasks: list[Task[Any]] = []
    seen = []

    async def flow() -> None:
        await desk.wish("a")
        tasks[0].cancel()
        seen.append("still here")
        await desk.wish("b")
        seen.append("never")

    task, results = run(flow())
    tasks.append(task)
    desk.grant(None, 1.0)
    assert seen == ["still here"] and results == [] and task.is_over
    assert [name for name, _ in desk.waiting] == []


def test_cancelled_by_the_wish_it_has_just_begun() -> None:
    tasks: list[Task[Any]] = []
    withdrawn: list[bool] = []

    def start(resume: Resume[Any], now: float) -> Any:
        tasks[0].cancel()
        return lambda: withdrawn.append(True)

    desk = Desk()

    async def flow() -> None:
        await desk.wish("a")
        await Wish(start)
        raise AssertionError("resumed")

    task, results = run(flow())
    tasks.append(task)
    desk.grant(None, 1.0)
    assert task.is_over and results == [] and withdrawn == [True]


def test_cancelled_after_its_wish_was_granted_at_once() -> None:
    tasks: list[Task[Any]] = []
    seen: list[str] = []

    def start(resume: Resume[Any], now: float) -> None:
        resume(None, now)
        tasks[0].cancel()

    desk = Desk()

    async def flow() -> None:
        await desk.wish("a")
        await Wish(start)
        seen.append("went on")

    task, results = run(flow())
    tasks.append(task)
    desk.grant(None, 1.0)
    assert task.is_over and results == [] and seen == []


@pytest.mark.parametrize("again", ["value", "other"])
def test_only_the_first_word_counts(again: str) -> None:
    desk = Desk()

    async def flow() -> Any:
        first, _ = await desk.wish("a")
        second, _ = await desk.wish("b")
        return first, second

    _, results = run(flow())
    resume = desk.waiting[0][1]
    desk.grant("value", 1.0)
    resume(again, 1.5)
    assert results == []
    desk.grant("b", 2.0)
    assert results == [(("value", "b"), 2.0)]


def test_what_a_flow_raises_reaches_whoever_granted_its_wish() -> None:
    desk = Desk()

    async def flow() -> None:
        await desk.wish("a")
        raise RuntimeError("a bug")

    task, results = run(flow())
    with pytest.raises(RuntimeError, match="a bug"):
        desk.grant(None, 1.0)
    assert task.is_over and results == []
    task.cancel()


def test_a_flow_that_nobody_answers_any_more_goes_quietly() -> None:
    desk = Desk()

    async def flow() -> None:
        await desk.wish("a")

    task, _ = run(flow())
    desk.waiting.clear()
    del task
    gc.collect()  # a warning would fail the test


# -- what flows wait for -----------------------------------------------------------------------------------------------


def test_a_signal_resumes_all_who_wait_and_is_not_remembered() -> None:
    signal = Signal()

    async def flow() -> float:
        await signal.wait()
        _, now = await signal.wait()
        return now

    signal.happens(1.0)
    assert not signal.is_awaited
    tasks = [run(flow()) for _ in range(2)]
    signal.happens(2.0)
    assert signal.is_awaited and all(results == [] for _, results in tasks)
    signal.happens(3.0)
    assert [results for _, results in tasks] == [[(3.0, 3.0)]] * 2 and not signal.is_awaited


def test_a_cancelled_flow_waits_for_no_signal() -> None:
    signal = Signal()

    async def flow() -> None:
        await signal.wait()

    task, _ = run(flow())
    task.cancel()
    assert not signal.is_awaited


@pytest.mark.parametrize("by_signal", [True, False])
def test_whichever_comes_first(by_signal: bool) -> None:
    timers, signal = Timers(), Signal()

    async def flow() -> float:
        _, now = await first(pause(timers, 1.0), signal.wait())
        return now

    _, results = run(flow())
    if by_signal:
        signal.happens(0.5)
    else:
        timers.fire(1.0)
    assert results == [(0.5 if by_signal else 1.0,) * 2]
    assert not signal.is_awaited and timers.next_deadline() == float("inf")
    signal.happens(2.0)
    timers.fire(5.0)
    assert len(results) == 1


def test_one_of_them_at_once() -> None:
    timers = Timers()

    async def flow() -> float:
        _, now = await first(at_once(1), pause(timers, 1.0))
        return now

    _, results = run(flow())
    assert results == [(0.0, 0.0)] and timers.next_deadline() == float("inf")


def test_until_a_moment_and_not_at_all_where_it_is_over() -> None:
    timers = Timers()

    async def flow() -> float:
        _, now = await until(timers, 2.0)
        _, now = await until(timers, 1.0)
        return now

    task, results = run(flow())
    timers.fire(1.9)
    assert results == []
    timers.fire(2.5)
    assert results == [(2.5, 2.5)] and timers.next_deadline() == float("inf")
    task = run(flow())[0]
    task.cancel()
    assert timers.next_deadline() == float("inf")


def test_a_wish_within_a_time() -> None:
    timers, desk = Timers(), Desk()

    async def flow() -> Any:
        return await within(timers, 2.0, desk.wish("a"))

    _, results = run(flow())
    desk.grant("in time", 1.0)
    timers.fire(5.0)
    assert results == [(("in time", 1.0), 1.0)] and desk.withdrawn == [] and timers.next_deadline() == float("inf")
    _, results = run(flow())
    timers.fire(2.0)
    assert results == [((None, 2.0), 2.0)] and desk.withdrawn == ["a"]
    desk.grant("late", 3.0)
    task, none = run(flow())
    task.cancel()
    assert len(results) == 1 and none == [] and desk.withdrawn == ["a", "a"]
    assert timers.next_deadline() == float("inf")


def test_a_wish_that_is_granted_at_once() -> None:
    timers = Timers()

    async def flow() -> Any:
        return await within(timers, 2.0, at_once("x"))

    _, results = run(flow())
    assert results == [(("x", 0.0), 0.0)] and timers.next_deadline() == float("inf")
