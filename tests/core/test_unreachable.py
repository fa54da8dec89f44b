"""Peers that cannot be reached or are no Kafka, on real sockets: one error that says which, where, why, what next."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kafka.errors import NoBrokersAvailable
from kafka.protocol import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    MetadataRequest,
    MetadataResponse,
    decode_request,
    encode_response,
)
from kafka.result import Err, Ok
from tests.core.driving import client

Serve = Callable[[socket.socket], None]


@contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """A listener on a port of its own; every connection is handed to `serve` and then closed."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def accept() -> None:
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                try:
                    serve(connection)
                except OSError:
                    pass

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def refused_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def bootstrap(*places: tuple[str, int], timeout: float = 8.0) -> tuple[Any, float]:
    """The result of a bootstrap, and how many seconds it took."""
    with client(*places, bootstrap_patience=1.0) as kafka:
        start = time.monotonic()
        return kafka.bootstrap(timeout), time.monotonic() - start


def explained(*places: tuple[str, int], timeout: float = 8.0, within: float = 4.0) -> str:
    result, seconds = bootstrap(*places, timeout=timeout)
    assert isinstance(result, Err) and isinstance(result.error, NoBrokersAvailable)
    assert seconds < within
    said = str(result.error)
    for host, port in places:
        assert f"{host}:{port}" in said
    return said


def broker(advertised_host: str, advertised_port: int) -> Serve:
    """Just enough of a Kafka broker to say where it is to be found."""

    def answer(header: Any) -> Any:
        if header.api_key == ApiVersionsRequest.API_KEY:
            known = (ApiVersionsRequest, MetadataRequest)
            entry = ApiVersionsResponse.ApiVersion
            return ApiVersionsResponse(
                api_keys=[
                    entry(api_key=api.API_KEY, min_version=api.VERSIONS[0], max_version=api.VERSIONS[1])
                    for api in known
                ]
            )
        entry = MetadataResponse.MetadataResponseBroker
        return MetadataResponse(brokers=[entry(node_id=7, host=advertised_host, port=advertised_port)])

    def serve(connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while size := stream.read(4):
                header, _ = decode_request(stream.read(int.from_bytes(size, "big"))).unwrap()
                buffers = encode_response(answer(header), header.api_version, header.correlation_id).unwrap()
                connection.sendall(b"".join(buffers))

    return serve


def test_a_port_that_refuses() -> None:
    said = explained(("127.0.0.1", refused_port()), ("localhost", refused_port()))
    assert said.count("Connection refused") >= 2 and "tcp connect" in said


def test_a_name_that_does_not_resolve() -> None:
    said = explained(("no-such-host.invalid", 9092), within=9.0)
    assert "dns" in said


def test_a_port_that_speaks_tls() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secure:
            try:
                secure.do_handshake()
            except ssl.SSLError:
                pass

    with listening(serve) as port:
        said = explained(("127.0.0.1", port))
    assert "api versions" in said and "TLS" in said


def test_a_port_that_answers_with_a_tls_alert() -> None:
    """As Java's brokers do, whatever the OpenSSL of this machine makes of a request that is no handshake."""

    def serve(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(bytes.fromhex("15030300020246"))

    with listening(serve) as port:
        said = explained(("127.0.0.1", port))
    assert "The peer speaks TLS" in said and "security_protocol" in said


def test_an_http_server() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with listening(serve) as port:
        said = explained(("127.0.0.1", port))
    assert "HTTP server" in said and "check the port" in said


def test_a_peer_that_hangs_up() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(100)

    with listening(serve) as port:
        said = explained(("127.0.0.1", port))
    assert "closes them on the first request" in said and "TLS or SASL" in said


def test_a_peer_that_says_nothing() -> None:
    over = threading.Event()
    with listening(lambda connection: over.wait(10) and None) as port:
        said = explained(("127.0.0.1", port), timeout=2.0)
        over.set()
    assert "does not answer" in said


@pytest.mark.parametrize("host", ["no-such-host.invalid", "127.0.0.1"])
def test_a_broker_that_advertises_a_wrong_address(host: str) -> None:
    wrong = refused_port()
    with listening(broker(host, wrong)) as port:
        result, seconds = bootstrap(("127.0.0.1", port))
    assert isinstance(result, Err) and seconds < 9.0
    said = str(result.error)
    assert f"broker 7 at {host}:{wrong}" in said and "advertised.listeners" in said
    assert ("dns" if host.endswith("invalid") else "Connection refused") in said


def test_one_that_works_is_enough() -> None:
    port = refused_port()
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        good = int(reserved.getsockname()[1])
    listener = socket.create_server(("127.0.0.1", good))
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            broker("127.0.0.1", good)(connection)

    def accept() -> None:
        served = []
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                break
            served.append(threading.Thread(target=serve, args=(connection,)))
            served[-1].start()
        for thread in served:
            thread.join()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        result, seconds = bootstrap(("no-such-host.invalid", 1), ("127.0.0.1", port), ("127.0.0.1", good))
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
    assert isinstance(result, Ok) and seconds < 8.0
