"""Clients behind a proxy, over sockets: what users configure, what they are told, and what never shows."""

from __future__ import annotations

import io
import logging
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from certificates import Certificates
from proxies import Proxy

from kafka import KafkaConsumer, KafkaProducer
from kafka.config import HIDDEN, ClientConfig
from kafka.errors import ConfigurationValueError, NoBrokersAvailable
from kafka.testing import EmbeddedCluster

SCHEMES = ("socks5", "socks5h", "http")
PASSWORD = "Tr0ub4dor"
LOGIN = ("alice", PASSWORD)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(names={"kafka.invalid": "127.0.0.1"}) as found:
        yield found


def round_trip(**configs: Any) -> None:
    with KafkaProducer(**configs) as producer:
        assert producer.send("t", b"x").get(10).offset >= 0
    with KafkaConsumer("t", auto_offset_reset="earliest", consumer_timeout_ms=10_000, **configs) as consumer:
        assert next(consumer).value == b"x"


@pytest.mark.parametrize("login", [None, LOGIN])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_all_connections_go_through_it(proxy: Proxy, scheme: str, login: tuple[str, str] | None) -> None:
    proxy.login = login
    with EmbeddedCluster(2, topics={"t": 2}) as cluster:
        ports = {node.port for node in cluster.nodes}
        round_trip(bootstrap_servers=cluster.bootstrap, proxy_url=proxy.url(scheme, login))
        assert {port for _, port in proxy.asked} == ports
        assert {host for host, _ in proxy.asked} == {"127.0.0.1"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tls_and_sasl_through_it(proxy: Proxy, certificates: Certificates, scheme: str) -> None:
    """The certificate is the broker's, and looked at by the broker's name."""
    with EmbeddedCluster(
        topics={"t": 1}, host="localhost", users={"alice": "secret"}, tls=certificates.server()
    ) as cluster:
        round_trip(
            bootstrap_servers=cluster.bootstrap, proxy_url=proxy.url(scheme), security_protocol="SASL_SSL",
            ssl_cafile=certificates["ca.pem"], sasl_mechanism="SCRAM-SHA-256",
            sasl_plain_username="alice", sasl_plain_password="secret",
        )  # fmt: skip
        named = {host for host, _ in proxy.asked}
        assert named == {"localhost"} or (scheme == "socks5" and named <= {"127.0.0.1", "::1"})


@pytest.mark.parametrize("scheme", ["socks5h", "http"])
def test_a_name_that_only_the_proxy_knows(proxy: Proxy, scheme: str) -> None:
    with EmbeddedCluster(topics={"t": 1}) as cluster:
        round_trip(bootstrap_servers=f"kafka.invalid:{cluster.nodes[0].port}", proxy_url=proxy.url(scheme))


def test_the_earlier_name_of_the_key(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedCluster(topics={"t": 1}) as cluster, caplog.at_level(logging.WARNING):
        round_trip(bootstrap_servers=cluster.bootstrap, socks5_proxy=proxy.url("socks5"))
    assert proxy.asked
    assert "socks5_proxy is an earlier name of proxy_url" in caplog.text


@pytest.mark.parametrize(
    ("scheme", "given", "said"),
    [
        ("socks5", ("alice", PASSWORD + "x"), "it does not accept the user name and password"),
        ("socks5h", None, "The proxy wants a user name and a password"),
        ("http", ("alice", PASSWORD + "x"), "The proxy does not accept the user name and password"),
        ("http", None, "'407 Proxy Authentication Required'"),
    ],
)
def test_a_refusal_is_told_and_no_password(proxy: Proxy, scheme: str, given: tuple[str, str] | None, said: str) -> None:
    proxy.login = LOGIN
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("kafka").addHandler(handler)
    logging.getLogger("kafka").setLevel(logging.DEBUG)
    try:
        with pytest.raises(NoBrokersAvailable) as caught:
            KafkaProducer(bootstrap_servers="localhost:9", proxy_url=proxy.url(scheme, given))
    finally:
        logging.getLogger("kafka").removeHandler(handler)
        logging.getLogger("kafka").setLevel(logging.NOTSET)
    text = str(caught.value)
    assert said in text
    assert f"localhost:9 via {scheme}://127.0.0.1:{proxy.port}" in text or scheme == "socks5"
    assert "failed in stage proxy" in text
    assert pickle.loads(pickle.dumps(caught.value)) == caught.value
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + log.getvalue()
    assert PASSWORD not in shown and PASSWORD.encode() not in pickle.dumps(caught.value)


def test_what_the_proxy_cannot_reach(proxy: Proxy) -> None:
    proxy.reply, proxy.status = 5, "502 Bad Gateway"
    for scheme, said in (("socks5h", "'connection refused' (5)"), ("http", "'502 Bad Gateway'")):
        with pytest.raises(NoBrokersAvailable, match="failed in stage proxy") as caught:
            KafkaProducer(bootstrap_servers="localhost:9", proxy_url=proxy.url(scheme), bootstrap_timeout_ms=500)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("proxy:1080", "must be 'socks5://host:port'"),
        (5, "must be 'socks5://host:port'"),
        ("https://proxy:1080", "not 'https'"),
        ("socks4://proxy:1080", "not 'socks4'"),
        ("socks5://proxy", "with host and port"),
        ("socks5://proxy:0", "with host and port"),
        ("socks5://:1080", "with host and port"),
        ("socks5://proxy:99999", "no host and port that can be read"),
        ("socks5://[::1:1080", "no host and port that can be read"),
        ("socks5://proxy:1080/path", "nothing behind the port"),
        (f"http://alice:{PASSWORD}#1@proxy:1080", "must be"),
        ("http://a%3Ab:x@proxy:1080", "has a colon in the user name"),
        (f"socks5://alice:{PASSWORD * 40}@proxy:1080", "longer than 255 bytes"),
        ("socks5://alice:@proxy:1080", "empty"),
        ("socks5://:secret@proxy:1080", "empty"),
        (f"socks5://alice:{PASSWORD}%ff@proxy:1080", "UTF-8"),
        (HIDDEN, "give the real one"),
    ],
)
@pytest.mark.parametrize("key", ["proxy_url", "socks5_proxy"])
def test_what_is_no_url_of_a_proxy(key: str, url: Any, said: str) -> None:
    with pytest.raises(ConfigurationValueError, match=f"^.*{key}.*{said}") as caught:
        ClientConfig({key: url})
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_what_urls_mean() -> None:
    proxy = ClientConfig({"proxy_url": "socks5h://al%3Aice:p%40ss@[::1]:1080/"}).for_core().proxy
    assert proxy is not None and tuple(proxy) == ("socks5h", "::1", 1080, "al:ice", "p@ss")
    assert ClientConfig({}).for_core().proxy is None


def test_what_is_shown_of_the_configuration() -> None:
    config = ClientConfig({"proxy_url": f"http://alice:{PASSWORD}@proxy:3128"})
    assert config.values["proxy_url"] is HIDDEN
    assert PASSWORD not in repr(config.for_core()) and "<http://proxy:3128>" in repr(config.for_core())
    assert ClientConfig({"proxy_url": "http://proxy:3128"}).values["proxy_url"] == "http://proxy:3128"


def test_both_names_may_say_the_same_only() -> None:
    ClientConfig({"proxy_url": "http://proxy:1", "socks5_proxy": "http://proxy:1"})
    with pytest.raises(ConfigurationValueError, match="both set"):
        ClientConfig({"proxy_url": "http://proxy:1", "socks5_proxy": "socks5://proxy:1"})
