"""The life of a connection as a table; the documentation's diagram is drawn from it.

Rule 1: every change of a connection's state is an entry here. A pair that is missing is a bug of ours, not of the peer:
        what a peer may do wrong arrives as the event CLOSE, with an error beside it.
Rule 2: this file knows nothing of bytes, brokers or time.

CONNECTING      the driver opens the socket
PROXYING        a proxy is asked for a way to the broker
SECURING        the driver and the peer shake hands (TLS)
NEGOTIATING     ApiVersions is under way; nothing else may be sent
AUTHENTICATING  SaslHandshake and SaslAuthenticate are under way; nothing else may be sent
READY           requests flow
REAUTHENTICATING  the same as AUTHENTICATING, behind requests that are still answered
CLOSED          for ever; a new attempt is a new connection with a new id
"""

from __future__ import annotations

import enum


class ConnectionState(enum.Enum):
    CONNECTING = "connecting"
    PROXYING = "proxying"
    SECURING = "securing"
    NEGOTIATING = "negotiating"
    AUTHENTICATING = "authenticating"
    READY = "ready"
    REAUTHENTICATING = "reauthenticating"
    CLOSED = "closed"

    def __repr__(self) -> str:
        return self.name


class ConnectionEvent(enum.Enum):
    PROXY = "connected to a proxy"
    CONNECTED = "connected"  # bytes get to the broker
    SECURE = "connected, TLS follows"
    SECURED = "secured"  # the peer's certificate holds
    RENEGOTIATE = "renegotiate"  # the peer wants an older ApiVersions; ask again on the same connection
    NEGOTIATED = "negotiated"  # the peer's versions are known
    AUTHENTICATE = "negotiated, SASL follows"
    AUTHENTICATED = "authenticated"
    REAUTHENTICATE = "the session ends soon"
    CLOSE = "close"  # closed by either side, or given up

    def __repr__(self) -> str:
        return self.name


TRANSITIONS: dict[ConnectionState, dict[ConnectionEvent, ConnectionState]] = {
    ConnectionState.CONNECTING: {
        ConnectionEvent.CONNECTED: ConnectionState.NEGOTIATING,
        ConnectionEvent.SECURE: ConnectionState.SECURING,
        ConnectionEvent.PROXY: ConnectionState.PROXYING,
        ConnectionEvent.CLOSE: ConnectionState.CLOSED,
    },
    ConnectionState.PROXYING: {
        ConnectionEvent.CONNECTED: ConnectionState.NEGOTIATING,
        ConnectionEvent.SECURE: ConnectionState.SECURING,
        ConnectionEvent.CLOSE: ConnectionState.CLOSED,
    },
    ConnectionState.SECURING: {
        ConnectionEvent.SECURED: ConnectionState.NEGOTIATING,
        ConnectionEvent.CLOSE: ConnectionState.CLOSED,
    },
    ConnectionState.NEGOTIATING: {
        ConnectionEvent.RENEGOTIATE: ConnectionState.NEGOTIATING,
        ConnectionEvent.NEGOTIATED: ConnectionState.READY,
        ConnectionEvent.AUTHENTICATE: ConnectionState.AUTHENTICATING,
        ConnectionEvent.CLOSE: ConnectionState.CLOSED,
    },
    ConnectionState.AUTHENTICATING: {
        ConnectionEvent.AUTHENTICATED: ConnectionState.READY,
        ConnectionEvent.CLOSE: ConnectionState.CLOSED,
    },
    ConnectionState.READY: {
        ConnectionEvent.REAUTHENTICATE: ConnectionState.REAUTHENTICATING,
        ConnectionEvent.CLOSE: ConnectionState.CLOSED,
    },
    ConnectionState.REAUTHENTICATING: {
        ConnectionEvent.AUTHENTICATED: ConnectionState.READY,
        ConnectionEvent.CLOSE: ConnectionState.CLOSED,
    },
    ConnectionState.CLOSED: {},
}


def diagram() -> str:
    """The table as a Mermaid state diagram; docs/connection-states.md holds it, and a test compares."""
    lines = ["stateDiagram-v2", f"    [*] --> {ConnectionState.CONNECTING!r}"]
    for state, row in TRANSITIONS.items():
        lines += [f"    {state!r} --> {after!r}: {event.value}" for event, after in row.items()]
    return "\n".join([*lines, f"    {ConnectionState.CLOSED!r} --> [*]"])
