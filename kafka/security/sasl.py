"""From configuration keys to the mechanism by which a client authenticates (SASL); what users' own code is called with.

Whatever is called here runs on a thread of its own: it may read clocks, ask servers, and take its time.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
import types
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka._log import Log
from kafka.core.sasl import Mechanism
from kafka.core.sasl.registered import Registered
from kafka.errors import ConfigurationValueError

if TYPE_CHECKING:
    from kafka.core.net.network import Network
    from kafka.core.sasl.oauthbearer import Token

log = Log("kafka.security")

Make = Callable[["Network"], Mechanism]

SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
BUILT_IN = ("PLAIN", *SCRAM, "OAUTHBEARER", "GSSAPI", "AWS_MSK_IAM")

_registered: dict[str, Any] = {}  # classes by name


class Settings(NamedTuple):
    """The configuration keys `sasl_*`, by the rest of their names."""

    mechanism: str
    plain_username: str | Callable[[], str] | None = None
    plain_password: str | Callable[[], str] | None = None
    scram_tokenauth: bool = False
    oauth_token_provider: Any = None
    kerberos_service_name: str = "kafka"
    kerberos_domain_name: str | None = None
    kerberos_name: Any = None

    def __repr__(self) -> str:
        return f"<{self.mechanism}>"  # not the password


def register(name: str, steps: Any, overwrite: bool = False) -> None:
    """Has `sasl_mechanism=name` use this class. See `kafka.net.sasl.SaslMechanism`."""
    if not overwrite and (name in _registered or name in BUILT_IN):
        raise ValueError(f"there is a SASL mechanism {name} already; pass overwrite=True to use another one")
    _registered[name] = steps


def maker(settings: Settings, values: Mapping[str, Any], given: Collection[str]) -> Make:
    """What makes the mechanism of a core. `values`: all keys of the client, for mechanisms of the user's own; `given`:
    those that have another value than their default.

    Raises ConfigurationValueError where what it needs was not given.
    """
    name = settings.mechanism
    if name in _registered:
        steps, config = _registered[name], dict(values)
        return lambda network: Registered(name, lambda host: steps(**{**config, "host": host}))
    if name not in BUILT_IN:
        raise ConfigurationValueError(
            f"sasl_mechanism must be {', '.join(BUILT_IN)}, or a registered one, not {name!r}."
        )
    if settings.scram_tokenauth and name not in SCRAM:
        raise ConfigurationValueError(f"sasl_scram_tokenauth is for {' and '.join(SCRAM)}, not for {name}.")
    for prefix, only in (("sasl_oauthbearer_", "OAUTHBEARER"), ("sasl_kerberos_", "GSSAPI")):
        others = [key for key in given if key.startswith(prefix)]
        if others and name != only:
            verb = "is" if len(others) == 1 else "are"
            raise ConfigurationValueError(f"{', '.join(others)} {verb} for sasl_mechanism {only!r}, not for {name}.")
    _tell_unused(name, given)
    if name == "GSSAPI":
        return _kerberos(settings)
    ours = [key for key in given if key.startswith("sasl_oauthbearer_")]
    if name == "OAUTHBEARER":
        from kafka.core.sasl.oauthbearer import OAuthBearer

        provide, what = _tokens(settings.oauth_token_provider, values, ours)
        return lambda network: OAuthBearer(network, provide, what)
    if name == "AWS_MSK_IAM":
        if values["security_protocol"] != "SASL_SSL":
            raise ConfigurationValueError(
                "sasl_mechanism 'AWS_MSK_IAM' needs security_protocol 'SASL_SSL': what is signed serves whoever reads "
                "it."
            )
        from kafka.core.sasl.aws import AwsMskIam
        from kafka.security.aws import Identity

        identity = Identity()
        return lambda network: AwsMskIam(network, identity.keys, identity.message)
    credentials = _credentials(settings)
    if name == "PLAIN":
        from kafka.core.sasl.plain import Plain

        return lambda network: Plain(network, credentials)
    from kafka.core.sasl.scram import Scram

    is_token = settings.scram_tokenauth
    return lambda network: Scram(network, name, credentials, _nonce, is_token=is_token)


def _tell_unused(name: str, given: Collection[str]) -> None:
    theirs = ["sasl_plain_username", "sasl_plain_password"] if name not in ("PLAIN", *SCRAM) else []
    theirs += ["sasl_oauth_token_provider"] if name != "OAUTHBEARER" else []
    if unused := [key for key in theirs if key in given]:
        log.warning("sasl_mechanism is %s, so nothing is done with %s", name, ", ".join(unused))


def _kerberos(settings: Settings) -> Make:
    from kafka.security.kerberos import Kerberos, package

    package()
    names = (settings.kerberos_service_name, settings.kerberos_domain_name, settings.kerberos_name)
    return lambda network: Registered("GSSAPI", lambda host: Kerberos(host, *names))


def _nonce() -> str:
    return secrets.token_urlsafe(24)


# -- user name and password --------------------------------------------------------------------------------------------


def _credentials(settings: Settings) -> tuple[str, str] | Callable[[], tuple[str, str]]:
    user, password = settings.plain_username, settings.plain_password
    for key, value in (("sasl_plain_username", user), ("sasl_plain_password", password)):
        if value is None:
            raise ConfigurationValueError(f"{key} is needed for sasl_mechanism {settings.mechanism!r}.")
        if not callable(value) and (wrong := _not_text(value)):
            raise ConfigurationValueError(f"{key} {wrong}.")
    if isinstance(user, str) and isinstance(password, str):
        return user, password
    return lambda: (_current("sasl_plain_username", user), _current("sasl_plain_password", password))


def _current(key: str, given: Any) -> str:
    value = given() if callable(given) else given
    if wrong := _not_text(value):
        raise ValueError(f"what {key} returned {wrong}")
    text: str = value
    return text


def _not_text(value: object) -> str | None:
    """What is wrong with a name or a password, without it."""
    if not isinstance(value, str):
        return f"must be a string, not {type(value).__name__}"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "cannot be written in UTF-8"
    return "must not be empty, nor have a NUL character in it" if not value or "\0" in value else None


# -- tokens ------------------------------------------------------------------------------------------------------------


def _tokens(provider: Any, values: Mapping[str, Any], ours: list[str]) -> tuple[Callable[[], Token], str]:
    """What is called for a token, and what that is, for error messages. `ours`: keys of an endpoint that are set."""
    if not ours:
        if provider is None:
            raise ConfigurationValueError(
                "sasl_oauth_token_provider is needed for sasl_mechanism 'OAUTHBEARER', or else "
                "sasl_oauthbearer_token_endpoint_url."
            )
        return _from_provider(provider), "sasl_oauth_token_provider"
    if provider is not None:
        raise ConfigurationValueError(
            f"sasl_oauth_token_provider is set, and so {'is' if len(ours) == 1 else 'are'} {', '.join(ours)}: tokens "
            "come from the one or from the others."
        )
    return _from_endpoint(values), "the token endpoint of sasl_oauthbearer_token_endpoint_url"


def _from_endpoint(values: Mapping[str, Any]) -> Callable[[], Token]:
    from kafka.core.sasl.oauthbearer import Token
    from kafka.security.oidc import PREFIX, Settings, TokenEndpoint

    settings = Settings(**{field: values[PREFIX + field] for field in Settings._fields})
    endpoint, extensions = TokenEndpoint(settings, expiry_of), dict(settings.extensions or {})
    return lambda: Token(*endpoint.token(), extensions)


def _from_provider(given: Any) -> Callable[[], Token]:
    from kafka.core.sasl.oauthbearer import Token

    method = getattr(given, "token", None)
    provide: Callable[[], Any] = method if callable(method) else given
    extensions = getattr(given, "extensions", None)

    def fetch() -> Token:
        value, expires = _read(provide())
        more = (extensions() if callable(extensions) else None) or {}
        if not all(isinstance(part, str) for pair in more.items() for part in pair):
            raise TypeError("extensions() has something in it that is no string")
        return Token(value, None if expires is None else expires - time.time(), dict(more))

    return fetch


def _read(found: Any) -> tuple[str, float | None]:
    """The token, and when it expires (seconds since the epoch) where that is known."""
    if isinstance(found, types.CoroutineType):
        found.close()
        raise TypeError("it is a coroutine function; a token is asked for on a thread of its own, where it may wait")
    if isinstance(found, tuple) and len(found) == 2:
        value, expires = found
    else:
        value, expires = found, None
    if not isinstance(value, str):
        raise TypeError(f"it returned a {type(value).__name__} where a token, a string, was wanted")
    if expires is None:
        return value, expiry_of(value)
    if isinstance(expires, bool) or not hasattr(expires, "__float__"):  # not its value, which may be another token
        raise TypeError(f"it returned a {type(expires).__name__} where the token's expiry, a number, was wanted")
    return value, float(expires)


def expiry_of(token: str) -> float | None:
    """What a JWT says of itself, unverified; None for what is no JWT, or says nothing."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
