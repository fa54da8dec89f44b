"""GSSAPI (RFC 4752) with Kerberos, by the package gssapi. Each step may ask a KDC: `Registered` has them on threads."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from kafka.errors import ConfigurationValueError, CredentialsError

_AUTH_ONLY = 1  # of the layers that a broker offers: nothing of GSSAPI's own protects what follows
_NO_PACKAGE = (
    "sasl_mechanism 'GSSAPI' needs the package gssapi: pip install kafka-turbo[gssapi]. It is built on the spot, which"
    " takes a C compiler and Kerberos' headers (Debian: libkrb5-dev, Fedora: krb5-devel)."
)
_TICKET = (
    "Get a ticket with kinit; or set KRB5_CLIENT_KTNAME to a keytab, from which tickets are then got and renewed."
    " KRB5CCNAME says where tickets are."
)
_SERVICE = (
    "The KDC knows no such service: look at sasl_kerberos_service_name, the broker's sasl.kerberos.service.name, and at"
    " the broker's host name, in place of which sasl_kerberos_domain_name may be set."
)
_KDC = "This machine's krb5.conf (KRB5_CONFIG) says where the KDC of a realm is."
_CLOCK = "The clocks of this machine, the KDC and the broker may differ by 5 minutes at most."
# By a part of what Kerberos says, in lower case.
_HINTS = (
    ("no credentials", _TICKET),
    ("no kerberos credentials", _TICKET),
    ("expired", _TICKET),
    ("not found in kerberos database", _SERVICE),
    ("skew", _CLOCK),
    ("not yet valid", _CLOCK),
    ("contact any kdc", _KDC),
    ("cannot find kdc", _KDC),
    ("default realm", _KDC),
)


def package() -> Any:
    """The package gssapi. Raises ConfigurationValueError."""
    try:
        import gssapi
        import gssapi.exceptions
    except (ImportError, OSError) as error:
        raise ConfigurationValueError(f"{_NO_PACKAGE} ({type(error).__name__}: {error})") from None
    return gssapi


class Kerberos:
    """One conversation with the broker `host`, as `core/sasl/registered.py` has it.

    The broker's name in Kerberos is `name`, a gssapi.Name or text, or else made of `service_name` and `domain_name`.
    Raises CredentialsError.
    """

    def __init__(self, host: str, service_name: str, domain_name: str | None, name: Any) -> None:
        self._gssapi = package()
        self._broker = f"{service_name}@{domain_name or host.rstrip('.')}" if name is None else name
        self._is_done = False
        self._talk = self._converse()
        self._said = b""
        self._go_on(None)

    def auth_bytes(self) -> bytes:
        return self._said

    def receive(self, auth_bytes: bytes) -> None:
        self._go_on(auth_bytes)

    def is_done(self) -> bool:
        return self._is_done

    def is_authenticated(self) -> bool:
        return self._is_done

    def _go_on(self, answer: bytes | None) -> None:
        try:
            self._said = self._talk.send(answer)
        except StopIteration:
            self._is_done = True
        except self._gssapi.exceptions.GSSError as error:
            said = _said(error)
            found = CredentialsError(f"No proof by Kerberos for the broker {self._broker}: {said}.")
            found.hint = next((hint for part, hint in _HINTS if part in said.lower()), None)
            raise found from error

    def _converse(self) -> Generator[bytes, bytes | None, None]:
        """What the client says, and is answered."""
        gssapi = self._gssapi
        name = self._broker
        if isinstance(name, str):
            kind = gssapi.NameType
            name = gssapi.Name(name, kind.kerberos_principal if "/" in name else kind.hostbased_service)
        flags = gssapi.RequirementFlag
        context = gssapi.SecurityContext(
            name=name,
            usage="initiate",
            mech=gssapi.MechType.kerberos,
            flags=[flags.mutual_authentication, flags.out_of_sequence_detection],
        )
        token = context.step()
        while not context.complete:
            token = context.step((yield token or b""))
        offer = context.unwrap((yield token or b"")).message
        if len(offer) != 4 or not offer[0] & _AUTH_ONLY:
            raise CredentialsError(
                f"The broker {self._broker} wants GSSAPI to protect what is sent, which Kafka does not."
            )
        # No layer, so no size; and no other user than the ticket's: brokers would take any name that stands here.
        yield context.wrap(bytes((_AUTH_ONLY, 0, 0, 0)), False).message


def _said(error: Any) -> str:
    """Of "Major (851968): Unspecified GSS failure. ..., Minor (100001): what it is" the end."""
    major, _, minor = str(error).partition(", Minor (")
    text = minor.partition("): ")[2] or major.partition("): ")[2] or major
    return " ".join(text.split()).rstrip(".")
