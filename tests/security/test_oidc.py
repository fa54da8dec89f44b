"""Tokens from a token endpoint: what it is asked, what it may say, and what it may not."""

from __future__ import annotations

import copy
import logging
import pickle
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import token_server
from certificates import Certificates
from token_server import Asked, TokenServer, http, token

from kafka import KafkaProducer
from kafka.config import HIDDEN, ClientConfig
from kafka.errors import ConfigurationValueError, CredentialsError, DeliveryFailed, SaslAuthenticationFailedError
from kafka.security import endpoint
from kafka.testing import EmbeddedCluster
from kafka.testing.model.sasl import unsecured_token

SECRET = "s3cret/+="
NAMES = "sasl_oauthbearer_"
KEYS = [f"{NAMES}client_credentials_client_{name}" for name in ("id", "secret")]


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as found:
        yield found


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(2, topics={"t": 2}, users={"alice": "x"}) as found:
        yield found


def keys(server: TokenServer | str, **more: Any) -> dict[str, Any]:
    """Those of a client without brokers."""
    url = server if isinstance(server, str) else server.url
    found = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauthbearer_token_endpoint_url": url,
        "sasl_oauthbearer_client_credentials_client_id": "alice",
        "sasl_oauthbearer_client_credentials_client_secret": SECRET,
        "sasl_oauthbearer_allow_http": url.startswith("http:"),
    }
    return found | {name if name.startswith("sasl_") else f"sasl_oauthbearer_{name}": more[name] for name in more}


class Network:
    """As much of the core's as the mechanism wants when it is made, and what `work` it has."""

    def __init__(self, **configs: Any) -> None:
        self.random = self.timers = None
        make = ClientConfig(configs).sasl
        assert make is not None
        mechanism: Any = make(self)  # type: ignore[arg-type]
        self.fetch: Callable[[], Any] = mechanism._tokens._source._function


def fetch(server: TokenServer | str, **more: Any) -> Any:
    """The token of a client, as it gets it."""
    return Network(**keys(server, **more)).fetch()


def refused(server: TokenServer | str, **more: Any) -> CredentialsError:
    with pytest.raises(CredentialsError) as caught:
        fetch(server, **more)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.retriable == caught.value.retriable
    return caught.value


# -- what is asked ---------------------------------------------------------------------------------------------------


def test_client_credentials(server: TokenServer) -> None:
    found = fetch(server, scope="kafka read", extensions={"logicalCluster": "lkc-1"})
    assert 290 < found.lifetime <= 300 and found.extensions == {"logicalCluster": "lkc-1"}
    (asked,) = server.asked
    assert asked.client == ("alice", SECRET) and asked.target == "/token"
    assert asked.form == {"grant_type": "client_credentials", "scope": "kafka read"}
    assert asked.headers["accept"] == "application/json" and asked.headers["host"] == f"localhost:{server.port}"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.headers["user-agent"].startswith("kafka-turbo/")


def test_url_encoded_credentials(server: TokenServer) -> None:
    own = {"client_credentials_client_id": "a:b", "client_credentials_client_secret": "x y"}
    with pytest.raises(ConfigurationValueError, match="client_id has a colon in it"):
        fetch(server, **own)
    fetch(server, header_urlencode=True, **own)
    assert server.asked[0].client == ("a%3Ab", "x+y")
    assert token_server.unquoted(server.asked[0].client) == ("a:b", "x y")


def test_over_tls(certificates: Certificates) -> None:
    with TokenServer(tls=certificates.server()) as server:
        fetch(server, ssl_cafile=certificates["ca.pem"])
        fetch(server, ssl_cafile=certificates.text("ca.pem"))
        fetch(server.url.replace("localhost", "127.0.0.1") + "?tenant=a", ssl_cafile=certificates["ca.pem"])
    assert server.asked[-1].target == "/token?tenant=a"


def test_a_whole_megabyte_over_tls(certificates: Certificates) -> None:
    big = http(200, {"access_token": token(), "padding": "x" * ((1 << 20) - 2000)})

    def pieces(asked: Asked) -> Iterator[bytes]:
        for place in range(0, len(big), 7777):
            yield big[place : place + 7777]

    with TokenServer(pieces, tls=certificates.server()) as server:
        assert fetch(server, ssl_cafile=certificates["ca.pem"]).lifetime > 290


