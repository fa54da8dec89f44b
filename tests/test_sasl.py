"""Clients that authenticate, over sockets: what users configure, what they are told, and what never shows."""

from __future__ import annotations

import base64
import copy
import gc
import io
import logging
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from certificates import PASSWORD, Certificates
from token_server import TokenServer, http

from kafka import KafkaConsumer, KafkaProducer
from kafka.config import HIDDEN, ClientConfig
from kafka.drivers import native
from kafka.errors import (
    ConfigurationValueError,
    CredentialsError,
    DeliveryFailed,
    KafkaError,
    NoBrokersAvailable,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.net.sasl import AbstractTokenProvider, SaslMechanism, register_sasl_mechanism
from kafka.security import sasl as security
from kafka.testing import EmbeddedCluster
from kafka.testing.model.sasl import unsecured_token

SECRET = "Tr0ub4dor&3"
USERS = {"alice": SECRET, "a,b=c": "x"}


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(2, topics={"t": 2}, users=USERS) as found:
        yield found


@pytest.fixture
def endpoint() -> Iterator[TokenServer]:
    with TokenServer() as found:
        yield found


def keys(cluster: EmbeddedCluster, mechanism: str = "PLAIN", **more: Any) -> dict[str, Any]:
    found = {
        "bootstrap_servers": cluster.bootstrap,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
    }
    if mechanism != "OAUTHBEARER":
        found |= {"sasl_plain_username": "alice", "sasl_plain_password": SECRET}
    return found | more


def produce(**configs: Any) -> None:
    with KafkaProducer(**configs) as producer:
        assert producer.send("t", b"x").get(10).offset >= 0


def token(subject: str = "alice", seconds: float = 3600.0) -> str:
    return unsecured_token(subject, time.time() + seconds)


class Provider(AbstractTokenProvider):
    def __init__(self) -> None:
        super().__init__()
        self.threads: list[str] = []

    def token(self) -> str:
        self.threads.append(threading.current_thread().name)
        return token()

    def extensions(self) -> dict[str, str]:
        return {"traceId": "123"}


# -- mechanisms ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tls_engine")
def test_over_tls(certificates: Certificates) -> None:
    with EmbeddedCluster(topics={"t": 1}, users=USERS, tls=certificates.server()) as cluster:
        more = {"security_protocol": "SASL_SSL", "ssl_cafile": certificates["ca.pem"]}
        produce(**keys(cluster, "SCRAM-SHA-256", **more))
        with pytest.raises(SaslAuthenticationFailedError):
            produce(**keys(cluster, **more, sasl_plain_password="wrong"))
        with pytest.raises(NoBrokersAvailable, match="security_protocol='SASL_SSL'"):
            produce(bootstrap_servers=cluster.bootstrap, **{**more, "security_protocol": "SSL"})


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_user_name_and_password(cluster: EmbeddedCluster, mechanism: str) -> None:
    produce(**keys(cluster, mechanism))
    produce(**keys(cluster, mechanism, sasl_plain_username="a,b=c", sasl_plain_password=lambda: "x"))


@pytest.mark.slow
def test_a_delegation_token(cluster: EmbeddedCluster) -> None:
    assert cluster.sasl is not None
    cluster.sasl.tokens["id"] = "aG1hYw=="
    own = {"sasl_plain_username": "id", "sasl_plain_password": "aG1hYw=="}
    produce(**keys(cluster, "SCRAM-SHA-512", **own, sasl_scram_tokenauth=True))
    with pytest.raises(SaslAuthenticationFailedError):
        produce(**keys(cluster, "SCRAM-SHA-512", **own))


@pytest.mark.parametrize(
    "provider",
    [Provider(), token, lambda: (token(), time.time() + 60), lambda: unsecured_token("bob", time.time() + 1e9)],
)
def test_token_providers(cluster: EmbeddedCluster, provider: Any) -> None:
    produce(**keys(cluster, "OAUTHBEARER", sasl_oauth_token_provider=provider))
    if isinstance(provider, Provider):
        assert provider.threads == ["kafka-worker"]  # once for all connections


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "TypeError: it returned a NoneType where a token, a string, was wanted"),
        (b"abc", "TypeError: it returned a bytes"),
        ("", "gave a token that is empty"),
        (("abc", "a-refresh-token"), "it returned a str where the token's expiry, a number, was wanted"),
        (("abc", True), "it returned a bool"),
        (("abc", [1]), "it returned a list"),
        (("abc",), "TypeError: it returned a tuple"),
    ],
)
def test_providers_that_return_no_token(cluster: EmbeddedCluster, returned: Any, said: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        produce(**keys(cluster, "OAUTHBEARER", sasl_oauth_token_provider=lambda: returned))
    assert said in str(caught.value)
    assert "refresh" not in "".join(traceback.format_exception(caught.value))


def test_a_coroutine_function_is_told_that_it_is_none(cluster: EmbeddedCluster) -> None:
    async def provide() -> str:
        return ""

    with pytest.raises(CredentialsError, match="it is a coroutine function"):
        produce(**keys(cluster, "OAUTHBEARER", sasl_oauth_token_provider=provide))


def test_expiry_is_read_from_a_jwt() -> None:
    assert security.expiry_of(unsecured_token("a", 1234.5)) == 1234.5
    deep, endless = (base64.urlsafe_b64encode(text).decode() for text in (b"[" * 9999, b'{"exp": 1%s}' % (b"0" * 400)))
    for opaque in ("abc", "a.b.c", "a.e30.c", "", "..", "a.W10.c", f"a.{deep}.c", f"a.{endless}.c"):
        assert security.expiry_of(opaque) is None


class Steps(SaslMechanism):
    """PLAIN, as a user would write it."""

    def __init__(self, **config: Any) -> None:
        self.config = config
        self.done = False

    def auth_bytes(self) -> bytes:
        assert threading.current_thread().name == "kafka-worker" and self.config["host"] in ("127.0.0.1", "localhost")
        return f"\0{self.config['sasl_plain_username']}\0{self.config['sasl_plain_password']}".encode()

    def receive(self, auth_bytes: bytes) -> None:
        self.done = True

    def is_done(self) -> bool:
        return self.done

    def is_authenticated(self) -> bool:
        return self.config["sasl_plain_username"] == "alice"


@pytest.fixture
def registered() -> Iterator[None]:
    register_sasl_mechanism("PLAIN", Steps, overwrite=True)
    yield
    del security._registered["PLAIN"]


def test_a_mechanism_of_the_users_own(cluster: EmbeddedCluster, registered: None) -> None:
    produce(**keys(cluster))
    with pytest.raises(CredentialsError, match="says that it did not authenticate"):
        produce(**keys(cluster, sasl_plain_username="a,b=c", sasl_plain_password="x"))
    with pytest.raises(CredentialsError, match="the SASL mechanism PLAIN failed: KeyError"):
        register_sasl_mechanism("PLAIN", lambda **config: {}["x"], overwrite=True)
        produce(**keys(cluster))
    with pytest.raises(CredentialsError, match="the SASL mechanism PLAIN failed: TypeError"):
        register_sasl_mechanism("PLAIN", type("Number", (Steps,), {"auth_bytes": lambda self: 3}), overwrite=True)
        produce(**keys(cluster))
    with pytest.raises(ValueError, match="PLAIN already"):
        register_sasl_mechanism("PLAIN", Steps)
    with pytest.raises(ValueError, match="SCRAM-SHA-256 already"):
        register_sasl_mechanism("SCRAM-SHA-256", Steps)


# -- configuration ---------------------------------------------------------------------------------------------------

SASL = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}


