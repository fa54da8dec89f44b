"""Assertions, signed by the client or found in a file: in place of its secret (KIP-1258), as the grant (KIP-1139)."""

from __future__ import annotations

import base64
import json
import logging
import os
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import token_server
from certificates import PASSWORD, Certificates
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from security.test_oidc import NAMES, Network, keys, refused
from token_server import TokenServer, http

from kafka.config import HIDDEN, ClientConfig
from kafka.errors import ConfigurationValueError

BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as found:
        yield found


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def rsa_file(rsa_key: rsa.RSAPrivateKey, tmp_path: Path) -> Path:
    return written(tmp_path / "rsa.key", rsa_key)


def written(path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path


def asserting(server: TokenServer | str, **more: Any) -> dict[str, Any]:
    found = keys(server, **more)
    for name in ("id", "secret"):
        if f"client_credentials_client_{name}" not in more:
            del found[f"{NAMES}client_credentials_client_{name}"]
    return found


def parts(jwt: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, what is signed, the signature."""
    assert "=" not in jwt
    decoded = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in jwt.split(".")]
    return json.loads(decoded[0]), json.loads(decoded[1]), jwt.rpartition(".")[0].encode(), decoded[2]


def test_client_assertion(server: TokenServer, rsa_key: rsa.RSAPrivateKey, rsa_file: Path) -> None:
    claims = {f"assertion_claim_{name}": value for name, value in (("iss", "me"), ("sub", "me"), ("aud", "https://i"))}
    own = {"assertion_private_key_file": rsa_file, "client_credentials_client_id": "me", **claims}
    Network(**asserting(server, scope="kafka", **own)).fetch()
    (asked,) = server.asked
    assertion = asked.form.pop("client_assertion")
    assert asked.form == {
        "grant_type": "client_credentials", "client_assertion_type": CLIENT, "client_id": "me", "scope": "kafka",
    }  # fmt: skip
    assert "authorization" not in asked.headers
    header, payload, signed, signature = parts(assertion)
    assert header == {"alg": "RS256", "typ": "JWT"}
    now = payload.pop("iat")
    assert abs(now - time.time()) < 60 and isinstance(now, int)
    assert payload == {"iss": "me", "sub": "me", "aud": "https://i", "exp": now + 300, "nbf": now - 60}
    rsa_key.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("name", ["client.key", "client-encrypted.key"])
@pytest.mark.parametrize("package", ["", "org.apache.kafka.common.security.oauthbearer."])
def test_jwt_bearer(server: TokenServer, certificates: Certificates, tmp_path: Path, name: str, package: str) -> None:
    template = tmp_path / "template.json"
    template.write_text('{"header": {"kid": "7", "alg": "none"}, "payload": {"tenant": ["a"], "exp": 1, "sub": "x"}}')
    own: dict[str, Any] = {
        "jwt_retriever_class": f"{package}JwtBearerJwtRetriever",
        "assertion_private_key_file": certificates.text(name),
        "assertion_private_key_passphrase": lambda: PASSWORD,
        "assertion_algorithm": "ES256",
        "assertion_template_file": template,
        "assertion_claim_sub": "alice",
        "assertion_claim_exp_seconds": 30,
        "assertion_claim_nbf_seconds": 0,
        "assertion_claim_jti_include": True,
    }
    client = Network(**asserting(server, **own))
    client.fetch()
    client.fetch()
    ids = set()
    for asked in server.asked:
        header, payload, signed, signature = parts(asked.form.pop("assertion"))
        assert asked.form == {"grant_type": BEARER}
        assert header == {"kid": "7", "alg": "ES256", "typ": "JWT"}
        ids.add(payload.pop("jti"))
        now = payload.pop("iat")
        assert payload == {"tenant": ["a"], "sub": "alice", "exp": now + 30, "nbf": now}
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        key = load_pem_private_key(certificates.text("client.key").encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey) and len(signature) == 64
        key.public_key().verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    assert len(ids) == 2


def test_an_assertion_in_a_file(server: TokenServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "assertion"
    file.write_text("a.b.c\n")
    file.chmod(0o604)
    client = Network(**asserting(server, assertion_file=str(file)))
    client.fetch()
    file.write_text("d.e.f")
    client.fetch()
    assert [asked.form["client_assertion"] for asked in server.asked] == ["a.b.c", "d.e.f"]
    assert caplog.text.count("every user of this machine can read it") == (os.name == "posix")
    file.write_text("half")
    with pytest.raises(ConfigurationValueError, match="is no JWT"):
        client.fetch()


def test_a_key_that_is_replaced(server: TokenServer, rsa_file: Path) -> None:
    client = Network(**asserting(server, assertion_private_key_file=rsa_file))
    new = rsa.generate_private_key(65537, 2048)
    written(rsa_file, new)
    client.fetch()
    *_, signed, signature = parts(server.asked[0].form["client_assertion"])
    new.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())


def test_which_comes_first(rsa_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file, then a key, then a secret, as in Java; and what has no effect is told."""
    caplog.set_level(logging.WARNING)
    (tmp_path / "assertion").write_text("a.b.c")
    (tmp_path / "assertion").chmod(0o600)
    with TokenServer() as server:
        more: dict[str, Any] = {"client_credentials_client_secret": "x", "assertion_private_key_file": rsa_file}
        Network(**asserting(server, **more)).fetch()
        assert len(server.asked[0].form["client_assertion"]) > 100
        assert f"{NAMES}client_credentials_client_secret has no effect" in caplog.text
        Network(**asserting(server, **more, assertion_file=tmp_path / "assertion")).fetch()
        assert server.asked[1].form["client_assertion"] == "a.b.c"
        assert f"{NAMES}assertion_private_key_file has no effect beside it" in caplog.text
        more["jwt_retriever_class"] = "JwtBearerJwtRetriever"
        Network(**asserting(server, **more)).fetch()
        assert server.asked[2].form["grant_type"] == BEARER
        assert "JwtBearerJwtRetriever shows an assertion alone" in caplog.text


@pytest.mark.parametrize("how", ["client.key", "file"])
def test_refusals_name_the_keys(server: TokenServer, certificates: Certificates, tmp_path: Path, how: str) -> None:
    own: dict[str, Any] = {"assertion_private_key_file": certificates["client.key"], "assertion_algorithm": "ES256"}
    if how == "file":
        (tmp_path / "assertion").write_text("a.b.c1234")
        own = {"assertion_file": tmp_path / "assertion"}
    server.answer = lambda asked: http(
        400, {"error": "invalid_grant", "error_description": f"not {asked.form['client_assertion']}"}
    )
    error = refused(server, client_credentials_client_secret=None, **own)
    assert "invalid_grant: not <hidden>. Hint: Check sasl_oauthbearer_assertion_" in str(error)
    assert ("assertion_file." if how == "file" else "the keys sasl_oauthbearer_assertion_claim_*.") in str(error)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"jwt_retriever_class": "FileJwtRetriever"}, "jwt_retriever_class must be 'DefaultJwtRetriever', "),
        ({"jwt_retriever_class": "JwtBearerJwtRetriever"}, "'JwtBearerJwtRetriever' needs an assertion: set"),
        ({}, "client_id is needed"),
        ({"client_credentials_client_id": "a"}, "client_secret is needed .* or sasl_oauthbearer_assertion_private"),
        ({"assertion_claim_iss": "a"}, "assertion_claim_iss: without sasl_oauthbearer_assertion_private_key_file"),
        ({"assertion_file": "/no/such"}, "assertion_file='/no/such': cannot be read: No such file"),
        ({"assertion_file": __file__}, "is no JWT"),
        ({"assertion_file": b"x"}, "assertion_file must be the path of a file"),
        ({"assertion_private_key_file": "/no/such"}, "private_key_file='/no/such': cannot be read"),
        ({"assertion_private_key_file": token_server.__file__}, "is not PEM"),
        ({"assertion_private_key_file": "KEY", "assertion_algorithm": "RS256"}, "which takes an RSA key"),
        ({"assertion_private_key_file": "RSA", "assertion_algorithm": "ES256"}, "a key of the curve P-256"),
        ({"assertion_private_key_file": "P384", "assertion_algorithm": "ES256"}, "a key of the curve P-256"),
        ({"assertion_private_key_file": "CERTIFICATE"}, "holds no private key"),
        ({"assertion_private_key_file": "ENCRYPTED"}, "is encrypted: set sasl_oauthbearer_assertion_private_key_pass"),
        ({"assertion_private_key_file": "ENCRYPTED", "assertion_private_key_passphrase": "no"}, "is not its password"),
        ({"assertion_private_key_file": "DAMAGED"}, "cannot be read: it is damaged"),
        ({"assertion_private_key_file": "DER"}, "is DER; "),
        ({"assertion_private_key_file": "PKCS12"}, "is a PKCS#12 store"),
        ({"assertion_private_key_file": "ENCRYPTED", "assertion_private_key_passphrase": "\ud800"}, "written in UTF-8"),
        (
            {"assertion_file": "eyJhbGciOiJSUzI1NiJ9.e30.hush"},
            "assertion_file .neither PEM text nor a path, of l",
        ),
        ({"assertion_private_key_file": "RSA", "assertion_template_file": __file__}, "template_file=.* is not JSON"),
        ({"assertion_private_key_file": "RSA", "assertion_template_file": "LIST"}, "must be a JSON object whose"),
        ({"assertion_algorithm": "none"}, "assertion_algorithm must be 'RS256' or 'ES256'"),
        ({"assertion_claim_exp_seconds": 0}, "exp_seconds must be a whole number"),
        ({"assertion_private_key_passphrase": HIDDEN}, "give the real one"),
    ],
)
def test_mistakes_are_told_at_construction(
    certificates: Certificates, rsa_file: Path, tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    (tmp_path / "list.json").write_text('{"header": []}')
    (tmp_path / "damaged").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (tmp_path / "der").write_bytes(ssl.PEM_cert_to_DER_cert(certificates.text("ca.pem")))
    files = {
        "KEY": certificates["client.key"],
        "CERTIFICATE": certificates["client.crt"],
        "ENCRYPTED": certificates["client-encrypted.key"],
        "RSA": rsa_file,
        "P384": written(tmp_path / "p384", ec.generate_private_key(ec.SECP384R1())),
        "DAMAGED": tmp_path / "damaged",
        "DER": tmp_path / "der",
        "PKCS12": certificates["client.p12"],
        "LIST": tmp_path / "list.json",
    }
    more = {name: files.get(value, value) if isinstance(value, str) else value for name, value in more.items()}
    with pytest.raises(ConfigurationValueError, match=said) as caught:
        ClientConfig(asserting("https://idp.example/", **more))
    assert "hush" not in str(caught.value)


def test_without_cryptography(rsa_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(ConfigurationValueError, match=r"pip install kafka-turbo\[pkcs12\]"):
        ClientConfig(asserting("https://idp.example/", assertion_private_key_file=rsa_file))


def test_the_passphrase_is_hidden(certificates: Certificates) -> None:
    own = {"assertion_private_key_file": certificates.text("client-encrypted.key"), "assertion_algorithm": "ES256"}
    config = ClientConfig(asserting("https://idp.example/", assertion_private_key_passphrase=PASSWORD, **own))
    for name in ("private_key_passphrase", "private_key_file"):
        assert config.values[f"{NAMES}assertion_{name}"] is HIDDEN
