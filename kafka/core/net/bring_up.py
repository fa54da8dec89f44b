"""How a connection comes up: the name's addresses in turn, and at each TCP, then what the peers agree on.

Between TCP and ApiVersions a proxy is asked for a way to the broker, where there is one (PROXYING), then the driver
secures the connection, where TLS is wanted (SECURING); between ApiVersions and the first request the client
authenticates, where SASL is (AUTHENTICATING). One frame at a time, always: over TLS a broker lets each that comes early
wait for 0.3 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kafka.core.backoff import Random
from kafka.core.effects import Address, Buffer, Resolve, Secure, Send
from kafka.core.flows import Resume, Task, Wish
from kafka.core.net.authenticate import Session
from kafka.core.net.connection import Connection
from kafka.core.net.failures import BRING_UP, PROXY, SASL, connection_error, lookup_error
from kafka.core.net.states import ConnectionEvent
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.protocol import ApiVersionsRequest
from kafka.protocol.codes import Code
from kafka.result import Err, Ok, Result

if TYPE_CHECKING:
    from kafka.core.config import Proxy
    from kafka.core.net.channel import Channel
    from kafka.core.net.node import Node

# Tried in turn on peers that close the connection on a version they do not know (Azure Event Hubs does) instead of
# answering with error 35.
API_VERSIONS_FALL_BACK = (ApiVersionsRequest.VERSIONS[1], 3, 0)


class Route(NamedTuple):
    """One way to try: what is connected to, and what the proxy there, if any, is to connect to."""

    address: Address
    destination: Address | None = None  # None: the broker's name, where there is a proxy

    def name(self, node: Node, proxy: Proxy | None) -> str:
        """For error messages."""
        if proxy is None:
            return node.name_with(self.address)
        name = node.name if self.destination is None else node.name_with(self.destination)
        return f"{name} via {proxy}" + ("" if self.address[0] == proxy.host else f" ({self.address[0]})")


class Attempt:
    """One try to get a channel a connection, and what it waits for: the driver's word, if it is no answer."""

    __slots__ = ("looks_up", "_channel", "_network", "_task", "_resume")

    def __init__(self, channel: Channel, done: Resume[list[KafkaConnectionError]], now: float) -> None:
        self._channel = channel
        self._network = channel.network
        self._resume: Resume[Any] | None = None
        self.looks_up: tuple[str, int] | None = None  # the name whose addresses it waits for
        self._task = Task(bring_up(self, channel, now), done)

    def start(self, now: float) -> None:
        self._task.start(now)

    @property
    def waits_for_answer(self) -> bool:
        return self._resume is None

    def cancel(self) -> None:
        self._task.cancel()
        self._resume = None
        self._stop_looking_up()

    def fail(self, error: KafkaError, now: float) -> None:
        """What it waits for, other than an answer, will not be."""
        self._stop_looking_up()
        self.go_on(Err(error), now)

    def go_on(self, value: Result[Any, KafkaError], now: float) -> None:
        resume, self._resume = self._resume, None
        if resume is not None:
            resume(value, now)

    # -- what it waits for ---------------------------------------------------------------------------------------------

    def look_up(self, host: str, port: int) -> Wish[Result[list[Address], KafkaConnectionError]]:
        """The addresses of the broker's name, or of the proxy's, best first."""

        def start(resume: Resume[Any], now: float) -> None:
            self._resume = resume
            self._channel.arm_setup(now)
            place = self.looks_up = (host, port)
            waiting = self._network.looking_up.setdefault(place, {})
            waiting[self] = None
            if len(waiting) == 1:
                self._network.effects.append(Resolve(*place))

        return Wish(start)

    def on_looked_up(self, place: tuple[str, int], result: list[Address] | BaseException, now: float) -> None:
        if self.looks_up != place:
            return  # given up in the meantime
        self.looks_up = None
        self._channel.cancel_timer()
        if isinstance(result, BaseException) or not result:
            cause = result if isinstance(result, BaseException) else OSError("the name has no address")
            self.go_on(Err(lookup_error(place, self._channel.node, self._network.config.proxy, cause)), now)
        else:
            self.go_on(Ok(result), now)

    def _stop_looking_up(self) -> None:
        if self.looks_up is not None:
            self._network.looking_up.get(self.looks_up, {}).pop(self, None)
            self.looks_up = None

    def opened(self) -> Wish[Result[None, KafkaConnectionError]]:
        """The socket is open, or why it is not."""

        def start(resume: Resume[Any], now: float) -> None:
            self._resume = resume

        return Wish(start)

    def heard(self) -> Wish[Result[Buffer, KafkaConnectionError]]:
        """What the proxy says next, or why it says nothing any more."""

        def start(resume: Resume[Any], now: float) -> None:
            self._resume = resume

        return Wish(start)

    def secured(self, connection: Connection) -> Wish[Result[None, KafkaConnectionError]]:
        """Hands were shaken (TLS), or what went wrong. The peer must be who the broker says it is, by name."""

        def start(resume: Resume[Any], now: float) -> None:
            self._resume = resume
            self._network.effects.append(Secure(connection.id, self._channel.node.host))

        return Wish(start)

    def versions(self, connection: Connection, version: int) -> Wish[Result[Any, KafkaError]]:
        """The answer to ApiVersions. Its deadline is that of the set-up."""

        def start(resume: Resume[Any], now: float) -> None:
            buffers = connection.negotiate(version, resume, now)
            self._network.effects.append(Send(connection.id, buffers))

        return Wish(start)

    def authenticated(self, session: Session) -> Wish[Result[None, KafkaError]]:
        """The broker knows who the client is, or what went wrong."""

        def start(resume: Resume[Any], now: float) -> None:
            self._resume = resume

            def done(error: KafkaError | None, now: float) -> None:
                self.go_on(Ok(None) if error is None else Err(error), now)

            session.start(done, now)

        return Wish(start)


