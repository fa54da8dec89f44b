"""Agents that patch kafka-python, as their users start them; each in an environment and a process of its own.

Nothing but the embedded broker is spoken to: the programs beside this file read spans where they would be sent.
What they wrap is tested without them in tests/producer/test_instrumented.py.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from compat.environment import OUR_PATH, OURS, python_with

from kafka.testing import EmbeddedCluster

# Each begins with no_network.
PROGRAMS = Path(__file__).with_name("programs")
# Each is what its package held when these tests were written. SkyWalking's 1.3.0 lacks half of its own modules.
VERSIONS = {
    "instana": "instana==3.20.0",
    "newrelic": "newrelic==14.1.0",
    "elastic": "elastic-apm==6.26.2",
    "skywalking": "apache-skywalking==1.2.0",
    "ddtrace": "ddtrace==4.16.0",
    "sentry": "sentry-sdk==2.75.0",
}
EXPECTED = {
    "instana": {
        "sent": 2,
        "read": 2,
        "spans": [
            {"service": "t", "access": access, "error": None} for access in ("send", "send", "consume", "consume")
        ],
    },
    "newrelic": {
        "sent": 6,
        "metrics": ["MessageBroker/Kafka/Nodes/BOOTSTRAP/Produce/t"],
        "spans": ["MessageNode", "MessageNode"],
        "read": [True, True],  # with headers: those that connect traces
        "transactions": ["Named/t", "Named/t"],
    },
    "elastic": {
        "sent": 2,
        "read": 2,
        "spans": ["Kafka SEND to t", "Kafka SEND to t", "Kafka RECEIVE from t", "Kafka POLL from t"],
        "brokers": ["BOOTSTRAP", "BOOTSTRAP"],
    },
    "skywalking": {"sent": 2, "read": 2, "spans": ["Kafka/t/Consumer/"] * 2 + ["Kafka/t/Producer"] * 2 + ["test"]},
    "ddtrace": {"sent": 2, "spans": ["kafka.send"] * 2},
    "sentry": {"sent": 2, "events": [["kafka.producer", "of the callback"]]},
}


@pytest.mark.parametrize("agent", VERSIONS)
def test_sends_and_tells_of_it(agent: str) -> None:
    with EmbeddedCluster(topics={"t": 3}) as cluster:
        found = run(agent, cluster.bootstrap)
        values = sorted(record.value for partition in range(3) for record in cluster.records("t", partition))
    assert found == EXPECTED[agent]
    assert len(values) == found["sent"] + (agent == "sentry")


def run(agent: str, bootstrap: str) -> Any:
    done = subprocess.run(
        [python_with(*OURS, VERSIONS[agent]), PROGRAMS / f"{agent}_agent.py", bootstrap, "t"],
        env={**os.environ, "PYTHONPATH": OUR_PATH},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1].replace(bootstrap, "BOOTSTRAP"))
