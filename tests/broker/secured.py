"""A node of Apache Kafka that wants to know who its clients are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from kafka.core.cluster.routes import CONTROLLER
from kafka.protocol import AlterUserScramCredentialsRequest
from tests.broker.cluster import _CONFIGS, KafkaCluster, _free_ports
from tests.core.driving import client

PLAIN_USERS = {"alice": "alice-secret", "bob": "bob,=secret"}
SCRAM_USERS = {"alice": "alice-secret", "a,b=c": "x", "carol": "pässwört"}
SESSION = 6.0  # seconds, on the listener "short"

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
    """`bootstrap` is its listener without SASL, `sasl` one with all mechanisms, `short` one whose sessions end soon."""

    def __init__(self, configs: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._more = dict(configs or {})
        self.sasl = self.short = ""

    def _format(self) -> None:
        (node,) = self.nodes
        ports = _free_ports(2)
        self.sasl, self.short = (f"127.0.0.1:{port}" for port in ports)
        listeners = f"PLAINTEXT://{node.address},SASL://{self.sasl},SHORT://{self.short}"
        self._configs = {
            **_CONFIGS,
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{node.controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,SHORT:SASL_PLAINTEXT"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": ",".join(_JAAS).upper(),
            "delegation.token.secret.key": "a secret of the test cluster",
            **{
                f"listener.name.{listener}.{mechanism}.sasl.jaas.config": jaas
                for listener in ("sasl", "short")
                for mechanism, jaas in _JAAS.items()
            },
            **{
                f"listener.name.short.{mechanism}.connections.max.reauth.ms": str(int(SESSION * 1000))
                for mechanism in _JAAS
            },
            **self._more,
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
