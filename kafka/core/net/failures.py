"""Transport failures in words: which address, at what stage, why, and what to do about it."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kafka.core.net.states import ConnectionState
from kafka.errors import (
    CredentialsError,
    KafkaConnectionError,
    KafkaError,
    NoBrokersAvailable,
    SaslAuthenticationFailedError,
)

if TYPE_CHECKING:
    from kafka.core.config import Proxy
    from kafka.core.net.channel import Channel
    from kafka.core.net.connection import InFlight
    from kafka.core.net.node import Node

# Stages, in the order in which a connection passes through them.
DNS = "dns"
CONNECT = "tcp connect"
PROXY = "proxy"
TLS = "tls handshake"
BRING_UP = "api versions"
SASL = "sasl authentication"
REQUEST = "request"

STAGES = {
    ConnectionState.CONNECTING: CONNECT,
    ConnectionState.PROXYING: PROXY,
    ConnectionState.SECURING: TLS,
    ConnectionState.NEGOTIATING: BRING_UP,
    ConnectionState.AUTHENTICATING: SASL,
    ConnectionState.READY: REQUEST,
    ConnectionState.REAUTHENTICATING: SASL,
}

_SPEAKS_TLS = (
    "The peer speaks TLS: use security_protocol='SSL' (with SASL 'SASL_SSL'), or the port of a plaintext listener."
)
_HTTP = "The peer is an HTTP server, not a Kafka broker: check the port."
_CLOSED_AT_ONCE = (
    "The peer accepts connections but closes them on the first request: usually a listener that expects TLS or SASL."
)
_GOING_DOWN = (
    "The peer accepts connections but closes them on the first request, and did answer before: it may be starting or"
    " shutting down, or a proxy on the way has no broker behind it."
)
_HUNG = (
    "The broker hangs or has too much to do, or the network on the way drops what is sent. request_timeout_ms says how"
    " long an answer may take."
)
_CLOSED = (
    "It may be restarting, or does not take what it is sent: its log says why. Or a proxy on the way has closed the"
    " connection."
)
_QUOTA = "Raise the quota of this user or client_id at the brokers, or send less."
_CLOSED_AT_ONCE_TLS = (
    "The peer shakes hands but closes the connection on the first request: usually a listener that expects SASL"
    " (security_protocol='SASL_SSL'), or a certificate of this client (ssl_certfile)."
)
_HUNG_UP = (
    "A broker that refuses usually says so; one that hangs up in the middle of the SASL conversation may have met an"
    " error of its own: its log says why."
)
_WANTS_SASL = (
    "The peer answers ApiVersions but closes the connection on the next request: usually a listener that expects SASL"
    " (security_protocol='{}')."
)
_PROXY_UNREACHABLE = "The proxy itself cannot be reached: check host and port of proxy_url, and that it runs."
_PROXY_UNKNOWN = "This machine does not know the name of the proxy: check proxy_url for a typo, and this machine's DNS."
_PROXY_HUNG_UP = (
    "A proxy may hang up on whom it does not allow, or where it does not reach the broker: its log says why. Or it is"
    " none: check host, port and scheme of proxy_url (socks5://, socks5h://, http://)."
)
_PROXY_SILENT = (
    "The proxy accepts connections but does not answer: it cannot reach the broker, or is no proxy. Check host, port"
    " and scheme of proxy_url (socks5://, socks5h://, http://)."
)
_PROXY_COULD = "With socks5h:// in proxy_url the proxy looks up the brokers' names."
_SILENT = "The peer accepts connections but does not answer: a hung broker, a proxy without one, or no Kafka at all."
_WAS_REACHED = (
    "It was reached there before: the broker, its machine or the network on the way is down or being restarted."
)
_OPTIONS = "The system does not take one of socket_options, receive_buffer_bytes and send_buffer_bytes."
_FORBIDDEN = "This machine does not let this process connect there: a firewall rule, or a sandbox."
_NO_MEMORY = "This machine has no memory left for another connection."
# Nothing is wrong with the peer, or with what it tells of itself.
_THIS_MACHINE: dict[int | None, str] = {
    errno.EMFILE: "This process has as many files open as it may: look for what leaves them open, or raise its limit"
    " (ulimit -n).",
    errno.ENFILE: "This machine has as many files open as it may: look for the process that leaves them open.",
    errno.ENOBUFS: _NO_MEMORY,
    errno.ENOMEM: _NO_MEMORY,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EADDRNOTAVAIL: "This machine has no address to connect from (for an IPv6 address, perhaps no IPv6), or no"
    " free port.",
    errno.EAFNOSUPPORT: "This machine has no IPv6, or not that kind of address.",
    errno.ENOPROTOOPT: _OPTIONS,
    errno.EINVAL: _OPTIONS,
}


def foreign_peer_hint(start: bytes) -> str | None:
    """What the first bytes of an answer give away about a peer that is no Kafka broker."""
    if len(start) >= 2 and start[0] in (0x15, 0x16) and start[1] == 0x03:  # a TLS alert or handshake record
        return _SPEAKS_TLS
    if b"HTTP/".startswith(start[:5]) and len(start) >= 4:
        return _HTTP
    return None


def frame_hint(size: int, was_heard: bool) -> str:
    """For a frame of a size that is out of bounds."""
    if not was_heard:
        return "That is hardly a Kafka broker: check host and port."
    if size < 0:
        return "What answers there does not keep to Kafka's protocol: look for a proxy on the way."
    return "If a broker may have so much to say, raise receive_message_max_bytes."


def lookup_error(place: tuple[str, int], node: Node, proxy: Proxy | None, cause: Any) -> KafkaConnectionError:
    """The broker's name was not found, or the proxy's; cause: an exception, or in words where no answer came."""
    found = cause if isinstance(cause, BaseException) else None
    hint = name_hint(None if isinstance(cause, str) else cause, node)
    name = node.name
    if proxy is not None and place == (proxy.host, proxy.port):
        name = f"{node.name} via {proxy}"
        if found is not None and "emporary" not in describe(found):
            hint = _PROXY_UNKNOWN
    elif proxy is not None:
        hint = f"{hint} {_PROXY_COULD}"
    return connection_error(name, DNS, describe(cause), hint)


def connect_hint(cause: object, node: Node, proxied: bool) -> str:
    """What to do where TCP gets no connection to a broker, or to the proxy; cause None: no answer came."""
    number = cause.errno if isinstance(cause, OSError) else None
    if number in _THIS_MACHINE:
        return _THIS_MACHINE[number]
    if cause is not None and not isinstance(cause, OSError):
        return _OPTIONS
    if proxied:
        return _PROXY_UNREACHABLE
    if node.was_reached:
        return _WAS_REACHED
    if node.id >= 0:
        return _advertised(node)
    if number == errno.ECONNREFUSED:
        return "Nothing listens there: check host and port, and that the broker runs."
    return "Check host and port, that the broker runs, and that no firewall on the way drops what is sent there."


def name_hint(cause: object, node: Node) -> str:
    """What to do where a broker's name is not found; cause None: no answer came."""
    if isinstance(cause, UnicodeError):
        return "This cannot be a host name: the parts between its dots have 1 to 63 characters."
    if cause is None or "emporary" in describe(cause):
        return "This machine's name server does not answer: check its DNS and its network."
    if node.id >= 0 and not node.was_reached:
        return f"{_advertised(node)} This machine does not know the name."
    return "The name is not known on this machine: check it for a typo, and this machine's DNS."


