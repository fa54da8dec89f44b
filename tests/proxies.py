"""A proxy for tests, by SOCKS5 or HTTP CONNECT, on a socket of its own."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
from collections.abc import Mapping

from relay import Relay


class Proxy(Relay):
    """`names`: whose addresses it knows, those that nobody else does. With `login` it wants that; with `status` and
    `reply`, if not None, it answers every HTTP client or SOCKS5 client with these instead of connecting.
    """

    def __init__(self, login: tuple[str, str] | None = None, names: Mapping[str, str] | None = None) -> None:
        self.login = login
        self.names = names or {}
        self.status: str | None = None
        self.reply: int | None = None
        self.asked: list[tuple[str, int]] = []  # where it was to connect to
        super().__init__()

    def url(self, scheme: str, login: tuple[str, str] | None = None) -> str:
        return f"{scheme}://{'' if login is None else ':'.join(login) + '@'}127.0.0.1:{self.port}"

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            start = _read(client, 1)
            place, answers = self._by_socks(client) if start == b"\5" else self._by_http(client, start)
            if place is None:
                return
            self.asked.append(place)
            broker = self._connect(self.names.get(place[0], place[0]), place[1])
            client.sendall(answers)
            self._start(self._pump, broker, client)
            self._pump(client, broker)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _by_socks(self, client: socket.socket) -> tuple[tuple[str, int] | None, bytes]:
        methods = _read(client, _read(client, 1)[0])
        method = 0 if self.login is None else 2
        if method not in methods:
            client.sendall(b"\5\xff")
            return None, b""
        client.sendall(bytes((5, method)))
        if self.login is not None:
            _read(client, 1)
            found = tuple(_read(client, _read(client, 1)[0]).decode() for _ in range(2))
            client.sendall(b"\1\0" if found == self.login else b"\1\1")
            if found != self.login:
                return None, b""
        kind = _read(client, 4)[3]
        if kind == 3:
            host = _read(client, _read(client, 1)[0]).decode()
        else:
            family, size = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}[kind]
            host = socket.inet_ntop(family, _read(client, size))
        port = int.from_bytes(_read(client, 2), "big")
        if self.reply is not None:
            client.sendall(bytes((5, self.reply, 0, 1)) + bytes(6))
            return None, b""
        return (host, port), b"\5\0\0\3\4here\0\0"

    def _by_http(self, client: socket.socket, start: bytes) -> tuple[tuple[str, int] | None, bytes]:
        heard = start
        while not heard.endswith(b"\r\n\r\n"):
            heard += _read(client, 1)
        asked = re.match(rb"CONNECT (\S+):(\d+) HTTP/1.1\r\n", heard)
        assert asked is not None
        if self.login is not None:
            shown = base64.b64encode(":".join(self.login).encode())
            if b"\r\nProxy-Authorization: Basic " + shown + b"\r\n" not in heard:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
                return None, b""
        if self.status is not None:
            client.sendall(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
            return None, b""
        return (asked[1].decode().strip("[]"), int(asked[2])), b"HTTP/1.1 200 Connection established\r\n\r\n"


def _read(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = source.recv(size - len(found))
        if not data:
            raise EOFError
        found += data
    return found
