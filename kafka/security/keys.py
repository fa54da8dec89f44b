"""The configuration keys about TLS: what they mean together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from kafka._log import Log
from kafka.errors import ConfigurationValueError

if TYPE_CHECKING:
    from kafka.security.tls import Contexts

log = Log("kafka.security")


def contexts(protocol: str, values: Mapping[str, Any], given: Collection[str]) -> Contexts | None:
    """Where connections of this `security_protocol` get their SSL context; None: they are in plain text.

    `values`: all keys, checked; `given`: those that have another value than their default. Raises
    ConfigurationValueError.
    """
    ours = [key for key in given if key.startswith("ssl_")]
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

    return Contexts(Settings(**{name: values[f"ssl_{name}"] for name in Settings._fields}))
