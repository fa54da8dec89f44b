"""Plugin: certificates, an authority's and those it has signed; and clients that speak TLS."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from certificates import Certificates
from tls_link import Link

from kafka.drivers import openssl
from kafka.drivers.tls import DIRECT, PYTHON

ENGINES = [PYTHON] if openssl.why_not() else [PYTHON, DIRECT]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """What is in its folder must not be changed."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=ENGINES)
def tls_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What encrypts the connections of the clients that are made in this test: each that there is, in turn."""
    if request.param == PYTHON:
        monkeypatch.setenv(openssl.SWITCH, PYTHON)
    return str(request.param)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def link(pair: tuple[socket.socket, socket.socket], certificates: Certificates, tls_engine: str) -> Link:
    return Link(*pair, certificates.server(), tls_engine)


@pytest.fixture
def secured(link: Link, certificates: Certificates) -> Link:
    assert link.secure(certificates.client()) == [link.engine]
    link.hear()
    return link
