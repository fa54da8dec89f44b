"""The core's routes against the real Apache Kafka, through the threaded driver."""

from __future__ import annotations

from typing import Any

import pytest

from kafka.core.cluster.routes import ANY, CONTROLLER, Coordinator, Leader, ToBroker
from kafka.protocol import (
    CreateTopicsRequest,
    DescribeClusterRequest,
    DescribeProducersRequest,
    InitProducerIdRequest,
    ListOffsetsRequest,
)
from kafka.result import Err, Ok
from tests.core.driving import client

pytestmark = pytest.mark.kafka


def place(cluster: Any) -> tuple[str, int]:
    host, _, port = cluster.bootstrap.rpartition(":")
    return host, int(port)


def create(name: str) -> Any:
    topic = CreateTopicsRequest.CreatableTopic(name=name, num_partitions=3, replication_factor=1)
    return lambda version: CreateTopicsRequest(topics=[topic], timeout_ms=10_000)


def offsets(name: str, partition: int) -> Any:
    entry = ListOffsetsRequest.ListOffsetsPartition(partition_index=partition, timestamp=-1)
    topic = ListOffsetsRequest.ListOffsetsTopic(name=name, partitions=[entry])
    return lambda version: ListOffsetsRequest(topics=[topic])


def test_every_route_leads_to_an_answer(kafka_cluster: Any) -> None:
    with client(place(kafka_cluster)) as kafka:
        snapshot = kafka.bootstrap().unwrap()
        (broker,) = snapshot.brokers
        assert snapshot.cluster_id and snapshot.controller_id == broker

        cluster = kafka.request(ANY, DescribeClusterRequest, lambda version: DescribeClusterRequest()).unwrap()
        assert cluster.cluster_id == snapshot.cluster_id

        created = kafka.request(CONTROLLER, CreateTopicsRequest, create("core.routes")).unwrap()
        assert created.topics[0].error is None
        again = kafka.request(CONTROLLER, CreateTopicsRequest, create("core.routes")).unwrap()
        assert again.topics[0].error.errno == 36

        listed = kafka.request(Leader("core.routes", 2), ListOffsetsRequest, offsets("core.routes", 2)).unwrap()
        assert listed.topics[0].partitions[0].offset == 0
        assert kafka.core.snapshot.partitions("core.routes") == 3

        ids = set()
        for route, transactional_id in ((ANY, None), (ToBroker(broker), None), (Coordinator(1, "core.tx"), "core.tx")):
            answer = kafka.request(
                route,
                InitProducerIdRequest,
                lambda version, id=transactional_id: InitProducerIdRequest(
                    transactional_id=id, transaction_timeout_ms=10_000
                ),
            )
            assert isinstance(answer, Ok), answer
            ids.add(answer.value.producer_id)
        assert len(ids) == 3


def test_what_the_broker_refuses_is_an_error_value(kafka_cluster: Any) -> None:
    with client(place(kafka_cluster), allow_auto_create_topics=False) as kafka:
        kafka.bootstrap().unwrap()
        refused = kafka.request(
            Coordinator(1, "core.tx"),
            InitProducerIdRequest,
            lambda version: InitProducerIdRequest(transactional_id="core.tx", transaction_timeout_ms=-5),
        )
        assert isinstance(refused, Err) and refused.error.errno == 50
        unknown = kafka.request(Leader("core.none", 0), DescribeProducersRequest, lambda version: None, timeout=2.0)
        assert isinstance(unknown, Err) and "core.none[0]" in str(unknown.error)


def test_every_version_of_api_versions_is_understood(kafka_cluster: Any) -> None:
    from kafka.core.net import bring_up

    for fall_back in ((4, 3, 0), (3, 0), (0,)):
        with pytest.MonkeyPatch.context() as patch, client(place(kafka_cluster)) as kafka:
            patch.setattr(bring_up, "API_VERSIONS_FALL_BACK", fall_back)
            assert isinstance(kafka.bootstrap(), Ok)
    assert bring_up.API_VERSIONS_FALL_BACK == (4, 3, 0)
