"""A node of Apache Kafka that wants to know who its clients are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from certificates import Certificates

from kafka.core.cluster.routes import CONTROLLER
from kafka.protocol import AlterUserScramCredentialsRequest
from tests.broker.cluster import _CONFIGS, KafkaCluster, _free_ports
from tests.core.driving import client

PLAIN_USERS = {"alice": "alice-secret", "bob": "bob,=secret"}
SCRAM_USERS = {"alice": "alice-secret", "a,b=c": "x", "carol": "pässwört"}
SESSION = 6.0  # seconds, on the listener "short"

_LISTENERS = {"SASL": "SASL_PLAINTEXT", "SHORT": "SASL_PLAINTEXT", "SASLTLS": "SASL_SSL", "SHORTTLS": "SASL_SSL"}
_MODULE = "org.apache.kafka.common.security"
_PLAIN = " ".join(f'user_{name}="{password}"' for name, password in PLAIN_USERS.items())
_JAAS = {
    "plain": f"{_MODULE}.plain.PlainLoginModule required {_PLAIN};",
    "scram-sha-256": f"{_MODULE}.scram.ScramLoginModule required;",
    "scram-sha-512": f"{_MODULE}.scram.ScramLoginModule required;",
    # For itself it makes a token, too.
    "oauthbearer": f'{_MODULE}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";',
}
_HASHES = {1: "sha256", 2: "sha512"}  # by the number of the mechanism


class SecuredKafka(KafkaCluster):
    """`bootstrap` is its listener without SASL, `sasl` one with all mechanisms, `short` one whose sessions end soon;
    `sasl_tls` and `short_tls` are the same over TLS.
    """

    def __init__(self, certificates: Certificates) -> None:
        super().__init__()
        self._certificates = certificates
        self.sasl = self.short = self.sasl_tls = self.short_tls = ""

    def _format(self) -> None:
        (node,) = self.nodes
        addresses = dict(zip(_LISTENERS, (f"localhost:{port}" for port in _free_ports(4)), strict=True))
        self.sasl, self.short, self.sasl_tls, self.short_tls = addresses.values()
        listeners = f"PLAINTEXT://{node.address}"
        listeners += "".join(f",{name}://{address}" for name, address in addresses.items())
        protocols = "".join(f",{name}:{protocol}" for name, protocol in _LISTENERS.items())
        self._configs = {
            **_CONFIGS,
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{node.controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._certificates["server.pem"],
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": ",".join(_JAAS).upper(),
            "delegation.token.secret.key": "a secret of the test cluster",
            **{
                f"listener.name.{listener}.{mechanism}.sasl.jaas.config": jaas
                for listener in map(str.lower, _LISTENERS)
                for mechanism, jaas in _JAAS.items()
            },
            **{
                f"listener.name.{listener}.{mechanism}.connections.max.reauth.ms": str(int(SESSION * 1000))
                for listener in ("short", "shorttls")
                for mechanism in _JAAS
            },
        }
        super()._format()

    def start(self) -> None:
        super().start()
        for mechanism in _HASHES:  # one user cannot be named twice in a request
            self.add_users(SCRAM_USERS, mechanism)

    def add_users(self, users: Mapping[str, str], mechanism: int, iterations: int = 4096) -> None:
        """`mechanism`: 1 for SCRAM-SHA-256, 2 for SCRAM-SHA-512."""
        upsertions = [
            AlterUserScramCredentialsRequest.ScramCredentialUpsertion(
                name=name,
                mechanism=mechanism,
                iterations=iterations,
                salt=b"salt of " + name.encode(),
                salted_password=hashlib.pbkdf2_hmac(
                    _HASHES[mechanism], password.encode(), b"salt of " + name.encode(), iterations
                ),
            )
            for name, password in users.items()
        ]

        def build(version: int) -> Any:
            return AlterUserScramCredentialsRequest(deletions=[], upsertions=upsertions)

        with client(("127.0.0.1", self.nodes[0].port)) as asking:
            asking.bootstrap(30.0).unwrap()
            answer = asking.request(CONTROLLER, AlterUserScramCredentialsRequest, build).unwrap()
            assert not any(result.error_code for result in answer.results), answer
