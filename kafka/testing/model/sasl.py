"""How clients authenticate with a broker (SASL): its side of the conversations, with the habits of Apache Kafka 4.3.0.

A refusal is held back for a while, and the connection ends right behind it. A session's end is looked at when a
request has been read; a handshake is taken even after it, but not within a second of the last one that was to renew it.
Who says anything else before the end of the conversation is hung up on.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

from kafka.protocol import (
    ApiVersionsRequest,
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)
from kafka.protocol.codes import Code
from kafka.testing.model.aws import AwsKeys, Unsigned, check_message, check_token
from kafka.testing.model.world import Answer, Hangup, Later, World

SASL_APIS = (SaslHandshakeRequest.API_KEY, SaslAuthenticateRequest.API_KEY)
_INVALID_TOKEN = b'{"status":"invalid_token"}'
_LEAST_BETWEEN = 1.0  # seconds between two handshakes


class Refused(Exception):
    """With the text that the client is told."""


class Accepted(NamedTuple):
    principal: str
    token: bytes = b""  # the last one that the client gets
    seconds: float = float("inf")  # as long as what it has shown is good


Conversation = Generator[bytes, bytes, Accepted]


class Sasl:
    """Who may connect to a cluster, and how. Everything in it may be changed while clients are connected."""

    def __init__(self, users: Mapping[str, str], world: World, wall: Callable[[], float]) -> None:
        """`users`: passwords by name. `wall`: seconds since the epoch, for the expiry of tokens."""
        self.users = dict(users)
        self.tokens: dict[str, str] = {}  # delegation tokens: id -> HMAC, base64
        self.aws: dict[str, AwsKeys] = {}  # by access key, for OAUTHBEARER, and AWS_MSK_IAM where that is offered
        self.mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
        self.lifetime = 0.0  # of a session, seconds (connections.max.reauth.ms); 0: as long as what was shown is good
        self.refusals_take = 0.3  # seconds (connection.failed.authentication.delay.ms, and then some)
        # Over TLS Kafka looks at what comes before the last answer has gone only after 0.3 s. Here it does not, unless
        # told to; but "early" counts it.
        self.early_frames_take = 0.0
        self.iterations = 4096
        self.takes_token: Callable[[Mapping[str, Any]], bool] = lambda claims: True  # by what an OAUTHBEARER one claims
        self.counts: Counter[str] = Counter()  # "accepted", "renewed", "refused", "expired", "early"
        self.world = world
        self.wall = wall
        self._keys: dict[tuple[str, str, str], tuple[bytes, bytes, bytes]] = {}

    def offers(self, mechanism: str) -> bool:
        return mechanism in self.mechanisms

    def converse(self, mechanism: str) -> Conversation:
        if mechanism.startswith("SCRAM-"):
            conversation = self._scram(mechanism)
        elif mechanism == "AWS_MSK_IAM":
            conversation = self.aws_msk_iam()
        else:
            conversation = self.plain() if mechanism == "PLAIN" else self.oauthbearer()
        next(conversation)
        return conversation

    def plain(self) -> Conversation:
        parts = (yield b"").split(b"\0")
        if len(parts) != 3:
            raise Refused(f"Invalid SASL/PLAIN response: expected 3 tokens, got {len(parts)}")
        authorization, user, password = (part.decode() for part in parts)
        if not user:
            raise Refused("Authentication failed: username not specified")
        if not password:
            raise Refused("Authentication failed: password not specified")
        if self.users.get(user) != password:
            raise Refused("Authentication failed: Invalid username or password")
        if authorization not in ("", user):
            raise Refused("Authentication failed: Client requested an authorization id that is different from username")
        return Accepted(user)

    def _scram(self, mechanism: str) -> Conversation:
        refused = Refused(
            f"Authentication failed during authentication due to invalid credentials with SASL mechanism {mechanism}"
        )
        first = (yield b"").decode()
        bare = first.removeprefix("n,,")
        found = dict(part.split("=", 1) for part in bare.split(","))
        user = found["n"].replace("=2C", ",").replace("=3D", "=")
        known = self.tokens if found.get("tokenauth") == "true" else self.users
        if not first.startswith("n,,") or user not in known:
            raise refused
        name = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
        salt, stored, server = self._keys_of(user, known[user], name)
        nonce = found["r"] + self.world.random.randbytes(12).hex()
        challenge = f"r={nonce},s={base64.b64encode(salt).decode()},i={self.iterations}"
        final = (yield challenge.encode()).decode()
        unproven, _, proof = final.rpartition(",p=")
        message = f"{bare},{challenge},{unproven}".encode()
        signature = hmac.digest(stored, message, name)
        client = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        if unproven != f"c=biws,r={nonce}" or hashlib.new(name, client).digest() != stored:
            raise refused
        return Accepted(user, b"v=" + base64.b64encode(hmac.digest(server, message, name)))

    def _keys_of(self, user: str, password: str, name: str) -> tuple[bytes, bytes, bytes]:
        """Salt, stored key, server key."""
        place = (user, password, name)
        if place not in self._keys:
            salt = self.world.random.randbytes(16)
            salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, self.iterations)
            stored = hashlib.new(name, hmac.digest(salted, b"Client Key", name)).digest()
            self._keys[place] = salt, stored, hmac.digest(salted, b"Server Key", name)
        return self._keys[place]

    def oauthbearer(self) -> Conversation:
        """Tokens without a signature, as Kafka's own default for tests takes them."""
        token = yield b""
        if self.aws:
            try:
                keys, left = check_token(_bearer(token), self.aws, self.wall())
                return Accepted(keys.principal, seconds=left)
            except (Unsigned, ValueError):
                pass
        claims = _claims(token)
        seconds = float(claims.get("exp", 0)) - self.wall()
        if "sub" not in claims or seconds <= 0 or not self.takes_token(claims):
            yield _INVALID_TOKEN
            raise Refused(_INVALID_TOKEN.decode())
        return Accepted(claims["sub"], seconds=seconds)

    def aws_msk_iam(self) -> Conversation:
        message = yield b""
        try:
            keys, left = check_message(message, self.aws, self.wall())
        except (Unsigned, ValueError, KeyError, TypeError):
            raise Refused("Access denied") from None  # MSK does not say why
        answer = {"version": "2020_10_22", "request-id": self.world.random.randbytes(8).hex()}
        return Accepted(keys.principal, json.dumps(answer).encode(), left)


