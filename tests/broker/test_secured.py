"""Who clients are, to Apache Kafka: each mechanism, each refusal, sessions that end."""

from __future__ import annotations

import base64
import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from certificates import Certificates
from fix_tls import ENGINES
from proxies import Proxy

from kafka import KafkaProducer
from kafka.config import ClientConfig
from kafka.core.cluster.routes import ANY
from kafka.errors import (
    IllegalSaslStateError,
    NoBrokersAvailable,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.protocol import (
    ApiVersionsRequest,
    CreateDelegationTokenRequest,
    MetadataRequest,
    SaslAuthenticateRequest,
    SaslHandshakeRequest,
)
from kafka.testing import EmbeddedCluster
from kafka.testing.model.sasl import unsecured_token
from tests.broker.secured import PLAIN_USERS, SESSION, SecuredKafka
from tests.core.driving import client
from tests.testing.test_sasl import in_one_write
from tests.testing.wire import Closed, Peer

pytestmark = [pytest.mark.kafka, pytest.mark.secured]


@pytest.fixture(scope="module")
def kafka(certificates: Certificates) -> Iterator[SecuredKafka]:
    with SecuredKafka(certificates) as found:
        for topic in (
            "t",
            "principals",
            "long",
            *SESSIONS,
            *(f"{topic}-{engine}" for topic in SESSIONS for engine in ENGINES),
        ):
            found.create_topic(topic)
        yield found


def keys(address: str, mechanism: str, user: str = "alice", password: Any = "alice-secret", **more: Any) -> Any:
    found = {"bootstrap_servers": address, "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism}
    if mechanism != "OAUTHBEARER":
        found |= {"sasl_plain_username": user, "sasl_plain_password": password}
    return found | more


def token(subject: str = "alice", seconds: float = 3600.0) -> str:
    return unsecured_token(subject, time.time() + seconds)


def produce(**configs: Any) -> None:
    with KafkaProducer(**configs) as producer:
        assert producer.send("t", b"x").get(20).offset >= 0


class Provider:
    def token(self) -> str:
        return token()

    def extensions(self) -> dict[str, str]:
        return {"traceId": "1"}


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "http"])
def test_through_a_proxy(kafka: SecuredKafka, certificates: Certificates, scheme: str) -> None:
    login = ("me", "proxy-secret")
    with Proxy(login) as proxy:
        more = {"security_protocol": "SASL_SSL", "ssl_cafile": certificates["ca.pem"]}
        produce(**keys(kafka.sasl_tls, "SCRAM-SHA-256", **more, proxy_url=proxy.url(scheme, login)))
        assert {port for _, port in proxy.asked} == {int(kafka.sasl_tls.rpartition(":")[2])}


@pytest.mark.parametrize(
    ("mechanism", "more"),
    [
        ("PLAIN", {}),
        ("PLAIN", {"user": "bob", "password": lambda: PLAIN_USERS["bob"]}),
        ("SCRAM-SHA-256", {}),
        ("SCRAM-SHA-512", {}),
        ("SCRAM-SHA-512", {"user": "a,b=c", "password": "x"}),
        ("SCRAM-SHA-256", {"user": "carol", "password": "pässwört"}),
        ("OAUTHBEARER", {"sasl_oauth_token_provider": Provider()}),
        ("OAUTHBEARER", {"sasl_oauth_token_provider": token}),
    ],
)
def test_each_mechanism(kafka: SecuredKafka, mechanism: str, more: Any) -> None:
    produce(**keys(kafka.sasl, mechanism, **more))


@pytest.mark.usefixtures("tls_engine")
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_over_tls(kafka: SecuredKafka, certificates: Certificates, mechanism: str) -> None:
    produce(**over_tls(kafka.sasl_tls, certificates, mechanism, sasl_oauth_token_provider=token))


def over_tls(address: str, certificates: Certificates, mechanism: str, **more: Any) -> Any:
    return keys(address, mechanism, **more) | {
        "security_protocol": "SASL_SSL",
        "ssl_cafile": certificates["ca.pem"],
    }


