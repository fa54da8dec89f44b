"""The configuration keys about security: what they mean together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from kafka._log import Log
from kafka.errors import ConfigurationValueError

if TYPE_CHECKING:
    from kafka.security.sasl import Make
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


def mechanism(protocol: str, values: Mapping[str, Any], given: Collection[str]) -> Make | None:
    """What makes the mechanism by which clients with this `security_protocol` authenticate; None: they do not.

    `values` and `given` as for `contexts`. Raises ConfigurationValueError.
    """
    name = values["sasl_mechanism"]
    if not protocol.startswith("SASL_"):
        if ours := [key for key in given if key.startswith("sasl_")]:
            raise ConfigurationValueError(
                f"{', '.join(ours)} {'needs' if len(ours) == 1 else 'need'} security_protocol 'SASL_SSL' or "
                f"'SASL_PLAINTEXT'; with {protocol!r} nobody would authenticate."
            )
        return None
    if name is None:
        raise ConfigurationValueError(f"security_protocol {protocol!r} needs a sasl_mechanism.")
    from kafka.security.sasl import Settings, maker

    return maker(Settings(**{field: values[f"sasl_{field}"] for field in Settings._fields}), values, given)
