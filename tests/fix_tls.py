"""Plugin: certificates, an authority's and those it has signed; and clients that speak TLS."""

from __future__ import annotations

import pytest
from certificates import Certificates

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