def test_a_secret_that_changes(server: TokenServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "secret"
    file.write_text("first\n")
    file.chmod(0o600)
    client = Network(**keys(server, client_credentials_client_secret=file))
    client.fetch()
    assert not caplog.records
    file.write_text("second")
    file.chmod(0o644)
    client.fetch()
    client.fetch()
    assert [asked.client[1] for asked in server.asked] == ["first", "second", "second"]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.startswith(f"{KEYS[1]}='{file}' has a secret in it, and every user of this machine can read it")
    file.unlink()
    with pytest.raises(ConfigurationValueError, match="cannot be read: No such file"):
        client.fetch()
    called = Network(**keys(server, client_credentials_client_secret=lambda: "third"))
    called.fetch()
    assert server.asked[-1].client[1] == "third"


# -- what it answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "low", "high"),
    [
        ({"access_token": "opaque"}, None, None),
        ({"access_token": "opaque", "expires_in": "60"}, 50, 60),  # some write it as text
        ({"access_token": "opaque", "expires_in": 1e400}, 1e8, 1e9),
        ({"access_token": "opaque", "expires_in": -1}, None, None),
        ({"access_token": "opaque", "expires_in": {}, "token_type": "bearer"}, None, None),
        ({"access_token": 100}, 90, 100),
        ({"access_token": 100, "expires_in": 300}, 90, 100),
        ({"access_token": 900, "expires_in": 300}, 290, 300),
        ({"access_token": -60, "expires_in": 300}, 290, 300),  # where the clock is wrong
    ],
)
def test_how_long_a_token_is_good(server: TokenServer, answer: Any, low: float | None, high: float) -> None:
    if not isinstance(answer["access_token"], str):  # a token that says so itself
        answer = {**answer, "access_token": token(seconds=answer["access_token"])}
    server.answer = lambda asked: http(200, answer)
    found = fetch(server)
    assert found.value == answer["access_token"]
    assert found.lifetime is None if low is None else low < found.lifetime <= high


def redirecting(where: str) -> Callable[[Asked], bytes]:
    return lambda asked: http(302, b"", Location=where)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "said", "retriable"),
    [
        (http(200, b"<html>log in</html>", "text/html"), "no JSON object, but text/html of 19 bytes", False),
        (http(200, b"[" * 100_000), "no JSON object", False),
        (http(200, ["access_token"]), "no JSON object", False),
        (http(200, b""), "no JSON object, but application/json of 0 bytes", False),
        (http(200, {"token": "x"}), "it has no access_token in it", False),
        (http(200, {"access_token": ""}), "it has no access_token in it", False),
        (http(200, {"access_token": "x", "token_type": "mac"}), "a token of another type than Bearer", False),
        (http(200, {"access_token": unsecured_token("alice", 1.0)}), "it is a token that expired 1", False),
        (
            http(401, {"error": "invalid_client", "error_description": "bad client credentials"}),
            f"invalid_client: bad client credentials. Hint: Check {KEYS[0]} and {KEYS[1]}.",
            False,
        ),
        (http(400, {"error": "invalid_scope"}), "invalid_scope. Hint: Check sasl_oauthbearer_scope", False),
        (http(400, {"error": "unsupported_grant_type"}), "whether the endpoint lets", False),
        (http(403, {"error": {"code": 1}}), "HTTP 403 Reason. Hint: Check sasl_oauthbearer_client_cred", False),
        (http(404, b"no"), "HTTP 404 Reason. Hint: Check sasl_oauthbearer_token_endpoint_url", False),
        (http(401, {"error": f"echo {SECRET}"}), "echo <hidden>", False),
        (http(400, {"error": "x\n\x1b[31m" + "y" * 9999}), "x??[31myyy", False),
        (http(503, b"<html>"), "HTTP 503 Reason. Hint: It may pass by itself", True),
        (http(429, {"error": "slow_down"}), "HTTP 429 Reason: slow_down", True),
        (http(302, b"", Location="https://u:p@evil.example/?code=1"), "redirects (HTTP 302) to https://evil.ex", False),
        (http(307, b"", Location="file:///etc/passwd"), "redirects (HTTP 307), which is not followed", False),
        (http(308, b"", Location="http://[::1"), "redirects (HTTP 308), which is not followed", False),
        (http(200, b"x" * ((1 << 20) + 1)), "more than 1048576 bytes", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "more than 1048576 bytes", False),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (1 << 21), "more than 1048576 bytes", False),
        (CHUNKED + b"-1\r\n" + b" " * (1 << 22), "more than 1048576 bytes", False),
        (CHUNKED + b"400000\r\n" + b" " * (1 << 22), "more than 1048576 bytes", False),
        (b"HTTP/1.1 200 OK\r\n" + (b"A: " + b"b" * 60_000 + b"\r\n") * 90, "more than 1048576 bytes", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{", "the answer ended too early", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n{", "the answer ended too early", True),
        (b"SSH-2.0-OpenSSH_9.0\r\n", "is no HTTP (BadStatusLine)", False),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n", "is no HTTP (HTTPException)", False),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 99999, "is no HTTP (LineTooLong)", False),
        (b"", "the peer closed the connection", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, "the peer closed the connection", True),
    ],
)
def test_answers_without_a_token(server: TokenServer, answer: bytes, said: str, retriable: bool) -> None:
    server.answer = lambda asked: answer
    error = refused(server)
    assert said in str(error) and error.retriable is retriable
    assert f"The token endpoint http://localhost:{server.port}/token failed in stage answer: " in str(error)
    assert len(str(error)) < 900 and error.hint is not None and len(server.asked) == 1


