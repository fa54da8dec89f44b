"""The keys of a token endpoint, which every client has: Java's names, with `_` for its dots.

`sasl_oauthbearer_allow_http`, `sasl_oauthbearer_extensions` and `sasl_oauthbearer_ssl_cafile` are added.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from kafka.config.key import Configuration, Key, Kind, Unwanted, boolean, or_none
from kafka.config.security import file_or_text, known


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Unwanted
    return value


def _secret(value: Any) -> Any:
    if not isinstance(known(value), (str, os.PathLike)) and not callable(value):
        raise Unwanted
    return value


def _extensions(value: Any) -> Mapping[str, str]:
    from kafka.core.sasl.oauthbearer import is_extension

    if not isinstance(value, Mapping) or not all(is_extension(name, text) for name, text in value.items()):
        raise Unwanted
    return value


def _string(otherwise: str) -> Kind[Any]:
    return or_none(Kind("str", "a string", _text), otherwise)


class OAuthKeys(Configuration):
    TITLE = "Token endpoint"

    sasl_oauthbearer_token_endpoint_url = Key(
        or_none(Kind("str", "a URL that begins with https://", _text, secret=True), "no endpoint"),
        None,
        "Where the client gets its tokens, for OAUTHBEARER: the token endpoint of an OAuth 2.0 or OpenID Connect "
        "server. It takes the place of `sasl_oauth_token_provider`.",
    )
    sasl_oauthbearer_client_credentials_client_id = Key(
        _string("none"), None, "Who the client is to the token endpoint (KIP-768)."
    )
    sasl_oauthbearer_client_credentials_client_secret = Key(
        or_none(
            Kind(
                "str | os.PathLike[str] | Callable[[], str]",
                "a string, a pathlib.Path of a file that has it, a function that returns it",
                _secret,
                secret=True,
            ),
            "none",
        ),
        None,
        "The secret of that client. A file is read, and a function called, for each token, so a secret that has "
        "changed needs no new client.",
    )
    sasl_oauthbearer_scope = Key(
        _string("the endpoint's choice"),
        None,
        "What the token is to be good for: names with spaces between. Set it where the endpoint wants it.",
    )
    sasl_oauthbearer_header_urlencode = Key(
        boolean,
        False,
        "Whether id and secret are URL-encoded in the request's `Authorization`, as RFC 6749 has it and many endpoints "
        "do not expect. Set it where they have other characters than letters and digits, and are refused.",
    )
    sasl_oauthbearer_extensions = Key(
        or_none(
            Kind("Mapping[str, str]", "a dict of strings, whose names have letters only", _extensions, secret=True),
            "none",
        ),
        None,
        "What goes along with the token to brokers (KIP-342). Confluent Cloud wants `logicalCluster` and "
        "`identityPoolId`.",
    )
    sasl_oauthbearer_ssl_cafile = Key(
        file_or_text("the system's authorities"),
        None,
        "The authorities that are trusted to sign the endpoint's certificate, and no others; `ssl_cafile` is for "
        "brokers alone. Set it where an authority of your own has signed it. It is read for each token.",
    )
    sasl_oauthbearer_allow_http = Key(
        boolean,
        False,
        "Whether the token endpoint may be one without TLS, `http://`: everybody on the way then reads the client's "
        "secret and its tokens. Leave it, but for tests.",
    )
