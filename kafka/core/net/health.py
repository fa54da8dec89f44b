"""What is said of brokers: how each is doing, and the lines an operator reads in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kafka.core.effects import Notice
from kafka.errors import KafkaError

if TYPE_CHECKING:
    from kafka.core.net.node import Node

# A broker that fails is told of once, then at most this often (seconds), ever more rarely while it stays away.
FIRST_REPEAT, LAST_REPEAT = 60.0, 3600.0


class BrokerHealth(NamedTuple):
    """How a broker is doing, as far as this client had to do with it: a broker that nobody needs is not tried.

    Moments are seconds: since the epoch, as `time.time()`, where `KafkaProducer.health()` made it; of the core's own
    clock where `Core.health()` did.
    """

    node_id: int  # negative: an address of bootstrap_servers
    host: str
    port: int
    state: str  # "ready", "connecting" or "disconnected"
    failing_since: float | None  # None: nothing wrong at the last try
    failures: int  # in a row
    error: KafkaError | None  # the last one, None once it is ready again
    in_flight: int  # requests it has not answered
    # Since when an answer is waited for: when the last one came, or the first of these requests was sent if that was
    # later. None while the broker holds an answer back by right, as it does with long polls.
    waiting_since: float | None
    throttled_until: float | None  # its quota keeps this client from sending until then
    throttles: int  # how often it did so
    throttle_seconds: float  # and for how long in all
    # What encrypts its connections: "direct" for OpenSSL without the GIL, "python" for Python's ssl; None: nothing.
    tls: str | None

    @property
    def connected(self) -> bool:
        return self.state == "ready"


class Reporter:
    """Decides which of one broker's events are worth a line, and words them."""

    __slots__ = ("_told", "_repeat", "_quiet_until", "_untold", "_throttle_quiet_until")

    def __init__(self) -> None:
        self._told = False  # whether the log says that it is failing
        self._repeat = FIRST_REPEAT
        self._quiet_until = float("-inf")
        self._untold = 0
        self._throttle_quiet_until = float("-inf")

    def failed(self, node: Node, now: float) -> Notice | None:
        if node.id < 0:
            return None  # a bootstrap address: whoever asked for it is told the error
        if now < self._quiet_until:
            self._untold += 1
            return None
        assert node.failing_since is not None
        text = str(node.error).rstrip(".")
        if self._told:
            text += f". It has been failing for {now - node.failing_since:.0f} s."
            self._repeat = min(self._repeat * 2, LAST_REPEAT)
        else:
            text += ". It is tried again while it is needed."
            self._repeat = FIRST_REPEAT
        if self._untold:
            text += f" {self._untold} more failure{'s' if self._untold > 1 else ''} in between."
        self._told = True
        self._untold = 0
        self._quiet_until = now + self._repeat
        return Notice("warning", text)

    def recovered(self, node: Node, seconds: float) -> Notice | None:
        """It had been failing for so long."""
        if not self._told:
            return None
        self._told = False
        return Notice("info", f"{_capital(node.name)} is back after {seconds:.1f} s.")

    def throttled(self, node: Node, seconds: float, now: float) -> Notice | None:
        if now < self._throttle_quiet_until:
            return None
        self._throttle_quiet_until = now + FIRST_REPEAT
        known = node.health(now)
        return Notice(
            "info",
            f"{_capital(node.name)} throttles this client, for {seconds:.1f} s now: a quota is exceeded."
            f" So far: {known.throttles} times, {known.throttle_seconds:.1f} s.",
        )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