def test_where_it_redirects_to_nothing_is_sent(server: TokenServer) -> None:
    with TokenServer(redirecting(server.url)) as other:
        for status in (301, 302, 303, 307, 308):
            other.answer = lambda asked, status=status: http(status, b"", Location=server.url)  # type: ignore[misc]
            assert "is not followed: the secret is for that address alone" in str(refused(other))
    assert not server.asked


def test_proxies_of_the_environment_are_not_asked(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    fetch(server)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["head", "body", "nothing"])
def test_answers_that_drip(server: TokenServer, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """However slowly it talks, it has so long for all of it."""
    monkeypatch.setattr(endpoint, "DEADLINE", 1.0)

    def drip(asked: Asked) -> Iterator[bytes]:
        yield {"head": b"HTTP/1.1 200 OK\r\nA: ", "body": b"HTTP/1.1 200 OK\r\n\r\n", "nothing": b""}[part]
        while not server.released.wait(0.05):
            yield b"" if part == "nothing" else b" "

    server.answer = drip
    error = refused(server)
    assert "stage answer: it took longer than 1 s" in str(error) and error.retriable


@pytest.mark.slow
def test_a_handshake_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "DEADLINE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refused(f"https://localhost:{silent.getsockname()[1]}/")
    assert "stage tls handshake: it took longer than 1 s" in str(error)


@pytest.mark.parametrize(
    ("certificate", "cafile", "said"),
    [
        ("server.pem", "stranger-ca.pem", "Hint: sasl_oauthbearer_ssl_cafile must have"),
        ("server.pem", None, "Hint: sasl_oauthbearer_ssl_cafile must have"),
        ("expired.pem", "ca.pem", "certificate has expired. Hint: It has to get a new certificate"),
        ("other-name.pem", "ca.pem", "Hint: Its certificate is for other names than 'localhost'"),
    ],
)
def test_certificates(certificates: Certificates, certificate: str, cafile: str | None, said: str) -> None:
    with TokenServer(tls=certificates.server(certificate)) as server:
        error = refused(server, ssl_cafile=cafile and certificates[cafile])
    assert said in str(error) and "failed in stage tls handshake: certificate verify failed: " in str(error)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError) and not error.retriable


def test_what_cannot_be_reached(server: TokenServer, certificates: Certificates) -> None:
    error = refused("http://localhost:1/token")
    assert "failed in stage tcp connect: Connection refused" in str(error) and error.retriable
    error = refused("http://no-such-host.invalid/token")
    assert "http://no-such-host.invalid:80/token failed in stage dns" in str(error) and error.retriable
    with TokenServer(lambda asked: b"", certificates.server()) as tls:
        error = refused(tls.url.replace("https:", "http:"))  # plain text to a port for TLS
        assert "stage answer: " in str(error)
    server.answer = lambda asked: b""
    error = refused(f"https://localhost:{server.port}/")
    assert "stage tls handshake: " in str(error) and "its port for https" in str(error)


