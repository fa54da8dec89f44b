"""Where OpenSSL may be used directly: only where it was seen to work, and what is found is what is expected."""

from __future__ import annotations

import _ssl
import ctypes
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificates

from kafka.drivers import _turn, openssl


def test_it_is_used_where_the_tests_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(openssl.SWITCH, raising=False)
    if sys.version_info[:2] in openssl.SEEN and sys.implementation.name == "cpython" and hasattr(_ssl, "__file__"):
        assert openssl.why_not() == ""


@pytest.mark.parametrize("word", ["python", "Python", "PYTHON"])
def test_a_switch(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_TURBO_TLS", word)
    assert openssl.why_not() == "KAFKA_TURBO_TLS=python"


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0), (3, 15, 0)])
def test_pythons_that_were_not_seen(version: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl.sys, "version_info", version)
    assert openssl.why_not() == "it is not tried with this Python"


def test_a_python_without_a_gil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl.sys, "version_info", (3, 13, 0))
    monkeypatch.setattr(openssl.sys, "abiflags", "t")
    assert openssl.why_not() == "this Python has no GIL"


def test_a_subinterpreter() -> None:
    """Its threads cannot call back into it by the means that `ssl` uses without the GIL."""
    code = """
import sys
try:
    import _interpreters as interpreters
    new = interpreters.create("legacy")
except ImportError:
    import _xxsubinterpreters as interpreters
    new = interpreters.create(isolated=False)
failed = interpreters.run_string(new, '''
import sys
sys.path[:] = PATH
from kafka.drivers import openssl
openssl.SEEN = (sys.version_info[:2],)
print(openssl.why_not())
'''.replace("PATH", repr(sys.path)))
assert failed is None, failed
interpreters.destroy(new)
"""
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "this is a subinterpreter\n", ended.stderr


def test_openssl_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    find = openssl._find.__wrapped__
    with monkeypatch.context() as patched:
        patched.delattr(_ssl, "__file__")
        assert find() == "OpenSSL is a part of this Python"
    with monkeypatch.context() as patched:
        patched.setattr(_ssl, "__file__", str(tmp_path / "nothing.so"))
        assert find().startswith("OpenSSL is out of reach: ")
    with monkeypatch.context() as patched:
        patched.setattr(_ssl, "__file__", _turn.__file__)  # a library that has none of it
        assert "SSL_write" in find()
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "ctypes", None)
        assert "ctypes" in find()


class Hands:
    """Two ends in memory that have shaken hands."""

    def __init__(self, certificates: Certificates, context: ssl.SSLContext | None = None) -> None:
        self.ours = [ssl.MemoryBIO(), ssl.MemoryBIO()]
        context = context or certificates.client()
        self.client = context.wrap_bio(*self.ours, server_hostname="localhost")
        self.server = certificates.server().wrap_bio(*reversed(self.ours), server_side=True)

    def shake(self) -> None:
        for end in (self.client, self.server) * 2:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass


@pytest.fixture
def hands(certificates: Certificates) -> Hands:
    if openssl.why_not():
        pytest.skip(openssl.why_not())
    return Hands(certificates)


def test_three_comparisons(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    incoming, outgoing = hands.ours
    assert not openssl.usable(hands.client, outgoing)  # no version yet
    hands.shake()
    assert openssl.usable(hands.client, outgoing)
    assert not openssl.usable(hands.client, incoming)
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with monkeypatch.context() as patched:
        patched.setattr(ssl.SSLObject, "context", other)
        assert not openssl.usable(hands.client, outgoing)
    with monkeypatch.context() as patched:
        patched.setattr(ssl.SSLObject, "version", lambda self: "TLSv1")
        assert not openssl.usable(hands.client, outgoing)
    with monkeypatch.context() as patched:
        patched.setattr(ssl.SSLObject, "context", object())
        assert not openssl.usable(hands.client, outgoing)
    assert openssl.usable(hands.client, outgoing)


def test_objects_of_the_users_own(hands: Hands, certificates: Certificates) -> None:
    class Mine(ssl.SSLObject):
        pass

    class Context(ssl.SSLContext):
        sslobject_class = Mine

    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates["ca.pem"])
    mine = Hands(certificates, context)
    mine.shake()
    assert not openssl.usable(mine.client, mine.ours[1])
    assert not openssl.usable(object(), mine.ours[1])  # type: ignore[arg-type]


def test_errors_are_those_of_ssl() -> None:
    error = openssl.failure("sslv3 alert bad certificate")
    assert isinstance(error, ssl.SSLError) and error.args[0] == ssl.SSL_ERROR_SSL
    assert (error.library, error.reason) == ("SSL", "SSLV3_ALERT_BAD_CERTIFICATE")
    assert str(error) == "[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert bad certificate"


def test_nothing_of_openssl_is_linked() -> None:
    """It is Python's, whichever that has; a wheel brings none of its own."""
    assert not hasattr(ctypes.CDLL(None), "kt_openssl")
    data = Path(_turn.__file__).read_bytes()
    assert b"libssl" not in data and b"libcrypto" not in data and b"libdl" not in data
