"""Groups of the consumer protocol on the first release of Kafka that has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from broker.cluster import KafkaCluster
from broker.test_consumer import make, topic  # noqa: F401 (fixtures)
from broker.test_consumer_protocol import (  # noqa: F401 (tests, which are run here too)
    test_a_group_changes_its_protocol_while_it_works,
    test_a_group_that_grows_and_shrinks,
    test_a_static_member_comes_back_to_its_partitions,
    test_an_assignor_that_the_brokers_do_not_have,
    test_topics_that_the_brokers_find_by_a_pattern,
    test_who_does_not_poll_leaves_and_comes_back,
)

pytestmark = [pytest.mark.kafka, pytest.mark.versions]


@pytest.fixture(scope="module", params=["4.0.0"])
def kafka_cluster(request: pytest.FixtureRequest) -> Iterator[KafkaCluster]:
    with KafkaCluster(version=request.param) as cluster:
        yield cluster
