"""What is in the log although its answers were lost, and the broker has forgotten most of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from broker.cluster import KafkaCluster
from certificates import Certificates

from kafka import KafkaProducer
from tests.broker import requests
from tests.broker.requests import until
from tests.broker.secured import ShortSessions
from tests.chaos.oracle import Ledger
from tests.chaos.proxy import Proxy
from tests.chaos.three import CONFIGS, batches_of, found_in
from tests.testing.wire import Peer

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

EACH = 10  # records of a batch


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as proxy:
        yield proxy


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.sustained)], ids=["plain", "sessions"])
def cluster(proxy: Proxy, certificates: Certificates, request: pytest.FixtureRequest) -> Iterator[KafkaCluster]:
    """Behind the proxy; with sessions it is the listener over TLS that is there."""
    cluster: KafkaCluster
    if request.param:
        cluster = ShortSessions(certificates, configs=CONFIGS, advertised=[proxy.port])
    else:
        cluster = KafkaCluster(1, {**CONFIGS, "advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}"})
    with cluster:
        proxy.target = cluster.ports[0] if isinstance(cluster, ShortSessions) else cluster.nodes[0].port
        yield cluster


def end(cluster: KafkaCluster, topic: str) -> int:
    with Peer(cluster.nodes[0].address) as peer:
        return requests.high_watermarks(peer, topic, {0: -1}).get(0, -1)


def test_a_broker_that_forgets_what_it_did_not_get_to_say(cluster: KafkaCluster, proxy: Proxy) -> None:
    """Some batches are written and nobody hears of it. After the restart only the last of them is recognised when they
    are sent again; the others are refused as OUT_OF_ORDER_SEQUENCE_NUMBER, and DescribeProducers says that they are
    there."""
    node = cluster.nodes[0]
    topic = "forgetful"
    cluster.create_topic(topic)
    ledger = Ledger()
    sender = ledger.sender(topic)
    over_tls = cluster.client() if isinstance(cluster, ShortSessions) else {}
    producer = KafkaProducer(**{"bootstrap_servers": f"127.0.0.1:{proxy.port}", **over_tls}, linger_ms=50)

    def send_batch() -> None:
        for _ in range(EACH):
            sender.send(producer)

    # Each within linger_ms, so that it is a batch.
    send_batch()
    producer.flush(30)
    proxy.mute.set()
    # Up to five requests in flight; fewer where the broker has been slow to answer.
    written = 1
    while written < 6:
        send_batch()
        try:
            until(lambda wanted=(written + 1) * EACH: end(cluster, topic) == wanted, timeout=5)
        except AssertionError:
            break
        written += 1
    assert written >= 3
    send_batch()  # has to wait for one of those

    node.kill()
    proxy.mute.clear()
    node.start()
    node.wait_ready()
    producer.flush(60)
    producer.close(10)
    log = found_in(batches_of(node, f"{topic}-0", end(cluster, topic)))
    counts = ledger.check(lambda topic, key: 0, {(topic, 0): log})
    assert counts.delivered == counts.sent
    # Not the first, which was heard of; nor the last, which is recognised.
    assert counts.delivered_somewhere == (written - 2) * EACH
