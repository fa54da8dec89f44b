"""A turn with one connection over TLS, and the peer of that, whose every byte the test has in its hands."""

from __future__ import annotations

import contextlib
import ctypes
import select
import socket
import ssl
from typing import Any

import pytest

from kafka.drivers._turn import Turn
from kafka.drivers.tls import DIRECT, TlsTurn

ID = 7


class Peer:
    """The broker's end: bytes of TLS, in memory, as they come and go on a socket."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        self.socket = connection
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def take(self, size: int = 1 << 20) -> int:
        """Read from the socket what is there; how much that was."""
        if not select.select([self.socket], [], [], 0)[0]:
            return 0
        data = self.socket.recv(size)
        self.incoming.write(data)
        return len(data)

    def shake(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.object.do_handshake()

    def plain(self) -> bytes:
        """All that was said so far."""
        found = []
        with contextlib.suppress(ssl.SSLWantReadError):
            while part := self.object.read(1 << 16):
                found.append(part)
        return b"".join(found)

    def words(self) -> bytes:
        """What is to be sent."""
        return self.outgoing.read()

    def say(self, data: bytes) -> bytes:
        self.object.write(data)
        return self.words()

    def update_keys(self) -> None:
        """KeyUpdate of TLS 1.3: new keys from the next words on, and new ones wanted of the other end."""
        assert self._function("SSL_key_update", ctypes.c_int)(self._pointer(), 1) == 1  # SSL_KEY_UPDATE_REQUESTED

    def renegotiate(self) -> None:
        """The same in TLS 1.2: hands are to be shaken once more."""
        assert self._function("SSL_renegotiate")(self._pointer()) == 1
        self.shake()

    def _pointer(self) -> Any:
        """Python has no functions for these; OpenSSL's take the pointer that `_ssl` keeps behind the object's head."""
        inner = self.object._sslobj  # type: ignore[attr-defined]
        pointer = ctypes.c_void_p.from_address(id(inner) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p))
        version = self._function("SSL_get_version")
        version.restype = ctypes.c_char_p
        if version(pointer) != (self.object.version() or "").encode():
            pytest.skip("this Python's objects look otherwise")
        return pointer

    def _function(self, name: str, *arguments: Any) -> Any:
        import _ssl

        try:
            function = ctypes.CDLL(_ssl.__file__)[name]
        except (AttributeError, OSError):
            pytest.skip("this Python's OpenSSL is out of reach")
        function.argtypes = [ctypes.c_void_p, *arguments]
        return function


class Link:
    """A turn with one connection, and the peer of that."""

    def __init__(self, ours: socket.socket, theirs: socket.socket, server: ssl.SSLContext, engine: str) -> None:
        ours.setblocking(False)
        self.engine = engine
        self.ours = ours
        self.peer = Peer(theirs, server)
        self.turn = TlsTurn(Turn())
        self.turn.add(ID, ours.fileno())
        assert self.turn.run(10) == [(ID, True)]

    def run(self, timeout: float = 0.01) -> list[Any]:
        events = self.turn.run(timeout)
        assert all(id == ID for id, _ in events)
        return [event for _, event in events]

    def secure(self, client: ssl.SSLContext, host: str = "localhost", turns: int = 8) -> list[Any]:
        """What the turn says until hands are shaken or will not be."""
        self.turn.secure(ID, self.ours, client, host)
        events: list[Any] = []
        for _ in range(turns):
            events += self.run()
            if events:
                break
            if self.peer.take():
                self.peer.shake()
                self.peer.socket.sendall(self.peer.words())
        if events == [self.engine]:
            self.run(0)
            self.peer.take()
            self.peer.shake()
        return events

    def hear(self) -> None:
        """The first bytes, after which the turn does without Python's `ssl`, where it can."""
        self.peer.socket.sendall(self.peer.say(b"hear"))
        assert self.run(10) == [b"hear"]
        assert (ID in self.turn._sessions) == (self.engine != DIRECT)
