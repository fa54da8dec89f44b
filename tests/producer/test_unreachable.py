"""What `KafkaProducer(...)` says where no broker can be reached: real sockets, within seconds, each address named."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kafka import KafkaProducer
from kafka.errors import KafkaError
from tests.producer.brokers import CLOSE, ScriptedCluster

HERE = Path(__file__).parent


def refused(servers: str | list[str], **configs: object) -> KafkaError:
    """The error of a producer that cannot start, which leaves no thread behind."""
    before = threading.enumerate()  # of other tests, which may have failed
    began = time.monotonic()
    with pytest.raises(KafkaError) as caught:
        KafkaProducer(bootstrap_servers=servers, **configs)
    assert time.monotonic() - began < 8
    for thread in threading.enumerate():
        if thread.name.startswith("kafka-") and thread not in before:
            thread.join(3)
            assert not thread.is_alive()
    return caught.value


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def peer(serve: object, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A listener that has `serve(connection)` talk to each that connects."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    if tls is not None:
                        connection = tls.wrap_socket(connection, server_side=True)
                    serve(connection)  # type: ignore[operator]
                except OSError:
                    continue

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def test_a_refused_port() -> None:
    ports = [closed_port(), closed_port()]
    error = refused([f"127.0.0.1:{port}" for port in ports])
    for port in ports:
        assert f"127.0.0.1:{port}" in str(error)
    assert "refused" in str(error).lower()
    assert "Hint: " in str(error)


def test_a_bad_name() -> None:
    error = refused("no-such-host.invalid:9092")
    assert "no-such-host.invalid" in str(error) and "9092" in str(error)
    assert "Hint: " in str(error)


def test_one_bad_address_of_two_does_no_harm(cluster: ScriptedCluster) -> None:
    for servers in (
        f"127.0.0.1:{closed_port()},{cluster.bootstrap}",
        f"{cluster.bootstrap},no-such-host.invalid:9092",
        f"no-such-host.invalid:9092,{cluster.bootstrap}",
    ):
        with KafkaProducer(bootstrap_servers=servers) as producer:
            assert producer.send("t", b"x").get(5).partition == 0


def test_a_tls_port() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / "localhost.pem")
    with peer(lambda connection: connection.recv(1), context) as port:
        error = refused(f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in str(error)
    assert "tls" in str(error).lower() or "ssl" in str(error).lower()
    assert "Hint: " in str(error)


def test_an_http_server() -> None:
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            error = refused(f"127.0.0.1:{server.server_port}", bootstrap_timeout_ms=5000)
        finally:
            server.shutdown()
            thread.join()
    assert f"127.0.0.1:{server.server_port}" in str(error)
    assert "Hint: " in str(error)


def test_a_server_that_answers_http_to_everything() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with peer(serve) as port:
        error = refused(f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in str(error)
    assert "http" in str(error).lower()


def test_a_wrong_advertised_listener(cluster: ScriptedCluster) -> None:
    port = closed_port()
    cluster.nodes[0].advertised = ("127.0.0.1", port)
    error = refused(cluster.bootstrap)
    assert f"127.0.0.1:{port}" in str(error)
    assert "advertised" in str(error).lower()


def test_an_advertised_name_that_nobody_knows(cluster: ScriptedCluster) -> None:
    cluster.nodes[0].advertised = ("kafka-7.invalid", 9092)
    error = refused(cluster.bootstrap)
    assert "kafka-7.invalid" in str(error)
    assert "advertised" in str(error).lower()


def test_a_peer_that_never_answers(cluster: ScriptedCluster) -> None:
    cluster.freeze()
    began = time.monotonic()
    error = refused(cluster.bootstrap, bootstrap_timeout_ms=1500)
    assert time.monotonic() - began < 4
    assert cluster.bootstrap in str(error) and "Hint: " in str(error)


def test_a_peer_that_hangs_up(cluster: ScriptedCluster) -> None:
    cluster.script = lambda node, header, request: CLOSE
    error = refused(cluster.bootstrap)
    assert cluster.bootstrap in str(error)
