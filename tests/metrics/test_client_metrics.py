"""What any client measures, under the name of its kind."""

from __future__ import annotations

from kafka.metrics.client import ClientMetrics
from kafka.protocol import MetadataRequest
from tests.metrics.measured import BROKER, GAUGES


def test_groups_are_named_after_the_kind_of_client() -> None:
    metrics = ClientMetrics("consumer", GAUGES)
    metrics.connected(BROKER, 0.1, 100.0)
    metrics.request(BROKER, MetadataRequest, 12, 50, 100.0)
    metrics.response(BROKER, MetadataRequest, 12, 200, 0.010, None, 100.01)
    values = metrics.values(101.0)
    assert values.keys() == {"kafka-metrics-count", "consumer-metrics", "consumer-node-metrics.node-0"}
    assert values["consumer-metrics"]["request-total"] == 1
    assert values["consumer-metrics"]["connection-count"] == 0
    assert values["consumer-node-metrics.node-0"]["incoming-byte-total"] == 200
    assert not [name for name in values["consumer-metrics"] if "produce" in name or "record" in name]
