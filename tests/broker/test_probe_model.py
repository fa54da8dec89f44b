"""The brokers that come with the client answer as real ones were measured to: tests.broker.probe's table on the logs of
the simulator and of the embedded broker."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from kafka.testing.model.log import Log as BrokerLog
from kafka.testing.sim_log import SimPartition
from kafka.testing.storage import MemoryStorage
from tests.broker import probe
from tests.broker.probe import Answer, Log, State

LEADER = 1
ROWS = {**probe.ROWS, **probe.RESTART_ROWS}


class Model(Protocol):
    def append(self, data: bytes) -> Answer: ...
    def describe(self, producer_id: int) -> State | None: ...
    def restart(self) -> None: ...


class Simulated:
    def __init__(self) -> None:
        self.partition = SimPartition(LEADER)

    def append(self, data: bytes) -> Answer:
        appended = self.partition.append(data)
        return appended.error, appended.base

    def describe(self, producer_id: int) -> State | None:
        state = self.partition.producers.get(producer_id)
        return None if state is None else (state.epoch, state.last)

    def restart(self) -> None:
        self.partition.restarted(LEADER)


class Embedded:
    def __init__(self) -> None:
        self.log = BrokerLog(MemoryStorage())

    def append(self, data: bytes) -> Answer:
        appended = self.log.append(memoryview(bytearray(data)), 11)
        return int(appended.error), appended.base

    def describe(self, producer_id: int) -> State | None:
        state = self.log.producers.known.get(producer_id)
        return None if state is None else (state.epoch, state.last)

    def restart(self) -> None:
        before, self.log = self.log, BrokerLog(MemoryStorage())
        for batch in before:
            self.log.restore(batch.data)


# What a model leaves out.
OLD = "a_restart_forgets_producers_of_old_timestamps"  # none looks at the time in records
NEGATIVE = "sequences_wrap_to_0_and_not_to_the_smallest_number"  # to the simulator that is damage: no client may do it
CASES = [
    pytest.param(model, name, id=f"{model.__name__}-{name}")
    for model, left_out in ((Simulated, {OLD, NEGATIVE}), (Embedded, {OLD}))
    for name in ROWS
    if name not in left_out
]


@pytest.mark.parametrize("model, name", CASES)
def test_row(model: type[Model], name: str) -> None:
    row, expected = ROWS[name]
    broker: Any = model()
    log = Log(1000, lambda data: broker.append(data), lambda producer_id: broker.describe(producer_id))
    for _ in row(log):
        broker.restart()
    assert log.seen == expected
