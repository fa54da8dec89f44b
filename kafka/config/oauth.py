"""The keys of a token endpoint, which every client has: Java's names, with `_` for its dots.

`sasl_oauthbearer_allow_http`, `sasl_oauthbearer_extensions` and `sasl_oauthbearer_ssl_cafile` are added.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from kafka.config.key import Configuration, Key, Kind, Unwanted, boolean, choice, or_none, whole
from kafka.config.security import file_or_text, known


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Unwanted
    return value


def _hidden(value: Any) -> Any:
    if not isinstance(known(value), (str, os.PathLike)) and not callable(value):
        raise Unwanted
    return value


def _place(value: Any) -> Any:
    if not isinstance(value, (str, os.PathLike)) or not value:
        raise Unwanted
    return value


def _extensions(value: Any) -> Mapping[str, str]:
    from kafka.core.sasl.oauthbearer import is_extension

    if not isinstance(value, Mapping) or not all(is_extension(name, text) for name, text in value.items()):
        raise Unwanted
    return value


def _secret(otherwise: str) -> Kind[Any]:
    wanted = "a string, a pathlib.Path of a file that has it, a function that returns it"
    return or_none(Kind("str | os.PathLike[str] | Callable[[], str]", wanted, _hidden, secret=True), otherwise)


_RETRIEVERS = ("DefaultJwtRetriever", "ClientCredentialsJwtRetriever", "JwtBearerJwtRetriever")
_PACKAGE = "org.apache.kafka.common.security.oauthbearer."


def _retriever(value: Any) -> str:
    if not isinstance(value, str) or value.removeprefix(_PACKAGE) not in _RETRIEVERS:
        raise Unwanted
    return value


def _string(otherwise: str) -> Kind[Any]:
    return or_none(Kind("str", "a string", _text), otherwise)


def _path(otherwise: str) -> Kind[Any]:
    return or_none(Kind("str | os.PathLike[str]", "the path of a file", _place), otherwise)


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
        _secret("none"),
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
    sasl_oauthbearer_jwt_retriever_class = Key(
        Kind("str", f"{', '.join(map(repr, _RETRIEVERS))}, with Java's package before it or without", _retriever),
        "DefaultJwtRetriever",
        "How the token is asked for. The first two are client credentials (KIP-768): the client proves who it is with "
        "its secret or with an assertion (KIP-1258). 'JwtBearerJwtRetriever' shows an assertion on behalf of whom it "
        "names (KIP-1139).",
    )
    sasl_oauthbearer_assertion_private_key_file = Key(
        file_or_text("no assertion"),
        None,
        "The private key with which the client signs its assertion, a JWT. It takes `pip install kafka-turbo[pkcs12]`, "
        "and is read for each token.",
    )
    sasl_oauthbearer_assertion_private_key_passphrase = Key(
        _secret("a key that is not encrypted"),
        None,
        "The password of that key. It is got for each token.",
    )
    sasl_oauthbearer_assertion_algorithm = Key(
        choice("RS256", "ES256"), "RS256", "How the assertion is signed: by an RSA key, or by one of the curve P-256."
    )
    sasl_oauthbearer_assertion_claim_aud = Key(
        _string("none"), None, "For whom the assertion is: usually the endpoint's URL, or its issuer's."
    )
    sasl_oauthbearer_assertion_claim_iss = Key(
        _string("none"), None, "Who has made the assertion: for client credentials, the client's id."
    )
    sasl_oauthbearer_assertion_claim_sub = Key(
        _string("none"), None, "Whom the assertion is about: for client credentials, the client's id once more."
    )
    sasl_oauthbearer_assertion_claim_exp_seconds = Key(
        whole("seconds", 1),
        300,
        "How long the assertion is good. Raise it where the endpoint's clock is far from ours.",
    )
    sasl_oauthbearer_assertion_claim_nbf_seconds = Key(
        whole("seconds", 0), 60, "How long before now it begins to be good, for clocks that are behind."
    )
    sasl_oauthbearer_assertion_claim_jti_include = Key(
        boolean, False, "Whether each assertion has an id of its own. Set it where the endpoint wants one."
    )
    sasl_oauthbearer_assertion_template_file = Key(
        _path("nothing more"),
        None,
        'More for the assertion: a file with JSON such as `{"header": {"kid": "1"}, "payload": {"tenant": "a"}}`.',
    )
    sasl_oauthbearer_assertion_file = Key(
        _path("one that is signed here"),
        None,
        "A file with an assertion that somebody else makes and replaces in time. It is read for each token, and the "
        "other keys of assertions have no effect beside it.",
    )