def _bearer(first_message: bytes) -> str:
    return first_message.decode().split("\1")[1].removeprefix("auth=Bearer ")


def _claims(first_message: bytes) -> dict[str, Any]:
    try:
        header, payload, _ = _bearer(first_message).split(".")
        parsed = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, payload)]
        return dict(parsed[1]) if parsed[0].get("alg") == "none" else {}
    except (ValueError, IndexError, AttributeError, TypeError):
        return {}


def unsecured_token(subject: str, expires: float, **claims: Any) -> str:
    """A token as `Sasl.oauthbearer` takes it. `expires`: seconds since the epoch."""
    parts = ({"alg": "none"}, {"sub": subject, "iat": int(expires) - 3600, "exp": expires, **claims})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


class Session:
    """What one connection's broker knows of who is at its other end."""

    def __init__(self) -> None:
        self.principal: str | None = None
        self._mechanism = ""
        self._conversation: Conversation | None = None
        self._renewing_since = float("-inf")  # world seconds, when it last began to authenticate again
        self._expires = float("inf")
        self._asked_versions = False

    def admit(self, sasl: Sasl, api_key: int) -> None:
        """Hangup where this request may not come now."""
        if self._conversation is not None:
            allowed = True  # `answer` has a word for it
        elif self.principal is None:
            allowed = api_key == SaslHandshakeRequest.API_KEY
            if api_key == ApiVersionsRequest.API_KEY and not self._asked_versions:
                allowed = True
        else:
            allowed = api_key == SaslHandshakeRequest.API_KEY or sasl.world.now < self._expires
            sasl.counts["expired"] += not allowed
        if not allowed:
            raise Hangup(f"a client sent API {api_key} where it is to authenticate")

    def asked_versions(self) -> None:
        self._asked_versions = True

    @property
    def is_talking(self) -> bool:
        """Whether `answer` is for whatever comes next."""
        return self._conversation is not None

    def answer(self, sasl: Sasl, request: Any, is_early: bool) -> Answer:
        """`is_early`: it had come before the answer to the last request was given."""
        answer = self._answer(sasl, request)
        sasl.counts["early"] += is_early
        if not is_early or not sasl.early_frames_take or isinstance(answer, Later):
            return answer
        later = Later(lambda: answer)
        sasl.world.after(sasl.early_frames_take, later.ready)
        return later

    def _answer(self, sasl: Sasl, request: Any) -> Answer:
        if self._conversation is not None and not isinstance(request, SaslAuthenticateRequest):
            response = type(request).RESPONSE()
            if hasattr(response, "error_code"):
                response.error_code = Code.ILLEGAL_SASL_STATE
            return _farewell(sasl, response)
        if isinstance(request, SaslHandshakeRequest):
            return self._shake_hands(sasl, request.mechanism)
        if self._conversation is None:
            return SaslAuthenticateResponse(error_code=Code.ILLEGAL_SASL_STATE, error_message="no handshake before it")
        return self._hear(sasl, self._conversation, bytes(request.auth_bytes))

    def _shake_hands(self, sasl: Sasl, mechanism: str) -> Answer:
        if self.principal is not None:
            if sasl.world.now < self._renewing_since + _LEAST_BETWEEN:
                return SaslHandshakeResponse(error_code=Code.ILLEGAL_SASL_STATE)
            self._renewing_since = sasl.world.now
        if not sasl.offers(mechanism):
            response = SaslHandshakeResponse(
                error_code=Code.UNSUPPORTED_SASL_MECHANISM, mechanisms=list(sasl.mechanisms)
            )
            return _farewell(sasl, response)
        if self.principal is not None and mechanism != self._mechanism:  # it does not say what is wrong
            return _farewell(sasl, SaslHandshakeResponse(mechanisms=list(sasl.mechanisms)))
        self._mechanism, self._conversation = mechanism, sasl.converse(mechanism)
        return SaslHandshakeResponse(mechanisms=list(sasl.mechanisms))

    def _hear(self, sasl: Sasl, conversation: Conversation, token: bytes) -> Answer:
        try:
            return SaslAuthenticateResponse(auth_bytes=conversation.send(token))
        except Refused as refused:
            return self._refuse(sasl, str(refused))
        except StopIteration as end:
            accepted: Accepted = end.value
        except (ValueError, KeyError):
            return self._refuse(sasl, "the message cannot be read")
        if self.principal not in (None, accepted.principal):
            return self._refuse(
                sasl,
                "Cannot change principals during re-authentication from"
                f" User.{self.principal}: User.{accepted.principal}",
            )
        sasl.counts["accepted" if self.principal is None else "renewed"] += 1
        self.principal, self._conversation = accepted.principal, None
        seconds = min(accepted.seconds, sasl.lifetime or float("inf"))
        self._expires = sasl.world.now + seconds
        return SaslAuthenticateResponse(
            auth_bytes=accepted.token, session_lifetime_ms=int(seconds * 1000) if seconds < float("inf") else 0
        )

    def _refuse(self, sasl: Sasl, text: str) -> Answer:
        response = SaslAuthenticateResponse(error_code=Code.SASL_AUTHENTICATION_FAILED, error_message=text)
        return _farewell(sasl, response)


def _farewell(sasl: Sasl, response: Any) -> Later:
    """The last answer on a connection, held back."""
    sasl.counts["refused"] += 1
    later = Later(lambda: response, is_last=True)
    sasl.world.after(sasl.refusals_take, later.ready)
    return later


# Where clients need not authenticate.


def refuse_handshake(broker: Any, header: Any, request: Any) -> SaslHandshakeResponse:
    return SaslHandshakeResponse(error_code=Code.ILLEGAL_SASL_STATE)


def refuse_authentication(broker: Any, header: Any, request: Any) -> SaslAuthenticateResponse:
    return SaslAuthenticateResponse(error_code=Code.ILLEGAL_SASL_STATE)
