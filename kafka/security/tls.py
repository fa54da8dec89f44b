"""The SSL context of a client's connections: the user's own, or made of what is configured, and anew when files change.

There is one per client, not one per connection: with the system's CAs, making one takes 40 ms.
"""

from __future__ import annotations

import os
import re
import ssl
from typing import NamedTuple

from kafka._log import Log
from kafka.errors import ConfigurationValueError
from kafka.security import material
from kafka.security.material import CERTIFICATE, PRIVATE_KEY, REVOCATIONS, Secret, Source

log = Log("kafka.security")

Given = str | bytes | os.PathLike[str]  # a path, or PEM text

MINIMUM_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


class Settings(NamedTuple):
    """The configuration keys `ssl_*`, by the rest of their names."""

    context: ssl.SSLContext | None = None
    check_hostname: bool = True
    cafile: Given | None = None
    cafile_password: Secret | None = None
    certfile: Given | None = None
    keyfile: Given | None = None
    password: Secret | None = None
    crlfile: Given | None = None
    ciphers: str | None = None
    minimum_version: str = "TLSv1.2"

    def __repr__(self) -> str:
        return "<Settings>"  # not the passwords

    def source(self, name: str) -> Source | None:
        value = getattr(self, name)
        return None if value is None else Source(f"ssl_{name}", value)


class Contexts:
    """Where a client's connections get their context.

    Raises ConfigurationValueError, which says what is wrong with which key or file.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        names = () if settings.context is not None else ("cafile", "certfile", "keyfile", "crlfile")
        self._files = [source for name in names if (source := settings.source(name)) is not None]
        self._seen = self._look()
        self._context = build(settings)

    def current(self) -> ssl.SSLContext | None:
        """The context, at once. None where files have changed: then, once, it is for the caller to ask `renewed`."""
        found = self._look()
        if found == self._seen:
            return self._context
        self._seen = found
        return None

    def renewed(self) -> ssl.SSLContext:
        """The context, made anew. That may take a while, and runs the user's `ssl_password`. For any thread.

        Files that make no context (half of them have been replaced, say) are told of in the log; until they change
        again, connections are made with the context of before.
        """
        names = ", ".join(source.key for source in self._files)
        try:
            self._context = build(self._settings)
            log.info("the files of %s have changed: new connections are made with them", names)
        except BaseException as error:  # the user's function may raise anything
            log.warning(
                "the files of %s have changed and are of no use, so connections are made as before: %s", names, error
            )
        return self._context

    def _look(self) -> list[tuple[int, ...] | None]:
        return [source.stamp() for source in self._files]


def build(settings: Settings) -> ssl.SSLContext:
    """A client's context. Raises ConfigurationValueError."""
    if settings.context is not None:
        return _checked(settings.context)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it verifies certificates, and names
    context.check_hostname = settings.check_hostname
    context.minimum_version = MINIMUM_VERSIONS[settings.minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    # What is in ssl_cafile is trusted, whether or not it is a root: as in Java, and as Python does from 3.13 on.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if settings.ciphers is not None:
        try:
            context.set_ciphers(settings.ciphers)
        except (ssl.SSLError, ValueError) as error:  # a ValueError: not ASCII, or a NUL
            raise ConfigurationValueError(
                f"ssl_ciphers: there is no cipher suite in {settings.ciphers!r}. It takes OpenSSL's names of those for "
                "TLS 1.2; the suites of TLS 1.3 are always there."
            ) from error
    _load_authorities(context, settings)
    _load_revocations(context, settings)
    _load_own_certificate(context, settings)
    return context


def _checked(context: ssl.SSLContext) -> ssl.SSLContext:
    """The user's own, which stays as it is."""
    try:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    except ssl.SSLError as error:  # one for servers
        raise ConfigurationValueError(f"ssl_context is not for clients: {words(error)}.") from error
    return context


def _load_authorities(context: ssl.SSLContext, settings: Settings) -> None:
    source = settings.source("cafile")
    if source is None:
        context.load_default_certs()
        return
    data = source.read()
    if material.is_pkcs12(data):
        own = settings.cafile_password is not None
        key, secret = ("ssl_cafile_password", settings.cafile_password) if own else ("ssl_password", settings.password)
        data = material.trust_store(source, data, key, secret)
    load(context, source, material.pem(source, data, CERTIFICATE, "certificate"))


def _load_revocations(context: ssl.SSLContext, settings: Settings) -> None:
    source = settings.source("crlfile")
    if source is not None:
        load(context, source, material.pem(source, source.read(), REVOCATIONS, "list of revoked certificates"))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def load(context: ssl.SSLContext, source: Source, data: bytes) -> None:
    """Has it trust these certificates, or know these revocations. Raises ConfigurationValueError."""
    try:
        with material.as_file(data) as path:
            context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise source.wrong(f"cannot be used: {words(error)}") from error


def _load_own_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    source, key_source, secret = settings.source("certfile"), settings.source("keyfile"), settings.password
    if source is None:
        if key_source is not None:
            raise ConfigurationValueError("ssl_keyfile is set, and ssl_certfile, the certificate of that key, is not.")
        return
    data = source.read()
    if material.is_pkcs12(data):
        if key_source is not None:
            raise source.wrong("is a PKCS#12 store, which has the key, too: leave ssl_keyfile out")
        data, secret = material.key_store(source, data, "ssl_password", secret)
    material.pem(source, data, CERTIFICATE, "certificate")
    if key_source is not None:
        key_data = material.pem(key_source, key_source.read(), PRIVATE_KEY, "private key")
    elif any(mark in data for mark in PRIVATE_KEY):
        key_source, key_data = source, data
    else:
        raise source.wrong("holds no private key, and ssl_keyfile is not set")
    asked = False

    def password() -> bytes:  # without it OpenSSL would ask on the terminal, and wait
        nonlocal asked
        asked = True
        found = material.password("ssl_password", secret)
        if found is None:
            raise key_source.wrong("is encrypted: set ssl_password")
        return found

    try:
        with material.as_file(data) as path, material.as_file(key_data) as key_path:
            context.load_cert_chain(path, key_path, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            what = "in the same text" if key_source == source else f"in {key_source}"
            raise source.wrong(f"the private key {what} belongs to another certificate") from error
        if asked:
            raise key_source.wrong("cannot be decrypted: ssl_password is not its password") from error
        both = source if key_source == source else f"{source} with {key_source}"
        raise ConfigurationValueError(f"{both}: cannot be used: {words(error)}.") from error


def words(error: ssl.SSLError) -> str:
    """What OpenSSL says, without where in its sources and ours it says so."""
    return re.sub(r"^\[[^]]*\] ?| ?\(_ssl\.c:\d+\)$", "", error.strerror or str(error))
