"""Who is called with what, what a hook that raises does, and what reaches the log."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from kafka import hooks
from kafka.core.cluster.snapshot import EMPTY
from kafka.core.events import Listeners
from kafka.errors import KafkaTimeoutError
from kafka.hooks import Broker, Hooks, LoggingHooks, listeners
from kafka.protocol import ProduceRequest

T3 = ("t", 3, 10, 99)  # topic, partition, records, bytes
NODE: Any = SimpleNamespace(id=1, host="kafka1", port=9092)
BROKER = Broker(1, "kafka1", 9092)
ERROR = KafkaTimeoutError("late")
BATCH: Any = SimpleNamespace(topic="t", partition=3, records=10, size=99, plain=199, created=8.5, attempts=1)
SENT: Any = {"a partition": BATCH}
# Each event as the core tells it, and as hooks get it.
EVENTS: dict[str, tuple[str, tuple[Any, ...], Any]] = {
    "connected": ("on_connect", (NODE, 0.5, 9.0), hooks.Connected(BROKER, 0.5)),
    "disconnected": ("on_disconnect", (NODE, ERROR, 9.0), hooks.Disconnected(BROKER, ERROR)),
    "failing": ("on_broker_failing", (NODE, ERROR, 9.0), hooks.BrokerFailing(BROKER, ERROR)),
    "recovered": ("on_broker_recovered", (NODE, 5.5, 9.0), hooks.BrokerRecovered(BROKER, 5.5)),
    "request": ("on_request", (NODE, ProduceRequest, 12, 99, 9.0), hooks.RequestSent(BROKER, "Produce", 12, 99)),
    "response": (
        "on_response",
        (NODE, ProduceRequest, 12, 99, 0.5, None, 9.0),
        hooks.ResponseReceived(BROKER, "Produce", 12, 99, 0.5, None),
    ),
    "throttled": ("on_throttle", (NODE, 0.5, 9.0), hooks.Throttled(BROKER, 0.5)),
    "batches_sent": ("on_batch_sent", (SENT, 9.0), hooks.BatchSent(*T3, 199, 0.5, 1)),
    "batch_retried": ("on_batch_retried", (*T3, 2, ERROR, 9.0), hooks.BatchRetried(*T3, 2, ERROR)),
    "batch_delivered": ("on_batch_delivered", (*T3, 0.5, 7, 9.0), hooks.BatchDelivered(*T3, 0.5, 7)),
    "batch_failed": ("on_batch_failed", (*T3, 0.5, ERROR, 9.0), hooks.BatchFailed(*T3, 0.5, ERROR)),
    "fetched": ("on_records_fetched", (*T3, 12, 9.0), hooks.RecordsFetched(*T3, 12)),
    "committed": ("on_offsets_committed", ("g", {}, 0.5, ERROR, 9.0), hooks.OffsetsCommitted("g", {}, 0.5, ERROR)),
    "rebalanced": ("on_rebalance", ("g", (1,), (2,), (), 9.0), hooks.Rebalanced("g", (1,), (2,), ())),
    "leader_changed": ("on_leader_changed", ("t", 3, 1, 2, 5, 9.0), hooks.LeaderChanged("t", 3, 1, 2, 5)),
    "metadata": ("on_metadata", (EMPTY, 9.0), hooks.MetadataReceived(None, -1, (), 0)),
}  # fmt: skip


class Everything:
    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda event: self.seen.append((name, event))


def test_every_event_is_in_this_table() -> None:
    assert EVENTS.keys() == set(Listeners.__slots__)
    assert {method for method, _, _ in EVENTS.values()} == set(hooks.METHODS)
    assert set(hooks.METHODS) == {name for name in dir(Hooks) if name.startswith("on_")}


@pytest.mark.parametrize("event", EVENTS)
def test_what_a_hook_is_told(event: str) -> None:
    method, said, expected = EVENTS[event]
    hook = Everything()
    getattr(listeners([hook]), event)(*said)
    assert hook.seen == [(method, expected)]


def test_each_batch_of_a_request_is_an_event_of_its_own() -> None:
    hook = Everything()
    plain: Any = SimpleNamespace(topic="u", partition=0, records=1, size=99, plain=0, created=8.5, attempts=2)
    listeners([hook]).batches_sent({**SENT, "another": plain}, 9.0)  # type: ignore[misc]
    assert hook.seen == [
        ("on_batch_sent", hooks.BatchSent(*T3, 199, 0.5, 1)),
        ("on_batch_sent", hooks.BatchSent("u", 0, 1, 99, 99, 0.5, 2)),
    ]


def test_only_what_somebody_wants_is_called() -> None:
    class Inherits(Hooks):
        def on_connect(self, event: hooks.Connected) -> None: ...

    class Plain:
        def on_throttle(self, event: hooks.Throttled) -> None: ...

    class Recorder:
        def request(self, *args: Any) -> None: ...

    recorder = Recorder()
    made = listeners([Inherits(), Plain()], recorder)
    wanted = {event for event in Listeners.__slots__ if getattr(made, event) is not None}
    assert wanted == {"connected", "throttled", "request"}
    assert made.request == recorder.request  # itself: nothing in between
    nobody = listeners([])
    assert not [event for event in Listeners.__slots__ if getattr(nobody, event) is not None]


def test_all_hooks_hear_of_it_in_order_and_the_recorder_first() -> None:
    heard = []
    first = SimpleNamespace(on_throttle=lambda event: heard.append("first"))
    second = SimpleNamespace(on_throttle=lambda event: heard.append("second"))
    recorder = SimpleNamespace(throttled=lambda node, seconds, now: heard.append("recorder"))
    listeners([first, second], recorder).throttled(NODE, 0.5, 9.0)  # type: ignore[misc]
    assert heard == ["recorder", "first", "second"]


def test_a_hook_that_raises_is_logged_once_a_minute_and_disturbs_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 50.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    heard = []

    class Bad:
        def on_throttle(self, event: Any) -> None:
            raise RuntimeError("bad hook")

    good = SimpleNamespace(on_throttle=heard.append)
    tell: Any = listeners([Bad(), good]).throttled
    for _ in range(5):
        tell(NODE, 0.5, 9.0)
    assert len(heard) == 5
    assert [record.name for record in caplog.records] == ["kafka.hooks"]
    assert "Bad.on_throttle raised" in caplog.text
    assert caplog.text.count("RuntimeError: bad hook") == 1
    now += 60
    tell(NODE, 0.5, 9.0)
    assert len(caplog.records) == 2
    assert caplog.records[1].getMessage().endswith("(4 such lines before this one were left out)")


# -- logging -----------------------------------------------------------------------------------------------------------


def test_what_the_logging_hooks_write(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hook = LoggingHooks(logging.getLogger("mine"))
    made: Any = listeners([hook])
    for event, (_, said, _) in EVENTS.items():
        getattr(made, event)(*said)
    levels = {
        "connected to broker 1 at kafka1:9092 in 0.500 s": "INFO",
        "lost the connection to broker 1 at kafka1:9092: KafkaTimeoutError: late": "WARNING",
        "broker 1 at kafka1:9092 fails: KafkaTimeoutError: late": "WARNING",
        "broker 1 at kafka1:9092 is back after 5.5 s": "INFO",
        "Produce v12 to broker 1 at kafka1:9092: 99 bytes": "DEBUG",
        "Produce v12 at broker 1 at kafka1:9092: 99 bytes after 500.0 ms: answered": "DEBUG",
        "broker 1 at kafka1:9092 throttles this client for 0.500 s": "WARNING",
        "10 records for t[3] have to be sent again (sent 2 times): KafkaTimeoutError: late": "WARNING",
        "10 records for t[3] have failed: KafkaTimeoutError: late": "ERROR",
        "offsets of group g were not committed: KafkaTimeoutError: late": "WARNING",
        "group g: 1 partitions assigned, 1 revoked, 0 lost": "INFO",
        "t[3] is led by 2, no longer by 1": "INFO",
    }
    written = {record.getMessage(): record.levelname for record in caplog.records}
    assert {line: written.get(line) for line in levels} == levels
    assert {level for line, level in written.items() if line not in levels} == {"DEBUG"}
    assert len(written) == len(EVENTS)
    assert {record.name for record in caplog.records} == {"mine"}


def test_repeated_trouble_is_one_line_a_minute_for_each_place(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 50.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    hook = LoggingHooks()
    for _ in range(3):
        hook.on_batch_failed(hooks.BatchFailed(*T3, 0.5, ERROR))
        hook.on_batch_failed(hooks.BatchFailed("other", 3, 10, 99, 0.5, ERROR))
    assert len(caplog.records) == 2
    now += 60
    hook.on_batch_failed(hooks.BatchFailed(*T3, 0.5, ERROR))
    assert caplog.records[2].getMessage().endswith("(2 such lines before this one were left out)")


def test_an_idle_connections_end_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    LoggingHooks().on_disconnect(hooks.Disconnected(BROKER, None))
    [record] = caplog.records
    assert (record.levelname, record.name) == ("INFO", "kafka.events")
