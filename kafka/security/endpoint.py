"""One question to a token endpoint: an HTTP request that has secrets in it, as its answer has.

It goes to the address that is configured and nowhere else: no redirect is followed and no proxy asked. It is over TLS
where plain text is not allowed, it ends within a deadline however slowly the other side talks, and its answer is of a
limited size. All of this blocks, and is for a thread that nobody waits for. Sockets are those of C, which gevent and
eventlet do not patch: there are no greenlets on such a thread.
"""

from __future__ import annotations

import _socket
import errno
import io
import json
import os
import ssl
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from kafka.errors import ConfigurationValueError, CredentialsError
from kafka.security import material, tls
from kafka.security.material import CERTIFICATE, Source
from kafka.version import __version__

URL, ALLOW_HTTP, CAFILE = (f"sasl_oauthbearer_{name}" for name in ("token_endpoint_url", "allow_http", "ssl_cafile"))
MOST_BYTES = 1 << 20  # of an answer
_MOST_HEAD = 1 << 17  # of what comes before it, and between its parts
DEADLINE = 8.0  # seconds, for all of it; connections wait a little longer
_MOST_SHOWN = 200  # characters of what is said
_CUT_OFF = "the answer ended too early", f"Check that it is up, and {URL}."
_PASSES = (408, 425, 429)  # statuses that may be others a moment later, as those from 500 on


