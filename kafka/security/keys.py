"""The configuration keys about TLS: how each is checked, and what they mean together.

What is wrong with a file is found when the context is made, which is when the client is. No message has a value in it
that may be a secret.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from kafka._log import Log
from kafka.errors import ConfigurationValueError

if TYPE_CHECKING:
    from kafka.security.tls import Contexts

log = Log("kafka.security")


def _wrong(key: str, wanted: str, value: Any) -> ConfigurationValueError:
    shown = "an empty one" if value in ("", b"") else type(value).__name__
    return ConfigurationValueError(f"{key} must be {wanted}, not {shown}.")


def _context(key: str, value: Any) -> Any:
    if value is not None and not hasattr(value, "wrap_bio"):
        raise _wrong(key, "an ssl.SSLContext", value)
    return value


def _material(key: str, value: Any) -> Any:
    if value is not None and (not isinstance(value, (str, bytes, os.PathLike)) or not value):
        raise _wrong(key, "the path of a file, PEM text ('-----BEGIN ...'), or None", value)
    return value


def _secret(key: str, value: Any) -> Any:
    if value is not None and not isinstance(value, (str, bytes, bytearray)) and not callable(value):
        raise _wrong(key, "a string, bytes, a function that returns one of them, or None", value)
    return value


def _ciphers(key: str, value: Any) -> Any:
    if value is not None and (not isinstance(value, str) or not value):
        raise _wrong(key, "a string of OpenSSL's, such as 'ECDHE+AESGCM', or None", value)
    return value


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "ssl_context": _context,
    "ssl_cafile": _material,
    "ssl_cafile_password": _secret,
    "ssl_certfile": _material,
    "ssl_keyfile": _material,
    "ssl_password": _secret,
    "ssl_crlfile": _material,
    "ssl_ciphers": _ciphers,
}
_KEYS = (*CHECKS, "ssl_check_hostname", "ssl_minimum_version")


def contexts(protocol: str, values: Mapping[str, Any], given: Collection[str]) -> Contexts | None:
    """Where connections of this `security_protocol` get their SSL context; None: they are in plain text.

    `values`: all keys, checked; `given`: those that have another value than their default. Raises
    ConfigurationValueError.
    """
    ours = [key for key in _KEYS if key in given]
    if protocol not in ("SSL", "SASL_SSL"):
        if ours:
            raise ConfigurationValueError(
                f"security_protocol is {protocol!r}, so nothing would be encrypted, but {', '.join(ours)} "
                f"{'is' if len(ours) == 1 else 'are'} set. Set security_protocol to 'SSL', or leave them out."
            )
        return None
    if "ssl_context" in ours and len(ours) > 1:
        ours.remove("ssl_context")
        log.warning("an ssl_context says all there is to say of TLS: %s has no effect beside it", ", ".join(ours))
    from kafka.security.tls import Contexts, Settings

    return Contexts(Settings(**{key.removeprefix("ssl_"): values[key] for key in _KEYS}))
