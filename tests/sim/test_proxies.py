"""Between TCP and everything else a proxy is asked for a way to the broker (PROXYING)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from kafka.core.cluster.routes import ANY
from kafka.core.config import Proxy
from kafka.core.net.proxy import MOST_HEADERS
from kafka.errors import KafkaConnectionError, NoBrokersAvailable
from kafka.protocol import MetadataRequest
from kafka.result import Err, Ok
from kafka.testing.sim_network import Link
from tests.sim.authenticating import ALICE, USERS, plain
from tests.sim.world import World

HOST, IP, PORT = "proxy", "10.9.0.1", 1080
LOGIN = ("al:ice", "p@ss:wörd")
SCHEMES = ("socks5", "socks5h", "http")
# What the proxies below wait for.
REQUESTS = (b"\5\1\0", b"\5\2\0\2")


class SimProxy:
    """A proxy of either kind, by what it hears first. `answers`: what it says, instead, to what it is asked first."""

    def __init__(self, world: World, login: tuple[str, str] | None = None, ip: str = IP) -> None:
        self.world = world
        self.login = login
        self.asked: list[tuple[str, int]] = []  # where it was to connect to
        self.answers: bytes | None = None
        self.reply = b"\5\0\0\1\0\0\0\0\0\0"  # of SOCKS5, to the request
        self.status = "HTTP/1.1 200 Connection established\r\nVia: me\r\n\r\n"
        self.hangs_up = False
        self.silent = False
        world.network.hosts.setdefault(HOST, [])
        world.network.hosts[HOST].append((ip,))  # type: ignore[union-attr]
        world.network.servers[ip, PORT] = self

    def accept(self, link: Link) -> Talk:
        return Talk(self, link)

    def link(self, link: Link, host: str, port: int) -> None:
        """From now on the link leads there."""
        self.asked.append((host, port))
        found = self.world.network.hosts.get(host, [(host,)])
        assert isinstance(found, list)
        link.ends[1] = self.world.network.servers[found[0][0], port].accept(link)


class Talk:
    """One client's connection, until it leads to a broker."""

    def __init__(self, proxy: SimProxy, link: Link) -> None:
        self.proxy = proxy
        self.heard = bytearray()
        self.next: Callable[[Link], None] = self.begin
        self.is_over = False

    def on_bytes(self, link: Link, data: bytes) -> None:
        assert not self.is_over, "the client went on before it was answered"
        self.heard += data
        if self.proxy.silent:
            return
        if self.proxy.hangs_up:
            link.close(1)
            return
        if self.proxy.answers is not None:
            answers, self.proxy.answers = self.proxy.answers, None
            self.proxy.silent = True
            link.send(1, answers)
            return
        self.next(link)

    def on_close(self, link: Link, cause: OSError | None) -> None:
        pass

    def begin(self, link: Link) -> None:
        if self.heard[0] == 5:
            if self.heard in REQUESTS:
                method = b"\0" if self.proxy.login is None else self.heard[3:] or b"\xff"
                self.heard.clear()
                self.next = self.log_in if method == b"\2" else self.request
                link.send(1, b"\5" + method)
        elif self.heard.endswith(b"\r\n\r\n"):
            self.connect(link)

    def log_in(self, link: Link) -> None:
        assert self.proxy.login is not None
        user, password = (part.encode() for part in self.proxy.login)
        wanted = bytes((1, len(user))) + user + bytes((len(password),)) + password
        if len(self.heard) >= len(wanted):
            self.next = self.request
            link.send(1, b"\1\0" if self.heard == wanted else b"\1\1")
            self.heard.clear()

    def request(self, link: Link) -> None:
        heard = self.heard
        if len(heard) < 5:
            return
        size = {1: 4, 4: 16, 3: 1 + heard[4]}[heard[3]]
        if len(heard) < 4 + size + 2:
            return
        assert heard[:3] == b"\5\1\0" and len(heard) == 4 + size + 2
        place = bytes(heard[4:-2])
        host = place[1:].decode() if heard[3] == 3 else ".".join(map(str, place))
        self.over(link, self.proxy.reply, self.proxy.reply[1] == 0, host, int.from_bytes(heard[-2:], "big"))

    def connect(self, link: Link) -> None:
        first, *headers = self.heard.decode().removesuffix("\r\n\r\n").split("\r\n")
        verb, place, version = first.split(" ")
        assert (verb, version) == ("CONNECT", "HTTP/1.1") and f"Host: {place}" in headers
        host, _, port = place.rpartition(":")
        login = self.proxy.login
        if login is not None:
            shown = base64.b64encode(":".join(login).encode()).decode()
            if f"Proxy-Authorization: Basic {shown}" not in headers:
                ways = "Proxy-Authenticate: NTLM\r\nProxy-Authenticate: Basic realm=x"
                link.send(1, f"HTTP/1.1 407 Who are you\r\n{ways}\r\n\r\n".encode())
                return
        else:
            assert len(headers) == 1
        self.over(link, self.proxy.status.encode(), " 200 " in self.proxy.status, host.strip("[]"), int(port))

    def over(self, link: Link, answer: bytes, is_way: bool, host: str, port: int) -> None:
        self.is_over = True
        if is_way:
            link.send(1, answer, lambda: self.proxy.link(link, host, port))
        else:
            link.send(1, answer)
            link.close(1)


