"""TLS on the IO thread: between the core, which sees plain bytes, and the turn, which sees sockets.

Python's `ssl` shakes hands, in memory. Each of its calls gives the GIL up, and taking it back costs up to 5 ms while
another thread computes. So once the first bytes have come, which may be the peer's verdict on our certificate, the turn
itself goes on with the objects that `ssl` has made, without the GIL. Where it must not (`openssl.why_not`), Python's
`ssl` does all of it, and what a turn has to write on a connection is encrypted in one call.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from kafka._log import Log
from kafka.core.effects import Buffer
from kafka.drivers import openssl
from kafka.drivers._turn import Turn

log = Log("kafka.driver")

# Hands were shaken.
SECURED = object()
# What encrypts a connection: Python's `ssl`, or its OpenSSL inside the turn.
PYTHON, DIRECT = "python", "direct"

# How much is encrypted at once. Nothing more is until the socket has taken all of it.
PIECE = 1 << 20
_RECORD = 1 << 14  # what OpenSSL decrypts at a time, at most
# A closed peer must be an error, not a signal that the application may have made deadly.
_SEND_FLAGS = getattr(socket, "MSG_NOSIGNAL", 0)


class Session:
    """What `ssl.SSLObject` does on one connection."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        """Raises SSLError, or ValueError for a host whose name cannot be in a certificate."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=certified_name(host))
        self._plain: deque[memoryview] = deque()
        self._is_secured = False
        self.is_heard = False  # plain bytes have come
        with suppress(ssl.SSLWantReadError):
            self._object.do_handshake()

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Take what is to be written; it is held until it is encrypted."""
        self._plain.extend(map(memoryview, buffers))

    @property
    def has_more(self) -> bool:
        """Whether there is something to be written: of what was sent, or of TLS's own."""
        return bool(self._plain and self._is_secured) or self._outgoing.pending > 0

    def ciphertext(self) -> bytes:
        """The next to be written; b"" where it cannot go on before it is told more. Raises SSLError."""
        if self._plain and self._is_secured:
            piece = self._piece()
            try:
                self._object.write(piece)
            except ssl.SSLWantReadError:  # a renegotiation, where the user's context allows them
                self._plain.appendleft(memoryview(piece))
        return self._outgoing.read()

    def _piece(self) -> Buffer:
        parts: list[memoryview] = []
        room = PIECE
        while self._plain and room > 0:
            view = self._plain.popleft()
            if len(view) > room:
                self._plain.appendleft(view[room:])
                view = view[:room]
            room -= len(view)
            parts.append(view)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def received(self, data: bytes) -> list[Any]:
        """What comes of it: SECURED, plain bytes, then 0 where the peer has ended it, or the exception that has."""
        events: list[Any] = []
        plain: list[bytes] = []
        self._incoming.write(data)
        over: Any = None
        try:
            if not self._is_secured:
                self._object.do_handshake()
                self._is_secured = True
                events.append(SECURED)
            # Looking costs nothing; a `read` in vain would give up the GIL.
            while self._incoming.pending or self._object.pending():
                part = self._object.read(_RECORD)
                if not part:
                    over = 0
                    break
                plain.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            over = 0
        except Exception as error:  # of the user's context perhaps, which may be a class of their own
            over = error
        if plain:
            self.is_heard = True
            events.append(plain[0] if len(plain) == 1 else b"".join(plain))
        if over is not None:
            events.append(over)
        return events

    def direct(self) -> ssl.SSLObject | None:
        """What the turn can go on with, where it can; hands were shaken."""
        return self._object if openssl.usable(self._object, self._outgoing) else None

    def ended(self) -> bytes:
        """The last words to the peer."""
        if self._is_secured:
            with suppress(ssl.SSLError):  # it wants the peer's last words, or the connection has failed
                self._object.unwrap()
        return self._outgoing.read()


def certified_name(host: str) -> str:
    """The name of a host as certificates have it: without the dot at its end, or the zone of an IPv6 address."""
    return host.partition("%")[0] if ":" in host else host.rstrip(".")


