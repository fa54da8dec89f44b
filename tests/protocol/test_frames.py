"""Whole frames, as a client and as a server sees them."""

import struct

import pytest

import kafka.protocol
from kafka.errors import DecodeError, EncodeError
from kafka.protocol import (
    ApiVersionsRequest,
    MetadataRequest,
    MetadataResponse,
    RequestHeader,
    decode_request,
    decode_request_header,
    decode_response,
    encode,
    encode_request,
    encode_response,
)
from kafka.result import Err, Ok


@pytest.mark.parametrize("client_id", [None, "", "client-ä", "x" * 3000])
@pytest.mark.parametrize("api_key", sorted(kafka.protocol._names.REQUESTS))
def test_requests_and_responses_of_every_api(api_key, client_id):
    request = kafka.protocol.request_class(api_key)
    response = request.RESPONSE
    assert response.REQUEST is request and response.API_KEY == request.API_KEY == api_key
    for version in range(request.VERSIONS[0], request.VERSIONS[1] + 1):
        frame = b"".join(encode_request(request(), version, 2**31 - 1, client_id).unwrap())
        assert struct.unpack_from(">i", frame)[0] == len(frame) - 4
        flexible = request.FLEXIBLE is not None and version >= request.FLEXIBLE
        header = RequestHeader(api_key=api_key, api_version=version, correlation_id=2**31 - 1, client_id=client_id)
        assert frame[4:] == encode(header, 2 if flexible else 1).unwrap() + encode(request(), version).unwrap()
        assert decode_request(frame[4:]) == Ok((header, request()))
        assert decode_request_header(frame[4:]).unwrap()[0] == header
        answer = b"".join(encode_response(response(), version, -5).unwrap())
        assert decode_response(response, version, answer[4:]) == Ok((-5, response()))


def test_broken_frames_are_errors():
    frame = b"".join(encode_request(MetadataRequest(), 12, 1, "me").unwrap())[4:]
    for end in range(len(frame)):
        result = decode_request(frame[:end])
        assert isinstance(result, Err) and isinstance(result.error, DecodeError)
    assert decode_request(frame + b"\0").error.reason == "1 bytes are left over"
    frame = b"".join(encode_response(MetadataResponse(), 12, 1).unwrap())[4:]
    for end in range(len(frame)):
        assert isinstance(decode_response(MetadataResponse, 12, frame[:end]), Err)
    assert isinstance(decode_response(MetadataResponse, 99, frame), Err)


def test_unknown_apis_and_versions():
    frame = struct.pack(">hhih", 999, 0, 1, -1)
    assert "no API 999" in decode_request(frame).error.reason
    frame = b"".join(encode_request(ApiVersionsRequest(), 3, 8, "me").unwrap())[4:]
    newer = frame[:2] + struct.pack(">h", 77) + frame[4:]
    assert "versions 0 to" in decode_request(newer).error.reason
    header, offset = decode_request_header(newer).unwrap()
    assert (header.api_version, header.correlation_id, header.client_id) == (77, 8, "me")
    assert newer[offset:] == encode(ApiVersionsRequest(), 3).unwrap()


def test_versions_that_do_not_exist():
    assert isinstance(encode(MetadataRequest(), 99).error, EncodeError)
    assert isinstance(encode_request(MetadataRequest(), -1, 1, None).error, EncodeError)
    assert isinstance(encode_response(MetadataResponse(), 99, 1).error, EncodeError)
    assert "there are versions 0 to 13" in str(encode(MetadataRequest(), 99).error)


def test_the_client_id_has_to_be_text():
    error = encode_request(MetadataRequest(), 12, 1, b"me").error
    assert (error.message, error.path) == ("RequestHeader", "client_id")


def test_a_bad_value_names_its_place():
    topic = MetadataRequest.MetadataRequestTopic
    error = encode_request(MetadataRequest(topics=[topic(name="a"), topic(name=5)]), 12, 1, None).error
    assert isinstance(error, EncodeError) and error.path == "topics[1].name"
    assert "needs a str, not int 5" in str(error)
