from typing import Any, TypeVar

from typing_extensions import Buffer

from kafka.errors import DecodeError, ProtocolError
from kafka.protocol._message import Message, Request, Response
from kafka.protocol.header import RequestHeader
from kafka.result import Ok, Result

M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Response)

# The schema kernel

class Encoded(Ok[bytes]):
    dropped: tuple[tuple[str, Any], ...]

def encode(message: Message, version: int, *, lenient: bool = False) -> Result[bytes, ProtocolError]: ...
def decode(cls: type[M], version: int | None, data: Buffer) -> Result[M, DecodeError]: ...
def encode_request(
    message: Request, version: int, correlation_id: int, client_id: str | None
) -> Result[list[Buffer], ProtocolError]: ...
def encode_response(message: Response, version: int, correlation_id: int) -> Result[list[Buffer], ProtocolError]: ...
def decode_response(cls: type[R], version: int, frame: Buffer) -> Result[tuple[int, R], DecodeError]: ...
def decode_request(frame: Buffer) -> Result[tuple[RequestHeader, Any], DecodeError]: ...
def decode_request_header(frame: Buffer) -> Result[tuple[RequestHeader, int], DecodeError]: ...