class Address(NamedTuple):
    is_https: bool
    host: str
    port: int
    target: str  # path and query

    @property
    def _authority(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def named(self) -> str:
        """Without the query, in which there may be a secret."""
        scheme = "https" if self.is_https else "http"
        return f"{scheme}://{self._authority}:{self.port}{self.target.partition('?')[0]}"

    @property
    def host_header(self) -> str:
        usual = 443 if self.is_https else 80
        return self._authority if self.port == usual else f"{self._authority}:{self.port}"

    def __repr__(self) -> str:
        return f"<{self.named}>"


class Question(NamedTuple):
    """What is asked. `secrets` are in it, and never in an error; `keys` have to be changed where it is refused."""

    form: Mapping[str, str]
    headers: Mapping[str, str]
    secrets: Sequence[str]
    keys: str

    def __repr__(self) -> str:
        return "<Question>"

    def shown(self, text: str) -> str:
        """Of a stranger's words what fits into a line, and what was not among the secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "<hidden>")
        plain = "".join(character if character.isprintable() else "?" for character in text)
        return plain if len(plain) <= _MOST_SHOWN else f"{plain[:_MOST_SHOWN]}..."


def address_of(url: str, *, http: bool) -> Address:
    """Raises ConfigurationValueError. `http`: plain text is allowed."""
    try:
        parts = urlsplit(url)
        host, port, scheme = parts.hostname, parts.port, parts.scheme
    except ValueError:  # which has a part of it in its text, of a password perhaps
        raise ConfigurationValueError(f"{URL} is no URL with a host and, perhaps, a port.") from None
    if scheme == "http" and not http:
        raise ConfigurationValueError(
            f"{URL} begins with http://, so everybody on the way could read the secret and the token: use https://, or "
            f"set {ALLOW_HTTP} to True where that is meant."
        )
    if scheme not in ("https", "http") or not host:
        raise ConfigurationValueError(f"{URL} must be a URL that begins with https:// and a host.")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationValueError(f"{URL} must not have a user or a password in it: no secret belongs there.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        host = host if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        raise ConfigurationValueError(f"{URL}: {host!r} is no name of a host.") from None
    if not all("!" <= character <= "~" for character in target + host):
        raise ConfigurationValueError(f"{URL} must have no spaces, and other characters than ASCII's as %-escapes.")
    return Address(scheme == "https", host, port or (443 if scheme == "https" else 80), target)


def context_of(cafile: str | bytes | os.PathLike[str] | None) -> ssl.SSLContext:
    """Trusts who is in `cafile`, or else the system's authorities. Raises ConfigurationValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if cafile is None:
        context.load_default_certs()
    else:
        source = Source(CAFILE, cafile)
        tls.load(context, source, material.pem(source, source.read(), CERTIFICATE, "certificate"))
    return context


def ask(address: Address, context: ssl.SSLContext | None, question: Question) -> dict[str, Any]:
    """The object that it answers with. `context`: for TLS.

    Raises CredentialsError, which names the address, the stage, what happened and the key to change; it is `retriable`
    where it may pass by itself.
    """
    until = time.monotonic() + DEADLINE
    stage = "dns"
    try:
        addresses = _socket.getaddrinfo(address.host, address.port, 0, _socket.SOCK_STREAM)
        stage = "tcp connect"
        raw = _connected(addresses, until)
        try:
            stage = "tls handshake"
            stream = _Plain(raw, until) if context is None else _Tls(raw, until, context, address.host)
            stage = "request"
            stream.send_all(_request(address, question))
            stage = "answer"
            return _answer(address, question, stream)
        finally:
            raw.close()
    except _Trouble as trouble:
        raise _failed(address, stage, trouble) from None
    except (OSError, HTTPException) as error:
        raise _failed(address, stage, _read_error(address, error)) from error


class _Trouble(Exception):
    """What happened, whether it may pass by itself, and what to do about it."""

    def __init__(self, what: str, hint: str, *, passes: bool = False) -> None:
        super().__init__(what)
        self.what, self.hint, self.passes = what, hint, passes


def _failed(address: Address, stage: str, trouble: _Trouble) -> CredentialsError:
    error = CredentialsError(f"The token endpoint {address.named} failed in stage {stage}: {trouble.what.rstrip('.')}.")
    error.hint = trouble.hint
    error.retriable = trouble.passes
    return error


def _read_error(address: Address, error: OSError | HTTPException) -> _Trouble:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _Trouble(f"certificate verify failed: {error.verify_message}", _about_certificate(address, error))
    if isinstance(error, ssl.SSLEOFError):
        return _Trouble("the peer closed the connection", f"Check {URL}: is that its port for https?", passes=True)
    if isinstance(error, ssl.SSLError):
        hint = f"Check {URL}: is that its port for https, and does it speak TLS 1.2 or newer?"
        return _Trouble(tls.words(error), hint)
    if isinstance(error, TimeoutError) or getattr(error, "errno", None) == errno.ETIMEDOUT:
        what = f"it took longer than {DEADLINE:g} s"
        return _Trouble(what, f"Check that it can be reached, and {URL}.", passes=True)
    if isinstance(error, IncompleteRead):
        return _Trouble(*_CUT_OFF, passes=True)
    if isinstance(error, (ConnectionError, RemoteDisconnected)):
        said = error.strerror if isinstance(error, OSError) and error.strerror else "the peer closed the connection"
        return _Trouble(said, f"Check that it is up, and {URL}.", passes=True)
    if isinstance(error, HTTPException):
        return _Trouble(f"the answer is no HTTP ({type(error).__name__})", f"Check {URL}: is that its port?")
    return _Trouble(error.strerror or str(error), f"Check {URL}, and the network.", passes=True)


def _about_certificate(address: Address, error: ssl.SSLCertVerificationError) -> str:
    if "mismatch" in error.verify_message:
        return f"Its certificate is for other names than {address.host!r}: use one of them in {URL}."
    if "expired" in error.verify_message or "not yet valid" in error.verify_message:
        return "It has to get a new certificate; or this machine's clock is wrong."
    return (
        f"{CAFILE} must have the certificate of the authority that signed the endpoint's; ssl_cafile is for brokers "
        "alone. Left out, the system's authorities are trusted."
    )


# -- bytes -------------------------------------------------------------------------------------------------------------


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connected(addresses: Sequence[Any], until: float) -> _socket.socket:
    """To the first that accepts; each has its share of the time."""
    failure: OSError | None = None
    for tried, (family, kind, protocol, _, where) in enumerate(addresses):
        try:
            raw = _socket.socket(family, kind, protocol)
        except OSError as error:  # no IPv6 here, say
            failure = error
            continue
        try:
            raw.settimeout(_left(until) / (len(addresses) - tried))
            raw.connect(where)
            return raw
        except OSError as error:
            raw.close()
            failure = error
    raise failure or OSError("the name has no address")


class _Plain:
    """Bytes as they are, until the deadline."""

    def __init__(self, raw: _socket.socket, until: float) -> None:
        self._raw = raw
        self._until = until

    def send_all(self, data: bytes) -> None:
        self._raw.settimeout(_left(self._until))
        self._raw.sendall(data)

    def receive(self, size: int) -> bytes:
        """None are left: the end."""
        self._raw.settimeout(_left(self._until))
        return self._raw.recv(size)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What `HTTPResponse` asks of a socket."""
        return io.BufferedReader(_Reading(self))


class _Tls(_Plain):
    def __init__(self, raw: _socket.socket, until: float, context: ssl.SSLContext, host: str) -> None:
        super().__init__(raw, until)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._until_done(self._object.do_handshake)

    def send_all(self, data: bytes) -> None:
        self._until_done(lambda: self._object.write(data))

    def receive(self, size: int) -> bytes:
        try:
            data: bytes = self._until_done(lambda: self._object.read(size))
            return data
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def _until_done(self, step: Any) -> Any:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
                if data := super().receive(1 << 16):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                self._flush()  # what we say of it
                raise
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        if data := self._outgoing.read():
            super().send_all(data)


class _Reading(io.RawIOBase):
    """No more than an answer may have, whatever its head and its chunks say of their size."""

    def __init__(self, stream: _Plain) -> None:
        self._stream = stream
        self._left = MOST_BYTES + _MOST_HEAD

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.receive(min(len(buffer), self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise _too_long()
        buffer[: len(data)] = data
        return len(data)


def _too_long() -> _Trouble:
    return _Trouble(f"the answer is of more than {MOST_BYTES} bytes", f"Check {URL}: this is no token.")


# -- HTTP --------------------------------------------------------------------------------------------------------------


def _request(address: Address, question: Question) -> bytes:
    body = urlencode(question.form)
    headers = {
        "Host": address.host_header,
        "User-Agent": f"kafka-turbo/{__version__}",
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **question.headers,
    }
    lines = [f"POST {address.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", body]
    return "\r\n".join(lines).encode()


def _answer(address: Address, question: Question, stream: _Plain) -> dict[str, Any]:
    response = HTTPResponse(stream, method="POST")  # type: ignore[arg-type]
    try:
        response.begin()
        status = response.status
        if 300 <= status < 400:
            where = _elsewhere(question, response.getheader("Location"))
            raise _Trouble(
                f"it redirects (HTTP {status}){where}, which is not followed: the secret is for that address alone",
                f"Set {URL} to where the tokens are.",
            )
        body = response.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES or (response.length or 0) > MOST_BYTES:
            raise _too_long()
        if response.length:
            raise _Trouble(*_CUT_OFF, passes=True)
    finally:
        response.close()
    found = _parsed(body)
    if 200 <= status < 300:
        if found is None:
            kind = response.getheader("Content-Type") or "something"
            raise _Trouble(
                f"the answer is no JSON object, but {question.shown(kind)} of {len(body)} bytes",
                f"Check {URL}: is that the token endpoint, or a page for people?",
            )
        return found
    raise _refusal(status, response.reason, found or {}, question)


def _refusal(status: int, reason: str, found: Mapping[str, Any], question: Question) -> _Trouble:
    shown = question.shown
    said = [shown(found[name]) for name in ("error", "error_description") if isinstance(found.get(name), str)]
    passes = status >= 500 or status in _PASSES
    what = f"HTTP {status} {shown(reason)}{': ' if said else ''}{': '.join(said)}"
    if passes:
        return _Trouble(what, "It may pass by itself; if it does not, ask who runs the endpoint.", passes=True)
    hints = {
        "invalid_scope": "Check sasl_oauthbearer_scope.",
        "unsupported_grant_type": f"Check {URL}, and whether the endpoint lets this client have tokens in this way.",
        "unauthorized_client": "Check whether the endpoint lets this client have tokens in this way.",
    }
    hint = f"Check {URL}." if status in (404, 405, 410) else f"Check {question.keys}."
    return _Trouble(what, hints.get(str(found.get("error")), hint))


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _elsewhere(question: Question, location: str | None) -> str:
    """Where to, without path and query: they may be secrets."""
    try:
        parts = urlsplit(location or "")
        return f" to {question.shown(f'{parts.scheme}://{parts.hostname}')}" if parts.scheme and parts.hostname else ""
    except ValueError:
        return ""
