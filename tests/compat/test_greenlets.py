"""Programs in which gevent or eventlet has made greenlets of threads: they wait for our IO thread, which is none."""

from __future__ import annotations

import time

import pytest
from certificates import Certificates
from compat.environment import OUR_PATH, OURS, python_with
from compat.running import outcome, start
from token_server import Asked, TokenServer, granted

from kafka.testing import EmbeddedCluster


def test_a_patched_program_waits_without_stopping_its_greenlets() -> None:
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        python = python_with("gevent", *OURS)
        found = outcome(start(python, "gevent_patched", cluster.bootstrap, "t", path=OUR_PATH))
        values = [record.value for record in cluster.records("t")]
    assert found == {
        "delivered": 4000,
        "others_ran": True,
        "refused": ["KafkaTimeoutError", "IllegalStateError"],
        "child": 0,
        "interrupted": True,
        "more_threads": False,
    }
    assert values[-2:] == [b"child", b"at the end"]


@pytest.mark.parametrize(
    "patch",
    [
        "gevent.monkey.patch_all()",
        "gevent.monkey.patch_thread()",
        "gevent.monkey.patch_all()  # late",
        "eventlet.monkey_patch()",
        "eventlet.monkey_patch(thread=True, socket=False)",
        "eventlet.monkey_patch()  # late",
    ],
)
def test_callbacks_run_where_greenlets_do(patch: str) -> None:
    library = patch.partition(".")[0]
    python = python_with(library, *OURS)
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        found = outcome(start(python, "green_callbacks", cluster.bootstrap, "t", patch, path=OUR_PATH))
        values = [record.value for record in cluster.records("t")]
    if library == "gevent":
        assert found.pop("nothing keeps the hub")
    assert found == {
        "got": 5,
        "delivered beside it": "t",
        "order before": [],
        "order": ["first", "second", "third"],
        "in a greenlet": True,
        "refused": 3,
        "after one that raises": 1,
        "others run beside a consumer": True,
        "read": 1,
        "others run": True,
        "hubs": 1,
        "child": 0,
    }
    assert values[-1] == b"child"


@pytest.mark.parametrize("patch", ["gevent.monkey.patch_all()", "eventlet.monkey_patch()"])
def test_a_token_endpoint_is_asked_beside_greenlets(certificates: Certificates, patch: str) -> None:
    """They run on, and the thread that asks leaves no hub behind."""

    def slow(asked: Asked) -> bytes:
        time.sleep(1.0)
        return granted(asked)

    python = python_with(patch.partition(".")[0], *OURS)
    with EmbeddedCluster(topics={"t": 1}, users={}) as cluster, TokenServer(slow, certificates.server()) as server:
        more = (patch, server.url, certificates["ca.pem"])
        found = outcome(start(python, "green_tokens", cluster.bootstrap, "t", *more, path=OUR_PATH))
    assert found == {"offset": 0, "hubs": 1, "others ran": True} and len(server.asked) == 1
