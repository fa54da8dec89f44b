"""GSSAPI with Kerberos: a KDC, an Apache Kafka, and what is told of mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kafka_jars
import kerberos
import pytest
from certificates import Certificates
from kerberos import REALM, Realm

from tests.broker.secured_kerberos import SESSION, KerberosKafka, run

pytestmark = [pytest.mark.kafka, pytest.mark.secured]


@pytest.fixture(scope="module")
def kafka(realm: Realm, certificates: Certificates) -> Iterator[KerberosKafka]:
    try:
        cluster = KerberosKafka(realm, certificates)
    except kafka_jars.Unavailable as error:
        pytest.skip(str(error))
    with cluster:
        cluster.create_topic("t")
        yield cluster


# Whom the broker takes the client for: the owner of a delegation token that it asks for.
WHO = """
    import json, sys
    from kafka.config import ClientConfig
    from kafka.core.cluster.routes import ANY
    from kafka.protocol import CreateDelegationTokenRequest
    from tests.core.driving import client
    configs = json.loads(sys.argv[1])
    host, port = configs["bootstrap_servers"].split(":")
    with client((host, int(port)), sasl=ClientConfig(configs).for_core().sasl) as asking:
        asking.bootstrap(30.0).unwrap()
        made = asking.request(
            ANY, CreateDelegationTokenRequest, lambda version: CreateDelegationTokenRequest(renewers=[])
        ).unwrap()
    print(made.error_code, made.principal_type, made.principal_name)
"""


def test_a_keytab_is_enough(realm: Realm, kafka: KerberosKafka) -> None:
    assert run(realm, kafka.addresses["KERBEROS"]) == "sent 1\n"


def test_over_tls(realm: Realm, kafka: KerberosKafka, certificates: Certificates) -> None:
    more = {"security_protocol": "SASL_SSL", "ssl_cafile": certificates["ca.pem"]}
    assert run(realm, kafka.addresses["KERBEROSTLS"], **more) == "sent 1\n"


@pytest.mark.parametrize("name", ["kafka@localhost", f"kafka/localhost@{REALM}"])
def test_the_brokers_name(realm: Realm, kafka: KerberosKafka, name: str) -> None:
    more = {"sasl_kerberos_service_name": "other", "sasl_kerberos_name": name}
    assert run(realm, kafka.addresses["KERBEROS"], **more) == "sent 1\n"


def test_the_client_is_who_its_ticket_says(realm: Realm, kafka: KerberosKafka) -> None:
    """kafka-python sends the broker's name as the one to act for."""
    assert run(realm, kafka.addresses["KERBEROS"], WHO) == "0 User alice\n"


def test_sessions_are_renewed(realm: Realm, kafka: KerberosKafka) -> None:
    said = run(realm, kafka.addresses["SHORT"], seconds=4 * SESSION)
    assert said.startswith("sent ") and int(said.split()[1]) > 10


@pytest.mark.parametrize(
    ("more", "environment", "said", "hint"),
    [
        ({}, {}, "No Kerberos credentials available", "Get a ticket with kinit"),
        (
            {"sasl_kerberos_domain_name": "otherhost"},
            None,
            "otherhost@KT.TEST not found in Kerberos database",
            "knows no such service",
        ),
        (
            {"sasl_kerberos_service_name": "other"},
            None,
            "other/localhost@KT.TEST not found in Kerberos database",
            "sasl_kerberos_service_name",
        ),
        ({}, {"KRB5_CONFIG": "nowhere"}, "annot", "krb5.conf"),
    ],
)
def test_what_goes_wrong(
    realm: Realm, kafka: KerberosKafka, tmp_path: Path, more: Any, environment: Any, said: str, hint: str
) -> None:
    if environment is not None and "KRB5_CONFIG" in environment:
        conf = tmp_path / "krb5.conf"
        conf.write_text(kerberos.configuration(1))  # nobody listens there
        environment = {"KRB5_CONFIG": str(conf), "KRB5_CLIENT_KTNAME": str(realm.keytab("alice"))}
    text = run(realm, kafka.addresses["KERBEROS"], environment=environment, **more)
    assert "CredentialsError: No proof by Kerberos for the broker " in text
    assert said in text and hint in text
    assert float(text.split()[0]) < 5.0


def test_a_listener_without_it(realm: Realm, kafka: KerberosKafka) -> None:
    text = run(realm, kafka.bootstrap, sasl_kerberos_domain_name="localhost")
    assert "IllegalSaslStateError" in text and "security_protocol is 'PLAINTEXT'" in text
