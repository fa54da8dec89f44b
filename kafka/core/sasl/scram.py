"""SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677): both sides prove that they know the password.

As Kafka has it: no channel binding, no SASLprep, and `tokenauth=true` behind the nonce for delegation tokens (KIP-48).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from kafka.core.sasl import Failed, Line
from kafka.core.sasl.credentials import Credentials
from kafka.errors import ProtocolError, SaslAuthenticationFailedError

if TYPE_CHECKING:
    from kafka.core.net.network import Network

# How often a broker may have the password hashed. Kafka stores 4,096 to 16,384; fewer would make it easy to guess from
# what is said here, and two thousand million would keep a processor busy for a quarter of an hour.
LEAST_ITERATIONS, MOST_ITERATIONS = 4096, 1_000_000
MOST_CACHED = 16

_UNKNOWN_USER = "The broker refused the user's name already: usually it has no such user, or not for this mechanism."
_WRONG_PASSWORD = "The broker knows the user: usually the password is wrong."
_NO_TOKEN = "Usually the delegation token has expired, or is none: user name and password are its id and its HMAC."


class Keys(NamedTuple):
    """What is made of the password, once for all that is done with it."""

    client: bytes
    server: bytes

    def __repr__(self) -> str:
        return "<Keys>"


class Scram:
    def __init__(
        self,
        network: Network,
        name: str,
        given: tuple[str, str] | Callable[[], tuple[str, str]],
        make_nonce: Callable[[], str],
        *,
        is_token: bool = False,
    ) -> None:
        """`name`: "SCRAM-SHA-256", say. `make_nonce`: printable ASCII without a comma, never the same twice.

        `is_token`: user name and password are a delegation token's id and HMAC.
        """
        self.name = name
        self._hash = name.removeprefix("SCRAM-").replace("-", "").lower()
        self._credentials = Credentials(network, given)
        self._make_nonce = make_nonce
        self._extensions = ",tokenauth=true" if is_token else ""
        self._cache: dict[tuple[str, str, bytes, int], Keys] = {}  # by user, password, salt, iterations; oldest first

    async def prepare(self, line: Line, now: float) -> tuple[tuple[str, str], float]:
        return await self._credentials.get(line, now)

    def refused(self, prepared: tuple[str, str]) -> None:
        pass

    async def authenticate(self, line: Line, prepared: tuple[str, str], now: float) -> float:
        user, password = prepared
        nonce, now = await line.work(self._make_nonce, "the nonce")
        first = f"n={escaped(user)},r={nonce}{self._extensions}"
        challenge, now = await self._exchange(line, "n,," + first, _NO_TOKEN if self._extensions else _UNKNOWN_USER)
        whole_nonce, salt, iterations = self._read_challenge(challenge, nonce)
        keys, now = await self._keys(line, user, password, salt, iterations, now)
        unproven = f"c=biws,r={whole_nonce}"
        message = f"{first},{challenge},{unproven}".encode()
        stored = hashlib.new(self._hash, keys.client).digest()
        signature = hmac.digest(stored, message, self._hash)
        proof = bytes(a ^ b for a, b in zip(keys.client, signature, strict=True))
        final = f"{unproven},p={base64.b64encode(proof).decode()}"
        verdict, now = await self._exchange(line, final, _NO_TOKEN if self._extensions else _WRONG_PASSWORD)
        self._check_verdict(verdict, hmac.digest(keys.server, message, self._hash))
        return now

    async def _exchange(self, line: Line, message: str, hint: str) -> tuple[str, float]:
        try:
            token, now = await line.exchange(message.encode())
        except Failed as failed:
            if isinstance(failed.error, SaslAuthenticationFailedError):
                failed.error.hint = hint
            raise
        try:
            return token.decode(), now
        except UnicodeDecodeError:
            raise self._unreadable("it is not UTF-8") from None

    def _read_challenge(self, challenge: str, nonce: str) -> tuple[str, bytes, int]:
        """The nonce of both, the salt, the number of iterations."""
        found = self._attributes(challenge)
        if "m" in found:
            raise self._unreadable("it demands an extension (m=) that this client does not know")
        if "e" in found:
            raise Failed(SaslAuthenticationFailedError(found["e"]))
        whole_nonce, iterations = found.get("r", ""), found.get("i", "")
        if not whole_nonce.startswith(nonce) or len(whole_nonce) <= len(nonce):
            raise self._unreadable("its nonce is not ours with something of the broker's behind it")
        salt = self._base64(found.get("s", ""), "salt")
        if not (iterations.isascii() and iterations.isdigit()) or len(iterations) > 10:
            raise self._unreadable("the number of iterations is none")
        if not LEAST_ITERATIONS <= int(iterations) <= MOST_ITERATIONS:
            raise self._unreadable(
                f"it wants {iterations} iterations; this client takes {LEAST_ITERATIONS} to {MOST_ITERATIONS}"
            )
        return whole_nonce, salt, int(iterations)

    def _check_verdict(self, verdict: str, signature: bytes) -> None:
        found = self._attributes(verdict)
        if "e" in found:
            raise Failed(SaslAuthenticationFailedError(found["e"]))
        if not hmac.compare_digest(self._base64(found.get("v", ""), "signature"), signature):
            error = ProtocolError(f"{self.name}: the peer has not proven that it knows the password.")
            error.hint = "It may not be the broker that it is taken for: nothing is sent to it."
            raise Failed(error)

    async def _keys(
        self, line: Line, user: str, password: str, salt: bytes, iterations: int, now: float
    ) -> tuple[Keys, float]:
        place = (user, password, salt, iterations)
        name = self._hash
        if place in self._cache:
            return self._cache[place], now

        def derive() -> Keys:
            salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, iterations)
            return Keys(hmac.digest(salted, b"Client Key", name), hmac.digest(salted, b"Server Key", name))

        keys, now = await line.work(derive, "the hashing of the password")
        while len(self._cache) >= MOST_CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[place] = keys
        return keys, now

    def _attributes(self, message: str) -> dict[str, str]:
        """By letter; of one that comes twice the first, as for brokers."""
        found: dict[str, str] = {}
        for part in message.split(","):
            name, equals, value = part.partition("=")
            if not equals:
                raise self._unreadable("it is no list of attributes")
            found.setdefault(name, value)
        return found

    def _base64(self, text: str, what: str) -> bytes:
        try:
            found = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            found = b""
        if not found:
            raise self._unreadable(f"the {what} is not base64")
        return found

    def _unreadable(self, why: str) -> Failed:
        return Failed(ProtocolError(f"{self.name}: what the broker says cannot be used: {why}."))


def escaped(name: str) -> str:
    """A user's name as it is written between commas."""
    return name.replace("=", "=3D").replace(",", "=2C")
