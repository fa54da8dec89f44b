"""The keys of security, which every client has. `ssl_cafile_password`, `ssl_minimum_version` and `sasl_scram_tokenauth`
are added to kafka-python's.

What is wrong with a file is found when the context is made, which is when the client is. No message has a value in it
that may be a secret, and `client.config` has none of the passwords.
"""

from __future__ import annotations

import os
from typing import Any

from kafka.config.key import Configuration, Key, Kind, Unwanted, boolean, choice, or_none

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")

PASSWORDS = (
    "ssl_password",
    "ssl_cafile_password",
    "sasl_plain_password",
    "sasl_oauthbearer_client_credentials_client_secret",
    "sasl_oauthbearer_assertion_private_key_passphrase",
)
_PRIVATE = "PRIVATE KEY-----"  # in the text of a key


class _Hidden:
    """Stands for a secret."""

    def __repr__(self) -> str:
        return "<hidden>"

    def __reduce__(self) -> str:
        return "HIDDEN"  # a copy of it is itself


HIDDEN = _Hidden()


def is_secret(name: str, value: Any) -> bool:
    """Whether the value of this key is not shown: a password, a URL with one, or a private key instead of its file."""
    if name in PASSWORDS:
        return value is not None
    if name in ("proxy_url", "socks5_proxy"):
        return value is not None and "@" in value
    if name == "sasl_oauthbearer_token_endpoint_url":
        return value is not None and "?" in value
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    return isinstance(text, str) and _PRIVATE in text


def known(value: Any) -> Any:
    """Not what stands for a secret."""
    if value is HIDDEN:
        raise Unwanted(" was given what stands for it in the `config` of another client: give the real one.")
    return value


def _context(value: Any) -> Any:
    if not hasattr(value, "wrap_bio"):
        raise Unwanted
    return value


def _material(value: Any) -> Any:
    if not isinstance(known(value), (str, bytes, os.PathLike)) or not value:
        raise Unwanted
    return value


def _secret(value: Any) -> Any:
    if not isinstance(known(value), (str, bytes, bytearray)) and not callable(value):
        raise Unwanted
    return value


def _text(value: Any) -> Any:
    if not isinstance(known(value), str) and not callable(value):
        raise Unwanted
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Unwanted
    return value


def _kerberos_name(value: Any) -> Any:
    if not (isinstance(value, str) and value) and not any(
        c.__module__.split(".")[0] == "gssapi" for c in type(value).__mro__
    ):
        raise Unwanted
    return value


def _provider(value: Any) -> Any:
    if isinstance(value, type) or not (callable(value) or callable(getattr(value, "token", None))):
        raise Unwanted
    return value


