"""Certificates and keys as users have them: files or text, PEM or PKCS#12; and what is wrong with them, in words.

OpenSSL says "PEM lib" for most mistakes, so what can be told from the bytes is looked at before it sees them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from kafka.errors import ConfigurationValueError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates

# What `ssl_password` may be. A function is called each time that the password is needed.
Secret = str | bytes | bytearray | Callable[[], str | bytes | bytearray]

CERTIFICATE = (
    b"-----BEGIN CERTIFICATE-----",
    b"-----BEGIN TRUSTED CERTIFICATE-----",
    b"-----BEGIN X509 CERTIFICATE-----",
)
PRIVATE_KEY = (b"PRIVATE KEY-----",)
REVOCATIONS = (b"-----BEGIN X509 CRL-----",)

_PEM = "-----BEGIN "
_JKS = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")  # Java's own kinds of key store
_LONGEST_PASSWORD = 1024  # of OpenSSL's
_LONGEST_PATH = 255  # that is shown
_JWT = "eyJ"  # what the base64 of a JSON object begins with


class Source(NamedTuple):
    """Where some of it comes from: the configuration key, and its value, a path or the PEM text itself."""

    key: str
    value: str | bytes | os.PathLike[str]

    @property
    def is_text(self) -> bool:
        value = self.value
        return _PEM in value if isinstance(value, str) else isinstance(value, bytes) and _PEM.encode() in value

    def __str__(self) -> str:
        if self.is_text:
            return f"{self.key} (PEM text)"
        path = os.fsdecode(self.value)
        # What is no path may be the secret itself, in a form that is not understood.
        if "\0" in path or len(path) > _LONGEST_PATH or path.startswith(_JWT):
            return f"{self.key} (neither PEM text nor a path, of length {len(path)})"
        return f"{self.key}={path!r}"

    def read(self) -> bytes:
        if self.is_text:
            return encoded(self.key, self.value)  # type: ignore[arg-type]
        try:
            with open(self.value, "rb") as file:
                return file.read()
        except (OSError, ValueError) as error:  # a path with a NUL
            said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise self.wrong(f"cannot be read: {said}") from error

    def stamp(self) -> tuple[int, ...] | None:
        """Differs once another file is there. None: there is none, or it is text, which does not change."""
        if self.is_text:
            return None
        try:
            found = os.stat(self.value)
        except (OSError, ValueError):
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def wrong(self, what: str) -> ConfigurationValueError:
        return ConfigurationValueError(f"{self}: {what}.")


def encoded(key: str, value: str | bytes) -> bytes:
    """Without the value in the error, a ConfigurationValueError."""
    try:
        return value.encode() if isinstance(value, str) else value
    except UnicodeEncodeError:
        raise ConfigurationValueError(f"{key} cannot be written in UTF-8.") from None


def pem(source: Source, data: bytes, wanted: tuple[bytes, ...], called: str) -> bytes:
    """`data`, where it is PEM and has one of these marks, which begin what is `called` so."""
    for mark in wanted:
        if mark in data:
            if not data.partition(mark)[2].lstrip(b" \t").startswith((b"\n", b"\r")):
                raise source.wrong(
                    "has lost its line breaks: '-----BEGIN ...-----' is a line of its own, and what follows is, too"
                )
            return data
    if data.startswith(_JKS):
        raise source.wrong(
            "is a Java key store (JKS), which only Java reads; this makes a PKCS#12 store of it: "
            "keytool -importkeystore -srckeystore OLD -destkeystore NEW.p12 -deststoretype PKCS12"
        )
    if is_pkcs12(data):
        raise source.wrong(f"is a PKCS#12 store; {source.key} takes PEM ({called})")
    if data.startswith(b"\x30"):
        raise source.wrong(f"is DER; {source.key} takes PEM: openssl x509 -inform der -in OLD -out NEW.pem converts it")
    if _PEM.encode() not in data:
        raise source.wrong("is not PEM: no line of it begins with '-----BEGIN '")
    raise source.wrong(f"holds no {called}")


def is_pkcs12(data: bytes) -> bool:
    """A sequence that begins with the version, the number 3; a certificate's begins with another sequence."""
    if data[:1] != b"\x30" or len(data) < 16:
        return False
    header = 2 if data[1] <= 0x80 else 2 + (data[1] & 0x7F)
    return data[header : header + 3] == b"\x02\x01\x03"


