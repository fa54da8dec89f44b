"""From the bytes of a request to its answer: what every connection of every broker does with a frame."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka.protocol import ApiVersionsRequest, ApiVersionsResponse, decode_request
from kafka.protocol.codes import Code
from kafka.result import Err, Result
from kafka.testing.model.sasl import SASL_APIS, Session
from kafka.testing.model.world import Answer, Hangup

if TYPE_CHECKING:
    from kafka.testing.model.broker import Broker

START = struct.Struct(">hhi")  # API key, version, correlation id


class Served(NamedTuple):
    answer: Answer
    version: int  # to encode it in
    correlation_id: int


def serve(
    broker: Broker,
    frame: memoryview,
    session: Session,
    decode: Callable[[memoryview], Result[Any, Any]] = decode_request,
    *,
    is_early: bool = False,
) -> Served:
    """`frame`: a request without its size, of at least `START.size` bytes; `session`: its connection's; `is_early`: it
    had come before the answer to the last one was given.

    Hangup if the connection is to be closed.
    """
    api_key, version, correlation_id = START.unpack_from(frame)
    sasl = broker.own_sasl or broker.cluster.sasl
    if sasl is not None:
        session.admit(sasl, api_key)
    lowest, highest = broker.versions.get(api_key, (0, -1))
    if not lowest <= version <= highest:
        if api_key != ApiVersionsRequest.API_KEY:
            raise Hangup(f"a client asked for API {api_key} v{version}")
        supported = ApiVersionsResponse.ApiVersion(api_key=api_key, min_version=lowest, max_version=highest)
        return Served(ApiVersionsResponse(error_code=Code.UNSUPPORTED_VERSION, api_keys=[supported]), 0, correlation_id)
    decoded = decode(frame)
    if isinstance(decoded, Err):
        raise Hangup(str(decoded.error))
    header, request = decoded.value
    if sasl is not None:
        if api_key in SASL_APIS or session.is_talking:
            return Served(session.answer(sasl, request, is_early), version, correlation_id)
        if api_key == ApiVersionsRequest.API_KEY:
            session.asked_versions()
    return Served(broker.handlers[api_key](broker, header, request), version, correlation_id)
