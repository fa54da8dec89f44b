"""Tokens that a client gets from a token endpoint by itself, shown to Apache Kafka, which checks their signatures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificates
from token_server import Asked, TokenServer, http

from kafka import KafkaProducer
from kafka.errors import NoBrokersAvailable, SaslAuthenticationFailedError
from tests.broker.secured import SecuredKafka

pytestmark = [pytest.mark.kafka, pytest.mark.secured]


@pytest.fixture(scope="module")
def kafka(certificates: Certificates) -> Iterator[SecuredKafka]:
    with SecuredKafka(certificates) as found:
        found.create_topic("t")
        yield found


@pytest.fixture
def endpoint(kafka: SecuredKafka) -> Iterator[TokenServer]:
    with TokenServer(lambda asked: issued(kafka.issuer.token("alice", 300.0))) as found:
        yield found


def issued(token: str) -> bytes:
    return http(200, {"access_token": token, "token_type": "Bearer"})


def keys(kafka: SecuredKafka, endpoint: TokenServer, **more: Any) -> dict[str, Any]:
    return {
        "bootstrap_servers": kafka.issued,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauthbearer_token_endpoint_url": endpoint.url,
        "sasl_oauthbearer_allow_http": True,
        **{f"sasl_oauthbearer_{name}": value for name, value in more.items()},
    }


SECRET = {"client_credentials_client_id": "alice", "client_credentials_client_secret": "x"}


@pytest.mark.parametrize("grant", ["client secret", "client assertion", "JWT bearer"])
def test_each_grant(kafka: SecuredKafka, endpoint: TokenServer, certificates: Certificates, grant: str) -> None:
    own = {"assertion_private_key_file": Path(certificates["client.key"]), "assertion_algorithm": "ES256"}
    if grant == "client secret":
        own = SECRET
    elif grant == "JWT bearer":
        own["jwt_retriever_class"] = "JwtBearerJwtRetriever"
    with KafkaProducer(**keys(kafka, endpoint, **own)) as producer:
        assert producer.send("t", b"x").get(20).offset >= 0
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(("audience", "seconds"), [("somebody", 300.0), ("kafka", 20.0)])
def test_tokens_that_are_refused(kafka: SecuredKafka, endpoint: TokenServer, audience: str, seconds: float) -> None:
    """One for somebody else; one that another issuer has signed."""
    token = kafka.issuer.token("alice", seconds, audience)
    if audience == "kafka":
        token = f"{token[:-8]}AAAAAAAA"
    endpoint.answer = lambda asked: issued(token)
    with pytest.raises(SaslAuthenticationFailedError, match='"status":"invalid_token"'):
        KafkaProducer(**keys(kafka, endpoint, **SECRET))
    assert len(endpoint.asked) == 2  # a fresh one for the second try


def test_tokens_that_expire_under_load(kafka: SecuredKafka, endpoint: TokenServer) -> None:
    """Sessions end with their tokens and are renewed with new ones; nothing is lost or doubled, even while the endpoint
    fails.
    """
    kafka.create_topic("expiring")
    fails = threading.Event()

    def answer(asked: Asked) -> bytes:
        return http(503, b"") if fails.is_set() else issued(kafka.issuer.token("alice", 6.0))

    endpoint.answer = answer
    futures = []
    with KafkaProducer(**keys(kafka, endpoint, **SECRET), linger_ms=2) as producer:
        started = time.monotonic()
        while (passed := time.monotonic() - started) < 20.0:
            (fails.set if 8.0 < passed < 10.0 else fails.clear)()
            futures += [producer.send("expiring", b"%d" % len(futures)) for _ in range(20)]
            time.sleep(0.01)
        producer.flush(30)
    assert all(future.succeeded() for future in futures) and len(endpoint.asked) >= 4
    assert sum(kafka.end_offsets("expiring").values()) == len(futures)


def test_a_token_that_is_larger_than_brokers_take(kafka: SecuredKafka, endpoint: TokenServer) -> None:
    """sasl.server.max.receive.size: they hang up without a word."""
    endpoint.answer = lambda asked: issued("x" * 600_000)
    with pytest.raises(NoBrokersAvailable, match="sasl authentication") as caught:
        KafkaProducer(**keys(kafka, endpoint, **SECRET))
    assert "xxx" not in str(caught.value)
