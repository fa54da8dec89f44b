"""The generated classes as Python objects."""

import gc
import pickle

import pytest

import kafka.protocol
from kafka.protocol import MetadataRequest, MetadataResponse, decode, encode
from kafka.result import Ok

from .random_messages import struct_classes

CLASSES = struct_classes()


def test_all_structs_are_there():
    assert len(CLASSES) == 490
    assert sum(len(cls.fields()) for cls in CLASSES) == 1625


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__qualname__)
def test_constructors_fill_in_the_defaults(cls):
    struct = cls()
    for field in cls.fields():
        assert field.is_default(getattr(struct, field.name)), field.name
        assert field.name in cls.__annotations__
    assert repr(struct) == f"{cls.__name__}()"
    assert struct == cls() and not hasattr(struct, "__dict__")
    with pytest.raises(TypeError):
        cls(no_such_field=1)


def test_names_are_loaded_on_first_use():
    with pytest.raises(AttributeError, match="NoSuchRequest"):
        kafka.protocol.NoSuchRequest  # noqa: B018
    assert "MetadataRequest" in dir(kafka.protocol)
    assert kafka.protocol.request_class(9999) is None


def test_equality_and_repr():
    topic = MetadataRequest.MetadataRequestTopic
    one, two = MetadataRequest(topics=[topic(name="a")]), MetadataRequest(topics=(topic(name="a"),))
    assert one == two and one != MetadataRequest() and one != 5
    assert repr(one) == "MetadataRequest(topics=[MetadataRequestTopic(name='a')])"
    two.unknown_tags = {1: b"x"}
    assert one != two and "unknown_tags" in repr(two)
    with pytest.raises(TypeError):
        hash(one)


def test_messages_can_be_pickled():
    message = MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name="a")])
    assert pickle.loads(pickle.dumps(message)) == message


def test_arrays_are_tuples_and_any_sequence_is_taken():
    topic = MetadataRequest.MetadataRequestTopic
    for topics in ([topic(name="a")], (topic(name="a"),), iter([topic(name="a")])):
        data = encode(MetadataRequest(topics=topics), 9).unwrap()
        assert decode(MetadataRequest, 9, data).unwrap().topics == (topic(name="a"),)
    for topics in ({}, "", b"", 5):
        assert "needs a sequence" in encode(MetadataRequest(topics=topics), 9).error.reason


def test_any_buffer_is_decoded():
    data = encode(MetadataRequest(), 9).unwrap()
    for buffer in (data, bytearray(data), memoryview(data), memoryview(b"x" + data)[1:]):
        assert decode(MetadataRequest, 9, buffer) == Ok(MetadataRequest())
    with pytest.raises(TypeError):
        decode(MetadataRequest, 9, "text")


def test_leaves_are_not_tracked_by_the_collector():
    partition = MetadataResponse.MetadataResponsePartition(replica_nodes=(1, 2))
    response = MetadataResponse(topics=[MetadataResponse.MetadataResponseTopic(partitions=[partition])])
    back = decode(MetadataResponse, 12, encode(response, 12).unwrap()).unwrap()
    leaf = back.topics[0].partitions[0]
    assert not gc.is_tracked(leaf) and not gc.is_tracked(leaf.replica_nodes)
    assert gc.is_tracked(back.topics[0])


class Noted(MetadataRequest):
    """A subclass with more state and a slot turned into a property."""

    @property
    def include_topic_authorized_operations(self):
        return self.kept

    @include_topic_authorized_operations.setter
    def include_topic_authorized_operations(self, value):
        self.kept = value


def test_subclasses_work():
    message = Noted(include_topic_authorized_operations=True)
    data = encode(message, 9).unwrap()
    assert data == encode(MetadataRequest(include_topic_authorized_operations=True), 9).unwrap()
    back = decode(Noted, 9, data).unwrap()
    assert type(back) is Noted and back.kept is True
    assert back == message


def test_a_field_that_was_deleted():
    message = MetadataRequest()
    del message.topics
    error = encode(message, 9).error
    assert (error.path, error.reason) == ("topics", "is not set")
