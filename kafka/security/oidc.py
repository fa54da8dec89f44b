"""Tokens from a token endpoint (OAuth 2.0, OpenID Connect), with what the keys `sasl_oauthbearer_*` say.

Client credentials: KIP-768, RFC 6749 section 4.4.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from kafka.errors import ConfigurationValueError, CredentialsError
from kafka.security.endpoint import Question, address_of, ask, context_of
from kafka.security.secret import Given, Secret

PREFIX = "sasl_oauthbearer_"
CLIENT_ID, CLIENT_SECRET = PREFIX + "client_credentials_client_id", PREFIX + "client_credentials_client_secret"
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
    ssl_cafile: str | bytes | os.PathLike[str] | None = None

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
        self._client = _ClientSecret(settings)
        self._context()

    def __repr__(self) -> str:
        return f"<token endpoint {self._address.named}>"

    def token(self) -> tuple[str, float | None]:
        """A token, and for how many seconds it is good, where that is known. Blocks.

        Raises CredentialsError, ConfigurationValueError, and what functions of the user's raise.
        """
        question = self._client.question()
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


class _ClientSecret:
    """Client credentials, with a secret that both sides know."""

    def __init__(self, settings: Settings) -> None:
        id, secret = settings.client_credentials_client_id, settings.client_credentials_client_secret
        for key, value in ((CLIENT_ID, id), (CLIENT_SECRET, secret)):
            if value is None:
                raise ConfigurationValueError(f"{key} is needed for {PREFIX}token_endpoint_url.")
        assert id is not None and secret is not None
        if ":" in id and not settings.header_urlencode:
            raise ConfigurationValueError(f"{CLIENT_ID} has a colon in it: that takes {PREFIX}header_urlencode=True.")
        self._id = id
        self._secret = Secret(CLIENT_SECRET, secret)
        self._scope = settings.scope
        self._is_encoded = settings.header_urlencode
        if not self._secret.is_asked_for:
            self._secret.read()

    def __repr__(self) -> str:
        return "<client secret>"

    def question(self) -> Question:
        secret = self._secret.read()
        pair = (quote_plus(self._id), quote_plus(secret)) if self._is_encoded else (self._id, secret)
        basic = base64.b64encode(":".join(pair).encode()).decode()
        form = {"grant_type": "client_credentials"}
        if self._scope is not None:
            form["scope"] = self._scope
        hidden = (basic, secret, *pair[1:])
        return Question(form, {"Authorization": f"Basic {basic}"}, hidden, f"{CLIENT_ID} and {CLIENT_SECRET}")
