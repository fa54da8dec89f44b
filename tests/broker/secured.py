"""A node of Apache Kafka that wants to know who its clients are."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import kafka_jars
from certificates import Certificates
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from kafka.core.cluster.routes import CONTROLLER
from kafka.protocol import AlterUserScramCredentialsRequest
from tests.broker.cluster import _CONFIGS, KafkaCluster, KafkaNode, _free_ports
from tests.core.driving import client

PLAIN_USERS = {"alice": "alice-secret", "bob": "bob,=secret"}
SCRAM_USERS = {"alice": "alice-secret", "a,b=c": "x", "carol": "pässwört"}
SESSION = 6.0  # seconds, on the listener "short"

_LISTENERS = {"SASL": "SASL_PLAINTEXT", "SHORT": "SASL_PLAINTEXT", "SASLTLS": "SASL_SSL", "SHORTTLS": "SASL_SSL",
              "ISSUED": "SASL_PLAINTEXT"}  # fmt: skip
_MODULE = "org.apache.kafka.common.security"
_PLAIN = " ".join(f'user_{name}="{password}"' for name, password in PLAIN_USERS.items())
_JAAS = {
    "plain": f"{_MODULE}.plain.PlainLoginModule required {_PLAIN};",
    "scram-sha-256": f"{_MODULE}.scram.ScramLoginModule required;",
    "scram-sha-512": f"{_MODULE}.scram.ScramLoginModule required;",
    # For itself it makes a token, too.
    "oauthbearer": f'{_MODULE}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";',
}
_SHORT = ("plain", "scram-sha-256", "scram-sha-512")  # of ShortSessions
_HASHES = {1: "sha256", 2: "sha512"}  # by the number of the mechanism


class Issuer:
    """Signs tokens, and says with which key."""

    name = "https://issuer.example"

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)

    def keys(self) -> str:
        """A JSON Web Key Set (RFC 7517)."""
        numbers = self.key.public_key().public_numbers()
        n, e = (encoded(number.to_bytes((number.bit_length() + 7) // 8, "big")) for number in (numbers.n, numbers.e))
        return json.dumps({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", "n": n, "e": e}]})

    def token(self, subject: str, seconds: float, audience: str = "kafka") -> str:
        now = int(time.time())
        claims = {"iss": self.name, "sub": subject, "aud": audience, "iat": now, "exp": int(now + seconds)}
        parts = ({"alg": "RS256", "typ": "JWT", "kid": "1"}, claims)
        content = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        return f"{content}.{encoded(self.key.sign(content.encode(), padding.PKCS1v15(), SHA256()))}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _WithUsers(KafkaCluster):
    """Knows SCRAM_USERS."""

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


class SecuredKafka(_WithUsers):
    """`bootstrap` is its listener without SASL, `sasl` one with all mechanisms, `short` one whose sessions end soon;
    `sasl_tls` and `short_tls` are the same over TLS; `issued` takes the tokens of `issuer` and nothing else.
    """

    def __init__(
        self, certificates: Certificates, version: str = kafka_jars.VERSION, configs: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(version=version)
        self._more = configs or {}
        self._certificates = certificates
        self.sasl = self.short = self.sasl_tls = self.short_tls = self.issued = ""
        self.issuer = Issuer()

    def _format(self) -> None:
        (node,) = self.nodes
        addresses = dict(zip(_LISTENERS, (f"localhost:{port}" for port in _free_ports(5)), strict=True))
        self.sasl, self.short, self.sasl_tls, self.short_tls, self.issued = addresses.values()
        keys = self.folder / "keys.json"
        keys.write_text(self.issuer.keys())
        allowed = "-Dorg.apache.kafka.sasl.oauthbearer.allowed"
        node.jvm = (f"{allowed}.files={keys}", f"{allowed}.urls={keys.as_uri()}")
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
            **self._more,
        }
        issued = "listener.name.issued."
        self._configs |= {
            f"{issued}sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{issued}oauthbearer.sasl.jaas.config": f"{_MODULE}.oauthbearer.OAuthBearerLoginModule required;",
            f"{issued}oauthbearer.sasl.server.callback.handler.class": (
                f"{_MODULE}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            ),
            f"{issued}oauthbearer.sasl.oauthbearer.jwks.endpoint.url": keys.as_uri(),
            f"{issued}oauthbearer.sasl.oauthbearer.expected.audience": "kafka",
            f"{issued}oauthbearer.sasl.oauthbearer.expected.issuer": self.issuer.name,
        }
        super()._format()


class ShortSessions(_WithUsers):
    """Nodes with a second listener each, over TLS, on which clients say who they are, by PLAIN or SCRAM, and again
    every SESSION seconds; `secured` is where they are. `advertised`: the ports that clients are told of instead.
    """

    def __init__(
        self,
        certificates: Certificates,
        nodes: int = 1,
        configs: Mapping[str, str] | None = None,
        advertised: Sequence[int] | None = None,
    ) -> None:
        protocols = f"{_CONFIGS['listener.security.protocol.map']},SHORTTLS:SASL_SSL"
        super().__init__(nodes, {"listener.security.protocol.map": protocols, **(configs or {})})
        self._certificates = certificates
        self._advertised = advertised
        self.ports: list[int] = []

    @property
    def secured(self) -> str:
        return ",".join(f"localhost:{port}" for port in self._advertised or self.ports)

    def client(self, mechanism: str = "SCRAM-SHA-256") -> dict[str, str]:
        """What clients of `secured` are configured with."""
        return {
            "bootstrap_servers": self.secured,
            "security_protocol": "SASL_SSL",
            "ssl_cafile": self._certificates["ca.pem"],
            "sasl_mechanism": mechanism,
            "sasl_plain_username": "alice",
            "sasl_plain_password": "alice-secret",
        }

    def _format(self) -> None:
        self.ports = _free_ports(len(self.nodes))
        super()._format()

    def _properties(self, node: KafkaNode) -> dict[str, str]:
        found = super()._properties(node)
        index = self.nodes.index(node)
        told = (self._advertised or self.ports)[index]
        return found | {
            "listeners": f"{found['listeners']},SHORTTLS://localhost:{self.ports[index]}",
            "advertised.listeners": f"{found['advertised.listeners']},SHORTTLS://localhost:{told}",
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._certificates["server.pem"],
            "sasl.enabled.mechanisms": ",".join(_SHORT).upper(),
            **{f"listener.name.shorttls.{mechanism}.sasl.jaas.config": _JAAS[mechanism] for mechanism in _SHORT},
            **{
                f"listener.name.shorttls.{mechanism}.connections.max.reauth.ms": str(int(SESSION * 1000))
                for mechanism in _SHORT
            },
        }
