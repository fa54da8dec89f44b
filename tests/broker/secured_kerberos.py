"""A node of Apache Kafka that knows its clients by Kerberos; and clients in processes of their own, whose environment
says who they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import kafka_jars
import kerberos
from certificates import Certificates
from kerberos import REALM, Realm

from tests.broker.cluster import _CONFIGS, KafkaCluster, _free_ports, _from_archive

_LISTENERS = {"KERBEROS": "SASL_PLAINTEXT", "KERBEROSTLS": "SASL_SSL", "SHORT": "SASL_PLAINTEXT"}
SESSION = 4.0  # seconds, on the listener SHORT


class KerberosKafka(KafkaCluster):
    """`addresses`: by listener."""

    def __init__(self, realm: Realm, certificates: Certificates, version: str = kafka_jars.VERSION) -> None:
        super().__init__(version=version)
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
