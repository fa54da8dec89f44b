"""Each trap of the schemas, with bytes written by hand."""

import struct

import pytest

import kafka.protocol
from kafka import _codec_py
from kafka.errors import DecodeError, EncodeError, UnsupportedField
from kafka.protocol import (
    AddPartitionsToTxnResponse,
    ApiVersionsResponse,
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    DescribeTopicPartitionsRequest,
    EndTxnMarker,
    FetchRequest,
    FetchResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    LeaveGroupRequest,
    ListOffsetsRequest,
    MetadataRequest,
    MetadataResponse,
    OffsetDeleteRequest,
    ProduceRequest,
    ProduceResponse,
    RequestHeader,
    SaslHandshakeRequest,
    decode,
    decode_response,
    encode,
    encode_request,
    encode_response,
)
from kafka.protocol._message import Message, Struct
from kafka.result import Err, Ok


def refused(cls, version, data):
    result = decode(cls, version, data)
    assert isinstance(result, Err) and isinstance(result.error, DecodeError), result
    return result.error


def test_the_client_id_is_never_compact():
    data = encode(RequestHeader(api_key=3, api_version=12, correlation_id=7, client_id="me"), 2).unwrap()
    assert data == b"\0\3\0\x0c\0\0\0\7" + b"\0\2me" + b"\0"
    assert encode(RequestHeader(client_id=None), 2).unwrap()[8:] == b"\xff\xff" + b"\0"


@pytest.mark.parametrize("cls", [OffsetDeleteRequest, SaslHandshakeRequest, ConsumerProtocolSubscription])
def test_never_flexible(cls):
    assert cls.FLEXIBLE is None
    message = cls()
    message.unknown_tags = {5: b"x"}
    error = encode(message, cls.VERSIONS[1]).error
    assert isinstance(error, UnsupportedField) and error.field == "unknown_tags"


def test_the_header_of_api_versions_response_is_never_flexible():
    buffers = encode_response(ApiVersionsResponse(), 3, 9).unwrap()
    body = encode(ApiVersionsResponse(), 3).unwrap()
    assert b"".join(buffers) == struct.pack(">ii", 4 + len(body), 9) + body
    assert decode_response(ApiVersionsResponse, 3, struct.pack(">i", 9) + body) == Ok((9, ApiVersionsResponse()))
    # Every other flexible response has the tags of its header in between.
    buffers = encode_response(HeartbeatResponse(), 4, 9).unwrap()
    assert b"".join(buffers) == b"\0\0\0\x0c" + b"\0\0\0\x09" + b"\0" + b"\0\0\0\0" + b"\0\0" + b"\0"


def test_tags_of_a_response_header_are_skipped():
    body = encode(HeartbeatResponse(error_code=5), 4).unwrap()
    frame = b"\0\0\0\x09" + b"\1\7\2ab" + body
    assert decode_response(HeartbeatResponse, 4, frame) == Ok((9, HeartbeatResponse(error_code=5)))


@pytest.mark.parametrize("cls", [ConsumerProtocolSubscription, ConsumerProtocolAssignment, EndTxnMarker])
def test_version_in_front(cls):
    for version in range(cls.VERSIONS[0], cls.VERSIONS[1] + 1):
        data = encode(cls(), version).unwrap()
        assert data[:2] == struct.pack(">h", version)
        assert decode(cls, version, data) == decode(cls, None, data) == Ok(cls())
        assert "the version in front" in refused(cls, version, struct.pack(">h", version + 1) + data[2:]).reason


def test_a_newer_version_in_front_is_read_as_the_newest_known():
    highest = ConsumerProtocolSubscription.VERSIONS[1]
    message = ConsumerProtocolSubscription(topics=("a", "b"), generation_id=4)
    data = encode(message, highest).unwrap()
    newer = struct.pack(">h", highest + 3) + data[2:] + b"more"
    assert decode(ConsumerProtocolSubscription, None, newer) == Ok(message)
    assert refused(ConsumerProtocolSubscription, None, b"\0").offset == 0
    assert "versions" in refused(ConsumerProtocolSubscription, None, b"\xff\xff").reason


def test_nullable_struct():
    cls = DescribeTopicPartitionsRequest
    absent = encode(cls(response_partition_limit=1), 0).unwrap()
    assert absent == b"\1" + b"\0\0\0\1" + b"\xff" + b"\0"
    there = cls(response_partition_limit=1, cursor=cls.Cursor(topic_name="t", partition_index=2))
    data = encode(there, 0).unwrap()
    assert data == b"\1" + b"\0\0\0\1" + b"\1" + b"\2t\0\0\0\2\0" + b"\0"
    assert decode(cls, 0, data) == Ok(there)
    assert decode(cls, 0, absent).unwrap().cursor is None


