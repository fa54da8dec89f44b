"""One connection to one broker: frames in and out, correlation, the ApiVersions conversation, request deadlines.

Bytes come in through `receive` in any segmentation; bytes to send are returned, never written. A connection knows
neither which broker it should reach nor when to try again: that is `channel.py`. It holds only requests that are on the
wire; nothing waits here for room.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kafka.core.effects import Address, Buffer
from kafka.core.net.failures import BRING_UP, REQUEST, connection_error, foreign_peer_hint, frame_hint
from kafka.core.net.states import TRANSITIONS, ConnectionEvent, ConnectionState
from kafka.core.net.window import Window
from kafka.errors import CorrelationError, KafkaError, ProtocolError, UnsupportedVersionError
from kafka.protocol import ApiVersionsRequest, ApiVersionsResponse, decode_response, encode_request
from kafka.protocol.codes import Code
from kafka.result import Err, Ok, Result

if TYPE_CHECKING:
    from kafka.core.net.authenticate import Session

Callback = Callable[[Result[Any, KafkaError], float], None]

_PREFIX = struct.Struct(">ii")  # frame size, correlation id: every response starts with these
_SIZE = struct.Struct(">i")
_ERROR_CODE = struct.Struct(">h")
# From which version of an API on a broker answers at once and expects to be left alone for `throttle_time_ms`. Before,
# it held back the answer instead, and the time is over by then (KIP-219). Of APIs not named here: always.
_THROTTLES_FROM = {
    0: 6, 1: 8, 2: 3, 3: 6, 8: 4, 9: 4, 10: 2, 11: 3, 12: 2, 13: 2, 14: 2, 15: 2, 16: 2, 18: 2, 19: 3, 20: 2, 21: 1,
    22: 1, 24: 1, 25: 1, 26: 1, 28: 1, 29: 1, 30: 1, 31: 1, 32: 2, 33: 1, 34: 1, 35: 1, 37: 1, 38: 1, 39: 1, 40: 1,
    41: 1, 42: 1,
}  # fmt: skip
_UP = (ConnectionState.READY, ConnectionState.REAUTHENTICATING)
_JUST_UNSUPPORTED = b"\0\x23\0\0\0\0"  # an ApiVersionsResponse v0 of nothing but the error


class InFlight:
    """A request on the wire that has an answer."""

    __slots__ = ("correlation_id", "response_class", "version", "callback", "sent", "held", "due", "deadline", "place")

    def __init__(
        self,
        correlation_id: int,
        response_class: Any,
        version: int,
        callback: Callback,
        sent: float,
        held: float,
        due: float,
        deadline: float,
        place: int,
    ) -> None:
        self.correlation_id = correlation_id
        self.response_class = response_class
        self.version = version
        self.callback = callback
        self.sent = sent
        self.held = held  # seconds that the broker may rightly hold the answer back, once it has come to this request
        self.due = due  # from when on the answer is waited for
        self.deadline = deadline  # without an answer by then the connection counts as dead
        self.place = place  # how many were in flight once it was sent; 0: the window is not told of its answer


class Connection:
    __slots__ = (
        "id",
        "address",
        "name",
        "state",
        "in_flight",
        "unwritten",
        "versions",
        "features",
        "features_epoch",
        "heard",
        "used",
        "is_earlier",
        "was_refused",
        "window",
        "session",
        "tls",
        "_answered",
        "_patience",
        "_client_id",
        "_software",
        "_limit",
        "_on_throttle",
        "_tell_request",
        "_tell_response",
        "_next_correlation",
        "_rest",
        "_needed",
        "_chosen",
    )

    def __init__(
        self,
        id: int,
        address: Address,
        name: str,
        *,
        client_id: str,
        software: tuple[str, str],
        limit: int,
        most_in_flight: int,
        patience: float,
        on_throttle: Callable[[float, float], None],
        on_request: Callable[[Any, int, int, float], None] | None = None,
        on_response: Callable[[Any, int, int, float, KafkaError | None, float], None] | None = None,
    ) -> None:
        self.id = id
        self.address = address
        self.name = name  # for error messages: "broker 3 at kafka3:9092 (10.0.0.3)"
        self.state = ConnectionState.CONNECTING
        self.in_flight: deque[InFlight] = deque()  # oldest first; answers come in this order
        # Requests that have no answer (acks=0) and are over once written: (callback, deadline), oldest first.
        self.unwritten: deque[tuple[Callback, float]] = deque()
        # The peer's ranges by API key, once READY.
        self.versions: dict[int, tuple[int, int]] = {}
        # The cluster's features and the level each is finalized at (KIP-584), as of `features_epoch`; -1: not told.
        self.features: dict[str, int] = {}
        self.features_epoch = -1
        self.heard = 0  # how many frames the peer has sent
        self.used = 0.0  # when the last request was sent
        self.is_earlier = False  # the requests in flight time out earlier than they did before an answer came
        self.was_refused = False  # the peer closed it on the first request, without a word
        self.window = Window(most_in_flight)
        self.tls: str | None = None  # what encrypts it, in the word of the driver
        self.session: Session | None = None  # who the client is there, where it authenticates
        self._answered = 0.0  # when the last answer came
        self._patience = patience  # seconds an answer may take that the broker has no right to hold back
        self._client_id = client_id
        self._software = software
        self._limit = limit
        self._on_throttle = on_throttle  # called with (seconds, now), before the callback of the answer that says so
        self._tell_request = on_request  # listeners, see events.py
        self._tell_response = on_response
        self._next_correlation = 0
        self._rest = bytearray()  # the start of a frame whose end has not arrived
        self._needed = 4  # bytes that `_rest` must hold before another look pays
        self._chosen: dict[Any, int] = {}

    def handle(self, event: ConnectionEvent) -> None:
        self.state = TRANSITIONS[self.state][event]

    @property
    def is_closed(self) -> bool:
        return self.state is ConnectionState.CLOSED

    @property
    def is_up(self) -> bool:
        """Whether it carries requests, though it may take no new ones just now."""
        return self.state in _UP

    @property
    def is_busy(self) -> bool:
        """Whether something is under way."""
        return bool(self.in_flight or self.unwritten)

    @property
    def waiting_since(self) -> float:
        """Since when an answer is waited for; it may lie ahead (see `InFlight.due`), and is inf where none is."""
        try:  # another thread may ask, for `health`
            return max(self.in_flight[0].due, self._answered)
        except IndexError:
            return float("inf")

    # -- versions ------------------------------------------------------------------------------------------------

    def version_for(self, message_class: Any, newest: int | None = None) -> int | UnsupportedVersionError:
        """The newest version of this request both sides know, at most `newest`; an error value if there is none."""
        if newest is None:
            chosen: int | None = self._chosen.get(message_class)
            if chosen is not None:
                return chosen
        oldest, our_newest = message_class.VERSIONS
        wanted: int = our_newest if newest is None else min(newest, our_newest)
        theirs = self.versions.get(message_class.API_KEY)
        if theirs is None:
            return UnsupportedVersionError(f"{self.name} does not know {message_class.__name__} at all.")
        version = min(wanted, theirs[1])
        if version < max(oldest, theirs[0]):
            return UnsupportedVersionError(
                f"{self.name} speaks {message_class.__name__} versions {theirs[0]} to {theirs[1]},"
                f" this client {oldest} to {wanted}."
            )
        if newest is None:
            self._chosen[message_class] = version
        return version

    def negotiate(self, version: int, callback: Callback, now: float) -> Sequence[Buffer]:
        """The ApiVersions request that opens every connection. `callback` gets the response or what went wrong.

        A peer that knows only older versions says so in the form of version 0; the caller then asks again.
        """
        request = ApiVersionsRequest(
            client_software_name=self._software[0] if version >= 3 else "",
            client_software_version=self._software[1] if version >= 3 else "",
        )
        return self.send(request, version, callback, now, self._patience).unwrap()

    def negotiated(self, response: Any, event: ConnectionEvent = ConnectionEvent.NEGOTIATED) -> None:
        """`event`: whether anything follows."""
        self.versions = {api.api_key: (api.min_version, api.max_version) for api in response.api_keys}
        self.features = {feature.name: feature.max_version_level for feature in response.finalized_features}
        self.features_epoch = response.finalized_features_epoch
        self.handle(event)

    # -- requests ------------------------------------------------------------------------------------------------

    def send(
        self,
        message: Any,
        version: int,
        callback: Callback,
        now: float,
        answer_within: float,
        *,
        answered: bool = True,
        timed: bool = False,
    ) -> Result[list[Any], ProtocolError]:
        """The bytes of one request. Its callback is called exactly once from here on, unless this returns Err.

        `answer_within`: seconds. What of them exceeds the usual patience is the broker's to hold the answer back; who
        comes after it on this connection waits so much longer. `timed`: the window learns how long it took.
        """
        correlation_id = self._next_correlation
        encoded = encode_request(message, version, correlation_id, self._client_id)
        if isinstance(encoded, Ok):
            self._next_correlation = (correlation_id + 1) & 0x7FFFFFFF
            self.used = now
            in_flight = self.in_flight
            patience = min(answer_within, self._patience)
            held = answer_within - patience
            due = (max(now, in_flight[-1].due) if in_flight else now) + held
            if answered:
                place = len(in_flight) + 1 if timed else 0
                entry = InFlight(
                    correlation_id, message.RESPONSE, version, callback, now, held, due, due + patience, place
                )
                in_flight.append(entry)
            else:
                self.unwritten.append((callback, due + patience))
            if self._tell_request is not None:
                size = sum(map(len, encoded.value))  # type: ignore[arg-type]
                self._tell_request(type(message), version, size, now)
        return encoded

    def written(self, now: float) -> None:
        """The driver wrote everything up to the oldest request that has no answer."""
        if self.unwritten:
            self.unwritten.popleft()[0](Ok(None), now)

    def receive(self, data: Buffer, now: float) -> KafkaError | None:
        """Takes bytes and calls the callbacks of the responses they complete.

        Returns what the peer did wrong, if anything: the connection is then of no further use. `data` must not change
        afterwards: decoded records are views of it.
        """
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._needed:
                return None
            data = rest
            self._rest = rest = bytearray()  # handed on whole: views of the old one may outlive this call
        end = len(data)
        view = memoryview(data)
        position = 0
        in_flight = self.in_flight
        while end - position >= 8:
            size, correlation_id = _PREFIX.unpack_from(view, position)
            stop = position + 4 + size
            if stop > end or not 4 <= size <= self._limit:
                break
            frame = view[position + 4 : stop]
            position = stop
            self.heard += 1
            if not in_flight:
                return CorrelationError(f"{self.name} sent response {correlation_id}, but nothing was asked.")
            entry = in_flight[0]
            if correlation_id != entry.correlation_id:
                return CorrelationError(
                    f"{self.name} sent response {correlation_id} where {entry.correlation_id} was due."
                )
            in_flight.popleft()
            self._answered = now
            if now < entry.due:
                self._go_on_early(now)
            if self.session is not None and not entry.held:
                self.session.answered(now - entry.sent, now)
            response_class, version = entry.response_class, entry.version
            if (
                response_class is ApiVersionsResponse
                and size >= 6
                and _ERROR_CODE.unpack_from(frame, 4)[0] == Code.UNSUPPORTED_VERSION
            ):
                version = 0  # whatever was asked, this answer has the form of version 0 (KIP-511)
                if isinstance(decode_response(response_class, version, frame), Err):  # librdkafka's mock has its own
                    frame = memoryview(bytes(frame[:4]) + _JUST_UNSUPPORTED)
            result: Any = decode_response(response_class, version, frame)
            if self._tell_response is not None:
                error = None if isinstance(result, Ok) else result.error
                self._tell_response(response_class.REQUEST, version, size + 4, now - entry.sent, error, now)
            if isinstance(result, Ok):
                message = result.value[1]
                throttle_ms = getattr(message, "throttle_time_ms", 0)
                if throttle_ms > 0 and version >= _THROTTLES_FROM.get(response_class.API_KEY, 0):
                    self._on_throttle(throttle_ms / 1000, now)
                result = Ok(message)
                if entry.place and now >= entry.due:  # held back, it says nothing of how busy the broker is
                    self.window.answered(entry.due, entry.place, now)
            entry.callback(result, now)
            if self.state is ConnectionState.CLOSED:  # closed by the callback
                return None
        return self._keep(view, position, end)

    def _go_on_early(self, now: float) -> None:
        """The broker has not held back an answer for as long as it might have: the next ones are due earlier."""
        self.is_earlier = True
        due = now
        for entry in self.in_flight:
            due = max(due, entry.sent) + entry.held
            if due < entry.due:
                entry.deadline -= entry.due - due
                entry.due = due

    def _keep(self, view: memoryview, position: int, end: int) -> KafkaError | None:
        """Puts the start of an unfinished frame aside, unless its announced size is out of bounds.

        The room for it grows with what really arrives, so that an announcement alone costs no memory.
        """
        left = end - position
        self._needed = 4
        if left >= 4:
            (size,) = _SIZE.unpack_from(view, position)
            start = bytes(view[position : position + 16])
            hint = None if self.heard else foreign_peer_hint(start)
            if hint is not None:
                error = connection_error(self.name, BRING_UP, f"the first answer is not Kafka's: {start!r}", hint)
                error.is_mistake = True
                return error
            if not 4 <= size <= self._limit:
                cause = f"the peer announced a frame of {size} bytes; allowed are 4 to {self._limit}"
                hint = frame_hint(size, self.heard > 0)
                return connection_error(self.name, REQUEST if self.heard else BRING_UP, cause, hint)
            self._needed = size + 4
        if left:
            self._rest += view[position:]
        return None

    # -- the end -------------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """When the first of the requests under way times out; inf if none is."""
        return min(
            min((entry.deadline for entry in self.in_flight), default=float("inf")),
            self.unwritten[0][1] if self.unwritten else float("inf"),
        )

    def postpone(self, seconds: float) -> None:
        """Gives what is under way this much more time: the broker does not look at this connection meanwhile."""
        for entry in self.in_flight:
            entry.due += seconds
            entry.deadline += seconds
        for _ in range(len(self.unwritten)):
            callback, deadline = self.unwritten.popleft()
            self.unwritten.append((callback, deadline + seconds))

    def close(self, error: KafkaError, now: float) -> None:
        """Fails everything in flight, in order. Callbacks must not expect to find this connection usable."""
        self.handle(ConnectionEvent.CLOSE)
        self._rest = bytearray()
        failed = Err(error)
        while self.in_flight:
            entry = self.in_flight.popleft()
            if self._tell_response is not None:
                self._tell_response(entry.response_class.REQUEST, entry.version, 0, now - entry.sent, error, now)
            entry.callback(failed, now)
        while self.unwritten:
            self.unwritten.popleft()[0](failed, now)