def _advertised(node: Node) -> str:
    return (
        f"Broker {node.id} tells its clients to connect to {node.host}:{node.port} (its advertised.listeners): it is"
        " down, or cannot be reached there from here."
    )


def no_answer(channel: Channel, since: float, now: float) -> KafkaConnectionError:
    """A broker's connection does not come up, or an answer does not come over it."""
    node, connection = channel.node, channel.connection
    waited = now - (max(since, channel.tried_since) if channel.is_connecting else since)
    cause = f"no answer within {waited:.1f} s"
    proxy = channel.network.config.proxy
    if connection is None:
        if channel.is_connecting:
            place = channel.looks_up or (node.host, node.port)
            return lookup_error(place, node, proxy, cause)
        return connection_error(node.name, CONNECT, cause, connect_hint(None, node, proxy is not None))
    if channel.throttle is not None and channel.is_ready:
        return connection_error(
            node.name, REQUEST, f"still throttled by the broker's quota after {waited:.1f} s", _QUOTA
        )
    if channel.waits_for is not None:
        return connection_error(node.name, SASL, f"{channel.waits_for} has not returned yet, after {waited:.1f} s")
    hint = None if connection.heard else _SILENT
    if connection.state is ConnectionState.CONNECTING:
        hint = connect_hint(None, node, proxy is not None)
    elif connection.state is ConnectionState.PROXYING:
        hint = _PROXY_SILENT
    return connection_error(connection.name, STAGES[connection.state], cause, hint)