def test_a_tagged_field_is_written_only_where_it_is_not_the_default():
    assert encode(FetchRequest(), 15).unwrap()[-1:] == b"\0"
    state = FetchRequest.ReplicaState(replica_id=1, replica_epoch=2)
    data = encode(FetchRequest(cluster_id="c", replica_state=state), 15).unwrap()
    assert data.endswith(b"\2" + b"\0\2\2c" + b"\1\x0d" + b"\0\0\0\1" + b"\0\0\0\0\0\0\0\2" + b"\0")
    assert decode(FetchRequest, 15, data) == Ok(FetchRequest(cluster_id="c", replica_state=state))
    # A uuid has a default too.
    topic = FetchRequest.FetchTopic(partitions=[FetchRequest.FetchPartition()])
    without = encode(FetchRequest(topics=[topic]), 17).unwrap()
    topic.partitions[0].replica_directory_id = b"u" * 16
    assert len(encode(FetchRequest(topics=[topic]), 17).unwrap()) == len(without) + 18


def test_tags_ascend_and_unknown_ones_are_merged_in():
    request = FetchRequest(cluster_id="c", replica_state=FetchRequest.ReplicaState(replica_id=1))
    request.unknown_tags = {9: b"nine", 300: b"", 2: b"two"}
    data = encode(request, 15).unwrap()
    assert data.endswith(b"\2\3two" + b"\x09\4nine" + b"\xac\2\0")
    assert decode(FetchRequest, 15, data) == Ok(request)
    assert list(decode(FetchRequest, 15, data).unwrap().unknown_tags) == [2, 9, 300]


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (b"\2\5\0\5\0", "tag 5 comes after tag 5"),
        (b"\2\5\0\4\0", "tag 4 comes after tag 5"),
        (b"\2\5\0", "2 tagged fields of at least 2 bytes each, 2 left"),
        (b"\1\5\2x", "needs 2 bytes, 1 left"),
        (b"\1\x80\x80\x80\x80\x10\0", "a varint that does not fit 32 bits"),
        (b"\xff\xff\xff\xff\x0f\0\0", "4294967295 tagged fields of at least 2 bytes each, 2 left"),
    ],
)
def test_broken_tags(tags, reason):
    data = encode(HeartbeatResponse(), 4).unwrap()[:-1] + tags
    assert refused(HeartbeatResponse, 4, data).reason == reason


def test_the_size_of_a_known_tag_has_to_fit():
    good = encode(FetchRequest(cluster_id="c"), 15).unwrap()
    assert good.endswith(b"\1\0\2\2c")
    error = refused(FetchRequest, 15, good[:-4] + b"\0\3\2cx")
    assert (error.path, error.reason) == ("cluster_id", "1 bytes of the tagged field are left over")
    error = refused(FetchRequest, 15, good[:-4] + b"\0\1\2")
    assert (error.path, error.reason) == ("cluster_id", "needs 1 byte, 0 left")


def test_a_large_tagged_field_has_a_size_of_more_than_one_byte():
    for length in (1, 125, 126, 127, 128, 16380, 16390, 30000):
        request = FetchRequest(cluster_id="c" * length)
        assert decode(FetchRequest, 15, encode(request, 15).unwrap()) == Ok(request)


def test_nullable_since_a_later_version():
    topic = MetadataResponse.MetadataResponseTopic(name=None)
    response = MetadataResponse(topics=[topic])
    assert decode(MetadataResponse, 12, encode(response, 12).unwrap()).unwrap().topics[0].name is None
    error = encode(response, 11).error
    assert isinstance(error, EncodeError) and error.path == "topics[0].name" and "null" in error.reason
    topic.name = ""
    data = encode(response, 11).unwrap()
    at = data.index(b"\2\0\0\1") + 3
    error = refused(MetadataResponse, 11, data[:at] + b"\0" + data[at + 1 :])
    assert (error.path, error.offset) == ("topics[0].name", at) and "null" in error.reason


def test_null_array_before_it_may_be_null():
    assert isinstance(encode(MetadataRequest(topics=None), 0).error, EncodeError)
    assert encode(MetadataRequest(topics=None), 1).unwrap() == b"\xff\xff\xff\xff"
    assert encode(MetadataRequest(topics=None), 9).unwrap()[:1] == b"\0"
    assert "null" in refused(MetadataRequest, 0, b"\xff\xff\xff\xff").reason
    assert "length -2" in refused(MetadataRequest, 1, b"\xff\xff\xff\xfe").reason


def test_defaults_in_all_notations():
    assert MetadataResponse().cluster_authorized_operations == -(2**31)
    assert MetadataRequest().allow_auto_topic_creation is True
    assert FetchRequest().max_bytes == 0x7FFFFFFF
    assert FetchRequest().cluster_id is None
    assert MetadataResponse.MetadataResponseTopic().topic_id == bytes(16)
    assert ProduceResponse.PartitionProduceResponse().log_append_time_ms == -1


