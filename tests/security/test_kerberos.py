"""GSSAPI without Kerberos: what a client says by a package gssapi that is made up, and what is told of mistakes."""

from __future__ import annotations

import sys
import types
from typing import Any, ClassVar

import pytest

from kafka.config import ClientConfig
from kafka.errors import ConfigurationValueError, CredentialsError
from kafka.security.kerberos import Kerberos

GSSAPI = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "GSSAPI"}


class GSSError(Exception):
    pass


class Name:
    def __init__(self, text: str, kind: str) -> None:
        self.text, self.kind = text, kind


class Message:
    def __init__(self, message: bytes) -> None:
        self.message = message


class Context:
    """Complete after one answer, as with Kerberos."""

    fails: str | None = None
    made: ClassVar[list[Context]] = []

    def __init__(self, **told: Any) -> None:
        self.told = told
        self.complete = False
        self.made.append(self)

    def step(self, token: bytes | None = None) -> bytes | None:
        if self.fails is not None:
            raise GSSError(self.fails)
        self.complete = token is not None
        return b"AP-REQ" if token is None else None

    def unwrap(self, token: bytes) -> Message:
        return Message(token.removeprefix(b"wrapped "))

    def wrap(self, message: bytes, encrypt: bool) -> Message:
        assert not encrypt
        return Message(b"wrapped " + message)


@pytest.fixture(autouse=True)
def gssapi(monkeypatch: pytest.MonkeyPatch) -> None:
    found, errors = types.ModuleType("gssapi"), types.ModuleType("gssapi.exceptions")
    errors.GSSError = GSSError  # type: ignore[attr-defined]
    for name, value in {
        "exceptions": errors,
        "Name": Name,
        "NameType": types.SimpleNamespace(hostbased_service="service", kerberos_principal="principal"),
        "MechType": types.SimpleNamespace(kerberos="kerberos"),
        "RequirementFlag": types.SimpleNamespace(mutual_authentication="mutual", out_of_sequence_detection="sequence"),
        "SecurityContext": Context,
    }.items():
        setattr(found, name, value)
    monkeypatch.setitem(sys.modules, "gssapi", found)
    monkeypatch.setitem(sys.modules, "gssapi.exceptions", errors)
    monkeypatch.setattr(Context, "made", [])


def conversation(
    host: str = "kafka1.", service: str = "kafka", domain: str | None = None, name: Any = None
) -> Kerberos:
    return Kerberos(host, service, domain, name)


def test_what_is_said() -> None:
    steps = conversation()
    assert steps.auth_bytes() == b"AP-REQ" and not steps.is_done()
    steps.receive(b"AP-REP")
    assert steps.auth_bytes() == b"" and not steps.is_done()
    steps.receive(b"wrapped \1\0\1\0")
    assert steps.auth_bytes() == b"wrapped \1\0\0\0" and not steps.is_done()  # no size, no name
    steps.receive(b"")
    assert steps.is_done() and steps.is_authenticated()
    [context] = Context.made
    assert context.told["flags"] == ["mutual", "sequence"]  # not those that would hand the ticket over


@pytest.mark.parametrize(
    ("told", "text", "kind"),
    [
        ({}, "kafka@kafka1", "service"),
        ({"service": "k", "domain": "balancer"}, "k@balancer", "service"),
        ({"domain": "balancer", "name": "kafka@real"}, "kafka@real", "service"),
        ({"name": "kafka/real@REALM"}, "kafka/real@REALM", "principal"),
        ({"name": Name("x", "own")}, "x", "own"),
    ],
)
def test_the_brokers_name(told: Any, text: str, kind: str) -> None:
    conversation(**told)
    name = Context.made[0].told["name"]
    assert (name.text, name.kind) == (text, kind)


@pytest.mark.parametrize("offer", [b"", b"\2\0\1\0", b"\1\0\0", b"\1\0\0\0\0"])
def test_a_broker_that_wants_more_than_to_know_who_it_is(offer: bytes) -> None:
    steps = conversation()
    steps.receive(b"AP-REP")
    with pytest.raises(CredentialsError, match="kafka@kafka1 wants GSSAPI to protect"):
        steps.receive(b"wrapped " + offer)


@pytest.mark.parametrize(
    ("said", "told", "hint"),
    [
        ("Major (851968): Unspecified GSS failure.  Minor, Minor (1): No Kerberos credentials available (default)",
         "kafka@kafka1: No Kerberos credentials available (default).", "kinit"),
        ("Major (458752): No credentials were supplied, Minor (1): Ticket expired", "Ticket expired", "kinit"),
        ("Major (851968): Unspecified, Minor (1): Server k/h@R not found in Kerberos database",
         "Server k/h@R not found", "sasl_kerberos_service_name"),
        ("Major (851968): Unspecified, Minor (1): Clock skew too great", "Clock skew", "5 minutes"),
        ("Major (851968): Unspecified, Minor (1): Cannot contact any KDC for realm 'R'", "Cannot contact", "krb5.conf"),
        ("Major (393216): A token had an invalid MIC, Minor (0): ", "A token had an invalid MIC", None),
        ("what nobody expected", "what nobody expected", None),
    ],
)  # fmt: skip
def test_mistakes(monkeypatch: pytest.MonkeyPatch, said: str, told: str, hint: str | None) -> None:
    monkeypatch.setattr(Context, "fails", said)
    with pytest.raises(CredentialsError) as caught:
        conversation()
    assert "No proof by Kerberos for the broker kafka@kafka1: " in str(caught.value) and told in str(caught.value)
    assert (hint is None) == (caught.value.hint is None) and (hint or "") in str(caught.value)
    assert isinstance(caught.value.__cause__, GSSError)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    with pytest.raises(ConfigurationValueError, match=r"pip install kafka-turbo\[gssapi\].*libkrb5-dev"):
        ClientConfig(GSSAPI)


@pytest.mark.parametrize(
    ("configs", "said"),
    [
        ({"sasl_kerberos_service_name": ""}, "sasl_kerberos_service_name must be a string"),
        ({"sasl_kerberos_service_name": None}, "sasl_kerberos_service_name must be a string"),
        ({"sasl_kerberos_domain_name": 5}, "sasl_kerberos_domain_name must be a string"),
        ({"sasl_kerberos_name": b"kafka@host"}, "sasl_kerberos_name must be a gssapi.Name, a string"),
        ({"sasl_mechanism": "PLAIN", "sasl_plain_username": "a", "sasl_plain_password": "b",
          "sasl_kerberos_service_name": "k"}, "_service_name is for sasl_mechanism 'GSSAPI', not for PLAIN"),
    ],
)  # fmt: skip
def test_keys_that_are_wrong(configs: Any, said: str) -> None:
    with pytest.raises(ConfigurationValueError, match=said):
        ClientConfig({**GSSAPI, **configs})


def test_a_name_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Name, "__module__", "gssapi.names")
    name = Name("kafka@host", "service")
    assert ClientConfig({**GSSAPI, "sasl_kerberos_name": name}).sasl_kerberos_name is name
