"""What a part of the client has of the brokers: their connections for one lane."""

from __future__ import annotations

from typing import Any

from kafka.core.net.channel import Channel
from kafka.core.net.connection import Callback
from kafka.core.net.lanes import Lane
from kafka.core.net.nodes import Nodes
from kafka.errors import KafkaError, NodeNotReadyError, UnsupportedVersionError
from kafka.result import Err


class Brokers:
    def __init__(self, nodes: Nodes, lane: Lane, request_timeout: float) -> None:
        self._nodes = nodes
        self._lane = lane
        self._request_timeout = request_timeout

    def _channel(self, node_id: int) -> Channel | None:
        node = self._nodes.broker(node_id)
        return None if node is None else node.channel(self._lane)

    def room(self, node_id: int) -> int:
        """How many more requests this broker takes now; 0 while it is not ready or throttled."""
        channel = self._channel(node_id)
        return 0 if channel is None else channel.room

    def connection_id(self, node_id: int) -> int:
        """The id of this broker's connection that is up, -1 if there is none. No two connections ever share one."""
        channel = self._channel(node_id)
        return channel.connection.id if channel is not None and channel.is_up else -1  # type: ignore[union-attr]

    def is_failing(self, node_id: int) -> bool:
        """Whether this broker could not be reached when that was last tried, or is not known."""
        channel = self._channel(node_id)
        return channel is None or channel.failures > 0

    def ensure(self, node_id: int, now: float) -> None:
        """Starts connecting to this broker, now or when its backoff is over; `on_room` or `on_node_down` follows."""
        channel = self._channel(node_id)
        if channel is not None:
            channel.ensure(now)

    def version_for(self, node_id: int, message_class: Any, newest: int | None = None) -> int | UnsupportedVersionError:
        """The version in which `send` would send such a request; an error value if there is none in common."""
        channel = self._channel(node_id)
        if channel is None or not channel.is_up:
            return UnsupportedVersionError(f"Broker {node_id} is not connected; its versions are not known.")
        return channel.connection.version_for(message_class, newest)  # type: ignore[union-attr]

    def send(
        self,
        node_id: int,
        message_class: Any,
        build_or_message: Any,
        callback: Callback,
        now: float,
        answer_within: float | None = None,
        *,
        newest: int | None = None,
        answered: bool = True,
    ) -> None:
        """Sends one request on this broker's ready connection, at once: a message, or `build(version) -> message`.

        `callback(result, now)` is called exactly once: Ok(response), the errors in it left to the caller; Ok(None) once
        written if it is not `answered` (acks=0); or Err. Only when the request could not be sent at all is that before
        this returns. An answer later than `answer_within` seconds (default: request_timeout) closes the connection and
        fails all its requests. `newest` caps the version.
        """
        channel = self._channel(node_id)
        error: KafkaError | None
        if channel is None or not channel.is_ready:
            error = NodeNotReadyError(f"Broker {node_id} is not connected.")
        else:
            version = channel.connection.version_for(message_class, newest)  # type: ignore[union-attr]
            if isinstance(version, int):
                message = build_or_message(version) if callable(build_or_message) else build_or_message
                if answer_within is None:
                    answer_within = self._request_timeout
                error = channel.send(message, version, callback, now, answer_within, answered=answered, timed=True)
            else:
                error = version
        if error is not None:
            callback(Err(error), now)
