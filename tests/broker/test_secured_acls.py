"""What clients are told that Apache Kafka knows, but does not allow what they ask for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
from certificates import Certificates

from kafka import KafkaConsumer, KafkaProducer
from kafka.core.cluster.routes import CONTROLLER
from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)
from kafka.protocol import CreateAclsRequest, DeleteAclsRequest
from tests.broker.secured import SecuredKafka
from tests.core.driving import client

pytestmark = [pytest.mark.kafka, pytest.mark.secured]

TOPIC = 2
READ, WRITE, DESCRIBE = 3, 4, 8
DENY, ALLOW = 2, 3
LITERAL = 3
_numbers = itertools.count()


@pytest.fixture(scope="module")
def kafka(certificates: Certificates) -> Iterator[SecuredKafka]:
    authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
    configs = {"authorizer.class.name": authorizer, "super.users": "User:ANONYMOUS"}
    with SecuredKafka(certificates, configs=configs) as found:
        yield found


def ask(kafka: SecuredKafka, message: Any) -> Any:
    """Of the controller, as one who may do everything."""
    with client(("127.0.0.1", kafka.nodes[0].port)) as asking:
        asking.bootstrap(30.0).unwrap()
        return asking.request(CONTROLLER, type(message), lambda version: message).unwrap()


def say(
    kafka: SecuredKafka, kind: int, name: str, *operations: int, permission: int = ALLOW, user: str = "alice"
) -> None:
    """This user may, or may not, do this with the resource of this kind and name."""
    answer = ask(
        kafka,
        CreateAclsRequest(
            creations=[
                CreateAclsRequest.AclCreation(
                    resource_type=kind, resource_name=name, resource_pattern_type=LITERAL, principal=f"User:{user}",
                    host="*", operation=operation, permission_type=permission,
                )
                for operation in operations
            ]
        ),
    )  # fmt: skip
    assert not any(result.error_code for result in answer.results), answer


def unsay(kafka: SecuredKafka, name: str, permission: int) -> None:
    answer = ask(
        kafka,
        DeleteAclsRequest(
            filters=[
                DeleteAclsRequest.DeleteAclsFilter(
                    resource_type_filter=TOPIC, resource_name_filter=name, pattern_type_filter=LITERAL,
                    principal_filter=None, host_filter=None, operation=1, permission_type=permission,
                )
            ]
        ),
    )  # fmt: skip
    assert answer.filter_results[0].matching_acls


def topic(kafka: SecuredKafka, *operations: int) -> str:
    name = f"topic{next(_numbers)}"
    kafka.create_topic(name)
    if operations:
        say(kafka, TOPIC, name, *operations)
    return name


def alice(kafka: SecuredKafka) -> dict[str, Any]:
    return {
        "bootstrap_servers": kafka.sasl, "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "alice", "sasl_plain_password": "alice-secret",
    }  # fmt: skip


@pytest.mark.parametrize("operations", [(), (DESCRIBE,)])
def test_a_topic_that_is_not_allowed_ends_nothing_else(kafka: SecuredKafka, operations: tuple[int, ...]) -> None:
    mine, closed = topic(kafka, WRITE), topic(kafka, *operations)
    with KafkaProducer(
        **alice(kafka), max_block_ms=5_000, delivery_timeout_ms=5_000, request_timeout_ms=4_000
    ) as producer:
        for _ in range(3):
            sent = producer.send(mine, b"x")
            with pytest.raises(KafkaError) as caught:
                producer.send(closed, b"x").get(20)
            found = caught.value
            assert type(found) is TopicAuthorizationFailedError and closed in str(found)
            assert sent.get(20).offset >= 0


def test_a_right_that_is_taken_away_and_given_back(kafka: SecuredKafka) -> None:
    mine = topic(kafka, WRITE)
    with KafkaProducer(**alice(kafka)) as producer:
        assert producer.send(mine, b"x").get(20).offset == 0
        say(kafka, TOPIC, mine, WRITE, permission=DENY)
        deadline = time.monotonic() + 30
        with pytest.raises(KafkaError) as caught:
            while time.monotonic() < deadline:
                producer.send(mine, b"y").get(20)
        assert type(caught.value) is TopicAuthorizationFailedError and mine in str(caught.value)
        unsay(kafka, mine, DENY)
        while True:
            try:
                producer.send(mine, b"z").get(20)
                break
            except TopicAuthorizationFailedError:
                assert time.monotonic() < deadline


def test_no_right_to_be_idempotent(kafka: SecuredKafka) -> None:
    """Who may not write to any topic gets no producer id."""
    unsaid = {**alice(kafka), "sasl_plain_username": "carol", "sasl_plain_password": "pässwört"}
    closed = topic(kafka)
    say(kafka, TOPIC, closed, DESCRIBE, user="carol")
    with KafkaProducer(**unsaid, max_block_ms=5_000, delivery_timeout_ms=5_000, request_timeout_ms=4_000) as producer:
        sent = producer.send(closed, b"x")
        with pytest.raises(ClusterAuthorizationFailedError, match="IdempotentWrite|cluster"):
            sent.get(20)


def test_a_transactional_id_that_is_not_allowed(kafka: SecuredKafka) -> None:
    said = pytest.raises(TransactionalIdAuthorizationFailedError, match="transactional id 'closed'")
    with KafkaProducer(**alice(kafka), transactional_id="closed") as producer, said:
        producer.init_transactions()


def test_a_group_that_is_not_allowed(kafka: SecuredKafka) -> None:
    mine = topic(kafka, READ)
    with KafkaConsumer(mine, **alice(kafka), group_id="closed") as consumer:
        deadline = time.monotonic() + 30
        with pytest.raises(GroupAuthorizationFailedError, match="Grant the principal Read on the group"):
            while time.monotonic() < deadline:
                consumer.poll(1000)