def test_as_many_iterations_as_kafka_stores(kafka: SecuredKafka) -> None:
    kafka.add_users({"slow": "slow-secret"}, 2, 16384)
    produce(**keys(kafka.sasl, "SCRAM-SHA-512", "slow", "slow-secret"))


def test_a_user_that_was_added_a_moment_ago(kafka: SecuredKafka) -> None:
    """It may not be known yet everywhere: one more try after a second finds it."""
    added = threading.Timer(0.5, kafka.add_users, ({"new": "secret"}, 1))
    added.start()
    produce(**keys(kafka.sasl, "SCRAM-SHA-256", "new", "secret"))
    added.join()


def test_a_delegation_token(kafka: SecuredKafka) -> None:
    config = ClientConfig(keys(kafka.sasl, "SCRAM-SHA-256")).for_core()
    host, _, port = kafka.sasl.partition(":")

    def build(version: int) -> Any:
        return CreateDelegationTokenRequest(renewers=[], max_lifetime_ms=600_000)

    with client((host, int(port)), sasl=config.sasl) as asking:
        asking.bootstrap(30.0).unwrap()
        made = asking.request(ANY, CreateDelegationTokenRequest, build).unwrap()
    assert made.error_code == 0, made
    given = (made.token_id, base64.b64encode(bytes(made.hmac)).decode())
    produce(**keys(kafka.sasl, "SCRAM-SHA-512", *given, sasl_scram_tokenauth=True))
    with pytest.raises(SaslAuthenticationFailedError):  # it is no user
        produce(**keys(kafka.sasl, "SCRAM-SHA-512", *given))


# -- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mechanism", "more", "said"),
    [
        ("PLAIN", {"password": "wrong"}, "Invalid username or password"),
        ("PLAIN", {"user": "nobody"}, "Invalid username or password"),
        ("SCRAM-SHA-256", {"password": "wrong"}, "usually the password is wrong"),
        ("SCRAM-SHA-512", {"user": "nobody"}, "usually it has no such user"),
        ("SCRAM-SHA-256", {"sasl_scram_tokenauth": True}, "Usually the delegation token has expired"),
        ("OAUTHBEARER", {"sasl_oauth_token_provider": lambda: token(seconds=-60.0)}, '"status":"invalid_token"'),
        ("OAUTHBEARER", {"sasl_oauth_token_provider": lambda: "no-jwt"}, '"status":"invalid_token"'),
    ],
)
def test_refused_credentials(kafka: SecuredKafka, mechanism: str, more: Any, said: str) -> None:
    started = time.monotonic()
    with pytest.raises(SaslAuthenticationFailedError) as caught:
        produce(**keys(kafka.sasl, mechanism, **more))
    assert said in str(caught.value) and kafka.sasl in str(caught.value)
    assert time.monotonic() - started < 20.0


@pytest.mark.usefixtures("tls_engine")
def test_refused_over_tls(kafka: SecuredKafka, certificates: Certificates) -> None:
    with pytest.raises(SaslAuthenticationFailedError, match="Invalid username or password"):
        produce(**over_tls(kafka.sasl_tls, certificates, "PLAIN", password="wrong"))
    with pytest.raises(NoBrokersAvailable, match="security_protocol='SASL_SSL'"):
        produce(bootstrap_servers=kafka.sasl_tls, security_protocol="SSL", ssl_cafile=certificates["ca.pem"])


def test_a_listener_that_does_not_offer_it(kafka: SecuredKafka) -> None:
    from kafka.net.sasl import register_sasl_mechanism
    from kafka.security import sasl
    from tests.test_sasl import Steps

    register_sasl_mechanism("X-OWN", Steps)
    try:
        with pytest.raises(UnsupportedSaslMechanismError, match="OAUTHBEARER, PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"):
            produce(**keys(kafka.sasl, "X-OWN"))
    finally:
        del sasl._registered["X-OWN"]


def test_a_listener_without_sasl(kafka: SecuredKafka) -> None:
    with pytest.raises(IllegalSaslStateError, match="security_protocol is 'PLAINTEXT'"):
        produce(**keys(kafka.bootstrap, "PLAIN"))