def test_a_field_absent_from_the_version_gets_its_default():
    response = MetadataResponse(throttle_time_ms=5, cluster_id="c", controller_id=3)
    back = decode(MetadataResponse, 0, encode(response, 0).unwrap()).unwrap()
    assert (back.throttle_time_ms, back.cluster_id, back.controller_id) == (0, None, -1)


def test_defaults_that_are_structs_are_not_shared():
    response = FetchResponse(
        responses=[
            FetchResponse.FetchableTopicResponse(
                partitions=[FetchResponse.PartitionData(), FetchResponse.PartitionData()]
            )
        ]
    )
    for version in (4, 12):
        back = decode(FetchResponse, version, encode(response, version).unwrap()).unwrap()
        first, second = back.responses[0].partitions
        assert first.current_leader is not second.current_leader
        first.current_leader.leader_id = 9
        assert second.current_leader.leader_id == -1


def test_a_field_that_matters_and_is_absent_is_refused():
    request = LeaveGroupRequest(group_id="g", member_id="m")
    assert encode(request, 2).is_ok()
    error = encode(request, 3).error
    assert error == UnsupportedField("LeaveGroupRequest", 3, "member_id", "m")
    request = ListOffsetsRequest(isolation_level=1)
    assert encode(request, 1).error == UnsupportedField("ListOffsetsRequest", 1, "isolation_level", 1)
    topic = LeaveGroupRequest(group_id="g", members=[LeaveGroupRequest.MemberIdentity(member_id="a")])
    assert encode(topic, 1).error.field == "members"


def test_an_ignorable_field_that_is_absent_is_dropped():
    assert encode(MetadataResponse(cluster_id="c"), 1).is_ok()


def test_lenient_drops_everything_and_says_so():
    request = LeaveGroupRequest(group_id="g", member_id="m")
    result = encode(request, 4, lenient=True)
    assert isinstance(result, Ok) and result.dropped == (("member_id", "m"),)
    assert decode(LeaveGroupRequest, 4, result.value) == Ok(LeaveGroupRequest(group_id="g"))
    topic = MetadataResponse.MetadataResponseTopic(topic_id=b"u" * 16)
    topic.unknown_tags = {4: b"x"}
    response = MetadataResponse(cluster_id="c", topics=[MetadataResponse.MetadataResponseTopic(), topic])
    result = encode(response, 1, lenient=True)
    assert result.dropped == (
        ("topics[1].topic_id", b"u" * 16),
        ("topics[1].unknown_tags", {4: b"x"}),
        ("cluster_id", "c"),
    )
    assert encode(MetadataResponse(), 1, lenient=True).dropped == ()
    assert isinstance(encode(LeaveGroupRequest(group_id=None), 4, lenient=True), Err)


def test_unknown_error_codes_keep_their_number():
    response = decode(HeartbeatResponse, 4, encode(HeartbeatResponse(error_code=31999), 4).unwrap()).unwrap()
    assert response.error.errno == 31999
    assert isinstance(response.result(), Err)


@pytest.mark.parametrize("count", [2**31 - 1, 2**20, 100])
def test_a_count_beyond_the_bytes_left(count):
    error = refused(MetadataRequest, 1, struct.pack(">i", count))
    assert error.path == "topics" and str(count) in error.reason
    assert refused(HeartbeatRequest, 0, struct.pack(">h", 500)).reason == "needs 500 bytes, 0 left"


def test_a_compact_string_is_not_longer_than_any_other():
    data = encode(MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name="x" * 32767)]), 9).unwrap()
    assert decode(MetadataRequest, 9, data).is_ok()
    longer = data.replace(b"\x80\x80\x02", b"\x81\x80\x02").replace(b"xxx", b"xxxx", 1)
    error = refused(MetadataRequest, 9, longer)
    assert error.reason == "a string of 32768 bytes; 32767 is the most"
    request = MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name="x" * 32768)])
    assert "32768 bytes" in encode(request, 9).error.reason


def test_text_that_is_no_text():
    error = refused(HeartbeatRequest, 0, b"\0\2\xff\xfe")
    assert (error.path, error.offset, error.reason) == ("group_id", 2, "is not valid UTF-8")
    assert encode(HeartbeatRequest(group_id="\udc80"), 0).error.reason == "cannot be written as UTF-8"


