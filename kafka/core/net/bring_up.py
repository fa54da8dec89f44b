"""How a connection comes up: the name's addresses in turn, and at each TCP, then what the peers agree on.

Between TCP and ApiVersions the driver secures the connection, where TLS is wanted (SECURING). Where SASL belongs:
between ApiVersions and the first request the client authenticates (AUTHENTICATING).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka.core.effects import Address
from kafka.core.flows import Wish
from kafka.core.net.connection import Connection
from kafka.core.net.failures import BRING_UP, connection_error
from kafka.core.net.states import ConnectionEvent
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.protocol import ApiVersionsRequest
from kafka.protocol.codes import Code
from kafka.result import Err, Result

if TYPE_CHECKING:
    from kafka.core.net.channel import Channel

# Tried in turn on peers that close the connection on a version they do not know (Azure Event Hubs does) instead of
# answering with error 35.
API_VERSIONS_FALL_BACK = (ApiVersionsRequest.VERSIONS[1], 3, 0)


async def bring_up(channel: Channel, now: float) -> list[KafkaConnectionError]:
    """Gives the channel a connection that is ready; or returns what is wrong with each of the broker's addresses."""
    found, now = await channel.look_up()
    if isinstance(found, Err):
        return [found.error]
    errors: list[KafkaConnectionError] = []
    addresses = channel.rotated(found.value)
    for tried, address in enumerate(addresses):
        error, now = await _reach(channel, address, len(addresses) - tried, now)
        if error is None:
            return []
        channel.troubles[address] = error
        errors.append(error)
    return errors


async def _reach(
    channel: Channel, address: Address, addresses: int, now: float
) -> tuple[KafkaConnectionError | None, float]:
    """What is wrong with this address, the first of so many that are left, if anything; and the time."""
    for version in API_VERSIONS_FALL_BACK:
        connection = channel.open(address, addresses, now)
        error, now = await _introduce(channel, connection, version)
        if error is None or not connection.was_refused:
            break
    return error, now


async def _introduce(
    channel: Channel, connection: Connection, version: int
) -> tuple[KafkaConnectionError | None, float]:
    """What is wrong with this connection, if anything; and the time."""
    opened, now = await channel.opened()
    if isinstance(opened, Err):
        return opened.error, now
    if channel.speaks_tls:
        connection.handle(ConnectionEvent.SECURE)
        secured, now = await channel.secured(connection)
        if isinstance(secured, Err):
            return secured.error, now
        connection.handle(ConnectionEvent.SECURED)
    else:
        connection.handle(ConnectionEvent.CONNECTED)
    while True:
        result, now = await _ask_versions(channel, connection, version)
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
            connection.negotiated(answer)
            return None, now


def _ask_versions(channel: Channel, connection: Connection, version: int) -> Wish[Result[Any, KafkaError]]:
    # Its deadline is that of the set-up.
    return Wish(lambda resume, now: channel.write(connection, connection.negotiate(version, resume, now)))


def _failure(channel: Channel, connection: Connection, error: KafkaError, now: float) -> KafkaConnectionError:
    """The error of a connection that has ended, or is ended here because of it."""
    failure = error
    if not isinstance(failure, KafkaConnectionError):  # an answer that cannot be read, or says no
        failure = connection_error(connection.name, BRING_UP, error)
    if not connection.is_closed:
        channel.end(connection, failure, now)
    return failure
