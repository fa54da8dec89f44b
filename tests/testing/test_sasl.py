"""How `EmbeddedCluster` treats what comes too early, as Apache Kafka does over TLS."""

from __future__ import annotations

import time
from typing import Any

from certificates import Certificates

from kafka import KafkaProducer
from kafka.protocol import ApiVersionsRequest, SaslAuthenticateRequest, SaslHandshakeRequest, encode_request
from kafka.testing import EmbeddedCluster
from tests.testing.wire import Peer

STALL = 0.3


def conversation(password: str = "secret") -> tuple[tuple[Any, int], ...]:
    return (
        (ApiVersionsRequest(client_software_name="x", client_software_version="1"), 3),
        (SaslHandshakeRequest(mechanism="PLAIN"), 1),
        (SaslAuthenticateRequest(auth_bytes=b"\0alice\0" + password.encode()), 2),
    )


def in_one_write(peer: Peer, password: str = "secret") -> float:
    """How long the conversation takes when all of it is sent at once."""
    began = time.monotonic()
    frames = []
    for request, version in conversation(password):
        peer.count += 1
        peer.sent.append((type(request).RESPONSE, version))
        frames += encode_request(request, version, peer.count, "test").unwrap()
    peer.socket.sendall(b"".join(frames))
    while peer.sent:
        assert peer.receive().error_code == 0
    return time.monotonic() - began


def test_what_comes_early_waits_where_that_is_wanted() -> None:
    with EmbeddedCluster(users={"alice": "secret"}) as cluster:
        assert cluster.sasl is not None
        with Peer(cluster.bootstrap) as peer:
            in_one_write(peer)
        assert cluster.sasl.counts["early"] == 2
        cluster.sasl.early_frames_take = STALL
        with Peer(cluster.bootstrap) as peer:
            assert in_one_write(peer) >= 2 * STALL  # ApiVersions goes first
        with Peer(cluster.bootstrap) as peer:
            for request, version in conversation():
                assert peer.ask(request, version).error_code == 0
        assert cluster.sasl.counts["early"] == 4


def test_clients_send_nothing_early(certificates: Certificates) -> None:
    with EmbeddedCluster(
        topics={"t": 1}, host="localhost", users={"alice": "secret"}, tls=certificates.server()
    ) as cluster:
        assert cluster.sasl is not None
        cluster.sasl.early_frames_take = STALL
        for mechanism in ("PLAIN", "SCRAM-SHA-256"):
            with KafkaProducer(
                bootstrap_servers=cluster.bootstrap, security_protocol="SASL_SSL", ssl_cafile=certificates["ca.pem"],
                sasl_mechanism=mechanism, sasl_plain_username="alice", sasl_plain_password="secret",
            ) as producer:  # fmt: skip
                assert producer.send("t", b"x").get(10).offset >= 0
        assert cluster.sasl.counts["accepted"] and not cluster.sasl.counts["early"]