class TlsTurn:
    """A `Turn` whose connections are encrypted, once `secure` was called for them; otherwise the same."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._sessions: dict[int, Session] = {}
        self._sockets: dict[int, socket.socket] = {}
        # Connections with more to write; and whether a part of it was written already.
        self._unsent: dict[int, bool] = {}
        self._changing: dict[int, ssl.SSLObject] = {}  # those that it will; what with
        self._why_not = openssl.why_not()
        self.add, self.wake, self.now = turn.add, turn.wake, turn.now
        how = f"not directly: {self._why_not}" if self._why_not else "directly, without the GIL"
        log.debug("TLS by Python's ssl with %s, %s", ssl.OPENSSL_VERSION, how)

    def secure(self, id: int, connection: socket.socket, context: ssl.SSLContext, host: str) -> None:
        """Shake hands with a peer that must be `host`, and answer with SECURED. Raises what `Session` does."""
        self._sessions[id] = Session(context, host)
        self._sockets[id] = connection
        self._unsent[id] = False

    def send(self, id: int, buffers: Sequence[Buffer]) -> None:
        session = self._sessions.get(id)
        if session is not None:
            session.send(buffers)
            self._unsent.setdefault(id, False)
        else:  # encrypted in the turn; or what a proxy is told, before TLS
            self._turn.send(id, buffers)

    def unwritten(self, id: int) -> bool:
        session = self._sessions.get(id)
        return (session is not None and session.has_more) or self._turn.unwritten(id)

    def run(self, timeout: float) -> list[tuple[int, Any]]:
        """`Turn.run`; its events may also be an exception for "broken", PYTHON or DIRECT for "hands were shaken"."""
        events: list[tuple[int, Any]] = []
        over = set()
        for id in list(self._unsent):
            if self._turn.unwritten(id):
                continue  # the turn ends when the socket takes more
            session = self._sessions[id]
            try:
                if data := session.ciphertext():
                    self._turn.send(id, (data,))
            except ssl.SSLError as error:
                events.append((id, error))
                over.add(id)
                timeout = 0.0
                continue
            # Where the socket takes a part at once, nothing else would end the turn: not for the next, nor, after the
            # last, for whoever wants to hear that it was written.
            if data and session.has_more:
                self._unsent[id] = True
                timeout = 0.0
            elif self._unsent.pop(id):
                timeout = 0.0
        for id, event in self._turn.run(timeout):
            if id in over:
                continue
            if type(event) is str:
                event = openssl.failure(event)
            if type(event) is not bytes or (secured := self._sessions.get(id)) is None:
                events.append((id, event))
                continue
            for found in secured.received(event):
                if found is SECURED:
                    found = self._engine(id, secured)
                elif type(found) is not bytes:
                    over.add(id)
                events.append((id, found))
            if secured.has_more:
                self._unsent.setdefault(id, False)
            elif id in self._changing and secured.is_heard and id not in over and not self._turn.unwritten(id):
                self._turn.encrypt(id, self._changing.pop(id))
                del self._sessions[id], self._sockets[id]
                self._unsent.pop(id, None)
        return events

    def _engine(self, id: int, session: Session) -> str:
        """What will encrypt this connection."""
        if self._why_not:
            return PYTHON
        direct = session.direct()
        if direct is None:
            log.debug("TLS by Python's ssl alone on this connection: its objects are not as expected")
            return PYTHON
        self._changing[id] = direct
        return DIRECT

    def remove(self, id: int) -> None:
        """`Turn.remove`, after a word to the peer that this is the end, if the socket takes it at once."""
        self._changing.pop(id, None)
        session = self._sessions.pop(id, None)
        if session is not None:
            connection = self._sockets.pop(id)
            last = session.ended()
            if last and not self._turn.unwritten(id):  # in the middle of a record there is nothing to be said
                with suppress(OSError):
                    connection.send(last, _SEND_FLAGS)
            self._unsent.pop(id, None)
        self._turn.remove(id)
