"""Programs that gevent has patched: its greenlets wait for our IO thread, which is none of them."""

from __future__ import annotations

from compat.environment import OUR_PATH, OURS, python_with
from compat.running import outcome, start

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
