"""What any client measures: its connections, requests and answers. It listens to the core, once for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kafka.metrics.kafka_metric import KafkaMetric, Measurable
from kafka.metrics.metric_name import MetricName
from kafka.metrics.metrics import Metrics
from kafka.metrics.metrics_reporter import AbstractMetricsReporter
from kafka.metrics.series import Average, Gauge, Peak, Rate, Series, Total

if TYPE_CHECKING:
    from kafka.core.net.node import Node
    from kafka.errors import KafkaError

MS = 1000.0
# Makes a metric of the series that a function returns.
Make = Callable[[Callable[[], Any]], Measurable]
# Name, description, and how it is made of a series.
Row = tuple[str, str, Make]


def rate(*names: str) -> Make:
    return lambda series: Rate(series, *names)


def total(name: str) -> Make:
    return lambda series: Total(series, name)


def average(name: str, each: str, factor: float = 1.0) -> Make:
    return lambda series: Average(series, name, each, factor)


def peak(name: str, factor: float = 1.0) -> Make:
    return lambda series: Peak(series, name, factor)


class Traffic(Series):
    """Requests to one broker and its answers. Times in seconds."""

    SUMS = ("requests", "sent", "responses", "received", "latency", "throttled", "connections", "disconnections")
    PEAKS = ("largest", "slowest", "longest_throttle")
    __slots__ = (*SUMS, *PEAKS)

    requests: int
    sent: int  # bytes
    responses: int
    received: int  # bytes
    latency: float
    throttled: float
    connections: int
    disconnections: int
    largest: float
    slowest: float
    longest_throttle: float


class ClientMetrics:
    """The metrics of one client. `kind` is the first word of their groups: "producer".

    The methods that have an event's name (see kafka.core.events) are called by the core on its own thread, everything
    else by anybody. `gauges`: name -> (description, function of the time in seconds).
    """

    def __init__(
        self,
        kind: str,
        gauges: Mapping[str, tuple[str, Callable[[float], float]]],
        *,
        samples: int = 2,
        window: float = 30.0,
        tags: Mapping[str, Any] | None = None,
        reporters: Sequence[AbstractMetricsReporter] = (),
    ) -> None:
        self._kind = kind
        self._samples = samples
        self._window = window
        self._registry = Metrics(tags, reporters)
        self._tell_at_once = bool(reporters)
        self._nodes: dict[int, Traffic] = {}
        # Groups nobody has asked for since they came.
        self._unregistered: list[tuple[str, Series, Sequence[Row]]] = []
        self._register("kafka-metrics-count", _COUNT, Gauge(lambda now: len(self._registry.metrics)))
        self._register_all(f"{kind}-metrics", (*_OF_CONNECTIONS, *OF_TRAFFIC, *_OF_ALL_TRAFFIC), self._traffic)
        for name, (description, read) in gauges.items():
            self._register(f"{kind}-metrics", (name, description), Gauge(read))

    def metrics(self) -> dict[MetricName, KafkaMetric]:
        """All there are."""
        self._register_new()
        return self._registry.metrics

    def values(self, now: float) -> dict[str, dict[str, float]]:
        """{group: {name: value}} at `now`, in seconds."""
        found: dict[str, dict[str, float]] = {}
        for name, metric in self.metrics().items():
            found.setdefault(name.group, {})[name.name] = metric.value(now * 1000)
        return found

    def close(self) -> None:
        self._registry.close()

    def after_fork(self) -> None:
        self._registry.after_fork()

    # -- which there are ---------------------------------------------------------------------------------------------

    def _traffic(self) -> list[Traffic]:
        """With every node so far."""
        return list(self._nodes.copy().values())

    def _register(self, group: str, about: tuple[str, str], measurable: Measurable) -> None:
        name, description = about
        self._registry.add_metric(self._registry.metric_name(name, group, description), measurable)

    def _register_all(self, group: str, rows: Sequence[Row], series: Callable[[], Any]) -> None:
        for name, description, make in rows:
            self._register(group, (name, description), make(series))

    def _announce(self, group: str, series: Series, rows: Sequence[Row]) -> None:
        self._unregistered.append((group, series, rows))
        if self._tell_at_once:
            self._register_new()

    def _register_new(self) -> None:
        # Making them takes longer than recording: it is left to whoever wants to see them.
        while self._unregistered:
            try:
                group, series, rows = self._unregistered.pop()
            except IndexError:  # somebody else was faster
                return
            self._register_all(group, rows, _just(series))

    # -- what the core tells -----------------------------------------------------------------------------------------

    def request(self, node: Node, request_class: Any, version: int, size: int, now: float) -> None:
        series = self._nodes.get(node.id) or self._node(node.id)
        if now >= series.ends:
            series.advance(now)
        series.requests += 1
        series.sent += size
        if size > series.largest:
            series.largest = size

    def response(
        self,
        node: Node,
        request_class: Any,
        version: int,
        size: int,
        seconds: float,
        error: KafkaError | None,
        now: float,
    ) -> None:
        if not size:
            return
        series = self._nodes.get(node.id) or self._node(node.id)
        if now >= series.ends:
            series.advance(now)
        series.responses += 1
        series.received += size
        series.latency += seconds
        if seconds > series.slowest:
            series.slowest = seconds
        if series.longest_throttle < 0:  # an answer that asks for nothing asks for 0
            series.longest_throttle = 0.0

    def throttled(self, node: Node, seconds: float, now: float) -> None:
        series = self._nodes.get(node.id) or self._node(node.id)
        if now >= series.ends:
            series.advance(now)
        series.throttled += seconds
        if seconds > series.longest_throttle:
            series.longest_throttle = seconds

    def connected(self, node: Node, seconds: float, now: float) -> None:
        series = self._nodes.get(node.id) or self._node(node.id)
        if now >= series.ends:
            series.advance(now)
        series.connections += 1

    def disconnected(self, node: Node, error: KafkaError | None, now: float) -> None:
        series = self._nodes.get(node.id) or self._node(node.id)
        if now >= series.ends:
            series.advance(now)
        series.disconnections += 1

    def _node(self, id: int) -> Traffic:
        series = self._nodes[id] = Traffic(self._samples, self._window)
        name = f"node-{id}" if id >= 0 else f"node-bootstrap-{-1 - id}"
        self._announce(f"{self._kind}-node-metrics.{name}", series, OF_TRAFFIC)
        return series


def _just(series: Series) -> Callable[[], tuple[Series]]:
    return lambda: (series,)


_COUNT = ("count", "total number of registered metrics")

OF_TRAFFIC: tuple[Row, ...] = (
    ("request-rate", "Requests sent per second.", rate("requests")),
    ("request-total", "Requests sent.", total("requests")),
    ("request-size-avg", "Bytes of a request, on average.", average("sent", "requests")),
    ("request-size-max", "Bytes of the largest request.", peak("largest")),
    ("outgoing-byte-rate", "Bytes of requests per second.", rate("sent")),
    ("outgoing-byte-total", "Bytes of requests.", total("sent")),
    ("response-rate", "Answers received per second.", rate("responses")),
    ("response-total", "Answers received.", total("responses")),
    ("incoming-byte-rate", "Bytes of answers per second.", rate("received")),
    ("incoming-byte-total", "Bytes of answers.", total("received")),
    ("request-latency-avg", "Milliseconds from request to answer, on average.", average("latency", "responses", MS)),
    ("request-latency-max", "Milliseconds from request to answer, the longest.", peak("slowest", MS)),
    (
        "throttle-time-avg",
        "Milliseconds for which an answer asked to be quiet, on average.",
        average("throttled", "responses", MS),
    ),
    (
        "throttle-time-max",
        "Milliseconds for which an answer asked to be quiet, the longest.",
        peak("longest_throttle", MS),
    ),
)
_OF_CONNECTIONS: tuple[Row, ...] = (
    ("connection-creation-rate", "Connections made per second.", rate("connections")),
    ("connection-creation-total", "Connections made.", total("connections")),
    ("connection-close-rate", "Connections ended per second.", rate("disconnections")),
    ("connection-close-total", "Connections ended.", total("disconnections")),
)
_OF_ALL_TRAFFIC: tuple[Row, ...] = (
    ("network-io-rate", "Requests and answers per second.", rate("requests", "responses")),
)
