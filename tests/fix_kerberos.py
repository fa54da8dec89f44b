"""Plugin: a Kerberos realm."""

from __future__ import annotations

from collections.abc import Iterator

import kerberos
import pytest


@pytest.fixture(scope="session")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kerberos.Realm]:
    try:
        kerberos.package()
        found = kerberos.Realm(tmp_path_factory.mktemp("kerberos"))
    except kerberos.Unavailable as error:
        pytest.skip(str(error))
    with found:
        yield found
