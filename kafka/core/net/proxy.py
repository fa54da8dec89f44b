"""How a proxy is asked for a way to a broker: SOCKS5 (RFC 1928, 1929) or HTTP CONNECT (RFC 9110), without IO.

What a proxy is asked for, it is asked for before TLS. Nothing that it says is believed beyond its length.
"""

from __future__ import annotations

import base64
import ipaddress
import itertools
import re
import struct
from collections.abc import Callable

from kafka.core.config import Proxy
from kafka.core.effects import Buffer
from kafka.core.flows import Wish
from kafka.errors import KafkaConnectionError
from kafka.result import Err, Result

# A whole answer of an HTTP proxy, up to its body.
MOST_HEADERS = 16 * 1024
_SHOWN = 100  # characters of what a proxy says
_PORT = struct.Struct(">H")
_HOST = re.compile(r"[A-Za-z0-9._-]+")  # what may stand in a request without being taken for more

_NO_LOGIN, _PASSWORD, _NONE = 0x00, 0x02, 0xFF
_REPLIES = {
    1: "general failure",
    2: "the connection is not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "the time to live has expired",
    7: "it does not know the command",
    8: "it does not know the kind of address",
}
_NOT_REACHED = "The proxy does not reach the broker by that name and port: check these, and that the broker runs."
_FORBIDDEN = "The proxy's rules have to allow this client to connect to that host and port."
_LOGIN = "The proxy does not accept the user name and password that proxy_url has: '://user:password@'."
_LOGIN_WANTED = "The proxy wants a user name and a password: proxy_url takes them as '://user:password@'."
_NOT_HTTP = "This is no HTTP proxy: check host, port and scheme of proxy_url (socks5://, socks5h://, http://)."
_NOT_SOCKS = "This is no SOCKS5 proxy: check host, port and scheme of proxy_url (socks5://, socks5h://, http://)."
_NO_ADDRESSES = "With socks5h:// the proxy gets the broker's name instead of its address."
_NO_NAMES = "With socks5:// the proxy gets the broker's address instead of its name."


class Refused(Exception):
    """There is no way: what the proxy said, or what is wrong with what it would be asked."""

    def __init__(self, said: str, hint: str | None = None, *, is_mistake: bool = False) -> None:
        super().__init__(said)
        self.said = said
        self.hint = hint
        self.is_mistake = is_mistake  # somebody has to change something


class Lost(Exception):
    """The connection to the proxy has ended."""

    def __init__(self, error: KafkaConnectionError) -> None:
        super().__init__(error)
        self.error = error


class Stream:
    """The bytes to and from a proxy, and the time."""

    def __init__(
        self,
        say: Callable[[bytes], None],
        hear: Callable[[], Wish[Result[Buffer, KafkaConnectionError]]],
        now: float,
    ) -> None:
        self.say = say
        self.now = now
        self._hear = hear
        self._rest = bytearray()  # heard, and not read yet

    async def read(self, size: int) -> bytes:
        """Exactly so many bytes. Raises `Lost`."""
        while len(self._rest) < size:
            await self._listen()
        return self.take(size)

    async def read_to(self, end: bytes, limit: int) -> bytes:
        """All up to and including `end`, or more than `limit` bytes where that does not come before."""
        while (found := self._rest.find(end)) < 0 and len(self._rest) <= limit:
            await self._listen()
        return self.take(found + len(end) if found >= 0 else len(self._rest))

    def take(self, size: int) -> bytes:
        """At most so many bytes of those that were heard."""
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken

    async def _listen(self) -> None:
        heard, self.now = await self._hear()
        if isinstance(heard, Err):
            raise Lost(heard.error)
        self._rest += heard.value


async def ask(stream: Stream, proxy: Proxy, host: str, port: int) -> None:
    """Has the proxy connect to `host`, a name or an IP address. Raises `Refused`, `Lost`."""
    await (_connect(stream, proxy, host, port) if proxy.scheme == "http" else _socks(stream, proxy, host, port))
    if rest := stream.take(16):
        raise Refused(f"it said more than its answer: {rest!r}", "No broker speaks first: check host and port.")


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _name(host: str) -> bytes:
    try:
        encoded = host.encode("ascii") if host.isascii() else host.encode("idna")
    except UnicodeError:
        encoded = b""
    if not _HOST.fullmatch(encoded.decode()) or len(encoded) > 255:
        raise Refused(f"{host[:_SHOWN]!r} cannot be a host name", is_mistake=True)
    return encoded


# -- SOCKS5 ------------------------------------------------------------------------------------------------------------


