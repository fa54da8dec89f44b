"""What the constructor says of TLS keys and of the files behind them; and what of it makes a context."""

from __future__ import annotations

import base64
import logging
import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import PASSWORD, Certificates

from kafka.config import ClientConfig
from kafka.errors import ConfigurationValueError, KafkaConfigurationError
from kafka.security import material

SSL: dict[str, Any] = {"security_protocol": "SSL"}


def context(**configs: Any) -> ssl.SSLContext:
    tls = ClientConfig({**SSL, **configs}).tls
    assert tls is not None
    made = tls.current()
    assert made is not None
    return made


def refused(*parts: str, **configs: Any) -> ConfigurationValueError:
    """Its message has all parts, and no password."""
    with pytest.raises(ConfigurationValueError) as caught:
        ClientConfig({**SSL, **configs})
    for part in parts:
        assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)
    return caught.value


def has_certificate(context: ssl.SSLContext, certificates: Certificates) -> bool:
    """Whether a broker that wants a client's certificate gets one it accepts."""
    server = certificates.server(clients=True)
    ours, theirs = (ssl.MemoryBIO(), ssl.MemoryBIO()), (ssl.MemoryBIO(), ssl.MemoryBIO())
    client = context.wrap_bio(*ours, server_hostname="localhost")
    broker = server.wrap_bio(*theirs, server_side=True)
    for _ in range(4):
        for end, here, there in ((client, ours, theirs), (broker, theirs, ours)):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return False
            there[0].write(here[1].read())
    return broker.getpeercert() is not None


# -- the keys ----------------------------------------------------------------------------------------------------------


def test_the_default_is_as_strict_as_can_be() -> None:
    made = context()
    assert made.check_hostname and made.verify_mode is ssl.CERT_REQUIRED
    assert made.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context(ssl_check_hostname=False).verify_mode is ssl.CERT_REQUIRED
    assert context(ssl_minimum_version="TLSv1.3").minimum_version is ssl.TLSVersion.TLSv1_3
    refused("ssl_minimum_version must be 'TLSv1.2' or 'TLSv1.3'", ssl_minimum_version="TLSv1")


def test_plain_text_needs_no_ssl() -> None:
    assert ClientConfig({}).tls is None
    code = "import sys, kafka.producer.kafka, kafka.config; kafka.config.ClientConfig({}); print('ssl' in sys.modules)"
    out = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=Path(__file__).parents[2])
    assert out == "False\n"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"sasl_plain_username": "a", "sasl_plain_password": "b"},
            "sasl_plain_username, sasl_plain_password need ",
        ),
        (
            {"sasl_oauth_token_provider": lambda: "x", "security_protocol": "SSL"},
            "sasl_oauth_token_provider needs ",
        ),
        (
            {"sasl_mechanism": "PLAIN"},
            "sasl_mechanism needs security_protocol 'SASL_SSL' or 'SASL_PLAINTEXT'; with",
        ),
    ],
)
def test_who_was_meant_to_authenticate_does(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationValueError, match=said):
        ClientConfig(keys)


def test_credentials_of_another_mechanism_are_told(caplog: pytest.LogCaptureFixture) -> None:
    sasl = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER", "sasl_plain_password": "hush"}
    with caplog.at_level("WARNING", "kafka"):
        ClientConfig({**sasl, "sasl_oauth_token_provider": lambda: "x"})
    assert "OAUTHBEARER, so nothing is done with sasl_plain_password" in caplog.text and "hush" not in caplog.text


def test_what_was_meant_to_be_secure_is_never_plain_text(certificates: Certificates) -> None:
    for keys in ({"ssl_cafile": certificates["ca.pem"]}, {"ssl_check_hostname": False, "ssl_ciphers": "AESGCM"}):
        with pytest.raises(ConfigurationValueError, match="nothing would be encrypted") as caught:
            ClientConfig(keys)
        assert all(key in str(caught.value) for key in keys)
    with pytest.raises(ConfigurationValueError, match="asks for SSL, but security_protocol is 'PLAINTEXT'"):
        ClientConfig({"bootstrap_servers": "a:1,SSL://b:2"})
    refused("asks for PLAINTEXT", bootstrap_servers="PLAINTEXT://b:2")
    assert ClientConfig({**SSL, "bootstrap_servers": "ssl://b:2"}).bootstrap_servers == (("b", 2),)
    for protocol in ("SASL_SSL", "SASL_PLAINTEXT"):
        with pytest.raises(ConfigurationValueError, match=f"{protocol}' needs a sasl_mechanism"):
            ClientConfig({"security_protocol": protocol})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("ssl_context", object(), "an ssl.SSLContext"),
        ("ssl_context", "hunter2", "an ssl.SSLContext"),
        ("ssl_cafile", "", "not an empty one"),
        ("ssl_cafile", 5, "not int"),
        ("ssl_keyfile", ["hunter2"], "not list"),
        ("ssl_password", 5, "not int"),
        ("ssl_ciphers", ["hunter2"], "not list"),
        ("ssl_ciphers", "NONSENSE", "no cipher suite in 'NONSENSE'"),
        ("ssl_ciphers", "A\0B", "no cipher suite in"),
        ("ssl_ciphers", "\ud800", "no cipher suite in"),
        ("ssl_ciphers", "TLS_AES_128_GCM_SHA256", "the suites of TLS 1.3 are always there"),
        ("ssl_check_hostname", None, "True or False"),
        ("ssl_keyfile", "hunter2.key", "ssl_certfile, the certificate of that key, is not"),
    ],
)
def test_values_that_cannot_be(key: str, value: object, said: str) -> None:
    refused(key, said, **{key: value})


