"""OAUTHBEARER (RFC 7628, KIP-255): a token that somebody else has issued, got from the user's provider."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from kafka.core.backoff import Backoff
from kafka.core.effects import Notice
from kafka.core.flows import pause, until
from kafka.core.sasl import Failed, Line
from kafka.core.sasl.credentials import Source, in_words
from kafka.core.timers import Timer
from kafka.errors import CredentialsError, SaslAuthenticationFailedError
from kafka.result import Ok, Result

if TYPE_CHECKING:
    from kafka.core.net.network import Network

_HINT = "Check what the token's issuer, audience, signature, expiry and scope are, and what the broker wants of them."
# A provider that fails in a way that may pass by itself is asked again for so many seconds, after 0.1 s first.
PATIENCE = 3.0
# A token is renewed once this share of its life is over, a little earlier or later.
RENEW_AT, JITTER = 0.8, 0.05
_LEAST_PAUSE = 1.0  # between two renewals, seconds
_EXTENSION_NAME = re.compile(r"[A-Za-z]+")
_EXTENSION_VALUE = re.compile(r"[\x21-\x7E \t\r\n]*")
_TOKEN = re.compile(r"[\x21-\x7E]+")


class Token(NamedTuple):
    """`lifetime`: seconds from when it was got; None: not known, so it is used once."""

    value: str
    lifetime: float | None
    extensions: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"<Token for {self.lifetime} s>"


class OAuthBearer:
    name = "OAUTHBEARER"

    def __init__(self, network: Network, provide: Callable[[], Token], what: str) -> None:
        """`what` provides the tokens, for error messages."""
        self._tokens = Tokens(network, provide, what)
        self._what = what

    async def prepare(self, line: Line, now: float) -> tuple[Token, float]:
        return await self._tokens.get(line, now)

    def refused(self, prepared: Token) -> None:
        self._tokens.refused(prepared)

    async def authenticate(self, line: Line, prepared: Token, now: float) -> float:
        try:
            verdict, now = await line.exchange(first_message(prepared, self._what))
            if verdict:
                # Refused: the reason is in here, and the error comes when the client has said that it read it.
                await line.exchange(b"\1")
                raise Failed(SaslAuthenticationFailedError(verdict.decode(errors="replace")))  # else: no error came
        except Failed as failed:
            if isinstance(failed.error, SaslAuthenticationFailedError):
                failed.error.hint = _HINT
            raise
        return now


def is_extension(name: object, value: object) -> bool:
    """Whether brokers take it."""
    if not isinstance(name, str) or not isinstance(value, str) or name == "auth":
        return False
    return bool(_EXTENSION_NAME.fullmatch(name) and _EXTENSION_VALUE.fullmatch(value))


def first_message(token: Token, what: str) -> bytes:
    """`Failed` where token or extensions cannot be written in it."""
    if not _TOKEN.fullmatch(token.value):
        raise Failed(CredentialsError(f"{what} gave a token that is empty or has other characters than a token's."))
    parts = ["n,,", f"auth=Bearer {token.value}"]
    for name, value in token.extensions.items():
        if not is_extension(name, value):
            raise Failed(
                CredentialsError(
                    f"{what} gave the extension {name!r}: brokers take names of letters only (but not 'auth'), and"
                    f" values of printable ASCII."
                )
            )
        parts.append(f"{name}={value}")
    return ("\1".join(parts) + "\1\1").encode()


class Tokens:
    """The token of a client, shared by its connections: got when one needs it, and renewed before it expires.

    One that no connection has used since is not renewed: the next that needs one gets it.
    """

    def __init__(self, network: Network, provide: Callable[[], Token], what: str) -> None:
        self._network = network
        self._source = Source(network, provide)
        self._what = what
        self._soon = Backoff(0.1, PATIENCE, network.random)
        self._backoff = Backoff(1.0, 60.0, network.random)
        self._token: Token | None = None
        self._expires = 0.0  # clock seconds
        self._is_used = False
        self._failures = 0  # to renew it, in a row
        self._timer: Timer | None = None

    async def get(self, line: Line, now: float) -> tuple[Token, float]:
        token = self._token
        if token is None or now >= self._expires:
            fetched, now = await self._fetch(line, now)
            token = self._keep(fetched, now)
        self._is_used = True
        return token, now

    async def _fetch(self, line: Line, now: float) -> tuple[Token, float]:
        give_up = now + PATIENCE
        tries = 0
        while True:
            try:
                return await line.obtain(self._source.ask(), self._what)
            except Failed as failed:
                _, now = await until(self._network.timers, now)
                tries += 1
                delay = self._soon.delay(tries)
                if not failed.error.retriable or now + delay >= give_up:
                    raise
            _, now = await pause(self._network.timers, delay)

    def refused(self, token: Token) -> None:
        if self._token is token:
            self._token = None
            self._stop()

    def _keep(self, token: Token, now: float) -> Token:
        """The one there is, if another connection has kept it already."""
        if self._token is not None and self._token.value == token.value and now < self._expires:
            return self._token
        self._stop()
        self._token, self._failures = None, 0
        if token.lifetime is not None and token.lifetime > 0:
            self._token, self._expires, self._is_used = token, now + token.lifetime, False
            share = RENEW_AT + JITTER * (2 * self._network.random.random() - 1)
            self._timer = self._network.timers.at(now + max(share * token.lifetime, _LEAST_PAUSE), self._renew)
        return token

    def _renew(self, now: float) -> None:
        self._timer = None
        if self._is_used and now < self._expires:
            self._source.ask().start(self._renewed, now)

    def _renewed(self, result: Result[Token, BaseException], now: float) -> None:
        if isinstance(result, Ok):
            self._keep(result.value, now)
        elif self._token is not None and self._timer is None:  # the old one is good for a while
            self._failures += 1
            if self._failures == 1:
                said = f"{self._what} failed, and its last token is used until it expires: {in_words(result.error)}"
                self._network.note(Notice("warning", said))
            self._timer = self._network.timers.at(now + self._backoff.delay(self._failures), self._renew)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
