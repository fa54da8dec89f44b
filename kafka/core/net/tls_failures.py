"""What goes wrong with TLS, in words, and what mends it: a key of this client's, or a setting of the broker's.

The causes are what Python's `ssl` raised in the driver. The core knows no `ssl`: it reads their attributes.
"""

from __future__ import annotations

import re
from typing import Any

from kafka.core.net.failures import TLS, connection_error, describe
from kafka.errors import KafkaConnectionError

_CLOSED = (
    "A listener for plain text does this (security_protocol='PLAINTEXT' or 'SASL_PLAINTEXT'; which port is whose is in"
    " the broker's listeners), a balancer with no broker behind it, too."
)
_NOT_TLS = (
    "The peer does not speak TLS: use the port of a TLS listener, or security_protocol='PLAINTEXT' ('SASL_PLAINTEXT')."
)
_AUTHORITY = (
    "ssl_cafile must have the certificate of the authority that signed the broker's, and intermediate ones that the"
    " broker does not send (with an ssl_context of your own: what that trusts). Without it the system's are trusted."
)
_CLIENT_CERTIFICATE_WANTED = (
    "The broker wants a certificate of this client (its ssl.client.auth), and got none, or one that it cannot use: set"
    " ssl_certfile and ssl_keyfile."
)
_CLIENT_CERTIFICATE_REFUSED = (
    "The broker does not accept the certificate of this client, ssl_certfile: it has run out, or no authority in the"
    " broker's truststore has signed it."
)
_VERSION = (
    "Client and broker have no version of TLS in common: look at ssl_minimum_version (here TLS 1.2 by default) and at"
    " ssl.enabled.protocols of the broker."
)
_CIPHERS = (
    "Client and broker have no cipher suite in common (ssl_ciphers; ssl.cipher.suites of the broker), or the broker"
    " wants a certificate of this client (ssl_certfile)."
)
_REVOKED = "The broker needs a new certificate: ssl_crlfile says that its authority has revoked this one."
_REVOCATIONS = "ssl_crlfile must have a current list of every authority that signs brokers' certificates."
_DATES = "The broker's certificate has to be renewed, or one of those that vouch for it; or the clock here is wrong."

# By X509_V_ERR_* of OpenSSL.
_VERIFYING = {
    **dict.fromkeys((2, 18, 19, 20, 21, 27), _AUTHORITY),
    **dict.fromkeys((9, 10), _DATES),
    **dict.fromkeys((3, 11, 12, 44), _REVOCATIONS),
    23: _REVOKED,
}
_OTHER_NAME = (62, 64)
# By what follows ALERT_ in OpenSSL's name: what the peer told us.
_ALERTS = {
    **dict.fromkeys(("BAD_CERTIFICATE", "CERTIFICATE_REQUIRED", "NO_CERTIFICATE"), _CLIENT_CERTIFICATE_WANTED),
    **dict.fromkeys(
        ("CERTIFICATE_UNKNOWN", "CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED", "UNSUPPORTED_CERTIFICATE", "UNKNOWN_CA",
         "ACCESS_DENIED", "DECRYPT_ERROR"),
        _CLIENT_CERTIFICATE_REFUSED,
    ),
    "PROTOCOL_VERSION": _VERSION,
    **dict.fromkeys(("HANDSHAKE_FAILURE", "INSUFFICIENT_SECURITY"), _CIPHERS),
}  # fmt: skip
# By OpenSSL's name: what we make of what the peer said.
_HERE = {
    **dict.fromkeys(
        ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"),
        _NOT_TLS,
    ),
    **dict.fromkeys(("UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION", "NO_PROTOCOLS_AVAILABLE"), _VERSION),
    **dict.fromkeys(("NO_SHARED_CIPHER", "NO_CIPHERS_AVAILABLE", "WRONG_CIPHER_RETURNED"), _CIPHERS),
}


def is_tls(cause: object) -> bool:
    """Whether `ssl` raised it."""
    return hasattr(cause, "library") and hasattr(cause, "reason")


def tls_error(address: str, cause: Any, host: str, advertised: bool) -> KafkaConnectionError:
    """The error of a connection whose peer, that is to be `host`, cannot be talked to safely.

    `cause`: what the driver reports, None where the peer closed it. `advertised`: brokers gave that name.
    """
    if not is_tls(cause):
        # A peer that takes our first words for nonsense closes; where it has not read all of them, that is a reset.
        closed = cause is None or isinstance(cause, ConnectionError)
        return connection_error(address, TLS, describe(cause), _CLOSED if closed else None)
    said = re.sub(r"^\[[^]]*\] ?| ?\(_ssl\.c:\d+\)$", "", describe(cause))
    reason = cause.reason or ""
    code = getattr(cause, "verify_code", 0)
    if code in _OTHER_NAME:
        hint: str | None = _other_name(host, advertised)
    elif code:
        hint = _VERIFYING.get(code)
    elif "ALERT_" in reason:
        alert = reason.partition("ALERT_")[2]
        said = f"the peer answered with the alert {alert.lower().replace('_', ' ')!r}"
        hint = _ALERTS.get(alert)
    else:
        hint = _HERE.get(reason)
    error = connection_error(address, TLS, said, hint)
    error.is_mistake = hint is not None
    return error


def _other_name(host: str, advertised: bool) -> str:
    where = "the brokers' advertised.listeners" if advertised else "bootstrap_servers"
    return (
        f"{host!r} is the name in {where}, and the broker's certificate is for other ones: it needs this one among its"
        " subject alternative names. ssl_check_hostname=False accepts any name that a trusted authority has signed."
    )
