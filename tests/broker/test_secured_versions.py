"""Each mechanism over each transport with each version of Apache Kafka: the table in docs/security.md."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import kafka_jars
import pytest
from certificates import PASSWORD, Certificates
from kerberos import Realm

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import SaslAuthenticationFailedError
from kafka.testing.model.sasl import unsecured_token
from tests.broker.probe import VERSIONS
from tests.broker.secured import SESSION, SecuredKafka
from tests.broker.secured_kerberos import KerberosKafka, run
from tests.broker.tls import TlsKafka

pytestmark = pytest.mark.kafka

VERSION = [
    pytest.param(version, marks=pytest.mark.secured if version == kafka_jars.VERSION else pytest.mark.versions)
    for version in VERSIONS
]
TRANSPORTS = ("SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")


@pytest.fixture(scope="module", params=VERSION)
def version(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def sasl(version: str, certificates: Certificates) -> Iterator[SecuredKafka]:
    with SecuredKafka(certificates, version) as found:
        found.create_topic("t")
        yield found


@pytest.fixture(scope="module")
def tls(version: str, certificates: Certificates) -> Iterator[TlsKafka]:
    with TlsKafka(certificates, version) as found:
        found.create_topic("t")
        yield found


@pytest.fixture(scope="module")
def kerberized(version: str, realm: Realm, certificates: Certificates) -> Iterator[KerberosKafka]:
    with KerberosKafka(realm, certificates, version) as found:
        found.create_topic("t")
        yield found


def keys(address: str, transport: str, certificates: Certificates, mechanism: str, **more: Any) -> dict[str, Any]:
    found = {"bootstrap_servers": address, "security_protocol": transport, "sasl_mechanism": mechanism}
    if transport == "SASL_SSL":
        found["ssl_cafile"] = certificates["ca.pem"]
    if mechanism == "OAUTHBEARER":
        return found | {"sasl_oauth_token_provider": lambda: unsecured_token("alice", time.time() + 3600.0)} | more
    return found | {"sasl_plain_username": "alice", "sasl_plain_password": "alice-secret"} | more


def round_trip(**configs: Any) -> None:
    with KafkaProducer(**configs) as producer:
        sent = producer.send("t", b"x").get(30)
    with KafkaConsumer("t", auto_offset_reset="earliest", consumer_timeout_ms=30_000, **configs) as consumer:
        assert any(record.offset == sent.offset for record in consumer)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_mechanism(sasl: SecuredKafka, certificates: Certificates, transport: str, mechanism: str) -> None:
    address = sasl.sasl_tls if transport == "SASL_SSL" else sasl.sasl
    round_trip(**keys(address, transport, certificates, mechanism))
    if mechanism != "OAUTHBEARER":
        with pytest.raises(SaslAuthenticationFailedError):
            KafkaProducer(**keys(address, transport, certificates, mechanism, sasl_plain_password="wrong"))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_session_is_renewed(sasl: SecuredKafka, certificates: Certificates, transport: str) -> None:
    address = sasl.short_tls if transport == "SASL_SSL" else sasl.short
    with KafkaProducer(**keys(address, transport, certificates, "SCRAM-SHA-512")) as producer:
        until = time.monotonic() + 2 * SESSION
        while time.monotonic() < until:
            assert producer.send("t", b"x").get(30).offset >= 0
            threading.Event().wait(0.05)


@pytest.mark.parametrize("listener", ["KERBEROS", "KERBEROSTLS"])
def test_kerberos(kerberized: KerberosKafka, realm: Realm, certificates: Certificates, listener: str) -> None:
    more = {"security_protocol": "SASL_SSL", "ssl_cafile": certificates["ca.pem"]} if listener == "KERBEROSTLS" else {}
    assert run(realm, kerberized.addresses[listener], **more) == "sent 1\n"


@pytest.mark.parametrize("listener", ["SSL", "MTLS"])
def test_tls(tls: TlsKafka, certificates: Certificates, listener: str) -> None:
    more = {"ssl_certfile": certificates["client.p12"], "ssl_password": PASSWORD} if listener == "MTLS" else {}
    round_trip(
        bootstrap_servers=tls.addresses[listener], security_protocol="SSL", ssl_cafile=certificates["ca.pem"], **more
    )
