"""What one producer measures: it listens to the core, once for each batch, request and answer, never for a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kafka.metrics.kafka_metric import KafkaMetric, Measurable
from kafka.metrics.metric_name import MetricName
from kafka.metrics.metrics import Metrics
from kafka.metrics.metrics_reporter import AbstractMetricsReporter
from kafka.metrics.series import Average, Gauge, Peak, Rate, Series, Total

if TYPE_CHECKING:
    from kafka._codec import Batch
    from kafka.core.net.node import Node
    from kafka.core.produce.partitions import Partition
    from kafka.errors import KafkaError

_MS = 1000.0


class Sent(Series):
    """Batches of one topic, or of all."""

    SUMS = ("batches", "records", "bytes", "plain", "first_sent", "waited", "retries", "errors", "requests")
    PEAKS = ("largest", "longest_wait")
    __slots__ = (*SUMS, *PEAKS)

    batches: int
    records: int
    bytes: int
    plain: int  # bytes before compression
    first_sent: int  # batches
    waited: float  # of those
    retries: int  # records
    errors: int  # records
    requests: int
    largest: float
    longest_wait: float


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


class ProducerMetrics:
    """The metrics of one producer.

    The methods that have an event's name (see kafka.core.events) are called by the core on its own thread, everything
    else by anybody. `gauges`: name -> (description, function of the time in seconds).
    """

    def __init__(
        self,
        gauges: Mapping[str, tuple[str, Callable[[float], float]]],
        *,
        samples: int = 2,
        window: float = 30.0,
        tags: Mapping[str, Any] | None = None,
        reporters: Sequence[AbstractMetricsReporter] = (),
    ) -> None:
        self._samples = samples
        self._window = window
        self._registry = Metrics(tags, reporters)
        self._tell_at_once = bool(reporters)
        self._all = Sent(samples, window)
        self._topics: dict[str, Sent] = {}
        self._nodes: dict[int, Traffic] = {}
        self._unregistered: list[tuple[str, Sent | Traffic]] = []  # nobody has asked since they came
        self._register("kafka-metrics-count", _COUNT, Gauge(lambda now: len(self._registry.metrics)))
        for name, description, make in _OF_ALL_BATCHES:
            self._register("producer-metrics", (name, description), make(lambda: (self._all,)))
        for name, description, make in (*_OF_CONNECTIONS, *_OF_TRAFFIC, *_OF_ALL_TRAFFIC):
            self._register("producer-metrics", (name, description), make(lambda: self._nodes.copy().values()))
        for name, (description, read) in gauges.items():
            self._register("producer-metrics", (name, description), Gauge(read))

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

    def _register(self, group: str, about: tuple[str, str], measurable: Measurable) -> None:
        name, description = about
        self._registry.add_metric(self._registry.metric_name(name, group, description), measurable)

    def _announce(self, group: str, series: Sent | Traffic) -> None:
        self._unregistered.append((group, series))
        if self._tell_at_once:
            self._register_new()

    def _register_new(self) -> None:
        # Making them takes longer than recording: it is left to whoever wants to see them.
        while self._unregistered:
            try:
                group, series = self._unregistered.pop()
            except IndexError:  # somebody else was faster
                return
            series_of = _just(series)
            for name, description, make in _OF_TRAFFIC if isinstance(series, Traffic) else _OF_A_TOPIC:
                self._register(group, (name, description), make(series_of))

    # -- what the core tells -----------------------------------------------------------------------------------------

    def batches_sent(self, sent: Mapping[Partition, Batch], now: float) -> None:
        total = self._all
        if now >= total.ends:
            total.advance(now)
        topics = self._topics
        for partition, batch in sent.items():
            name = partition.topic.name
            topic = topics.get(name) or self._topic(name)
            if now >= topic.ends:
                topic.advance(now)
            records, size = batch.records, batch.size
            plain = batch.plain or size
            topic.records += records
            topic.bytes += size
            topic.plain += plain
            total.records += records
            total.bytes += size
            total.plain += plain
            if size > total.largest:
                total.largest = size
            if batch.attempts == 1:
                waited = now - batch.created
                total.first_sent += 1
                total.waited += waited
                if waited > total.longest_wait:
                    total.longest_wait = waited
        total.batches += len(sent)
        total.requests += 1

    def batch_retried(
        self, topic: str, partition: int, records: int, size: int, attempts: int, error: KafkaError, now: float
    ) -> None:
        for series in (self._topics.get(topic) or self._topic(topic), self._all):
            if now >= series.ends:
                series.advance(now)
            series.retries += records

    def batch_failed(
        self, topic: str, partition: int, records: int, size: int, seconds: float, error: BaseException, now: float
    ) -> None:
        for series in (self._topics.get(topic) or self._topic(topic), self._all):
            if now >= series.ends:
                series.advance(now)
            series.errors += records

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

    def _topic(self, topic: str) -> Sent:
        series = self._topics[topic] = Sent(self._samples, self._window)
        self._announce(f"producer-topic-metrics.{topic}", series)
        return series

    def _node(self, id: int) -> Traffic:
        series = self._nodes[id] = Traffic(self._samples, self._window)
        name = f"node-{id}" if id >= 0 else f"node-bootstrap-{-1 - id}"
        self._announce(f"producer-node-metrics.{name}", series)
        return series


def _just(series: Series) -> Callable[[], tuple[Series]]:
    return lambda: (series,)


Make = Callable[[Callable[[], Any]], Measurable]


def _rate(*names: str) -> Make:
    return lambda series: Rate(series, *names)


def _total(name: str) -> Make:
    return lambda series: Total(series, name)


def _average(name: str, each: str, factor: float = 1.0) -> Make:
    return lambda series: Average(series, name, each, factor)


def _peak(name: str, factor: float = 1.0) -> Make:
    return lambda series: Peak(series, name, factor)


_COUNT = ("count", "total number of registered metrics")

_OF_A_TOPIC: tuple[tuple[str, str, Make], ...] = (
    ("record-send-rate", "Records sent per second, repetitions included.", _rate("records")),
    ("record-send-total", "Records sent, repetitions included.", _total("records")),
    ("byte-rate", "Bytes of batches sent per second, as on the wire.", _rate("bytes")),
    ("byte-total", "Bytes of batches sent, as on the wire.", _total("bytes")),
    ("compression-rate", "Bytes after compression for each byte before.", _average("bytes", "plain")),
    ("record-retry-rate", "Records that had to be sent again per second.", _rate("retries")),
    ("record-retry-total", "Records that had to be sent again.", _total("retries")),
    ("record-error-rate", "Records that failed for good per second.", _rate("errors")),
    ("record-error-total", "Records that failed for good.", _total("errors")),
)
_OF_ALL_BATCHES: tuple[tuple[str, str, Make], ...] = (
    *(entry for entry in _OF_A_TOPIC if entry[0] != "compression-rate"),
    ("compression-rate-avg", "Bytes after compression for each byte before.", _average("bytes", "plain")),
    ("batch-size-avg", "Bytes of a batch on the wire, on average.", _average("bytes", "batches")),
    ("batch-size-max", "Bytes of the largest batch on the wire.", _peak("largest")),
    ("record-size-avg", "Bytes of a record before compression, on average.", _average("plain", "records")),
    (
        "record-queue-time-avg",
        "Milliseconds batches waited to be sent, on average.",
        _average("waited", "first_sent", _MS),
    ),
    ("record-queue-time-max", "Milliseconds the longest-waiting batch waited to be sent.", _peak("longest_wait", _MS)),
    ("records-per-request-avg", "Records in a produce request, on average.", _average("records", "requests")),
)
_OF_TRAFFIC: tuple[tuple[str, str, Make], ...] = (
    ("request-rate", "Requests sent per second.", _rate("requests")),
    ("request-total", "Requests sent.", _total("requests")),
    ("request-size-avg", "Bytes of a request, on average.", _average("sent", "requests")),
    ("request-size-max", "Bytes of the largest request.", _peak("largest")),
    ("outgoing-byte-rate", "Bytes of requests per second.", _rate("sent")),
    ("outgoing-byte-total", "Bytes of requests.", _total("sent")),
    ("response-rate", "Answers received per second.", _rate("responses")),
    ("response-total", "Answers received.", _total("responses")),
    ("incoming-byte-rate", "Bytes of answers per second.", _rate("received")),
    ("incoming-byte-total", "Bytes of answers.", _total("received")),
    ("request-latency-avg", "Milliseconds from request to answer, on average.", _average("latency", "responses", _MS)),
    ("request-latency-max", "Milliseconds from request to answer, the longest.", _peak("slowest", _MS)),
    (
        "throttle-time-avg",
        "Milliseconds for which an answer asked to be quiet, on average.",
        _average("throttled", "responses", _MS),
    ),
    (
        "throttle-time-max",
        "Milliseconds for which an answer asked to be quiet, the longest.",
        _peak("longest_throttle", _MS),
    ),
)
_OF_CONNECTIONS: tuple[tuple[str, str, Make], ...] = (
    ("connection-creation-rate", "Connections made per second.", _rate("connections")),
    ("connection-creation-total", "Connections made.", _total("connections")),
    ("connection-close-rate", "Connections ended per second.", _rate("disconnections")),
    ("connection-close-total", "Connections ended.", _total("disconnections")),
)
_OF_ALL_TRAFFIC: tuple[tuple[str, str, Make], ...] = (
    ("network-io-rate", "Requests and answers per second.", _rate("requests", "responses")),
    # Java's names for what kafka-python calls throttle-time.
    *((f"produce-{name}", description, make) for name, description, make in _OF_TRAFFIC if "throttle" in name),
)
