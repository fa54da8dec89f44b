"""The core under seeded faults: every callback once and in time, and all is well again when the faults stop.

`SimDriver` itself checks that no effect names a closed connection. A failing seed is the whole bug report: run it with
`-k "seed_17]"`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from kafka.core.cluster.routes import ANY, CONTROLLER, Coordinator, Leader, ToBroker
from kafka.errors import Cancelled
from kafka.protocol import InitProducerIdRequest, MetadataRequest
from kafka.result import Err, Ok
from kafka.testing.sim_faults import Faults
from tests.sim.pump import Pump
from tests.sim.world import Promise, World

SEEDS = int(os.environ.get("SIM_SEEDS", "40"))
FAULTS_END = 60.0


def start(seed: int) -> tuple[World, Pump, Faults]:
    world = World(seed, request_timeout=4.0, connection_setup_timeout=3.0)
    world.cluster.create_topic("t", 6)
    for broker in world.cluster.brokers:
        broker.least_work = broker.most_work = 0.1  # keeps the number of steps down
    pump = Pump(world, "t", acks=-1 if seed % 4 else 0, timeout=4.0)
    faults = Faults(world.cluster, until=FAULTS_END, every=1.5, kinds=KINDS)
    _ask_something(world)
    return world, pump, faults


def ask(world: World, timeout: float) -> Promise:
    random = world.simulation.random
    kind = random.randrange(6)
    if kind == 0:
        return world.request(ANY, MetadataRequest, lambda version: MetadataRequest(topics=[]), timeout)
    if kind == 1:
        return world.request(CONTROLLER, MetadataRequest, lambda version: MetadataRequest(topics=[]), timeout)
    if kind == 2:
        leader = Leader("t", random.randrange(6))
        return world.request(leader, MetadataRequest, lambda version: MetadataRequest(topics=[]), timeout)
    if kind == 3:
        broker = ToBroker(random.randrange(3))
        return world.request(broker, InitProducerIdRequest, lambda version: init_producer_id(), timeout)
    if kind == 4:
        key = Coordinator(random.randrange(2), f"key{random.randrange(3)}")
        return world.request(key, InitProducerIdRequest, lambda version: init_producer_id(), timeout)
    return world.request(ANY, InitProducerIdRequest, lambda version: init_producer_id(), timeout)


def init_producer_id() -> InitProducerIdRequest:
    return InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000)


def _ask_something(world: World) -> None:
    ask(world, world.simulation.random.choice((0.3, 2.0, 15.0)))
    if world.now < FAULTS_END:
        world.simulation.after(0.7, lambda: _ask_something(world))


def play(seed: int) -> tuple[World, Pump, Faults]:
    world, pump, faults = start(seed)
    assert not world.run(FAULTS_END)
    world.run(25.0)  # half-open connections are found out by a timeout, backoffs run out
    world.checker.check()

    succeeded = pump.succeeded
    promises = [ask(world, 10.0) for _ in range(12)]  # time to find out that an idle connection is half-open
    world.run(10.1)
    for promise in promises:
        assert isinstance(promise.result, Ok), f"{promise.name} after the faults were over: {promise.result}"
    assert pump.succeeded > succeeded + 15
    assert pump.most_in_flight <= 5
    world.checker.check()

    pump.on = False
    world.core.close(Cancelled("The client was closed."), world.now)
    world.client.turn()
    for promise in world.checker.promises:
        assert promise.result is not None, f"{promise.name} was never called"
    return world, pump, faults


# A throttled broker's answers are waited for longer; what that means is tested elsewhere.
KINDS = tuple(kind for kind in Faults.KINDS if kind != "throttle")
COUNTS: Counter[str] = Counter()


@pytest.mark.parametrize("seed", range(SEEDS), ids=lambda seed: f"seed_{seed}")
def test_every_call_ends_once_and_the_client_recovers(seed: int) -> None:
    world, pump, faults = play(seed)
    COUNTS.update(faults.counts)
    COUNTS["a call failed"] += sum(isinstance(promise.result, Err) for promise in world.checker.promises)
    COUNTS["a produce request succeeded"] += pump.succeeded


def test_the_seeds_show_every_kind_of_fault() -> None:
    """Runs after the seeds: faults that never struck would prove nothing."""
    if not COUNTS:
        pytest.skip("run together with the seeds")
    for kind in (*KINDS, "a call failed", "a produce request succeeded"):
        assert COUNTS[kind] > 0, kind


def digest(seed: int) -> str:
    world, _, _ = play(seed)
    return hashlib.sha256(repr(world.simulation.trace).encode()).hexdigest()


def test_a_seed_repeats_exactly() -> None:
    assert digest(3) == digest(3) != digest(5)


def test_a_seed_repeats_exactly_in_another_process() -> None:
    """Nothing may depend on the hash seed: a failing seed must fail on every machine."""
    root = Path(__file__).resolve().parents[2]
    digests = [
        subprocess.run(
            [sys.executable, "-c", "from tests.sim.test_faults import digest; print(digest(3))"],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert digests[0] == digests[1]
