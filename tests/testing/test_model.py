"""The broker model knows no socket, thread or clock, nor who mounts it; both clusters answer by it."""

import pytest

from kafka.testing import EmbeddedCluster
from kafka.testing.model.handlers import HANDLERS
from kafka.testing.simulator import Network, SimCluster, Simulation
from tests.test_layering import ROOT, WORLD, imports, modules

MODEL = [(name, path) for name, path in modules(ROOT) if name.startswith("kafka.testing.model")]


@pytest.mark.parametrize("name, path", MODEL, ids=[name.rpartition(".")[2] for name, _ in MODEL])
def test_it_stands_alone(name, path):
    for imported in imports(name, path):
        assert imported.partition(".")[0] not in WORLD, f"{name} imports {imported}"
        if imported.startswith("kafka."):
            allowed = ("kafka.protocol", "kafka.records", "kafka.result", "kafka.testing.model")
            assert imported.startswith(allowed), f"{name} imports {imported}"


def test_every_handler_is_mounted_by_both():
    keys = {request.API_KEY for request in HANDLERS}
    with EmbeddedCluster() as cluster:
        assert {key: cluster.nodes[0].handlers[key] for key in keys} == {
            request.API_KEY: handler for request, handler in HANDLERS.items()
        }
    simulated = SimCluster(Network(Simulation(1))).brokers[0].handlers
    assert set(simulated) == keys
    own = {key for key in keys if not simulated[key].__module__.startswith("kafka.testing.model")}
    assert own == {0, 2, 3, 10, 22, 61}, "faults are laid around these"