@pytest.mark.parametrize(
    ("configs", "said"),
    [
        ({"sasl_mechanism": "PLAIN"}, "needs security_protocol 'SASL_SSL' or 'SASL_PLAINTEXT'"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "needs a sasl_mechanism"),
        (SASL, "sasl_plain_username is needed"),
        ({**SASL, "sasl_plain_username": "a"}, "sasl_plain_password is needed"),
        ({**SASL, "sasl_plain_username": "a", "sasl_plain_password": b"x"}, "sasl_plain_password must be a string"),
        ({**SASL, "sasl_plain_username": "", "sasl_plain_password": "x"}, "sasl_plain_username must not be empty"),
        ({**SASL, "sasl_plain_username": "a", "sasl_plain_password": "x\0"}, "NUL"),
        ({**SASL, "sasl_plain_username": "a", "sasl_plain_password": "\ud800"}, "cannot be written in UTF-8"),
        ({**SASL, "sasl_mechanism": "PLANE"}, "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER"),
        ({**SASL, "sasl_mechanism": 5}, "sasl_mechanism must be a mechanism's name"),
        ({**SASL, "sasl_mechanism": "OAUTHBEARER"}, "sasl_oauth_token_provider is needed"),
        ({**SASL, "sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": "abc"}, "not str"),
        (
            {**SASL, "sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Provider},
            "sasl_oauth_token_provider must be an object with a method token",
        ),
        ({**SASL, "sasl_scram_tokenauth": True}, "sasl_scram_tokenauth is for SCRAM-SHA-256 and SCRAM-SHA-512"),
        ({**SASL, "sasl_plain_username": "a", "sasl_plain_password": HIDDEN}, "give the real one"),
    ],
)
def test_what_does_not_go_together(configs: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationValueError, match=said):
        ClientConfig(configs)


def test_no_password_is_shown(certificates: Certificates) -> None:
    given = {"ssl_cafile": certificates["trust.p12"], "ssl_cafile_password": PASSWORD, "ssl_password": None}
    config = ClientConfig({**SASL, "security_protocol": "SASL_SSL", "sasl_plain_username": "a", **given,
                           "sasl_plain_password": SECRET})  # fmt: skip
    assert config.values["sasl_plain_password"] is HIDDEN and config.values["ssl_cafile_password"] is HIDDEN
    private = certificates.text("client.key")
    config_of_text = ClientConfig({"security_protocol": "SSL", "ssl_certfile": certificates["client.crt"],
                                   "ssl_keyfile": private})  # fmt: skip
    assert config_of_text.values["ssl_keyfile"] is HIDDEN
    assert config_of_text.values["ssl_certfile"] == certificates["client.crt"]
    assert config.values["ssl_password"] is None and config.values["sasl_plain_username"] == "a"
    for key in ("ssl_password", "ssl_cafile_password", "ssl_keyfile"):
        with pytest.raises(ConfigurationValueError, match=f"{key} was given what stands for it"):
            ClientConfig({"security_protocol": "SSL", key: HIDDEN})


# -- what users are told ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "OAUTHBEARER"])
def test_the_constructor_says_what_the_broker_says(cluster: EmbeddedCluster, mechanism: str) -> None:
    if mechanism == "OAUTHBEARER":
        more: dict[str, Any] = {"sasl_oauth_token_provider": lambda: token(seconds=-60)}
    else:
        more = {"sasl_plain_password": "wrong"}
    with pytest.raises(SaslAuthenticationFailedError) as caught:
        KafkaProducer(**keys(cluster, mechanism, **more))
    said = {"PLAIN": "Invalid username or password", "OAUTHBEARER": '{"status":"invalid_token"}'}
    assert said.get(mechanism, "invalid credentials with SASL mechanism") in str(caught.value)
    assert caught.value.errno == 58 and "127.0.0.1:" in str(caught.value)


def test_a_mechanism_that_is_not_there(cluster: EmbeddedCluster) -> None:
    assert cluster.sasl is not None
    cluster.sasl.mechanisms = ["PLAIN"]
    with pytest.raises(UnsupportedSaslMechanismError, match="It offers: PLAIN"):
        KafkaProducer(**keys(cluster, "SCRAM-SHA-512"))


@pytest.mark.slow
def test_without_sasl(cluster: EmbeddedCluster) -> None:
    with pytest.raises(NoBrokersAvailable, match="usually a listener that expects SASL"):
        KafkaProducer(bootstrap_servers=cluster.bootstrap)


def test_what_a_provider_raises_is_the_cause(cluster: EmbeddedCluster) -> None:
    def provide() -> str:
        raise LookupError("no such role")

    with pytest.raises(CredentialsError, match="LookupError: no such role") as caught:
        KafkaProducer(**keys(cluster, "OAUTHBEARER", sasl_oauth_token_provider=provide))
    assert isinstance(caught.value.__cause__, LookupError) and "provide" in _printed(caught.value)


# -- on threads of their own -----------------------------------------------------------------------------------------


def test_passwords_that_change_need_no_restart(cluster: EmbeddedCluster) -> None:
    assert cluster.sasl is not None
    now = {"password": SECRET}
    with KafkaProducer(**keys(cluster, sasl_plain_password=lambda: now["password"])) as producer:
        producer.send("t", b"x").get(10)
        now["password"] = cluster.sasl.users["alice"] = "new"
        for node in cluster.nodes:
            cluster._on_thread(node.disconnect)
        producer.send("t", b"y").get(30)


def test_what_hangs_holds_up_no_other_client_and_no_close(cluster: EmbeddedCluster) -> None:
    hangs, asked, released = threading.Event(), threading.Event(), threading.Event()

    def password() -> str:
        if hangs.is_set():
            asked.set()
            released.wait(60)
        return SECRET

    producer = KafkaProducer(**keys(cluster, sasl_plain_password=password))
    try:
        producer.send("t", b"x").get(10)
        hangs.set()
        for node in cluster.nodes:
            cluster._on_thread(node.disconnect)
        held = producer.send("t", b"x")
        assert asked.wait(10)
        produce(**keys(cluster))
        assert producer.health()
        started = time.monotonic()
        with pytest.raises(DeliveryFailed):
            producer.close(timeout=0.5)
        assert time.monotonic() - started < 10 and held.exception is not None
    finally:
        released.set()
        producer.close(timeout=0)


@pytest.mark.slow
@pytest.mark.timing
def test_the_io_thread_does_not_wait_for_a_provider(cluster: EmbeddedCluster) -> None:
    """While one connection waits for its credentials, others carry records."""
    slow = threading.Event()
    asked = threading.Event()

    def password() -> str:
        if slow.is_set():
            asked.set()
            time.sleep(2.0)
        return SECRET

    with KafkaProducer(**keys(cluster, sasl_plain_password=password)) as producer:
        for partition in (0, 1):
            producer.send("t", b"x", partition=partition).get(10)
        slow.set()
        node = cluster.nodes[0]
        (mine,) = [index for index in (0, 1) if cluster.topics["t"][index].leader == node.id]
        cluster._on_thread(node.disconnect)
        held = producer.send("t", b"x", partition=mine)
        assert asked.wait(10)
        while not held.is_done:
            started = time.monotonic()
            producer.send("t", b"x", partition=1 - mine).get(10)
            assert time.monotonic() - started < 1.9  # nobody else waited for it
        assert held.get(10).offset >= 0


def test_an_interpreter_ends_while_a_provider_hangs(cluster: EmbeddedCluster) -> None:
    code = f"""
        import threading, time
        from kafka import KafkaConsumer, KafkaProducer
        def provide():
            time.sleep(600)
        def make():
            KafkaProducer(bootstrap_servers={cluster.bootstrap!r}, security_protocol="SASL_PLAINTEXT",
                          sasl_mechanism="OAUTHBEARER", sasl_oauth_token_provider=provide)
        threading.Thread(target=make, daemon=True).start()
        time.sleep(1.0)
        print("over")
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout == "over\n"


def test_where_no_thread_can_be_started(cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the interpreter is ending: the work is done all the same."""
    real = native.threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "kafka-worker":
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    produce(**keys(cluster, "SCRAM-SHA-256"))


def test_in_the_child_of_a_fork(cluster: EmbeddedCluster) -> None:
    code = f"""
        import os, warnings
        warnings.simplefilter("ignore")
        from kafka import KafkaConsumer, KafkaProducer
        producer = KafkaProducer(bootstrap_servers={cluster.bootstrap!r}, security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="SCRAM-SHA-256", sasl_plain_username="alice", sasl_plain_password={SECRET!r})
        producer.send("t", b"parent").get(10)
        pid = os.fork()
        producer.send("t", b"again").get(10)
        producer.close()
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
            print("both")
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert run.stdout.endswith("both\n"), run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_sessions_that_end(cluster: EmbeddedCluster, mechanism: str) -> None:
    assert cluster.sasl is not None
    cluster.sasl.lifetime = 1.5
    with KafkaProducer(**keys(cluster, mechanism)) as producer:
        until = time.monotonic() + 30.0
        while cluster.sasl.counts["renewed"] < 4:
            assert time.monotonic() < until
            producer.send("t", b"x").get(10)
            time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("group", [None, "g"])
def test_a_consumer_reads_on_while_its_sessions_end(cluster: EmbeddedCluster, group: str | None) -> None:
    """Its long polls are held back past the end of one."""
    assert cluster.sasl is not None
    cluster.sasl.lifetime = 4.0  # of which the last 0.2 s are left for a machine that stands still now and then
    found = 0
    with KafkaProducer(**keys(cluster)) as producer:
        consumer = KafkaConsumer("t", **keys(cluster, "SCRAM-SHA-256"), auto_offset_reset="earliest", group_id=group)
        until = time.monotonic() + 60.0
        sent = 0
        while cluster.sasl.counts["renewed"] < 8:
            assert time.monotonic() < until
            producer.send("t", b"x").get(10)
            sent += 1
            found += sum(map(len, consumer.poll(timeout_ms=50).values()))
        while found < sent and time.monotonic() < until:
            found += sum(map(len, consumer.poll(timeout_ms=500).values()))
        consumer.close()
    assert found == sent and not cluster.sasl.counts["expired"]


# -- secrets ---------------------------------------------------------------------------------------------------------


def _printed(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["PLAIN", "SCRAM-SHA-256", "OAUTHBEARER", "token endpoint"])
def test_secrets_show_nowhere(
    cluster: EmbeddedCluster, endpoint: TokenServer, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In no log, repr, error, pickle or metric; not in what `client.config` shows."""
    assert cluster.sasl is not None
    mechanism = "OAUTHBEARER" if how == "token endpoint" else how
    bearer = token()
    secrets = [SECRET, "wr0ng-pa55", bearer]
    caplog.set_level(logging.DEBUG)
    shown = io.StringIO()

    def show(*things: Any) -> None:
        for thing in things:
            print(repr(thing), str(thing), file=shown)

    good: dict[str, Any] = {"sasl_oauth_token_provider": lambda: bearer} if how == "OAUTHBEARER" else {}
    if how == "token endpoint":
        endpoint.answer = lambda asked: http(200, {"access_token": bearer})
        good = {
            "sasl_oauthbearer_token_endpoint_url": endpoint.url,
            "sasl_oauthbearer_allow_http": True,
            "sasl_oauthbearer_client_credentials_client_id": "alice",
            "sasl_oauthbearer_client_credentials_client_secret": SECRET,
        }
        secrets.append(base64.b64encode(f"alice:{SECRET}".encode()).decode())
    with KafkaProducer(**keys(cluster, mechanism, **good)) as producer:
        producer.send("t", b"x").get(10)
        show(producer, producer.config, producer._checked, producer._checked.sasl, vars(producer._core))
        show(producer._core.config, producer._core.nodes._network.mechanism, producer.metrics(), producer.health())
        modules = ("kafka.core.net", "kafka.core.sasl", "kafka.security")
        show(*[each for each in gc.get_objects() if str(type(each).__module__).startswith(modules)])
        with pytest.raises(TypeError):
            pickle.dumps(producer)
        if how != "OAUTHBEARER":
            with pytest.raises(ConfigurationValueError) as misused:
                KafkaProducer(**producer.config)
            show(misused.value, _printed(misused.value))
    errors: list[KafkaError] = []
    bad: dict[str, Any] = {"sasl_plain_password": "wr0ng-pa55"}
    if mechanism == "OAUTHBEARER":
        cluster.sasl.takes_token = lambda claims: False
        bad = good
    if how == "token endpoint":
        endpoint.answer = lambda asked: http(
            401, {"error": f"{asked.headers['authorization']} is wrong, so is {SECRET}"}
        )
    for configs in (bad, {**bad, "bootstrap_servers": "127.0.0.1:1"}, {**bad, "linger_mss": 1}):
        with pytest.raises(KafkaError) as caught:
            KafkaProducer(**keys(cluster, mechanism, **configs))
        errors.append(caught.value)
    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        show(error, vars(error), again, _printed(error), copy.copy(error), pickle.dumps(error))
    text = shown.getvalue() + caplog.text
    assert len(text) > 1000
    for secret in secrets:
        assert secret not in text