def test_ciphers_work() -> None:
    names = {cipher["name"] for cipher in context(ssl_ciphers="ECDHE-RSA-AES256-GCM-SHA384").get_ciphers()}
    assert {name for name in names if not name.startswith("TLS_")} == {"ECDHE-RSA-AES256-GCM-SHA384"}


def test_a_context_of_the_users_own_wins_and_stays_as_it_is(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    own = certificates.client()

    def state() -> tuple[Any, ...]:
        return own.options, own.verify_flags, own.verify_mode, own.check_hostname, own.get_ciphers(), own.get_ca_certs()

    before = state()
    assert context(ssl_context=own) is own
    assert state() == before and not caplog.records
    assert context(ssl_context=own, ssl_cafile="no-such-file", ssl_check_hostname=False) is own
    assert state() == before
    [record] = caplog.records
    assert "ssl_cafile, ssl_check_hostname has no effect" in record.getMessage()
    refused("ssl_context is not for clients", ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


# -- files, text, stores -----------------------------------------------------------------------------------------------


def test_certificates_and_keys_as_files_text_and_stores(certificates: Certificates) -> None:
    ca, secret = certificates["ca.pem"], PASSWORD
    for configs in (
        {"ssl_certfile": certificates["client.pem"]},
        {"ssl_certfile": Path(certificates["client.pem"])},
        {"ssl_certfile": certificates["client.crt"], "ssl_keyfile": certificates["client.key"]},
        {"ssl_certfile": certificates["client.crt"], "ssl_keyfile": certificates["client-encrypted.key"],
         "ssl_password": secret},
        {"ssl_certfile": certificates.text("client.pem")},
        {"ssl_certfile": "\n" + certificates.text("client.crt"),
         "ssl_keyfile": certificates.text("client.key").encode()},
        {"ssl_certfile": certificates["client.crt"], "ssl_keyfile": certificates.text("client-encrypted.key"),
         "ssl_password": secret.encode()},
        {"ssl_certfile": certificates["client.p12"], "ssl_password": lambda: secret},
        {"ssl_certfile": certificates["client.p12"], "ssl_password": lambda: bytearray(secret.encode())},
    ):  # fmt: skip
        assert has_certificate(context(ssl_cafile=ca, **configs), certificates), configs
    assert not has_certificate(context(ssl_cafile=ca), certificates)
    assert not has_certificate(context(ssl_cafile=ca, ssl_certfile=certificates["foreign.pem"]), certificates)
    # A password that nothing needs does no harm.
    assert has_certificate(
        context(ssl_cafile=ca, ssl_certfile=certificates["client.pem"], ssl_password="x"), certificates
    )


def test_authorities_as_file_text_and_store(certificates: Certificates) -> None:
    own = {"ssl_certfile": certificates["client.pem"]}
    comment = "# Autorité de certification, ключ\n" + certificates.text("ca.pem")
    for cafile, more in (
        (certificates["ca.pem"], {}),
        (certificates.text("ca.pem"), {}),
        (comment, {}),
        (certificates["trust.p12"], {"ssl_cafile_password": PASSWORD}),
        (certificates["trust.p12"], {"ssl_password": PASSWORD}),
        (certificates["trust.p12"], {"ssl_cafile_password": lambda: PASSWORD, "ssl_password": "of a key"}),
        (certificates["server.pem"], {}),  # the very certificate is trusted, as in Java
    ):
        assert has_certificate(context(ssl_cafile=cafile, **own, **more), certificates), (cafile, more)
    assert not has_certificate(context(ssl_cafile=certificates["stranger-ca.pem"], **own), certificates)
    assert context(ssl_cafile=certificates["ca.pem"]).cert_store_stats()["x509_ca"] == 1  # and no others


def test_keys_are_read_where_there_is_no_memory_file(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr("os.memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with material.as_file(b"x") as path:
        assert Path(path).parent == tmp_path and Path(path).stat().st_mode & 0o077 == 0
        assert Path(path).read_bytes() == b"x"
    made = context(ssl_cafile=certificates["ca.pem"], ssl_certfile=certificates["client.p12"], ssl_password=PASSWORD)
    assert has_certificate(made, certificates)
    assert list(tmp_path.iterdir()) == []


def test_every_mistake_in_a_file_is_told_with_its_name(certificates: Certificates, tmp_path: Path) -> None:
    c = certificates
    folder, gone = str(tmp_path), str(tmp_path / "gone.pem")
    text, der = tmp_path / "notes.txt", tmp_path / "ca.der"
    text.write_text("Dear diary")
    der.write_bytes(ssl.PEM_cert_to_DER_cert(c.text("ca.pem")))
    jks, cut = tmp_path / "trust.jks", tmp_path / "cut.pem"
    jks.write_bytes(b"\xfe\xed\xfe\xed\0\0\0\2")
    cut.write_text(c.text("ca.pem")[:200] + "\n-----END CERTIFICATE-----\n")
    empty = tmp_path / "empty.pem"
    empty.touch()
    for key in ("ssl_cafile", "ssl_certfile", "ssl_crlfile"):
        refused(f"{key}={gone!r}", "cannot be read: No such file", **{key: gone})
        refused(f"{key}={folder!r}", "cannot be read: Is a directory", **{key: folder})
        refused(key, "is not PEM", **{key: str(text)})
        refused(key, "is not PEM", **{key: str(empty)})
        refused(key, "is a Java key store (JKS)", "keytool -importkeystore", **{key: str(jks)})
        refused(key, "is DER", **{key: str(der)})
        refused(key, "null byte", **{key: "\0"})
    refused("ssl_cafile=", "holds no certificate", ssl_cafile=c["client.key"])
    refused("ssl_cafile=", "holds no certificate", ssl_cafile=c["crl.pem"])
    refused("ssl_cafile=", "cut.pem", "cannot be used", ssl_cafile=str(cut))
    refused("ssl_cafile (PEM text)", "cannot be used", ssl_cafile=cut.read_text())
    refused("ssl_crlfile=", "holds no list of revoked certificates", ssl_crlfile=c["ca.pem"])
    refused("ssl_crlfile=", "is a PKCS#12 store", ssl_crlfile=c["trust.p12"])
    refused("ssl_certfile=", "holds no private key, and ssl_keyfile is not set", ssl_certfile=c["client.crt"])
    both = {"ssl_certfile": c["client.crt"]}
    refused("ssl_keyfile=", "No such file", ssl_keyfile=gone, **both)
    refused("ssl_keyfile=", "holds no private key", ssl_keyfile=c["ca.pem"], **both)
    refused(
        "ssl_certfile=",
        "client.crt",
        "server.pem",
        "belongs to another certificate",
        ssl_keyfile=c["server.pem"],
        **both,
    )
    refused("ssl_certfile=", "cannot be used", ssl_certfile=str(cut), ssl_keyfile=c["client.key"])
    error = refused("ssl_keyfile (PEM text)", "holds no private key", ssl_keyfile=c.text("ca.pem"), **both)
    assert "BEGIN" not in str(error)
    # What is not understood may be the key itself.
    inside = base64.b64encode(c.text("client.key").encode())
    for given in (inside, inside.decode(), Path(c["client.p12"]).read_bytes(), der.read_bytes()):
        assert len(str(refused("ssl_keyfile (neither PEM text nor a path", ssl_keyfile=given, **both))) < 200
    one_line = c.text("ca.pem").replace("\n", " "), c.text("ca.pem").replace("\n", "\\n")
    for text in one_line:
        refused("ssl_cafile (PEM text): has lost its line breaks", ssl_cafile=text)
    odd = tmp_path / "\udcff.pem"  # bytes that are no UTF-8, as os.listdir() has them
    odd.write_bytes(Path(c["ca.pem"]).read_bytes())
    assert context(ssl_cafile=odd) and context(ssl_cafile=str(odd)) and context(ssl_cafile=os.fsencode(odd))
    refused("ssl_cafile cannot be written in UTF-8", ssl_cafile=c.text("ca.pem") + "\ud800")
    assert isinstance(error, (ValueError, KafkaConfigurationError))


def raises() -> str:
    raise OSError("the vault is closed")


@pytest.mark.parametrize(
    ("password", "said"),
    [
        (None, "is encrypted: set ssl_password"),
        ("", "is encrypted: set ssl_password"),
        ("hunter2", "ssl_password is not its password"),
        (lambda: b"hunter2", "ssl_password is not its password"),
        (raises, "the function that was given raised OSError: the vault is closed"),
        (lambda: 5, "it returned int"),
        ("hunter2" * 200, "1024 at most"),
        ("hunter2\ud800", "ssl_password cannot be written in UTF-8"),
    ],
)
def test_passwords_of_keys(certificates: Certificates, password: Any, said: str) -> None:
    encrypted = {"ssl_certfile": certificates["client.crt"], "ssl_keyfile": certificates["client-encrypted.key"]}
    error = refused(said, ssl_password=password, **encrypted)
    if "set ssl_password" in said or "is not its" in said:
        assert "ssl_keyfile=" in str(error) and "client-encrypted.key" in str(error)
    whole = certificates.text("client.crt") + certificates.text("client-encrypted.key")
    refused(said, ssl_password=password, ssl_certfile=whole)


def test_passwords_and_kinds_of_stores(certificates: Certificates) -> None:
    c = certificates
    refused("ssl_certfile=", "cannot be read without a password: set ssl_password", ssl_certfile=c["client.p12"])
    refused("client.p12", "ssl_password is not its", ssl_certfile=c["client.p12"], ssl_password="hunter2")
    refused("trust.p12", "set ssl_password", ssl_cafile=c["trust.p12"])
    refused("trust.p12", "ssl_cafile_password is not its", ssl_cafile=c["trust.p12"], ssl_cafile_password="hunter2",
            ssl_password=PASSWORD)  # fmt: skip
    refused("is it a trust store?", ssl_certfile=c["trust.p12"], ssl_password=PASSWORD)
    refused("leave ssl_keyfile out", ssl_certfile=c["client.p12"], ssl_keyfile=c["client.key"], ssl_password=PASSWORD)
    refused("ssl_keyfile=", "is a PKCS#12 store", ssl_certfile=c["client.crt"], ssl_keyfile=c["client.p12"])


def test_a_store_names_the_extra_that_reads_it(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.serialization", None)
    refused("trust.p12", "pip install kafka-turbo[pkcs12]", ssl_cafile=certificates["trust.p12"], ssl_password=PASSWORD)
    refused("client.p12", "pip install kafka-turbo[pkcs12]", ssl_certfile=certificates["client.p12"], ssl_password="x")


# -- files that change -------------------------------------------------------------------------------------------------


def copied(certificates: Certificates, folder: Path) -> Callable[..., None]:
    """A function that puts one of the certificates' files under another name into the folder."""

    def copy(name: str, to: str) -> None:
        new = folder / "new"
        new.write_text(certificates.text(name))
        new.replace(folder / to)

    return copy


def test_a_context_is_made_anew_when_files_have_changed(
    certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    copy = copied(certificates, tmp_path)
    copy("client.crt", "cert")
    copy("client-encrypted.key", "key")
    asked: list[None] = []

    def password() -> str:
        asked.append(None)
        return PASSWORD

    tls = ClientConfig({
        **SSL, "ssl_cafile": certificates["ca.pem"], "ssl_certfile": tmp_path / "cert", "ssl_keyfile": tmp_path / "key",
        "ssl_password": password,
    }).tls  # fmt: skip
    assert tls is not None
    first = tls.current()
    assert first is not None and tls.current() is first and len(asked) == 1

    copy("foreign.pem", "cert")  # and not its key
    assert tls.current() is None  # it has to be asked for
    assert tls.current() is first  # once; others need not wait
    assert tls.renewed() is first and len(asked) == 2
    assert tls.current() is first
    [record] = caplog.records
    assert record.levelname == "WARNING" and "belongs to another certificate" in record.getMessage()
    assert PASSWORD not in record.getMessage()

    copy("foreign.pem", "key")
    assert tls.current() is None
    second = tls.renewed()
    assert second is not first and tls.current() is second
    assert not has_certificate(second, certificates) and has_certificate(first, certificates)
    assert caplog.records[1].levelname == "INFO" and len(caplog.records) == 2

    (tmp_path / "key").unlink()
    assert tls.current() is None and tls.renewed() is second
    assert "No such file" in caplog.records[2].getMessage()


def test_text_and_a_context_of_the_users_own_never_change(certificates: Certificates) -> None:
    text = ClientConfig({**SSL, "ssl_cafile": certificates.text("ca.pem")}).tls
    assert text is not None and text.current() is text.current() is not None