def proxied(seed: int, scheme: str, login: tuple[str, str] | None = None, **config: Any) -> tuple[World, SimProxy]:
    world = World(seed, proxy=Proxy(scheme, HOST, PORT, *(login or (None, None))), **config)
    proxy = SimProxy(world, login)
    for broker in world.cluster.brokers:  # reached through the proxy only
        world.network.black_holes.add((broker.ip, broker.port))
    return world, proxy


def failure(world: World, patience: float = 60.0) -> str:
    result = world.bootstrap(patience)
    assert isinstance(result, Err) and isinstance(result.error, NoBrokersAvailable)
    assert not any(part in str(result.error) for part in LOGIN)
    return str(result.error)


@pytest.mark.parametrize("login", [None, LOGIN])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_connection_goes_through_the_proxy(scheme: str, login: tuple[str, str] | None) -> None:
    if scheme == "http" and login is not None:
        login = ("alice", login[1])
    for seed in range(5):  # cut in many ways
        world, proxy = proxied(seed, scheme, login)
        assert isinstance(world.bootstrap(), Ok)
        brokers = world.cluster.brokers
        names = {(broker.ip if scheme == "socks5" else broker.host, broker.port) for broker in brokers}
        assert set(proxy.asked) <= names and len(proxy.asked) >= 2
        looked_up = {event[2] for event in world.simulation.trace if event[1] == "resolve"}
        assert HOST in looked_up
        # With the others the client need not know the brokers' names.
        assert looked_up == {HOST} or scheme == "socks5"
        opened = {event[3] for event in world.simulation.trace if event[1] == "connect"}
        assert opened == {(IP, PORT)}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tls_and_sasl_come_after_it_and_are_the_brokers(scheme: str) -> None:
    world, proxy = proxied(3, scheme, tls=True, sasl=plain(ALICE))
    world.cluster.authenticate(USERS)
    world.network.handshakes[HOST] = OSError("nobody is to shake hands with the proxy")
    assert isinstance(world.bootstrap(), Ok)
    assert proxy.asked
    for id in {event[2] for event in world.simulation.trace if event[1] == "opened"}:
        order = [event[1] for event in world.simulation.trace if event[2:3] == (id,)]
        assert order.index("send") < order.index("secured")


def test_addresses_are_asked_for_as_addresses() -> None:
    for scheme in ("socks5h", "http"):
        world, proxy = proxied(4, scheme, bootstrap=(("10.0.0.1", 9092),))
        assert isinstance(world.bootstrap(), Ok)
        assert ("10.0.0.1", 9092) in proxy.asked


@pytest.mark.parametrize(
    ("reply", "said", "hint", "is_mistake"),
    [
        (1, "'general failure' (1)", "does not reach the broker", False),
        (2, "'the connection is not allowed by its rules' (2)", "rules have to allow", True),
        (4, "'host unreachable' (4)", "does not reach the broker", False),
        (5, "'connection refused' (5)", "does not reach the broker", False),
        (8, "'it does not know the kind of address' (8)", "With socks5:// the proxy gets", True),
        (99, "'with a reason that SOCKS5 does not have' (99)", None, False),
    ],
)
def test_what_a_socks_proxy_refuses(reply: int, said: str, hint: str | None, is_mistake: bool) -> None:
    world, proxy = proxied(5, "socks5h", bootstrap_patience=3.0)
    proxy.reply = bytes((5, reply))  # and nothing more, as some do
    text = failure(world)
    for broker in world.cluster.brokers:
        assert (
            f"{broker.host}:9092 via socks5h://proxy:1080 (10.9.0.1) failed in stage proxy: it answered {said}" in text
        )
    assert hint is None or hint in text
    assert (world.now < 1.0) == is_mistake  # what may pass is tried for as long as there is patience


