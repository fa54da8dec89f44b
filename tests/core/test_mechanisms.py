"""The mechanisms themselves: what they say, what they take, and what they make of a peer that says something else."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from kafka.core.config import Config
from kafka.core.events import Listeners
from kafka.core.flows import Task, Wish
from kafka.core.net.network import Network
from kafka.core.sasl import Failed, Mechanism
from kafka.core.sasl.aws import AwsMskIam
from kafka.core.sasl.oauthbearer import OAuthBearer, Token, first_message
from kafka.core.sasl.plain import Plain
from kafka.core.sasl.scram import Keys, Scram, escaped
from kafka.core.timers import Timers
from kafka.errors import CredentialsError, KafkaError, ProtocolError, SaslAuthenticationFailedError
from kafka.result import Ok


def network() -> Network:
    return Network(Config((("h", 1),)), random.Random(1), Timers(), [], None, Listeners())  # type: ignore[arg-type]


class Line:
    """A broker that answers by the script; work is done at once."""

    host = "kafka1"

    def __init__(self, *answers: bytes | KafkaError | Callable[[bytes], bytes]) -> None:
        self.answers = list(answers)
        self.said: list[bytes] = []
        self.worked: list[str] = []

    async def exchange(self, token: bytes) -> tuple[bytes, float]:
        self.said.append(token)
        answer = self.answers.pop(0)
        if isinstance(answer, KafkaError):
            raise Failed(answer)
        return (answer(token) if callable(answer) else answer), 0.0

    async def work(self, function: Callable[[], Any], what: str) -> tuple[Any, float]:
        self.worked.append(what)
        return function(), 0.0

    async def obtain(self, wish: Wish[Any], what: str) -> tuple[Any, float]:
        raise AssertionError


def run(mechanism: Mechanism, line: Line) -> KafkaError | None:
    """How the conversation ended."""

    async def flow() -> KafkaError | None:
        try:
            prepared, now = await mechanism.prepare(line, 0.0)
            await mechanism.authenticate(line, prepared, now)
        except Failed as failed:
            return failed.error
        return None

    ended: list[KafkaError | None] = []
    Task(flow(), lambda value, now: ended.append(value)).start(0.0)
    return ended[0]


# -- PLAIN -----------------------------------------------------------------------------------------------------------


def test_plain() -> None:
    line = Line(b"")
    assert run(Plain(network(), ("bob", "bob,=sécret")), line) is None
    assert line.said == ["\0bob\0bob,=sécret".encode()] and line.worked == []


@pytest.mark.parametrize("given", [("a\0b", "x"), ("a", "x\0")])
def test_plain_cannot_carry_nul(given: tuple[str, str]) -> None:
    line = Line()
    assert isinstance(run(Plain(network(), given), line), CredentialsError) and not line.said


# -- SCRAM -----------------------------------------------------------------------------------------------------------

# The example of RFC 7677.
NONCE = "rOprNGfwEbeRWgbNEkqO"
CHALLENGE = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
PROOF = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
VERDICT = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def scram(given: tuple[str, str] = ("user", "pencil"), name: str = "SCRAM-SHA-256", **options: Any) -> Scram:
    return Scram(network(), name, given, lambda: NONCE, **options)


def test_scram_as_in_the_rfc() -> None:
    line = Line(CHALLENGE.encode(), VERDICT.encode())
    assert run(scram(), line) is None
    assert line.said == [b"n,,n=user,r=" + NONCE.encode(), PROOF.encode()]
    assert line.worked == ["the nonce", "the hashing of the password"]


def test_scram_sha_1_as_in_its_rfc() -> None:
    """RFC 5802 has an example for that hash only; Kafka does not."""
    mechanism = Scram(network(), "SCRAM-SHA-1", ("user", "pencil"), lambda: "fyko+d2lbbFgONRv9qkxdawL")
    line = Line(b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")  # fmt: skip
    assert run(mechanism, line) is None and line.said[1].endswith(b",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=")


@pytest.mark.parametrize(
    ("name", "written"), [("a,b=c", "a=2Cb=3Dc"), ("=2C", "=3D2C"), ("jürgen", "jürgen"), ("plain", "plain")]
)
def test_names_are_written_between_commas(name: str, written: str) -> None:
    assert escaped(name) == written
    line = Line(CHALLENGE.encode(), VERDICT.encode())
    run(scram((name, "pencil")), line)
    assert line.said[0] == f"n,,n={written},r={NONCE}".encode()


def test_a_delegation_token_says_that_it_is_one() -> None:
    line = Line(SaslAuthenticationFailedError("no"))
    error = run(scram(is_token=True), line)
    assert line.said[0].endswith(b",tokenauth=true") and "delegation token" in str(error)


def changed(**attributes: str | None) -> bytes:
    parts = dict(part.split("=", 1) for part in CHALLENGE.split(","))
    parts |= attributes  # type: ignore[arg-type]
    return ",".join(f"{name}={value}" for name, value in parts.items() if value is not None).encode()


@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        (changed(i="2147483647"), "it wants 2147483647 iterations; this client takes 4096 to 1000000"),
        (changed(i="1000001"), "iterations"),
        (changed(i="4095"), "iterations"),
        (changed(i="1"), "iterations"),
        (changed(i="0"), "iterations"),
        (changed(i="-5000"), "the number of iterations is none"),
        (changed(i="5_000"), "the number of iterations is none"),
        (changed(i="\u0665000"), "the number of iterations is none"),
        (changed(i="9" * 5000), "the number of iterations is none"),
        (changed(i=""), "the number of iterations is none"),
        (changed(i=None), "the number of iterations is none"),
        (changed(r=NONCE), "its nonce is not ours with something of the broker's behind it"),
        (changed(r="x" + NONCE + "more"), "its nonce is not ours"),
        (changed(r=None), "its nonce is not ours"),
        (changed(s="!!"), "the salt is not base64"),
        (changed(s=""), "the salt is not base64"),
        (changed(s=None), "the salt is not base64"),
        (b"m=ext," + CHALLENGE.encode(), "it demands an extension"),
        (b"", "it is no list of attributes"),
        (b"garbage", "it is no list of attributes"),
        (b"\xff\xfe", "it is not UTF-8"),
    ],
)
def test_a_challenge_that_is_none(challenge: bytes, said: str) -> None:
    line = Line(challenge)
    error = run(scram(), line)
    assert isinstance(error, ProtocolError) and said in str(error)
    assert len(line.said) == 1 and line.worked == ["the nonce"]  # nothing was computed, nothing given away


@pytest.mark.parametrize(
    "verdict",
    [
        b"v=" + base64.b64encode(bytes(32)),
        b"v=" + base64.b64encode(hashlib.sha256(b"guess").digest()),
        b"v=6rri",
        b"v=",
        b"x=y",
        b"",
    ],
)
def test_a_peer_that_does_not_know_the_password(verdict: bytes) -> None:
    error = run(scram(), Line(CHALLENGE.encode(), verdict))
    assert isinstance(error, ProtocolError) and not error.retriable
    if len(verdict) > 10:
        assert "has not proven that it knows the password" in str(error)


@pytest.mark.parametrize("answers", [(b"e=unknown-user",), (CHALLENGE.encode(), b"e=invalid-proof")])
def test_an_error_inside_the_conversation(answers: tuple[bytes, ...]) -> None:
    error = run(scram(), Line(*answers))
    assert type(error) is SaslAuthenticationFailedError and str(answers[-1][2:], "ascii") in str(error)


def test_salted_passwords_are_kept_but_not_for_ever() -> None:
    mechanism = scram()
    for _ in range(2):
        line = Line(CHALLENGE.encode(), VERDICT.encode())
        assert run(mechanism, line) is None
    assert line.worked == ["the nonce"]
    for number in range(40):
        run(mechanism, Line(changed(s=base64.b64encode(b"salt %d" % number).decode()), VERDICT.encode()))
    assert len(mechanism._cache) == 16
    assert repr(Keys(b"secret", b"secret")) == "<Keys>"


def test_another_password_is_another_entry() -> None:
    given = ["wrong", "pencil"]
    mechanism = scram()
    mechanism._credentials._fixed = ("user", given[0])
    assert run(mechanism, Line(CHALLENGE.encode(), VERDICT.encode())) is not None
    mechanism._credentials._fixed = ("user", given[1])
    assert run(mechanism, Line(CHALLENGE.encode(), VERDICT.encode())) is None


# -- OAUTHBEARER -----------------------------------------------------------------------------------------------------


def test_a_token_and_its_extensions() -> None:
    message = first_message(Token("abc.def", None, {"traceId": "1 2", "tenant": ""}), "p")
    assert message == b"n,,\1auth=Bearer abc.def\1traceId=1 2\1tenant=\1\1"


@pytest.mark.parametrize("token", ["", "a b", "a\1b", "a\nb", "tökén"])
def test_a_token_that_is_none(token: str) -> None:
    with pytest.raises(Failed) as caught:
        first_message(Token(token, None), "p")
    assert isinstance(caught.value.error, CredentialsError) and (not token or token not in str(caught.value.error))


@pytest.mark.parametrize("extensions", [{"trace_id": "x"}, {"auth": "x"}, {"": "x"}, {"a": "\1"}, {"a": "ö"}])
def test_extensions_that_brokers_refuse(extensions: dict[str, str]) -> None:
    with pytest.raises(Failed) as caught:
        first_message(Token("abc", None, extensions), "p")
    assert "brokers take names of letters only" in str(caught.value.error)


def test_the_reason_is_answered_with_one_byte() -> None:
    class Fixed(OAuthBearer):
        async def prepare(self, line: Any, now: float) -> tuple[Token, float]:
            return Token("abc", None), now

    line = Line(b'{"status":"invalid_token"}', SaslAuthenticationFailedError('{"status":"invalid_token"}'))
    error = run(Fixed(network(), lambda: Token("abc", None), "p"), line)
    assert line.said[1] == b"\1" and type(error) is SaslAuthenticationFailedError and "invalid_token" in str(error)
    line = Line(b'{"status":"odd"}', b"")  # a broker that says no more
    error = run(Fixed(network(), lambda: Token("abc", None), "p"), line)
    assert type(error) is SaslAuthenticationFailedError and "odd" in str(error)


def test_a_token_does_not_print() -> None:
    assert "abc" not in repr(Token("abc", 5.0)) and "abc" not in repr(Ok(Token("abc", 5.0)))


def test_aws_msk_iam_is_one_message_with_an_answer() -> None:
    class Signed(AwsMskIam[str]):
        async def prepare(self, line: Any, now: float) -> tuple[bytes, float]:
            return b"signed", now

    def mechanism() -> Mechanism:
        return Signed(network(), lambda: "keys", lambda keys, host: b"")

    line = Line(b'{"request-id":"1"}')
    assert run(mechanism(), line) is None and line.said == [b"signed"]
    error = run(mechanism(), Line(b""))
    assert type(error) is ProtocolError and "the broker has accepted, but said nothing" in str(error)
    error = run(mechanism(), Line(SaslAuthenticationFailedError("Access denied")))
    assert "Hint: Check that the identity may do kafka-cluster:Connect" in str(error)
