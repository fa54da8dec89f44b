"""Plugin: certificates, an authority's and those it has signed; and clients that speak TLS."""

from __future__ import annotations

import pytest
from certificates import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """What is in its folder must not be changed."""
    return Certificates(tmp_path_factory.mktemp("certificates"))
