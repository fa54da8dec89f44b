"""GSSAPI with Kerberos: a KDC, an Apache Kafka, and clients in processes of their own, whose environment says who they
are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kafka_jars
import kerberos
import pytest
from certificates import Certificates
from kerberos import REALM, Realm

from tests.broker.cluster import _CONFIGS, KafkaCluster, _free_ports, _from_archive

pytestmark = [pytest.mark.kafka, pytest.mark.secured]

_LISTENERS = {"KERBEROS": "SASL_PLAINTEXT", "KERBEROSTLS": "SASL_SSL", "SHORT": "SASL_PLAINTEXT"}
SESSION = 4.0  # seconds, on the listener SHORT


class KerberosKafka(KafkaCluster):
    """`addresses`: by listener."""

    def __init__(self, realm: Realm, certificates: Certificates) -> None:
        super().__init__()
        self._realm, self._certificates = realm, certificates
        self.addresses: dict[str, str] = {}

    def _start(self) -> None:
        (node,) = self.nodes
        ports = _free_ports(len(_LISTENERS))
        self.addresses = dict(zip(_LISTENERS, (f"localhost:{port}" for port in ports), strict=True))
        listeners = ",".join(f"{name}://{address}" for name, address in self.addresses.items())
        listeners = f"PLAINTEXT://{node.address},{listeners}"
        protocols = ",".join(f"{name}:{protocol}" for name, protocol in _LISTENERS.items())
        jaas = (
            "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true "
            f'keyTab="{self._realm.keytab("kafka")}" principal="kafka/localhost@{REALM}";'
        )
        self._configs = {
            **_CONFIGS,
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{node.controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{protocols}",
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._certificates["server.pem"],
            "sasl.enabled.mechanisms": "GSSAPI",
            "sasl.kerberos.service.name": "kafka",
            "delegation.token.secret.key": "a secret of the test cluster",
            **{f"listener.name.{name.lower()}.gssapi.sasl.jaas.config": jaas for name in _LISTENERS},
            "listener.name.short.gssapi.connections.max.reauth.ms": str(int(SESSION * 1000)),
        }
        self._format()
        node.start(*_from_archive(self.version), f"-Djava.security.krb5.conf={self._realm.conf}")
        node.wait_ready()


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    try:
        kerberos.package()
        found = Realm(tmp_path_factory.mktemp("kerberos"))
    except kerberos.Unavailable as error:
        pytest.skip(str(error))
    with found:
        yield found


@pytest.fixture(scope="module")
def kafka(realm: Realm, certificates: Certificates) -> Iterator[KerberosKafka]:
    try:
        cluster = KerberosKafka(realm, certificates)
    except kafka_jars.Unavailable as error:
        pytest.skip(str(error))
    with cluster:
        cluster.create_topic("t")
        yield cluster


PRODUCE = """
    import json, sys, time
    from kafka import KafkaProducer
    from kafka.errors import KafkaError
    configs, seconds = json.loads(sys.argv[1]), float(sys.argv[2])
    began = time.monotonic()
    try:
        with KafkaProducer(**configs) as producer:
            sent = 0
            while True:
                assert producer.send("t", b"x").get(30).offset >= 0
                sent += 1
                if time.monotonic() - began >= seconds:
                    break
                time.sleep(0.01)
            print("sent", sent)
    except KafkaError as error:
        print(time.monotonic() - began, error)
"""
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


def run(
    realm: Realm, address: str, script: str = PRODUCE, *, seconds: float = 0.0, environment: Any = None, **more: Any
) -> str:
    """What a client says that has alice's keytab, unless `environment` says otherwise."""
    configs = {
        "bootstrap_servers": address,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "GSSAPI",
        **more,
    }
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join((str(kerberos.package()), str(root), str(root / "tests")))
    if environment is None:
        environment = {"KRB5_CLIENT_KTNAME": str(realm.keytab("alice"))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), json.dumps(configs), str(seconds)],
        env=realm.environment(PYTHONPATH=path, **environment), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return done.stdout


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
