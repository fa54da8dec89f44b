"""Who the client is on one connection: it authenticates (SASL), and does so again before the session ends (KIP-368).

A session that is about to end takes no more requests, but those in flight are answered as ever; SaslHandshake goes
right behind them. What the client is to prove was got before, while the connection was in use. Where nothing is sent
any more nothing is done either: brokers look at a session's end when they have read a request, and take a handshake
even after it. But a request that is still unread then costs the connection, so the slower the answers, the earlier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from kafka.core.flows import Resume, Signal, Task, Wish, first, pause, until, within
from kafka.core.net.connection import Connection
from kafka.core.net.states import ConnectionEvent
from kafka.core.sasl import Failed, Mechanism
from kafka.core.sasl.credentials import in_words
from kafka.core.timers import Timer
from kafka.errors import (
    CredentialsError,
    IllegalSaslStateError,
    KafkaError,
    ProtocolError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
    for_code,
)
from kafka.protocol import SaslAuthenticateRequest, SaslHandshakeRequest
from kafka.protocol.codes import Code
from kafka.result import Err, Result

if TYPE_CHECKING:
    from kafka.core.net.channel import Channel

T = TypeVar("T")

# When a session is renewed at the latest, as shares of its life; at random between them, for many clients not to fall
# into step. And at the earliest: after half of it, but brokers refuse a second handshake within a second of the first.
LATEST_FROM, LATEST_TO = 0.85, 0.95
EARLIEST, LEAST_SECONDS = 0.5, 1.1
LONGEST = 365 * 86400.0
# No mechanism says or hears more in one conversation.
MOST_STEPS, MOST_HEARD = 50, 64 * 1024
FADE = 0.95  # of the slowest answer, with each that is faster


class Session:
    """One connection's: `start` for the first time, `begin` once it is ready. The `Line` of its mechanism."""

    __slots__ = (
        "is_due", "waits_for", "host", "_channel", "_connection", "_mechanism", "_network", "_task", "_gate",
        "_version", "_asked_at", "_since", "_lifetime", "_slowest", "_latest", "_preparing", "_closed",
        "_wanted", "_is_wanted", "_steps",
    )  # fmt: skip

    def __init__(self, channel: Channel, connection: Connection, mechanism: Mechanism) -> None:
        self.is_due = False  # it takes no requests until it is renewed
        self.waits_for: str | None = None  # what is being done on this side
        self.host = channel.node.host
        self._channel = channel
        self._connection = connection
        self._mechanism = mechanism
        self._network = channel.network
        self._task: Task[Any] | None = None
        self._gate: Timer | None = None  # closes it for requests
        self._version = 0  # of SaslAuthenticate
        self._asked_at = 0.0
        self._since = 0.0  # clock seconds
        self._lifetime = 0.0  # seconds; 0: for ever
        self._slowest = 0.0  # of recent answers that were not held back by right, seconds
        self._latest = 0.0  # clock seconds
        self._preparing = 0.0  # how long it took to get what is to be proven, seconds
        self._closed = Signal()
        self._wanted = Signal()
        self._is_wanted = False
        self._steps = 0  # of the present conversation

    def __repr__(self) -> str:
        return f"<{self._mechanism.name} session>"

    # -- what the channel calls ----------------------------------------------------------------------------------------

    def start(self, done: Resume[KafkaError | None], now: float) -> None:
        """Authenticates on a connection that carries nothing else; `done` is told what went wrong, if anything."""
        self._task = Task(self._authenticate(now), done)
        self._task.start(now)

    def begin(self, now: float) -> None:
        """The connection is ready; from now on the session is renewed by itself."""
        if self._lifetime > 0:
            self._plan()
            self._task = Task(self._keep(now), self._over)
            self._task.start(now)

    def want(self, now: float) -> None:
        """Somebody has a request for the connection, which takes none."""
        if self.is_due and not self._is_wanted:
            self._is_wanted = True
            self._wanted.happens(now)

    def answered(self, seconds: float, now: float) -> None:
        """An answer took so long."""
        self._slowest = max(seconds, self._slowest * FADE)
        if self._gate is not None and self._due() < self._gate.deadline:
            self._arm()

    def end(self) -> None:
        """The connection is no more."""
        task, self._task = self._task, None
        self._disarm()
        if task is not None:
            task.cancel()

    # -- the life of a session -----------------------------------------------------------------------------------------

    async def _authenticate(self, now: float) -> KafkaError | None:
        try:
            prepared, now = await self._prepare(now)
            await self._converse(prepared, now)
        except Failed as failed:
            return failed.error
        return None

    async def _keep(self, now: float) -> KafkaError | None:
        """Renews the session whenever it has to be, until that fails or it has no end any more."""
        connection, timers = self._connection, self._network.timers
        try:
            while self._lifetime > 0:
                # Early enough that it is there when it is wanted, if it takes as long as the last time.
                _, now = await first(until(timers, self._latest - 2 * self._preparing), self._closed.wait())
                prepared = None
                if connection.is_busy or now - connection.used < (1 - LATEST_FROM) * self._lifetime:
                    prepared, now = await self._try_to_prepare(now)
                if not self.is_due:
                    _, now = await self._closed.wait()
                if (not connection.is_busy or self._channel.throttle is not None) and not self._is_wanted:
                    _, now = await self._wanted.wait()
                while prepared is None and connection.is_busy:  # whose answers are waited for, come what may
                    prepared, now = await self._try_to_prepare(now)
                    if prepared is None:
                        _, now = await pause(timers, 1.0)
                if prepared is None:
                    prepared, now = await self._prepare(now)
                connection.handle(ConnectionEvent.REAUTHENTICATE)
                now = await self._converse(prepared, now)
                connection.handle(ConnectionEvent.AUTHENTICATED)
                self.is_due = self._is_wanted = False
                self._plan()
                self._channel.on_reauthenticated(now)
        except Failed as failed:
            return failed.error
        return None

    def _over(self, error: KafkaError | None, now: float) -> None:
        self._task = None
        if error is not None:
            self._channel.on_session_lost(error, now)

    def _plan(self) -> None:
        share = LATEST_FROM + (LATEST_TO - LATEST_FROM) * self._network.random.random()
        self._latest = self._since + share * self._lifetime
        self._arm()

    def _due(self) -> float:
        earliest = max(EARLIEST * self._lifetime, min(LEAST_SECONDS, LATEST_TO * self._lifetime))
        return max(self._since + earliest, min(self._latest, self._since + self._lifetime - 2 * self._slowest))

    def _arm(self) -> None:
        self._disarm()
        if self._lifetime > 0:
            self._gate = self._network.timers.at(self._due(), self._close_gate)

    def _disarm(self) -> None:
        if self._gate is not None:
            self._gate.cancel()
            self._gate = None

    def _close_gate(self, now: float) -> None:
        self._gate = None
        self.is_due = True
        self._closed.happens(now)

    # -- one conversation ----------------------------------------------------------------------------------------------

    async def _prepare(self, now: float) -> tuple[Any, float]:
        started = now
        prepared, now = await self._mechanism.prepare(self, now)
        self._preparing = now - started
        return prepared, now

    async def _try_to_prepare(self, now: float) -> tuple[Any, float]:
        """None where that fails."""
        try:
            return await self._prepare(now)
        except Failed:
            return None, (await until(self._network.timers, now))[1]

    async def _converse(self, prepared: Any, now: float) -> float:
        try:
            await self._shake_hands()
            return await self._mechanism.authenticate(self, prepared, now)
        except Failed as failed:
            if isinstance(failed.error, SaslAuthenticationFailedError):
                self._mechanism.refused(prepared)
            raise

    async def _shake_hands(self) -> None:
        self._steps = 0
        self._version = self._version_of(SaslAuthenticateRequest)
        version = self._version_of(SaslHandshakeRequest)
        if version < 1:  # what follows version 0 has no frames of Kafka's, and no error text
            raise Failed(UnsupportedVersionError(f"{self._connection.name} is older than Kafka 1.0: no SASL with it."))
        answer, _ = await self._ask(SaslHandshakeRequest(mechanism=self._mechanism.name), version)
        if answer.error_code != Code.NONE:
            raise Failed(_refused_handshake(self._mechanism.name, answer))

    def _version_of(self, message_class: Any) -> int:
        version = self._connection.version_for(message_class)
        if not isinstance(version, int):
            raise Failed(version)
        return version

    async def exchange(self, token: bytes) -> tuple[bytes, float]:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Failed(self._no_end(f"has no end within {MOST_STEPS} steps"))
        answer, now = await self._ask(SaslAuthenticateRequest(auth_bytes=token), self._version)
        if answer.error_code != Code.NONE:
            error = for_code(answer.error_code, answer.error_message or None)
            assert error is not None
            raise Failed(error.fresh())  # whose hint a mechanism may change
        if len(answer.auth_bytes) > MOST_HEARD:
            raise Failed(self._no_end(f"has a part of {len(answer.auth_bytes)} bytes; allowed are {MOST_HEARD}"))
        self._since = self._asked_at  # the broker counts from a little later
        self._lifetime = min(max(answer.session_lifetime_ms, 0) / 1000, LONGEST)
        return bytes(answer.auth_bytes), now

    def _no_end(self, why: str) -> ProtocolError:
        error = ProtocolError(f"{self._mechanism.name}: what the broker says {why}.")
        error.hint = "That is hardly a broker: check host and port."
        return error

    async def _ask(self, message: Any, version: int) -> tuple[Any, float]:
        def start(resume: Resume[Result[Any, KafkaError]], now: float) -> None:
            self._asked_at = now
            self._channel.ask(message, version, resume, now)

        result, now = await Wish(start)
        if isinstance(result, Err):
            raise Failed(result.error)
        return result.value, now

    async def work(self, function: Callable[[], T], what: str) -> tuple[T, float]:
        return await self.obtain(self._network.work(function), what)

    async def obtain(self, wish: Wish[Result[T, BaseException]], what: str) -> tuple[T, float]:
        limit = self._network.config.connection_setup_timeout
        self._channel.await_own_work()
        self.waits_for = what
        try:
            result, now = await within(self._network.timers, limit, wish)
        finally:
            self.waits_for = None
        if result is None:
            raise Failed(CredentialsError(f"{what} has not returned within {limit:g} s."))
        if isinstance(result, Err):
            raise Failed(_not_had(what, result.error))
        return result.value, now


def _refused_handshake(mechanism: str, answer: Any) -> KafkaError:
    if answer.error_code == Code.UNSUPPORTED_SASL_MECHANISM:
        offered = ", ".join(sorted(answer.mechanisms)) or "none"
        return UnsupportedSaslMechanismError(f"This listener does not offer {mechanism}. It offers: {offered}.")
    if answer.error_code == Code.ILLEGAL_SASL_STATE and not answer.mechanisms:
        error = IllegalSaslStateError("This listener takes no SASL handshake (now).")
        error.hint = (
            "Where it has no SASL at all, security_protocol is 'PLAINTEXT', or 'SSL'; or use the port of one that has."
        )
        return error
    found = for_code(answer.error_code)
    assert found is not None
    return found


def _not_had(what: str, cause: BaseException) -> CredentialsError:
    if isinstance(cause, CredentialsError):  # which says what it is about
        return cause.fresh()
    error = CredentialsError(f"{what} failed: {in_words(cause)}")
    error.__cause__ = cause
    return error
