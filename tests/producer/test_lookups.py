"""Names are looked up by the system, which may take its time."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from kafka import KafkaProducer
from kafka.errors import NoBrokersAvailable
from tests.producer.brokers import ScriptedCluster


def test_a_name_server_that_is_silent_about_one_broker_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()
    lookups: list[str] = []
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        lookups.append(host)
        if host != "silent.invalid":
            return original(host, *arguments, **options)
        asked.set()
        answer.wait(60)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with ScriptedCluster(nodes=2, topics={"t": 2}) as cluster:
        cluster.nodes[1].advertised = ("silent.invalid", 9092)
        producer = KafkaProducer(bootstrap_servers=cluster.bootstrap, linger_ms=0, enable_idempotence=False)
        try:
            producer.send("t", b"1", partition=0).get(20)
            waiting = producer.send("t", b"2", partition=1)
            assert asked.wait(20)
            cluster.nodes[0].hang_up()
            producer.send("t", b"3", partition=0).get(20)
            assert not waiting.is_done and lookups.count("silent.invalid") == 1
            cluster.leaders["t"][1] = 1
            answer.set()
            waiting.get(20)
        finally:
            answer.set()
            producer.close(timeout=5)


def test_a_name_with_a_silent_and_a_dead_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that the user gave is used, both are tried, and the error says of each what was wrong."""
    original = socket.getaddrinfo
    silent = socket.create_server(("127.0.0.1", 0))  # the system accepts, nobody answers
    port = silent.getsockname()[1]

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host != "kafka.invalid":
            return original(host, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.1", "127.0.0.2")]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with silent, pytest.raises(NoBrokersAvailable) as caught:
        KafkaProducer(bootstrap_servers=f"kafka.invalid:{port}", bootstrap_timeout_ms=2000)
    said = str(caught.value)
    assert f"kafka.invalid:{port} (127.0.0.1) failed in stage api versions: no answer within" in said
    assert f"kafka.invalid:{port} (127.0.0.2) failed in stage tcp connect: Connection refused" in said


@pytest.mark.slow
def test_a_name_that_is_not_known_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a container that starts with the program: what was given as bootstrap_timeout_ms is waited for."""
    original = socket.getaddrinfo
    begun = time.monotonic()

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host != "kafka.invalid":
            return original(host, *arguments, **options)
        if time.monotonic() - begun < 5:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return original("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with ScriptedCluster(nodes=1, topics={"t": 1}) as cluster:
        port = cluster.bootstrap.rpartition(":")[2]
        with KafkaProducer(bootstrap_servers=f"kafka.invalid:{port}", bootstrap_timeout_ms=30_000) as producer:
            producer.send("t", b"v").get(10)


def test_without_a_thread_of_its_own_a_name_is_looked_up_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "kafka-resolver":
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with (
        ScriptedCluster(topics={"t": 1}) as cluster,
        KafkaProducer(bootstrap_servers=cluster.bootstrap) as producer,
    ):
        assert producer.send("t", b"1").get(20).partition == 0
