"""Tokens from a token endpoint (OAuth 2.0, OpenID Connect), with what the keys `sasl_oauthbearer_*` say.

Client credentials (KIP-768, RFC 6749 section 4.4), with a secret or with an assertion (KIP-1258, RFC 7523 section 2.2);
and an assertion as the grant itself, on behalf of somebody (JWT bearer: KIP-1139, RFC 7523 section 2.1).
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from kafka._log import Log
from kafka.errors import ConfigurationValueError, CredentialsError
from kafka.security.assertion import AssertionFile, SignedAssertion, assertion_of
from kafka.security.endpoint import Question, address_of, ask, context_of
from kafka.security.secret import Given, Secret

log = Log("kafka.security")

PREFIX = "sasl_oauthbearer_"
CLIENT_ID, CLIENT_SECRET = PREFIX + "client_credentials_client_id", PREFIX + "client_credentials_client_secret"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
Path = str | bytes | os.PathLike[str]
_MOST_SECONDS = 10 * 365 * 86400.0


class Settings(NamedTuple):
    """The configuration keys `sasl_oauthbearer_*`, by the rest of their names."""

    token_endpoint_url: str | None = None
    client_credentials_client_id: str | None = None
    client_credentials_client_secret: Given | None = None
    scope: str | None = None
    header_urlencode: bool = False
    extensions: Mapping[str, str] | None = None
    allow_http: bool = False
    ssl_cafile: Path | None = None
    jwt_retriever_class: str = "DefaultJwtRetriever"
    assertion_algorithm: str = "RS256"
    assertion_private_key_file: Path | None = None
    assertion_private_key_passphrase: Given | None = None
    assertion_file: Path | None = None
    assertion_template_file: Path | None = None
    assertion_claim_aud: str | None = None
    assertion_claim_iss: str | None = None
    assertion_claim_sub: str | None = None
    assertion_claim_exp_seconds: int = 300
    assertion_claim_nbf_seconds: int = 60
    assertion_claim_jti_include: bool = False

    def __repr__(self) -> str:
        return "<Settings>"  # not the secrets

    @property
    def names(self) -> list[str]:
        """The keys that are set."""
        return [PREFIX + name for name in self._fields if getattr(self, name) != self._field_defaults[name]]


class TokenEndpoint:
    """Raises ConfigurationValueError where something is missing, or a file cannot be used."""

    def __init__(self, settings: Settings, expiry_of: Callable[[str], float | None]) -> None:
        """`expiry_of`: what a token says of itself, seconds since the epoch."""
        if settings.token_endpoint_url is None:
            raise ConfigurationValueError(
                f"{PREFIX}token_endpoint_url is not set, so {', '.join(settings.names)} would do nothing."
            )
        self._settings = settings
        self._expiry_of = expiry_of
        self._address = address_of(settings.token_endpoint_url, http=settings.allow_http)
        self._grant = _grant(settings)
        self._context()

    def __repr__(self) -> str:
        return f"<token endpoint {self._address.named}>"

    def token(self) -> tuple[str, float | None]:
        """A token, and for how many seconds it is good, where that is known. Blocks.

        Raises CredentialsError, ConfigurationValueError, and what functions of the user's raise.
        """
        question = self._grant.question()
        context = self._context()
        asked_at = time.monotonic()
        answer = ask(self._address, context, question)
        return self._read(answer, time.monotonic() - asked_at)

    def _context(self) -> Any:
        """Made anew for each token: its file may have changed."""
        return context_of(self._settings.ssl_cafile) if self._address.is_https else None

    def _read(self, answer: Mapping[str, Any], took: float) -> tuple[str, float | None]:
        token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
        if not isinstance(token, str) or not token:
            raise self._unusable("has no access_token in it", f"Check {PREFIX}token_endpoint_url.")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise self._unusable("is a token of another type than Bearer", "Brokers take no other.")
        given = _seconds(answer.get("expires_in"))
        expires = self._expiry_of(token)
        said = None if expires is None else expires - time.time()
        if given is None:
            if said is not None and said <= 0:
                raise self._unusable(
                    f"is a token that expired {-said:.0f} s ago",
                    "The endpoint gives out tokens that it made long ago; or this machine's clock is wrong.",
                )
            return token, said
        # An endpoint behind a cache says the same of each token. By a wrong clock a token's own expiry is in the past,
        # which says nothing of what brokers think of it.
        left = given - took
        return token, min(left, said) if said is not None and said > 0 else left

    def _unusable(self, what: str, hint: str) -> CredentialsError:
        error = CredentialsError(f"The token endpoint {self._address.named} failed in stage answer: it {what}.")
        error.hint = hint
        return error


def _seconds(given: Any) -> float | None:
    """None: it does not say. Some write the number as text."""
    try:
        seconds = float(given)
    except (TypeError, ValueError, OverflowError):
        return None
    return min(seconds, _MOST_SECONDS) if seconds > 0 else None


# -- what is asked -----------------------------------------------------------------------------------------------------


def _grant(settings: Settings) -> _ClientSecret | _Assertion:
    assertion = assertion_of(settings)
    if settings.jwt_retriever_class.endswith("JwtBearerJwtRetriever"):
        if assertion is None:
            raise ConfigurationValueError(
                f"{PREFIX}jwt_retriever_class 'JwtBearerJwtRetriever' needs an assertion: set "
                f"{PREFIX}assertion_private_key_file or {PREFIX}assertion_file."
            )
        _ignored(settings, "client_credentials_", "JwtBearerJwtRetriever shows an assertion alone")
        return _Assertion({"grant_type": _JWT_BEARER}, "assertion", assertion, settings)
    if assertion is None:
        return _ClientSecret(settings)
    _ignored(settings, "client_credentials_client_secret", "the client shows an assertion in place of its secret")
    form = {"grant_type": "client_credentials", "client_assertion_type": _CLIENT_ASSERTION}
    if settings.client_credentials_client_id is not None:
        form["client_id"] = settings.client_credentials_client_id
    return _Assertion(form, "client_assertion", assertion, settings)


def _ignored(settings: Settings, beginning: str, why: str) -> None:
    if ours := [name for name in settings.names if name.startswith(PREFIX + beginning)]:
        log.warning("%s: %s has no effect", why, ", ".join(ours))


class _ClientSecret:
    """Client credentials, with a secret that both sides know."""

    def __init__(self, settings: Settings) -> None:
        id, secret = settings.client_credentials_client_id, settings.client_credentials_client_secret
        if id is None:
            raise ConfigurationValueError(f"{CLIENT_ID} is needed for {PREFIX}token_endpoint_url.")
        if secret is None:
            raise ConfigurationValueError(
                f"{CLIENT_SECRET} is needed for {PREFIX}token_endpoint_url, or {PREFIX}assertion_private_key_file, or "
                f"{PREFIX}assertion_file."
            )
        if ":" in id and not settings.header_urlencode:
            raise ConfigurationValueError(f"{CLIENT_ID} has a colon in it: that takes {PREFIX}header_urlencode=True.")
        self._id = id
        self._secret = Secret(CLIENT_SECRET, secret)
        self._form = {"grant_type": "client_credentials", **_scope(settings)}
        self._is_encoded = settings.header_urlencode
        if not self._secret.is_asked_for:
            self._secret.read()

    def __repr__(self) -> str:
        return "<client secret>"

    def question(self) -> Question:
        secret = self._secret.read()
        pair = (quote_plus(self._id), quote_plus(secret)) if self._is_encoded else (self._id, secret)
        basic = base64.b64encode(":".join(pair).encode()).decode()
        hidden = (basic, secret, *pair[1:])
        return Question(self._form, {"Authorization": f"Basic {basic}"}, hidden, f"{CLIENT_ID} and {CLIENT_SECRET}")


class _Assertion:
    """Whoever has the key of the assertion, which is `field` of the form."""

    def __init__(
        self, form: Mapping[str, str], field: str, assertion: AssertionFile | SignedAssertion, settings: Settings
    ) -> None:
        self._form = {**form, **_scope(settings)}
        self._field = field
        self._assertion = assertion

    def __repr__(self) -> str:
        return f"<{self._field}>"

    def question(self) -> Question:
        assertion = self._assertion.make()
        return Question({**self._form, self._field: assertion}, {}, (assertion,), self._assertion.keys)


def _scope(settings: Settings) -> dict[str, str]:
    return {} if settings.scope is None else {"scope": settings.scope}