def _ciphers(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Unwanted
    return value


def file_or_text(otherwise: str) -> Kind[Any]:
    wanted = "the path of a file, PEM text ('-----BEGIN ...')"
    return or_none(Kind("str | bytes | os.PathLike[str]", wanted, _material, secret=True), otherwise)


def _password(otherwise: str) -> Kind[Any]:
    wanted = "a string, bytes, a function that returns one of them"
    hint = "str | bytes | bytearray | Callable[[], str | bytes | bytearray]"
    return or_none(Kind(hint, wanted, _secret, secret=True), otherwise)


def _text_or_function(otherwise: str) -> Kind[Any]:
    wanted = "a string, a function that returns one"
    return or_none(Kind("str | Callable[[], str]", wanted, _text, secret=True), otherwise)


class SecurityKeys(Configuration):
    TITLE = "Security"

    security_protocol = Key(
        choice(*PROTOCOLS),
        "PLAINTEXT",
        "Whether connections are encrypted (SSL), and whether the client authenticates (SASL). Set it to what the "
        "brokers' listener has.",
    )
    ssl_cafile = Key(
        file_or_text("the system's authorities"),
        None,
        "The authorities that are trusted, and no others. Any certificate in it is trusted, an intermediate one or the "
        "broker's own too, as in Java. It may be a PKCS#12 trust store. Set it where the brokers' certificates are "
        "signed by an authority of your own.",
    )
    ssl_cafile_password = Key(
        _password("`ssl_password`"), None, "The password of `ssl_cafile`, where that is a PKCS#12 store."
    )
    ssl_certfile = Key(
        file_or_text("no certificate"),
        None,
        "The client's certificate, with those that vouch for it behind it, or a PKCS#12 key store. Set it where "
        "brokers want to know who the client is (`ssl.client.auth`).",
    )
    ssl_keyfile = Key(
        file_or_text("one that is in `ssl_certfile`"),
        None,
        "The client's private key. Set it where it has a file of its own.",
    )
    ssl_password = Key(
        _password("a key that is not encrypted"),
        None,
        "The password of the private key. A function is called when the client is made, and when files have changed, "
        "so it can ask a vault.",
    )
    ssl_crlfile = Key(
        file_or_text("no list"),
        None,
        "Revoked certificates: a list of each authority that signs brokers' certificates. Set it where certificates "
        "are revoked.",
    )
    ssl_check_hostname = Key(
        boolean,
        True,
        "Whether the broker's certificate must be for the name that the client connects to. With False it must still "
        "be of a trusted authority; no key turns that off. Leave it.",
    )
    ssl_ciphers = Key(
        or_none(Kind("str", "a string of OpenSSL's, such as 'ECDHE+AESGCM'", _ciphers, secret=True), "its default"),
        None,
        "Cipher suites for TLS 1.2; those of TLS 1.3 are always there. Set it where a policy asks for it.",
    )
    ssl_minimum_version: Key[str] = Key(
        choice("TLSv1.2", "TLSv1.3"),
        "TLSv1.2",
        "The oldest version of TLS that is spoken. Set it to 'TLSv1.3' where all brokers have that.",
    )
    ssl_context = Key(
        or_none(Kind("ssl.SSLContext", "an ssl.SSLContext", _context, secret=True), "one that is made of the others"),
        None,
        "A context of your own, which has the last word: the other `ssl_` keys have no effect beside it, and it is "
        "used as it is. Set it for what no key says.",
    )
    sasl_mechanism = Key(
        or_none(Kind("str", "a mechanism's name, such as 'SCRAM-SHA-512'", _name), "no SASL"),
        None,
        "How the client proves who it is, where `security_protocol` begins with SASL: PLAIN, SCRAM-SHA-256, "
        "SCRAM-SHA-512, OAUTHBEARER, GSSAPI, AWS_MSK_IAM, or one that was registered. Set it to one that the brokers' "
        "listener offers.",
    )
    sasl_plain_username = Key(
        _text_or_function("no user"),
        None,
        "The user's name, for PLAIN and SCRAM. A function is called for each connection.",
    )
    sasl_plain_password = Key(
        _text_or_function("no password"),
        None,
        "The user's password, for PLAIN and SCRAM. A function is called for each connection, on a thread of its own, "
        "so a password that has changed needs no new client.",
    )
    sasl_scram_tokenauth = Key(
        boolean,
        False,
        "Whether user name and password are the id and the HMAC (in base64) of a delegation token, for SCRAM.",
    )
    sasl_kerberos_name = Key(
        or_none(Kind("Any", "a gssapi.Name, a string such as 'kafka@host'", _kerberos_name), "the two below"),
        None,
        "The name of all brokers in Kerberos, for GSSAPI. Set it where `sasl_kerberos_service_name` and "
        "`sasl_kerberos_domain_name` cannot say it.",
    )
    sasl_kerberos_service_name = Key(
        Kind("str", "a string", _name),
        "kafka",
        "The brokers' service in Kerberos, for GSSAPI. Set it to their `sasl.kerberos.service.name`.",
    )
    sasl_kerberos_domain_name = Key(
        or_none(Kind("str", "a string", _name), "the broker's host"),
        None,
        "The brokers' host in Kerberos, for GSSAPI. Set it where that is not the one they advertise.",
    )
    sasl_oauth_token_provider = Key(
        or_none(
            Kind(
                "AbstractTokenProvider | Callable[[], str | tuple[str, float]]",
                "an object with a method token(), a function that returns a token",
                _provider,
                secret=True,
            ),
            "no tokens",
        ),
        None,
        "What gives the client its tokens, for OAUTHBEARER. It is called on a thread of its own, when there is no "
        "token and before one expires.",
    )
