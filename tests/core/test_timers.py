from __future__ import annotations

import random
from pathlib import Path

import pytest

from kafka.core.backoff import Backoff
from kafka.core.net.states import TRANSITIONS, ConnectionEvent, ConnectionState, diagram
from kafka.core.timers import Timers


def test_timers_fire_in_order_of_deadline_then_creation() -> None:
    timers, fired = Timers(), []
    for name, deadline in [("b", 2.0), ("a", 1.0), ("c", 2.0), ("d", 3.0)]:
        timers.at(deadline, lambda now, name=name: fired.append((name, now)))
    assert timers.next_deadline() == 1.0
    timers.fire(0.9)
    assert fired == []
    timers.fire(2.0)
    assert fired == [("a", 2.0), ("b", 2.0), ("c", 2.0)]
    assert timers.next_deadline() == 3.0
    timers.fire(10.0)
    assert fired[-1] == ("d", 10.0)
    assert timers.next_deadline() == float("inf")


def test_a_cancelled_timer_is_silent_and_sets_no_deadline() -> None:
    timers, fired = Timers(), []
    first = timers.at(1.0, lambda now: fired.append("first"))
    timers.at(2.0, lambda now: fired.append("second"))
    first.cancel()
    first.cancel()
    assert timers.next_deadline() == 2.0
    timers.fire(5.0)
    assert fired == ["second"]


def test_a_timer_may_cancel_another_that_is_due_too() -> None:
    timers, fired = Timers(), []
    timers.at(1.0, lambda now: second.cancel())
    second = timers.at(1.0, lambda now: fired.append("second"))
    timers.fire(1.0)
    assert fired == []


def test_a_timer_that_sets_one_for_now_does_not_loop() -> None:
    timers, count = Timers(), 0

    def again(now: float) -> None:
        nonlocal count
        count += 1
        timers.at(now, again)

    timers.at(1.0, again)
    timers.fire(1.0)
    assert count == 1
    assert timers.next_deadline() == 1.0


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers()
    kept = timers.at(5e6, lambda now: None)
    for index in range(10_000):
        timers.at(1e6 + index, lambda now: None).cancel()
    assert len(timers._heap) < 200
    assert timers.next_deadline() == kept.deadline


def test_backoff_doubles_to_its_limit_with_jitter() -> None:
    backoff = Backoff(0.1, 1.0, random.Random(1))
    for failures, expected in [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (6, 1.0), (10_000, 1.0)]:
        delays = [backoff.delay(failures) for _ in range(200)]
        assert min(delays) >= 0.8 * expected
        assert max(delays) <= 1.2 * expected
        assert max(delays) - min(delays) > 0.2 * expected


def test_every_state_is_in_the_table_and_can_end() -> None:
    assert set(TRANSITIONS) == set(ConnectionState)
    for state, row in TRANSITIONS.items():
        assert all(
            isinstance(event, ConnectionEvent) and isinstance(after, ConnectionState) for event, after in row.items()
        )
        assert (row.get(ConnectionEvent.CLOSE) is ConnectionState.CLOSED) == (state is not ConnectionState.CLOSED)


def test_only_a_negotiated_connection_is_ready() -> None:
    into_ready = [
        (state, event) for state, row in TRANSITIONS.items() for event, to in row.items() if to is ConnectionState.READY
    ]
    assert into_ready == [
        (ConnectionState.NEGOTIATING, ConnectionEvent.NEGOTIATED),
        (ConnectionState.AUTHENTICATING, ConnectionEvent.AUTHENTICATED),
        (ConnectionState.REAUTHENTICATING, ConnectionEvent.AUTHENTICATED),
    ]
    with pytest.raises(KeyError):
        TRANSITIONS[ConnectionState.CONNECTING][ConnectionEvent.NEGOTIATED]


def test_the_documentation_shows_the_table() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "connection-states.md"
    assert f"```mermaid\n{diagram()}\n```" in page.read_text("utf-8")


def test_what_kept_timers_from_firing_is_told_to_those_who_were_there() -> None:
    timers = Timers()
    assert timers.held_up(0.0) == ""
    timers.on_held_up(130.0, 1000.0)
    timers.on_held_up(2.0, 1010.0)  # a shorter one does not hide it
    assert "for 130.0 s" in timers.held_up(900.0) and "callback" in timers.held_up(900.0)
    assert timers.held_up(1000.1) == ""
    timers.on_held_up(2.0, 2000.0)  # but in time it does
    assert "for 2.0 s" in timers.held_up(1999.0)