# -- configuration ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"token_endpoint_url": "http://idp/token"}, "set sasl_oauthbearer_allow_http to True"),
        ({"token_endpoint_url": "file:///etc/passwd"}, "must be a URL that begins with https://"),
        ({"token_endpoint_url": "ftp://idp/x"}, "must be a URL that begins with https://"),
        ({"token_endpoint_url": "idp/token"}, "must be a URL that begins with https://"),
        ({"token_endpoint_url": "https:///token"}, "must be a URL that begins with https://"),
        ({"token_endpoint_url": "https://u:p@idp/token"}, "must not have a user or a password in it"),
        ({"token_endpoint_url": "https://idp:99999/"}, "is no URL"),
        ({"token_endpoint_url": f"https://u:{SECRET}@idp/"}, "is no URL"),
        ({"token_endpoint_url": "https://idp/a b"}, "no spaces"),
        ({"token_endpoint_url": "https://idp/a\r\nX: y"}, "must be a URL"),
        ({"token_endpoint_url": "https://" + "a" * 70}, "is no name of a host"),
        ({"token_endpoint_url": None}, "sasl_oauthbearer_token_endpoint_url is not set, so sasl_oauthbearer_client"),
        ({"client_credentials_client_id": None}, "client_id is needed for sasl_oauthbearer_token_endpoint_url"),
        ({"client_credentials_client_secret": None}, "client_secret is needed"),
        ({"client_credentials_client_secret": ""}, "client_secret must not be empty"),
        ({"client_credentials_client_secret": 5}, "client_secret must be a string, a pathlib.Path"),
        ({"client_credentials_client_secret": HIDDEN}, "give the real one"),
        ({"client_credentials_client_secret": Path("/no/such")}, "client_secret='/no/such': cannot be read: No such"),
        ({"ssl_cafile": "/no/such"}, "sasl_oauthbearer_ssl_cafile='/no/such': cannot be read"),
        ({"ssl_cafile": __file__}, "sasl_oauthbearer_ssl_cafile=.*is not PEM"),
        ({"scope": "a\nb"}, "scope must be a string"),
        ({"extensions": {"trace_id": "1"}}, "extensions must be a dict of strings, whose names have letters only"),
        ({"extensions": {"auth": "1"}}, "extensions must be"),
        ({"extensions": "a=b"}, "extensions must be"),
        ({"sasl_oauth_token_provider": str}, "sasl_oauth_token_provider must be"),
        ({"sasl_oauth_token_provider": lambda: "x"}, "tokens come from the one or from the others"),
        ({"sasl_mechanism": "PLAIN"}, "are for sasl_mechanism 'OAUTHBEARER', not for PLAIN"),
    ],
)
def test_what_does_not_go_together(more: Any, said: str) -> None:
    with pytest.raises(ConfigurationValueError, match=said) as caught:
        ClientConfig(keys("https://idp.example/token", **more))
    assert SECRET not in str(caught.value)


