"""A token endpoint on loopback for tests: it answers as it is told, nicely or not, and keeps what it was asked."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_plus

from kafka.testing.model.sasl import unsecured_token

Bytes = bytes | Iterable[bytes]


class Asked(NamedTuple):
    target: str
    headers: dict[str, str]  # names in lower case
    form: dict[str, str]

    @property
    def client(self) -> tuple[str, str]:
        """Id and secret, as they are in `Authorization`."""
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        assert kind == "Basic", kind
        id, _, secret = base64.b64decode(value).decode().partition(":")
        return id, secret


def http(status: int, body: Any, kind: str = "application/json", **headers: str) -> bytes:
    """`body`: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def token(subject: str = "alice", seconds: float = 300.0, **claims: Any) -> str:
    return unsecured_token(subject, time.time() + seconds, **claims)


def granted(asked: Asked) -> bytes:
    return http(200, {"access_token": token(), "token_type": "Bearer", "expires_in": 300})


class TokenServer:
    """`answer` may be changed at any time. Each piece of what it returns is sent by itself; then it hangs up."""

    def __init__(self, answer: Callable[[Asked], Bytes] = granted, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.released = threading.Event()  # for answers that hang
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://localhost:{self.port}/token"

    def __enter__(self) -> TokenServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.released.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(peer,)))
            self._threads[-1].start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            try:
                peer.settimeout(20)
                if self._tls is None:
                    return self._talk(peer)
                with self._tls.wrap_socket(peer, server_side=True) as secured:
                    self._talk(secured)
            except (
                OSError,
                IndexError,
                ValueError,
            ):  # the client has left, or speaks TLS to plain text, as some are to
                pass

    def _talk(self, peer: socket.socket) -> None:
        with peer.makefile("rb") as file:
            target = file.readline().split()[1].decode("ascii")
            headers = {}
            while line := file.readline().strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            form = dict(parse_qsl(file.read(int(headers.get("content-length", 0))).decode()))
        asked = Asked(target, headers, form)
        self.asked.append(asked)
        found = self.answer(asked)
        for piece in (found,) if isinstance(found, bytes) else found:
            peer.sendall(piece)


def unquoted(pair: tuple[str, str]) -> tuple[str, str]:
    return unquote_plus(pair[0]), unquote_plus(pair[1])
