"""A node of Apache Kafka that speaks TLS."""

from __future__ import annotations

import kafka_jars
from certificates import PASSWORD, Certificates

from tests.broker.cluster import _CONFIGS, KafkaCluster, _free_ports

# Those that have a certificate of their own, by the file.
_CERTIFICATES = {"EXPIRED": "expired.pem", "OTHERNAME": "other-name.pem", "REVOKED": "revoked.pem"}
_LISTENERS = ("SSL", "MTLS", "TLS12", "MTLS12", *_CERTIFICATES)


class TlsKafka(KafkaCluster):
    """`addresses` has that of each listener, by name; they are advertised as localhost.

    MTLS and MTLS12 want a certificate of the client. TLS12 and MTLS12 speak TLS 1.2 alone. SASL is one in plain text
    that wants to know who the client is.
    """

    def __init__(self, certificates: Certificates, version: str = kafka_jars.VERSION) -> None:
        super().__init__(version=version)
        self._certificates = certificates
        self.addresses: dict[str, str] = {}

    def _format(self) -> None:
        (node,) = self.nodes
        certificates = self._certificates
        names = (*_LISTENERS, "SASL")
        ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self.addresses = {"PLAINTEXT": node.address, **{name: f"localhost:{port}" for name, port in ports.items()}}
        protocols = dict.fromkeys(_LISTENERS, "SSL") | {"SASL": "SASL_PLAINTEXT", "PLAINTEXT": "PLAINTEXT"}
        bound = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
        named = ",".join(f"{name}://{address}" for name, address in self.addresses.items())
        self._configs = {
            **_CONFIGS,
            "listeners": f"PLAINTEXT://{node.address},{bound},CONTROLLER://127.0.0.1:{node.controller_port}",
            "advertised.listeners": named,
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, protocol in {**protocols, "CONTROLLER": "PLAINTEXT"}.items()
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": certificates["server.pem"],
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": certificates["ca.pem"],
            "listener.name.mtls.ssl.client.auth": "required",
            "listener.name.mtls.ssl.keystore.type": "PKCS12",
            "listener.name.mtls.ssl.keystore.location": certificates["server.p12"],
            "listener.name.mtls.ssl.keystore.password": PASSWORD,
            "listener.name.mtls12.ssl.client.auth": "required",
            **{f"listener.name.{name}.ssl.enabled.protocols": "TLSv1.2" for name in ("tls12", "mtls12")},
            **{f"listener.name.{name}.ssl.protocol": "TLSv1.2" for name in ("tls12", "mtls12")},
            **{
                f"listener.name.{name.lower()}.ssl.keystore.location": certificates[file]
                for name, file in _CERTIFICATES.items()
            },
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": (
                'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="alice-secret";'
            ),
        }
        super()._format()
