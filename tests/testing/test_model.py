"""The broker model knows no socket, thread or clock, nor who mounts it; both clusters answer by it."""

import pytest
from testing.wire import Closed, Peer

from kafka.protocol import MetadataRequest, MetadataResponse
from kafka.testing import EmbeddedCluster
from kafka.testing.model.handlers import HANDLERS
from kafka.testing.model.world import Hangup, Later
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


def hung_up():
    raise Hangup


@pytest.mark.parametrize(
    "complete, answered",
    [
        (lambda: MetadataResponse(cluster_id="c"), True),
        (lambda: MetadataResponse(cluster_id=5), False),  # cannot be written
        (lambda: 1 / 0, False),
        (hung_up, False),
    ],
    ids=["good", "not encodable", "raises", "hangs up"],
)
@pytest.mark.parametrize("early", [True, False])
def test_an_answer_that_is_held_back_comes_or_costs_the_connection(complete, answered, early):
    """Never does the connection stay and say nothing more, even where it was there before the handler had returned."""

    def handler(node, header, request):
        later = Later(complete)
        if early:
            later.ready()
        else:
            node.cluster.world.after(0.01, later.ready)
        return later

    with EmbeddedCluster() as cluster:
        node = cluster.nodes[0]
        node.handlers[MetadataRequest.API_KEY] = handler
        with Peer(node.address) as peer:
            if answered:
                assert peer.ask(MetadataRequest(topics=[]), 9).cluster_id == "c"
            else:
                with pytest.raises(Closed):
                    peer.ask(MetadataRequest(topics=[]), 9)