def test_another_address_of_a_name_whose_first_this_machine_cannot_use(
    server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = endpoint._socket.getaddrinfo

    def with_one_more(*args: Any) -> Any:
        return [(12345, socket.SOCK_STREAM, 0, "", ("::1", server.port, 0, 0)), *known(*args)]

    monkeypatch.setattr(endpoint._socket, "getaddrinfo", with_one_more)
    assert fetch(server).value


def test_no_secret_is_shown() -> None:
    config = ClientConfig(keys("https://idp.example/token"))
    shown = config.values["sasl_oauthbearer_client_credentials_client_secret"]
    assert shown is HIDDEN and copy.deepcopy(shown) is HIDDEN and pickle.loads(pickle.dumps(shown)) is HIDDEN
    assert "idp" in config.values["sasl_oauthbearer_token_endpoint_url"]
    config = ClientConfig(keys(f"https://idp.example/token?key={SECRET}"))
    assert config.values["sasl_oauthbearer_token_endpoint_url"] is HIDDEN


# -- clients ---------------------------------------------------------------------------------------------------------


def connected(cluster: EmbeddedCluster, server: TokenServer | str, **more: Any) -> dict[str, Any]:
    return {"bootstrap_servers": cluster.bootstrap, **keys(server, **more)}


def test_one_token_for_all_connections(cluster: EmbeddedCluster, server: TokenServer) -> None:
    with KafkaProducer(**connected(cluster, server)) as producer:
        for partition in (0, 1):
            producer.send("t", b"x", partition=partition).get(10)
    assert len(server.asked) == 1


def test_what_passes_by_itself_is_tried_again(cluster: EmbeddedCluster, server: TokenServer) -> None:
    answers = [http(503, b""), b"", http(429, b"")]
    server.answer = lambda asked: answers.pop() if answers else token_server.granted(asked)
    with KafkaProducer(**connected(cluster, server)) as producer:
        producer.send("t", b"x").get(10)
    assert len(server.asked) == 4


@pytest.mark.slow
def test_the_constructor_says_what_the_endpoint_says(cluster: EmbeddedCluster, server: TokenServer) -> None:
    server.answer = lambda asked: http(401, {"error": "invalid_client"})
    with pytest.raises(CredentialsError, match="HTTP 401 Reason: invalid_client"):
        KafkaProducer(**connected(cluster, server))
    assert len(server.asked) <= 2  # it is final, for each of two brokers
    server.answer = lambda asked: http(503, b"")
    with pytest.raises(CredentialsError, match="HTTP 503"):
        KafkaProducer(**connected(cluster, server))
    assert len(server.asked) > 3
    with pytest.raises(CredentialsError, match="stage tcp connect: Connection refused"):
        KafkaProducer(**connected(cluster, "http://127.0.0.1:1/"))
    server.answer = lambda asked: http(200, {"access_token": token("mallory"), "expires_in": 300})
    assert cluster.sasl is not None
    cluster.sasl.takes_token = lambda claims: claims["sub"] != "mallory"
    with pytest.raises(SaslAuthenticationFailedError, match="invalid_token"):
        KafkaProducer(**connected(cluster, server))


def test_an_endpoint_that_hangs_holds_up_nobody(cluster: EmbeddedCluster, server: TokenServer) -> None:
    """No other client, no health(), no close(); and it is asked once however many connections wait."""
    hangs = threading.Event()

    def answer(asked: Asked) -> bytes:
        if hangs.is_set():
            server.released.wait(30)
            return b""
        return http(200, {"access_token": token(seconds=2.0)})

    server.answer = answer
    producer = KafkaProducer(**connected(cluster, server))
    try:
        producer.send("t", b"x").get(10)
        hangs.set()
        before = len(server.asked)
        time.sleep(2.0)  # it is over now
        for node in cluster.nodes:
            cluster._on_thread(node.disconnect)
        held = [producer.send("t", b"x", partition=partition) for partition in (0, 1)]
        until = time.monotonic() + 10
        while len(server.asked) == before and time.monotonic() < until:
            time.sleep(0.01)
        with TokenServer() as other, KafkaProducer(**connected(cluster, other)) as second:
            second.send("t", b"x").get(10)
        assert producer.health() and len(server.asked) == before + 1
        with pytest.raises(DeliveryFailed):
            producer.close(timeout=0.5)
        assert all(future.exception is not None for future in held)
    finally:
        server.released.set()
        producer.close(timeout=0)


def test_an_interpreter_ends_while_an_endpoint_hangs(cluster: EmbeddedCluster, server: TokenServer) -> None:
    def hang(asked: Asked) -> bytes:
        server.released.wait(60)
        return b""

    server.answer = hang
    code = f"""
        import threading, time
        from kafka import KafkaProducer
        threading.Thread(target=KafkaProducer, kwargs={connected(cluster, server)!r}, daemon=True).start()
        print(input())
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        until = time.monotonic() + 30
        while not server.asked and time.monotonic() < until:
            time.sleep(0.01)
        started = time.monotonic()
        assert run.communicate("over\n", timeout=30)[0] == "over\n" and server.asked
        assert time.monotonic() - started < endpoint.DEADLINE - 1


@pytest.mark.slow
def test_tokens_are_renewed_and_old_ones_used_meanwhile(
    cluster: EmbeddedCluster, server: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    fails = threading.Event()

    def answer(asked: Asked) -> bytes:
        return http(500, b"") if fails.is_set() else http(200, {"access_token": token(seconds=4), "expires_in": 4})

    server.answer = answer
    caplog.set_level(logging.WARNING)
    with KafkaProducer(**connected(cluster, server)) as producer:
        fails.set()
        until = time.monotonic() + 30
        while len(server.asked) < 2 and time.monotonic() < until:
            producer.send("t", b"x").get(10)
            time.sleep(0.01)
        assert len(server.asked) >= 2
        fails.clear()
        for _ in range(30):
            producer.send("t", b"x").get(30)
            time.sleep(0.1)
    assert "failed, and its last token is used until it expires: CredentialsError" in caplog.text
