"""A producer and brokers over TLS, on real sockets: what arrives, what is said where it cannot, what may change."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import PASSWORD, Certificates

from kafka import KafkaConsumer, KafkaProducer
from kafka.drivers.threads import Driver
from kafka.errors import KafkaConnectionError, KafkaError, NoBrokersAvailable
from kafka.testing import EmbeddedCluster
from tests.processes import Script

pytestmark = pytest.mark.usefixtures("tls_engine")
Cluster = Callable[..., EmbeddedCluster]


@pytest.fixture
def tls_cluster(certificates: Certificates) -> Iterator[Cluster]:
    """`tls_cluster("server.pem", clients=True, **options)`: brokers with that certificate."""
    with contextlib.ExitStack() as stack:

        def make(name: str = "server.pem", clients: bool = False, **options: Any) -> EmbeddedCluster:
            context = certificates.server(name, clients=clients)
            return stack.enter_context(EmbeddedCluster(tls=context, topics={"t": 1}, **options))

        yield make


def keys(certificates: Certificates, cluster: EmbeddedCluster, **more: Any) -> dict[str, Any]:
    return {
        "bootstrap_servers": cluster.bootstrap, "security_protocol": "SSL", "ssl_cafile": certificates["ca.pem"], **more
    }  # fmt: skip


def refused(within: float = 2.5, **configs: Any) -> str:
    """What the constructor says, within less than its patience with what may pass."""
    began = time.monotonic()
    with pytest.raises(NoBrokersAvailable) as caught:
        KafkaProducer(**configs)
    assert time.monotonic() - began < within
    said = str(caught.value)
    assert "failed in stage tls handshake" in said and "Hint: " in said and "_ssl.c" not in said
    return said


# -- what arrives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_records_of_all_sizes(certificates: Certificates, tls_cluster: Cluster, compression: str | None) -> None:
    cluster = tls_cluster(nodes=2)
    sizes = (0, 1, 100, 16383, 16384, 16385, 300_000, 1_000_000)
    values = [os.urandom(size) for size in sizes]
    with KafkaProducer(**keys(certificates, cluster, compression_type=compression, max_request_size=2**21)) as producer:
        futures = [producer.send("t", value) for value in values]
        many = producer.send_many("t", [b"%d" % number for number in range(50_000)])
        assert [future.get(30).offset for future in futures] == list(range(len(sizes)))
        many.get(30)
    assert [record.value for record in cluster.records("t")][: len(values)] == values
    assert cluster.end_offset("t", 0) == 50_000 + len(sizes)


def test_acks_0_is_told_when_it_was_written(certificates: Certificates, tls_cluster: Cluster) -> None:
    cluster = tls_cluster()
    with KafkaProducer(**keys(certificates, cluster, acks=0)) as producer:
        for _ in range(4):
            futures = [producer.send("t", bytes(900_000)) for _ in range(5)]
            assert {future.get(10).offset for future in futures} == {-1}
        began = time.monotonic()
        producer.send("t", b"last").get(10)
        assert time.monotonic() - began < 4  # not only when the turn has slept for as long as it may
    while cluster.end_offset("t", 0) < 21:  # written is not received
        assert time.monotonic() - began < 20
        time.sleep(0.01)


def test_transactions(certificates: Certificates, tls_cluster: Cluster) -> None:
    cluster = tls_cluster(nodes=2)
    with KafkaProducer(**keys(certificates, cluster, transactional_id="x")) as producer:
        producer.init_transactions()
        with producer.transaction():
            producer.send("t", b"x")
    assert [record.value for record in cluster.records("t")] == [b"x"]


def test_a_consumer(certificates: Certificates, tls_cluster: Cluster) -> None:
    cluster = tls_cluster()
    values = [os.urandom(size) for size in (1, 16384, 500_000) * 20]
    with KafkaProducer(**keys(certificates, cluster)) as producer:
        producer.send_many("t", values)
    with KafkaConsumer(
        "t", **keys(certificates, cluster, auto_offset_reset="earliest", consumer_timeout_ms=20_000)
    ) as consumer:
        assert [record.value for _, record in zip(values, consumer, strict=False)] == values


def test_which_engine_encrypts_is_in_health(certificates: Certificates, tls_cluster: Cluster, tls_engine: str) -> None:
    with KafkaProducer(**keys(certificates, tls_cluster())) as producer:
        producer.send("t", b"x").get(10)
        assert [health.tls for health in producer.health()] == [tls_engine]
    with EmbeddedCluster() as plain, KafkaProducer(bootstrap_servers=plain.bootstrap) as producer:
        assert [health.tls for health in producer.health()] == [None]


def test_a_context_of_the_users_own(certificates: Certificates, tls_cluster: Cluster) -> None:
    cluster = tls_cluster()
    context = certificates.client()
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, security_protocol="SSL", ssl_context=context) as producer:
        producer.send("t", b"x").get(10)


@pytest.mark.parametrize("store", [False, True])
def test_client_certificates(certificates: Certificates, tls_cluster: Cluster, store: bool) -> None:
    cluster = tls_cluster(clients=True)
    ours = {"ssl_certfile": certificates["client.p12" if store else "client.pem"], "ssl_password": PASSWORD}
    with KafkaProducer(**keys(certificates, cluster, **ours)) as producer:
        producer.send("t", b"x").get(10)
    peers = [connection.transport.get_extra_info("peercert") for connection in cluster.nodes[0].connections.copy()]
    assert all(peers)


def test_brokers_that_go_and_come_back(certificates: Certificates, tls_cluster: Cluster) -> None:
    cluster = tls_cluster()
    with KafkaProducer(**keys(certificates, cluster, linger_ms=1, max_block_ms=20_000)) as producer:
        futures = []
        for number in range(2000):
            futures.append(producer.send("t", b"%d" % number))
            if number % 400 == 399:
                cluster._on_thread(cluster.nodes[0].disconnect)
                time.sleep(0.05)
        producer.flush(30)
        assert all(future.succeeded() for future in futures)
    assert sorted(int(record.value) for record in cluster.records("t")) == list(range(2000))


def test_a_frame_of_2_gb(certificates: Certificates, tls_cluster: Cluster) -> None:
    """It is refused by its first bytes, and the next connection delivers."""
    cluster = tls_cluster()
    [node] = cluster.nodes

    def lie() -> None:
        for connection in node.connections:
            connection.transport.writelines([b"\x7f\xff\xff\xff" + bytes(1000)])

    with KafkaProducer(**keys(certificates, cluster, reconnect_backoff_ms=1000)) as producer:
        producer.send("t", b"before").get(10)
        cluster._on_thread(lie)
        until = time.monotonic() + 20
        while not (trouble := [health.error for health in producer.health() if health.error is not None]):
            assert time.monotonic() < until
            time.sleep(0.01)
        assert "2147483647" in str(trouble[0]).replace(",", ""), trouble[0]
        assert producer.send("t", b"after").get(20).offset == 1


# -- what is said where it cannot be -----------------------------------------------------------------------------------


def test_an_authority_that_is_not_trusted(certificates: Certificates, tls_cluster: Cluster) -> None:
    cluster = tls_cluster()
    said = refused(**keys(certificates, cluster, ssl_cafile=certificates["stranger-ca.pem"]))
    assert "unable to get local issuer certificate" in said and "ssl_cafile" in said and cluster.bootstrap in said
    said = refused(**keys(certificates, cluster, ssl_cafile=None))
    assert "the system's are trusted" in said


def test_a_certificate_that_has_run_out(certificates: Certificates, tls_cluster: Cluster) -> None:
    said = refused(**keys(certificates, tls_cluster("expired.pem")))
    assert "certificate has expired" in said and "renewed" in said and "ssl_cafile" not in said


def test_a_certificate_for_another_name(certificates: Certificates, tls_cluster: Cluster) -> None:
    cluster = tls_cluster("other-name.pem")
    said = refused(**keys(certificates, cluster))
    assert "'127.0.0.1' is the name in bootstrap_servers" in said and "ssl_check_hostname" in said
    with KafkaProducer(**keys(certificates, cluster, ssl_check_hostname=False)) as producer:
        producer.send("t", b"x").get(10)


def test_an_advertised_name_that_the_certificate_lacks(certificates: Certificates, tls_cluster: Cluster) -> None:
    cluster = tls_cluster(host="0.0.0.0")
    [node] = cluster.nodes
    node.advertised = ("127.0.0.2", node.port)
    said = refused(**keys(certificates, cluster, bootstrap_servers=f"127.0.0.1:{node.port}"))
    assert "broker 1 at 127.0.0.2" in said and "'127.0.0.2' is the name in the brokers' advertised.listeners" in said


def test_a_certificate_that_was_revoked(certificates: Certificates, tls_cluster: Cluster) -> None:
    lists = {"ssl_crlfile": certificates["crl.pem"]}
    with KafkaProducer(**keys(certificates, tls_cluster(), **lists)) as producer:
        producer.send("t", b"x").get(10)
    cluster = tls_cluster("revoked.pem")
    said = refused(**keys(certificates, cluster, **lists))
    assert "certificate revoked" in said and "ssl_crlfile" in said
    with KafkaProducer(**keys(certificates, cluster)) as producer:
        producer.send("t", b"x").get(10)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_client_certificates_that_are_missing_or_not_accepted(certificates: Certificates, version: str) -> None:
    server = certificates.server(clients=True)
    server.maximum_version = getattr(ssl.TLSVersion, version.replace(".", "_"))
    with EmbeddedCluster(tls=server) as cluster:
        said = refused(**keys(certificates, cluster))
        assert "the alert '" in said and "ssl_certfile" in said
        said = refused(**keys(certificates, cluster, ssl_certfile=certificates["foreign.pem"]))
        assert "the alert 'unknown ca'" in said and "does not accept the certificate of this client" in said


def test_no_version_in_common(certificates: Certificates) -> None:
    server = certificates.server()
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    with EmbeddedCluster(tls=server) as cluster:
        said = refused(**keys(certificates, cluster, ssl_minimum_version="TLSv1.3"))
        assert "'protocol version'" in said and "ssl_minimum_version" in said


def test_no_cipher_in_common(certificates: Certificates) -> None:
    server = certificates.server()
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256")
    with EmbeddedCluster(tls=server) as cluster:
        said = refused(**keys(certificates, cluster, ssl_ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"))
        assert "'handshake failure'" in said and "ssl_ciphers" in said


def test_a_port_for_plain_text(certificates: Certificates) -> None:
    with EmbeddedCluster() as cluster:  # closes, as Apache Kafka does: what it reads is a frame of 369 MB
        said = refused(**keys(certificates, cluster), within=6)
        assert "A listener for plain text does this" in said


def test_a_peer_that_answers_in_another_language(certificates: Certificates) -> None:
    with listener(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") as address:
        said = refused(bootstrap_servers=address, security_protocol="SSL", ssl_cafile=certificates["ca.pem"])
        assert "The peer does not speak TLS" in said and "PLAINTEXT" in said


def test_plain_text_to_a_port_that_speaks_tls(tls_cluster: Cluster) -> None:
    began = time.monotonic()
    with pytest.raises(NoBrokersAvailable) as caught:
        KafkaProducer(bootstrap_servers=tls_cluster().bootstrap)
    assert "use security_protocol='SSL'" in str(caught.value) and time.monotonic() - began < 2.5


def test_a_handshake_that_never_ends(certificates: Certificates) -> None:
    with (
        listener(None) as address,
        pytest.raises(NoBrokersAvailable, match="failed in stage tls handshake: no answer within"),
    ):
        KafkaProducer(
            bootstrap_servers=address, security_protocol="SSL", ssl_cafile=certificates["ca.pem"],
            bootstrap_timeout_ms=1500,
        )  # fmt: skip


@contextlib.contextmanager
def listener(answer: bytes | None) -> Iterator[str]:
    """A peer that answers whatever it is told with this, then closes; None: it holds its tongue."""
    server = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connection.recv(1000)
            if answer is None:
                held.append(connection)
            else:
                with connection:
                    connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for connection in held:
            connection.close()


def test_a_name_that_cannot_be_in_a_certificate(certificates: Certificates) -> None:
    with pytest.raises(KafkaError) as caught:
        KafkaProducer(
            bootstrap_servers=f"{'x' * 70}.example:1", security_protocol="SSL", ssl_cafile=certificates["ca.pem"]
        )
    assert "xxx.example:1" in str(caught.value)


def test_a_fork_leaves_the_connections_to_the_parent(certificates: Certificates, tls_cluster: Cluster) -> None:
    """The child says nothing on them, not even that it closes them, and makes its own."""
    cluster = tls_cluster()
    code = f"""
    keys = dict(bootstrap_servers=bootstrap, security_protocol="SSL", ssl_cafile={certificates["ca.pem"]!r})
    producer = KafkaProducer(**keys)
    producer.send("t", b"before").get(10)
    connections = [health.state for health in producer.health()]
    pid = os.fork()
    producer.send("t", b"child" if pid == 0 else b"parent").get(10)
    if pid == 0:
        producer.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    producer.send("t", b"after").get(10)
    assert not [health for health in producer.health() if health.error is not None]
    producer.close()
    """
    Script(code, cluster.bootstrap).end(30)
    assert sorted(record.value for record in cluster.records("t")) == [b"after", b"before", b"child", b"parent"]


# -- what changes meanwhile --------------------------------------------------------------------------------------------


def test_certificates_are_replaced_under_load(
    certificates: Certificates, tls_cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kafka.security")
    cluster = tls_cluster(clients=True)
    seen: list[Any] = []
    ours = {}
    for name in ("crt", "key"):
        ours[name] = tmp_path / name
        ours[name].write_text(certificates.text(f"client.{name}"))
    renewed = certificates.authority.issue_cert("renewed@kafka.example", common_name="renewed")
    configs = keys(
        certificates, cluster, ssl_certfile=ours["crt"], ssl_keyfile=ours["key"], linger_ms=1, reconnect_backoff_ms=1
    )

    def subjects() -> set[str]:
        certs = [connection.transport.get_extra_info("peercert") for connection in cluster.nodes[0].connections.copy()]
        return {value for cert in certs if cert for ((name, value),) in cert["subject"] if name == "commonName"}

    def wait_for(subject: str) -> None:
        until = time.monotonic() + 20
        while cluster._on_thread(subjects) != {subject}:
            assert time.monotonic() < until, seen
            seen.append(cluster._on_thread(subjects))
            time.sleep(0.01)

    stop = threading.Event()
    futures: list[Any] = []
    with KafkaProducer(**configs) as producer:

        def load() -> None:
            while not stop.is_set():
                futures.append(producer.send("t", b"%d" % len(futures)))
                time.sleep(0.0005)

        thread = threading.Thread(target=load)
        thread.start()
        wait_for("client")
        # The certificate alone, as it is for a moment while both are replaced: of no use, so the old pair goes on.
        ours["crt"].write_bytes(b"".join(blob.bytes() for blob in renewed.cert_chain_pems))
        for _ in range(3):
            cluster._on_thread(cluster.nodes[0].disconnect)
            time.sleep(0.05)
            wait_for("client")
        ours["key"].write_bytes(renewed.private_key_pem.bytes())
        until = time.monotonic() + 20
        while cluster._on_thread(subjects) != {"renewed"}:  # one that was being made meanwhile has the old pair
            assert time.monotonic() < until, cluster._on_thread(subjects)
            cluster._on_thread(cluster.nodes[0].disconnect)
            time.sleep(0.2)
        stop.set()
        thread.join()
        producer.flush(30)
        assert all(future.succeeded() for future in futures)
    assert sorted(int(record.value) for record in cluster.records("t")) == list(range(len(futures)))
    # The driver may have its word about a connection that was cut in mid-request.
    levels = [record.levelname for record in caplog.records if record.name == "kafka.security"]
    assert levels == ["WARNING", "INFO"]


def test_a_certificate_that_runs_out_later_is_outlived(certificates: Certificates, tls_cluster: Cluster) -> None:
    cluster = tls_cluster()
    node = cluster.nodes[0]
    with KafkaProducer(**keys(certificates, cluster, reconnect_backoff_ms=10, reconnect_backoff_max_ms=50)) as producer:
        producer.send("t", b"before").get(10)
        assert cluster.tls is not None
        cluster.tls.load_cert_chain(certificates["expired.pem"])
        cluster._on_thread(node.disconnect)
        future = producer.send("t", b"after")
        until = time.monotonic() + 20
        while not (trouble := [health.error for health in producer.health() if health.error is not None]):
            assert time.monotonic() < until
            time.sleep(0.01)
        cluster.tls.load_cert_chain(certificates["server.pem"])
        assert future.get(20).offset == 1
    found = [error for error in trouble if isinstance(error, KafkaConnectionError)]
    assert found


def test_files_are_read_beside_the_io_thread(
    certificates: Certificates, tls_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password may come from far away, and whoever fetches it may ask the producer something."""
    cluster = tls_cluster()
    on_io_thread: list[bool] = []
    for name in ("crt", "encrypted.key"):
        (tmp_path / name).write_text(certificates.text("client.crt" if name == "crt" else "client-encrypted.key"))
    held: list[KafkaProducer] = []

    def password() -> str:
        for producer in held:
            driver: Driver = producer._driver
            on_io_thread.append(driver.is_current())
            producer.partitions_for("t")
        return PASSWORD

    more = {"ssl_certfile": tmp_path / "crt", "ssl_keyfile": tmp_path / "encrypted.key", "ssl_password": password}
    with KafkaProducer(**keys(certificates, cluster, **more)) as producer:
        producer.send("t", b"x").get(10)
        held.append(producer)
        os.utime(tmp_path / "crt", (1, 1))
        cluster._on_thread(cluster.nodes[0].disconnect)
        producer.send("t", b"x").get(10)
    assert on_io_thread == [False]