def password(key: str, secret: Secret | None) -> bytes | None:
    """The password itself; None where there is none. It is never in an error's text."""
    value = secret
    if callable(value):
        try:
            value = value()
        except Exception as error:
            raise ConfigurationValueError(
                f"{key}: the function that was given raised {type(error).__name__}: {error}"
            ) from error
    if isinstance(value, str):
        value = encoded(key, value)
    if value is not None and not isinstance(value, (bytes, bytearray)):
        raise ConfigurationValueError(
            f"{key} must be a string, bytes, or a function that returns one of them; it returned "
            f"{type(value).__name__}."
        )
    if value is not None and len(value) > _LONGEST_PASSWORD:
        raise ConfigurationValueError(f"{key} has {len(value)} bytes; OpenSSL takes {_LONGEST_PASSWORD} at most.")
    return bytes(value) if value else None


# -- PKCS#12 -----------------------------------------------------------------------------------------------------------


def key_store(source: Source, data: bytes, key: str, secret: Secret | None) -> tuple[bytes, bytes]:
    """The private key and its certificates, as PEM; the key encrypted with the password that is returned, too."""
    store = _open(source, data, key, secret)
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    if store.key is None or store.cert is None:
        raise source.wrong("holds no private key: is it a trust store? Those go into ssl_cafile")
    ours = os.urandom(16).hex().encode()
    parts = [store.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(ours))]
    for each in (store.cert, *store.additional_certs):
        parts.append(each.certificate.public_bytes(Encoding.PEM))
    return b"".join(parts), ours


def trust_store(source: Source, data: bytes, key: str, secret: Secret | None) -> bytes:
    """Every certificate in it, as PEM."""
    store = _open(source, data, key, secret)
    from cryptography.hazmat.primitives.serialization import Encoding

    certificates = [store.cert, *store.additional_certs] if store.cert is not None else store.additional_certs
    if not certificates:
        raise source.wrong("holds no certificate")
    return b"".join(each.certificate.public_bytes(Encoding.PEM) for each in certificates)


def _open(source: Source, data: bytes, key: str, secret: Secret | None) -> PKCS12KeyAndCertificates:
    try:
        from cryptography.hazmat.primitives.serialization import pkcs12
    except ImportError as error:
        raise source.wrong(
            "is a PKCS#12 store, and reading one takes the package cryptography: pip install kafka-turbo[pkcs12]"
        ) from error
    opens = password(key, secret)
    try:
        return pkcs12.load_pkcs12(data, opens)
    except Exception as error:  # a ValueError for nearly everything; some stores have parts that it does not know
        if opens is None:
            raise source.wrong(f"cannot be read without a password: set {key}") from error
        raise source.wrong(f"cannot be read: {key} is not its password, or the store is damaged ({error})") from error


# -- for OpenSSL -------------------------------------------------------------------------------------------------------


@contextmanager
def as_file(data: bytes) -> Iterator[str]:
    """The path of a file with these bytes, for what OpenSSL takes from files only. In memory, where the system can."""
    descriptor = _in_memory(data)
    if descriptor is not None:
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile(prefix="kafka-") as file:  # for its owner alone
        file.write(data)
        file.flush()
        yield file.name


def _in_memory(data: bytes) -> int | None:
    if not hasattr(os, "memfd_create"):
        return None
    try:
        descriptor = os.memfd_create("kafka")
    except OSError:
        return None
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        with open(f"/proc/self/fd/{descriptor}", "rb"):  # not everywhere is there a /proc that one may look into
            return descriptor
    except OSError:
        os.close(descriptor)
        return None