async def bring_up(attempt: Attempt, channel: Channel, now: float) -> list[KafkaConnectionError]:
    """Gives the channel a connection that is ready; or returns what is wrong with each of the broker's addresses."""
    found, now = await _routes(attempt, channel)
    if isinstance(found, Err):
        return [found.error]
    errors: list[KafkaConnectionError] = []
    routes = found.value
    channel.troubles = {route: channel.troubles[route] for route in routes if route in channel.troubles}
    for tried, route in enumerate(routes):
        error, now = await _reach(attempt, channel, route, len(routes) - tried, now)
        if error is None:
            return []
        channel.troubles[route] = error
        errors.append(error)
    return errors


async def _routes(attempt: Attempt, channel: Channel) -> tuple[Result[list[Route], KafkaConnectionError], float]:
    """What to try in turn; and the time."""
    node, proxy, random = channel.node, channel.network.config.proxy, channel.network.random
    if proxy is not None:
        found, now = await attempt.look_up(proxy.host, proxy.port)
        if isinstance(found, Err):
            return found, now
        proxies = _rotated(found.value, random)
        if proxy.asks_by_name:
            return Ok([Route(address) for address in proxies]), now
    found, now = await attempt.look_up(node.host, node.port)
    if isinstance(found, Err):
        return found, now
    addresses = _rotated(found.value, random)
    if proxy is None:
        return Ok([Route(address) for address in addresses]), now
    return Ok([Route(address, destination) for destination in addresses for address in proxies]), now


def _rotated(addresses: list[Address], random: Random) -> list[Address]:
    """A fixed order would send every client to the same one of several addresses first."""
    start = random.randrange(len(addresses))
    return [*addresses[start:], *addresses[:start]]


async def _reach(
    attempt: Attempt, channel: Channel, route: Route, addresses: int, now: float
) -> tuple[KafkaConnectionError | None, float]:
    """What is wrong with this way, the first of so many that are left, if anything; and the time."""
    for version in API_VERSIONS_FALL_BACK:
        connection = channel.open(route, addresses, now)
        error, now = await _introduce(attempt, channel, connection, route, version)
        if error is None or not connection.was_refused:
            break
    return error, now


async def _introduce(
    attempt: Attempt, channel: Channel, connection: Connection, route: Route, version: int
) -> tuple[KafkaConnectionError | None, float]:
    """What is wrong with this connection, if anything; and the time."""
    opened, now = await attempt.opened()
    if isinstance(opened, Err):
        return opened.error, now
    if channel.network.config.proxy is not None:
        error, now = await _tunnel(attempt, channel, connection, route, now)
        if error is not None:
            return error, now
    if channel.network.config.tls:
        connection.handle(ConnectionEvent.SECURE)
        secured, now = await attempt.secured(connection)
        if isinstance(secured, Err):
            return secured.error, now
        connection.handle(ConnectionEvent.SECURED)
    else:
        connection.handle(ConnectionEvent.CONNECTED)
    while True:
        result, now = await attempt.versions(connection, version)
        if isinstance(result, Err):
            return _failure(channel, connection, result.error, now), now
        answer = result.value
        if answer.error_code == Code.UNSUPPORTED_VERSION and version > 0:
            connection.handle(ConnectionEvent.RENEGOTIATE)
            theirs = [api.max_version for api in answer.api_keys if api.api_key == answer.API_KEY]
            version = min([version - 1, *theirs]) if theirs else 0
        elif answer.error_code != Code.NONE:
            return _failure(channel, connection, answer.error, now), now
        else:
            break
    mechanism = channel.network.mechanism
    if mechanism is None:
        connection.negotiated(answer)
        return None, now
    connection.negotiated(answer, ConnectionEvent.AUTHENTICATE)
    session = connection.session = Session(channel, connection, mechanism)
    known, now = await attempt.authenticated(session)
    if isinstance(known, Err):
        return _failure(channel, connection, known.error, now), now
    connection.handle(ConnectionEvent.AUTHENTICATED)
    return None, now


async def _tunnel(
    attempt: Attempt, channel: Channel, connection: Connection, route: Route, now: float
) -> tuple[KafkaConnectionError | None, float]:
    """What is wrong with the proxy, or with its way to the broker, if anything; and the time."""
    from kafka.core.net.proxy import Lost, Refused, Stream, ask  # only where there is a proxy

    proxy, node = channel.network.config.proxy, channel.node
    assert proxy is not None
    connection.handle(ConnectionEvent.PROXY)
    stream = Stream(lambda data: channel.network.effects.append(Send(connection.id, [data])), attempt.heard, now)
    host, port = (node.host, node.port) if route.destination is None else route.destination[:2]
    try:
        await ask(stream, proxy, host, port)
    except Lost as lost:
        return lost.error, stream.now
    except Refused as refused:
        error = connection_error(connection.name, PROXY, refused.said, refused.hint)
        error.is_mistake = refused.is_mistake
        return _failure(channel, connection, error, stream.now), stream.now
    return None, stream.now


def _failure(channel: Channel, connection: Connection, error: KafkaError, now: float) -> KafkaConnectionError:
    """The error of a connection that has ended, or is ended here because of it."""
    failure = error
    if not isinstance(failure, KafkaConnectionError):  # an answer that cannot be read, or says no
        stage = BRING_UP if connection.session is None else SASL
        failure = connection_error(connection.name, stage, error)
    if not connection.is_closed:
        channel.end(connection, failure, now)
    return failure