async def _socks(stream: Stream, proxy: Proxy, host: str, port: int) -> None:
    ip = _ip(host)
    if ip is None:
        name = _name(host)
        place = bytes((3, len(name))) + name
    else:
        place = (b"\1" if ip.version == 4 else b"\4") + ip.packed
    methods = bytes((_NO_LOGIN,) if proxy.username is None else (_NO_LOGIN, _PASSWORD))
    stream.say(bytes((5, len(methods))) + methods)
    version, method = await stream.read(2)
    if version != 5:
        raise Refused(f"it does not answer as SOCKS5 has it: {bytes((version, method))!r}", _NOT_SOCKS, is_mistake=True)
    if method == _PASSWORD and proxy.username is not None:
        await _log_in(stream, proxy.username.encode(), (proxy.password or "").encode())
    elif method != _NO_LOGIN:
        hint = _LOGIN_WANTED if proxy.username is None else None
        cause = "it takes none of the offered ways to log in" if method == _NONE else f"it wants login method {method}"
        raise Refused(cause, hint, is_mistake=True)
    stream.say(b"\5\1\0" + place + _PORT.pack(port))
    version, reply = await stream.read(2)
    if reply:
        cause = f"it answered {_REPLIES.get(reply, 'with a reason that SOCKS5 does not have')!r} ({reply})"
        kinds = _NO_NAMES if ip is None else _NO_ADDRESSES if proxy.scheme == "socks5" else None
        hint = {2: _FORBIDDEN, 8: kinds}.get(reply, _NOT_REACHED if reply <= 6 else None)
        raise Refused(cause, hint, is_mistake=reply in (2, 7, 8))
    _, kind = await stream.read(2)
    size = {1: 4, 4: 16}.get(kind)
    if kind == 3:
        size = (await stream.read(1))[0]
    if size is None:
        raise Refused(f"it answered with an address of kind {kind}, which SOCKS5 does not have", _NOT_SOCKS)
    await stream.read(size + 2)  # where it connects from, which nobody wants to know


async def _log_in(stream: Stream, username: bytes, password: bytes) -> None:
    stream.say(bytes((1, len(username))) + username + bytes((len(password),)) + password)
    _, status = await stream.read(2)
    if status:
        raise Refused("it does not accept the user name and password", _LOGIN, is_mistake=True)


# -- HTTP --------------------------------------------------------------------------------------------------------------


async def _connect(stream: Stream, proxy: Proxy, host: str, port: int) -> None:
    ip = _ip(host)
    name = _name(host).decode() if ip is None else f"[{ip}]" if ip.version == 6 else str(ip)
    lines = [f"CONNECT {name}:{port} HTTP/1.1", f"Host: {name}:{port}"]
    if proxy.username is not None:
        login = base64.b64encode(f"{proxy.username}:{proxy.password or ''}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")
    stream.say("\r\n".join([*lines, "", ""]).encode())
    start = await stream.read(5)
    if start != b"HTTP/":
        raise Refused(f"it does not answer as HTTP has it: {start!r}", _NOT_HTTP, is_mistake=True)
    head = await stream.read_to(b"\r\n\r\n", MOST_HEADERS)
    if len(head) > MOST_HEADERS:
        raise Refused(f"its answer has no end within {MOST_HEADERS} bytes", _NOT_HTTP)
    status, *headers = head.decode("latin-1").split("\r\n")
    found = re.match(r"[0-9.]+ +([0-9]{3})(?: |$)", status)
    if found is None:
        raise Refused(f"it does not answer as HTTP has it: {('HTTP/' + status)[:_SHOWN]!r}", _NOT_HTTP, is_mistake=True)
    code = int(found[1])
    if not 200 <= code < 300:
        hint = {403: _FORBIDDEN, 405: _NOT_HTTP, 407: _LOGIN if proxy.username is not None else _LOGIN_WANTED}.get(code)
        if code in (502, 503, 504):
            hint = _NOT_REACHED
        cause = f"it answered {status[status.index(' ') :].strip()[:_SHOWN]!r}"
        if code == 407 and (ways := _ways_to_log_in(headers)):
            cause += f" and takes {', '.join(ways)}; this client has Basic"
        raise Refused(cause, hint, is_mistake=code in (403, 405, 407))


def _ways_to_log_in(headers: list[str]) -> list[str]:
    split = (header.partition(":") for header in headers)
    given = [value.split()[:1] for name, _, value in split if name.lower() == "proxy-authenticate"]
    return [way for way in dict.fromkeys(itertools.chain(*given)) if re.fullmatch(r"[A-Za-z0-9-]{1,20}", way)]
