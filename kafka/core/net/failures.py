"""Transport failures in words: which address, at what stage, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kafka.core.net.states import ConnectionState
from kafka.errors import KafkaConnectionError, KafkaError, NoBrokersAvailable

# Stages, in the order in which a connection passes through them.
DNS = "dns"
CONNECT = "tcp connect"
TLS = "tls handshake"
BRING_UP = "api versions"
SASL = "sasl authentication"
REQUEST = "request"

STAGES = {
    ConnectionState.CONNECTING: CONNECT,
    ConnectionState.SECURING: TLS,
    ConnectionState.NEGOTIATING: BRING_UP,
    ConnectionState.AUTHENTICATING: SASL,
    ConnectionState.READY: REQUEST,
}

_SPEAKS_TLS = "The peer speaks TLS: use security_protocol='SSL', or the port of its plaintext listener."
_HTTP = "The peer is an HTTP server, not a Kafka broker: check the port."
_CLOSED_AT_ONCE = (
    "The peer accepts connections but closes them on the first request: usually a listener that expects TLS or SASL."
)
_SILENT = "The peer accepts connections but does not answer: a hung broker, a proxy without one, or no Kafka at all."


def foreign_peer_hint(start: bytes) -> str | None:
    """What the first bytes of an answer give away about a peer that is no Kafka broker."""
    if len(start) >= 2 and start[0] in (0x15, 0x16) and start[1] == 0x03:  # a TLS alert or handshake record
        return _SPEAKS_TLS
    if b"HTTP/".startswith(start[:5]) and len(start) >= 4:
        return _HTTP
    return None


def advertised_hint(broker_id: int, host: str, port: int) -> str:
    return (
        f"Broker {broker_id} tells its clients to connect to {host}:{port} (its advertised.listeners), and that does"
        f" not work from here."
    )


def closed_at_once_hint() -> str:
    return _CLOSED_AT_ONCE


def silent_hint() -> str:
    return _SILENT


def connection_error(
    address: str, stage: str, cause: BaseException | str, hint: str | None = None
) -> KafkaConnectionError:
    return KafkaConnectionError(address=address, stage=stage, cause=cause, hint=hint or _usual_hint(stage, cause))


def _usual_hint(stage: str, cause: BaseException | str) -> str | None:
    if stage == DNS:
        return "The name is not known on this machine: check it for a typo, and this machine's DNS."
    if stage == CONNECT and "refused" in describe(cause):
        return "Nothing listens there: check host and port, and that the broker runs."
    return None


def all_addresses_failed(name: str, errors: Sequence[KafkaConnectionError]) -> KafkaConnectionError:
    """One error for a broker of which every address was tried in vain."""
    if len(errors) == 1:
        return errors[0]
    causes = "; ".join(str(error) for error in errors)
    return KafkaConnectionError(address=name, stage=errors[-1].stage, cause=causes)


def unreachable(summary: str, errors: Iterable[KafkaError]) -> NoBrokersAvailable:
    """One error for all that was tried in vain: the summary, then a line for each address."""
    return NoBrokersAvailable("\n".join([summary, *(f"  {error}" for error in errors)]))


def describe(cause: Any) -> str:
    """An OSError in the operating system's words, anything else as it prints."""
    if cause is None:
        return "the peer closed the connection"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
