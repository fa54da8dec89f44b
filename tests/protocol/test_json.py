"""JSON in the forms of Java's converters (which `tests/golden` compares with Java itself)."""

import json
import random

import pytest

import kafka.protocol
from kafka.errors import EncodeError, UnsupportedField
from kafka.protocol import (
    AlterClientQuotasRequest,
    FetchRequest,
    LeaveGroupRequest,
    MetadataRequest,
    MetadataResponse,
    ProduceRequest,
)
from kafka.result import Err, Ok

from .random_messages import message_versions, random_struct


@pytest.mark.parametrize("name", sorted({name for name, _ in message_versions()}))
def test_there_and_back(name):
    cls = getattr(kafka.protocol, name)
    source = random.Random(name)
    for version in range(cls.VERSIONS[0], cls.VERSIONS[1] + 1):
        for _ in range(3):
            message = random_struct(cls, version, source, unknown_tags=False)
            text = json.dumps(message.to_json(version))
            assert cls.from_json(json.loads(text), version) == Ok(message)


def test_forms():
    topic = MetadataRequest.MetadataRequestTopic(topic_id=bytes(range(240, 256)), name=None)
    assert MetadataRequest(topics=[topic]).to_json(12) == {
        "topics": [{"topicId": "8PHy8_T19vf4-fr7_P3-_w", "name": None}],
        "allowAutoTopicCreation": True,
        "includeTopicAuthorizedOperations": False,
    }
    partition = ProduceRequest.PartitionProduceData(records=b"\xfb\xff")
    request = ProduceRequest(topic_data=[ProduceRequest.TopicProduceData(partition_data=[partition])])
    assert request.to_json(9)["topicData"][0]["partitionData"] == [{"index": 0, "records": "+/8="}]
    assert "clusterId" not in FetchRequest().to_json(15)
    assert FetchRequest(cluster_id="c").to_json(15)["clusterId"] == "c"


def test_what_cannot_be_sent_cannot_be_shown():
    with pytest.raises(UnsupportedField):
        LeaveGroupRequest(member_id="m").to_json(4)
    with pytest.raises(EncodeError):
        MetadataResponse(topics=None).to_json(4)


GOOD = MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name="a")]).to_json(12)


@pytest.mark.parametrize(
    ("change", "path", "reason"),
    [
        (lambda data: data.pop("topics"), "", "lacks topics"),
        (lambda data: data.update(topics=5), "topics", "needs an array, not int"),
        (lambda data: data.update(topics=[None]), "topics[0]", "needs an object, not NoneType"),
        (lambda data: data["topics"][0].update(name=5), "topics[0].name", "needs a string, not int"),
        (lambda data: data["topics"][0].update(topicId="!"), "topics[0].topicId", "is not valid base64"),
        (lambda data: data["topics"][0].update(topicId="AAAA"), "topics[0].topicId", "needs 16 bytes, not 3"),
        (lambda data: data.update(allowAutoTopicCreation=1), "allowAutoTopicCreation", "needs true or false, not 1"),
        (
            lambda data: data.update(allowAutoTopicCreation=None),
            "allowAutoTopicCreation",
            "is null, which this version does not allow",
        ),
        (lambda data: data.update(typo=1), "", "has unknown fields: typo"),
        (
            lambda data: data.update(includeClusterAuthorizedOperations=True),
            "includeClusterAuthorizedOperations",
            "this version has no such field",
        ),
    ],
)
def test_json_that_is_no_message(change, path, reason):
    data = json.loads(json.dumps(GOOD))
    change(data)
    result = MetadataRequest.from_json(data, 12)
    assert isinstance(result, Err)
    assert (result.error.path, result.error.reason) == (path, reason)
    assert "at -1" not in str(result.error)


def test_numbers_have_to_fit():
    data = ProduceRequest().to_json(9)
    for value in (2**15, -(2**15) - 1, 1.0, "1", True):
        assert ProduceRequest.from_json({**data, "acks": value}, 9).error.path == "acks"
    for value in (10**5000, -(10**5000)):
        assert ProduceRequest.from_json({**data, "acks": value}, 9).error.reason.startswith("needs an int16, not")
    assert ProduceRequest.from_json(data, 99).error.reason == "there are versions 3 to 13"
    assert ProduceRequest.from_json(ProduceRequest().to_json(13)) == Ok(ProduceRequest())


@pytest.mark.parametrize("value", [10**400, -(10**400), "1", None, True])
def test_floats_have_to_fit(value):
    operation = {"key": "producer_byte_rate", "value": value, "remove": False}
    data = {"entries": [{"entity": [], "ops": [operation]}], "validateOnly": False}
    assert AlterClientQuotasRequest.from_json(data, 1).error.path == "entries[0].ops[0].value"