def test_plain_text_where_tls_is_wanted(kafka: SecuredKafka) -> None:
    with pytest.raises(NoBrokersAvailable, match="The peer speaks TLS: use .*'SASL_SSL'"):
        produce(**keys(kafka.sasl_tls, "PLAIN"))


def test_a_token_without_an_end(kafka: SecuredKafka) -> None:
    claims = {"sub": "alice", "iat": int(time.time())}
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    endless = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
    with pytest.raises(SaslAuthenticationFailedError, match="invalid_token"):
        produce(**keys(kafka.sasl, "OAUTHBEARER", sasl_oauth_token_provider=lambda: endless))


def test_what_comes_early_over_tls_waits(kafka: SecuredKafka, certificates: Certificates) -> None:
    """Which is why the client never sends the next before the answer, and what `early_frames_take` is."""
    with Peer(kafka.sasl_tls, 30.0) as peer:
        peer.socket = certificates.client().wrap_socket(peer.socket, server_hostname="localhost")
        assert in_one_write(peer, "alice-secret") > 0.5


def test_no_sasl_where_it_is_wanted(kafka: SecuredKafka) -> None:
    with pytest.raises(NoBrokersAvailable, match="usually a listener that expects SASL"):
        produce(bootstrap_servers=kafka.sasl)


# -- sessions --------------------------------------------------------------------------------------------------------


SESSIONS = {
    "plain": ("PLAIN", {}),
    "scram": ("SCRAM-SHA-512", {}),
    "asked": ("SCRAM-SHA-256", {"password": lambda: "alice-secret"}),
    "oauth": ("OAUTHBEARER", {"sasl_oauth_token_provider": lambda: token(seconds=SESSION)}),
}


def load(topic: str, configs: Any, seconds: float, sent: dict[str, int]) -> None:
    futures = []
    with KafkaProducer(**configs, linger_ms=2) as producer:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            futures += [producer.send(topic, b"%d" % len(futures)) for _ in range(20)]
            time.sleep(0.01)
        producer.flush(30)
        failures = [disconnects(producer)]
    assert all(future.succeeded() for future in futures)
    sent[topic] = len(futures)
    assert failures == [0], failures


def disconnects(producer: KafkaProducer) -> int:
    return sum(broker.failures for broker in producer.health())


def test_sessions_that_end_under_load(kafka: SecuredKafka) -> None:
    """A session is renewed on its connection: 20 seconds, all mechanisms at once, nothing lost or doubled."""
    under_load(kafka, {topic: keys(kafka.short, mechanism, **more) for topic, (mechanism, more) in SESSIONS.items()})


def test_sessions_that_end_over_tls(kafka: SecuredKafka, certificates: Certificates, tls_engine: str) -> None:
    configs = {
        f"{topic}-{tls_engine}": over_tls(kafka.short_tls, certificates, mechanism, **more)
        for topic, (mechanism, more) in SESSIONS.items()
    }
    under_load(kafka, configs)