@pytest.mark.parametrize(
    ("status", "said", "hint", "is_mistake"),
    [
        ("HTTP/1.1 403 Forbidden", "'403 Forbidden'", "rules have to allow", True),
        ("HTTP/1.0 502 Bad Gateway", "'502 Bad Gateway'", "does not reach the broker", False),
        ("HTTP/1.1 405", "'405'", "no HTTP proxy", True),
        ("HTTP/1.1 302 Found", "'302 Found'", None, False),
    ],
)
def test_what_an_http_proxy_refuses(status: str, said: str, hint: str | None, is_mistake: bool) -> None:
    world, proxy = proxied(6, "http", bootstrap_patience=3.0)
    proxy.status = f"{status}\r\nContent-Length: 3\r\n\r\nno!"
    text = failure(world)
    assert text.count(f"via http://proxy:1080 (10.9.0.1) failed in stage proxy: it answered {said}") == 3
    assert hint is None or hint in text
    assert (world.now < 1.0) == is_mistake


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_wrong_login_is_told_at_once(scheme: str) -> None:
    world, proxy = proxied(7, scheme, ("alice", LOGIN[1]))
    proxy.login = ("alice", "another")
    text = failure(world)
    assert world.now < 1.0 and "does not accept the user name and password" in text and "proxy_url" in text
    world, proxy = proxied(7, scheme)
    proxy.login = ("alice", "another")
    text = failure(world)
    assert world.now < 1.0 and "wants a user name and a password: proxy_url takes them" in text
    assert scheme != "http" or "takes NTLM, Basic" in text


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "said", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\3\3\0\2\2\x50", b"HTTX/1.1 400 Bad\r\n\r\n", b"\5\7\0\0\0"]
)
def test_what_is_no_proxy(scheme: str, said: bytes) -> None:
    world, proxy = proxied(8, scheme, bootstrap=(("kafka0", 9092),))
    proxy.answers = said
    text = failure(world)
    assert world.now < 1.0
    assert "failed in stage proxy: it " in text
    if said[0] != 5 or scheme == "http":
        assert "check host, port and scheme of proxy_url" in text


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_that_says_more_than_its_answer(scheme: str) -> None:
    """No broker speaks first: what comes is not from one."""
    world, proxy = proxied(9, scheme, tls=True, bootstrap=(("kafka0", 9092),))
    proxy.reply += b"220 smtp"
    proxy.status += "220 smtp"
    world.network.cuts = (0,)
    text = failure(world, 2.0)
    assert "failed in stage proxy: it said more than its answer: b'220 smtp'" in text


def test_an_answer_without_an_end_takes_no_memory() -> None:
    world, proxy = proxied(10, "http", bootstrap=(("kafka0", 9092),))
    proxy.answers = b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * MOST_HEADERS
    text = failure(world, 2.0)
    assert f"its answer has no end within {MOST_HEADERS} bytes" in text


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_that_hangs_up_or_never_answers(scheme: str) -> None:
    world, proxy = proxied(11, scheme, bootstrap=(("kafka0", 9092),), connection_setup_timeout=1.0)
    proxy.hangs_up = True
    text = failure(world)
    assert "failed in stage proxy: the peer closed the connection. Hint: A proxy may hang up" in text
    world, proxy = proxied(11, scheme, bootstrap=(("kafka0", 9092),), connection_setup_timeout=1.0)
    proxy.silent = True
    text = failure(world)
    assert "failed in stage proxy: no answer within " in text and "does not answer" in text


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_that_cannot_be_reached(scheme: str) -> None:
    world, _ = proxied(12, scheme)
    del world.network.servers[IP, PORT]
    text = failure(world)
    assert "via " in text and "failed in stage tcp connect: Connection refused. Hint: The proxy itself" in text
    world, _ = proxied(12, scheme)
    world.network.hosts[HOST] = OSError(-2, "Name or service not known")
    text = failure(world)
    assert f"via {scheme}://proxy:1080 failed in stage dns" in text and "does not know the name of the proxy" in text


def test_names_that_only_the_proxy_knows() -> None:
    world, _ = proxied(13, "socks5")
    for broker in world.cluster.brokers:
        world.network.hosts[broker.host] = OSError(-2, "Name or service not known")
    assert "With socks5h:// in proxy_url the proxy looks up the brokers' names." in failure(world)


def test_a_name_that_would_be_more_than_a_name() -> None:
    """Brokers say what they are called: that is not to be another line of what the proxy is asked."""
    for host in ("kafka0 HTTP/1.1\r\nX: y", "kafka\0", "-" * 256, "kafka/0"):
        for scheme in ("http", "socks5h"):
            world, proxy = proxied(14, scheme, bootstrap=((host, 9092),))
            assert "cannot be a host name" in failure(world)
            assert proxy.asked == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_all_addresses_of_a_proxy_are_tried(scheme: str) -> None:
    for seed in range(4):
        world, proxy = proxied(seed, scheme)
        world.network.hosts[HOST] = [("10.9.0.9",), (IP,)]  # nobody listens at the first
        assert isinstance(world.bootstrap(), Ok)
        assert proxy.asked


def test_one_that_goes_away_is_waited_for() -> None:
    world, _ = proxied(15, "socks5h", brokers=1)
    assert isinstance(world.bootstrap(), Ok)
    server = world.network.servers.pop((IP, PORT))
    for link in world.network.links:
        link.reset()
    promise = world.request(ANY, MetadataRequest, lambda version: MetadataRequest(topics=[]), timeout=60.0)
    assert not world.run(10.0, lambda: promise.result is not None)
    [health] = [known for known in world.core.health(world.now) if known.node_id >= 0]
    assert isinstance(health.error, KafkaConnectionError) and "via socks5h://proxy:1080" in str(health.error)
    world.network.servers[IP, PORT] = server
    assert world.run(30.0, lambda: promise.result is not None)
    assert isinstance(promise.result, Ok)


def test_a_proxy_shows_no_password() -> None:
    assert repr(Proxy("http", "h", 1, *LOGIN)) == "<http://h:1>" and str(Proxy("http", "::1", 1)) == "http://[::1]:1"