def closed_hint() -> str:
    """For a connection that was up until the peer ended it."""
    return _CLOSED


def late_answer(address: str, late: InFlight | None, now: float) -> KafkaConnectionError:
    """A connection that was up is given up; `late` None: what it was to send could not even be written."""
    cause = "nothing could be written in time"
    if late is not None:
        name = late.response_class.REQUEST.__name__
        cause = f"no answer to {name} within {now - late.sent:.1f} s"
    return connection_error(address, REQUEST, cause, _HUNG)


def proxy_hung_up_hint() -> str:
    return _PROXY_HUNG_UP


def closed_at_once_hint(was_reached: bool, tls: bool) -> str:
    if was_reached:
        return _GOING_DOWN
    return _CLOSED_AT_ONCE_TLS if tls else _CLOSED_AT_ONCE


def hung_up_hint() -> str:
    return _HUNG_UP


def wants_sasl_hint(tls: bool) -> str:
    return _WANTS_SASL.format("SASL_SSL" if tls else "SASL_PLAINTEXT")


def connection_error(
    address: str, stage: str, cause: BaseException | str, hint: str | None = None
) -> KafkaConnectionError:
    error = KafkaConnectionError(address=address, stage=stage, cause=cause, hint=hint)
    if isinstance(cause, BaseException):
        error.__cause__ = cause
    return error


def all_addresses_failed(name: str, errors: Sequence[KafkaConnectionError]) -> KafkaConnectionError:
    """One error for a broker of which every address was tried in vain; that of one which refused the client counts."""
    refused = [error for error in errors if refusal(error) is not None]
    if len(errors) == 1 or refused:
        return [*refused, *errors][0]
    causes = "; ".join(str(error).rstrip(".") for error in errors)
    error = KafkaConnectionError(address=name, stage=errors[-1].stage, cause=causes)
    error.is_mistake = any(each.is_mistake for each in errors)  # others of one name are often of another family
    return error


def refusal(error: BaseException | None) -> KafkaError | None:
    """Where an error comes of this, why a broker does not take this client, or why it had nothing to show."""
    while error is not None:
        if isinstance(error, KafkaConnectionError):
            cause = error.cause
            lasts = isinstance(cause, CredentialsError) or (isinstance(cause, KafkaError) and not cause.retriable)
            is_one = error.stage == SASL and lasts
            return cause if is_one else None  # type: ignore[return-value]
        error = error.__cause__
    return None


def is_final(refused: KafkaError, times: int) -> bool:
    """Whether another try would be in vain, after so many. A broker may not have heard yet of a user or a token."""
    return times > 1 or not isinstance(refused, SaslAuthenticationFailedError)


def refused_by(name: str, refused: KafkaError) -> KafkaError:
    """The same, naming the broker, if it is the broker's word."""
    return refused.fresh() if isinstance(refused, CredentialsError) else refused.about(name)


def unreachable(summary: str, errors: Iterable[KafkaError]) -> NoBrokersAvailable:
    """One error for all that was tried in vain: the summary, then a line for each address, refusals first."""
    errors = sorted(errors, key=lambda error: refusal(error) is None)
    found = NoBrokersAvailable("\n".join([summary, *(f"  {error}" for error in errors)]))
    found.__cause__ = errors[0] if errors and refusal(errors[0]) is not None else None
    return found


def is_by_peer(cause: object) -> bool:
    """Whether it was the peer that ended the connection."""
    return cause is None or (isinstance(cause, OSError) and cause.errno in (errno.ECONNRESET, errno.EPIPE))


def describe(cause: Any) -> str:
    """An OSError in the operating system's words, anything else as it prints."""
    if cause is None:
        return "the peer closed the connection"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
