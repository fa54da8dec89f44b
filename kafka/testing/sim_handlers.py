"""What a simulated broker answers where the model's answer is not the whole truth: errors at any time, and counting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka.protocol import (
    DescribeProducersRequest,
    FindCoordinatorRequest,
    InitProducerIdRequest,
    InitProducerIdResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    MetadataRequest,
    MetadataResponse,
    ProduceRequest,
)
from kafka.protocol.codes import Code
from kafka.testing.model import admin, offsets, transaction_apis
from kafka.testing.model.handlers import HANDLERS as MODEL
from kafka.testing.model.world import Handler
from kafka.testing.sim_produce import produce

if TYPE_CHECKING:
    from kafka.testing.sim_broker import SimBroker


def _error(broker: SimBroker, api_key: int, found: int) -> int:
    """The error that the model found, or one that is injected; 0: none."""
    error = found or broker.cluster.injected_error(api_key)
    broker.cluster.answers[api_key, error] += 1
    return error


def metadata(broker: SimBroker, header: Any, request: Any) -> Any:
    cluster = broker.cluster
    if cluster.sends_back and header.api_version >= 13:
        cluster.sends_back = False
        cluster.answers[MetadataRequest.API_KEY, Code.REBOOTSTRAP_REQUIRED] += 1
        return MetadataResponse(error_code=Code.REBOOTSTRAP_REQUIRED)
    response = admin.metadata(broker, header, request)
    topics = []
    for topic in response.topics:
        error = _error(broker, MetadataRequest.API_KEY, topic.error_code)
        if error and not topic.error_code:
            topic = MetadataResponse.MetadataResponseTopic(error_code=error, name=topic.name)
        topics.append(topic)
    response.topics = topics
    return response


def init_producer_id(broker: SimBroker, header: Any, request: Any) -> Any:
    if request.transactional_id is None:
        loading = broker.cluster.simulation.now < broker.loading_until
        error = _error(
            broker, InitProducerIdRequest.API_KEY, Code.COORDINATOR_LOAD_IN_PROGRESS if loading else Code.NONE
        )
        if error:
            return InitProducerIdResponse(error_code=error)
    return transaction_apis.init_producer_id(broker, header, request)


def describe_producers(broker: SimBroker, header: Any, request: Any) -> Any:
    response = offsets.describe_producers(broker, header, request)
    for topic in response.topics:
        for answer in topic.partitions:
            answer.error_code = _error(broker, DescribeProducersRequest.API_KEY, answer.error_code)
            if answer.error_code:
                answer.active_producers = []
    return response


def list_offsets(broker: SimBroker, header: Any, request: Any) -> Any:
    response = offsets.list_offsets(broker, header, request)
    for topic in response.topics:
        topic.partitions = [
            answer
            if answer.error_code == (error := _error(broker, ListOffsetsRequest.API_KEY, answer.error_code))
            else ListOffsetsResponse.ListOffsetsPartitionResponse(
                partition_index=answer.partition_index, error_code=error
            )
            for answer in topic.partitions
        ]
    return response


def find_coordinator(broker: SimBroker, header: Any, request: Any) -> Any:
    response = admin.find_coordinator(broker, header, request)
    error = _error(broker, FindCoordinatorRequest.API_KEY, Code.NONE)
    for answer in response.coordinators if header.api_version >= 4 else (response,):
        answer.error_code = answer.error_code or error
    return response


HANDLERS: dict[int, Handler] = {
    **{request.API_KEY: handler for request, handler in MODEL.items()},
    ProduceRequest.API_KEY: produce,
    MetadataRequest.API_KEY: metadata,
    InitProducerIdRequest.API_KEY: init_producer_id,
    DescribeProducersRequest.API_KEY: describe_producers,
    ListOffsetsRequest.API_KEY: list_offsets,
    FindCoordinatorRequest.API_KEY: find_coordinator,
}