def test_records_are_views_of_the_frame():
    partition = ProduceRequest.PartitionProduceData(index=1, records=b"r" * 3000)
    topic = ProduceRequest.TopicProduceData(name="t", partition_data=[partition])
    data = bytearray(encode(ProduceRequest(topic_data=[topic]), 9).unwrap())
    records = decode(ProduceRequest, 9, data).unwrap().topic_data[0].partition_data[0].records
    assert isinstance(records, memoryview) and records == b"r" * 3000
    data[data.index(b"r")] = ord("x")
    assert records[0] == ord("x")
    partition.records = None
    back = decode(ProduceRequest, 9, encode(ProduceRequest(topic_data=[topic]), 9).unwrap()).unwrap()
    assert back.topic_data[0].partition_data[0].records is None


def test_large_records_stay_out_of_the_frame():
    payloads = [bytearray(b"a" * 1024), b"b" * 1023, memoryview(b"c" * 5000)]
    partitions = [ProduceRequest.PartitionProduceData(index=i, records=p) for i, p in enumerate(payloads)]
    request = ProduceRequest(acks=1, topic_data=[ProduceRequest.TopicProduceData(name="t", partition_data=partitions)])
    buffers = encode_request(request, 9, 77, "me").unwrap()
    views = [buffer for buffer in buffers if isinstance(buffer, memoryview)]
    assert [view.obj for view in views] == [payloads[0], b"c" * 5000]
    assert views[0].obj is payloads[0]
    frame = b"".join(buffers)
    header = encode(RequestHeader(api_key=0, api_version=9, correlation_id=77, client_id="me"), 2).unwrap()
    assert frame == struct.pack(">i", len(frame) - 4) + header + encode(request, 9).unwrap()


class Thing(Message):
    """What Kafka 4.3 does not have but its rules allow: tagged structs that may be null, a tag that came late."""

    VERSIONS = (0, 1)
    FLEXIBLE = 0
    __slots__ = ("late", "maybe", "usually")
    _PROGRAM = """
    Late int8 1+ tag=0
    Maybe Part 0+ null=0+ tag=1 default=null
    Usually Part 0+ null=0+ tag=2
    """

    class Part(Struct):
        __slots__ = ("size",)
        _PROGRAM = """
        Size int8 0+
        """

        def __init__(self, *, size=0):
            self.size = size
            self.unknown_tags = None

    def __init__(self, *, late=0, maybe=None, usually=0):
        self.late = late
        self.maybe = maybe
        self.usually = Thing.Part() if usually == 0 else usually
        self.unknown_tags = None


@pytest.mark.parametrize(
    ("thing", "data"),
    [
        (Thing(), b"\0"),
        (Thing(maybe=Thing.Part(size=5)), b"\1" + b"\1\3\1\5\0"),
        (Thing(usually=None), b"\1" + b"\2\1\0"),
        (Thing(usually=Thing.Part(size=6), late=7), b"\2" + b"\0\1\7" + b"\2\3\1\6\0"),
    ],
)
def test_a_tagged_struct_that_may_be_null_has_a_varint_in_front(thing, data):
    for codec in (kafka.protocol, _codec_py):
        assert codec.encode(thing, 1) == Ok(data)
        assert codec.decode(Thing, 1, data) == Ok(thing)


def test_a_tag_that_the_version_does_not_have_is_an_unknown_one():
    data = b"\2" + b"\0\1\7" + b"\1\3\1\5\0"
    for codec in (kafka.protocol, _codec_py):
        thing = codec.decode(Thing, 0, data).unwrap()
        assert (thing.late, thing.unknown_tags) == (0, {0: b"\7"})
        assert codec.encode(thing, 0) == Ok(data)
        thing.unknown_tags = {0: b"\7"}
        assert "tag 0" in codec.encode(thing, 1).error.reason
        assert codec.encode(Thing(late=3), 0).error == UnsupportedField("Thing", 0, "late", 3)


def test_errors_under_odd_names():
    result = AddPartitionsToTxnResponse.AddPartitionsToTxnPartitionResult(partition_error_code=3)
    assert result.error.errno == 3 and result.result() == Err(result.error)
    assert AddPartitionsToTxnResponse.AddPartitionsToTxnPartitionResult().result().is_ok()


def test_errors_are_listed_with_their_paths():
    partition = ProduceResponse.PartitionProduceResponse
    topic = ProduceResponse.TopicProduceResponse
    response = ProduceResponse(
        responses=[
            topic(name="a", partition_responses=[partition(), partition(error_code=6)]),
            topic(name="b", partition_responses=[partition(error_code=10, error_message="big")]),
        ]
    )
    (one, six), (two, ten) = response.errors()
    assert one == "responses[0].partition_responses[1]" and six.errno == 6
    assert two == "responses[1].partition_responses[0]" and "big" in str(ten)
    assert ProduceResponse().errors() == []
    assert [path for path, _ in MetadataResponse(error_code=1).errors()] == [""]
