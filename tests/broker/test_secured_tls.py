"""TLS with Apache Kafka: what arrives, and what the constructor says of each mistake."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from certificates import PASSWORD, Certificates
from fix_tls import ENGINES

from kafka import KafkaProducer
from kafka.errors import NoBrokersAvailable
from tests.broker.tls import TlsKafka

pytestmark = [pytest.mark.kafka, pytest.mark.secured, pytest.mark.usefixtures("tls_engine")]


@pytest.fixture(scope="module")
def kafka(certificates: Certificates) -> Iterator[TlsKafka]:
    with TlsKafka(certificates) as found:
        found.create_topic("t")
        for topic in ("sizes", "much", "acks0"):
            for engine in ENGINES:
                found.create_topic(f"{topic}-{engine}")
        yield found


def keys(kafka: TlsKafka, certificates: Certificates, listener: str, **more: Any) -> dict[str, Any]:
    address = {"bootstrap_servers": kafka.addresses[listener]}
    return {**address, "security_protocol": "SSL", "ssl_cafile": certificates["ca.pem"], **more}


def produce(**configs: Any) -> None:
    with KafkaProducer(**configs) as producer:
        assert producer.send("t", b"x").get(20).offset >= 0


def refused(*parts: str, at_once: bool = True, stage: str = "tls handshake", **configs: Any) -> None:
    """The constructor says all these parts; `at_once`: nothing will pass, so it has no patience."""
    began = time.monotonic()
    with pytest.raises(NoBrokersAvailable) as caught:
        KafkaProducer(**configs)
    seconds, said = time.monotonic() - began, str(caught.value)
    print(said)
    for part in (f"failed in stage {stage}", "Hint: ", *parts):
        assert part in said
    # Connecting over TLS for the first time takes Java its time.
    assert seconds < (2.9 if at_once else 8)


# -- what arrives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["SSL", "TLS12", "REVOKED"])
def test_a_producer(kafka: TlsKafka, certificates: Certificates, listener: str) -> None:
    produce(**keys(kafka, certificates, listener))


def test_an_authority_in_a_store_and_as_text(kafka: TlsKafka, certificates: Certificates) -> None:
    produce(**keys(kafka, certificates, "SSL", ssl_cafile=certificates["trust.p12"], ssl_cafile_password=PASSWORD))
    produce(**keys(kafka, certificates, "SSL", ssl_cafile=certificates.text("ca.pem")))


@pytest.mark.parametrize("listener", ["MTLS", "MTLS12"])
def test_client_certificates_of_every_form(kafka: TlsKafka, certificates: Certificates, listener: str) -> None:
    for ours in (
        {"ssl_certfile": certificates["client.pem"]},
        {"ssl_certfile": certificates["client.p12"], "ssl_password": PASSWORD},
        {"ssl_certfile": certificates.text("client.crt"), "ssl_keyfile": certificates["client-encrypted.key"],
         "ssl_password": lambda: PASSWORD},
    ):  # fmt: skip
        produce(**keys(kafka, certificates, listener, **ours))


def test_records_of_all_sizes_are_as_they_were(kafka: TlsKafka, certificates: Certificates, tls_engine: str) -> None:
    topic = f"sizes-{tls_engine}"
    sizes = (1, 16383, 16384, 16385, 300_000, 1_000_000)
    values = [os.urandom((size + 1) // 2).hex().encode()[:size] for size in sizes]
    for compression in (None, "lz4"):
        configs = keys(kafka, certificates, "SSL", compression_type=compression, max_request_size=2**21)
        with KafkaProducer(**configs) as producer:
            for future in [producer.send(topic, value) for value in values]:
                future.get(30)
    read = [record.value for record in kafka.console_consume(topic, 2 * len(sizes), 0)]
    assert read == values * 2


def test_much(kafka: TlsKafka, certificates: Certificates, tls_engine: str) -> None:
    topic = f"much-{tls_engine}"
    with KafkaProducer(**keys(kafka, certificates, "SSL", linger_ms=5)) as producer:
        for _ in range(5):
            producer.send_many(topic, [bytes(100)] * 100_000)
        producer.flush(60)
    assert kafka.end_offsets(topic) == {0: 500_000}


def test_acks_0(kafka: TlsKafka, certificates: Certificates, tls_engine: str) -> None:
    topic = f"acks0-{tls_engine}"
    with KafkaProducer(**keys(kafka, certificates, "SSL", acks=0)) as producer:
        for future in [producer.send(topic, bytes(500_000)) for _ in range(40)]:
            future.get(20)
    assert kafka.end_offsets(topic) == {0: 40}


def test_a_session_can_be_closed_and_begun_again(kafka: TlsKafka, certificates: Certificates) -> None:
    configs = keys(kafka, certificates, "SSL", connections_max_idle_ms=300)
    with KafkaProducer(**configs) as producer:
        for _ in range(3):
            producer.send("t", b"x").get(20)
            until = time.monotonic() + 10
            while producer.bootstrap_connected():
                assert time.monotonic() < until
                time.sleep(0.05)
        assert not [health.error for health in producer.health() if health.error is not None]


# -- each mistake ------------------------------------------------------------------------------------------------------


def test_plain_text_to_a_tls_port(kafka: TlsKafka) -> None:
    refused("use security_protocol='SSL'", stage="api versions", bootstrap_servers=kafka.addresses["SSL"])


@pytest.mark.parametrize("listener", ["PLAINTEXT", "SASL"])
def test_tls_to_a_port_without(kafka: TlsKafka, certificates: Certificates, listener: str) -> None:
    refused("A listener for plain text does this", at_once=False, **keys(kafka, certificates, listener))


def test_an_authority_that_is_not_trusted(kafka: TlsKafka, certificates: Certificates) -> None:
    said = "unable to get local issuer certificate"
    refused(said, "ssl_cafile", **keys(kafka, certificates, "SSL", ssl_cafile=certificates["stranger-ca.pem"]))
    refused(said, "the system's are trusted", **keys(kafka, certificates, "SSL", ssl_cafile=None))


def test_certificates_that_do_not_hold(kafka: TlsKafka, certificates: Certificates) -> None:
    refused("certificate has expired", "has to be renewed", **keys(kafka, certificates, "EXPIRED"))
    refused(
        "Hostname mismatch", "'localhost' is the name in bootstrap_servers", **keys(kafka, certificates, "OTHERNAME")
    )
    produce(**keys(kafka, certificates, "OTHERNAME", ssl_check_hostname=False))
    revoked = keys(kafka, certificates, "REVOKED", ssl_crlfile=certificates["crl.pem"])
    refused("certificate revoked", "ssl_crlfile", **revoked)


@pytest.mark.parametrize("listener", ["MTLS", "MTLS12"])
def test_client_certificates_that_are_wrong(kafka: TlsKafka, certificates: Certificates, listener: str) -> None:
    refused("the alert 'bad certificate'", "ssl_certfile", **keys(kafka, certificates, listener))
    foreign = keys(kafka, certificates, listener, ssl_certfile=certificates["foreign.pem"])
    refused("the alert 'certificate unknown'", "does not accept the certificate of this client", **foreign)
    expired = keys(kafka, certificates, listener, ssl_certfile=certificates["expired-client.pem"])
    refused("the alert 'certificate unknown'", "it has run out", **expired)


def test_nothing_in_common(kafka: TlsKafka, certificates: Certificates) -> None:
    newer = keys(kafka, certificates, "TLS12", ssl_minimum_version="TLSv1.3")
    refused("the alert 'protocol version'", "ssl.enabled.protocols", **newer)
    ciphers = keys(kafka, certificates, "TLS12", ssl_ciphers="ECDHE-ECDSA-AES128-CCM8")
    refused("the alert 'handshake failure'", "ssl_ciphers", **ciphers)