def under_load(kafka: SecuredKafka, clients: dict[str, Any]) -> None:
    """`clients`: the configuration of each, by its topic."""
    sent: dict[str, int] = {}
    threads = [threading.Thread(target=load, args=(topic, configs, 20.0, sent)) for topic, configs in clients.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == len(SESSIONS)
    for topic, count in sent.items():
        assert sum(kafka.end_offsets(topic).values()) == count


def test_a_principal_that_changes(kafka: SecuredKafka) -> None:
    """Not on the same connection, but on a new one, and no record is lost."""
    numbers = itertools.count()
    sent: dict[str, int] = {}
    more = {"sasl_oauth_token_provider": lambda: token(f"user{next(numbers)}", 4.0)}
    load("principals", keys(kafka.short, "OAUTHBEARER", **more), 12.0, sent)
    assert sum(kafka.end_offsets("principals").values()) == sent["principals"]
    assert next(numbers) >= 4


def test_an_idle_session_outlives_its_end(kafka: SecuredKafka) -> None:
    with KafkaProducer(**keys(kafka.short, "PLAIN")) as producer:
        producer.send("long", b"x").get(20)
        (before,) = [channel.connection for channel in channels(producer)]
        time.sleep(SESSION + 2.0)
        producer.send("long", b"x").get(20)
        (after,) = [channel.connection for channel in channels(producer)]
        assert after is before


def channels(producer: KafkaProducer) -> list[Any]:
    nodes = producer._core.nodes.nodes
    return [channel for id, node in nodes.items() if id >= 0 for channel in node.channels.values()]


# -- the test brokers do the same ------------------------------------------------------------------------------------

ALICE = b"\0alice\0alice-secret"


def habits(address: str) -> list[Any]:
    """What a broker with short sessions does with clients that are not as they should be."""
    found: list[Any] = []

    def says(peer: Peer, request: Any, version: int) -> Any:
        """The answer, or how the connection ended."""
        try:
            answer = peer.ask(request, version)
        except (Closed, OSError):
            return "closed"
        code = getattr(answer, "error_code", 0)
        return (code, getattr(answer, "error_message", None), bool(getattr(answer, "mechanisms", ())))

    def versions() -> Any:
        return ApiVersionsRequest(client_software_name="x", client_software_version="1")

    def greeted(mechanism: str = "PLAIN") -> Peer:
        peer = Peer(address, 30.0)
        found.append(says(peer, versions(), 3))
        found.append(says(peer, SaslHandshakeRequest(mechanism=mechanism), 1))
        return peer

    def shown(peer: Peer, token: bytes = ALICE) -> None:
        found.append(says(peer, SaslAuthenticateRequest(auth_bytes=token), 2))

    metadata = MetadataRequest(topics=[])
    with Peer(address, 30.0) as peer:
        found += [says(peer, versions(), 3), says(peer, metadata, 9)]
    with Peer(address, 30.0) as peer:
        found += [says(peer, versions(), 3), says(peer, versions(), 3)]
    with Peer(address, 30.0) as peer:
        found.append(says(peer, SaslAuthenticateRequest(auth_bytes=ALICE), 2))
    for mechanism in ("GSSAPI", "SCRAM-SHA-256"):
        with greeted(mechanism) as peer:
            found.append(says(peer, versions(), 3))
    for token in (
        b"\0alice\0no",
        b"\0\0x",
        b"\0alice\0",
        b"x",
        b"bob\0alice\0alice-secret",
        b"alice\0alice\0alice-secret",
    ):
        with greeted() as peer:
            shown(peer, token)
            found.append(says(peer, metadata, 9))
    with greeted() as peer:
        shown(peer)
        found.append(says(peer, SaslHandshakeRequest(mechanism="PLAIN"), 1))
        shown(peer)
        found.append(says(peer, SaslHandshakeRequest(mechanism="PLAIN"), 1))  # too soon
        found.append(says(peer, metadata, 9))
        time.sleep(1.2)
        found.append(says(peer, SaslHandshakeRequest(mechanism="PLAIN"), 1))
        shown(peer)
        time.sleep(1.2)
        found.append(says(peer, SaslHandshakeRequest(mechanism="PLAIN"), 1))
        shown(peer, b"\0bob\0bob,=secret")
        found.append(says(peer, metadata, 9))
    with greeted() as peer, greeted() as late, greeted() as other:
        for each in (peer, late, other):
            shown(each)
        time.sleep(SESSION + 0.5)
        found.append(says(peer, metadata, 9))
        found.append(says(late, SaslHandshakeRequest(mechanism="PLAIN"), 1))
        shown(late)
        found.append(says(late, metadata, 9))
        found.append(says(other, SaslHandshakeRequest(mechanism="SCRAM-SHA-256"), 1))
        shown(other, b"n,,n=alice,r=abc")
    return found


def test_the_test_brokers_have_its_habits(kafka: SecuredKafka) -> None:
    with EmbeddedCluster(users=PLAIN_USERS) as cluster:
        assert cluster.sasl is not None
        cluster.sasl.lifetime = SESSION
        ours = habits(cluster.bootstrap)
    theirs = habits(kafka.short)
    assert len(theirs) > 40
    assert [pair for pair in zip(theirs, ours, strict=True) if pair[0] != pair[1]] == []
